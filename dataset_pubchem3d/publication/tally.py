"""Figures of the pairs that the report and the card state, added up while the rows go by."""

from collections import Counter

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

TOLD = ("text_kind", "text_source", "text_license_url", "geometry_source", "geometry_method", "match_level")


class Tally:
    """Counts of rows by what they say, and the lengths of texts and molecules (4 bytes each a row)."""

    def __init__(self):
        self._rows = {column: Counter() for column in TOLD}
        self._benchmarks: dict[str, Counter] = {}
        self._words: list[np.ndarray] = []
        self._atoms: list[np.ndarray] = []

    def add(self, rows: pa.Table, words: np.ndarray, listed: dict[str, np.ndarray]) -> None:
        """Add rows of `schema.FEATURES`.

        Args:
            words: (rows,) length of each text.
            listed: by benchmark, (rows,) bool, whether it lists the row's molecule.
        """
        for column, counter in self._rows.items():
            counter.update("not stated" if value is None else value for value in rows[column].to_pylist())
        split = rows["split"].to_numpy(zero_copy_only=False)
        for name, mask in listed.items():
            self._benchmarks.setdefault(name, Counter()).update(split[mask].tolist())
        self._words.append(words.astype(np.int32))
        self._atoms.append(pc.list_value_length(rows["atomic_numbers"]).to_numpy())

    def report(self) -> dict:
        """All figures, in a form for JSON."""
        words, atoms = np.concatenate(self._words), np.concatenate(self._atoms)
        return {
            "rows_by": {column: dict(counter.most_common()) for column, counter in self._rows.items()},
            "words": {"median": float(np.median(words)), "max": int(words.max())},
            "atoms": {"median": float(np.median(atoms)), "max": int(atoms.max())},
            "rows_of_benchmark_molecules": {name: dict(sorted(c.items())) for name, c in self._benchmarks.items()},
        }
