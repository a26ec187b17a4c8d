"""One table with one row per fault: building, training and evaluation reject the same rows for the same reasons."""

import json
from pathlib import Path

import pytest

from dataset_pubchem3d.build import build
from dataset_pubchem3d.pairs import ROW_FAULT, load_pairs
from dataset_pubchem3d.recipe import Recipe
from geomclip_tools.evaluation.conformers import average_over_conformers, read_molecules_of
from geomclip_tools.training.data import load_prepared
from geomclip_tools.training.tasks.pretrain import Pretraining, PretrainSettings

ETHANOL_KEY = "LFQSCWFLJHTTHZ-UHFFFAOYSA-N"
ETHANOL = '"[6, 6, 8]","[[0, 0, 0], [1.5, 0, 0], [2.0, 1.3, 0]]"'
NITROGEN = '"[6, 7, 8]","[[0, 0, 0], [1.5, 0, 0], [2.0, 1.3, 0]]"'
HEAD = "Canonical_SMILES,InChIKey,Description,atomic_numbers,positions"
ROWS = (  # each with the reason for its rejection, if any
    (f"CCO,{ETHANOL_KEY},Ethanol is an alcohol.,{ETHANOL}", ""),
    ("CCO,,Ethanol from K\xf6ln.,,", "the row is damaged"),
    ('CCO,,"Ethanol" is an alcohol.,,', "the row is damaged"),
    ("CO,,Methanol has no coordinates.,,", ""),
    ("CCN,,#N/A,,", "the text is empty"),
    ("CCN,, ,,", "the text is empty"),
    ("C1CC,,A broken ring.,,", "RDKit cannot read the SMILES"),
    (f"CCCO,{ETHANOL_KEY},Propanol is called ethanol.,,", "InChIKey and structure are of different molecules"),
    ('CCN,,"Ethylamine is a base,\nin two lines.",,', ""),
    (f"CCO,,The coordinates have a nitrogen.,{NITROGEN}", "the coordinates are of another molecule"),
    ('CCO,,The coordinates are no list.,"[6, 6, 8]",0 0 0', "a cell is not a list of numbers"),
    ('CCO,,The coordinates are too few.,"[6, 6, 8]","[[0, 0, 0]]"', "numbers of atoms and positions differ"),
    ('CCO,,The coordinates are missing.,"[6, 6, 8]",', "no positions"),
    ("CCO,,Ethanol has too few cells.", "the row does not fit the header of its table"),
    ("#NAME?,,Formaldehyde has lost its SMILES.,,", "neither a structure nor a CID"),
    ("c1ccccc1,,Benzene is aromatic.,,", ""),
)
FAULTY = {number: reason for number, (_, reason) in enumerate(ROWS) if reason}
WHOLE = [number for number in range(len(ROWS)) if number not in FAULTY]


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")


@pytest.fixture
def table(tmp_path) -> Path:
    (tmp_path / "mine.csv").write_text("\n".join([HEAD, *(row for row, _ in ROWS), ""]), encoding="latin-1")
    return tmp_path / "mine.csv"


def assert_reasons(found: dict[int, str]) -> None:
    assert list(found) == list(FAULTY)
    for number, reason in FAULTY.items():
        assert found[number].startswith(reason)


def test_the_builder_quarantines_each_once(table, tmp_path):
    report = build(Recipe.from_table(str(table), split_sizes=(1, 0, 0)), tmp_path / "out")
    files = list((tmp_path / "out" / "quarantine").glob("*.jsonl"))
    refused = [json.loads(line) for file in files for line in file.read_text().splitlines()]
    assert {record["source"] for record in refused} == {"table"}
    assert len(refused) == len(FAULTY)
    found = {int(record["id"].removeprefix("row ")): record["reason"] for record in refused}
    assert found == FAULTY
    assert report["configs"]["default"]["train"] == len(WHOLE)
    assert report["rows_by"]["geometry_source"] == {"rdkit": len(WHOLE) - 1, "table": 1}
    damaged = next(record for record in refused if record["id"] == "row 1")
    assert damaged["detail"].startswith("mine.csv: line 3 holds byte 0xf6, which is not valid utf-8; pass the encoding")


def test_training_and_evaluation_reject_the_same(table, tmp_path, processor):
    settings = PretrainSettings(dataset=str(table), output_dir=str(tmp_path))
    rows = load_prepared(Pretraining(settings), processor.feature_extractor, "train")
    assert rows["row_id"][:] == WHOLE
    lines = (tmp_path / "rejected-train.jsonl").read_text().splitlines()
    assert_reasons({line["row"]: line["reason"] for line in map(json.loads, lines)})

    pairs = load_pairs(str(table), "train")
    records, failures = read_molecules_of(processor, pairs)
    assert [record["index"] for record in records] == WHOLE
    assert_reasons({failure["row"]: failure["reason"] for failure in failures})
    assert_reasons({number: fault for number, fault in enumerate(pairs[ROW_FAULT]) if fault})


def test_conformers_are_made_of_the_others_alone(table, processor):
    pairs = load_pairs(str(table), "train")
    _, kept, failures = average_over_conformers(lambda records: [[1.0]] * len(records), processor, pairs, "rdkit")
    assert kept.tolist() == WHOLE
    assert_reasons({failure["row"]: failure["reason"] for failure in failures})


def test_the_encoding_mends_what_is_only_misread(table, tmp_path, processor):
    settings = PretrainSettings(dataset=str(table), output_dir=str(tmp_path), encoding="latin-1")
    rows = load_prepared(Pretraining(settings), processor.feature_extractor, "train")
    assert rows["row_id"][:] == sorted([*WHOLE, 1])
    assert rows["text"][1] == "Ethanol from Köln."
    build(Recipe.from_table(str(table), "latin-1", split_sizes=(1, 0, 0)), tmp_path / "out")
    lines = (tmp_path / "out" / "quarantine" / "texts_table.jsonl").read_text().splitlines()
    assert [json.loads(line)["id"] for line in lines] == [f"row {number}" for number in FAULTY if number != 1]
