"""What a captioner says of molecules, and how well it expects given captions."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch.nn.functional import cross_entropy
from tqdm import tqdm

from dataset_pubchem3d.pairs import find_first_block, get_molecule_input

from .bootstrap import interval, resample_ratio


def list_prompt_inputs(processor: Any, rows: Sequence[dict]) -> dict[str, list[str]]:
    """What the prompt needs to know of the rows besides their geometry."""
    return {"smiles": [row["smiles"] for row in rows]} if "{smiles}" in processor.prompt else {}


def order_by_size(rows: Sequence[dict]) -> list[int]:
    """Indices of the rows, so that molecules of like size share a batch."""
    sizes = [len(row["atomic_numbers"]) if row.get("atomic_numbers") else len(row["smiles"]) for row in rows]
    return sorted(range(len(sizes)), key=sizes.__getitem__)


def generate_captions(model: Any, processor: Any, rows: Sequence[dict], batch_size: int, **kwargs) -> list[str]:
    """One caption a row; `kwargs` are those of `model.generate`."""
    captions, rows = {}, list(rows)
    order = order_by_size(rows)
    for start in tqdm(range(0, len(order), batch_size), desc="captions"):
        indices = order[start : start + batch_size]
        chosen = [rows[index] for index in indices]
        molecules = [get_molecule_input(row) for row in chosen]
        inputs = processor(molecules, **list_prompt_inputs(processor, chosen), return_tensors="pt")
        token_ids = model.generate(**inputs.to(model.device), **kwargs)
        captions.update(zip(indices, processor.decode_captions(token_ids), strict=True))
    return [captions[index] for index in range(len(rows))]


@torch.no_grad()
def compute_caption_losses(
    model: Any,
    processor: Any,
    rows: Sequence[dict],
    captions: Sequence[str],
    batch_size: int,
    shown: Sequence[dict] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Cross-entropy of the captions.

    Args:
        model: its training mode is kept.
        rows: with a molecule each, and `smiles` if the prompt asks for it.
        captions: one a row.
        shown: rows whose geometries the model reads instead of those of `rows`.
    Returns:
        (rows,) float64, nats, sums over a caption's tokens; (rows,) int64, numbers of tokens.
    """
    totals, counts, rows = np.zeros(len(rows)), np.zeros(len(rows), dtype=np.int64), list(rows)
    shown = rows if shown is None else list(shown)
    was_training = model.training
    model.eval()
    order = order_by_size(rows)
    for start in tqdm(range(0, len(order), batch_size), desc="caption losses", leave=False):
        indices = order[start : start + batch_size]
        texts = {"captions": [captions[index] for index in indices]}
        texts |= list_prompt_inputs(processor, [rows[index] for index in indices])
        batch = processor([get_molecule_input(shown[index]) for index in indices], **texts, return_tensors="pt")
        labels = batch.pop("labels")
        logits = model(**batch.to(model.device)).logits[:, :-1]
        width = min(labels.shape[1], logits.shape[1])  # without a prefix nothing predicts the first token
        labels, logits = labels[:, -width:], logits[:, -width:]
        losses = cross_entropy(logits.float().transpose(1, 2), labels.to(logits.device), reduction="none")
        totals[indices] = losses.double().sum(dim=1).cpu().numpy()
        counts[indices] = (labels != -100).sum(dim=1).numpy()
    model.train(was_training)
    return totals, counts


def find_other_molecules(rows: Sequence[dict]) -> list[int]:
    """For each row, the next row in the order of size that is another molecule.

    Raises:
        ValueError: all rows are one molecule.
    """
    order, blocks = order_by_size(rows), [find_first_block(row) for row in rows]
    others = [0] * len(rows)
    for place, index in enumerate(order):
        circle = order[place + 1 :] + order[:place]
        others[index] = next((other for other in circle if blocks[other] != blocks[index]), index)
    if any(other == index for index, other in enumerate(others)):
        raise ValueError("all rows are one molecule; the loss with another molecule's geometry needs two")
    return others


def compare_geometries(
    model: Any, processor: Any, rows: Sequence[dict], batch_size: int, num_bootstrap: int, seed: int
) -> dict[str, float | None]:
    """Mean caption loss a token with the right geometry, and how much it grows with another molecule's.

    The other molecule is the next one in the order of size with another first InChIKey block, so that its size is no
    hint. The interval is that of the mean of the paired differences.
    """
    rows = list(rows)
    captions, others = [row["text"] for row in rows], [rows[index] for index in find_other_molecules(rows)]
    right, counts = compute_caption_losses(model, processor, rows, captions, batch_size)
    wrong, _ = compute_caption_losses(model, processor, rows, captions, batch_size, others)
    gain = interval(resample_ratio((wrong - right) / counts, None, num_bootstrap, seed))
    return {
        "right_geometry": float((right / counts).mean()),
        "other_geometry": float((wrong / counts).mean()),
        **dict(zip(("difference", "difference_low", "difference_high"), gain)),
        "share_of_rows_better": float((right < wrong).mean()),
    }
