"""Groups of a padded batch: every row once, within the budget, trimmed, and in few shapes."""

import pytest
import torch

from geomclip_tools.training.grouping import cut_padding, split_padded


def pad(sizes: list[int], columns: int) -> torch.Tensor:
    return torch.arange(columns).expand(len(sizes), -1) < torch.tensor(sizes).unsqueeze(1)


@pytest.mark.parametrize("power", [1, 2])
@pytest.mark.parametrize("budget", [1, 300, 4000, 10**6])
def test_groups_hold_every_row_once_within_the_budget(budget, power):
    sizes = torch.randint(1, 60, (45,), generator=torch.Generator().manual_seed(0)).tolist()
    is_used = pad(sizes, 64)
    batch = {"values": torch.randn(45, 64) * is_used, "is_used": is_used}
    groups, order = split_padded(batch, is_used, budget, power)
    assert sorted(order.tolist()) == list(range(45))
    assert sum(len(group["values"]) for group in groups) == 45
    start = 0
    for group in groups:
        rows, columns = group["values"].shape
        indices = order[start : start + rows]
        start += rows
        assert rows.bit_count() == 1
        assert columns % 8 == 0
        assert rows == 1 or rows * columns**power <= budget
        assert columns - max(sizes[i] for i in indices) < 8
        assert group["values"].equal(batch["values"][indices, :columns])
        assert group["is_used"].sum() == sum(sizes[i] for i in indices)  # nothing is cut


def test_shapes_recur():
    shapes = set()
    for seed in range(50):
        sizes = torch.randint(1, 60, (64,), generator=torch.Generator().manual_seed(seed)).tolist()
        groups, _ = split_padded({"values": torch.zeros(64, 64)}, pad(sizes, 64), 2048, 1)
        shapes |= {group["values"].shape for group in groups}
    assert len(shapes) <= 20


def test_without_a_budget_the_batch_stays_whole():
    batch = {"values": torch.randn(3, 10)}
    groups, order = split_padded(batch, pad([2, 3, 1], 10), None, 1)
    assert groups == [batch]
    assert order.tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("used", "kept"), [(range(5), range(8)), (range(13, 20), range(12, 20)), (range(2, 19), range(20))]
)
def test_padding_is_cut_on_both_sides(used, kept):
    is_used = torch.zeros(2, 20, dtype=torch.bool)
    is_used[1, list(used)] = True
    values = torch.arange(40).view(2, 20)
    assert cut_padding({"values": values}, is_used, 8)["values"].equal(values[:, list(kept)])
