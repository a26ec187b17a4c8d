"""The CPUs of a Ray cluster in place of this machine's processes. The module is light, since every CPU imports it."""

from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from dataset_pubchem3d.stages.ray_workers import MAX_RETRIES, is_lost, translate_error

from .processes import ProcessEnded, Processes

_processes: list[Processes] = []  # of a Ray process


class RayProcesses:
    """The CPUs of a Ray cluster, with the methods of `Processes`.

    Every Ray process starts a process of its own for the tasks, which their budget may end.

    Args:
        budget: processor time of a task, seconds.
    """

    def __init__(self, budget: float):
        import ray

        self._budget, self._task = budget, ray.remote(max_retries=MAX_RETRIES)(_run_guarded)

    def submit(self, function: Callable, *arguments: Any) -> Future:
        """Run a function of a module in a process; the future has its result or exception, or a `ProcessEnded`."""
        future = Future()
        ray_future = self._task.remote(function, arguments, self._budget).future()
        ray_future.add_done_callback(lambda done: _pass_on(done, future))
        return future


def _run_guarded(function: Callable, arguments: tuple, budget: float) -> tuple[Any, Exception | None]:
    """Run a task in the process that belongs to this Ray process, and return its result or its exception."""
    if not _processes:
        _processes.append(Processes(1, budget))
    future = _processes[0].submit(function, *arguments)
    try:
        return future.result(), None
    except Exception as error:
        return None, error


def _pass_on(done: Future, future: Future) -> None:
    """Give what a task returned, or why it did not, to the future of the caller."""
    try:
        result, error = done.result()
    except Exception as failed:
        was_lost = f"it was lost {MAX_RETRIES + 1} times ({type(failed).__name__})"
        result, error = None, ProcessEnded(was_lost) if is_lost(failed) else translate_error(failed)
    if error is None:
        future.set_result(result)
    else:
        future.set_exception(error)
