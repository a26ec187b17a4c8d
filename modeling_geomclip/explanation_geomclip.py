"""Explain a similarity: what each atom of a molecule and each word of a text contribute to it.

Source: occlusion, Zeiler & Fergus (ECCV 2014, section 4.2) for images and Li et al. (arXiv 1612.08220) for words.
"""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from .embedding_geomclip import embed_texts, inference
from .grouping_geomclip import choose_pair_budget

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
    (record,), _ = processor.feature_extractor.read([molecule])
    return explain_record(model, processor, record, text)


def explain_record(model: Any, processor: Any, record: Mapping[str, Any], text: str) -> Explanation:
    """Explain a record from `extractor.read` as `explain` explains a molecule, without checking it again."""
    numbers, positions = np.asarray(record["atomic_numbers"], np.int64), np.asarray(record["positions"], np.float64)
    words = [*WORD.finditer(text)] if isinstance(text, str) else []
    texts = [text, *(text[: word.start()] + text[word.end() :] for word in words)]
    text_embeds = embed_texts(model, processor, texts)
    is_masked = np.concatenate([np.zeros((1, len(numbers)), bool), np.eye(len(numbers), dtype=bool)])
    molecule_embeds = embed_masked(model, processor, record, is_masked)
    similarity = molecule_embeds[0] @ text_embeds[0]
    return Explanation(
        similarity.item(),
        numbers,
        positions,
        (similarity - molecule_embeds[1:] @ text_embeds[0]).numpy(),
        [word.group() for word in words],
        (similarity - text_embeds[1:] @ molecule_embeds[0]).numpy(),
    )


def embed_masked(model: Any, processor: Any, record: Mapping[str, Any], is_masked: np.ndarray) -> Tensor:
    """Embed variants of one molecule in which the elements of some atoms are replaced by [MASK].

    Args:
        model, processor: as for `explain`.
        record: the molecule, from `extractor.read`.
        is_masked: (variants, atoms) bool, True on the atoms that are masked.
    Returns:
        (variants, projection_dim) float32, L2-normalised, on the CPU.
    """
    extractor = getattr(processor, "feature_extractor", processor)
    batch = extractor.pad([record], "pt").to(model.device)
    is_masked = torch.from_numpy(is_masked).to(model.device)
    num_rows, embeds = batch["atom_ids"].shape[1], []
    with inference(model):
        for masked in is_masked.split(max(1, choose_pair_budget(model.device) // num_rows**2)):
            inputs = {name: values.expand(len(masked), *values.shape[1:]) for name, values in batch.items()}
            inputs["atom_ids"] = inputs["atom_ids"].clone()
            inputs["atom_ids"][:, 1:-1].masked_fill_(masked, model.config.geometry_config.mask_token_id)
            embeds.append(model.get_geometry_features(**inputs, only_pooled=True).pooler_output.float().cpu())
    return torch.cat(embeds)
