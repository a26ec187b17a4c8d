"""`geomclip evaluate word_queries` writes a results file."""

import json

import numpy as np
import pandas as pd
import pytest

from geomclip_tools.commands.evaluate_word_queries import main, read_blocks
from geomclip_tools.evaluation.word_queries import WORD_QUERIES

SMILES = ["CCO", "OB(O)c1ccccc1", "OCC", "??", "CC(C)O", "OC(=O)CCl"]
KEYS = ["LFQSCWFLJHTTHZ", "HXITXNWTGFUOAU", "LFQSCWFLJHTTHZ", "A" * 14, "KFZMGEQAYNKOFK", "FOCAUTSVDIKZOP"]


@pytest.fixture
def flags(model, processor, tmp_path) -> dict:
    model.save_pretrained(tmp_path / "tiny")
    processor.save_pretrained(tmp_path / "tiny")
    pd.DataFrame({"smiles": SMILES, "inchikey14": KEYS}).to_csv(tmp_path / "molecules.csv", index=False)
    return {
        "model": tmp_path / "tiny",
        "dataset": tmp_path / "molecules.csv",
        "split": "train",
        "output": tmp_path / "results" / "words.json",
        "num_bootstrap": 10,
    }


def call(flags: dict) -> dict:
    main([str(word) for name, value in flags.items() for word in (f"--{name}", value)])
    return json.loads(flags["output"].read_text())


def test_from_checkpoint_to_results_file(flags, tmp_path, capsys):
    record = call(flags | {"details": tmp_path / "results" / "details.csv"})
    printed = capsys.readouterr().out
    assert printed.startswith("| queries ")
    for group in ("described", "unseen", "all"):
        assert (f"| {group}, " in printed) == (group in record["metrics"])
    assert "searched: 4 molecules" in printed
    assert "skipped: 1 row of a molecule that occurs in an earlier row" in printed
    assert "not evaluated: 1 molecule: " in printed
    assert record["task"] == "word_queries"
    assert (record["num_molecules"], record["num_repeated"], record["num_unknown"]) == (4, 1, 0)
    assert [failure["row"] for failure in record["failures"]] == [3]  # the table
    assert record["settings"]["dataset"] == "molecules.csv"
    assert record["command"].startswith("geomclip evaluate word_queries --model tiny --dataset molecules.csv")
    assert len(record["data_sha256"]) == 64
    assert str(tmp_path) not in flags["output"].read_text()
    assert all(np.isfinite(value) for row in record["metrics"].values() for value in row.values())
    details = pd.read_csv(tmp_path / "results" / "details.csv")
    assert details["text"].tolist() == [query.text for query in WORD_QUERIES]
    boron = details[details["text"] == "contains boron"].iloc[0]
    assert (boron["num_right"], boron["prevalence"]) == (1, 0.25)
    assert details[details["num_right"] == 0]["average_precision"].isna().all()


def test_only_the_molecules_of_a_list(flags, tmp_path, capsys):
    (tmp_path / "blocks.txt").write_text("HXITXNWTGFUOAU\n\nKFZMGEQAYNKOFK \nZZZZZZZZZZZZZZ\n")
    record = call(flags | {"molecules": tmp_path / "blocks.txt"})
    printed = capsys.readouterr().out
    assert "searched: 2 molecules" in printed
    assert "skipped" not in printed
    assert f"not in the dataset: 1 molecule of {tmp_path / 'blocks.txt'}" in printed
    assert (record["num_molecules"], record["num_repeated"], record["num_unknown"]) == (2, 0, 1)
    assert record["settings"]["molecules"] == "blocks.txt"
    assert record["failures"] == []


def test_a_list_that_fits_no_row(flags, tmp_path):
    (tmp_path / "blocks.txt").write_text("ZZZZZZZZZZZZZZ\n")
    with pytest.raises(ValueError, match="has none of the 1 molecules to search"):
        call(flags | {"molecules": tmp_path / "blocks.txt"})
    (tmp_path / "blocks.txt").write_text("\n \n")
    with pytest.raises(ValueError, match="has no first block of an InChIKey"):
        read_blocks(str(tmp_path / "blocks.txt"))
    with pytest.raises(OSError, match="nowhere"):
        read_blocks("nowhere.txt")


def test_the_column_smiles_is_needed(flags, tmp_path):
    frame = pd.DataFrame({"atomic_numbers": ["[6, 8]"], "positions": ["[[0, 0, 0], [1.4, 0, 0]]"]})
    frame.to_csv(tmp_path / "molecules.csv", index=False)
    with pytest.raises(ValueError, match="it needs 'smiles'"):
        call(flags)
