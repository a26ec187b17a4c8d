"""Expected pool hits agree with enumeration, SciPy's hypergeometric law, sampled pools and the retrieval metric."""

from itertools import combinations
from pathlib import Path

import evaluate
import numpy as np
import pytest
from scipy.stats import hypergeom

from geomclip_tools.evaluation.caption_retrieval import expect_pool_hits

METRIC = Path(__file__).parents[3] / "eval" / "metrics" / "molecule_text_retrieval"


@pytest.fixture
def random():
    return np.random.default_rng(20)


def enumerated(scores, ids, pool_size) -> list[float]:
    """Enumerate all pools; in each, the best candidate scores 1, shared among those that tie."""
    hits = []
    for row, own in enumerate(np.diagonal(scores)):
        others = [scores[row, j] for j in range(len(ids)) if ids[j] != ids[row]]
        wins = [(max(pool, default=own) <= own) / (1 + pool.count(own)) for pool in combinations(others, pool_size - 1)]
        hits.append(np.mean(wins))
    return hits


@pytest.mark.parametrize("pool_size", [1, 2, 4, 6])
@pytest.mark.parametrize("ids", ["abcdefgh", "aabcdefc"])
def test_small_sets_with_ties_equal_the_enumeration_of_all_pools(random, ids, pool_size):
    scores = random.integers(0, 4, (8, 8)).astype(float)
    hits = expect_pool_hits(scores, list(ids), pool_size)
    assert hits == pytest.approx(enumerated(scores, ids, pool_size), abs=1e-14)
    assert hits.dtype == np.float64


def test_without_ties_it_is_the_hypergeometric_chance_to_draw_no_better_one(random):
    scores = random.standard_normal((500, 500))
    better = (scores > np.diagonal(scores)[:, None]).sum(axis=1)
    expected = hypergeom.pmf(0, 499, better, 63)
    assert expect_pool_hits(scores, range(500), 64) == pytest.approx(expected, rel=1e-9, abs=1e-300)


def test_drawn_pools_agree(random):
    scores, ids = random.integers(0, 12, (40, 40)), random.integers(0, 30, 40)
    scores[0] = [11, *[11] * 5, *[3] * 34]
    ids[:7] = [50, 50, 51, 52, 53, 54, 55]  # row 1 ties with row 0 but is the same molecule
    others = np.flatnonzero(ids != ids[0])
    pools = np.array([scores[0, random.choice(others, 9, replace=False)] for _ in range(20000)])
    drawn = ((pools <= 11).all(axis=1) / (1 + (pools == 11).sum(axis=1))).mean()
    assert 0.5 < drawn < 0.9
    assert expect_pool_hits(scores, ids, 10)[0] == pytest.approx(drawn, abs=0.01)


def test_the_retrieval_metric_finds_it_on_average(random):
    texts = random.standard_normal((120, 4))
    geometries = texts + random.standard_normal((120, 4))
    unit = [matrix / np.linalg.norm(matrix, axis=1, keepdims=True) for matrix in (texts, geometries)]
    metric = evaluate.load(str(METRIC))
    recalls = [
        metric.compute(predictions=geometries, references=texts, pool_size=10, num_bootstrap=0, seed=seed)
        for seed in range(30)
    ]
    drawn = np.mean([recall["text_to_geometry_pool_recall_at_1"] for recall in recalls])
    assert expect_pool_hits(unit[0] @ unit[1].T, range(120), 10).mean() == pytest.approx(drawn, abs=0.01)
    assert expect_pool_hits(unit[1] @ unit[0].T, range(120), 10).mean() != pytest.approx(drawn, abs=1e-4)


@pytest.mark.parametrize(("gap", "expected"), [(-5e-6, 1), (-5e-7, 0.5), (0, 0.5), (5e-7, 0.5), (5e-6, 0)])
def test_scores_closer_than_a_millionth_tie(gap, expected):
    assert expect_pool_hits([[1, 1 + gap], [0, 9]], ["a", "b"], 2).tolist() == [expected, 1]


def test_constant_scores_give_chance_and_a_large_set_is_no_burden():
    assert expect_pool_hits(np.zeros((1200, 1200)), range(1200), 64) == pytest.approx(np.full(1200, 1 / 64))


@pytest.mark.parametrize(
    ("scores", "ids", "pool_size", "message"),
    [
        (np.zeros((2, 3)), "ab", 2, r"scores have shape \(2, 3\)"),
        (np.zeros(2), "ab", 2, r"scores have shape \(2,\)"),
        ([[1, 2], [np.nan, 1]], "ab", 2, "NaN or infinity in 1 rows, first in row 1"),
        (np.zeros((2, 2)), "abc", 2, "3 molecule_ids for 2 rows"),
        (np.zeros((2, 2)), "ab", 0, "pool_size=0"),
        (np.zeros((4, 4)), "abaa", 3, "row 0 has 1 rows of other molecules, fewer than the 2 .*lower pool_size=3"),
        (np.zeros((4, 4)), "abcc", 4, "row 2 has 2 rows of other molecules, fewer than the 3 .*lower pool_size=4"),
    ],
)
def test_bad_scores_are_refused(scores, ids, pool_size, message):
    with pytest.raises(ValueError, match=message):
        expect_pool_hits(scores, list(ids), pool_size)
