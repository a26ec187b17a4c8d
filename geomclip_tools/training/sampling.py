"""Which rows are read, and which of them share a batch."""

from collections.abc import Iterator, Sequence

import torch
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


class LengthGroupedSampler(Sampler[int]):
    """Every row once an epoch, so that the rows of a batch are of like length and little is padded.

    Rows are shuffled, sorted by length within pools of `pool` batches, and the batches shuffled again. An incomplete
    batch comes last. The order depends on seed and epoch only.
    """

    def __init__(self, lengths: Sequence[int], batch_size: int, seed: int, pool: int = 50):
        self.lengths = torch.tensor(lengths)
        self.batch_size, self.seed, self.pool, self.epoch = batch_size, seed, pool, 0

    def __len__(self) -> int:
        return len(self.lengths)

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(self.seed + self.epoch)
        pools = torch.randperm(len(self), generator=generator).split(self.pool * self.batch_size)
        by_length = [indices[self.lengths[indices].argsort(stable=True)] for indices in pools]
        batches = [batch for indices in by_length for batch in indices.split(self.batch_size)]
        order = torch.randperm(len(batches), generator=generator).tolist()
        order.sort(key=lambda place: len(batches[place]) < self.batch_size)
        return iter(torch.cat([batches[place] for place in order]).tolist())
