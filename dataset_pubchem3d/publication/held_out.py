"""Find the pairs to leave out of the config `pretrain`, so that models are not trained on data they are tested with."""

from collections import Counter
from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ..benchmarks import Benchmark
from ..same_texts import hash_texts

EVALUATED = {"train": ("validation", "test"), "validation": ("test",)}  # splits whose texts a split must not have
MOLECULE, TEXT, SPLIT_TEXT = "molecule of a benchmark", "text of a benchmark", "text of {}"  # why a row is left out


class HeldOut:
    """Finds and counts the rows to leave out.

    Args:
        benchmarks: benchmarks by name.
        split_texts: hashes of the texts of the splits `validation` and `test`, if they have rows, see `hash_texts`.
    """

    def __init__(self, benchmarks: Mapping[str, Benchmark], split_texts: Mapping[str, np.ndarray]):
        self._texts = {name: benchmark.texts for name, benchmark in benchmarks.items() if len(benchmark.texts)}
        self._split_texts = split_texts
        self._rows_of_texts = {name: Counter() for name in self._texts}
        self._left_out = {
            split: Counter(dict.fromkeys((MOLECULE, TEXT, *map(SPLIT_TEXT.format, others)), 0))
            for split, others in EVALUATED.items()
        }

    def find(self, rows: pa.Table) -> np.ndarray:
        """Find the rows that `pretrain` leaves out; rows of splits that it does not have are not marked.

        Args:
            rows: table of `schema.FEATURES`.
        Returns:
            (rows,) bool.
        """
        splits = rows["split"].to_numpy(zero_copy_only=False)
        texts = hash_texts(rows["text"].to_pylist())
        in_lists = {name: np.isin(texts, listed) for name, listed in self._texts.items()}
        for name, is_in in in_lists.items():
            self._rows_of_texts[name].update(splits[is_in])
        found = {
            MOLECULE: pc.list_value_length(rows["benchmarks"]).to_numpy() > 0,
            TEXT: np.logical_or.reduce([np.zeros(len(rows), bool), *in_lists.values()]),
            **{SPLIT_TEXT.format(split): np.isin(texts, held) for split, held in self._split_texts.items()},
        }
        is_left_out = np.zeros(len(rows), bool)
        for split, counts in self._left_out.items():
            for reason in counts:  # a row counts under the first reason that holds
                is_found = found.get(reason, False) & (splits == split) & ~is_left_out
                counts[reason] += int(is_found.sum())
                is_left_out |= is_found
        return is_left_out

    def report(self) -> dict:
        """Return the counts as JSON data.

        Returns:
            `rows_of_benchmark_texts`: by list and split, the rows with a text of the list, benchmark molecules
            included. `left_out_of_pretrain`: by split and reason, the rows left out, each under its first reason.
        """
        return {
            "rows_of_benchmark_texts": {name: dict(sorted(c.items())) for name, c in self._rows_of_texts.items()},
            "left_out_of_pretrain": {split: dict(counts) for split, counts in self._left_out.items()},
        }
