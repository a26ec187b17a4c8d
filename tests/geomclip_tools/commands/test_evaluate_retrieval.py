"""`geomclip evaluate retrieval` writes a results file."""

import json
import re

import numpy as np
import pandas as pd
from datasets import Dataset

from geomclip_tools.commands.evaluate_retrieval import main
from geomclip_tools.evaluation.retrieval import SCOPES


def test_from_checkpoint_to_results_file(model, processor, tmp_path, capsys):
    model.save_pretrained(tmp_path / "tiny")
    processor.save_pretrained(tmp_path / "tiny")
    rows = [{"text": text, "smiles": smiles} for text, smiles in (("ethanol", "CCO"), ("an amine", "CN"), ("it", "??"))]
    Dataset.from_list(rows * 2).to_csv(tmp_path / "pairs.csv", index=False)
    output = tmp_path / "results" / "retrieval.json"
    flags = {"model": tmp_path / "tiny", "dataset": tmp_path / "pairs.csv", "split": "train", "output": output}
    flags["ranks"] = tmp_path / "results" / "ranks.csv"
    words = [str(word) for name, value in flags.items() for word in (f"--{name}", value)]
    (tmp_path / "more.csv").write_text("smiles\nCCCO\nCCO\nOCCCC\n")
    main([*words, "--num-bootstrap", "10", "--further", str(tmp_path / "more.csv")])

    printed = capsys.readouterr().out
    assert "random positions" in printed
    assert "not evaluated: 2 molecules: " in printed
    record = json.loads(output.read_text())
    assert record["task"] == "retrieval"
    assert record["num_rows"] == 4
    assert [failure["row"] for failure in record["failures"]] == [2, 5]
    assert record["metrics"]["model"]["num_molecules"] == 2  # InChIKeys computed from SMILES
    assert record["metrics"]["model"]["num_further"] == 2  # without ethanol
    assert record["settings"]["dataset"] == "pairs.csv"
    assert record["settings"]["seed"] == 0
    assert record["command"].startswith("geomclip evaluate retrieval --model tiny --dataset pairs.csv --split train")
    assert set(record["versions"]) >= {"python", "torch", "transformers"}
    assert len(record["data_sha256"]) == 64
    assert str(tmp_path) not in output.read_text()
    assert record["git_commit"] is None or re.fullmatch("[0-9a-f]{40}(-dirty)?", record["git_commit"])
    assert all(np.isfinite(value) for row in record["metrics"].values() for value in row.values())
    ranks = pd.read_csv(flags["ranks"])
    assert ranks["molecule"].tolist() == ["LFQSCWFLJHTTHZ", "BAVYZALUXZFZLV"] * 2
    for scope in SCOPES:
        recalls = [(ranks[scope] <= rank).mean() for rank in (1, 5)]
        assert recalls == [record["metrics"]["model"][f"{scope}_recall_at_{rank}"] for rank in (1, 5)]
