"""A shard of PubChemQC of any size that is neither in memory nor on disk: its bytes are computed when they are read."""

import numpy as np

BEGINNING = r"""{
        "cid": %d,
        "state": "S0",
        "pubchem-inchi": "InChI=1S/H2O/h1H2",
        "name": "a { of \"cid\": 5} and \n    {\n        \"cid\": 6,\n    }",
        "nested": {
            "cid": 7,
            "x": [
                {}
            ]
        },
        "coordinates": [
            0.0, 0.0, 0.12, 0.0, 0.76, -0.47, 0.0, -0.76, -0.48
        ],
        "atomic-numbers": [
            8, 1, 1
        ],
        "orbital-energies": [
"""
LINE = "            -520.0123,\n"
END = '            0.0\n        ],\n        "padding": "%s"\n    }'
SHORTEST = 800  # bytes of a record


class LazyShard:
    """A shard in the format of the mirror.

    Args:
        cids: CIDs, ascending.
        lengths: bytes of each record, at least `SHORTEST`.
    """

    def __init__(self, cids, lengths):
        self.cids, self.lengths = np.asarray(cids), np.asarray(lengths)
        self.offsets = 1 + np.concatenate([[0], np.cumsum(self.lengths + len("\n    ,"))])  # the last: of the end

    def __len__(self):
        return int(self.offsets[-1]) + 1

    def __getitem__(self, wanted):
        start, stop, _ = wanted.indices(len(self))
        first = max(int(np.searchsorted(self.offsets, start, "right")) - 1, 0)
        end = min(int(np.searchsorted(self.offsets, stop)), len(self.cids))
        base = int(self.offsets[first]) if first else 0
        parts = [b"" if first else b"["]
        for index in range(first, end):
            parts += [b"\n    ", self.record(index), b"," if index + 1 < len(self.cids) else b"\n]"]
        return b"".join(parts)[start - base : stop - base]

    def record(self, index):
        """The bytes of a record, from brace to brace."""
        beginning = BEGINNING % self.cids[index]
        room = int(self.lengths[index]) - len(beginning) - len(END % "")
        return (beginning + LINE * (room // len(LINE)) + END % ("x" * (room % len(LINE)))).encode()

    def get(self, cid):
        """The record of a CID, or None."""
        index = int(np.searchsorted(self.cids, cid))
        return self.record(index) if index < len(self.cids) and self.cids[index] == cid else None

    def array(self, cids):
        """The bytes of an array of the records of these CIDs, ascending."""
        found = [record for record in map(self.get, cids) if record is not None]
        return b"[\n    " + b",\n    ".join(found) + b"\n]" if found else b"[]"


def make_gigabyte():
    """A shard of 1 GB whose CIDs have dense regions, sparse ones and a gap, and whose records grow and shrink."""
    random, count = np.random.default_rng(0), 44_000
    place = np.linspace(0, 1, count)
    gaps = 1 + random.poisson(np.where(np.sin(9 * place) > 0, 0.2, 4.0))
    gaps[[0, 11_000, 30_000]] = [3, 150_000, 1_000_000]
    mean = 24_000 + 8_000 * np.sin(5 * place)
    return LazyShard(np.cumsum(gaps), np.clip(random.normal(mean, 6_000), 13_000, 50_000).astype(int))
