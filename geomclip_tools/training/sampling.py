"""Sample the rows to read, and order them into batches."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor
from torch.utils.data import Sampler


def sample_rows(num_rows: int, limit: int | None) -> list[int]:
    """Sample the indices of `limit` rows at random; None returns all indices.

    The sample is always the same, and a smaller sample is a subset of a larger one.

    Raises:
        ValueError: `limit` is below 1 or above `num_rows`.
    """
    if limit is None:
        return list(range(num_rows))
    if not 0 < limit <= num_rows:
        raise ValueError(
            f"cannot sample {limit} of {num_rows} rows; set --train_rows or --validation_rows to a number from 1 to "
            f"{num_rows}"
        )
    return torch.randperm(num_rows, generator=torch.Generator().manual_seed(0))[:limit].tolist()


def draw_epoch(sizes: Sequence[int], weights: Sequence[float], generator: torch.Generator) -> Tensor:
    """Draw the row indices of an epoch, in random order.

    Args:
        sizes: number of rows of each dataset; the datasets are concatenated.
        weights: passes over each dataset per epoch; the rows of a partial pass are sampled at random.
    Returns:
        (sum of `count_draws`,) int64.
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
    """Return the number of rows that an epoch draws from each dataset, at least one."""
    return [max(1, round(weight * size)) for size, weight in zip(sizes, weights, strict=True)]


class EpochSampler(Sampler[int]):
    """Sampler of the rows of an epoch, see `draw_epoch`. They depend only on seed and epoch."""

    def __init__(self, sizes: Sequence[int], weights: Sequence[float], seed: int):
        self.sizes, self.weights, self.seed, self.epoch = sizes, weights, seed, 0

    def __len__(self) -> int:
        return sum(count_draws(self.sizes, self.weights))

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch to draw."""
        self.epoch = epoch

    def draw(self) -> tuple[Tensor, torch.Generator]:
        """Draw the row indices; return them and the generator, for further random choices."""
        generator = torch.Generator().manual_seed(self.seed + self.epoch)
        return draw_epoch(self.sizes, self.weights, generator), generator

    def __iter__(self) -> Iterator[int]:
        return iter(self.draw()[0].tolist())


class LengthGroupedSampler(EpochSampler):
    """Sampler that batches rows of similar length, to reduce padding.

    Rows are shuffled and sorted by length within pools of `pool` batches. The batches are then shuffled. An incomplete
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
    """Sampler that groups molecules of similar structure, as hard negatives.

    Rows are sorted by hashes, which two rows share with a probability equal to the Tanimoto similarity of their
    fingerprints. The sorted rows are cut into groups, and the groups are shuffled. An incomplete group comes last. Each
    epoch uses new hashes.

    Source: MinHash (Broder, SEQUENCES 1997).

    Args:
        fingerprints: the set bits of each row.
        group_size: number of rows per group; batches hold whole groups if their size is a multiple of it.
        num_bits: length of a fingerprint.
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
        for row_hashes in hashes.flip(0):  # the first hash is the primary sort key, the last one breaks ties
            drawn = drawn[row_hashes[drawn].argsort(stable=True)]
        groups = drawn.split(self.group_size)
        order = torch.randperm(len(groups), generator=generator).tolist()
        order.sort(key=lambda place: len(groups[place]) < self.group_size)
        return iter(torch.cat([groups[place] for place in order]).tolist())
