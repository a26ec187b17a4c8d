"""Consensus is the expected overlap with the captions of neighbours."""

import numpy as np
import pytest

from geomclip_tools.evaluation.caption_consensus import count_words, measure_consensus, measure_overlap
from modeling_geomclip import Neighbour


@pytest.mark.parametrize(
    ("one", "other", "overlap"),
    [
        ("It is an acid.", "it is an acid.", 1.0),
        ("a b c", "d e f", 0.0),
        ("a b c", "c b a", 0.5),  # all words, no pair
        ("a b c d", "a b", (4 / 6 + 2 / 4) / 2),  # F1 of 2 of 4 and 2 words, and of 1 of 3 and 1 pairs
        ("a a", "a", (2 / 3 + 0) / 2),  # a repeated word counts once
        ("", "", 0.0),
    ],
)
def test_overlap_is_the_f1_of_words_and_of_pairs(one, other, overlap):
    for first, second in ((one, other), (other, one)):
        assert measure_overlap(count_words(first), count_words(second)) == pytest.approx(overlap)


def test_near_neighbours_count_more():
    neighbours = [Neighbour("A", 0.9, "an acid"), Neighbour("B", 0.8, "some base")]
    near = 1 / (1 + np.exp(-1))  # cosines that differ by the temperature
    consensus = measure_consensus(["an acid", "some base", "a b"], neighbours)
    np.testing.assert_allclose(consensus, [near, 1 - near, 0])


def test_far_references_are_weighed_relative_to_the_nearest():
    for shift in (0.0, -1.5):
        neighbours = [Neighbour("A", 0.6 + shift, "an acid"), Neighbour("B", 0.55 + shift, "some base")]
        np.testing.assert_allclose(measure_consensus(["an acid"], neighbours), 1 / (1 + np.exp(-0.5)))


def test_without_neighbours_there_is_none():
    assert measure_consensus(["an acid", ""], []).tolist() == [0, 0]
    assert measure_consensus([], [Neighbour("A", 0.9, "an acid")]).shape == (0,)
