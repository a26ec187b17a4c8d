"""The LanceDB table of an index: one row per InChIKey, written in batches that are whole or absent."""

import json
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from filelock import FileLock

from .rows import (
    HIDDEN,
    KEY,
    METADATA,
    PATTERN,
    TEXT_VECTOR,
    UNITED,
    VECTOR,
    make_schema,
    make_table,
    read_rows,
    read_vectors,
    unite,
)
from .vectors import CHUNK, ROW_ID, VectorFile, choose_best

try:
    import lancedb
    from lancedb.index import BTree, IvfRq
except ImportError as error:
    raise ImportError('an index needs LanceDB; pip install "geomclip[search]"') from error

TABLE = "molecules"
LOCK = "writers.lock"  # in the folder of a local index
SOURCE = re.compile(r",? ?/\S+\.rs:\d+(?::\d+)?")  # in messages of LanceDB
UNCOMPUTED = "Query Execution error"  # in messages of LanceDB: a condition failed for a row
LOCAL = "file://"
APPROXIMATE_FROM = 100_000  # rows; fewer are searched exactly
VECTOR_FILE_FROM = 10_000  # rows; the vectors of fewer are read from the table in no time
VECTOR_FILES = "vectors"  # in the folder of a local index
MORE = 20  # rows to find beyond those wanted
PROBES, REFINEMENT = 24, 20  # partitions to search, and candidates per row found whose full vectors are compared
OLD_VERSIONS = timedelta(hours=1)  # are kept for searches that still read them


class Written(NamedTuple):
    """InChIKeys of the rows that were added, and of those without `vector` whose molecule has no row any more."""

    added: set[str]
    lost: set[str]


class MoleculeStore:
    """A table on disk or in object storage; each write is a new version, so a reader sees whole batches.

    Writers of a local table take turns by a lock in its folder, which the operating system releases when a process
    ends. A remote table has no lock: concurrent writers can then duplicate a molecule that both add for the first time.

    Attributes:
        path: folder or URI.
        metadata: what the rows were made with.
    """

    def __init__(self, path: str, table: Any):
        self.path, self._table, self._sample, self._vectors = path, table, (None, None), None
        found = (table.schema.metadata or {}).get(METADATA)
        if found is None:
            raise ValueError(f"{path} is a LanceDB database without an index of molecules; choose another folder")
        self.metadata: dict[str, Any] = json.loads(found)

    @classmethod
    def open(cls, path: str) -> "MoleculeStore":
        """Open a table.

        Raises:
            ValueError: there is none.
        """
        path = path.removeprefix(LOCAL)
        if not exists(path):
            raise ValueError(f"there is no index at {path}; check the path, or make one with `geomclip index add`")
        return cls(path, _connect(path).open_table(TABLE))

    @classmethod
    def create(cls, path: str, size: int, metadata: Mapping[str, Any]) -> "MoleculeStore":
        """Create an empty table, or open the one that is there.

        Args:
            path: folder or URI.
            size: number of dimensions of the embeddings.
            metadata: what the rows are made with.
        """
        path = path.removeprefix(LOCAL)
        with lock(path):
            if not exists(path):
                _connect(path).create_table(TABLE, schema=make_schema(size, metadata))
        return cls.open(path)

    # ---------------------------------------------------------------------------------------------------------- reading

    @property
    def schema(self) -> pa.Schema:
        """The columns of the table."""
        return self._table.schema

    def count(self, where: str | None = None) -> int:
        """Return the number of rows, or of those that fulfil a condition in SQL."""
        with self._explain(where):
            return self._table.count_rows(where)

    def find(self, keys: Sequence[str], columns: Sequence[str] | None = None) -> pa.Table:
        """Return the rows of some InChIKeys, in any order."""
        query = self._table.search().where(list_keys(keys)).limit(max(len(keys), 1))
        return query.select([*(columns or self.schema.names)]).to_arrow()

    def scan(self, columns: Sequence[str], where: str | None = None, batch_size: int = 1024) -> Iterator[pa.Table]:
        """Yield all rows, or those that fulfil a condition, in batches."""
        query = self._table.search().select([*columns])
        with self._explain(where):
            for batch in (query.where(where) if where else query).to_batches(batch_size):
                yield pa.Table.from_batches([batch])

    def screen(self, bits: bytes, where: str | None = None) -> list[str]:
        """Return the InChIKeys of the rows whose pattern has all these bits, and which fulfil a condition in SQL."""
        wanted, keys = np.frombuffer(bits, np.uint8), []
        for batch in self.scan((KEY, PATTERN), where, CHUNK):
            patterns = np.frombuffer(b"".join(batch[PATTERN].to_pylist()), np.uint8).reshape(len(batch), -1)
            keys.extend(batch[KEY].filter(pa.array(((patterns & wanted) == wanted).all(axis=1))).to_pylist())
        return keys

    def rank(
        self, query: np.ndarray, limit: int, columns: Sequence[str], where: str | None = None, exact: bool = False
    ) -> pa.Table:
        """Return the rows nearest to a vector, by `score` (cosine) and then InChIKey.

        Args:
            query: (size,) float32, L2-normalised.
            limit: largest number of rows.
            columns: columns to return beside `score`.
            where: condition in SQL.
            exact: compare all vectors, even if there is an approximate index.
        """
        wanted = [*dict.fromkeys((*columns, KEY, VECTOR))]
        with self._explain(where):
            is_exact = exact or self.count(where) < APPROXIMATE_FROM
            found = (self._rank_all if is_exact else self._rank_some)(query, limit, wanted, where)
        scores = read_vectors(found) @ query.astype(np.float32)
        order = np.lexsort((found[KEY].to_numpy(), -scores))[:limit]
        return found.select([*columns]).append_column("score", pa.array(scores)).take(order)

    def rank_texts(self, query: np.ndarray, limit: int, columns: Sequence[str]) -> pa.Table:
        """Return the rows whose texts are nearest to a vector, by `score` (cosine).

        Args:
            query, limit, columns: as for `rank`.
        """
        search = self._table.search(query, vector_column_name=TEXT_VECTOR).distance_type("cosine")
        search = search.where("text is not null").limit(limit + MORE)  # LanceDB rounds the query to float16
        found = search.select([*columns, TEXT_VECTOR, "_distance"]).to_arrow()
        scores = read_vectors(found, TEXT_VECTOR) @ query.astype(np.float32)
        order = np.argsort(-scores, kind="stable")[:limit]
        return found.select([*columns]).append_column("score", pa.array(scores)).take(order)

    def _rank_some(self, query: np.ndarray, limit: int, columns: list[str], where: str | None) -> pa.Table:
        """Return the nearest rows by the approximate index.

        LanceDB rounds the query to float16, so more rows are found than are wanted.
        """
        search = self._table.search(query, vector_column_name=VECTOR).distance_type("cosine").limit(limit + MORE)
        search = search.nprobes(PROBES).refine_factor(REFINEMENT)
        return (search.where(where) if where else search).select([*columns, "_distance"]).to_arrow()

    def _rank_all(self, query: np.ndarray, limit: int, columns: list[str], where: str | None) -> pa.Table:
        """Return the nearest rows, and those tied with the last of them, by the vector file or else by the table."""
        if (vectors := self._open_vectors()) is not None:
            file, table = vectors
            among = None if where is None else _find_row_ids(table, where)
            row_ids = file.find_nearest(query, limit, among).tolist()
            return table.take_row_ids(row_ids).select(columns).to_arrow()
        keys, scores = [], []
        for batch in self.scan((KEY, VECTOR), where):
            keys.extend(batch[KEY].to_pylist())
            scores.append(read_vectors(batch) @ query.astype(np.float32))
        best = choose_best(np.concatenate(scores), limit) if scores else []
        return self.find([keys[place] for place in best], columns)

    def _open_vectors(self) -> tuple[VectorFile, Any] | None:
        """Return the vector file of the newest version, if there is one, and the table in that version.

        Row ids hold in one version only, and writers may make the next one during a search.
        """
        version = self._table.version
        if self._vectors is None or self._vectors[0].version != version:
            is_remote = "://" in self.path
            file = None if is_remote else VectorFile.open(Path(self.path) / VECTOR_FILES, version)
            self._vectors = file and (file, _connect(self.path).open_table(TABLE))
            if self._vectors:
                self._vectors[1].checkout(version)
        return self._vectors

    def sample_vectors(self, size: int) -> np.ndarray:
        """Return the vectors of a random sample of rows, (rows, size) float32; the same for a version of the table."""
        version = self._table.version
        if self._sample[0] != (version, size):
            num_rows = self.count()
            places = np.random.default_rng(0).choice(num_rows, min(size, num_rows), replace=False)
            found = self._table.take_offsets(np.sort(places).tolist()).select([VECTOR]).to_arrow()
            self._sample = (version, size), read_vectors(found)
        return self._sample[1]

    def describe(self) -> dict[str, Any]:
        """Return the number of rows, the size in bytes, and the rows in the approximate index and outside it."""
        indices = [index for index in self._table.list_indices() if VECTOR in index.columns]
        return {
            "molecules": self.count(),
            "texts": self.count("text is not null"),
            "bytes": self._table.stats()["total_bytes"],
            "approximate_index": {
                "rows": sum(index.num_indexed_rows or 0 for index in indices),
                "rows_outside": sum(index.num_unindexed_rows or 0 for index in indices),
            }
            if indices
            else None,
        }

    # ---------------------------------------------------------------------------------------------------------- writing

    def write(self, rows: Sequence[Mapping[str, Any]]) -> "Written":
        """Add rows of different molecules in one commit, and unite them with the rows that are there.

        Args:
            rows: complete rows, or rows without `vector` of molecules that have a row.
        Raises:
            OSError: the disk is full, or the storage cannot be reached. Nothing has changed.
        """
        with lock(self.path):
            there = {row[KEY]: row for row in read_rows(self.find([row[KEY] for row in rows]))}
            added = [row for row in rows if row[KEY] not in there and row.get(VECTOR) is not None]
            united = [(row[KEY], unite(there[row[KEY]], row)) for row in rows if row[KEY] in there]
            changed = [row for key, row in united if any(row[name] != there[key][name] for name in UNITED)]
            if added or changed:
                self._merge(make_table([*added, *changed], self.schema))
        lost = {row[KEY] for row in rows if row[KEY] not in there and row.get(VECTOR) is None}
        return Written({row[KEY] for row in added}, lost)

    def _merge(self, table: pa.Table) -> None:
        with self._explain_writing():
            merge = self._table.merge_insert(KEY).when_matched_update_all().when_not_matched_insert_all()
            merge.execute(table, on_bad_vectors="null")  # null: a text that is not there has no vector

    def remove(self, where: str) -> int:
        """Remove the rows that fulfil a condition in SQL, and return their number.

        Raises:
            ValueError: the condition is not valid.
            OSError: as for `write`.
        """
        self.count(where)  # tells a condition that cannot be computed from a storage that cannot be written
        with lock(self.path), self._explain(where), self._explain_writing():
            return self._table.delete(where).num_deleted_rows

    def optimize(self) -> None:
        """Merge small files, delete old versions, and build or update the indices.

        Raises:
            OSError: as for `write`. The rows are kept.
        """
        with lock(self.path), self._explain_writing():
            found = {column for index in self._table.list_indices() for column in index.columns}
            num_rows = self.count()
            if KEY not in found and num_rows:
                self._table.create_index(KEY, config=BTree())
            if VECTOR not in found and num_rows >= APPROXIMATE_FROM:
                # RaBitQ: as exact and as fast as product quantisation, and built in a fiftieth of the time.
                self._table.create_index(VECTOR, config=IvfRq(distance_type="cosine"))
            self._table.optimize(cleanup_older_than=OLD_VERSIONS)

    def write_vectors(self) -> None:
        """Write the vector file of a large local table, which makes exact searches fast.

        Raises:
            OSError: the disk is full. Nothing else is affected.
        """
        if "://" in self.path:
            return
        with lock(self.path), self._explain_writing():
            if self.count() >= VECTOR_FILE_FROM:
                rows = self._table.search().with_row_id(True).select([VECTOR]).to_batches(CHUNK)
                batches = (pa.Table.from_batches([batch]) for batch in rows)
                VectorFile.write(Path(self.path) / VECTOR_FILES, self._table.version, batches)

    @contextmanager
    def _explain(self, where: str | None) -> Iterator[None]:
        """Explain an error of a condition."""
        try:
            yield
        except (ValueError, RuntimeError) as error:
            is_told = str(error).startswith(f"the condition {where!r}")
            is_of_storage = isinstance(error, RuntimeError) and UNCOMPUTED not in str(error)
            if not where or is_told or is_of_storage:
                raise
            told = _shorten(error)
            names = [field.name for field in self.schema if field.name not in (*HIDDEN, "positions")]
            raise ValueError(f"the condition {where!r} is not valid: {told}; columns are {', '.join(names)}") from error

    @contextmanager
    def _explain_writing(self) -> Iterator[None]:
        """Explain an error of the storage."""
        try:
            yield
        except (RuntimeError, OSError) as error:
            free = "" if "://" in self.path else f" ({shutil.disk_usage(self.path).free / 1e9:.1f} GB are free)"
            told = f"{self.path} cannot be written{free}: {_shorten(error)}"
            raise OSError(f"{told}; all earlier batches are kept, free some space and run the command again") from error


def _find_row_ids(table: Any, where: str) -> np.ndarray:
    return table.search().with_row_id(True).select([KEY]).where(where).to_arrow()[ROW_ID].to_numpy()


def _shorten(error: Exception) -> str:
    """Return the message of a LanceDB error in one line, without places in its source."""
    return SOURCE.sub("", " ".join(str(error).split()))


def lock(path: str) -> AbstractContextManager:
    """Return a lock for the writers of a local table; for a remote one, a context that does nothing."""
    if "://" in path:
        return nullcontext()
    Path(path).mkdir(parents=True, exist_ok=True)
    return FileLock(Path(path) / LOCK)


def list_keys(keys: Sequence[str]) -> str:
    """Return the condition in SQL that a row has one of some InChIKeys."""
    listed = ", ".join("'" + key.replace("'", "''") + "'" for key in keys)
    return f"{KEY} in ({listed})" if keys else "false"


def exists(path: str) -> bool:
    """Return whether there is a table."""
    if "://" in path:
        return TABLE in _connect(path).list_tables().tables
    return (Path(path) / f"{TABLE}.lance").is_dir()  # `connect` would make the folder


def _connect(path: str) -> Any:
    return lancedb.connect(path, read_consistency_interval=timedelta(0))  # always read the newest version
