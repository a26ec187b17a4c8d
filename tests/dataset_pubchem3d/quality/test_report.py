import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rdkit import Chem
from rdkit.Chem import rdDistGeom

from dataset_pubchem3d.quality.report import (
    CLASH_FAULT,
    DICTIONARY,
    NOT_FINITE_FAULT,
    SHAPE_FAULT,
    data_files,
    measure_quality,
    write_quality,
)
from dataset_pubchem3d.schema import FEATURES, molecule_features

BATCH = "dataset_pubchem3d.quality.report.BATCH_ROWS"
ALANINE, ENANTIOMER = "C[C@H](N)C(=O)O", "C[C@@H](N)C(=O)O"


def row(smiles, text="Some text.", /, **columns):
    """A sound row of `schema.py`, its geometry made by RDKit, or a line of atoms where that cannot be embedded."""
    mol = Chem.AddHs(Chem.MolFromSmiles(smiles))
    if rdDistGeom.EmbedMolecule(mol, randomSeed=7) == 0:
        positions = mol.GetConformer().GetPositions()
    else:
        positions = np.arange(mol.GetNumAtoms())[:, None] * [2.0, 0, 0]
    inchikey = Chem.MolToInchiKey(mol)
    known = {
        "inchikey": inchikey,
        "inchikey14": inchikey[:14],
        "split_group": inchikey[:14],
        "inchi": Chem.MolToInchi(mol),
        "smiles": smiles,
        "text": text,
        "text_kind": "names",
        "text_source": "invented",
        "atomic_numbers": [atom.GetAtomicNum() for atom in mol.GetAtoms()],
        "positions": positions.tolist(),
        "further_positions": [],
        "n_conformers": 1,
        "geometry_source": "invented",
        "geometry_method": "ETKDG",
        "geometry_id": smiles,
        "match_level": "inchikey",
        "n_heavy": mol.GetNumHeavyAtoms(),
        "formal_charge": 0,
    }
    return known | columns


def write(folder, config, row_group_size=3, **splits):
    """Files of a config; the column `split` follows the file where a row does not say otherwise."""
    features = FEATURES if config != "qm9" else molecule_features(())
    for split, rows in splits.items():
        rows = [{"split": split} | entry for entry in rows]
        rows = [{name: entry.get(name) for name in features} for entry in rows]
        file = folder / "data" / config / f"{split}-00000-of-00001.parquet"
        file.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.Table.from_pylist(rows, features.arrow_schema), file, row_group_size=row_group_size)
    return folder


def measure(folder, num_proc=1):
    return measure_quality(folder, sample=0, seed=0, num_proc=num_proc)


def faults(report):
    return {(fault["config"], fault["fault"]): (fault["count"], fault["first"]) for fault in report["faults"]}


@pytest.fixture
def sound(tmp_path):
    train = [row("CCO", " Shared text. "), row("c1ccccc1C", "Shared text."), row("CC(C)O", "Two fine words.")]
    train += [
        row("c1ccccc1C", "Shared text."),
        row("[Na+].[Cl-]", "A salt.", positions=[[0, 0, 0], [2.4, 0, 0]]),
        row("Cl[Ti](Cl)(Cl)Cl", "A liquid."),
    ]
    write(tmp_path, "default", train=train, validation=[row("Oc1ccccc1", "Phenol.")], test=[row("CCN", "Shared text.")])
    write(tmp_path, "captioning", train=[row("CCN")], validation=[], test=[row("CCO")])
    return write(tmp_path, "qm9", train=[row("CCO"), row("CCN")], test=[row("C")])


def test_a_sound_folder_is_counted_and_has_no_faults(sound):
    report = measure(sound)
    assert report["faults"] == []
    assert list(report["configs"]) == ["default", "captioning", "qm9"]
    default = report["configs"]["default"]
    assert (default["rows"], default["splits"]) == (8, {"train": 6, "validation": 1, "test": 1})
    assert (default["inchikeys"], default["first_blocks"]) == (7, 7)
    assert (default["distinct_texts"], default["rows_sharing_their_text"], default["duplicate_rows"]) == (5, 4, 2)
    assert (default["multi_fragment_rows"], default["rows_outside_dictionary"]) == (1, 1)
    assert default["rows_sharing_a_geometry"] == 2
    assert default["elements"] == {"C": 6, "H": 6, "O": 3, "Cl": 2, "N": 1, "Na": 1, "Ti": 1}
    assert default["words"]["rows_of"] == {1: 1, 2: 6, 3: 1}
    assert [default["words"][name] for name in ("min", "median", "max")] == [1, 2, 3]
    assert default["heavy_atoms"]["rows_of"] == {2: 1, 3: 2, 4: 1, 5: 1, 7: 3}
    assert default["text_license_url"] == {"None": 8}
    assert default["nulls"]["cid"] == 8
    assert default["match_level"] == {"inchikey": 8}


def test_values_shared_between_splits_are_counted(sound):
    shared = measure(sound)["configs"]["default"]["shared_between_splits"]
    assert shared["texts"] == {"train, validation": 0, "train, test": 1, "validation, test": 0}
    assert shared["scaffolds"] == {"train, validation": 1, "train, test": 0, "validation, test": 0}  # benzene
    assert set(shared["first_blocks"].values()) == set(shared["inchikeys"].values()) == {0}


def test_a_config_without_texts_has_no_figures_of_texts(sound):
    qm9 = measure(sound)["configs"]["qm9"]
    assert (qm9["rows"], qm9["scaffolds"]) == (3, 0)
    assert not {"distinct_texts", "words", "duplicate_rows", "text_kind"} & set(qm9)
    assert "texts" not in qm9["shared_between_splits"]


def test_training_on_what_another_config_holds_out_is_counted(sound):
    assert measure(sound)["trained_on_here_and_held_out_there"] == {
        "default/train, captioning/test": 1,
        "captioning/train, default/test": 1,
        "qm9/train, default/test": 1,
        "qm9/train, captioning/test": 1,
    }


@pytest.mark.parametrize("num_proc", [1, 2])
def test_neither_batches_nor_processes_change_anything(sound, monkeypatch, num_proc):
    whole = measure(sound)
    monkeypatch.setattr(BATCH, 2)
    assert measure(sound, num_proc) == whole


def test_molecules_of_one_connectivity_in_two_splits_are_a_leak(tmp_path):
    alanine, enantiomer = row(ALANINE), row(ENANTIOMER)
    report = measure(write(tmp_path, "default", train=[row("CCO"), alanine], validation=[row("C")], test=[enantiomer]))
    block = alanine["inchikey"][:14]
    assert faults(report) == {
        ("default", "inchikey14 is the same in train and test"): (1, [block]),
        ("default", "split_group is the same in train and test"): (1, [block]),
    }
    shared = report["configs"]["default"]["shared_between_splits"]
    assert (shared["first_blocks"]["train, test"], shared["inchikeys"]["train, test"]) == (1, 0)


def broken(smiles, change):
    entry = row(smiles)
    change(entry)
    return entry


def move_second_atom(entry):
    entry["positions"][1] = np.add(entry["positions"][0], [0.89, 0, 0]).tolist()


def test_each_planted_fault_is_found_with_its_row(tmp_path):
    far, near = row("CCCC"), row("CCCCC")
    near["further_positions"] = [np.array(near["positions"]).tolist()]
    near["further_positions"][0][1] = np.add(near["positions"][0], [0, 0, 0.5]).tolist()
    far["further_positions"] = [(2 * np.array(far["positions"])).tolist()]
    train = [
        row("CCO"),
        broken("CCC", move_second_atom),
        broken("CC", lambda entry: entry["positions"].pop()),
        far,
        broken("CCN", lambda entry: entry["positions"][2].__setitem__(1, float("nan"))),
        near,
        broken("CCF", lambda entry: entry.update(further_positions=[entry["positions"][1:]])),
        broken("CCS", lambda entry: entry.update(positions=[], atomic_numbers=[])),
    ]
    found = faults(measure(write(tmp_path, "default", train=train)))

    def at(*indices):
        return [f"default/train-00000-of-00001.parquet row {i}, {train[i]['inchikey']}" for i in indices]

    assert found == {
        ("default", CLASH_FAULT): (2, at(1, 5)),
        ("default", SHAPE_FAULT): (3, at(2, 6, 7)),
        ("default", NOT_FINITE_FAULT): (1, at(4)),
        ("default", "the geometry has not n_heavy heavy atoms"): (1, at(7)),
    }


def test_heavy_atoms_just_apart_and_hydrogens_do_not_clash(tmp_path):
    apart = row("CC", atomic_numbers=[6, 6, 1, 1], positions=[[0, 0, 0], [0, 0, 0.91], [0, 0, 0.5], [0, 0, 0.5]])
    assert measure(write(tmp_path, "default", train=[apart]))["faults"] == []
    alone = row("C", atomic_numbers=[6], positions=[[0, 0, 0]])
    assert measure(write(tmp_path, "default", train=[alone]))["faults"] == []


def test_faults_of_the_other_columns_are_found(tmp_path):
    train = [row("CCO", "fine"), row("CCN", "  "), row("CCF", None), row("CCCl", split="test"), row("CCBr", n_heavy=4)]
    train += [row("CCI", inchikey14="A" * 14), row("CCP", smiles="CC(P")]
    train += [row("CC", atomic_numbers=[6, 6, 0, 119, 1, 1, 1, 1])]
    report = measure(write(tmp_path, "default", train=train))
    assert {fault: count for (_, fault), (count, _) in faults(report).items()} == {
        "text is null": 1,
        "text is empty": 1,
        "split is not that of the file": 1,
        "the geometry has not n_heavy heavy atoms": 2,
        "inchikey14 is not the first block of inchikey": 1,
        "RDKit cannot read the SMILES": 1,
        "an atomic number is not one of 1 to 118": 1,
    }
    assert report["configs"]["default"]["rows"] == 8
    assert report["configs"]["default"]["inchikeys"] == 7  # without that of the row with a null


def test_only_so_many_rows_are_named_but_all_are_counted(tmp_path):
    train = [row("CCO", " ", geometry_id=str(index)) for index in range(12)]
    count, first = faults(measure(write(tmp_path, "default", train=train)))["default", "text is empty"]
    assert (count, len(first)) == (12, 10)


@pytest.mark.parametrize(("smiles", "numbers"), [("[Ti]", [22]), ("[Ti]", [6]), ("C", [22]), ("[Li]", [3]), ("C", [6])])
def test_an_element_of_either_smiles_or_geometry_counts(tmp_path, smiles, numbers):
    entry = row(smiles, atomic_numbers=numbers, positions=[[0.0, 0.0, 0.0]])
    report = measure(write(tmp_path, "default", train=[entry]))
    assert report["configs"]["default"]["rows_outside_dictionary"] == int(smiles == "[Ti]" or numbers == [22])


def test_the_dictionary_is_that_of_the_model():
    model = pytest.importorskip("modeling_geomclip.feature_extraction_geomclip")
    assert list(DICTIONARY) == [name for name in model.DICTIONARY.split() if not name.startswith("[")]


def test_points_need_not_be_of_fixed_size(tmp_path):
    good, bad = row("CCO", split="train"), row("CCN", split="train")
    bad["positions"][0] = bad["positions"][0][:2]
    entries = [{name: entry.get(name) for name in FEATURES} for entry in (good, bad)]
    schema = FEATURES.arrow_schema
    schema = schema.set(schema.get_field_index("positions"), pa.field("positions", pa.list_(pa.list_(pa.float32()))))
    file = tmp_path / "data" / "default" / "train-00000-of-00001.parquet"
    file.parent.mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist(entries, schema), file)
    assert {key: count for key, (count, _) in faults(measure(tmp_path)).items()} == {("default", SHAPE_FAULT): 1}


def test_files_of_other_columns_are_a_fault_and_not_measured(tmp_path):
    write(tmp_path, "default", train=[row("CCO")], test=[row("CCN")])
    file = tmp_path / "data" / "default" / "test-00000-of-00001.parquet"
    table = pq.read_table(file)
    flat = pa.array([[0.0, 1.0, 2.0]], pa.list_(pa.float32()))
    place = table.schema.get_field_index("positions")
    pq.write_table(table.drop_columns(["text"]).set_column(place - 1, "positions", flat), file)
    report = measure_quality(tmp_path, sample=5, seed=0, num_proc=1)
    assert [fault["fault"].split(";")[0] for fault in report["faults"]] == [
        "the file has no column text",
        "positions is list<element: float>, not numbers in lists",
    ]
    assert report["configs"]["default"]["splits"] == {"train": 1, "test": 0}
    assert len(report["geometry_comparison"]["molecules"]) == 1


def test_files_that_are_missing_or_broken_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no data/default/.*parquet"):
        data_files(tmp_path)
    file = write(tmp_path, "default", train=[row("CCO")]) / "data" / "default" / "train-00000-of-00001.parquet"
    first_of_two = file.rename(file.with_name("train-00000-of-00002.parquet"))
    with pytest.raises(FileNotFoundError, match="is one of 2, 1 are there"):
        measure(tmp_path)
    first_of_two.rename(file).write_bytes(file.read_bytes()[:-20] if file.exists() else b"PAR1")
    with pytest.raises(ValueError, match=r"train-00000-of-00001.parquet cannot be read.*build the folder again"):
        measure(tmp_path)


def test_report_page_and_plots_are_written(sound):
    pytest.importorskip("matplotlib")
    write(sound, "default", train=[broken("CCC", move_second_atom), row("CC(C)CO", "One."), row("CCO", "Two.")])
    report = write_quality(sound, sample=9, seed=0, num_proc=1)
    assert json.loads((sound / "quality_report.json").read_text(encoding="utf-8")) == json.loads(json.dumps(report))
    page = (sound / "QUALITY.md").read_text(encoding="utf-8")
    assert f"| default | {CLASH_FAULT} | 1 | default/train-00000-of-00001.parquet row 0, " in page
    assert "| rows | 5 | 2 | 3 |" in page
    assert "| not compared: it has fewer than 4 heavy atoms | 3 |" in page
    plots = sorted(plot.name for plot in (sound / "plots").iterdir())
    assert len(plots) == 5
    for plot in plots:
        assert f"](plots/{plot})" in page
        assert (sound / "plots" / plot).read_bytes().startswith(b"\x89PNG")
    lines = (sound / "geometry_comparison.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(lines) == 5
    assert sum(json.loads(line)["failure"] is None for line in lines) == 2


def test_without_matplotlib_nothing_is_begun(sound, monkeypatch):
    monkeypatch.setattr("dataset_pubchem3d.quality.plots.find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match="pip install matplotlib"):
        write_quality(sound)
    assert not (sound / "quality_report.json").exists()
