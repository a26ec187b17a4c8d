"""Samplers: which rows share a batch."""

from types import SimpleNamespace

import pytest
import torch
from torch.utils.data import DataLoader

from geomclip_tools.training.sampling import (
    EpochSampler,
    LengthGroupedSampler,
    NeighbourSampler,
    count_draws,
    draw_epoch,
)
from geomclip_tools.training.trainer import Collator

LENGTHS = torch.randint(5, 500, (1003,), generator=torch.Generator().manual_seed(3)).tolist()


def sampler_of(lengths: list[int], seed: int, **settings) -> LengthGroupedSampler:
    return LengthGroupedSampler([len(lengths)], [1.0], seed, lengths, 8, **settings)


def batches(sampler: LengthGroupedSampler) -> list[list[int]]:
    return [batch.tolist() for batch in DataLoader(range(len(LENGTHS)), batch_size=8, sampler=sampler)]


def padding(groups: list[list[int]]) -> int:
    return sum(max(LENGTHS[row] for row in group) * len(group) - sum(LENGTHS[row] for row in group) for group in groups)


def test_every_row_comes_once_and_the_incomplete_batch_last():
    groups = batches(sampler_of(LENGTHS, seed=1, pool=20))
    assert sorted(row for group in groups for row in group) == list(range(1003))
    assert [len(group) for group in groups] == [8] * 125 + [3]


def test_rows_of_a_batch_are_of_like_length_and_batches_are_in_no_order():
    groups = batches(sampler_of(LENGTHS, seed=1, pool=20))
    at_random = torch.randperm(1003, generator=torch.Generator().manual_seed(0)).split(8)
    assert padding(groups) < 0.15 * padding([group.tolist() for group in at_random])
    longest = torch.tensor([float(max(LENGTHS[row] for row in group)) for group in groups])
    neighbours = torch.corrcoef(torch.stack([longest[:-1], longest[1:]]))[0, 1]
    assert abs(neighbours) < 0.25


def test_the_order_depends_on_seed_and_epoch_only():
    sampler, again, other = (sampler_of(LENGTHS, seed=seed) for seed in (1, 1, 2))
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
    assert len(pairs & {frozenset(group) for group in batches(sampler)}) < 3  # batches change from epoch to epoch


@pytest.mark.parametrize("number", [1, 7, 8])
def test_few_rows(number):
    assert sorted(sampler_of(LENGTHS[:number], seed=0)) == list(range(number))


def test_an_epoch_passes_over_each_dataset_as_often_as_its_weight_says():
    sampler = EpochSampler([5, 10, 4], [1.0, 0.5, 2.25], seed=0)
    parts = []
    for epoch in range(3):
        sampler.set_epoch(epoch)
        drawn = list(sampler)
        assert len(drawn) == len(sampler) == 5 + 5 + 9
        assert sorted(row for row in drawn if row < 5) == [0, 1, 2, 3, 4]
        part = [row for row in drawn if 5 <= row < 15]
        assert len(set(part)) == 5
        parts.append(set(part))
        thrice = [row for row in drawn if row >= 15]
        assert sorted({thrice.count(row) for row in range(15, 19)}) == [2, 3]
        assert drawn != sorted(drawn)
    assert len({frozenset(part) for part in parts}) == 3  # another half in each epoch


def test_the_rows_of_an_epoch_depend_on_seed_and_epoch_only():
    first, again, other = (EpochSampler([50, 30], [0.5, 1.5], seed) for seed in (1, 1, 2))
    assert list(first) == list(first) == list(again) != list(other)
    first.set_epoch(1)
    assert list(first) != list(again)


def test_one_whole_dataset_is_drawn_as_torch_does():
    generators = [torch.Generator().manual_seed(7) for _ in range(2)]
    assert torch.equal(draw_epoch([100], [1.0], generators[0]), torch.randperm(100, generator=generators[1]))


def test_no_dataset_is_left_out():
    assert count_draws([3, 1000], [0.01, 0.01]) == [1, 10]


def test_lengths_and_weights_together():
    sampler = LengthGroupedSampler([600, 403], [0.5, 1.0], 1, LENGTHS, 8, pool=20)
    groups = batches(sampler)
    assert sum(map(len, groups)) == 703
    assert {row for group in groups for row in group} >= set(range(600, 1003))
    assert padding(groups) < 0.3 * padding([group.tolist() for group in torch.randperm(1003)[:703].split(8)])


# ---------------------------------------------------------------------------------------------------------- neighbours


def families(num_rows: int = 400) -> list[list[int]]:
    """Return fingerprints with 40 set bits; those of rows i and i + 10 share three in four bits on average."""
    generator = torch.Generator().manual_seed(0)
    common = [torch.randperm(2048, generator=generator)[:46] for _ in range(10)]
    return [common[row % 10][torch.randperm(46, generator=generator)[:40]].tolist() for row in range(num_rows)]


def neighbours_of(fingerprints: list[list[int]], seed: int = 1, group_size: int = 4) -> NeighbourSampler:
    return NeighbourSampler([len(fingerprints)], [1.0], seed, fingerprints, group_size, 2048)


def test_rows_of_like_structure_stand_together():
    rows = list(neighbours_of(families(402)))
    assert sorted(rows) == list(range(402))
    groups = [rows[start : start + 4] for start in range(0, 400, 4)]
    of_one_family = sum(len({row % 10 for row in group}) == 1 for group in groups)
    assert of_one_family > 70  # of 100 groups; one in a thousand by chance
    assert len({group[0] % 10 for group in groups[:12]}) > 3  # the groups are shuffled


def test_neighbours_are_others_in_each_epoch_and_depend_on_the_seed_only():
    sampler, again, other = (neighbours_of(families(), seed) for seed in (1, 1, 2))
    assert list(sampler) == list(sampler) == list(again) != list(other)
    pairs = []
    for epoch in range(2):
        sampler.set_epoch(epoch)
        rows = list(sampler)
        pairs.append({frozenset(rows[start : start + 2]) for start in range(0, 400, 2)})
    assert len(pairs[0] & pairs[1]) < 100


def test_a_molecule_without_bits_and_datasets_by_weight():
    fingerprints = [[], *families(20), []]
    assert sorted(NeighbourSampler([22], [1.0], 0, fingerprints, 4, 2048)) == list(range(22))
    drawn = list(NeighbourSampler([11, 11], [1.0, 0.5], 0, fingerprints, 4, 2048))
    assert len(drawn) == 11 + 6
    assert set(drawn) >= set(range(11))


def test_the_collator_tells_the_task_its_epoch():
    class Recorder:
        settings = SimpleNamespace(seed=0)

        def collate(self, processor, rows, epoch):
            return {"seen": (processor, rows, epoch)}

    collator = Collator(Recorder(), "processor")
    collator.epoch = 5
    assert collator([{"a": 1}]) == {"seen": ("processor", [{"a": 1}], 5)}
