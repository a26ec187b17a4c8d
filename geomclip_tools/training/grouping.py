"""Split a padded batch into groups of rows of similar size."""

import torch
from torch import Tensor

MULTIPLE = 8  # the number of columns of a group is a multiple of it, unless the batch has fewer


def choose_training_budget(device: torch.device) -> int:
    """Return the molecules * rows² that suit a device in training."""
    return 100_000 if device.type == "cpu" else 500_000


def split_padded(
    batch: dict[str, Tensor], is_used: Tensor, budget: int | None, power: int
) -> tuple[list[dict[str, Tensor]], Tensor]:
    """Split a padded batch into groups of similar size, largest rows first, and trim the padding of each group.

    Groups have few different shapes: the number of rows is a power of two, that of columns is a multiple of 8 where the
    batch allows it. Kernels that are generated for each shape, such as oneDNN's for bfloat16, can thus be reused.

    Args:
        batch: tensors of shape (rows, columns, ...).
        is_used: (rows, columns) bool, False on padding.
        budget: largest rows * columns^power of a group; a row above the budget forms a group of its own. If None, the
            batch stays one group, untrimmed.
        power: exponent of the columns in the budget.
    Returns:
        the groups, and the index in the batch of each of their rows, (rows,) int64.
    """
    if budget is None:
        return [batch], torch.arange(len(is_used), device=is_used.device)
    sizes = is_used.sum(dim=1)
    order = sizes.argsort(stable=True, descending=True)
    numbers = count_rows(sizes[order].tolist(), budget, power)
    groups = [({name: tensor[rows] for name, tensor in batch.items()}, is_used[rows]) for rows in order.split(numbers)]
    return [cut_padding(*group, MULTIPLE) for group in groups], order


def count_rows(sizes: list[int], budget: int, power: int) -> list[int]:
    """Return the number of rows of each group, powers of two. The sizes are in descending order."""
    numbers, start = [], 0
    while start < len(sizes):
        affordable = max(1, budget // max(1, round_up(sizes[start], MULTIPLE)) ** power)
        numbers.append(1 << min(affordable, len(sizes) - start).bit_length() - 1)
        start += numbers[-1]
    return numbers


def cut_padding(batch: dict[str, Tensor], is_used: Tensor, multiple: int = 1) -> dict[str, Tensor]:
    """Trim leading and trailing columns that are padding in all rows.

    Args:
        batch, is_used: as for `split_padded`.
        multiple: keeps padding up to the next multiple of this number of columns, where the batch has as many.
    """
    used = is_used.any(dim=0).nonzero().flatten().tolist()
    num_columns = min(round_up(used[-1] + 1 - used[0], multiple), is_used.shape[1])
    start = min(used[0], is_used.shape[1] - num_columns)
    return {name: tensor[:, start : start + num_columns] for name, tensor in batch.items()}


def round_up(size: int, multiple: int) -> int:
    """Return the next multiple."""
    return -(-size // multiple) * multiple
