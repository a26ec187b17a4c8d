"""The control towers end to end: two stages, retrieval and word queries."""

import json
from pathlib import Path

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModel

from research.experiments.other_towers import TOWERS, main

ROWS = [
    ("CCO", "ethanol, an alcohol"),
    ("CCCO", "propanol"),
    ("CCN", "an amine"),
    ("c1ccccc1", "an aromatic ring"),
    ("CC(=O)O", "an acid"),
    ("CC(=O)OCC", "an ester"),
    ("C1CC1", "a small ring"),
    ("CCCl", "a salt of none"),
]


@pytest.fixture
def flags(processor, text_config, tmp_path) -> list[str]:
    AutoModel.from_config(text_config).save_pretrained(tmp_path / "text")
    processor.tokenizer.save_pretrained(tmp_path / "text")
    shape = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 4, "intermediate_size": 32}
    (tmp_path / "tower.json").write_text(json.dumps(shape))
    pd.DataFrame(ROWS, columns=["smiles", "text"]).to_csv(tmp_path / "pairs.csv", index=False)
    settings = {
        "dataset": tmp_path / "pairs.csv",
        "text_model": tmp_path / "text",
        "geometry_model": tmp_path / "tower.json",
        "validation_split": "train",
        "num_train_epochs": 1,
        "batch_size": 4,
        "learning_rate": 1e-3,
        "text_target_weight": 0.1,
        "split": "train",
    }
    return [f"--{name}={value}" for name, value in settings.items()]


@pytest.mark.parametrize("tower", TOWERS)
def test_two_stages_and_what_they_find(flags, tower, tmp_path):
    words = [*flags, f"--tower={tower}", f"--output={tmp_path / 'retrieval.json'}"]
    main([*words, f"--output_dir={tmp_path / 'first'}"])
    (tmp_path / "blocks.txt").write_text("LFQSCWFLJHTTHZ\nLVZWSLJZHVFIQJ\n")  # ethanol and cyclopropane
    searched = ["--words", str(tmp_path / "pairs.csv"), str(tmp_path / "blocks.txt"), str(tmp_path / "words.json")]
    second = [*words, f"--output_dir={tmp_path / 'second'}", f"--start={tmp_path / 'first'}", "--learning_rate=1e-12"]
    main([*second, f"--ranks={tmp_path / 'ranks.csv'}", *searched])
    weights = [load_file(Path(tmp_path, name, "model.safetensors")) for name in ("first", "second")]
    assert weights[0].keys() == weights[1].keys()
    assert all(torch.allclose(weights[0][name], weights[1][name], atol=1e-6) for name in weights[0])  # --start
    folders = [str(tmp_path / name) for name in ("first", "second")]
    main([*words, f"--output_dir={tmp_path / 'mean'}", "--mean_of", *folders])
    mean = load_file(tmp_path / "mean" / "model.safetensors")
    assert all(torch.allclose(mean[name], (weights[0][name] + weights[1][name]) / 2, atol=1e-7) for name in mean)
    record = json.loads((tmp_path / "retrieval.json").read_text())
    assert record["num_rows"] == len(ROWS) == len(pd.read_csv(tmp_path / "ranks.csv"))
    found = json.loads((tmp_path / "words.json").read_text())
    assert found["num_molecules"] == 2
    assert found["settings"]["dataset"] == "pairs.csv"
    assert 0.5 <= found["metrics"]["all"]["average_precision"] <= 1
