"""Resumable stages: a stage is a folder of parts, made in any order, and can be stopped and resumed at any time.

A part is written to a temporary file and renamed when it is complete, so a part that exists is finished. The key of a
stage, a digest of its settings and inputs, tells whether its parts are still valid.
"""

import hashlib
import json
import logging
import os
import secrets
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from shutil import rmtree
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
from tqdm import tqdm

from ..records import RecordError
from .workers import Workers

logger = logging.getLogger(__name__)
FORMAT = 4  # version of the parts and of refused records; a new number makes all stages run again


@dataclass
class Part:
    """Result of a task: a table, the refused records (`source`, `id`, `reason`, `detail`) and counts."""

    table: pa.Table
    refused: list[dict] = field(default_factory=list)
    counts: Counter = field(default_factory=Counter)

    def refuse(self, source: str, error: RecordError) -> None:
        """Put a record into the quarantine."""
        self.refused.append({"source": source, "id": error.record_id, "reason": error.reason, "detail": error.detail})


class Task(NamedTuple):
    """A unit of work in a stage: its name, unique in the stage, and the argument for the stage's function."""

    name: str
    argument: Any


@dataclass(frozen=True)
class Stage:
    """A complete stage: its folder, its key and the names of its parts in order."""

    folder: Path
    key: str
    names: list[str]

    @property
    def files(self) -> list[Path]:
        """Parquet files of the parts."""
        return [self.folder / f"{name}.parquet" for name in self.names]

    def read_tables(self, columns: list[str] | None = None) -> Iterator[pa.Table]:
        """Yield the tables of the parts, with all columns or only some."""
        for file in self.files:
            yield pq.read_table(file, columns=columns, partitioning=None)

    def read_notes(self) -> Iterator[dict]:
        """Yield the notes of the parts: `refused` and `counts`."""
        for name in self.names:
            yield json.loads((self.folder / f"{name}.json").read_text(encoding="utf-8"))

    def sum_counts(self) -> Counter:
        """Sum the counts of all parts, and count the refused records by reason."""
        total: Counter = Counter()
        for note in self.read_notes():
            total.update(note["counts"])
            total.update(f"refused: {record['reason']}" for record in note["refused"])
        return total


def run_stage(
    folder: Path,
    settings: dict,
    tasks: Callable[[], Iterable[Task]],
    function: Callable[[Any], Part],
    workers: Workers,
    title: str,
) -> Stage:
    """Make the missing parts of a stage.

    Args:
        folder: folder of the stage; its content is removed if it was made with another key.
        settings: everything that the parts depend on, as JSON data.
        tasks: returns the tasks in the order of the parts; called only if the stage is incomplete.
        function: makes one part; the function and the tasks' arguments are pickled for the workers.
        workers: processes that run the tasks.
        title: title of the progress bar.
    Raises:
        OSError: a part cannot be written; parts that are written are kept.
    """
    key = _digest({"format": FORMAT, **settings})
    if (complete := _load_complete(folder, key)) is not None:
        return complete
    _start(folder, key)
    names: list[str] = []
    with tqdm(desc=title, unit=" parts", disable=None) as progress:

        def list_missing() -> Iterator[tuple[Callable, Path, Any]]:
            for task in tasks():
                names.append(task.name)
                if (folder / f"{task.name}.parquet").exists():
                    progress.update()
                else:
                    yield function, folder / task.name, task.argument

        for _ in workers.run(_make_part, list_missing()):
            progress.update()
    write_json(folder / "stage.json", {"key": key, "parts": names})
    stage = Stage(folder, key, names)
    logger.info("%s: %s", title, ", ".join(f"{what} {number}" for what, number in stage.sum_counts().items()) or "done")
    return stage


def make_folder(folder: Path, settings: dict, make: Callable[[Path], None]) -> str:
    """Make a folder in one step unless it exists with the same settings, and return its key."""
    key = _digest({"format": FORMAT, **settings})
    if _load_complete(folder, key) is None:
        if folder.exists():
            rmtree(folder)
        _start(folder, key)
        make(folder)
        write_json(folder / "stage.json", {"key": key, "parts": []})
    return key


@contextmanager
def write_whole(path: Path) -> Iterator[Path]:
    """Yield a temporary path, which replaces `path` if the block succeeds and is removed if it fails."""
    partial = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")  # machines of a cluster share process ids
    try:
        yield partial
        with open(partial, "rb") as file:
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def write_json(path: Path, content: Any) -> None:
    """Write a JSON file atomically."""
    with write_whole(path) as partial:
        partial.write_text(json.dumps(content, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def _make_part(arguments: tuple[Callable[[Any], Part], Path, Any]) -> None:
    function, path, argument = arguments
    part = function(argument)
    write_json(path.with_name(f"{path.name}.json"), {"counts": part.counts, "refused": part.refused})
    with write_whole(path.with_name(f"{path.name}.parquet")) as partial:  # written last: it marks the part as done
        pq.write_table(part.table, partial, compression="zstd", compression_level=1)


def _load_complete(folder: Path, key: str) -> Stage | None:
    try:
        state = json.loads((folder / "stage.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    if state["key"] != key or state["parts"] is None:
        return None
    stage = Stage(folder, key, state["parts"])
    return stage if all(file.exists() for file in stage.files) else None


def _start(folder: Path, key: str) -> None:
    state = folder / "stage.json"
    if state.exists() and json.loads(state.read_text(encoding="utf-8"))["key"] == key:
        for partial in folder.glob(".*.tmp"):  # left by a process that was killed
            partial.unlink()
        return
    if folder.exists():
        rmtree(folder)
    folder.mkdir(parents=True)
    write_json(state, {"key": key, "parts": None})


def _digest(settings: dict) -> str:
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()
