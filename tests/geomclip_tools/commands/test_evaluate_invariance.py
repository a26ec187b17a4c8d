"""`geomclip evaluate invariance` writes a results file."""

import json

from datasets import Dataset

from geomclip_tools.commands.evaluate_invariance import main


def test_from_checkpoint_to_results_file(processor, model, tmp_path, capsys):
    for part in (model, processor):
        part.save_pretrained(tmp_path / "geomclip")
    pairs = Dataset.from_list([{"text": "it", "smiles": smiles} for smiles in ("CCO", "CCCCN", "CC(=O)O")])
    pairs.to_parquet(tmp_path / "pairs.parquet")
    words = ["--model", str(tmp_path / "geomclip"), "--dataset", str(tmp_path / "pairs.parquet"), "--split", "train"]
    main([*words, "--output", str(tmp_path / "out.json")])
    record = json.loads((tmp_path / "out.json").read_text())
    assert record["task"] == "invariance"
    assert "rotation" in capsys.readouterr().out
