"""Group molecules or texts of similar size into padded batches."""

import numpy as np
import torch
from torch import Tensor


def choose_pair_budget(device: torch.device) -> int:
    """Return the molecules * rows² that suit a device; on a CPU, their intermediate results fit in the caches."""
    return 20_000 if device.type == "cpu" else 500_000


def choose_group_cost(device: torch.device) -> int:
    """Return the fixed cost of a group, in rows that take as long; on a GPU, a group launches hundreds of kernels."""
    return 48 if device.type == "cpu" else 2048


def group_by_size(num_rows: Tensor, budget: int, power: int, group_cost: int) -> list[Tensor]:
    """Partition a batch into groups of similar size, so that one large molecule does not pad all the others.

    Among all partitions of the sorted batch within the budget, dynamic programming over the start of the last group
    finds the one with the fewest padded rows, where each group counts as `group_cost` additional rows.

    Args:
        num_rows: (batch,) int64, rows of each molecule.
        budget: largest molecules * rows^power of a padded group; a molecule above the budget forms a group of its own.
        power: exponent of the rows in the budget.
        group_cost: see `choose_group_cost`.
    Returns:
        Index tensors (int64) into the batch, smallest molecules first; every index occurs once.
    """
    order = torch.argsort(num_rows, stable=True)
    costs, starts = np.zeros(len(order) + 1), [0]  # of the best partition of each prefix, and of its last group
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
