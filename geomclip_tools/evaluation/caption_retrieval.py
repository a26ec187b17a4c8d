"""Does a caption find its molecule among others?"""

from collections.abc import Hashable, Sequence
from math import comb

import numpy as np

TIE_TOLERANCE = 1e-6


def expect_pool_hits(scores: np.ndarray, molecule_ids: Sequence[Hashable], pool_size: int) -> np.ndarray:
    """Probability that each query ranks its own molecule first in a random pool, exact over all pools.

    A pool holds the own row and rows of other molecules, uniform without replacement; ties are broken at random.

    Args:
        scores: (rows, rows), of query i with candidate j; scores within `TIE_TOLERANCE` of the own one tie with it.
        molecule_ids: one per row; rows that share the id of a query are in none of its pools.
        pool_size: candidates in a pool, the own row included.
    Returns:
        (rows,) float64.
    Raises:
        ValueError: on scores that are not square or not finite, on a wrong number of ids, on a pool without its own
            row, and on a row with fewer others than a pool needs.
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
            f"that a pool needs beside it; lower pool_size={pool_size}"
        )
    level = scores - np.diagonal(scores)[:, None]
    worse = (is_other & (level < -TIE_TOLERANCE)).sum(axis=1)
    tied = (is_other & (np.abs(level) <= TIE_TOLERANCE)).sum(axis=1)
    return np.array([_first_place(*counts, pool_size - 1) for counts in np.stack([others, worse, tied], 1).tolist()])


def _check(scores: np.ndarray, molecule_ids: Sequence[Hashable], pool_size: int) -> None:
    if scores.ndim != 2 or scores.shape[0] != scores.shape[1]:
        raise ValueError(f"scores have shape {scores.shape}; they must be square, row and column i being one row")
    bad = np.flatnonzero(~np.isfinite(scores).all(axis=1))
    if len(bad):
        raise ValueError(f"scores hold NaN or infinity in {len(bad)} rows, first in row {bad[0]}; repair them")
    if len(molecule_ids) != len(scores):
        raise ValueError(f"{len(molecule_ids)} molecule_ids for {len(scores)} rows of scores; give one per row")
    if pool_size < 1:
        raise ValueError(f"pool_size={pool_size} must be at least 1, the own row")


def _first_place(others: int, worse: int, tied: int, drawn: int) -> float:
    """Chance to be first among `drawn` others, by the hypergeometric law and in whole numbers.

    No better one may be drawn; beside j tied ones the chance is 1 / (1 + j), so that over all draws it is
        sum_j C(tied, j) C(worse, drawn - j) / (1 + j) / C(others, drawn),
    and as C(tied, j) / (1 + j) = C(tied + 1, j + 1) / (tied + 1), Vandermonde's identity does the sum.
    """
    ways = comb(worse + tied + 1, drawn + 1) - comb(worse, drawn + 1)
    return ways / ((tied + 1) * comb(others, drawn))
