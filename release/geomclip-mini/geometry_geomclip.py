"""Pure tensor functions on padded batches of molecular geometries."""

import torch
from torch import Tensor


def centre_positions(positions: Tensor, atom_mask: Tensor) -> Tensor:
    """Move every molecule's centroid to the origin, and set rows that are not atoms ([CLS], [SEP], [PAD]) to 0.

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
    """Return the distances between all rows of a molecule.

    They are computed from differences, not from the expanded square, so that two close atoms far from the origin keep
    their precision.

    Args:
        positions: (batch, atoms, 3), Å.
    Returns:
        (batch, atoms, atoms), Å. Rotating, reflecting or translating `positions` does not change them.
    """
    return torch.linalg.vector_norm(positions.unsqueeze(2) - positions.unsqueeze(1), dim=-1)


def edge_types(atom_ids: Tensor, vocab_size: int) -> Tensor:
    """Return the type of each ordered pair of symbols, `a_i * vocab_size + a_j`, as in Uni-Mol.

    Args:
        atom_ids: (batch, atoms) int64.
    Returns:
        (batch, atoms, atoms) int64.
    """
    return atom_ids.unsqueeze(2) * vocab_size + atom_ids.unsqueeze(1)


def masked_mean(states: Tensor, mask: Tensor) -> Tensor:
    """Return the mean over the rows where `mask` is True; 0 if there are none.

    Args:
        states: (batch, rows, channels).
        mask: (batch, rows) bool.
    Returns:
        (batch, channels).
    """
    weights = mask.unsqueeze(-1).to(states.dtype)
    return (states * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1)
