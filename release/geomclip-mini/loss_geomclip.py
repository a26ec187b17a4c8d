"""The contrastive, the denoising and the captioning losses of GeomCLIP, as pure functions."""

import torch
import torch.nn.functional as F
from torch import Tensor

MISSING_ID = -1


def contrastive_loss(
    geometry_embeds: Tensor,
    text_embeds: Tensor,
    logit_scale: Tensor,
    molecule_ids: Tensor | None = None,
    text_ids: Tensor | None = None,
    *further_ids: Tensor | None,
    soft_labels: Tensor | None = None,
) -> Tensor:
    """Return the symmetric cross-entropy over a batch of pairs: each geometry finds its text, each text its geometry.

    Source: GeomCLIP, contrastive objective; CLIP (Radford et al., ICML 2021). Unlike there, two pairs that share a
    molecule or a text are not negatives of each other.

    Args:
        geometry_embeds, text_embeds: (pairs, projection_dim), L2-normalised; row i of both is a pair.
        logit_scale: () 1 / temperature.
        molecule_ids, text_ids, further_ids: (pairs,) int64; pairs with equal ids share what the ids stand for.
            `MISSING_ID` is equal to no other id; None means that all ids are missing.
        soft_labels: (pairs, pairs), symmetric similarities of the pairs, on the scale of logits; their softmax is the
            target. If omitted, the target of each pair is the pair itself.
    Returns:
        () mean over pairs and both directions.
    """
    logits = logit_scale * geometry_embeds @ text_embeds.T  # (geometries, texts)
    same = find_same_pairs(len(logits), molecule_ids, text_ids, *further_ids).to(logits.device)
    if soft_labels is None:
        logits, target = logits.masked_fill(same, float("-inf")), torch.arange(len(logits), device=logits.device)
    else:  # not -inf, since 0 * -inf would be NaN
        logits = logits.masked_fill(same, torch.finfo(logits.dtype).min)
        target = soft_labels.to(logits.dtype).masked_fill(same, float("-inf")).softmax(dim=1)
    return (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2


def find_same_pairs(num_pairs: int, *all_ids: Tensor | None) -> Tensor:
    """Return (pairs, pairs) bool, True where two different rows share an id, such as that of a molecule or a text."""
    same = torch.zeros(num_pairs, num_pairs, dtype=torch.bool)
    for ids in all_ids:
        if ids is not None:
            same = same.to(ids.device) | ((ids.unsqueeze(0) == ids.unsqueeze(1)) & (ids != MISSING_ID))
    return same & ~torch.eye(num_pairs, dtype=torch.bool, device=same.device)


def coordinate_loss(predicted: Tensor, target: Tensor, chosen: Tensor) -> Tensor:
    """Return the smooth L1 loss of the chosen atoms' coordinates, averaged over x, y, z and atoms; 0 for no atoms.

    Source: Uni-Mol, masked coordinate loss.

    Args:
        predicted, target: (batch, atoms, 3), Å.
        chosen: (batch, atoms) bool.
    """
    return mean_over_chosen(F.smooth_l1_loss(predicted, target, reduction="none").mean(dim=-1), chosen)


def atom_type_loss(logits: Tensor, atom_ids: Tensor, chosen: Tensor) -> Tensor:
    """Return the mean cross-entropy of the chosen atoms' symbols; 0 for no atoms.

    Args:
        logits: (batch, atoms, vocab_size).
        atom_ids: (batch, atoms) int64, clean.
        chosen: (batch, atoms) bool.
    """
    return mean_over_chosen(F.cross_entropy(logits.transpose(1, 2), atom_ids, reduction="none"), chosen)


def distance_loss(predicted: Tensor, target: Tensor, chosen: Tensor, atom_mask: Tensor) -> Tensor:
    """Return the smooth L1 loss of the distances from each chosen atom to the other atoms of its molecule.

    Unlike in Uni-Mol, the mean is taken first over the partners of a chosen atom, then over the chosen atoms. All parts
    of the denoising loss thus have the same denominator.

    Args:
        predicted, target: (batch, atoms, atoms), normalised distances.
        chosen, atom_mask: (batch, atoms) bool.
    """
    partners = atom_mask.unsqueeze(1) & ~torch.eye(atom_mask.shape[1], dtype=torch.bool, device=atom_mask.device)
    errors = F.smooth_l1_loss(predicted, target, reduction="none") * partners
    return mean_over_chosen(errors.sum(dim=-1) / partners.sum(dim=-1).clamp(min=1), chosen)


def mean_over_chosen(values: Tensor, chosen: Tensor) -> Tensor:
    """Return the mean of `values` (batch, atoms) over the chosen atoms; 0, with a graph, for no atoms."""
    return (values * chosen).sum() / chosen.sum().clamp(min=1)


def drop_unlabelled_columns(labels: Tensor) -> Tensor:
    """Drop the columns before the one that predicts the first label of any row; at least one column is left."""
    is_labelled = (labels != -100).any(dim=0)
    first = int(is_labelled.to(torch.uint8).argmax()) if is_labelled.any() else labels.shape[1]
    return labels[:, max(first - 1, 0) :]


def compute_caption_losses(logits: Tensor, labels: Tensor) -> dict[str, Tensor]:
    """Return `loss`, `caption_losses` and `num_tokens`, see [`GeomCLIPCaptioningOutput`].

    Args:
        logits: (batch, columns, vocab_size); each column predicts the next one.
        labels: (batch, columns) int64, -100 on columns without a loss.
    """
    targets = F.pad(labels[:, 1:], (0, 1), value=-100)
    losses = F.cross_entropy(logits.flatten(0, 1).float(), targets.flatten(), reduction="none")
    losses = losses.view_as(targets).sum(dim=1)
    num_tokens = (targets != -100).sum(dim=1)
    return {"loss": losses.sum() / num_tokens.sum(), "caption_losses": losses, "num_tokens": num_tokens}
