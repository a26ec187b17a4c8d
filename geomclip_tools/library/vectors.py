"""The embeddings of an index in one file, which an exact search maps into memory.

LanceDB reads and decodes all vectors for each exact search, which takes many times as long as the products themselves.
The file is a copy of the vectors in one version of the table; with any other version it is not used.
"""

import shutil
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch

from .rows import VECTOR

ROW_ID = "_rowid"  # LanceDB's number of a row, in one version of a table
CHUNK = 8192  # vectors that are converted to float32 at once
TIE = 1e-6  # products of equal vectors may differ in the last bit


class VectorFile:
    """The vectors of a version of a table.

    Args:
        folder: folder that `write` has made.
    Attributes:
        version: the version.
        row_ids: (rows,) uint64.
    """

    def __init__(self, folder: Path):
        self.version = int(folder.name)
        self.row_ids, self._norms = np.load(folder / "row_ids.npy"), np.load(folder / "norms.npy")
        values = np.memmap(folder / "vectors", np.float16, "c")  # copy on write, though nothing is written
        self._vectors = torch.from_numpy(values.reshape(len(self.row_ids), -1))

    @classmethod
    def open(cls, folder: Path, version: int) -> "VectorFile | None":
        """Open the file of a version, or return None if there is none."""
        try:
            return cls(folder / str(version))
        except FileNotFoundError:  # also if a writer removes it meanwhile
            return None

    @staticmethod
    def write(folder: Path, version: int, batches: Iterable[pa.Table]) -> None:
        """Write the file of a version, unless it is there, and remove those of others; it appears when it is complete.

        Args:
            folder: folder for the files of all versions.
            version: version of the table.
            batches: all rows of the table, at least one, with `vector` and `_rowid`.
        """
        if (folder / str(version)).is_dir():
            return
        partial = folder / "partial"
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        row_ids, norms = [], []
        with (partial / "vectors").open("wb") as file:
            for batch in batches:
                values = batch[VECTOR].combine_chunks().flatten().to_numpy().reshape(len(batch), -1)
                file.write(values.tobytes())
                row_ids.append(batch[ROW_ID].to_numpy())
                norms.append(np.linalg.norm(values.astype(np.float32), axis=1))
        np.save(partial / "row_ids.npy", np.concatenate(row_ids))
        np.save(partial / "norms.npy", np.concatenate(norms))
        partial.rename(folder / str(version))
        for other in folder.iterdir():
            if other.name != str(version):
                shutil.rmtree(other)

    def find_nearest(self, query: np.ndarray, limit: int, among: np.ndarray | None = None) -> np.ndarray:
        """Return the row ids of the rows nearest to a vector, in any order; more than `limit` if the last are tied.

        Args:
            query: (size,) float32, L2-normalised.
            limit: number of rows.
            among: (candidates,) row ids of the rows to choose from; None stands for all.
        """
        scores = self._score(query)
        row_ids = self.row_ids
        if among is not None:
            is_candidate = np.isin(row_ids, among)
            scores, row_ids = scores[is_candidate], row_ids[is_candidate]
        return row_ids[choose_best(scores, limit)]

    def _score(self, query: np.ndarray) -> np.ndarray:
        scores, query = torch.empty(len(self._vectors)), torch.from_numpy(query.astype(np.float32))
        for rows, part in zip(self._vectors.split(CHUNK), scores.split(CHUNK)):
            torch.mv(rows.float(), query, out=part)
        return scores.numpy() / self._norms


def choose_best(scores: np.ndarray, limit: int) -> np.ndarray:
    """Return the places of the `limit` highest scores in any order, and of those tied with the last of them."""
    if len(scores) <= limit:
        return np.arange(len(scores))
    return np.flatnonzero(scores >= np.partition(scores, -limit)[-limit] - TIE)
