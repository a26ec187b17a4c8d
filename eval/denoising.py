"""How well a checkpoint recovers clean coordinates, against handing the noised ones back, on molecules it has not seen.

    python eval/denoising.py --model geomclip --dataset pubchem3d --split test --output results/denoising.json

Both losses are smooth L1 averaged over x, y, z and over the chosen atoms, under the same noise.
"""

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import torch
from transformers import AutoModel, HfArgumentParser

if not __package__:  # run as a script: the clone is not on the path
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from dataset_pubchem3d.pairs import load_molecules
from eval.conformers import read_molecules_of
from eval.retrieval import PAIR_BUDGET_HELP, load_checkpoint, print_failures, write_results
from modeling_geomclip.embedding_geomclip import batches_by_size, inference


@dataclass(frozen=True)
class DenoisingSettings:
    """What to evaluate; the fields are the command's flags."""

    model: str = field(metadata={"help": "checkpoint folder or Hub id"})
    dataset: str = field(metadata={"help": "folder, Hub id or table of pairs; a file has the one split train"})
    output: str = field(metadata={"help": "results file to write (JSON)"})
    dataset_config: str | None = field(default=None, metadata={"help": "config of the data set, such as captioning"})
    split: str = field(default="test", metadata={"help": "split of the data set"})
    pair_budget: int | None = field(default=None, metadata={"help": PAIR_BUDGET_HELP})
    seed: int = field(default=0, metadata={"help": "of the noise"})
    num_draws: int = field(default=4, metadata={"help": "noised copies of each molecule"})


def main() -> None:
    settings = HfArgumentParser(DenoisingSettings).parse_args_into_dataclasses()[0]
    pairs = load_molecules(settings.dataset, settings.split, settings.dataset_config, ())
    check_heads(settings.model)
    model, processor = load_checkpoint(settings.model)
    evaluation = evaluate_denoising(model, processor, pairs, settings.seed, settings.num_draws, settings.pair_budget)
    print(format_losses(evaluation))
    print_failures(evaluation["failures"])
    write_results(settings, pairs, {"task": "denoising", **evaluation})


def check_heads(path: str) -> None:
    """Refuse a checkpoint whose heads were left behind when it was saved: new ones would be measured.

    Raises:
        ValueError: naming it.
    """
    model, loading = AutoModel.from_pretrained(path, output_loading_info=True)
    heads = getattr(getattr(model, "geometry_model", model), "denoising_head", None)
    missing = [name for name in loading["missing_keys"] if "denoising_head" in name]
    if heads is None or missing or not [*heads.parameters()]:
        raise ValueError(
            f"{path} has no trained denoising heads; give the tower or the GeomCLIP from which it was trained"
        )


def evaluate_denoising(
    model: Any, processor: Any, pairs: datasets.Dataset, seed: int, num_draws: int, pair_budget: int | None = None
) -> dict[str, Any]:
    """Coordinate loss of the model and of returning its input, over all chosen atoms of all molecules and draws.

    Args:
        model: a geometry tower, or a model that has one; its training mode is kept.
        pairs: with a molecule each.
    Returns:
        `coordinate_loss`, `noised_coordinate_loss`, `relative_reduction` (1 is perfect, 0 no better than the input),
        `num_chosen` atoms, `num_rows` that were evaluated and `failures` as in `evaluate_retrieval`.
    Errors: ValueError when not one atom is chosen.
    """
    tower = getattr(model, "geometry_model", model)
    extractor = getattr(processor, "feature_extractor", processor)
    records, failures = read_molecules_of(processor, pairs)
    model_sum = noised_sum = num_chosen = 0
    for draw in range(num_draws):
        seeds = torch.tensor([noise_seed(seed, draw, record["index"]) for record in records])
        for indices, batch in batches_by_size(extractor, records, model.device, pair_budget):
            with inference(model):
                output = tower.denoise(**batch, noise_seeds=seeds[indices])
            chosen = int(output.num_chosen)
            num_chosen += chosen
            model_sum += chosen * float(output.coordinate_loss)
            noised_sum += chosen * float(output.noised_coordinate_loss)
    if num_chosen == 0:
        raise ValueError(
            f"no atom of {len(records)} molecules in {num_draws} draws was noised; give num_draws of at least 1 and "
            "molecules of at least 3 atoms"
        )
    return {
        "coordinate_loss": model_sum / num_chosen,
        "noised_coordinate_loss": noised_sum / num_chosen,
        "relative_reduction": 1 - model_sum / noised_sum,
        "num_chosen": num_chosen,
        "num_rows": len(records),
        "failures": failures,
    }


def noise_seed(seed: int, draw: int, row: int) -> int:
    """63 bits that depend on nothing else, so that a molecule has the same noise in any batch and for any model."""
    return int(np.random.SeedSequence([seed, draw, row]).generate_state(1, np.uint64)[0] >> 1)


def format_losses(evaluation: dict[str, Any]) -> str:
    """Both losses and the reduction, as text."""
    return (
        f"coordinate loss on {evaluation['num_chosen']} noised atoms of {evaluation['num_rows']} molecules\n"
        f"  model              {evaluation['coordinate_loss']:.4f}\n"
        f"  the noised input   {evaluation['noised_coordinate_loss']:.4f}\n"
        f"  reduction          {100 * evaluation['relative_reduction']:.1f} %"
    )


if __name__ == "__main__":
    main()
