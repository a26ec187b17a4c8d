"""Pure tensor functions on padded batches of molecular geometries."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor


def centre_positions(positions: Tensor, atom_mask: Tensor) -> Tensor:
    """Move every molecule's centroid to the origin, where the rows that are not atoms ([CLS], [SEP], [PAD]) lie too.

    Args:
        positions: (batch, atoms, 3), Å.
        atom_mask: (batch, atoms) bool, True on atoms.
    Returns:
        (batch, atoms, 3), Å.
    """
    is_atom = atom_mask.unsqueeze(-1)
    positions = positions.masked_fill(~is_atom, 0.0)
    centroid = positions.sum(dim=1, keepdim=True) / is_atom.sum(dim=1, keepdim=True).clamp(min=1)
    return (positions - centroid).masked_fill(~is_atom, 0.0)


def pair_distances(positions: Tensor) -> Tensor:
    """Distances between all rows of a molecule.

    By differences, not by the expanded square: two close atoms far from the origin keep their digits.

    Args:
        positions: (batch, atoms, 3), Å.
    Returns:
        (batch, atoms, atoms), Å. Unchanged when `positions` are rotated, reflected or shifted.
    """
    return torch.linalg.vector_norm(positions.unsqueeze(2) - positions.unsqueeze(1), dim=-1)


def edge_types(atom_ids: Tensor, vocab_size: int) -> Tensor:
    """Type of each ordered pair of symbols, `a_i * vocab_size + a_j` as in Uni-Mol.

    Args:
        atom_ids: (batch, atoms) int64.
    Returns:
        (batch, atoms, atoms) int64.
    """
    return atom_ids.unsqueeze(2) * vocab_size + atom_ids.unsqueeze(1)


def masked_mean(states: Tensor, mask: Tensor) -> Tensor:
    """Mean over the rows where `mask` is True; 0 where there is none.

    Args:
        states: (batch, rows, channels).
        mask: (batch, rows) bool.
    Returns:
        (batch, channels).
    """
    weights = mask.unsqueeze(-1).to(states.dtype)
    return (states * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1)


def default_pair_budget(device: torch.device) -> int:
    """Molecules * rows² that suit a device: on a CPU, what is computed of them stays in the caches."""
    return 20_000 if device.type == "cpu" else 500_000


def default_group_cost(device: torch.device) -> int:
    """Rows that take as long as to start on one more group; on a GPU, that launches some hundred kernels."""
    return 48 if device.type == "cpu" else 2048


def size_groups(num_rows: Tensor, budget: int, power: int, group_cost: int) -> list[Tensor]:
    """Partition a batch into groups of similar size, so that one large molecule does not pad all the others.

    Of all partitions of the sorted batch within the budget it is the one of least padded rows, a group counted as
    `group_cost` rows more: dynamic programming over where the last group starts.

    Args:
        num_rows: (batch,) int64, rows of each molecule.
        budget: largest molecules * rows^power of a padded group; a molecule above it forms a group of its own.
        group_cost: see `default_group_cost`.
    Returns:
        index tensors (int64) into the batch, smallest molecules first; together they hold each index once.
    """
    order = torch.argsort(num_rows, stable=True)
    costs, starts = np.zeros(len(order) + 1), [0]  # of the best partition of the first so many, and its last group
    for stop, rows in enumerate(num_rows[order].tolist(), start=1):
        first = max(0, stop - max(1, budget // max(1, rows) ** power))
        with_last = costs[first:stop] + rows * np.arange(stop - first, 0, -1)
        starts.append(first + int(with_last.argmin()))
        costs[stop] = with_last.min() + group_cost
    groups, stop = [], len(order)
    while stop:
        groups.append(order[starts[stop] : stop])
        stop = starts[stop]
    return groups[::-1]


def split_padded(
    batch: dict[str, Tensor], is_used: Tensor, budget: int | None, power: int
) -> tuple[list[dict[str, Tensor]], Tensor]:
    """A padded batch in groups of similar size, each without the columns that are padding in all of its rows.

    Args:
        batch: tensors of shape (rows, columns, ...).
        is_used: (rows, columns) bool, False on padding.
        budget, power: as for `size_groups`; without a budget, the batch is one group as it stands.
    Returns:
        the groups, and (rows,) int64, the place in the batch of each of their rows.
    """
    if budget is None:
        return [batch], torch.arange(len(is_used), device=is_used.device)
    indices = size_groups(is_used.sum(dim=1), budget, power, default_group_cost(is_used.device))
    groups = [{name: tensor[index] for name, tensor in batch.items()} for index in indices]
    return [cut_padding(group, is_used[index]) for group, index in zip(groups, indices)], torch.cat(indices)


def cut_padding(batch: dict[str, Tensor], is_used: Tensor) -> dict[str, Tensor]:
    """The batch from its first to its last column that is not padding in all rows; arguments as for `split_padded`."""
    columns = is_used.any(dim=0).nonzero().flatten()
    return {name: tensor[:, columns[0] : columns[-1] + 1] for name, tensor in batch.items()}


@dataclass
class NoisedGeometry:
    """A batch as the denoiser sees it, and what it has to recover.

    Attributes:
        atom_ids: (batch, atoms) int64, chosen atoms masked.
        positions: (batch, atoms, 3), Å, chosen atoms moved, centred on the noised centroid.
        target_positions: (batch, atoms, 3), Å, the clean positions shifted by the same vector.
        chosen: (batch, atoms) bool, True on the atoms to recover.
    """

    atom_ids: Tensor
    positions: Tensor
    target_positions: Tensor
    chosen: Tensor


def add_noise(atom_ids: Tensor, positions: Tensor, atom_mask: Tensor, noise_seeds: Tensor, config) -> NoisedGeometry:
    """Mask and displace some atoms of every molecule of at least three atoms.

    One molecule's noise depends on its seed and its number of atoms alone: not on batch mates, padding, device or
    process. Source: GeomCLIP section "denoising" (Gaussian noise, 15 % of the atoms) and Uni-Mol (uniform noise, kept
    and random symbols). Differs: the noised molecule is centred again and the target moves with it, so that the
    [CLS] and [SEP] rows at the origin do not give the clean centroid away.

    Args:
        atom_ids: (batch, atoms) int64.
        positions: (batch, atoms, 3), Å.
        atom_mask: (batch, atoms) bool, True on atoms.
        noise_seeds: (batch,) int64.
        config: the geometry configuration.
    """
    atom_ids, noised, chosen = atom_ids.clone(), positions.clone(), torch.zeros_like(atom_mask)
    for row, seed in enumerate(noise_seeds.tolist()):
        atoms = atom_mask[row].nonzero().squeeze(-1)
        if len(atoms) < 3:
            continue
        picked, symbols, shifts = _molecule_noise(len(atoms), seed, config)
        atoms = atoms[torch.from_numpy(picked).to(atoms.device)]
        symbols, shifts = torch.from_numpy(symbols).to(atom_ids), torch.from_numpy(shifts).to(noised)
        atom_ids[row, atoms] = torch.where(symbols < 0, atom_ids[row, atoms], symbols)
        noised[row, atoms] += shifts
        chosen[row, atoms] = True
    recentred = centre_positions(noised, atom_mask)
    target = (positions + (recentred - noised)).masked_fill(~atom_mask.unsqueeze(-1), 0.0)
    return NoisedGeometry(atom_ids, recentred, target, chosen)


def num_chosen_atoms(num_atoms: int, seed: int, config) -> int:
    """How many atoms of a molecule `add_noise` chooses."""
    return 0 if num_atoms < 3 else _num_chosen(num_atoms, np.random.default_rng(seed % 2**64), config)


def _num_chosen(num_atoms: int, random: np.random.Generator, config) -> int:
    return max(1, int(config.mask_ratio * num_atoms + random.random()))


def _molecule_noise(num_atoms: int, seed: int, config) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Chosen atoms, their new symbols (-1: keep) and their displacements (chosen, 3) in Å."""
    random = np.random.default_rng(seed % 2**64)
    num_chosen = _num_chosen(num_atoms, random, config)
    picked = random.permutation(num_atoms)[:num_chosen]
    fate = random.random(num_chosen)
    elements = random.integers(config.unk_token_id + 1, config.mask_token_id, num_chosen)
    symbols = np.full(num_chosen, config.mask_token_id)
    symbols = np.where(fate < config.mask_keep_ratio + config.mask_random_ratio, elements, symbols)
    symbols = np.where(fate < config.mask_keep_ratio, -1, symbols)
    if config.position_noise == "gaussian":
        shifts = random.normal(0.0, config.position_noise_scale, (num_chosen, 3))
    else:
        shifts = random.uniform(-config.position_noise_scale, config.position_noise_scale, (num_chosen, 3))
    return picked, symbols, shifts
