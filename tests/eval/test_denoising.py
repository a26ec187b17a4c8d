"""The sums by hand on a stub, and on a tiny real model that its noise depends on nothing but seed, draw and row."""

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from datasets import Dataset

from eval import denoising
from eval.denoising import check_heads, evaluate_denoising, noise_seed
from modeling_geomclip import GeomCLIPForPropertyPrediction

SMILES = ["CCO", "CCCCN", "c1ccccc1O", "C", "CC(=O)O", "CCCCCCCC"]


@pytest.fixture
def pairs() -> Dataset:
    return Dataset.from_list([{"text": "it", "smiles": smiles} for smiles in SMILES])


class StubModel(torch.nn.Module):
    """Chooses all atoms of molecules of at least three; one of n atoms has loss n, and its noised input 2 n²."""

    device = torch.device("cpu")

    def __init__(self):
        super().__init__()
        self.seeds = []

    def denoise(self, atom_ids, positions, atom_mask, noise_seeds):
        assert len(noise_seeds) == len(atom_ids)
        sizes = atom_mask.sum(dim=1)
        self.seeds += zip(sizes.tolist(), noise_seeds.tolist(), strict=True)
        chosen = sizes * (sizes >= 3)
        total = chosen.sum().clamp(min=1)
        return SimpleNamespace(
            coordinate_loss=(chosen * sizes).sum() / total,
            noised_coordinate_loss=(chosen * 2 * sizes**2).sum() / total,
            num_chosen=chosen.sum(),
        )


@pytest.mark.parametrize("pair_budget", [1, 150, 10_000])
def test_losses_are_means_over_all_chosen_atoms_of_all_batches(pairs, processor, pair_budget):
    evaluation = evaluate_denoising(StubModel(), processor, pairs, 0, 3, pair_budget)
    sizes = torch.tensor([3.0, 5, 7, 4, 8])
    assert evaluation["num_chosen"] == 3 * sizes.sum()
    assert evaluation["coordinate_loss"] == pytest.approx((sizes**2).sum() / sizes.sum())
    assert evaluation["noised_coordinate_loss"] == pytest.approx((2 * sizes**3).sum() / sizes.sum())
    assert evaluation["relative_reduction"] == pytest.approx(1 - (sizes**2).sum() / (2 * sizes**3).sum())
    assert evaluation["num_rows"] == 6


def test_every_molecule_and_draw_has_its_own_noise_in_any_batch(pairs, processor):
    runs = []
    for pair_budget in (1, 300):
        model = StubModel()
        evaluate_denoising(model, processor, pairs, 5, 2, pair_budget)
        runs.append(sorted(model.seeds))
    assert runs[0] == runs[1]
    assert len({seed for _, seed in runs[0]}) == 12
    assert all(0 <= seed < 2**63 for _, seed in runs[0])
    assert noise_seed(5, 0, 1) != noise_seed(6, 0, 1)


def test_nothing_to_noise_is_refused(processor):
    pairs = Dataset.from_list([{"text": "methane", "smiles": "C"}])
    with pytest.raises(ValueError, match="no atom of 1 molecules in 2 draws was noised"):
        evaluate_denoising(StubModel(), processor, pairs, seed=0, num_draws=2)


def test_the_real_tower_has_the_same_losses_in_any_batch(pairs, model, processor):
    one, all_together = (evaluate_denoising(model, processor, pairs, 1, 2, budget) for budget in (1, 10_000))
    assert (
        one["num_chosen"] == all_together["num_chosen"] >= 2 * 5
    )  # at least one atom of each molecule of three or more
    for name in ("coordinate_loss", "noised_coordinate_loss"):
        assert one[name] == pytest.approx(all_together[name], rel=1e-5)
    other_noise = evaluate_denoising(model, processor, pairs, seed=2, num_draws=2)
    assert other_noise["noised_coordinate_loss"] != pytest.approx(one["noised_coordinate_loss"], rel=1e-3)


def test_the_noised_loss_is_that_of_the_noise_and_not_of_the_model(pairs, model, processor):
    first = evaluate_denoising(model, processor, pairs, seed=1, num_draws=1)
    with torch.no_grad():
        for parameter in model.geometry_model.parameters():
            parameter.mul_(1.5).add_(0.01)
    second = evaluate_denoising(model, processor, pairs, seed=1, num_draws=1)
    assert second["noised_coordinate_loss"] == first["noised_coordinate_loss"]
    assert second["coordinate_loss"] != first["coordinate_loss"]


def test_from_checkpoint_to_results_file(pairs, model, processor, tmp_path, monkeypatch, capsys):
    model.save_pretrained(tmp_path / "tiny")
    processor.save_pretrained(tmp_path / "tiny")
    pairs.to_parquet(tmp_path / "pairs.parquet")
    output = tmp_path / "denoising.json"
    flags = {"model": tmp_path / "tiny", "dataset": tmp_path / "pairs.parquet", "split": "train", "output": output}
    words = [str(word) for name, value in flags.items() for word in (f"--{name}", value)]
    monkeypatch.setattr(sys, "argv", [str(Path("eval") / "denoising.py"), *words])
    denoising.main()
    record = json.loads(output.read_text())
    assert record["task"] == "denoising"
    assert f"{record['noised_coordinate_loss']:.4f}" in capsys.readouterr().out
    assert record["relative_reduction"] == pytest.approx(
        1 - record["coordinate_loss"] / record["noised_coordinate_loss"]
    )
    assert str(tmp_path) not in output.read_text()


def test_heads_that_were_not_saved_are_not_measured(model, tmp_path):
    model.save_pretrained(tmp_path / "geomclip")
    check_heads(str(tmp_path / "geomclip"))
    predictor = GeomCLIPForPropertyPrediction.from_geometry_pretrained(model.geometry_model, id2label={0: "gap"})
    predictor.save_pretrained(tmp_path / "predictor")
    with pytest.raises(ValueError, match="predictor has no trained denoising heads; give the tower or the GeomCLIP"):
        check_heads(str(tmp_path / "predictor"))


def test_the_script_runs_from_anywhere(tmp_path):
    command = [sys.executable, str(Path(denoising.__file__)), "--help"]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert "--num_draws" in result.stdout
