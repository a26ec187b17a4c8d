"""Split a padded batch into groups of rows of similar size."""

import torch
from torch import Tensor

from modeling_geomclip.grouping_geomclip import choose_group_cost, group_by_size


def split_padded(
    batch: dict[str, Tensor], is_used: Tensor, budget: int | None, power: int
) -> tuple[list[dict[str, Tensor]], Tensor]:
    """Split a padded batch into groups of similar size, and trim the padding of each group.

    Args:
        batch: tensors of shape (rows, columns, ...).
        is_used: (rows, columns) bool, False on padding.
        budget, power: as for `group_by_size`. If the budget is None, the batch stays one group, untrimmed.
    Returns:
        the groups, and the index in the batch of each of their rows, (rows,) int64.
    """
    if budget is None:
        return [batch], torch.arange(len(is_used), device=is_used.device)
    indices = group_by_size(is_used.sum(dim=1), budget, power, choose_group_cost(is_used.device))
    groups = [{name: tensor[index] for name, tensor in batch.items()} for index in indices]
    return [cut_padding(group, is_used[index]) for group, index in zip(groups, indices)], torch.cat(indices)


def cut_padding(batch: dict[str, Tensor], is_used: Tensor) -> dict[str, Tensor]:
    """Trim the leading and trailing columns that are padding in all rows. Arguments are as for `split_padded`."""
    columns = is_used.any(dim=0).nonzero().flatten()
    return {name: tensor[:, columns[0] : columns[-1] + 1] for name, tensor in batch.items()}
