"""Find values that leak from one split into another."""

from collections.abc import Iterator
from itertools import combinations, permutations
from pathlib import Path

import numpy as np

from .files import read_batches
from .findings import SHOWN_IDS, Findings, hash_values

KEPT_APART = {"first_blocks": "inchikey14", "split_groups": "split_group"}  # and their columns


def count_shared(findings: dict[str, Findings], name: str) -> dict[str, int]:
    """Count the distinct values that each pair of splits shares."""
    return {
        f"{one}, {other}": len(_find_shared(findings, name, one, other)) for one, other in combinations(findings, 2)
    }


def find_leaks(findings: dict[str, Findings], files: dict[str, list[Path]], config: str) -> Iterator[dict]:
    """Yield the faults of splits that share first blocks or split groups."""
    for name, column in KEPT_APART.items():
        for one, other in combinations(findings, 2):
            shared = _find_shared(findings, name, one, other)
            if len(shared):
                fault = f"{column} is the same in {one} and {other}"
                first = _find_values(files[other], column, shared)
                yield {"config": config, "fault": fault, "count": len(shared), "first": first}


def _find_shared(findings: dict[str, Findings], name: str, one: str, other: str) -> np.ndarray:
    return np.intersect1d(findings[one].count_hashes(name)[0], findings[other].count_hashes(name)[0])


def _find_values(files: list[Path], column: str, hashes: np.ndarray) -> list[str]:
    """Return the first values of a column that have one of the hashes."""
    values: dict[str, None] = {}
    for file in files:
        for batch in read_batches(file, [column]):
            read = batch[column].drop_null().to_pylist()
            is_hashed = np.isin(hash_values(value.encode() for value in read), hashes)
            values |= dict.fromkeys(np.array(read, object)[is_hashed])
            if len(values) >= SHOWN_IDS:
                return list(values)[:SHOWN_IDS]
    return list(values)


def compare_configs(blocks: dict[str, dict[str, np.ndarray]]) -> dict[str, int]:
    """Count the first blocks that one config trains on and another config has in another split.

    Args:
        blocks: distinct hashes, by config and split.
    Returns:
        Counts by pair of config and split, without pairs that share nothing.
    """
    shared = {
        f"{config}/train, {other}/{split}": len(np.intersect1d(blocks[config].get("train", []), hashes))
        for config, other in permutations(blocks, 2)
        for split, hashes in blocks[other].items()
        if split != "train"
    }
    return {pair: count for pair, count in shared.items() if count}
