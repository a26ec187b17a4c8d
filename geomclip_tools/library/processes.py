"""Processes that run one task at a time each, so that a task can end its process without loss of any other.

RDKit can crash on a molecule, or need hours for it. A task has a budget of processor time, which, unlike wall time,
does not depend on the load of the machine. The operating system ends the process when the budget is used up.
"""

import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from multiprocessing.connection import Connection
from typing import Any

from dataset_pubchem3d.stages.workers import choose_context, prepare_worker

PRELOADED = ["geomclip_tools.library.conformers"]
HAS_TIMER = hasattr(signal, "setitimer")  # not on Windows, where nothing ends a long task


class ProcessEnded(Exception):  # noqa: N818 (an outcome, which becomes the reason in a quarantine)
    """A process ended during its task; the message says why."""


class Processes:
    """Worker processes, as a context manager; `submit` returns futures.

    The processes come from a fork server, since processes forked from this one would inherit the threads' locks of
    Arrow, Lance and torch. A thread for each waits for its answers, so the caller may compute meanwhile.

    Args:
        num_proc: number of processes; with 0, tasks run in this process at once, without a budget.
        budget: processor time of a task, seconds.
    """

    def __init__(self, num_proc: int, budget: float):
        self._budget, self._own, self._started = budget, threading.local(), []
        self._threads = ThreadPoolExecutor(num_proc, "library") if num_proc else None

    def __enter__(self) -> "Processes":
        return self

    def __exit__(self, *exception) -> None:
        if self._threads is None:
            return
        for process, _ in list(self._started):
            if exception[0] is not None:
                process.terminate()
        self._threads.shutdown(cancel_futures=True)
        for process, connection in self._started:
            connection.close()
            process.join()

    def submit(self, function: Callable, *arguments: Any) -> Future:
        """Run a function of a module in a process; the future has its result or exception, or a `ProcessEnded`."""
        if self._threads is not None:
            return self._threads.submit(self._ask, function, arguments)
        future = Future()
        try:
            future.set_result(function(*arguments))
        except Exception as error:
            future.set_exception(error)
        return future

    def _ask(self, function: Callable, arguments: tuple) -> Any:
        """Have the process of this thread run a task."""
        process, connection = getattr(self._own, "worker", None) or self._start()
        try:
            connection.send((function, arguments, self._budget))
            result, error = connection.recv()
        except (EOFError, OSError):
            process.join()
            self._started.remove((process, connection))
            self._own.worker = None
            raise ProcessEnded(self._explain(process.exitcode)) from None
        if error is not None:
            raise error
        return result

    def _start(self) -> tuple[Any, Connection]:
        context = choose_context(PRELOADED)
        connection, far_end = context.Pipe()
        process = context.Process(target=_serve, args=(far_end,), daemon=True)
        process.start()
        far_end.close()  # so that the end of the process closes the pipe
        self._own.worker = process, connection
        self._started.append(self._own.worker)
        return self._own.worker

    def _explain(self, exitcode: int | None) -> str:
        if HAS_TIMER and exitcode == -signal.SIGPROF:
            return f"it needs more than {self._budget:g} s of processor time"
        return f"its process ended with status {exitcode}"


def _serve(connection: Connection) -> None:
    """Run tasks until the pipe closes."""
    prepare_worker()  # Ctrl-C is for the parent, which closes the pipe
    os.environ["OMP_NUM_THREADS"] = "1"
    while True:
        try:
            function, arguments, budget = connection.recv()
        except (EOFError, OSError):  # the parent has ended
            return
        _set_timer(budget)
        try:
            answer = function(*arguments), None
        except Exception as error:
            answer = None, error
        _set_timer(0)
        try:
            connection.send(answer)
        except OSError:
            return


def _set_timer(seconds: float) -> None:
    if HAS_TIMER:  # SIGPROF ends the process, also within C++
        signal.setitimer(signal.ITIMER_PROF, seconds)
