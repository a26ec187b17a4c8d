"""Which split a row belongs to: a pure function of its group, the rows of all groups and the seed."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import takewhile

import numpy as np
from rdkit import Chem
from rdkit.rdBase import BlockLogs

from ..chemistry.structure import find_scaffold

SPLITS = {"train": 0.8, "validation": 0.1, "test": 0.1}  # unless a recipe says otherwise
TRAIN = "train"


@dataclass(frozen=True)
class Cuts:
    """Where the groups, ascending by hash, are cut into splits.

    Attributes:
        last: the greatest hash of each split that holds any, in the order of the splits.
        large: hashes of the groups that go to train whatever their hash, ascending.
    """

    last: dict[str, int] = field(default_factory=dict)
    large: tuple[int, ...] = ()

    def name_splits(self, hashes: np.ndarray) -> np.ndarray:
        """The split of each row.

        Args:
            hashes: (rows,) uint64, of the rows' groups; others than the cuts were made from are dealt by the same cuts.
        Returns:
            (rows,) str.
        """
        names = np.array([*self.last] or [TRAIN])
        bounds = np.array([*self.last.values()][:-1], dtype=np.uint64)
        is_large = np.isin(hashes, np.array(self.large, dtype=np.uint64))
        return np.where(is_large, TRAIN, names[np.searchsorted(bounds, hashes)])


def hash_groups(groups: Iterable[str], seed: int) -> np.ndarray:
    """Hashes that order the groups at random; they depend on nothing but group and seed.

    Two groups of the same hash would be dealt as one; for a million groups the odds are below 1 to 10 million.

    Args:
        groups: the group of each row, e.g. InChIKey first blocks.
        seed: another seed gives another order.
    Returns:
        (rows,) uint64: the first 8 bytes, most significant first, of SHA-256 of "seed:group".
    """
    digests = (hashlib.sha256(f"{seed}:{group}".encode()).digest() for group in groups)
    return np.fromiter((int.from_bytes(digest[:8], "big") for digest in digests), dtype=np.uint64)


def make_cuts(hashes: np.ndarray, sizes: Sequence[float] = tuple(SPLITS.values())) -> Cuts:
    """Cuts that give each split its share of the rows, to within one group.

    The groups are dealt in the ascending order of their hashes. Those of several rows that would take more than half
    of the smallest split go to train before the others, as in chemprop's `scaffold_balanced` split; where they alone
    overfill train, the other splits share what is left in their proportions.

    Args:
        hashes: (rows,) uint64, of each row's group, in any order.
        sizes: of the splits, in proportion.
    Source: Yang et al., J. Chem. Inf. Model. 2019, 59, 3370 (chemprop/data/scaffold.py). Differs: the groups not large
        are dealt by hash and not by a generator, and a split is filled to its share before the next one begins.
    """
    shares = dict(zip(SPLITS, np.array(sizes) / sum(sizes), strict=True))
    groups, rows = np.unique(hashes, return_counts=True)
    is_large = rows > max(1, len(hashes) * min(share for share in shares.values() if share) / 2)
    large, num_large = groups[is_large], int(rows[is_large].sum())
    groups, ends = groups[~is_large], np.cumsum(rows[~is_large])
    last, start, share = {}, 0, 0.0
    for split, fraction in shares.items():
        share += fraction
        of_the_rest = (share - shares[TRAIN]) / (1 - shares[TRAIN]) if shares[TRAIN] < 1 else 1
        target = max(round(share * len(hashes)) - num_large, round(of_the_rest * (len(hashes) - num_large)))
        end = int(np.searchsorted(ends, target, side="right"))
        if end > start:
            last[split] = int(groups[end - 1])
            start = end
    return Cuts(last, tuple(large.tolist()))


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
