"""Choose one of several candidate captions of each molecule."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from modeling_geomclip import embed_texts
from modeling_geomclip.embedding_geomclip import embed_records

from .caption_agreement import count_contradictions, read_composition

SIMILARITY_WEIGHT, AGREEMENT_WEIGHT = 4.0, 0.1  # beside 1 for the likelihood; a guess until they are chosen
TERMS = ("likelihood", "similarity", "agreement")  # of the score of a candidate


@dataclass(frozen=True)
class Weights:
    """Weights of the terms of a candidate's score.

    Args:
        likelihood: of the mean log-probability of the caption's tokens, nats.
        similarity: of the cosine of the caption's and the geometry's embeddings.
        agreement: of the negative number of contradictions between caption and geometry.
    """

    likelihood: float = 1.0
    similarity: float = 0.0
    agreement: float = 0.0


@dataclass(frozen=True)
class Candidates:
    """Candidate captions of several molecules.

    Args:
        captions: candidates of each molecule, at least one, in the order of the search.
        likelihoods: for each molecule, the mean log-probabilities of the tokens of its candidates, nats; zeros if no
            language model wrote them.
    """

    captions: list[list[str]]
    likelihoods: list[list[float]]


def measure_candidates(
    geomclip: Any, processor: Any, records: Sequence[Mapping[str, Any]], candidates: Candidates
) -> list[np.ndarray]:
    """Measure the terms of the score of every candidate.

    Args:
        geomclip, processor: a GeomCLIP, and its processor.
        records: one per molecule, from the feature extractor of the processor.
        candidates: of these molecules.
    Returns:
        The `TERMS` of each molecule, (candidates, 3) float64.
    """
    geometry = embed_records(geomclip, processor, records).double().numpy()
    different = list(dict.fromkeys(caption for captions in candidates.captions for caption in captions))
    texts = dict(zip(different, embed_texts(geomclip, processor, different).double().numpy(), strict=True))
    measured = []
    rows = zip(records, geometry, candidates.captions, candidates.likelihoods, strict=True)
    for record, embedding, captions, likelihoods in rows:
        composition = read_composition(record)
        similarity = [float(texts[caption] @ embedding) for caption in captions]
        agreement = [-count_contradictions(caption, composition) for caption in captions]
        measured.append(np.array([likelihoods, similarity, agreement], dtype=np.float64).T)
    return measured


def find_best(candidates: Candidates, measured: Sequence[np.ndarray], weights: Weights) -> list[int]:
    """Return the place of the candidate with the highest score of each molecule; of equal ones, the first.

    A blank candidate is the best one only if all are blank.
    """
    factors, places = np.array([getattr(weights, term) for term in TERMS]), []
    for captions, terms in zip(candidates.captions, measured, strict=True):
        is_blank = np.array([not caption for caption in captions])
        places.append(int(np.argmax(np.where(is_blank, -np.inf, terms @ factors))))
    return places


def choose_candidates(candidates: Candidates, measured: Sequence[np.ndarray], weights: Weights) -> list[str]:
    """Return the best candidate of each molecule, see `find_best`."""
    places = find_best(candidates, measured, weights)
    return [captions[place] for captions, place in zip(candidates.captions, places, strict=True)]
