"""Load the rows of datasets: columns, rejected rows and ids."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from datasets import Dataset, Value

from geomclip_tools.training.data import ROWS_OF_A_DATASET, draw_conformer, load_prepared, load_training_rows
from geomclip_tools.training.identity import hash_id
from geomclip_tools.training.sampling import sample_rows
from geomclip_tools.training.tasks.pretrain import Pretraining, PretrainSettings
from modeling_geomclip import MISSING_ID

TABLE = 'smiles,text,source\nCCO,ethanol,a\nC1CC,broken,a\nCO,methanol,\n"C[C@H](N)O",an amine,b\n'


@pytest.fixture
def task(tmp_path) -> Callable[..., Pretraining]:
    """Build a task on the table, with some attributes changed."""
    (tmp_path / "pairs.csv").write_text(TABLE)
    (tmp_path / "out").mkdir()
    settings = PretrainSettings(dataset=str(tmp_path / "pairs.csv"), output_dir=str(tmp_path / "out"))

    def build(**changed) -> Pretraining:
        task = Pretraining(settings)
        vars(task).update(changed)
        return task

    return build


def rejected(settings: PretrainSettings, split: str) -> list[dict]:
    listing = Path(settings.output_dir) / f"rejected-{split}.jsonl"
    return [json.loads(line) for line in listing.read_text().splitlines()]


def test_rows_have_geometry_key_and_the_columns_asked_for(task, processor):
    rows = load_prepared(task(columns=("text", "source")), processor.feature_extractor, "train")
    assert rows["text"][:] == ["ethanol", "methanol", "an amine"]
    assert rows["source"][:] == ["a", None, "b"]
    assert rows["inchikey14"][:2] == ["LFQSCWFLJHTTHZ", "OKKJLVBELUTLKV"]  # ethanol, methanol
    assert rows["row_id"][:] == [0, 2, 3]  # row numbers in the table
    assert rows["atomic_numbers"][1] == [6, 8]  # the heavy atoms of methanol
    assert len(rows["positions"][1]) == 2
    assert "smiles" not in rows.column_names
    with pytest.raises(ValueError, match="it needs 'text' and 'inchikey'"):
        load_prepared(task(columns=("text", "inchikey")), processor.feature_extractor, "train")


def test_hydrogens_are_kept_where_the_extractor_reads_them(task, processor):
    processor.feature_extractor.remove_hydrogens = False
    rows = load_prepared(task(), processor.feature_extractor, "train")
    assert sorted(rows["atomic_numbers"][1]) == [1, 1, 1, 1, 6, 8]  # methanol


def test_the_molecule_may_be_another_than_that_of_the_coordinates(task, processor):
    rows = load_prepared(task(take_molecule=lambda row: "CCC"), processor.feature_extractor, "train")
    assert rows["atomic_numbers"][:] == [[6, 6, 6]] * 3  # one of four rows is faulty


@pytest.mark.parametrize("first", ["C1CC", "CO"])
def test_rows_that_are_unlike_a_thousand_before_them_are_read(task, processor, first):
    """`datasets` writes a thousand rows at a time, and would infer the types from the first thousand."""
    other = {"C1CC": "CO", "CO": "C1CC"}[first]
    rows = "".join(f"{first},text,\n" for _ in range(1001)) + f"{other},text,source\n"
    Path(task().settings.dataset).write_text(f"smiles,text,source\n{rows}")
    read = load_prepared(task(columns=("text", "source")), processor.feature_extractor, "train")
    assert read["row_id"][:] == ([1001] if other == "CO" else list(range(1001)))
    assert read["source"][0] == ("source" if other == "CO" else None)
    refused = [failure["row"] for failure in rejected(task().settings, "train")]
    assert refused == ([1001] if other == "C1CC" else list(range(1001)))


def test_molecules_that_cannot_be_read_are_listed(task, processor, caplog):
    load_prepared(task(), processor.feature_extractor, "train")
    (failure,) = rejected(task().settings, "train")
    assert failure["row"] == 1
    assert "C1CC" in failure["reason"]
    assert "1 of 4 rows of train are skipped" in caplog.text


def test_the_listing_is_named_by_the_split_and_absent_without_failures(task, processor):
    load_prepared(task(), processor.feature_extractor, "train[1:3]")
    assert [failure["row"] for failure in rejected(task().settings, "train-1-3-")] == [0]  # row number in the slice
    load_prepared(task(), processor.feature_extractor, "train[2:]")
    assert len(list(Path(task().settings.output_dir).iterdir())) == 1


def test_what_a_task_derives_becomes_columns_and_what_it_refuses_is_listed(task, processor):
    def derive(row: dict, molecule: dict) -> dict:
        if row["source"] == "b":
            raise ValueError("no sources b")
        return {"num_atoms": len(molecule["atomic_numbers"])}

    rows = load_prepared(
        task(derived_columns={"num_atoms": Value("int64")}, derive=derive), processor.feature_extractor, "train"
    )
    assert rows["num_atoms"][:] == [3, 2]
    assert [failure["reason"] for failure in rejected(task().settings, "train")][1:] == ["no sources b"]


def test_molecules_that_are_too_large_are_listed(task, processor):
    processor.feature_extractor.max_atoms = 2  # heavy atoms
    rows = load_prepared(task(), processor.feature_extractor, "train")
    assert rows["text"][:] == ["methanol"]
    assert [failure["row"] for failure in rejected(task().settings, "train")] == [0, 1, 3]


def test_ids_are_stable_non_negative_int64():
    values = [str(number) for number in range(100)]
    assert len({*map(hash_id, values)}) == 100
    assert 0 <= min(map(hash_id, values)) <= max(map(hash_id, values)) < 2**63
    # sha256("abc") begins with ba7816bf8f01cfea (FIPS 180-2, appendix B.1)
    assert hash_id("abc") == 0xBA7816BF8F01CFEA >> 1
    assert hash_id(None) == MISSING_ID


def test_fewer_rows_are_part_of_more_and_keep_their_places(task, processor):
    places = sample_rows(1000, 300)
    assert places[:100] == sample_rows(1000, 100) == sample_rows(1000, 100)
    assert len({*places}) == 300
    assert max(places) > 900  # not only the first rows
    assert sample_rows(5, None) == [0, 1, 2, 3, 4]
    for limit in (0, 6):
        with pytest.raises(ValueError, match=f"cannot sample {limit} of 5 rows"):
            sample_rows(5, limit)
    chains = "".join(f"{'C' * length},{length}\n" for length in range(1, 40))
    Path(task().settings.dataset).write_text("smiles,text\n" + chains + "C1,broken\n" * 40)
    rows = load_prepared(task(), processor.feature_extractor, "train", limit=30)
    expected = sample_rows(79, 30)
    assert rows["row_id"][:] == [place for place in expected if place < 39]
    assert rows["text"][:] == [str(place + 1) for place in rows["row_id"]]
    assert [failure["row"] for failure in rejected(task().settings, "train")] == [
        place for place in expected if place >= 39
    ]


def test_rows_without_text_are_listed_where_text_is_wanted(task, processor):
    Path(task().settings.dataset).write_text('smiles,text\nCCO,\nCO,methanol\nCN,"  "\n')
    assert load_prepared(task(), processor.feature_extractor, "train")["text"][:] == ["methanol"]
    assert [(failure["row"], failure["reason"]) for failure in rejected(task().settings, "train")] == [
        (0, "the text is empty"),
        (2, "the text is empty"),
    ]
    assert len(load_prepared(task(columns=()), processor.feature_extractor, "train")) == 3


# ---------------------------------------------------------------------------------------- conformers and mixed datasets


def save_ethanols(path: Path, number: int = 3) -> None:
    """Save ethanol, whose oxygen moves between conformers and follows a hydrogen, and methane with one conformer."""
    others = [[0.0, 0, 0], [1.5, 0, 0], [2.0, 1.0, 0]]
    conformers = [[*others, [2.2, -1.4 + 0.01 * place, 0.0]] for place in range(number)]
    ethanol = {"atomic_numbers": [6, 6, 1, 8], "positions": conformers[0], "further_positions": conformers[1:]}
    methane = {"atomic_numbers": [6], "positions": [[0.0, 0, 0]], "further_positions": []}
    Dataset.from_list([ethanol | {"text": "ethanol"}, methane | {"text": "methane"}]).to_parquet(path)


def test_further_conformers_have_the_atoms_of_the_first(task, processor, tmp_path):
    save_ethanols(tmp_path / "ethanols.parquet", 4)
    changed = {"dataset": str(tmp_path / "ethanols.parquet"), "num_conformers": 3}
    settings = dataclasses.replace(task().settings, **changed)
    prepared = load_prepared(task(settings=settings), processor.feature_extractor, "train")
    assert [np.shape(further) for further in prepared["further_positions"]] == [(2, 3, 3), (0,)]  # without hydrogens
    oxygens = [further[2][1] for further in prepared["further_positions"][0]]
    assert oxygens == pytest.approx([-1.39, -1.38])
    assert prepared["positions"][0][2][1] == pytest.approx(-1.4)
    other = task(take_molecule=lambda row: "CCO", settings=settings)
    given = load_prepared(other, processor.feature_extractor, "train")
    assert given["further_positions"][:] == [[], []]  # the conformers of the row have other atoms than the SMILES


def test_a_conformer_is_drawn_by_seed_epoch_and_row():
    row = {"row_id": 5, "positions": "first", "further_positions": ["second", "third"], "text": "a text"}
    drawn = [draw_conformer(row, 0, epoch)["positions"] for epoch in range(300)]
    assert all(70 < drawn.count(positions) < 130 for positions in ("first", "second", "third"))
    assert drawn == [draw_conformer(row, 0, epoch)["positions"] for epoch in range(300)]
    assert drawn != [draw_conformer(row, 1, epoch)["positions"] for epoch in range(300)]
    assert drawn != [draw_conformer(row | {"row_id": 6}, 0, epoch)["positions"] for epoch in range(300)]
    assert draw_conformer(row, 0, 1)["text"] == "a text"
    for alone in ({"row_id": 5, "positions": "first"}, {"row_id": 5, "positions": "first", "further_positions": []}):
        assert draw_conformer(alone, 0, 3) is alone


def test_datasets_lie_one_after_another_with_ids_of_their_own(task, processor, tmp_path):
    save_ethanols(tmp_path / "ethanols.parquet")
    settings = dataclasses.replace(task().settings, further_datasets=[str(tmp_path / "ethanols.parquet")])
    rows, sizes = load_training_rows(task(settings=settings), processor.feature_extractor)
    assert sizes == [3, 2]
    assert rows["text"][:] == ["ethanol", "methanol", "an amine", "ethanol", "methane"]
    assert rows["row_id"][:] == [0, 2, 3, ROWS_OF_A_DATASET, ROWS_OF_A_DATASET + 1]
    assert [failure["row"] for failure in rejected(settings, "train")] == [1]
    bad = dataclasses.replace(settings, further_datasets=[settings.dataset])
    load_training_rows(task(settings=bad), processor.feature_extractor)
    assert [failure["row"] for failure in rejected(bad, "train-2")] == [1]
    (tmp_path / "empty.csv").write_text("smiles,text\nC1CC,broken\n")
    empty = dataclasses.replace(settings, further_datasets=[str(tmp_path / "empty.csv")])
    with pytest.raises(ValueError, match=r"no row of .*empty\.csv can be used"):
        load_training_rows(task(settings=empty), processor.feature_extractor)
