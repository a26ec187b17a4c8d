"""What is found in rows: counts, values that must be compared across rows, and faults.

Of compared values only 8-byte hashes are kept, so memory stays flat but for these (a wrong hit is expected once in
about 10^5 folders of 10^7 rows).
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

SHOWN_IDS = 10


@dataclass
class Findings:
    """What is found in rows; what is found in others can be added.

    counts: for each figure, how many rows have which value.
    hashes: for each compared value, arrays (rows,) uint64.
    faults: for each fault, ids of its first rows; `counts["faults"]` has their numbers.
    """

    counts: defaultdict[str, Counter] = field(default_factory=lambda: defaultdict(Counter))
    hashes: defaultdict[str, list[np.ndarray]] = field(default_factory=lambda: defaultdict(list))
    faults: defaultdict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    @classmethod
    def merge(cls, findings: Iterable["Findings"]) -> "Findings":
        whole = cls()
        for found in findings:
            whole.add(found)
        return whole

    def add(self, other: "Findings") -> None:
        for name, counter in other.counts.items():
            self.counts[name].update(counter)
        for name, arrays in other.hashes.items():
            self.hashes[name].extend(arrays)
        for fault, ids in other.faults.items():
            self._name_rows(fault, ids)

    def add_fault(self, fault: str, ids: Sequence[str]) -> None:
        if len(ids):
            self.counts["faults"][fault] += len(ids)
            self._name_rows(fault, ids)

    def _name_rows(self, fault: str, ids: Sequence[str]) -> None:
        self.faults[fault] = [*self.faults[fault], *ids][:SHOWN_IDS]

    def add_hashes(self, name: str, values: Iterable[bytes]) -> None:
        self.hashes[name].append(hash_values(values))

    def count_hashes(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """Distinct hashes, ascending, and how many rows have each."""
        arrays = self.hashes.get(name, [])
        return np.unique(np.concatenate(arrays) if arrays else np.empty(0, np.uint64), return_counts=True)


def hash_values(values: Iterable[bytes]) -> np.ndarray:
    """Returns: (values,) uint64."""
    digests = b"".join(hashlib.blake2b(value, digest_size=8).digest() for value in values)
    return np.frombuffer(digests, np.uint64)
