"""Groups of similar size are the cheapest partition within the budget."""

from itertools import combinations, pairwise

import numpy as np
import pytest
import torch

from modeling_geomclip.grouping_geomclip import group_by_size


@pytest.mark.parametrize("budget", [1, 200, 1000, 10**9])
@pytest.mark.parametrize("power", [1, 2])
@pytest.mark.parametrize("seed", range(5))
def test_size_groups_are_a_sorted_partition_within_the_budget(seed, power, budget):
    num_rows = torch.from_numpy(np.random.default_rng(seed).integers(3, 30, 40))
    groups = group_by_size(num_rows, budget, power, group_cost=20)
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
    found = group_by_size(torch.from_numpy(sizes), budget, 1, group_cost)
    assert cost(tuple(np.cumsum([len(group) for group in found])[:-1])) == min(costs)


def test_a_molecule_above_the_budget_is_alone():
    groups = group_by_size(torch.tensor([100, 5, 4, 6]), 120, power=2, group_cost=20)
    assert [group.tolist() for group in groups] == [[2, 1, 3], [0]]


def test_no_rows_make_no_groups():
    assert group_by_size(torch.tensor([], dtype=torch.int64), 120, power=2, group_cost=20) == []
