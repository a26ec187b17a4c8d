"""The best candidate has the highest weighted sum of likelihood, similarity, agreement and consensus."""

import numpy as np
import pytest

from geomclip_tools.evaluation.caption_reranking import (
    Candidates,
    Weights,
    choose_candidates,
    measure_candidates,
    measure_similarities,
)
from modeling_geomclip import Neighbour, embed_molecules, embed_texts

SMILES = ["CCO", "c1ccccc1Cl"]
CAPTIONS = [["an alcohol", "a chlorobenzene", "an alcohol"], ["an arene", "a chlorobenzene"]]
LIKELIHOODS = [[-1.0, -2.0, -3.0], [-0.5, -0.6]]


NEIGHBOURS = [[Neighbour("A", 0.9, "an alcohol")], []]


def test_similarities_are_cosines(model, processor):
    records, _ = processor.feature_extractor.read(SMILES)
    found = measure_similarities(model, processor, records, Candidates(CAPTIONS, LIKELIHOODS))
    geometry = embed_molecules(model, processor, SMILES).numpy()
    for captions, cosines, embedding in zip(CAPTIONS, found, geometry, strict=True):
        np.testing.assert_allclose(cosines, embed_texts(model, processor, captions).numpy() @ embedding, atol=1e-5)


def test_terms_are_likelihood_similarity_contradictions_and_consensus(processor):
    records, _ = processor.feature_extractor.read(SMILES)
    candidates, similarities = Candidates(CAPTIONS, LIKELIHOODS), [[0.1, 0.2, 0.3], [0.4, 0.5]]
    measured = measure_candidates(records, candidates, NEIGHBOURS, similarities)
    assert [terms[:, 0].tolist() for terms in measured] == LIKELIHOODS
    assert [terms[:, 1].tolist() for terms in measured] == similarities
    assert [terms[:, 2].tolist() for terms in measured] == [[0, -2, 0], [-1, 0]]
    assert [terms[:, 3].tolist() for terms in measured] == [[1, 0, 1], [0, 0]]


MEASURED = [np.array([[-1.0, 0.1, -2, 0.4], [-2.0, 0.5, 0, 0.4], [-2.0, 0.5, 0, 0.5]]), np.array([[-1.0, 0.2, 0, 0]])]


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        (Weights(), ["a", "d"]),
        (Weights(1, 2, 0), ["a", "d"]),  # -0.8 and -1
        (Weights(1, 3, 0), ["b", "d"]),  # -0.7 and -0.5; of equal ones the first
        (Weights(1, 0, 0.6), ["b", "d"]),
        (Weights(0, -1, 0), ["a", "d"]),
        (Weights(0, 0, 0, 1), ["c", "d"]),
    ],
)
def test_the_highest_sum_is_chosen(weights, expected):
    candidates = Candidates([["a", "b", "c"], ["d"]], [[], []])
    assert choose_candidates(candidates, MEASURED, weights) == expected


def test_a_blank_candidate_is_chosen_only_if_there_is_no_other():
    candidates = Candidates([["", "b", "c"], [""]], [[], []])
    assert choose_candidates(candidates, MEASURED, Weights()) == ["b", ""]
