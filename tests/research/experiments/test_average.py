"""The average of runs is a checkpoint with the mean weights and a record of the runs."""

import json

import pytest
import torch
from average import average
from transformers import AutoModel

from geomclip_tools.records import RECORD


@pytest.fixture
def runs(pretraining_model, processor, tmp_path):
    """Write two checkpoint folders of runs with seeds 3 and 4."""
    for seed in (3, 4):
        folder = tmp_path / f"seed_{seed}"
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for weight in pretraining_model.parameters():
                weight += 0.1 * torch.randn(weight.shape, generator=generator)
        pretraining_model.save_pretrained(folder)
        processor.save_pretrained(folder)
        record = {"dataset": "org/pubchem3d", "seed": seed, "output_dir": str(folder), "seconds": 60.0 * seed}
        (folder / RECORD).write_text(json.dumps(record | {"hardware": "a CPU", "model": None}))
    return [tmp_path / "seed_3", tmp_path / "seed_4"]


def test_weights_are_the_mean_of_the_runs(runs, tmp_path):
    average(runs, tmp_path / "mean")
    first, second, mean = (AutoModel.from_pretrained(folder).state_dict() for folder in (*runs, tmp_path / "mean"))
    assert first.keys() == mean.keys()
    for name, weight in mean.items():
        torch.testing.assert_close(weight, (first[name].double() + second[name].double()).div(2).to(weight.dtype))
    assert any(not torch.equal(first[name], mean[name]) for name in mean)
    card = (tmp_path / "mean" / "README.md").read_text()
    assert "mean of 2 runs with the seeds 3 and 4" in card
    assert "Training took 7 minutes" in card


def test_runs_that_were_trained_otherwise_are_refused(runs, tmp_path):
    record = json.loads((runs[1] / RECORD).read_text())
    (runs[1] / RECORD).write_text(json.dumps(record | {"learning_rate": 1e-3}))
    with pytest.raises(ValueError, match=r"seed_4 and .*seed_3 differ in learning_rate; pass runs that differ only in"):
        average(runs, tmp_path / "mean")
    assert not (tmp_path / "mean").exists()
