"""The best candidate has the highest weighted sum of likelihood, similarity and agreement."""

import numpy as np
import pytest

from geomclip_tools.evaluation.caption_reranking import Candidates, Weights, choose_candidates, measure_candidates
from modeling_geomclip import embed_molecules, embed_texts

SMILES = ["CCO", "c1ccccc1Cl"]
CAPTIONS = [["an alcohol", "a chlorobenzene", "an alcohol"], ["an arene", "a chlorobenzene"]]
LIKELIHOODS = [[-1.0, -2.0, -3.0], [-0.5, -0.6]]


def test_terms_are_likelihood_cosine_and_contradictions(model, processor):
    records, _ = processor.feature_extractor.read(SMILES)
    measured = measure_candidates(model, processor, records, Candidates(CAPTIONS, LIKELIHOODS))
    geometry = embed_molecules(model, processor, SMILES).numpy()
    for row, (captions, terms) in enumerate(zip(CAPTIONS, measured, strict=True)):
        assert terms.shape == (len(captions), 3)
        assert terms[:, 0].tolist() == LIKELIHOODS[row]
        np.testing.assert_allclose(
            terms[:, 1], embed_texts(model, processor, captions).numpy() @ geometry[row], atol=1e-5
        )
    assert [terms[:, 2].tolist() for terms in measured] == [[0, -2, 0], [-1, 0]]


MEASURED = [np.array([[-1.0, 0.1, -2], [-2.0, 0.5, 0], [-2.0, 0.5, 0]]), np.array([[-1.0, 0.2, 0]])]


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        (Weights(), ["a", "d"]),
        (Weights(1, 2, 0), ["a", "d"]),  # -0.8 and -1
        (Weights(1, 3, 0), ["b", "d"]),  # -0.7 and -0.5; of equal ones the first
        (Weights(1, 0, 0.6), ["b", "d"]),
        (Weights(0, -1, 0), ["a", "d"]),
    ],
)
def test_the_highest_sum_is_chosen(weights, expected):
    candidates = Candidates([["a", "b", "c"], ["d"]], [[], []])
    assert choose_candidates(candidates, MEASURED, weights) == expected


def test_a_blank_candidate_is_chosen_only_if_there_is_no_other():
    candidates = Candidates([["", "b", "c"], [""]], [[], []])
    assert choose_candidates(candidates, MEASURED, Weights()) == ["b", ""]
