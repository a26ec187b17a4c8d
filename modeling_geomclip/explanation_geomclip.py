"""Explain a similarity: what each atom of a molecule and each word of a text contribute to it.

Source: occlusion, Zeiler & Fergus (ECCV 2014, section 4.2) for images and Li et al. (arXiv 1612.08220) for words.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from .embedding_geomclip import batches_by_size, embed_texts, inference

WORD = re.compile(r"\S+")


class Explanation(NamedTuple):
    """What atoms and words contribute to the cosine similarity of a molecule and a text.

    The contribution of an atom is the similarity minus that of the molecule with this atom's element replaced by
    [MASK], at the same position. The contribution of a word is the similarity minus that of the text without this word.
    A positive contribution therefore means that the atom or word raises the similarity. Contributions do not add up to
    the similarity, because the model reads atoms and words together.

    Attributes:
        similarity: cosine of the molecule and the text.
        atomic_numbers: (atoms,) int64, as the model reads them.
        positions: (atoms, 3) float64, Å.
        atom_contributions: (atoms,) float32.
        words: words of the text, separated by white space.
        word_contributions: (words,) float32.
    """

    similarity: float
    atomic_numbers: np.ndarray
    positions: np.ndarray
    atom_contributions: np.ndarray
    words: list[str]
    word_contributions: np.ndarray


def explain(model: Any, processor: Any, molecule: Any, text: str) -> Explanation:
    """Explain the similarity of a molecule and a text.

    Args:
        model: a `GeomCLIPModel` on any device; its training mode is restored afterwards.
        processor: its processor.
        molecule: a molecule in any form that the feature extractor takes.
        text: a description.
    Raises:
        MoleculeError: the molecule cannot be used.
        ValueError: the text is not a string.
    """
    records, _ = processor.feature_extractor.read([molecule])
    return explain_records(model, processor, records, text)[0]


def explain_records(model: Any, processor: Any, records: Sequence[Mapping[str, Any]], text: str) -> list[Explanation]:
    """Explain records from `extractor.read` as `explain` explains a molecule, without checking them again."""
    words = [*WORD.finditer(text)] if isinstance(text, str) else []
    texts = [text, *(text[: word.start()] + text[word.end() :] for word in words)]
    text_embeds = embed_texts(model, processor, texts)
    sizes = [len(record["atomic_numbers"]) for record in records]
    masks = [np.concatenate([np.zeros((1, size), bool), np.eye(size, dtype=bool)]) for size in sizes]
    repeated = [record for record, size in zip(records, sizes) for _ in range(size + 1)]
    embeds = embed_masked(model, processor, repeated, [mask for rows in masks for mask in rows])
    explanations = []
    for record, masked in zip(records, embeds.split([size + 1 for size in sizes])):
        similarity = masked[0] @ text_embeds[0]
        explanations.append(
            Explanation(
                similarity.item(),
                np.asarray(record["atomic_numbers"], np.int64),
                np.asarray(record["positions"], np.float64),
                (similarity - masked[1:] @ text_embeds[0]).numpy(),
                [word.group() for word in words],
                (similarity - text_embeds[1:] @ masked[0]).numpy(),
            )
        )
    return explanations


def embed_masked(
    model: Any, processor: Any, records: Sequence[Mapping[str, Any]], masks: Sequence[np.ndarray]
) -> Tensor:
    """Embed molecules in which the elements of some atoms are replaced by [MASK].

    Args:
        model, processor: as for `explain`.
        records: the molecules, from `extractor.read`; a molecule may occur several times.
        masks: (atoms,) bool for each record, True on the atoms that are masked.
    Returns:
        (records, projection_dim) float32, L2-normalised, on the CPU.
    """
    extractor, places, embeds = getattr(processor, "feature_extractor", processor), [], []
    with inference(model):
        for indices, batch in batches_by_size(extractor, records, model.device):
            is_masked = torch.zeros(batch["atom_mask"].shape, dtype=torch.bool)
            for row, index in enumerate(indices.tolist()):
                is_masked[row, 1 : 1 + len(masks[index])] = torch.from_numpy(masks[index])
            mask_id = model.config.geometry_config.mask_token_id
            batch["atom_ids"] = batch["atom_ids"].masked_fill(is_masked.to(model.device), mask_id)
            places.append(indices)
            embeds.append(model.get_geometry_features(**batch, only_pooled=True).pooler_output.float().cpu())
    return torch.cat(embeds)[torch.cat(places).argsort()]
