"""Work that can be stopped at any moment and goes on where it stopped: a stage is a folder of parts, made in any order.

A part is written beside its place and moved there when it is whole, so a part that is there is done. A stage knows by
its key (the settings and the inputs it was made from) whether its parts are still what is asked for.
"""

import hashlib
import json
import logging
import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from shutil import rmtree
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
from tqdm import tqdm

from ..records import RecordError

logger = logging.getLogger(__name__)
FORMAT = 2  # of the parts and of what is refused; another number makes all stages anew
PRELOADED = ["modeling_geomclip", "dataset_pubchem3d.stages.parse"]
TASKS_IN_FLIGHT = 2  # a worker: one it works on and one that waits for it


@dataclass
class Part:
    """What a task makes: a table, the records it refused (`source`, `id`, `reason`, `detail`) and its counts."""

    table: pa.Table
    refused: list[dict] = field(default_factory=list)
    counts: Counter = field(default_factory=Counter)

    def refuse(self, source: str, error: RecordError) -> None:
        """Put a record into the quarantine."""
        self.refused.append({"source": source, "id": error.record_id, "reason": error.reason, "detail": error.detail})


class Task(NamedTuple):
    """A piece of a stage: its name, unique in the stage, and what the stage's function is called with."""

    name: str
    argument: Any


@dataclass(frozen=True)
class Stage:
    """A complete stage: its folder and the names of its parts in their order."""

    folder: Path
    key: str
    names: list[str]

    @property
    def files(self) -> list[Path]:
        """The parts' tables."""
        return [self.folder / f"{name}.parquet" for name in self.names]

    def read_tables(self, columns: list[str] | None = None) -> Iterator[pa.Table]:
        """The parts' tables one by one, all of their columns or some."""
        for file in self.files:
            yield pq.read_table(file, columns=columns, partitioning=None)

    def read_notes(self) -> Iterator[dict]:
        """What the parts say besides: `refused` and `counts`."""
        for name in self.names:
            yield json.loads((self.folder / f"{name}.json").read_text(encoding="utf-8"))

    def sum_counts(self) -> Counter:
        """The counts of all parts and, by reason, of the refused records."""
        total: Counter = Counter()
        for note in self.read_notes():
            total.update(note["counts"])
            total.update(f"refused: {record['reason']}" for record in note["refused"])
        return total


class Workers:
    """Processes that tasks run in; with one process they run in this one."""

    def __init__(self, num_proc: int):
        self.num_proc = num_proc
        self._pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> "Workers":
        if self.num_proc > 1:
            context = choose_context()
            self._pool = ProcessPoolExecutor(self.num_proc, mp_context=context, initializer=leave_with_parent)
        return self

    def __exit__(self, *exception) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def run(self, function: Callable[[Any], Any], arguments: Iterable[Any]) -> Iterator[Any]:
        """Results in the order in which they come. Arguments are taken only as fast as they are worked on.

        Raises:
            OSError: a process was killed from outside.
        """
        if self._pool is None:
            yield from map(function, arguments)
            return
        try:
            yield from self._run(function, arguments)
        except BrokenProcessPool as error:
            remedy = "run it again, with fewer processes if memory was short; finished parts stay"
            raise OSError(f"a worker process was killed; {remedy}") from error

    def _run(self, function: Callable[[Any], Any], arguments: Iterable[Any]) -> Iterator[Any]:
        running = set()
        for argument in arguments:
            running.add(self._pool.submit(function, argument))
            if len(running) >= TASKS_IN_FLIGHT * self.num_proc:
                done, running = wait(running, return_when=FIRST_COMPLETED)
                yield from (future.result() for future in done)
        for future in running:
            yield future.result()


def choose_context() -> multiprocessing.context.BaseContext:
    """How workers are started: forked from a server that has imported, once, what takes seconds; else spawned.

    A process forked from this one would inherit Arrow's threads half alive.
    """
    if "forkserver" not in multiprocessing.get_all_start_methods():  # Windows
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    return context


def run_stage(
    folder: Path,
    settings: dict,
    tasks: Callable[[], Iterable[Task]],
    function: Callable[[Any], Part],
    workers: Workers,
    title: str,
) -> Stage:
    """Make the parts of a stage that are not there yet.

    Args:
        folder: of the stage; what it holds of another key is removed.
        settings: all that the parts depend on, as JSON.
        tasks: in the order that the parts shall have; called only if the stage is not complete.
        function: makes one part; it and the arguments are sent to the workers.
        title: of the progress bar.
    Raises:
        OSError: a part cannot be written; those that are written stay.
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
    """Make a folder as a whole, unless it is there with the same settings; returns its key."""
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
    """A path to write to that takes the place of `path` when the block ends well, and vanishes when it does not."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield partial
        with open(partial, "rb") as file:
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def write_json(path: Path, content: Any) -> None:
    """Write a JSON file whole or not at all."""
    with write_whole(path) as partial:
        partial.write_text(json.dumps(content, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def _make_part(arguments: tuple[Callable[[Any], Part], Path, Any]) -> None:
    function, path, argument = arguments
    part = function(argument)
    write_json(path.with_name(f"{path.name}.json"), {"counts": part.counts, "refused": part.refused})
    with write_whole(path.with_name(f"{path.name}.parquet")) as partial:  # last: it marks the part as done
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
        for partial in folder.glob(".*.tmp"):  # of a process that was killed
            partial.unlink()
        return
    if folder.exists():
        rmtree(folder)
    folder.mkdir(parents=True)
    write_json(state, {"key": key, "parts": None})


def _digest(settings: dict) -> str:
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()


def leave_with_parent() -> None:
    """Make a worker end with its parent, however that ends: by Ctrl-C, to which workers need not react, or killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()

    def watch() -> None:
        multiprocessing.connection.wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
