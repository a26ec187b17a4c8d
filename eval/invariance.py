"""What a checkpoint's geometry embeddings ignore, as they must, and what they notice.

    python eval/invariance.py --model geomclip --dataset pubchem3d --split test --output results/invariance.json

Each change is made to every molecule of the split; the figure is the Euclidean change of its embedding of length 1.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import torch
from torch import Tensor
from transformers import HfArgumentParser

if not __package__:  # run as a script: the clone is not on the path
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from dataset_pubchem3d.pairs import load_pairs
from eval.retrieval import embed_molecules, load_checkpoint, prepare_molecules, print_failures, write_results

Molecules = dict[str, Tensor]


@dataclass(frozen=True)
class InvarianceSettings:
    """What to evaluate; the fields are the command's flags."""

    model: str = field(metadata={"help": "checkpoint folder or Hub id"})
    dataset: str = field(metadata={"help": "folder, Hub id or table of pairs; a file has the one split train"})
    output: str = field(metadata={"help": "results file to write (JSON)"})
    dataset_config: str | None = field(default=None, metadata={"help": "config of the data set, such as captioning"})
    split: str = field(default="test", metadata={"help": "split of the data set"})
    batch_size: int = field(default=32, metadata={"help": "molecules at once"})
    seed: int = field(default=0, metadata={"help": "of rotations, orders and moved atoms"})


def main() -> None:
    settings = HfArgumentParser(InvarianceSettings).parse_args_into_dataclasses()[0]
    pairs = load_pairs(settings.dataset, settings.split, settings.dataset_config)
    model, processor = load_checkpoint(settings.model)
    evaluation = evaluate_invariance(model, processor, pairs, settings.batch_size, settings.seed)
    print(format_changes(evaluation))
    print_failures(evaluation["failures"])
    write_results(settings, pairs, {"task": "invariance", **evaluation})


@torch.no_grad()
def evaluate_invariance(
    model: Any, processor: Any, pairs: datasets.Dataset, batch_size: int, seed: int
) -> dict[str, Any]:
    """Change of the embeddings under each change of the molecules.

    Args:
        model: with `get_geometry_features` and `device`, in evaluation mode.
        pairs: as `load_pairs` returns them.
    Returns:
        `largest_change` {symmetry: over all molecules}, `smallest_change_of_moved_atom` (one atom of each molecule
        moved by 0.3 Å; molecules of one atom aside), `mean_cosine_distance` between different molecules, `num_rows`,
        and `failures` as in `evaluate_retrieval`.
    """
    molecules, rows, failures = prepare_molecules(processor, pairs)
    random = np.random.default_rng(seed)
    embeds = embed_molecules(model, molecules, batch_size)

    def change(changed: Molecules, size: int = batch_size) -> Tensor:
        return (embed_molecules(model, changed, size) - embeds).norm(dim=-1)  # (molecules,)

    symmetries: dict[str, Callable[[], Tensor]] = {
        "rotation": lambda: change(rotate(molecules, random)),
        "translation": lambda: change(molecules | {"positions": molecules["positions"].double() + 10.0}),
        "mirror image": lambda: change(molecules | {"positions": -molecules["positions"]}),
        "order of atoms": lambda: change(permute_atoms(molecules, random)),
        "padding and batch mates": lambda: change(molecules, size=1),
    }
    has_geometry = molecules["atom_mask"].sum(dim=1) > 1  # one atom has no distance to change
    cosines = (embeds @ embeds.T)[~torch.eye(len(embeds), dtype=torch.bool)]
    return {
        "largest_change": {name: float(measure().max()) for name, measure in symmetries.items()},
        "smallest_change_of_moved_atom": float(change(move_an_atom(molecules, random, 0.3))[has_geometry].min()),
        "mean_cosine_distance": float(1 - cosines.mean()),
        "num_rows": len(rows),
        "failures": failures,
    }


def rotate(molecules: Molecules, random: np.random.Generator) -> Molecules:
    """Another random rotation for each molecule."""
    matrices, triangles = np.linalg.qr(random.standard_normal((len(molecules["positions"]), 3, 3)))
    matrices *= np.sign(np.diagonal(triangles, axis1=1, axis2=2))[:, None, :]
    matrices[:, :, 0] *= np.linalg.det(matrices)[:, None]  # no reflections
    return molecules | {"positions": torch.bmm(molecules["positions"], torch.from_numpy(matrices).float())}


def permute_atoms(molecules: Molecules, random: np.random.Generator) -> Molecules:
    """Another random order of atoms for each molecule; [CLS], [SEP] and padding stay where they are."""
    order = torch.arange(molecules["atom_mask"].shape[1]).repeat(len(molecules["atom_mask"]), 1)
    for row, mask in enumerate(molecules["atom_mask"]):
        order[row, mask] = torch.from_numpy(random.permutation(mask.nonzero().squeeze(-1).numpy()))
    return {
        "atom_ids": molecules["atom_ids"].gather(1, order),
        "positions": molecules["positions"].gather(1, order.unsqueeze(-1).expand(-1, -1, 3)),
        "atom_mask": molecules["atom_mask"],
    }


def move_an_atom(molecules: Molecules, random: np.random.Generator, distance: float) -> Molecules:
    """One random atom of each molecule moved by `distance` (Å) in a random direction."""
    positions = molecules["positions"].clone()
    for row, mask in enumerate(molecules["atom_mask"]):
        step = random.standard_normal(3)
        atom = random.choice(mask.nonzero().squeeze(-1).numpy())
        positions[row, atom] += torch.from_numpy(distance * step / np.linalg.norm(step)).float()
    return molecules | {"positions": positions}


def format_changes(evaluation: dict[str, Any]) -> str:
    """All figures, as text."""
    lines = [f"largest change of an embedding of {evaluation['num_rows']} molecules"]
    lines += [f"  {name:<26} {value:.1e}" for name, value in evaluation["largest_change"].items()]
    return "\n".join(
        [
            *lines,
            f"smallest change when one atom moves by 0.3 Å   {evaluation['smallest_change_of_moved_atom']:.1e}",
            f"mean cosine distance of different molecules    {evaluation['mean_cosine_distance']:.3f}",
        ]
    )


if __name__ == "__main__":
    main()
