"""Retrieve the molecule of a caption from random pools of candidates."""

from collections.abc import Hashable, Sequence
from math import comb

import numpy as np

TIE_TOLERANCE = 1e-6


def expect_pool_hits(scores: np.ndarray, molecule_ids: Sequence[Hashable], pool_size: int) -> np.ndarray:
    """Compute the exact probability that each query ranks its own molecule first in a random pool.

    A pool contains the query's own row and rows of other molecules, drawn uniformly without replacement. Ties are
    broken at random.

    Args:
        scores: (rows, rows) scores of query i with candidate j; scores within `TIE_TOLERANCE` of the own score tie
            with it.
        molecule_ids: one per row; a query's pools exclude other rows with its id.
        pool_size: number of candidates in a pool, including the own row.
    Returns:
        Probabilities, (rows,) float64.
    Raises:
        ValueError: if the scores are not square or not finite, the number of ids is wrong, `pool_size` is below 1, or
            a row has fewer rows of other molecules than a pool needs.
    """
    scores = np.asarray(scores, dtype=np.float64)
    _check(scores, molecule_ids, pool_size)
    numbers = {molecule: number for number, molecule in enumerate(dict.fromkeys(molecule_ids))}
    molecules = np.array([numbers[molecule] for molecule in molecule_ids])
    is_other = molecules[:, None] != molecules
    others = is_other.sum(axis=1)
    short = np.flatnonzero(others < pool_size - 1)
    if len(short):
        raise ValueError(
            f"row {short[0]} has {others[short[0]]} rows of other molecules, fewer than the {pool_size - 1} "
            f"that a pool needs besides it; lower pool_size={pool_size}"
        )
    level = scores - np.diagonal(scores)[:, None]
    worse = (is_other & (level < -TIE_TOLERANCE)).sum(axis=1)
    tied = (is_other & (np.abs(level) <= TIE_TOLERANCE)).sum(axis=1)
    return np.array([_first_place(*counts, pool_size - 1) for counts in np.stack([others, worse, tied], 1).tolist()])


def _check(scores: np.ndarray, molecule_ids: Sequence[Hashable], pool_size: int) -> None:
    if scores.ndim != 2 or scores.shape[0] != scores.shape[1]:
        raise ValueError(f"scores have shape {scores.shape}; they must be square, with row i and column i of one pair")
    bad = np.flatnonzero(~np.isfinite(scores).all(axis=1))
    if len(bad):
        raise ValueError(f"scores contain NaN or infinity in {len(bad)} rows, first in row {bad[0]}; correct them")
    if len(molecule_ids) != len(scores):
        raise ValueError(f"{len(molecule_ids)} molecule_ids for {len(scores)} rows of scores; pass one per row")
    if pool_size < 1:
        raise ValueError(f"pool_size={pool_size} must be at least 1, because a pool includes the own row")


def _first_place(others: int, worse: int, tied: int, drawn: int) -> float:
    """Return the probability of rank 1 among `drawn` others, by the hypergeometric distribution in exact integers.

    No better candidate may be drawn. With j tied candidates in the draw, the probability is 1 / (1 + j). The sum over
    all draws is
        sum_j C(tied, j) C(worse, drawn - j) / (1 + j) / C(others, drawn),
    which Vandermonde's identity evaluates, because C(tied, j) / (1 + j) = C(tied + 1, j + 1) / (tied + 1).
    """
    ways = comb(worse + tied + 1, drawn + 1) - comb(worse, drawn + 1)
    return ways / ((tied + 1) * comb(others, drawn))
