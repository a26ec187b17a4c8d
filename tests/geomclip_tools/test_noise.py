"""Compare the noise with the statistics that GeomCLIP and Uni-Mol specify."""

from types import SimpleNamespace

import pytest
import torch
from torch.testing import assert_close

from geomclip_tools.noise import draw_noise
from modeling_geomclip import GeomCLIPGeometryConfig
from modeling_geomclip.geometry_geomclip import centre_positions

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


def add_noise(*batch_and_seeds_and_config) -> SimpleNamespace:
    return SimpleNamespace(**draw_noise(*batch_and_seeds_and_config))


def noise(sizes: list[int], seeds: list[int], symbol: int = CARBON, **settings):
    """Return the noised batch and its displacements (batch, atoms, 3), Å."""
    batch = molecules(sizes, symbol)
    noised = add_noise(*batch, torch.tensor(seeds), GeomCLIPGeometryConfig(**settings))
    return noised, noised.noised_positions - batch[1]


def test_noise_depends_on_seed_and_number_of_atoms_alone():
    noised, shifts = noise([9, 4, 30, 9], [5, 6, 7, 5])
    for order in ([2, 0, 1, 3], [1], [0, 1]):
        sizes, seeds = [[9, 4, 30, 9][i] for i in order], [[5, 6, 7, 5][i] for i in order]
        # Other molecules in the batch, another order, other padding, other symbols.
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
    # A fraction of an atom is rounded up with the probability of its size; at least one atom is chosen.
    assert_close(counts.float().mean().item(), max(1.0, 0.15 * size), rtol=0, atol=0.03)
    of_each_atom = noised.chosen[:, 1 : size + 1].float().mean(dim=0)
    assert_close(of_each_atom, torch.full((size,), max(1.0, 0.15 * size) / size), rtol=0, atol=0.04)


def test_only_chosen_atoms_change_and_they_become_mask():
    batch = molecules([20, 5, 3])
    noised = add_noise(*batch, torch.tensor([1, 2, 3]), GeomCLIPGeometryConfig())
    shifts = noised.noised_positions - batch[1]
    assert noised.chosen.any(dim=1).all()
    assert batch[2][noised.chosen].all()
    assert torch.equal(noised.noised_atom_ids, torch.where(noised.chosen, MASK, batch[0]))
    assert shifts[noised.chosen].norm(dim=-1).min() > 0
    assert shifts[~noised.chosen].abs().max() < 1e-14


def test_molecules_below_three_atoms_are_left_alone():
    batch = molecules([1, 2, 3])
    noised = add_noise(*batch, torch.tensor([1, 2, 3]), GeomCLIPGeometryConfig(mask_ratio=1.0))
    assert noised.chosen.sum(dim=1).tolist() == [0, 0, 3]
    assert torch.equal(noised.noised_atom_ids[:2], batch[0][:2])
    assert torch.equal(noised.noised_positions[:2], batch[1][:2])


def test_shares_of_kept_and_random_symbols():
    num_atoms = 100_000
    noised, shifts = noise([num_atoms], [0], symbol=UNK, mask_keep_ratio=0.05, mask_random_ratio=0.1)
    symbols = noised.noised_atom_ids[noised.chosen]
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
    assert_close(within, 0.6827, rtol=0, atol=0.01)  # one standard deviation of a normal distribution


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
    assert (single.noised_positions.dtype, double.noised_positions.dtype) == (torch.float32, torch.float64)
    assert_close(single.noised_positions.double(), double.noised_positions, rtol=0, atol=1e-5)
