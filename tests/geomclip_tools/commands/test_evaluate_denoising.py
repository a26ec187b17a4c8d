"""`geomclip evaluate denoising` writes a results file."""

import json

import pytest
from datasets import Dataset

from geomclip_tools.commands.evaluate_denoising import main


def test_from_checkpoint_to_results_file(pretraining_model, processor, tmp_path, capsys):
    pretraining_model.save_pretrained(tmp_path / "tiny")
    processor.save_pretrained(tmp_path / "tiny")
    pairs = Dataset.from_list([{"text": "it", "smiles": smiles} for smiles in ("CCO", "CCCCN", "CC(=O)O")])
    pairs.to_parquet(tmp_path / "pairs.parquet")
    output = tmp_path / "denoising.json"
    flags = {"model": tmp_path / "tiny", "dataset": tmp_path / "pairs.parquet", "split": "train", "output": output}
    words = [str(word) for name, value in flags.items() for word in (f"--{name}", value)]
    main(words)
    record = json.loads(output.read_text())
    assert record["task"] == "denoising"
    assert f"{record['noised_coordinate_loss']:.4f}" in capsys.readouterr().out
    assert record["relative_reduction"] == pytest.approx(
        1 - record["coordinate_loss"] / record["noised_coordinate_loss"]
    )
    assert str(tmp_path) not in output.read_text()
