"""Pure geometry: against loops and SciPy, and the noise against the statistics that the issue and Uni-Mol state."""

from itertools import combinations, pairwise

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist
from torch.testing import assert_close

from modeling_geomclip.configuration_geomclip import GeomCLIPGeometryConfig
from modeling_geomclip.geometry_geomclip import (
    add_noise,
    centre_positions,
    edge_types,
    masked_mean,
    num_chosen_atoms,
    pair_distances,
    size_groups,
)

CLS, SEP, UNK, CARBON, MASK = 1, 2, 3, 4, 30


def molecules(sizes: list[int], symbol: int = CARBON, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """[CLS] atoms [SEP] padding: ids, positions (Å, float64, specials and padding at the origin) and atom mask."""
    atom_ids = torch.zeros(len(sizes), max(sizes) + 2, dtype=torch.long)
    for row, size in enumerate(sizes):
        atom_ids[row, 0], atom_ids[row, 1 : size + 1], atom_ids[row, size + 1] = CLS, symbol, SEP
    generator = torch.Generator().manual_seed(seed)
    positions = 2.0 * torch.randn(*atom_ids.shape, 3, dtype=torch.float64, generator=generator)
    atom_mask = atom_ids >= UNK
    return atom_ids, centre_positions(positions, atom_mask), atom_mask


def noise(sizes: list[int], seeds: list[int], symbol: int = CARBON, **settings):
    """The noised batch and its displacements (batch, atoms, 3), Å."""
    noised = add_noise(*molecules(sizes, symbol), torch.tensor(seeds), GeomCLIPGeometryConfig(**settings))
    return noised, noised.positions - noised.target_positions


# ------------------------------------------------------------------------------------------------- centres, distances


@pytest.mark.parametrize("mask_ratio", [0.01, 0.15, 0.5, 1.0])
def test_the_number_of_chosen_atoms_is_known_beforehand(mask_ratio):
    sizes, seeds = [1, 2, 3, 4, 9, 17, 40], [5, -3, 2**62, 0, 1, 8, 11]
    config = GeomCLIPGeometryConfig(mask_ratio=mask_ratio)
    noised = add_noise(*molecules(sizes), torch.tensor(seeds), config)
    expected = [num_chosen_atoms(size, seed, config) for size, seed in zip(sizes, seeds, strict=True)]
    assert noised.chosen.sum(dim=1).tolist() == expected


def test_centring_by_hand():
    positions = torch.tensor([[[9.0, 9, 9], [1, 0, 0], [3, 0, 6], [7, 7, 7]], [[5.0, 5, 5]] * 4])
    atom_mask = torch.tensor([[False, True, True, False], [False] * 4])
    expected = torch.tensor([[[0.0, 0, 0], [-1, 0, -3], [1, 0, 3], [0, 0, 0]], [[0.0, 0, 0]] * 4])
    assert_close(centre_positions(positions, atom_mask), expected, rtol=0, atol=0)


def test_centring_ignores_translation_and_what_is_no_atom():
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
    # In float32 |x|² + |y|² - 2xy, of terms of 3,000,000 Å², is good for nothing here.
    np.testing.assert_allclose(pair_distances(positions)[0].numpy(), expected, atol=1e-6)


def test_gradient_of_distances_is_finite_where_atoms_coincide():
    positions = torch.zeros(1, 3, 3, requires_grad=True)
    pair_distances(positions).sum().backward()
    assert torch.isfinite(positions.grad).all()


def test_edge_types_tell_both_symbols_and_their_order():
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


# ------------------------------------------------------------------------------------------------------- size groups


@pytest.mark.parametrize("budget", [1, 200, 1000, 10**9])
@pytest.mark.parametrize("power", [1, 2])
@pytest.mark.parametrize("seed", range(5))
def test_size_groups_are_a_sorted_partition_within_the_budget(seed, power, budget):
    num_rows = torch.from_numpy(np.random.default_rng(seed).integers(3, 30, 40))
    groups = size_groups(num_rows, budget, power, group_cost=20)
    together = torch.cat(groups)
    assert sorted(together.tolist()) == list(range(40))
    assert num_rows[together].diff().min() >= 0
    for group in groups:
        assert len(group) >= 1
        assert len(group) == 1 or len(group) * num_rows[group].max() ** power <= budget


@pytest.mark.parametrize("budget", [60, 10**9])
@pytest.mark.parametrize("group_cost", [0, 5, 20])
@pytest.mark.parametrize("seed", range(4))
def test_no_partition_within_the_budget_costs_less(seed, group_cost, budget):
    sizes = np.sort(np.random.default_rng(seed).integers(3, 30, 9))

    def cost(cuts: tuple[int, ...]) -> float:
        groups = [sizes[start:stop] for start, stop in pairwise((0, *cuts, len(sizes)))]
        if any(len(group) > 1 and len(group) * group.max() > budget for group in groups):
            return float("inf")
        return sum(len(group) * group.max() + group_cost for group in groups)

    costs = [cost(cuts) for number in range(9) for cuts in combinations(range(1, 9), number)]
    found = size_groups(torch.from_numpy(sizes), budget, 1, group_cost)
    assert cost(tuple(np.cumsum([len(group) for group in found])[:-1])) == min(costs)


def test_a_molecule_above_the_budget_is_alone():
    groups = size_groups(torch.tensor([100, 5, 4, 6]), 120, power=2, group_cost=20)
    assert [group.tolist() for group in groups] == [[2, 1, 3], [0]]


def test_no_rows_make_no_groups():
    assert size_groups(torch.tensor([], dtype=torch.int64), 120, power=2, group_cost=20) == []


# --------------------------------------------------------------------------------------------------------------- noise


def test_noise_depends_on_seed_and_number_of_atoms_alone():
    noised, shifts = noise([9, 4, 30, 9], [5, 6, 7, 5])
    for order in ([2, 0, 1, 3], [1], [0, 1]):
        sizes, seeds = [[9, 4, 30, 9][i] for i in order], [[5, 6, 7, 5][i] for i in order]
        # Other mates, another order, other padding, other symbols.
        other, other_shifts = noise(sizes, seeds, symbol=8)
        for row, i in enumerate(order):
            rows = slice(sizes[row] + 2)
            assert torch.equal(other.chosen[row, rows], noised.chosen[i, rows])
            assert_close(other_shifts[row, rows], shifts[i, rows], rtol=0, atol=1e-12)
    assert torch.equal(noised.chosen[0], noised.chosen[3])
    assert_close(shifts[0], shifts[3], rtol=0, atol=1e-12)


def test_other_seeds_give_other_noise():
    noised, shifts = noise([40] * 3, [1, 2, -3])
    for i, j in ((0, 1), (0, 2), (1, 2)):
        assert not torch.equal(noised.chosen[i], noised.chosen[j])
        assert (shifts[i] - shifts[j]).abs().max() > 0.1


def test_inputs_are_left_as_they_are():
    batch = molecules([9, 4])
    before = [x.clone() for x in batch]
    add_noise(*batch, torch.tensor([1, 2]), GeomCLIPGeometryConfig())
    assert all(torch.equal(a, b) for a, b in zip(batch, before))


@pytest.mark.parametrize("size", [3, 7, 20])
def test_share_of_chosen_atoms(size):
    noised, _ = noise([size] * 3000, list(range(3000)))
    counts = noised.chosen.sum(dim=1)
    assert counts.min() == max(1, int(0.15 * size))
    assert counts.max() <= int(0.15 * size) + 1
    # The fraction of an atom is rounded up as often as it is large; below one atom there is no choice.
    assert_close(counts.float().mean().item(), max(1.0, 0.15 * size), rtol=0, atol=0.03)
    of_each_atom = noised.chosen[:, 1 : size + 1].float().mean(dim=0)
    assert_close(of_each_atom, torch.full((size,), max(1.0, 0.15 * size) / size), rtol=0, atol=0.04)


def test_only_chosen_atoms_change_and_they_become_mask():
    batch = molecules([20, 5, 3])
    noised = add_noise(*batch, torch.tensor([1, 2, 3]), GeomCLIPGeometryConfig())
    shifts = noised.positions - noised.target_positions
    assert noised.chosen.any(dim=1).all()
    assert batch[2][noised.chosen].all()
    assert torch.equal(noised.atom_ids, torch.where(noised.chosen, MASK, batch[0]))
    assert shifts[noised.chosen].norm(dim=-1).min() > 0
    assert shifts[~noised.chosen].abs().max() < 1e-14


def test_noised_atoms_are_centred_and_the_target_moves_with_them():
    atom_ids, positions, atom_mask = molecules([20, 5, 3])
    moved = (positions + 7.0).masked_fill(~atom_mask.unsqueeze(-1), 0.0)  # the input's frame does not matter
    noised = add_noise(atom_ids, moved, atom_mask, torch.tensor([1, 2, 3]), GeomCLIPGeometryConfig())
    assert noised.positions.sum(dim=1).abs().max() < 1e-12
    assert (noised.target_positions.sum(dim=1).norm(dim=-1) > 1e-2).all()
    assert_close(centre_positions(noised.target_positions, atom_mask), positions, rtol=0, atol=1e-12)
    for x in (noised.positions, noised.target_positions):
        assert (x[~atom_mask] == 0).all()


def test_molecules_below_three_atoms_are_left_alone():
    batch = molecules([1, 2, 3])
    noised = add_noise(*batch, torch.tensor([1, 2, 3]), GeomCLIPGeometryConfig(mask_ratio=1.0))
    assert noised.chosen.sum(dim=1).tolist() == [0, 0, 3]
    assert torch.equal(noised.atom_ids[:2], batch[0][:2])
    for x in (noised.positions, noised.target_positions):
        assert_close(x[:2], batch[1][:2], rtol=0, atol=1e-14)


def test_shares_of_kept_and_random_symbols():
    num_atoms = 100_000
    noised, shifts = noise([num_atoms], [0], symbol=UNK, mask_keep_ratio=0.05, mask_random_ratio=0.1)
    symbols = noised.atom_ids[noised.chosen]
    elements = symbols[(symbols != MASK) & (symbols != UNK)]  # [UNK] is never drawn, so it was kept
    shares = torch.tensor([(symbols == UNK).sum(), len(elements), (symbols == MASK).sum()]) / len(symbols)
    assert_close(shares, torch.tensor([0.05, 0.1, 0.85]), rtol=0, atol=0.01)
    assert sorted(set(elements.tolist())) == list(range(UNK + 1, MASK))
    assert shifts[noised.chosen].norm(dim=-1).min() > 0  # kept symbols are moved too


def test_gaussian_noise():
    noised, shifts = noise([100_000], [0])
    shifts = shifts[noised.chosen]
    assert_close(shifts.std(dim=0), torch.full((3,), 3**-0.5, dtype=torch.float64), rtol=0.02, atol=0)
    assert shifts.mean(dim=0).abs().max() < 0.02
    assert (shifts.T.corrcoef() - torch.eye(3)).abs().max() < 0.03
    within = (shifts.abs() < 3**-0.5).double().mean().item()
    assert_close(within, 0.6827, rtol=0, atol=0.01)  # one standard deviation of a normal law


def test_uniform_noise():
    noised, shifts = noise([100_000], [0], position_noise="uniform", position_noise_scale=1.0)
    shifts = shifts[noised.chosen]
    assert 0.999 < shifts.abs().max() <= 1.0 + 1e-12
    assert_close(shifts.std(dim=0), torch.full((3,), 3**-0.5, dtype=torch.float64), rtol=0.02, atol=0)
    assert_close((shifts.abs() < 0.5).double().mean().item(), 0.5, rtol=0, atol=0.01)
    assert (shifts.T.corrcoef() - torch.eye(3)).abs().max() < 0.03


def test_noise_keeps_the_precision_of_the_positions():
    atom_ids, positions, atom_mask = molecules([12])
    config, seeds = GeomCLIPGeometryConfig(), torch.tensor([3])
    single = add_noise(atom_ids, positions.float(), atom_mask, seeds, config)
    double = add_noise(atom_ids, positions, atom_mask, seeds, config)
    assert (single.positions.dtype, double.positions.dtype) == (torch.float32, torch.float64)
    assert_close(single.positions.double(), double.positions, rtol=0, atol=1e-5)
