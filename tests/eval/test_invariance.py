"""The measures see what they name on a stub that reads everything, and little on a real tower."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from datasets import Dataset

from eval.invariance import evaluate_invariance, format_changes, main, move_an_atom, permute_atoms, rotate

SMILES = ["CCO", "CCCCN", "c1ccccc1O", "C", "CC(=O)O", "CCCCCCCC"]


@pytest.fixture
def pairs() -> Dataset:
    return Dataset.from_list([{"text": "it", "smiles": smiles} for smiles in SMILES])


class Careless:
    """Reads raw coordinates, the order of atoms, and the width of the batch."""

    device = torch.device("cpu")

    def get_geometry_features(self, atom_ids, positions, atom_mask):
        order = torch.arange(positions.shape[1])[:, None]
        width = positions.new_full((len(positions), 1), positions.shape[1])
        read = torch.cat([(positions * order).sum(1), width], dim=1)
        return SimpleNamespace(pooler_output=torch.nn.functional.normalize(read, dim=-1))


def test_a_careless_model_is_found_out(pairs, processor):
    changes = evaluate_invariance(Careless(), processor, pairs, batch_size=3, seed=0)["largest_change"]
    assert len(changes) == 5
    assert min(changes.values()) > 1e-2, changes


def test_a_real_tower_passes(pairs, processor, model):
    evaluation = evaluate_invariance(model, processor, pairs, batch_size=3, seed=0)
    assert max(evaluation["largest_change"].values()) < 1e-5
    assert evaluation["smallest_change_of_moved_atom"] > 1e-4
    assert evaluation["mean_cosine_distance"] > 0
    assert evaluation["num_rows"] == 6
    assert all(name in format_changes(evaluation) for name in evaluation["largest_change"])


def test_changes_are_what_they_are_called(processor):
    molecules = dict(processor(molecules=SMILES, return_tensors="pt"))
    random = np.random.default_rng(0)
    distances = torch.cdist(molecules["positions"], molecules["positions"])
    rotated = rotate(molecules, random)["positions"]
    torch.testing.assert_close(torch.cdist(rotated, rotated), distances, rtol=0, atol=1e-4)
    assert (rotated - molecules["positions"]).abs().max() > 0.1
    permuted = permute_atoms(molecules, random)
    assert not torch.equal(permuted["positions"], molecules["positions"])
    for a, b in zip(permuted["positions"], molecules["positions"]):
        assert sorted(a[:, 0].tolist()) == sorted(b[:, 0].tolist())
    moved = (move_an_atom(molecules, random, 0.3)["positions"] - molecules["positions"]).norm(dim=-1)
    torch.testing.assert_close(moved.sum(dim=1), torch.full((6,), 0.3))
    assert ((moved > 0) <= molecules["atom_mask"]).all()


def test_command(pairs, processor, model, tmp_path, monkeypatch, capsys):
    for part in (model, processor):
        part.save_pretrained(tmp_path / "geomclip")
    pairs.to_parquet(tmp_path / "pairs.parquet")
    words = ["--model", str(tmp_path / "geomclip"), "--dataset", str(tmp_path / "pairs.parquet"), "--split", "train"]
    monkeypatch.setattr("sys.argv", ["invariance.py", *words, "--output", str(tmp_path / "out.json")])
    main()
    record = json.loads((tmp_path / "out.json").read_text())
    assert record["task"] == "invariance"
    assert "rotation" in capsys.readouterr().out
