"""Count the pairs for the report and the card while they are written."""

from collections import Counter
from collections.abc import Iterable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

TOLD = ("text_kind", "text_source", "text_license_url", "geometry_source", "geometry_method", "match_level")


class Tally:
    """Counts rows by the values of their columns, and collects the lengths of texts and molecules (4 bytes each).

    Args:
        benchmarks: names of the benchmark lists that may appear in the rows.
    """

    def __init__(self, benchmarks: Iterable[str] = ()):
        self._rows = {column: Counter() for column in TOLD}
        self._benchmarks = {name: Counter() for name in benchmarks}
        self._words: list[np.ndarray] = []
        self._atoms: list[np.ndarray] = []

    def add(self, rows: pa.Table, words: np.ndarray) -> None:
        """Add rows of `schema.FEATURES`.

        Args:
            words: (rows,) number of words of each text.
        """
        for column, counter in self._rows.items():
            counter.update("not stated" if value is None else value for value in rows[column].to_pylist())
        for split, names in zip(rows["split"].to_pylist(), rows["benchmarks"].to_pylist()):
            for name in names:
                self._benchmarks[name][split] += 1
        self._words.append(words.astype(np.int32))
        self._atoms.append(pc.list_value_length(rows["atomic_numbers"]).to_numpy())

    def report(self) -> dict:
        """Return all figures as JSON data."""
        words, atoms = np.concatenate(self._words), np.concatenate(self._atoms)
        return {
            "rows_by": {column: dict(counter.most_common()) for column, counter in self._rows.items()},
            "words": {"median": float(np.median(words)), "max": int(words.max())},
            "atoms": {"median": float(np.median(atoms)), "max": int(atoms.max())},
            "rows_of_benchmark_molecules": {name: dict(sorted(c.items())) for name, c in self._benchmarks.items()},
        }
