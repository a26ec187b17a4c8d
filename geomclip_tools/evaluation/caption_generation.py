"""Generate captions for molecules, and compute a captioner's loss on given captions."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from dataset_pubchem3d.pairs import find_first_block, get_molecule_input

from .bootstrap import interval, resample_ratio
from .caption_drafts import DraftFile, Drafts

LONGEST = 128  # tokens of a caption, unless the captioner or the user says otherwise


def list_prompt_inputs(
    model: Any, processor: Any, rows: Sequence[dict], leave_own_out: bool = False
) -> dict[str, Sequence[Any]]:
    """Return the processor inputs that the prompts need besides the geometry, one of each per row.

    Args:
        model: a captioner.
        processor: its processor.
        rows: rows with a molecule each, and `smiles` if the prompt contains it.
        leave_own_out: whether no neighbour of a row may have its first InChIKey block or its `text`, as in evaluation;
            a row without an InChIKey then gets no neighbours.
    Returns:
        `smiles` and `neighbours`, if the prompts contain them.
    """
    inputs = {"smiles": [row["smiles"] for row in rows]} if "{smiles}" in processor.prompt else {}
    if processor.num_neighbours:
        molecules, left_out = [get_molecule_input(row) for row in rows], {}
        blocks = [find_first_block(row) for row in rows] if leave_own_out else []
        if leave_own_out:
            left_out = {"left_out": blocks, "left_out_captions": [row["text"] for row in rows]}
        found = processor.find_neighbours(model, molecules, **left_out)
        inputs["neighbours"] = [near if block else [] for near, block in zip(found, blocks)] if leave_own_out else found
    return inputs


def choose_rows(inputs: dict[str, Sequence[Any]], indices: Sequence[int]) -> dict[str, list[Any]]:
    """Return the prompt inputs of some rows."""
    return {name: [values[index] for index in indices] for name, values in inputs.items()}


def choose_length(model: Any) -> int:
    """Return the maximum length of a caption in tokens: that of the captioner, if it has one."""
    return model.generation_config.max_new_tokens or LONGEST


def order_by_size(rows: Sequence[dict]) -> list[int]:
    """Sort row numbers by size; neighbours form batches of molecules of similar size."""
    sizes = [len(row["atomic_numbers"]) if row.get("atomic_numbers") else len(row["smiles"]) for row in rows]
    return sorted(range(len(sizes)), key=sizes.__getitem__)


def order_by_length(rows: Sequence[dict], prompt_inputs: dict[str, Any]) -> list[int]:
    """Sort row numbers by the length of the neighbours' captions, that of the row's own is similar; then by size.

    A batch is done when its longest caption is.
    """
    found = prompt_inputs.get("neighbours") or [[]] * len(rows)
    longest = [max((len(neighbour.caption) for neighbour in near), default=0) for near in found]
    return sorted(order_by_size(rows), key=longest.__getitem__)


def generate_drafts(
    model: Any,
    processor: Any,
    rows: Sequence[dict],
    batch_size: int,
    prompt_inputs: dict[str, Any],
    num_drafts: int = 1,
    file: DraftFile | None = None,
    **kwargs,
) -> Drafts:
    """Generate captions of every row.

    Args:
        model: a captioner.
        processor: its processor.
        rows: rows with a molecule each.
        batch_size: molecules per batch.
        prompt_inputs: from `list_prompt_inputs`.
        num_drafts: captions per row; more than one are the best beams.
        file: to which the drafts of each batch are appended; rows that it has are not generated again.
        **kwargs: arguments of `model.generate`.
    """
    rows, found = list(rows), {} if file is None else file.resume()
    if num_drafts > 1:
        kwargs |= {"num_return_sequences": num_drafts, "num_beams": max(num_drafts, kwargs.get("num_beams", 1))}
    order = [index for index in order_by_length(rows, prompt_inputs) if index not in found]
    for start in tqdm(range(0, len(order), batch_size), desc="captions"):
        indices = order[start : start + batch_size]
        molecules = [get_molecule_input(rows[index]) for index in indices]
        inputs = processor(molecules, **choose_rows(prompt_inputs, indices), return_tensors="pt").to(model.device)
        token_ids = model.generate(**inputs, **kwargs)
        decoded = processor.decode_captions(token_ids)
        scores = model.score_captions(token_ids, **inputs).tolist()
        parts = [slice(place * num_drafts, (place + 1) * num_drafts) for place in range(len(indices))]
        batch = {index: (decoded[part], scores[part]) for index, part in zip(indices, parts, strict=True)}
        found |= batch
        if file is not None:
            file.append(batch)
    captions, likelihoods = zip(*(found[index] for index in range(len(rows))), strict=True) if rows else ([], [])
    return Drafts(list(captions), list(likelihoods))


@torch.no_grad()
def compute_caption_losses(
    model: Any,
    processor: Any,
    rows: Sequence[dict],
    captions: Sequence[str],
    batch_size: int,
    prompt_inputs: dict[str, Any],
    shown: Sequence[dict] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Compute the cross-entropy of given captions.

    Args:
        model: a captioner; its training mode is restored.
        processor: its processor.
        rows: rows with a molecule each.
        captions: one per row.
        batch_size: molecules per batch.
        prompt_inputs: from `list_prompt_inputs`.
        shown: rows whose geometries replace those of `rows`.
    Returns:
        The loss summed over the tokens of each caption, (rows,) float64, in nats; the number of tokens, (rows,) int64.
    """
    totals, counts, rows = np.zeros(len(rows)), np.zeros(len(rows), dtype=np.int64), list(rows)
    shown = rows if shown is None else list(shown)
    was_training = model.training
    model.eval()
    order = order_by_size(rows)
    for start in tqdm(range(0, len(order), batch_size), desc="caption losses", leave=False):
        indices = order[start : start + batch_size]
        texts = {"captions": [captions[index] for index in indices]}
        texts |= choose_rows(prompt_inputs, indices)
        batch = processor([get_molecule_input(shown[index]) for index in indices], **texts, return_tensors="pt")
        outputs = model(**batch.to(model.device))
        totals[indices] = outputs.caption_losses.double().cpu().numpy()
        counts[indices] = outputs.num_tokens.cpu().numpy()
    model.train(was_training)
    return totals, counts


def find_other_molecules(rows: Sequence[dict]) -> list[int]:
    """Find for each row the next row, sorted by size, with another molecule.

    Raises:
        ValueError: if all rows have the same molecule.
    """
    order, blocks = order_by_size(rows), [find_first_block(row) for row in rows]
    others = [0] * len(rows)
    for place, index in enumerate(order):
        circle = order[place + 1 :] + order[:place]
        others[index] = next((other for other in circle if blocks[other] != blocks[index]), index)
    if any(other == index for index, other in enumerate(others)):
        raise ValueError(
            "all rows have the same molecule; the loss with another molecule's geometry needs at least two molecules"
        )
    return others


def compare_geometries(
    model: Any,
    processor: Any,
    rows: Sequence[dict],
    batch_size: int,
    prompt_inputs: dict[str, Any],
    num_bootstrap: int,
    seed: int,
) -> dict[str, float | None]:
    """Compare the caption loss with the correct geometry to the loss with another molecule's geometry.

    The other molecule has another first InChIKey block and a similar size, which gives no hint. The prompt, with its
    neighbours, stays that of the correct molecule.

    Args:
        model: a captioner; its training mode is restored.
        processor: its processor.
        rows: rows with a molecule and `text` each.
        batch_size: molecules per batch.
        prompt_inputs: from `list_prompt_inputs`.
        num_bootstrap: number of bootstrap resamples for the interval.
        seed: random seed of the bootstrap.
    Returns:
        `right_geometry` and `other_geometry`, mean losses in nats per token; `difference`, the mean of the paired
        differences, with its 95 % interval `difference_low` and `difference_high`; and `share_of_rows_better`, the
        share of rows whose loss is lower with the correct geometry.
    Raises:
        ValueError: if all rows have the same molecule.
    """
    rows = list(rows)
    captions, others = [row["text"] for row in rows], [rows[index] for index in find_other_molecules(rows)]
    right, counts = compute_caption_losses(model, processor, rows, captions, batch_size, prompt_inputs)
    wrong, _ = compute_caption_losses(model, processor, rows, captions, batch_size, prompt_inputs, others)
    gain = interval(resample_ratio((wrong - right) / counts, None, num_bootstrap, seed))
    return {
        "right_geometry": float((right / counts).mean()),
        "other_geometry": float((wrong / counts).mean()),
        **dict(zip(("difference", "difference_low", "difference_high"), gain)),
        "share_of_rows_better": float((right < wrong).mean()),
    }
