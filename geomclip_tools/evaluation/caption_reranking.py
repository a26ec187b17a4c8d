"""Choose the best caption of each molecule among drafts of a captioner and captions of similar molecules."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from modeling_geomclip import Neighbour, embed_texts

from .caption_agreement import count_contradictions, read_composition
from .caption_consensus import measure_consensus, measure_overlaps

TERMS = ("consensus", "drafts", "similarity", "agreement")  # of the score of a candidate


@dataclass(frozen=True)
class Weights:
    """Weights of the terms of a candidate's score.

    Args:
        consensus: of the overlap with the captions of similar molecules, see `measure_consensus`.
        drafts: of the mean overlap with the drafts of the captioner.
        similarity: of the cosine of the caption's and the geometry's embeddings.
        agreement: of the negative number of contradictions between caption and geometry.
    """

    consensus: float = 1.0
    drafts: float = 0.0
    similarity: float = 0.0
    agreement: float = 0.0


DEFAULT_WEIGHTS = Weights(1.0, 0.0, 0.1, 0.0)  # chosen by research/experiments/choose_reranking.py


def collect_candidates(drafts: Sequence[Sequence[str]], neighbours: Sequence[Sequence[Neighbour]]) -> list[list[str]]:
    """Return the candidates of each molecule, without repetitions: its drafts, then the captions of its neighbours.

    Their words are separated by single spaces, as those of drafts are. A molecule with neither has an empty caption.
    """
    return [
        list(dict.fromkeys([*written, *(space_evenly(neighbour.caption) for neighbour in near)])) or [""]
        for written, near in zip(drafts, neighbours, strict=True)
    ]


def space_evenly(caption: str) -> str:
    """Separate the words of a caption by single spaces."""
    return " ".join(caption.split())


def embed_different(geomclip: Any, processor: Any, candidates: Iterable[Sequence[str]]) -> dict[str, np.ndarray]:
    """Embed every different caption among the candidates of several molecules, {caption: (width,) float64}."""
    different = list(dict.fromkeys(caption for captions in candidates for caption in captions))
    return dict(zip(different, embed_texts(geomclip, processor, different).double().numpy(), strict=True))


def measure_similarities(
    geometry: np.ndarray, texts: Mapping[str, np.ndarray], candidates: Sequence[Sequence[str]]
) -> list[list[float]]:
    """Measure the cosines of the embeddings of candidates and of their geometries.

    Args:
        geometry: (molecules, width), normalised.
        texts: from `embed_different`.
        candidates: of these molecules.
    """
    return [
        [float(texts[caption] @ embedding) for caption in captions]
        for embedding, captions in zip(geometry, candidates, strict=True)
    ]


def measure_candidates(
    records: Sequence[Mapping[str, Any]],
    candidates: Sequence[Sequence[str]],
    drafts: Sequence[Sequence[str]],
    neighbours: Sequence[Sequence[Neighbour]],
    similarities: Sequence[Sequence[float]],
) -> list[np.ndarray]:
    """Measure the terms of the score of every candidate.

    Args:
        records: one per molecule, from a feature extractor.
        candidates, drafts, neighbours: of these molecules.
        similarities: of the candidates, see `measure_similarities`.
    Returns:
        The `TERMS` of each molecule, (candidates, 4) float64.
    """
    measured = []
    for record, captions, written, near, cosines in zip(
        records, candidates, drafts, neighbours, similarities, strict=True
    ):
        composition = read_composition(record)
        agreement = [-count_contradictions(caption, composition) for caption in captions]
        overlap = measure_overlaps(captions, written).mean(axis=1) if written else np.zeros(len(captions))
        measured.append(np.stack([measure_consensus(captions, near), overlap, cosines, agreement], axis=1))
    return measured


def choose_candidates(
    candidates: Sequence[Sequence[str]], measured: Sequence[np.ndarray], weights: Weights
) -> list[str]:
    """Return the candidate with the highest score of each molecule; of equal ones, the first.

    A blank candidate is chosen only if all are blank.
    """
    factors, chosen = np.array([getattr(weights, term) for term in TERMS]), []
    for captions, terms in zip(candidates, measured, strict=True):
        is_blank = np.array([not caption for caption in captions])
        chosen.append(captions[int(np.argmax(np.where(is_blank, -np.inf, terms @ factors)))])
    return chosen
