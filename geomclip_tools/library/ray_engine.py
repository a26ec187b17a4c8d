"""A Ray cluster in place of this machine's processes and model, for libraries that one machine cannot embed in time.

Entries are read, and batches written, by the process that was started; only molecules and embeddings are made on other
machines. A task that is lost with its machine is run again on another.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from itertools import chain
from typing import Any

import numpy as np
import torch

from dataset_pubchem3d.stages.ray_workers import RETRIES, connect_to_ray

from .encoder import GEOMETRY, Encoder
from .processes import ProcessEnded, Processes

ROWS = 256  # rows that an actor embeds at a time
VECTORS = ("vector", "text_vector")
_guarded: list[Processes] = []  # of a Ray process


class RayProcesses:
    """The processors of a Ray cluster, with the methods of `Processes`.

    Every Ray process has a process of its own for the tasks, which their budget may end.

    Args:
        budget: processor time of a task, seconds.
    """

    def __init__(self, budget: float):
        import ray

        self._budget, self._task = budget, ray.remote(max_retries=RETRIES)(_run_guarded)

    def submit(self, function: Callable, *arguments: Any) -> Future:
        """Run a function of a module in a process; the future has its result or exception, or a `ProcessEnded`."""
        answer = Future()
        self._task.remote(function, arguments, self._budget).future().add_done_callback(
            lambda asked: _pass_on(asked, answer)
        )
        return answer


class RayEncoder:
    """A model on the machines of a Ray cluster, with the attributes and methods of `Encoder` that an addition needs.

    There is one copy for each GPU or, if the cluster has none, for each machine.

    Args:
        encoder: the model.
    """

    def __init__(self, encoder: Encoder):
        import ray

        self.reading, self.making = encoder.reading, encoder.making
        resources = ray.cluster_resources()
        num_gpus = int(resources.get("GPU", 0))
        options = {"num_gpus": 1} if num_gpus else {"num_cpus": 0, "scheduling_strategy": "SPREAD"}
        options |= {"max_restarts": -1, "max_task_retries": -1}
        actor, model = ray.remote(Embedder).options(**options), ray.put((encoder.model, encoder.processor))
        number = num_gpus or sum(node["Alive"] for node in ray.nodes())
        self._actors = ray.util.ActorPool([actor.remote(model) for _ in range(number)])

    def embed_rows(self, rows: Sequence[dict[str, Any]]) -> None:
        """Add `vector` to each row that has a geometry, and `text_vector` to each that has a text."""
        read = [{name: row[name] for name in (*GEOMETRY, "text") if name in row} for row in rows]
        chunks = [read[start : start + ROWS] for start in range(0, len(read), ROWS)]
        embedded = self._actors.map(lambda actor, chunk: actor.embed_rows.remote(chunk), chunks)
        for row, vectors in zip(rows, chain.from_iterable(embedded)):
            row.update(vectors)


class Embedder:
    """A copy of a model, which embeds rows: the class of the actors."""

    def __init__(self, model: tuple[Any, Any]):
        torch.set_num_threads(os.cpu_count() or 1)  # Ray sets it to one
        network, processor = model
        device = "cuda" if torch.cuda.is_available() else "cpu"
        self._encoder = Encoder((network.to(device), processor))

    def embed_rows(self, rows: list[dict[str, Any]]) -> list[dict[str, np.ndarray]]:
        """Return the vectors of each row by the names of their columns."""
        self._encoder.embed_rows(rows)
        return [{name: row[name] for name in VECTORS if name in row} for row in rows]


@contextmanager
def start_ray(encoder: Encoder, budget: float) -> Iterator[tuple[RayProcesses, RayEncoder]]:
    """Connect to a Ray cluster, and yield what stands for the processes and the model of this machine.

    Raises:
        ModuleNotFoundError: Ray is not installed.
        ConnectionError: there is no cluster at `RAY_ADDRESS`.
    """
    import ray

    connect_to_ray()
    try:
        yield RayProcesses(budget), RayEncoder(encoder)
    finally:
        ray.shutdown()


def _run_guarded(function: Callable, arguments: tuple, budget: float) -> tuple[Any, Exception | None]:
    """Run a task in the process that belongs to this Ray process, and return its result or its exception."""
    if not _guarded:
        _guarded.append(Processes(1, budget))
    answer = _guarded[0].submit(function, *arguments)
    try:
        return answer.result(), None
    except Exception as error:
        return None, error


def _pass_on(asked: Future, answer: Future) -> None:
    import ray

    try:
        result, error = asked.result()
    except ray.exceptions.RayError as lost:
        result, error = None, ProcessEnded(f"it was lost {RETRIES + 1} times ({type(lost).__name__})")
    if error is None:
        answer.set_result(result)
    else:
        answer.set_exception(error)
