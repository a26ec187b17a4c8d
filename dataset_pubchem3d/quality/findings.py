"""Collect findings from rows: counts, values to compare across rows, and faults.

Compared values are stored as 8-byte hashes only, which are all that grows with the number of rows. A collision is
expected once in about 10^5 folders of 10^7 rows.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

SHOWN_IDS = 10


@dataclass
class Findings:
    """Findings about rows, which can be merged with those about other rows.

    Attributes:
        counts: number of rows with each value, by figure.
        hashes: arrays (rows,) uint64, by compared value.
        faults: ids of the first rows with each fault; `counts["faults"]` has the number of rows.
    """

    counts: defaultdict[str, Counter] = field(default_factory=lambda: defaultdict(Counter))
    hashes: defaultdict[str, list[np.ndarray]] = field(default_factory=lambda: defaultdict(list))
    faults: defaultdict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    @classmethod
    def merge(cls, findings: Iterable["Findings"]) -> "Findings":
        """Return the sum of several findings."""
        whole = cls()
        for found in findings:
            whole.add(found)
        return whole

    def add(self, other: "Findings") -> None:
        """Add the findings from other rows."""
        for name, counter in other.counts.items():
            self.counts[name].update(counter)
        for name, arrays in other.hashes.items():
            self.hashes[name].extend(arrays)
        for fault, ids in other.faults.items():
            self._name_rows(fault, ids)

    def add_fault(self, fault: str, ids: Sequence[str]) -> None:
        """Add a fault of the rows with these ids."""
        if len(ids):
            self.counts["faults"][fault] += len(ids)
            self._name_rows(fault, ids)

    def _name_rows(self, fault: str, ids: Sequence[str]) -> None:
        self.faults[fault] = [*self.faults[fault], *ids][:SHOWN_IDS]

    def add_hashes(self, name: str, values: Iterable[bytes]) -> None:
        """Hash values and add them under a name."""
        self.hashes[name].append(hash_values(values))

    def count_hashes(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """Return the distinct hashes, ascending, and the number of rows with each."""
        arrays = self.hashes.get(name, [])
        return np.unique(np.concatenate(arrays) if arrays else np.empty(0, np.uint64), return_counts=True)


def hash_values(values: Iterable[bytes]) -> np.ndarray:
    """Hash values to 64 bits.

    Returns:
        (values,) uint64.
    """
    digests = b"".join(hashlib.blake2b(value, digest_size=8).digest() for value in values)
    return np.frombuffer(digests, np.uint64)
