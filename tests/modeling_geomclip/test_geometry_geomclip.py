"""Compare the geometry functions with loops and SciPy."""

import numpy as np
import torch
from scipy.spatial.distance import cdist
from torch.testing import assert_close

from modeling_geomclip.geometry_geomclip import (
    centre_positions,
    edge_types,
    masked_mean,
    pair_distances,
)

CLS, SEP, UNK, CARBON = 1, 2, 3, 4


def molecules(sizes: list[int], symbol: int = CARBON, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return ids, positions (Å, float64, 0 on specials and padding) and atom mask of [CLS] atoms [SEP] padding."""
    atom_ids = torch.zeros(len(sizes), max(sizes) + 2, dtype=torch.long)
    for row, size in enumerate(sizes):
        atom_ids[row, 0], atom_ids[row, 1 : size + 1], atom_ids[row, size + 1] = CLS, symbol, SEP
    generator = torch.Generator().manual_seed(seed)
    positions = 2.0 * torch.randn(*atom_ids.shape, 3, dtype=torch.float64, generator=generator)
    atom_mask = atom_ids >= UNK
    return atom_ids, centre_positions(positions, atom_mask), atom_mask


def test_centring_by_hand():
    positions = torch.tensor([[[9.0, 9, 9], [1, 0, 0], [3, 0, 6], [7, 7, 7]], [[5.0, 5, 5]] * 4])
    atom_mask = torch.tensor([[False, True, True, False], [False] * 4])
    expected = torch.tensor([[[0.0, 0, 0], [-1, 0, -3], [1, 0, 3], [0, 0, 0]], [[0.0, 0, 0]] * 4])
    assert_close(centre_positions(positions, atom_mask), expected, rtol=0, atol=0)


def test_centring_ignores_translation_and_rows_that_are_not_atoms():
    _, positions, atom_mask = molecules([6, 3])
    moved = positions + torch.tensor([10.0, -20.0, 30.0])
    moved[~atom_mask] = float("nan")
    assert_close(centre_positions(moved, atom_mask), positions, rtol=0, atol=1e-13)


def test_distances_equal_those_of_scipy():
    _, positions, _ = molecules([6, 3])
    distances = pair_distances(positions)
    for row in range(2):
        np.testing.assert_allclose(distances[row].numpy(), cdist(positions[row], positions[row]), atol=1e-12)


def test_close_atoms_far_from_the_origin_keep_their_digits():
    positions = 1000.0 + torch.rand(1, 5, 3, generator=torch.Generator().manual_seed(0))
    expected = cdist(positions[0].double(), positions[0].double())
    # In float32, |x|² + |y|² - 2xy is useless here, because its terms are about 3,000,000 Å².
    np.testing.assert_allclose(pair_distances(positions)[0].numpy(), expected, atol=1e-6)


def test_gradient_of_distances_is_finite_where_atoms_coincide():
    positions = torch.zeros(1, 3, 3, requires_grad=True)
    pair_distances(positions).sum().backward()
    assert torch.isfinite(positions.grad).all()


def test_edge_types_encode_both_symbols_and_their_order():
    atom_ids = torch.tensor([[1, 4, 6, 2, 0], [1, 30, 3, 30, 2]])
    edges = edge_types(atom_ids, vocab_size=31)
    for row, i, j in np.ndindex(2, 5, 5):
        assert edges[row, i, j] == 31 * atom_ids[row, i] + atom_ids[row, j]


def test_masked_mean_equals_the_mean_of_the_rows_alone():
    states = torch.randn(3, 5, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    mask = torch.tensor([[0, 1, 1, 1, 0], [0, 1, 0, 0, 0], [0] * 5], dtype=torch.bool)
    means = masked_mean(states, mask)
    assert_close(means[:2], torch.stack([states[0, 1:4].mean(dim=0), states[1, 1]]))
    assert torch.equal(means[2], torch.zeros(4, dtype=torch.float64))
