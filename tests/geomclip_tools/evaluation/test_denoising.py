"""Sums on a stub equal hand calculations; the noise of a tiny real model depends only on seed, draw and row."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from datasets import Dataset

from geomclip_tools.evaluation.denoising import evaluate_denoising, load_denoiser
from geomclip_tools.noise import draw_seed
from modeling_geomclip import GeomCLIPForPropertyPrediction, GeomCLIPGeometryConfig

SMILES = ["CCO", "CCCCN", "c1ccccc1O", "C", "CC(=O)O", "CCCCCCCC"]


@pytest.fixture
def pairs() -> Dataset:
    return Dataset.from_list([{"text": "it", "smiles": smiles} for smiles in SMILES])


class StubModel(torch.nn.Module):
    """A model with loss n per chosen atom of a molecule with n atoms; the noised input has 2 n²."""

    device, config = torch.device("cpu"), GeomCLIPGeometryConfig(mask_ratio=1.0)

    def __init__(self):
        super().__init__()
        self.places = []

    def denoise(self, atom_ids, positions, atom_mask, noised_atom_ids, noised_positions, chosen):
        sizes, num_chosen = atom_mask.sum(dim=1), chosen.sum(dim=1)
        assert torch.equal(chosen, atom_mask & (sizes >= 3).unsqueeze(1))
        shifts = (noised_positions - positions)[:, 1]  # of the first atom; identifies the noise
        self.places += [(size, *shift) for size, shift in zip(sizes.tolist(), shifts.tolist(), strict=True)]
        total = num_chosen.sum().clamp(min=1)
        return SimpleNamespace(
            coordinate_loss=(num_chosen * sizes).sum() / total,
            noised_coordinate_loss=(num_chosen * 2 * sizes**2).sum() / total,
            num_chosen=num_chosen.sum(),
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
        runs.append(sorted(place for place in model.places if place[0] >= 3))
    np.testing.assert_allclose(runs[0], runs[1], atol=1e-5)
    assert len({place[1:] for place in runs[0]}) == 10
    assert draw_seed(5, 0, 1) != draw_seed(6, 0, 1)
    assert 0 <= draw_seed(5, 1, 3) < 2**63


def test_nothing_to_noise_is_refused(processor):
    pairs = Dataset.from_list([{"text": "methane", "smiles": "C"}])
    with pytest.raises(ValueError, match="no atom of 1 molecules in 2 draws was noised"):
        evaluate_denoising(StubModel(), processor, pairs, seed=0, num_draws=2)


def test_the_real_tower_has_the_same_losses_in_any_batch(pairs, pretraining_model, processor):
    one, all_together = (
        evaluate_denoising(pretraining_model, processor, pairs, 1, 2, budget) for budget in (1, 10_000)
    )
    assert (
        one["num_chosen"] == all_together["num_chosen"] >= 2 * 5
    )  # at least one atom of each molecule of three or more
    for name in ("coordinate_loss", "noised_coordinate_loss"):
        assert one[name] == pytest.approx(all_together[name], rel=1e-5)
    other_noise = evaluate_denoising(pretraining_model, processor, pairs, seed=2, num_draws=2)
    assert other_noise["noised_coordinate_loss"] != pytest.approx(one["noised_coordinate_loss"], rel=1e-3)


def test_the_noised_loss_is_that_of_the_noise_and_not_of_the_model(pairs, pretraining_model, processor):
    first = evaluate_denoising(pretraining_model, processor, pairs, seed=1, num_draws=1)
    with torch.no_grad():
        for parameter in pretraining_model.geometry_model.parameters():
            parameter.mul_(1.5).add_(0.01)
    second = evaluate_denoising(pretraining_model, processor, pairs, seed=1, num_draws=1)
    assert second["noised_coordinate_loss"] == first["noised_coordinate_loss"]
    assert second["coordinate_loss"] != first["coordinate_loss"]


def test_heads_that_were_not_saved_are_not_measured(pretraining_model, model, processor, tmp_path):
    predictor = GeomCLIPForPropertyPrediction.from_geometry_pretrained(model.geometry_model, id2label={0: "gap"})
    for name, part in {"whole": pretraining_model, "plain": model, "predictor": predictor}.items():
        part.save_pretrained(tmp_path / name)
        processor.save_pretrained(tmp_path / name)
    loaded, _ = load_denoiser(str(tmp_path / "whole"))
    assert torch.equal(
        loaded.denoising_head.coordinate_head.fc1.weight, pretraining_model.denoising_head.coordinate_head.fc1.weight
    )
    for name in ("plain", "predictor"):
        with pytest.raises(ValueError, match=f"{name} has no trained denoising heads; pass the tower or the GeomCLIP"):
            load_denoiser(str(tmp_path / name))
