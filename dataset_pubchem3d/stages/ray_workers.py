"""Workers of a Ray cluster, which run the tasks of a stage on many machines.

The tasks read and write the work folder, which all machines must therefore share. A part is the same wherever it is
made, so a task that was lost with its machine runs again.
"""

import importlib
import os
import secrets
import socket
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

from .workers import LAZY_MODELS, TASKS_IN_FLIGHT

CONNECT_TIMEOUT = 10  # seconds
MAX_RETRIES = 5  # of a task whose machine or process was lost; an error of the task itself is not retried


class RayWorkers:
    """The CPUs of a Ray cluster, with the methods of `Workers`.

    Args:
        folder: folder that the tasks read and write.
    """

    def __init__(self, folder: Path):
        self._folder = folder

    def __enter__(self) -> "RayWorkers":
        self._connection = connect_to_ray(self._folder)
        self._connection.__enter__()
        return self

    def __exit__(self, *exception) -> None:
        self._connection.__exit__(*exception)

    def run(self, function: Callable[[Any], Any], arguments: Iterable[Any]) -> Iterator[Any]:
        """Yield the results in the order of completion. Arguments are consumed only as fast as CPUs are free.

        Raises:
            OSError: the process or the machine of a task was lost again and again.
        """
        import ray

        task, stored = ray.remote(max_retries=MAX_RETRIES)(_call), ray.put(function)
        running: list[Any] = []
        for argument in arguments:
            running.append(task.remote(stored, argument))
            if len(running) >= TASKS_IN_FLIGHT * count_cpus():
                done, running = ray.wait(running)
                yield from map(fetch_result, done)
        yield from map(fetch_result, running)


@contextmanager
def connect_to_ray(folder: Path | None = None) -> Iterator[None]:
    """Connect to the cluster of `RAY_ADDRESS`, else to one that runs on this machine, else start one here.

    Args:
        folder: folder that all machines must share.
    Raises:
        ModuleNotFoundError: Ray is not installed.
        ConnectionError: there is no cluster at `RAY_ADDRESS`.
        OSError: a machine has no geomclip or another version, or does not see the folder.
    """
    try:
        import ray
    except ModuleNotFoundError:
        raise ModuleNotFoundError("--engine ray needs Ray; run: pip install 'geomclip[ray]'") from None
    is_own = not ray.is_initialized()
    if is_own:
        _check_address(os.environ.get("RAY_ADDRESS", ""))
        ray.init(include_dashboard=False, logging_level="WARNING")
    try:
        check_machines(folder)
        yield
    finally:
        if is_own:
            ray.shutdown()


def count_cpus() -> int:
    """Return the number of CPUs that the cluster has now; machines may join and leave."""
    import ray

    return max(1, int(ray.cluster_resources().get("CPU", 0)))


def list_machines() -> list[dict[str, Any]]:
    """Return what Ray knows of each machine of the cluster."""
    import ray

    return [node for node in ray.nodes() if node["Alive"]]


def check_machines(folder: Path | None = None) -> None:
    """Check that every machine of the cluster has this version of geomclip and sees a folder.

    Raises:
        OSError: one does not.
    """
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    mark = folder and folder.resolve() / f".shared-{secrets.token_hex(8)}"
    if mark:
        mark.touch()
    try:
        answers = []
        for node in list_machines():
            there = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
            asked = ray.remote(_inspect).options(num_cpus=0, scheduling_strategy=there).remote(mark)
            answers.append((node["NodeManagerHostname"], asked))
        for machine, asked in answers:
            try:
                installed, is_seen = ray.get(asked)
            except (ray.exceptions.TaskUnschedulableError, ray.exceptions.NodeDiedError):
                continue  # the machine has just left the cluster
            except ray.exceptions.RayError as error:
                raise OSError(f"{machine} cannot run geomclip; install it there ({error})") from error
            if installed != version("geomclip"):
                raise OSError(f"{machine} has geomclip {installed}; install {version('geomclip')} on every machine")
            if not is_seen:
                raise OSError(f"{machine} does not see {folder}; choose a --work that all machines share")
    finally:
        if mark:
            mark.unlink()


def fetch_result(reference: Any) -> Any:
    """Return the result of a task, or of a method of an actor.

    Raises:
        RayActorError: the actor was lost.
        OSError: its process or machine was lost again and again, or Ray failed.
        Exception: the error of the task itself.
    """
    import ray

    try:
        return ray.get(reference)
    except ray.exceptions.RayActorError:
        raise
    except ray.exceptions.RayError as error:
        raise translate_error(error) from error


def translate_error(error: Exception) -> Exception:
    """Return the error of the task itself, or an `OSError` that says what went wrong in Ray."""
    import ray

    if isinstance(error, ray.exceptions.RayTaskError):
        return translate_error(error.cause) if isinstance(error.cause, ray.exceptions.RayError) else error.cause
    if is_lost(error):
        remedy = "run the command again, on machines with more memory if it ran out; finished parts are kept"
        return OSError(f"a task was lost {MAX_RETRIES + 1} times ({type(error).__name__}); {remedy}")
    return OSError(f"Ray failed ({type(error).__name__}): {str(error).partition(chr(10))[0]}")


def is_lost(error: Exception) -> bool:
    """Return whether Ray says that the process or the machine of a task was lost."""
    import ray

    return isinstance(error, ray.exceptions.WorkerCrashedError | ray.exceptions.NodeDiedError)


def _check_address(address: str) -> None:
    """Check that something answers at an address; Ray itself would wait for minutes.

    Raises:
        ConnectionError: nothing does.
    """
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not port.isdigit():  # such as "auto"
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), CONNECT_TIMEOUT).close()
    except OSError as error:
        remedy = "start it there, or unset RAY_ADDRESS"
        raise ConnectionError(f"no Ray cluster answers at RAY_ADDRESS={address}: {error}; {remedy}") from error


def _call(function: Callable[[Any], Any], argument: Any) -> Any:
    importlib.import_module(LAZY_MODELS)
    return function(argument)


def _inspect(mark: Path | None) -> tuple[str, bool]:
    """Return the version of geomclip on this machine, and whether it sees a file."""
    return version("geomclip"), mark is None or mark.exists()
