"""Assign rows to splits by their group, the seed and the sizes of the splits, independently of other rows."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import accumulate, takewhile
from math import ceil

import numpy as np
from rdkit import Chem
from rdkit.rdBase import BlockLogs

from ..chemistry.structure import find_scaffold

SPLITS = {"train": 0.8, "validation": 0.1, "test": 0.1}  # default sizes
TRAIN = "train"


@dataclass(frozen=True)
class Cuts:
    """Cuts that divide the range of hashes into splits.

    Attributes:
        last: greatest hash of each split that has a share, in the order of the splits.
        large: hashes of the large groups, which always go to train, ascending.
    """

    last: dict[str, int]
    large: tuple[int, ...] = ()

    def name_splits(self, hashes: np.ndarray) -> np.ndarray:
        """Return the split of each row.

        Args:
            hashes: (rows,) uint64, hashes of the rows' groups. They may include groups that `make_cuts` did not see.
        Returns:
            (rows,) str.
        """
        bounds = np.array([*self.last.values()][:-1], dtype=np.uint64)
        is_large = np.isin(hashes, np.array(self.large, dtype=np.uint64))
        return np.where(is_large, TRAIN, np.array([*self.last])[np.searchsorted(bounds, hashes)])


def hash_groups(groups: Iterable[str], seed: int) -> np.ndarray:
    """Hash the groups to pseudorandom numbers that depend only on group and seed.

    Two groups with the same hash would be treated as one. For a million groups, the probability is below 1 in 10
    million.

    Args:
        groups: group of each row, e.g. InChIKey first blocks.
        seed: seed of the splits.
    Returns:
        (rows,) uint64: the first 8 bytes, most significant first, of the SHA-256 digest of "seed:group".
    """
    digests = (hashlib.sha256(f"{seed}:{group}".encode()).digest() for group in groups)
    return np.fromiter((int.from_bytes(digest[:8], "big") for digest in digests), dtype=np.uint64)


def find_shares(sizes: Sequence[float]) -> dict[str, Fraction]:
    """Return the exact shares, summing to 1, of splits with these relative sizes; 0.8 is taken as 8 tenths."""
    parts = [Fraction(str(float(size))) for size in sizes]
    return {split: part / sum(parts) for split, part in zip(SPLITS, parts, strict=True)}


def make_cuts(hashes: np.ndarray, sizes: Sequence[float] = tuple(SPLITS.values())) -> Cuts:
    """Make cuts that give each split its share of the groups on average and stay stable when rows are added or removed.

    Each split gets a share of the range of hashes, and a group belongs to the split whose share contains its hash. This
    does not depend on other groups. Large groups would distort the sizes, so they always go to train, in addition to
    train's share of the other groups. A group is large if it has more rows than a bound: the greatest power of two, but
    at least 1, that does not exceed half of the smallest split's expected rows. A group therefore changes its split
    only if its own number of rows crosses the bound, or if the total number of rows changes enough to move the bound to
    another power of two and past the group's number of rows.

    Args:
        hashes: (rows,) uint64, hash of each row's group, in any order.
        sizes: relative sizes of the splits; a split of size 0 gets no rows.
    Source: Yang et al., J. Chem. Inf. Model. 2019, 59, 3370 (chemprop/data/scaffold.py, `scaffold_balanced`), for the
        large groups. Differs: the bound is rounded down to a power of two, and the other groups are assigned by hash.
    """
    shares = {split: share for split, share in find_shares(sizes).items() if share}
    ends = accumulate(shares.values())
    last = {split: ceil(end * 2**64) - 1 for split, end in zip(shares, ends)}
    half = int(min(shares.values()) * len(hashes) / 2)
    bound = 2 ** max(0, half.bit_length() - 1)
    groups, rows = np.unique(hashes, return_counts=True)
    return Cuts(last, tuple(groups[rows > bound].tolist()))


def find_split_group(split_by: str, inchi: str, first_block: str) -> str:
    """Return the split group of a row: the first block of its InChIKey, or its scaffold."""
    return find_scaffold_group(inchi, first_block) if split_by == "scaffold" else first_block


def find_scaffold_group(inchi: str, first_block: str) -> str:
    """Return the split group of a molecule for a scaffold split.

    Args:
        inchi: standard InChI. Only the layers behind the first block of the InChIKey are used (formula, connections,
            hydrogens, charge), so molecules with the same first block are in the same group.
        first_block: group of a molecule without rings, or for which RDKit does not find a scaffold.
    Returns:
        SMILES of the Bemis-Murcko scaffold, see `find_scaffold`, or `first_block`.
    """
    version, formula, *layers = inchi.split("/")
    skeleton = "/".join([version, formula, *takewhile(lambda layer: layer[0] in "chq", layers)])
    with BlockLogs():
        mol = Chem.MolFromInchi(skeleton)
        if mol is None:
            return first_block
        try:
            return find_scaffold(mol) or first_block
        except (ValueError, RuntimeError):  # a scaffold that cannot be sanitised
            return first_block
