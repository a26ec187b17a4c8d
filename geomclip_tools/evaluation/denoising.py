"""Measure how well a checkpoint denoises coordinates of held-out molecules.

The baseline returns the noised coordinates unchanged. Both losses are smooth L1, averaged over x, y, z and over the
chosen atoms, under the same noise.
"""

from typing import Any

import datasets
import torch
from transformers import AutoModelForPreTraining, AutoProcessor

from modeling_geomclip.embedding_geomclip import batches_by_size, inference

from ..loading import choose_device, read_config
from ..noise import GEOMETRY, draw_noise, draw_seed
from .conformers import read_molecules_of

PRETRAINED = ("geomclip", "geomclip_geometry")  # model types with denoising heads


def load_denoiser(path: str) -> tuple[Any, Any]:
    """Load a model with its denoising heads, in evaluation mode on the accelerator if there is one, and its processor.

    Raises:
        ValueError: if the checkpoint has no denoising heads; newly initialised ones would be measured.
    """
    if read_config(path).model_type in PRETRAINED:
        settings = {"dtype": torch.float32, "output_loading_info": True}
        model, loading = AutoModelForPreTraining.from_pretrained(path, **settings)
        if not loading["missing_keys"]:
            return model.to(choose_device()).eval(), AutoProcessor.from_pretrained(path)
    raise ValueError(f"{path} has no trained denoising heads; pass the tower or the GeomCLIP that it was trained from")


def evaluate_denoising(
    model: Any, processor: Any, pairs: datasets.Dataset, seed: int, num_draws: int, pair_budget: int | None = None
) -> dict[str, Any]:
    """Compute the coordinate loss of the model and of the noised input, over the chosen atoms of all noise draws.

    Args:
        model: a [`GeomCLIPGeometryForPreTraining`] or [`GeomCLIPForPreTraining`]; its training mode is restored.
        pairs: rows with a molecule each.
        seed: random seed of the noise.
        num_draws: number of noise draws per molecule.
        pair_budget: as for `embed_molecules`.
    Returns:
        `coordinate_loss`, `noised_coordinate_loss`, `relative_reduction` (1 is perfect, 0 is no better than the input),
        `num_chosen` atoms, `num_rows` evaluated, and `failures` as in `evaluate_retrieval`.
    Raises:
        ValueError: if no atom is chosen.
    """
    config = getattr(model.config, "geometry_config", model.config)
    extractor = getattr(processor, "feature_extractor", processor)
    records, failures = read_molecules_of(processor, pairs)
    model_sum = noised_sum = num_chosen = 0
    for draw in range(num_draws):
        seeds = torch.tensor([draw_seed(seed, draw, record["index"]) for record in records])
        for indices, batch in batches_by_size(extractor, records, model.device, pair_budget):
            noised = draw_noise(*(batch[name] for name in GEOMETRY), seeds[indices], config)
            with inference(model):
                output = model.denoise(**batch, **noised)
            chosen = int(output.num_chosen)
            num_chosen += chosen
            model_sum += chosen * float(output.coordinate_loss)
            noised_sum += chosen * float(output.noised_coordinate_loss)
    if num_chosen == 0:
        raise ValueError(
            f"no atom of {len(records)} molecules in {num_draws} draws was noised; num_draws must be at least 1, and "
            "the molecules must have at least 3 atoms"
        )
    return {
        "coordinate_loss": model_sum / num_chosen,
        "noised_coordinate_loss": noised_sum / num_chosen,
        "relative_reduction": 1 - model_sum / noised_sum,
        "num_chosen": num_chosen,
        "num_rows": len(records),
        "failures": failures,
    }


def format_losses(evaluation: dict[str, Any]) -> str:
    """Format both losses and the reduction as text."""
    return (
        f"coordinate loss on {evaluation['num_chosen']} noised atoms of {evaluation['num_rows']} molecules\n"
        f"  model              {evaluation['coordinate_loss']:.4f}\n"
        f"  the noised input   {evaluation['noised_coordinate_loss']:.4f}\n"
        f"  reduction          {100 * evaluation['relative_reduction']:.1f} %"
    )
