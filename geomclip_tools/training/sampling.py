"""Which rows are read, and which of them share a batch."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor
from torch.utils.data import Sampler


def sample_rows(num_rows: int, limit: int | None) -> list[int]:
    """Places of `limit` of the rows, at random; always the same, and those of a smaller limit among those of a larger.

    Raises:
        ValueError: there are not so many.
    """
    if limit is None:
        return list(range(num_rows))
    if not 0 < limit <= num_rows:
        raise ValueError(f"{limit} rows are to be drawn of {num_rows}; draw at least 1 and no more than there are")
    return torch.randperm(num_rows, generator=torch.Generator().manual_seed(0))[:limit].tolist()


def draw_epoch(sizes: Sequence[int], weights: Sequence[float], generator: torch.Generator) -> Tensor:
    """Places of the rows of an epoch, in random order.

    Args:
        sizes: rows of each dataset, which lie one after another.
        weights: how often the epoch passes over each; of a part of a pass, the rows are drawn at random.
    Returns:
        (sum of `count_draws`) int64.
    """
    drawn, start = [], 0
    for size, number in zip(sizes, count_draws(sizes, weights)):
        whole = [torch.arange(size)] * (number // size)
        part = torch.randperm(size, generator=generator)[: number % size] if number % size else torch.arange(0)
        drawn.append(start + torch.cat([*whole, part]))
        start += size
    drawn = torch.cat(drawn)
    return drawn[torch.randperm(len(drawn), generator=generator)]


def count_draws(sizes: Sequence[int], weights: Sequence[float]) -> list[int]:
    """How many rows of each dataset an epoch has, at least one."""
    return [max(1, round(weight * size)) for size, weight in zip(sizes, weights, strict=True)]


class EpochSampler(Sampler[int]):
    """The rows of an epoch, as `draw_epoch` draws them by seed and epoch only."""

    def __init__(self, sizes: Sequence[int], weights: Sequence[float], seed: int):
        self.sizes, self.weights, self.seed, self.epoch = sizes, weights, seed, 0

    def __len__(self) -> int:
        return sum(count_draws(self.sizes, self.weights))

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def draw(self) -> tuple[Tensor, torch.Generator]:
        """Places of the rows, and the generator for what else depends on seed and epoch."""
        generator = torch.Generator().manual_seed(self.seed + self.epoch)
        return draw_epoch(self.sizes, self.weights, generator), generator

    def __iter__(self) -> Iterator[int]:
        return iter(self.draw()[0].tolist())


class LengthGroupedSampler(EpochSampler):
    """The rows of an epoch, ordered so that the rows of a batch are of like length and little is padded.

    Rows are shuffled, sorted by length within pools of `pool` batches, and the batches shuffled again. An incomplete
    batch comes last.
    """

    def __init__(
        self,
        sizes: Sequence[int],
        weights: Sequence[float],
        seed: int,
        lengths: Sequence[int],
        batch_size: int,
        pool: int = 50,
    ):
        super().__init__(sizes, weights, seed)
        self.lengths, self.batch_size, self.pool = torch.tensor(lengths), batch_size, pool

    def __iter__(self) -> Iterator[int]:
        drawn, generator = self.draw()
        pools = drawn.split(self.pool * self.batch_size)
        by_length = [indices[self.lengths[indices].argsort(stable=True)] for indices in pools]
        batches = [batch for indices in by_length for batch in indices.split(self.batch_size)]
        order = torch.randperm(len(batches), generator=generator).tolist()
        order.sort(key=lambda place: len(batches[place]) < self.batch_size)
        return iter(torch.cat([batches[place] for place in order]).tolist())


class NeighbourSampler(EpochSampler):
    """The rows of an epoch, ordered so that molecules of like structure stand together, as hard negatives.

    Rows are sorted by hashes that two of them share with a probability equal to the Tanimoto similarity of their
    fingerprints, cut into groups, and the groups shuffled; an incomplete one comes last. Other hashes in each epoch.

    Source: MinHash (Broder, SEQUENCES 1997).

    Args:
        fingerprints: the bits that are on, for each row.
        group_size: rows that stand together; batches of a multiple of it hold whole groups.
        num_bits: of a fingerprint.
    """

    num_hashes = 3

    def __init__(
        self,
        sizes: Sequence[int],
        weights: Sequence[float],
        seed: int,
        fingerprints: Sequence[Sequence[int]],
        group_size: int,
        num_bits: int,
    ):
        super().__init__(sizes, weights, seed)
        self.group_size, self.num_bits = group_size, num_bits
        self.bits = torch.tensor([bit for bits in fingerprints for bit in bits])
        self.rows = torch.arange(len(fingerprints)).repeat_interleave(
            torch.tensor([len(bits) for bits in fingerprints])
        )

    def __iter__(self) -> Iterator[int]:
        drawn, generator = self.draw()
        hashes = torch.full((self.num_hashes, sum(self.sizes)), self.num_bits)
        for row_hashes in hashes:
            values = torch.randperm(self.num_bits, generator=generator)[self.bits]
            row_hashes.scatter_reduce_(0, self.rows, values, "amin")
        for row_hashes in hashes.flip(0):  # sorted by the first, then by the second, then by the third
            drawn = drawn[row_hashes[drawn].argsort(stable=True)]
        groups = drawn.split(self.group_size)
        order = torch.randperm(len(groups), generator=generator).tolist()
        order.sort(key=lambda place: len(groups[place]) < self.group_size)
        return iter(torch.cat([groups[place] for place in order]).tolist())
