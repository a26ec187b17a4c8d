"""The best candidate has the highest weighted sum of consensus, overlap with drafts, similarity and agreement."""

import numpy as np
import pytest

from geomclip_tools.evaluation.caption_reranking import (
    Weights,
    choose_candidates,
    collect_candidates,
    embed_different,
    measure_candidates,
    measure_similarities,
)
from modeling_geomclip import Neighbour, embed_molecules, embed_texts

SMILES = ["CCO", "c1ccccc1Cl"]
CAPTIONS = [["an alcohol", "a chlorobenzene", "an alcohol"], ["an arene", "a chlorobenzene"]]


NEIGHBOURS = [[Neighbour("A", 0.9, "an alcohol")], []]


def test_similarities_are_cosines(model, processor):
    geometry = embed_molecules(model, processor, SMILES).numpy()
    found = measure_similarities(geometry, embed_different(model, processor, CAPTIONS), CAPTIONS)
    for captions, cosines, embedding in zip(CAPTIONS, found, geometry, strict=True):
        np.testing.assert_allclose(cosines, embed_texts(model, processor, captions).numpy() @ embedding, atol=1e-5)


def test_candidates_are_drafts_and_captions_of_neighbours():
    neighbours = [Neighbour("A", 0.9, "an  alcohol\n"), Neighbour("B", 0.8, "an arene")]
    assert collect_candidates([["an acid", "an arene"], [], []], [neighbours, neighbours, []]) == [
        ["an acid", "an arene", "an alcohol"],
        ["an alcohol", "an arene"],
        [""],
    ]


def test_terms_are_consensus_drafts_similarity_and_contradictions(processor):
    records, _ = processor.feature_extractor.read(SMILES)
    similarities = [[0.1, 0.2, 0.3], [0.4, 0.5]]
    drafts = [["an alcohol", "a phenol"], []]
    measured = measure_candidates(records, CAPTIONS, drafts, NEIGHBOURS, similarities)
    assert [terms[:, 0].tolist() for terms in measured] == [[1, 0, 1], [0, 0]]
    # Of two words, "a chlorobenzene" shares one with "a phenol" and none with "an alcohol"; no pair.
    np.testing.assert_allclose(measured[0][:, 1], [1 / 2, 1 / 8, 1 / 2])
    assert measured[1][:, 1].tolist() == [0, 0]
    assert [terms[:, 2].tolist() for terms in measured] == similarities
    assert [terms[:, 3].tolist() for terms in measured] == [[0, -2, 0], [-1, 0]]


CANDIDATES = [["a", "b", "c"], ["d"]]
MEASURED = [np.array([[0.4, 0.1, 0.1, -2], [0.3, 0.1, 0.5, 0], [0.3, 0.4, 0.5, 0]]), np.array([[0, 0, 0.2, 0]])]


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        (Weights(), ["a", "d"]),
        (Weights(1, 0, 0.2), ["a", "d"]),  # 0.42 and 0.4
        (Weights(1, 0, 0.3), ["b", "d"]),  # 0.43 and 0.45; of equal ones the first
        (Weights(1, 0.5), ["c", "d"]),
        (Weights(1, 0, 0, 0.1), ["b", "d"]),
        (Weights(0, 0, -1), ["a", "d"]),
    ],
)
def test_the_highest_sum_is_chosen(weights, expected):
    assert choose_candidates(CANDIDATES, MEASURED, weights) == expected


def test_a_blank_candidate_is_chosen_only_if_there_is_no_other():
    assert choose_candidates([["", "b", "c"], [""]], MEASURED, Weights()) == ["b", ""]
