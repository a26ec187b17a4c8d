"""Choose one of several candidate captions of each molecule."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from modeling_geomclip import Neighbour, embed_texts
from modeling_geomclip.embedding_geomclip import embed_records

from .caption_agreement import count_contradictions, read_composition
from .caption_consensus import measure_consensus

SIMILARITY_WEIGHT, AGREEMENT_WEIGHT, CONSENSUS_WEIGHT = 0.0, 0.1, 10.0  # beside 1 for the likelihood; guesses
TERMS = ("likelihood", "similarity", "agreement", "consensus")  # of the score of a candidate


@dataclass(frozen=True)
class Weights:
    """Weights of the terms of a candidate's score.

    Args:
        likelihood: of the mean log-probability of the caption's tokens, nats.
        similarity: of the cosine of the caption's and the geometry's embeddings.
        agreement: of the negative number of contradictions between caption and geometry.
        consensus: of the overlap with the captions of similar molecules, see `measure_consensus`.
    """

    likelihood: float = 1.0
    similarity: float = 0.0
    agreement: float = 0.0
    consensus: float = 0.0


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


def measure_similarities(
    geomclip: Any, processor: Any, records: Sequence[Mapping[str, Any]], candidates: Candidates
) -> list[list[float]]:
    """Measure the cosines of the embeddings of candidates and of their geometries, with a GeomCLIP.

    Args:
        geomclip, processor: a GeomCLIP, and its processor.
        records: one per molecule, from the feature extractor of the processor.
        candidates: of these molecules.
    """
    geometry = embed_records(geomclip, processor, records).double().numpy()
    different = list(dict.fromkeys(caption for captions in candidates.captions for caption in captions))
    texts = dict(zip(different, embed_texts(geomclip, processor, different).double().numpy(), strict=True))
    return [
        [float(texts[caption] @ embedding) for caption in captions]
        for embedding, captions in zip(geometry, candidates.captions, strict=True)
    ]


def measure_candidates(
    records: Sequence[Mapping[str, Any]],
    candidates: Candidates,
    neighbours: Sequence[Sequence[Neighbour]],
    similarities: Sequence[Sequence[float]],
) -> list[np.ndarray]:
    """Measure the terms of the score of every candidate.

    Args:
        records: one per molecule, from a feature extractor.
        candidates, neighbours: of these molecules.
        similarities: of these candidates, see `measure_similarities`.
    Returns:
        The `TERMS` of each molecule, (candidates, 4) float64.
    """
    measured = []
    rows = zip(records, candidates.captions, candidates.likelihoods, neighbours, similarities, strict=True)
    for record, captions, likelihoods, near, cosines in rows:
        composition = read_composition(record)
        agreement = [-count_contradictions(caption, composition) for caption in captions]
        terms = [likelihoods, cosines, agreement, measure_consensus(captions, near)]
        measured.append(np.array(terms, dtype=np.float64).T)
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
