"""Worker processes of this machine, which run the tasks of a stage."""

import gc
import importlib
import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import Any

LAZY_MODELS = "dataset_pubchem3d.stages.lazy_models"
PRELOADED = ["dataset_pubchem3d.stages.parse"]
TASKS_IN_FLIGHT = 2  # per worker: one that runs and one that waits


class Workers:
    """A pool of worker processes; with `num_proc` 1, tasks run in the current process."""

    def __init__(self, num_proc: int):
        self.num_proc = num_proc
        self._pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> "Workers":
        if self.num_proc > 1:
            context = choose_context(PRELOADED)
            self._pool = ProcessPoolExecutor(self.num_proc, mp_context=context, initializer=prepare_worker)
        return self

    def __exit__(self, *exception) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def run(self, function: Callable[[Any], Any], arguments: Iterable[Any]) -> Iterator[Any]:
        """Yield the results in the order of completion. Arguments are consumed only as fast as workers are free.

        Raises:
            OSError: a worker process was killed.
        """
        if self._pool is None:
            yield from map(function, arguments)
            return
        try:
            yield from self._run(function, arguments)
        except BrokenProcessPool as error:
            remedy = "run the command again, with fewer processes if memory ran out; finished parts are kept"
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


def choose_context(modules: Sequence[str]) -> multiprocessing.context.BaseContext:
    """Return the context that starts workers: a fork server that has imported some modules once, else spawn.

    Workers are not forked from this process, because forked threads of Arrow, Lance and torch do not work. They import
    the models of `modeling_geomclip` only where they need one.
    """
    if "forkserver" not in multiprocessing.get_all_start_methods():  # Windows
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([LAZY_MODELS, *modules])
    return context


def prepare_worker() -> None:
    """Prepare a worker: it exits with its parent, imports no models, and shares the memory of its fork server.

    A parent exits by Ctrl-C, which workers themselves ignore, or by being killed. Garbage collection would write to all
    objects of the fork server, and thereby copy them.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    importlib.import_module(LAZY_MODELS)  # a fork server that runs already has not, and spawn has none
    gc.freeze()
    parent = multiprocessing.parent_process()

    def watch() -> None:
        multiprocessing.connection.wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
