"""Which rows share a batch."""

import pytest
import torch
from torch.utils.data import DataLoader

from geomclip_tools.training.sampling import LengthGroupedSampler
from geomclip_tools.training.trainer import Collator

LENGTHS = torch.randint(5, 500, (1003,), generator=torch.Generator().manual_seed(3)).tolist()


def batches(sampler: LengthGroupedSampler) -> list[list[int]]:
    return [batch.tolist() for batch in DataLoader(range(len(sampler)), batch_size=8, sampler=sampler)]


def padding(groups: list[list[int]]) -> int:
    return sum(max(LENGTHS[row] for row in group) * len(group) - sum(LENGTHS[row] for row in group) for group in groups)


def test_every_row_comes_once_and_the_incomplete_batch_last():
    groups = batches(LengthGroupedSampler(LENGTHS, 8, seed=1, pool=20))
    assert sorted(row for group in groups for row in group) == list(range(1003))
    assert [len(group) for group in groups] == [8] * 125 + [3]


def test_rows_of_a_batch_are_of_like_length_and_batches_are_in_no_order():
    groups = batches(LengthGroupedSampler(LENGTHS, 8, seed=1, pool=20))
    at_random = torch.randperm(1003, generator=torch.Generator().manual_seed(0)).split(8)
    assert padding(groups) < 0.15 * padding([group.tolist() for group in at_random])
    longest = torch.tensor([float(max(LENGTHS[row] for row in group)) for group in groups])
    neighbours = torch.corrcoef(torch.stack([longest[:-1], longest[1:]]))[0, 1]
    assert abs(neighbours) < 0.25


def test_the_order_depends_on_seed_and_epoch_only():
    sampler, again, other = (LengthGroupedSampler(LENGTHS, 8, seed=seed) for seed in (1, 1, 2))
    first = list(sampler)
    torch.manual_seed(99)
    assert list(sampler) == list(again) == first != list(other)
    sampler.set_epoch(3)
    third = list(sampler)
    assert third != first
    again.set_epoch(3)
    assert list(again) == third
    pairs = {frozenset(group) for group in batches(sampler)}
    sampler.set_epoch(4)
    assert len(pairs & {frozenset(group) for group in batches(sampler)}) < 3  # other batch mates in each epoch


@pytest.mark.parametrize("number", [1, 7, 8])
def test_few_rows(number):
    assert sorted(LengthGroupedSampler(LENGTHS[:number], 8, seed=0)) == list(range(number))


def test_the_collator_tells_the_task_its_epoch():
    class Recorder:
        def collate(self, processor, rows, epoch):
            return {"seen": (processor, rows, epoch)}

    collator = Collator(Recorder(), "processor")
    collator.epoch = 5
    assert collator([{"a": 1}]) == {"seen": ("processor", [{"a": 1}], 5)}
