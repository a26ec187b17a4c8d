import pytest

from dataset_pubchem3d.pairs import find_first_block, get_molecule_input, load_pairs
from modeling_geomclip import MoleculeError, read_molecule


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")


def test_a_config_is_chosen_by_name(built):
    assert len(load_pairs(str(built), "train")) == len(load_pairs(str(built), "train", "pretrain")) == 1779
    assert len(load_pairs(str(built), "train", "captioning")) == 762


def test_a_row_of_a_folder_gives_its_coordinates_and_first_block(built):
    row = load_pairs(str(built), "test[:1]")[0]
    assert get_molecule_input(row) == {"atomic_numbers": row["atomic_numbers"], "positions": row["positions"]}
    assert find_first_block(row) == row["inchikey14"]


def test_flat_coordinates_of_a_table_are_reshaped():
    flat = {"atomic_numbers": [6, 8], "positions": [0.0, 0.0, 0.0, 1.2, 0.0, 0.0]}
    assert get_molecule_input(flat)["positions"].tolist() == [[0.0, 0.0, 0.0], [1.2, 0.0, 0.0]]
    for broken in ([0.0, 0.0, 0.0, 1.2], [[0.0, 0.0], [1.0]], []):
        with pytest.raises(MoleculeError):
            read_molecule(get_molecule_input(flat | {"positions": broken}))


def test_a_row_without_a_molecule_is_refused():
    row = {"atomic_numbers": None, "positions": None, "text": "lost"}
    with pytest.raises(MoleculeError, match="NoneType is not a molecule"):
        read_molecule(get_molecule_input(row))


@pytest.mark.parametrize("separator", [",", "\t"])
def test_a_table_of_smiles_is_read(tmp_path, separator):
    path = tmp_path / ("mine.csv" if separator == "," else "mine.tsv")
    path.write_text(f"smiles{separator}text\nCCO{separator}An alcohol.\n")
    (row,) = load_pairs(str(path), "train")
    assert (get_molecule_input(row), find_first_block(row)) == ("CCO", "LFQSCWFLJHTTHZ")


def test_a_quotation_mark_in_a_tsv_is_a_character(tmp_path):
    (tmp_path / "mine.tsv").write_text('smiles\ttext\nCCO\t"An alcohol\nCO\tAnother.\n')
    assert load_pairs(str(tmp_path / "mine.tsv"), "train")["text"][:] == ['"An alcohol', "Another."]


def test_coordinates_in_text_cells_are_json(tmp_path):
    (tmp_path / "mine.csv").write_text(
        'smiles,text,atomic_numbers,positions\nCO,It.,"[6, 8]","[[0, 0, 0], [1.4, 0, 0]]"\nO,Wet.,8 1,0 0\n'
    )
    rows = load_pairs(str(tmp_path / "mine.csv"), "train")
    assert get_molecule_input(rows[0]) == {"atomic_numbers": [6, 8], "positions": [[0, 0, 0], [1.4, 0, 0]]}
    with pytest.raises(MoleculeError, match=r"a cell is not a list of numbers \(atomic_numbers: 8 1\)"):
        read_molecule(get_molecule_input(rows[1]))


def test_missing_columns_are_named(tmp_path):
    (tmp_path / "mine.csv").write_text("smiles\nCCO\n")
    with pytest.raises(ValueError, match=r"has the columns \['smiles'\]; it needs 'text'"):
        load_pairs(str(tmp_path / "mine.csv"), "train")


def test_a_config_without_texts_has_no_pairs(world, tmp_path):
    from dataset_pubchem3d.build import build
    from dataset_pubchem3d.recipe import Recipe

    build(Recipe.from_yaml(world / "recipe.yaml"), tmp_path / "out")
    with pytest.raises(ValueError, match="it needs 'text'"):
        load_pairs(str(tmp_path / "out"), "train", "qm9")
