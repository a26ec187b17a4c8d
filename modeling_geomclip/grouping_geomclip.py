"""Which molecules, or texts, share a padded batch."""

import numpy as np
import torch
from torch import Tensor


def choose_pair_budget(device: torch.device) -> int:
    """Molecules * rows² that suit a device: on a CPU, what is computed of them stays in the caches."""
    return 20_000 if device.type == "cpu" else 500_000


def choose_group_cost(device: torch.device) -> int:
    """Rows that take as long as to start on one more group; on a GPU, that launches some hundred kernels."""
    return 48 if device.type == "cpu" else 2048


def group_by_size(num_rows: Tensor, budget: int, power: int, group_cost: int) -> list[Tensor]:
    """Partition a batch into groups of similar size, so that one large molecule does not pad all the others.

    Of all partitions of the sorted batch within the budget it is the one of least padded rows, a group counted as
    `group_cost` rows more: dynamic programming over where the last group starts.

    Args:
        num_rows: (batch,) int64, rows of each molecule.
        budget: largest molecules * rows^power of a padded group; a molecule above it forms a group of its own.
        group_cost: see `choose_group_cost`.
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
