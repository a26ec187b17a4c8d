"""Contrastive batches that do not fit into memory, with cached gradients.

Source: GradCache (Gao et al., RepL4NLP 2021). The first pass embeds all chunks of a batch without a graph. The loss
over all pairs gives the gradient of every embedding. The second pass embeds each chunk again, with a graph, and
backpropagates the gradients of its embeddings.
"""

from collections.abc import Callable
from contextlib import nullcontext

import torch
from accelerate import Accelerator
from torch import Tensor

from modeling_geomclip.feature_extraction_geomclip import PAD_ID

from .distributed import scale_to_mean
from .grouping import cut_padding
from .steps import CONTRASTED, GEOMETRY, NOISED, TEXT, ContrastiveOutput, combine_losses

EMBEDS = ("geometry_embeds", "text_embeds")


def split_batch(batch: dict[str, Tensor], num_parts: int) -> list[dict[str, Tensor]]:
    """Split the batch of this process into chunks of equal size, and trim the padding of each chunk.

    Raises:
        ValueError: the rows of this process do not split evenly.
    """
    num_rows = len(batch["atom_ids"])
    if num_rows % num_parts:
        raise ValueError(
            f"{num_rows} pairs per process do not split into {num_parts} equal chunks; make --batch_size a multiple of "
            "the number of processes"
        )
    parts = zip(*(values.chunk(num_parts) for values in batch.values()), strict=True)
    return [strip_padding(dict(zip(batch, part, strict=True))) for part in parts]


def strip_padding(part: dict[str, Tensor]) -> dict[str, Tensor]:
    """Trim a chunk to its largest molecule, including [CLS] and [SEP], and to its longest text."""
    geometry = {name: part[name] for name in GEOMETRY + NOISED if name in part}
    cut = cut_padding(geometry, part["atom_ids"] != PAD_ID)
    if "attention_mask" in part:
        cut |= cut_padding({name: part[name] for name in TEXT if name in part}, part["attention_mask"].bool())
    return {**part, **cut}


def cached_backward(
    compute: Callable[..., ContrastiveOutput],
    denoising_loss_weight: float,
    text_target_weight: float,
    soft_label_temperature: float,
    accelerator: Accelerator,
    model: torch.nn.Module,
    parts: list[dict[str, Tensor]],
) -> dict[str, Tensor]:
    """Accumulate the gradients of a batch with the memory of one chunk.

    Each chunk has its own random seed, which both of its passes use, so dropout is the same in both.

    Args:
        compute: called with the model, a chunk and `denoise` (whether to denoise the chunk); returns the output of
            `ContrastiveStep`.
        parts: the chunks, from `split_batch`.
    Returns:
        the losses of the whole batch, as `combine_losses` returns them.
    """
    seeds = torch.randint(2**63 - 1, (len(parts),)).tolist()

    def forward(number: int, denoise: bool) -> ContrastiveOutput:
        torch.manual_seed(seeds[number])
        return compute(model, parts[number], denoise=denoise)

    with torch.no_grad():
        outputs = [forward(number, denoise=False) for number in range(len(parts))]
    embeds = {name: torch.cat([output[name] for output in outputs]).requires_grad_() for name in EMBEDS}
    logit_scale = outputs[0].logit_scale.clone().requires_grad_()
    contrasted = {name: torch.cat([part[name] for part in parts]) for name in CONTRASTED if name in parts[0]}
    joined = ContrastiveOutput(**embeds, logit_scale=logit_scale)
    losses = combine_losses(joined, contrasted, denoising_loss_weight, soft_label_temperature=soft_label_temperature)
    losses["loss"].backward()

    gradients = {name: embeds[name].grad.chunk(len(parts)) for name in EMBEDS}
    for number, share in enumerate(share_chosen_atoms(parts)):
        is_last = number == len(parts) - 1
        with nullcontext() if is_last else accelerator.no_sync(model):
            output = forward(number, denoise=True)
            loss = output.logit_scale * logit_scale.grad / len(parts)
            loss = loss + sum((output[name] * gradients[name][number]).sum() for name in EMBEDS)
            if output.denoising_loss is not None:
                denoising = output.denoising_loss * share
                loss = loss + denoising_loss_weight * denoising
                losses["denoising_loss"] = losses.get("denoising_loss", 0) + denoising.detach()
            if output.text_target_loss is not None:
                targets = output.text_target_loss / len(parts)
                loss = loss + text_target_weight * targets
                losses["text_target_loss"] = losses.get("text_target_loss", 0) + targets.detach()
            accelerator.backward(loss)
    for name, weight in (("denoising_loss", denoising_loss_weight), ("text_target_loss", text_target_weight)):
        if name in losses:
            losses["loss"] = losses["loss"] + weight * losses[name]
    return losses


def share_chosen_atoms(parts: list[dict[str, Tensor]]) -> list[Tensor]:
    """Return the weight of each chunk's denoising loss in the mean over all chosen atoms of all processes."""
    counts = [part["chosen"].sum() if "chosen" in part else part["atom_ids"].new_zeros(()) for part in parts]
    total = torch.stack(counts).sum()
    share = scale_to_mean(total, torch.float64)
    return [share * count / total.clamp(min=1) for count in counts]
