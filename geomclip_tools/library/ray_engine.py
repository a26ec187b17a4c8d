"""A Ray cluster in place of this machine's processes and model, for libraries that one machine cannot embed in time.

The driver, the process that the user starts, reads the entries and writes the batches. Conformers and embeddings are
made on the cluster. A task that is lost with its machine runs again.
"""

import copy
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from typing import Any

import numpy as np
import torch

from dataset_pubchem3d.stages.ray_workers import connect_to_ray, fetch_result, list_machines

from ..loading import choose_device
from .encoder import GEOMETRY, Encoder
from .ray_processes import RayProcesses

LARGEST_CHUNK = 256  # rows that an actor embeds at a time
VECTORS = ("vector", "text_vector")


class RayEncoder:
    """A model on the machines of a Ray cluster, with the attributes and methods of `Encoder` that an addition needs.

    There is one copy for each free GPU or, if there is none, for each machine.

    Args:
        encoder: the model.
    """

    def __init__(self, encoder: Encoder):
        import ray

        self.reading, self.making = encoder.reading, encoder.making
        stored = ray.put((copy.deepcopy(encoder.model).cpu(), encoder.processor))
        self._actors = [ray.remote(Embedder).options(**options).remote(stored) for options in _place_copies()]

    def embed_rows(self, rows: Sequence[dict[str, Any]]) -> None:
        """Add `vector` to each row that has a geometry, and `text_vector` to each that has a text.

        Raises:
            OSError: all copies of the model were lost.
        """
        read = [{name: row[name] for name in (*GEOMETRY, "text") if name in row} for row in rows]
        size = max(1, min(LARGEST_CHUNK, -(-len(read) // max(1, len(self._actors)))))
        chunks = [read[start : start + size] for start in range(0, len(read), size)]
        for row, vectors in zip(rows, chain.from_iterable(self._embed(chunks))):
            row.update(vectors)

    def _embed(self, chunks: list[list[dict[str, Any]]]) -> list[list[dict[str, np.ndarray]]]:
        """Return the vectors of each chunk; the chunk of an actor that is lost goes to another."""
        import ray

        waiting, running, results = [*range(len(chunks))][::-1], {}, {}
        free, lost = [*self._actors], None
        while len(results) < len(chunks):
            while waiting and free:
                actor, place = free.pop(), waiting.pop()
                running[actor.embed_rows.remote(chunks[place])] = actor, place
            if not running:
                raise OSError(f"all copies of the model were lost; run the command again, batches are kept ({lost})")
            (done, *_), _ = ray.wait([*running])
            actor, place = running.pop(done)
            try:
                results[place] = fetch_result(done)
                free.append(actor)
            except ray.exceptions.RayActorError as error:
                self._actors.remove(actor)
                waiting.append(place)
                lost = error
        return [results[place] for place in range(len(chunks))]


class Embedder:
    """A copy of a model, which embeds rows: the class of the actors."""

    def __init__(self, model: tuple[Any, Any]):
        torch.set_num_threads(os.cpu_count() or 1)  # Ray sets it to one
        network, processor = model
        self._encoder = Encoder((network.to(choose_device()), processor))

    def embed_rows(self, rows: list[dict[str, Any]]) -> list[dict[str, np.ndarray]]:
        """Return the vectors of each row by the names of their columns."""
        self._encoder.embed_rows(rows)
        return [{name: row[name] for name in VECTORS if name in row} for row in rows]


@contextmanager
def start_ray(encoder: Encoder, budget: float) -> Iterator[tuple[RayProcesses, RayEncoder]]:
    """Connect to a Ray cluster, and yield what stands for the processes and the model of this machine.

    Raises:
        ModuleNotFoundError, ConnectionError, OSError: as for `connect_to_ray`.
    """
    with connect_to_ray():
        yield RayProcesses(budget), RayEncoder(encoder)


def _place_copies() -> list[dict[str, Any]]:
    """Return Ray's options for each copy of the model."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    if num_gpus := int(ray.available_resources().get("GPU", 0)):
        return [{"num_gpus": 1}] * num_gpus
    nodes = [node["NodeID"] for node in list_machines()]
    return [{"num_cpus": 0, "scheduling_strategy": NodeAffinitySchedulingStrategy(node, soft=True)} for node in nodes]
