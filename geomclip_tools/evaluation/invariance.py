"""Measure the invariance of geometry embeddings under symmetries and their sensitivity to a moved atom.

Each change is applied to every molecule of a split. Changes are Euclidean distances between unit-length embeddings.
"""

from collections.abc import Callable
from typing import Any

import datasets
import numpy as np
import torch
from torch import Tensor

from modeling_geomclip.embedding_geomclip import embed_records

from .conformers import Record, read_molecules_of


def evaluate_invariance(
    model: Any, processor: Any, pairs: datasets.Dataset, seed: int, pair_budget: int | None = None
) -> dict[str, Any]:
    """Measure how far the embeddings move under each change of the molecules.

    Args:
        model: a `GeomCLIPModel`; its training mode is restored.
        processor: its processor.
        pairs: rows as `load_pairs` returns them.
        seed: random seed of the changes.
        pair_budget: as for `embed_molecules`.
    Returns:
        `largest_change` as {symmetry: maximum over molecules}; `smallest_change_of_moved_atom`, where one atom of each
        molecule with two or more atoms moves by 0.3 Å; `mean_cosine_distance` between different molecules; `num_rows`;
        and `failures` as in `evaluate_retrieval`.
    """
    records, failures = read_molecules_of(processor, pairs)
    random = np.random.default_rng(seed)
    embeds = embed_records(model, processor, records, pair_budget)

    def change(positions: Callable[[np.ndarray], np.ndarray]) -> Tensor:
        changed = [record | {"positions": positions(record["positions"])} for record in records]
        return distance(changed, pair_budget)

    def distance(changed: list[Record], pair_budget: int | None) -> Tensor:
        return (embed_records(model, processor, changed, pair_budget) - embeds).norm(dim=-1)  # (molecules,)

    symmetries: dict[str, Callable[[], Tensor]] = {
        "rotation": lambda: change(lambda positions: rotate(positions, random)),
        "translation": lambda: change(lambda positions: positions + 10.0),
        "mirror image": lambda: change(lambda positions: -positions),
        "order of atoms": lambda: distance([permute_atoms(record, random) for record in records], pair_budget),
        "padding and batch mates": lambda: distance(records, 1),  # one molecule per batch
    }
    moved = change(lambda positions: move_an_atom(positions, random, 0.3))
    has_geometry = torch.tensor([len(record["positions"]) > 1 for record in records])  # a single atom has no distances
    cosines = (embeds @ embeds.T)[~torch.eye(len(embeds), dtype=torch.bool)]
    return {
        "largest_change": {name: float(measure().max()) for name, measure in symmetries.items()},
        "smallest_change_of_moved_atom": float(moved[has_geometry].min()),
        "mean_cosine_distance": float(1 - cosines.mean()),
        "num_rows": len(records),
        "failures": failures,
    }


def rotate(positions: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Apply a random rotation to positions, (atoms, 3)."""
    matrix, triangle = np.linalg.qr(random.standard_normal((3, 3)))
    matrix *= np.sign(np.diagonal(triangle))
    matrix[:, 0] *= np.linalg.det(matrix)  # no reflections
    return positions @ matrix


def permute_atoms(record: Record, random: np.random.Generator) -> Record:
    """Shuffle the atoms of a molecule."""
    order = random.permutation(len(record["positions"]))
    return record | {name: record[name][order] for name in ("atomic_numbers", "positions")}


def move_an_atom(positions: np.ndarray, random: np.random.Generator, length: float) -> np.ndarray:
    """Move one atom by `length` (Å) in a random direction, (atoms, 3)."""
    positions, step = positions.copy(), random.standard_normal(3)
    positions[random.integers(len(positions))] += length * step / np.linalg.norm(step)
    return positions


def format_changes(evaluation: dict[str, Any]) -> str:
    """Format the results of `evaluate_invariance` as text."""
    lines = [f"largest change of an embedding of {evaluation['num_rows']} molecules"]
    lines += [f"  {name:<26} {value:.1e}" for name, value in evaluation["largest_change"].items()]
    return "\n".join(
        [
            *lines,
            f"smallest change when one atom moves by 0.3 Å   {evaluation['smallest_change_of_moved_atom']:.1e}",
            f"mean cosine distance of different molecules    {evaluation['mean_cosine_distance']:.3f}",
        ]
    )
