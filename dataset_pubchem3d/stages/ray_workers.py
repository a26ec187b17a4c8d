"""Workers of a Ray cluster, which run the tasks of a stage on many machines.

The tasks read and write the work folder, which all machines must therefore share. A part is the same wherever it is
made, so a task that was lost with its machine is run again on another.
"""

import os
import secrets
import socket
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from .workers import TASKS_IN_FLIGHT

WAIT = 10  # for an answer from a cluster, seconds
RETRIES = 5  # of a task whose machine or process was lost; an error of the task itself is not retried


class RayWorkers:
    """The processors of a Ray cluster, with the methods of `Workers`.

    Args:
        folder: folder that the tasks read and write.
    """

    def __init__(self, folder: Path):
        self._folder = folder

    def __enter__(self) -> "RayWorkers":
        connect_to_ray()
        check_shared(self._folder)
        return self

    def __exit__(self, *exception) -> None:
        import ray

        ray.shutdown()

    def run(self, function: Callable[[Any], Any], arguments: Iterable[Any]) -> Iterator[Any]:
        """Yield the results in the order of completion. Arguments are consumed only as fast as processors are free.

        Raises:
            OSError: the process or the machine of a task was lost again and again.
        """
        import ray

        task, stored = ray.remote(max_retries=RETRIES)(_call), ray.put(function)
        running: list[Any] = []
        for argument in arguments:
            running.append(task.remote(stored, argument))
            if len(running) >= TASKS_IN_FLIGHT * count_processors():
                done, running = ray.wait(running)
                yield from map(fetch_result, done)
        yield from map(fetch_result, running)


def connect_to_ray() -> None:
    """Connect to the cluster of `RAY_ADDRESS`, else to one that runs on this machine, else start one here.

    Raises:
        ModuleNotFoundError: Ray is not installed.
        ConnectionError: there is no cluster at `RAY_ADDRESS`.
    """
    try:
        import ray
    except ModuleNotFoundError:
        raise ModuleNotFoundError("--engine ray needs Ray; run: pip install 'geomclip[ray]'") from None
    address = os.environ.get("RAY_ADDRESS", "")
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if port.isdigit():  # Ray itself would wait for minutes
        try:
            socket.create_connection((host, int(port)), timeout=WAIT).close()
        except OSError as error:
            remedy = "start it there, or unset RAY_ADDRESS"
            raise ConnectionError(f"no Ray cluster answers at RAY_ADDRESS={address}: {error}; {remedy}") from error
    ray.init(ignore_reinit_error=True, include_dashboard=False, logging_level="WARNING")


def count_processors() -> int:
    """Return the number of processors that the cluster has now; machines may join and leave."""
    import ray

    return max(1, int(ray.cluster_resources().get("CPU", 0)))


def check_shared(folder: Path) -> None:
    """Check that every machine of the cluster sees a folder.

    Raises:
        OSError: one does not.
    """
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    mark = folder.resolve() / f".shared-{secrets.token_hex(8)}"
    mark.touch()
    try:
        for node in (node for node in ray.nodes() if node["Alive"]):
            there = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
            is_seen = ray.remote(_call).options(num_cpus=0, scheduling_strategy=there).remote(Path.exists, mark)
            if not ray.get(is_seen):
                machine = node["NodeManagerHostname"]
                raise OSError(f"{machine} does not see {folder}; choose a --work that all machines share")
    finally:
        mark.unlink()


def fetch_result(reference: Any) -> Any:
    """Return the result of a task.

    Raises:
        OSError: its process or machine was lost again and again.
        Exception: the error of the task itself.
    """
    import ray

    try:
        return ray.get(reference)
    except ray.exceptions.RayTaskError as error:
        raise error.cause from None
    except ray.exceptions.RayError as error:
        remedy = "run the command again, on machines with more memory if it ran out; finished parts are kept"
        raise OSError(f"a task was lost {RETRIES + 1} times ({type(error).__name__}); {remedy}") from error


def _call(function: Callable[[Any], Any], argument: Any) -> Any:
    return function(argument)
