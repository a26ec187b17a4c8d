"""Which split a row belongs to: a function of its group, the seed and the sizes of the splits, not of other rows."""

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

SPLITS = {"train": 0.8, "validation": 0.1, "test": 0.1}  # unless a recipe says otherwise
TRAIN = "train"


@dataclass(frozen=True)
class Cuts:
    """Where the range of the hashes is cut into splits.

    Attributes:
        last: the greatest hash of each split that has a share, in the order of the splits.
        large: hashes of the groups that go to train whatever their hash, ascending.
    """

    last: dict[str, int]
    large: tuple[int, ...] = ()

    def name_splits(self, hashes: np.ndarray) -> np.ndarray:
        """The split of each row.

        Args:
            hashes: (rows,) uint64, of the rows' groups; others than the cuts were made from are dealt by the same cuts.
        Returns:
            (rows,) str.
        """
        bounds = np.array([*self.last.values()][:-1], dtype=np.uint64)
        is_large = np.isin(hashes, np.array(self.large, dtype=np.uint64))
        return np.where(is_large, TRAIN, np.array([*self.last])[np.searchsorted(bounds, hashes)])


def hash_groups(groups: Iterable[str], seed: int) -> np.ndarray:
    """Hashes that deal the groups at random; they depend on nothing but group and seed.

    Two groups of the same hash would be dealt as one; for a million groups the odds are below 1 to 10 million.

    Args:
        groups: the group of each row, e.g. InChIKey first blocks.
        seed: another seed gives another split.
    Returns:
        (rows,) uint64: the first 8 bytes, most significant first, of SHA-256 of "seed:group".
    """
    digests = (hashlib.sha256(f"{seed}:{group}".encode()).digest() for group in groups)
    return np.fromiter((int.from_bytes(digest[:8], "big") for digest in digests), dtype=np.uint64)


def find_shares(sizes: Sequence[float]) -> dict[str, Fraction]:
    """Exact shares that sum to 1, of splits whose sizes are given in proportion; 0.8 counts as 8 tenths."""
    parts = [Fraction(str(float(size))) for size in sizes]
    return {split: part / sum(parts) for split, part in zip(SPLITS, parts, strict=True)}


def make_cuts(hashes: np.ndarray, sizes: Sequence[float] = tuple(SPLITS.values())) -> Cuts:
    """Cuts that give each split its share of the groups, on average, and that a row more or less does not move.

    A group is in the split within whose share of the range of all hashes its hash falls, whatever other groups there
    are. Large groups, which would upset that average, go to train besides its share of the others: those of more rows
    than the greatest power of two that is at most half of the smallest split's expected rows, and at least one row.
    So a group changes its split only where its own rows cross that bound, or where the number of all rows does so much
    that the bound is another power of two and its rows lie between the two.

    Args:
        hashes: (rows,) uint64, of each row's group, in any order.
        sizes: of the splits, in proportion; one of size 0 gets no row.
    Source: Yang et al., J. Chem. Inf. Model. 2019, 59, 3370 (chemprop/data/scaffold.py, `scaffold_balanced`), for the
        large groups. Differs: their bound is rounded down to a power of two, and the other groups are dealt by hash.
    """
    shares = {split: share for split, share in find_shares(sizes).items() if share}
    ends = accumulate(shares.values())
    last = {split: ceil(end * 2**64) - 1 for split, end in zip(shares, ends)}
    half = int(min(shares.values()) * len(hashes) / 2)
    bound = 2 ** max(0, half.bit_length() - 1)
    groups, rows = np.unique(hashes, return_counts=True)
    return Cuts(last, tuple(groups[rows > bound].tolist()))


def find_split_group(split_by: str, inchi: str, first_block: str) -> str:
    """What a row is dealt by: the first block of its InChIKey, or its scaffold."""
    return find_scaffold_group(inchi, first_block) if split_by == "scaffold" else first_block


def find_scaffold_group(inchi: str, first_block: str) -> str:
    """The group of a molecule where splits are to share no scaffold.

    Args:
        inchi: standard InChI. Only the layers count that the first block of the InChIKey is made from (formula,
            connections, hydrogens, charge), so molecules of one first block are of one group.
        first_block: the group where there is no ring or RDKit finds no scaffold.
    Returns:
        SMILES of the Bemis-Murcko scaffold, see `find_scaffold`.
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
