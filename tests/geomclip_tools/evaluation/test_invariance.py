"""Every measure detects its change on a stub that breaks all symmetries, and almost none on a real tower."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from datasets import Dataset
from scipy.spatial.distance import cdist

from geomclip_tools.evaluation.invariance import (
    evaluate_invariance,
    format_changes,
    move_an_atom,
    permute_atoms,
    rotate,
)
from modeling_geomclip import GeomCLIPFeatureExtractor

SMILES = ["CCO", "CCCCN", "c1ccccc1O", "C", "CC(=O)O", "CCCCCCCC"]


@pytest.fixture
def pairs() -> Dataset:
    return Dataset.from_list([{"text": "it", "smiles": smiles} for smiles in SMILES])


class Careless(torch.nn.Module):
    """A model that depends on raw coordinates, the order of atoms and the width of the batch."""

    device = torch.device("cpu")

    def get_geometry_features(self, atom_ids, positions, atom_mask, **kwargs):
        order = torch.arange(positions.shape[1])[:, None] ** 2
        width = positions.new_full((len(positions), 1), positions.shape[1])
        read = torch.cat([(positions * order).sum(1), width], dim=1)
        return SimpleNamespace(pooler_output=torch.nn.functional.normalize(read, dim=-1))


class OffCentre(GeomCLIPFeatureExtractor):
    """A feature extractor that does not centre molecules."""

    def pad(self, records, return_tensors=None):
        batch = super().pad(records, return_tensors)
        centroids = np.stack([record["positions"].mean(axis=0) for record in records])
        batch["positions"] += torch.from_numpy(centroids).float()[:, None] * batch["atom_mask"][..., None]
        return batch


def test_a_careless_model_is_found_out(pairs):
    changes = evaluate_invariance(Careless(), OffCentre(), pairs, seed=0)["largest_change"]
    assert len(changes) == 5
    assert min(changes.values()) > 1e-2, changes


def test_a_real_tower_passes(pairs, processor, model):
    evaluation = evaluate_invariance(model, processor, pairs, seed=0, pair_budget=300)
    assert max(evaluation["largest_change"].values()) < 1e-5
    assert evaluation["smallest_change_of_moved_atom"] > 1e-4
    assert evaluation["mean_cosine_distance"] > 0
    assert evaluation["num_rows"] == 6
    assert all(name in format_changes(evaluation) for name in evaluation["largest_change"])


def test_changes_are_what_they_are_called(processor):
    random = np.random.default_rng(0)
    records, _ = processor.feature_extractor.read(SMILES)
    for record in records:
        positions = record["positions"]
        rotated = rotate(positions, random)
        np.testing.assert_allclose(cdist(rotated, rotated), cdist(positions, positions), atol=1e-9)
        permuted = permute_atoms(record, random)
        np.testing.assert_array_equal(np.sort(permuted["positions"], axis=0), np.sort(positions, axis=0))
        places = [positions.tolist().index(place) for place in permuted["positions"].tolist()]
        assert (permuted["atomic_numbers"] == record["atomic_numbers"][places]).all()
        moved = np.linalg.norm(move_an_atom(positions, random, 0.3) - positions, axis=-1)
        assert moved.sum() == pytest.approx(0.3)
        assert (moved > 0).sum() == 1
    assert np.abs(rotated - positions).max() > 0.1
    assert places != sorted(places)


def test_a_rotation_is_no_reflection():
    random = np.random.default_rng(0)
    determinants = [np.linalg.det(rotate(np.eye(3), random)) for _ in range(20)]
    np.testing.assert_allclose(determinants, 1)
