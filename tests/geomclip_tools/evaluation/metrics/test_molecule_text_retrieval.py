"""Check the metric against enumerated tie orders, SciPy's hypergeometric distribution and hand calculations."""

import doctest
from itertools import permutations
from pathlib import Path

import evaluate
import numpy as np
import pytest
from scipy.stats import hypergeom

from geomclip_tools.evaluation.metrics.molecule_text_retrieval import _draw_pools

FOLDER = Path(__file__).parents[4] / "eval" / "metrics" / "molecule_text_retrieval"
DIRECTIONS = ("geometry_to_text", "text_to_geometry")
NAMES = ("recall_at_1", "recall_at_5", "recall_at_20", "mean_reciprocal_rank", "median_rank")


@pytest.fixture(scope="module")
def metric():
    return evaluate.load(str(FOLDER))


@pytest.fixture
def random():
    return np.random.default_rng(20)


def values(scores: dict, start: str, end: str = "") -> list[float]:
    return [scores[f"{start}_{name}{end}"] for name in NAMES]


def enumerated(queries, candidates, molecules, texts) -> list[float]:
    """Sort the full matrix once for every way to break the ties, and average."""
    unit = [matrix / np.linalg.norm(matrix, axis=1, keepdims=True) for matrix in (queries, candidates)]
    scores = unit[0] @ unit[1].T
    outcomes = []
    for i in range(len(scores)):
        best_ranks = []
        for order in permutations(range(len(scores))):
            ranking = sorted(order, key=lambda j: -round(scores[i, j], 6))
            hits = [r for r, j in enumerate(ranking, 1) if molecules[i] == molecules[j] or texts[i] == texts[j]]
            best_ranks.append(hits[0])
        best = np.array(best_ranks)
        outcomes.append([(best <= 1).mean(), (best <= 5).mean(), (best <= 20).mean(), (1 / best).mean(), best.mean()])
    return [*np.mean(outcomes, axis=0)[:4], np.median([row[4] for row in outcomes])]


@pytest.mark.parametrize("seed", range(4))
def test_small_sets_with_ties_and_duplicates_equal_the_enumeration_of_all_orders(metric, seed):
    random = np.random.default_rng(seed)
    geometry, text = random.integers(1, 3, (2, 6, 2)).astype(float)  # few distinct vectors: many scores tie
    molecules, texts = list("aabcde"), [1, 2, 2, 3, 4, 5]
    scores = metric.compute(predictions=geometry, references=text, molecule_ids=molecules, text_ids=texts)
    for direction, matrices in zip(DIRECTIONS, ((geometry, text), (text, geometry)), strict=True):
        assert values(scores, f"{direction}_full") == pytest.approx(enumerated(*matrices, molecules, texts), abs=1e-12)


def sorted_ranks(queries, candidates, groups) -> np.ndarray:
    """Return the rank of the best hit in a full sort; correct if no scores tie."""
    scores = queries @ candidates.T / np.linalg.norm(queries, axis=1)[:, None] / np.linalg.norm(candidates, axis=1)
    ranking = np.argsort(-scores, axis=1)
    return np.array([1 + np.flatnonzero(groups[ranking[i]] == groups[i])[0] for i in range(len(groups))])


def test_a_large_set_without_ties_equals_a_full_sort(metric, random):
    geometry = random.standard_normal((150, 8))
    text = geometry + random.standard_normal((150, 8))
    groups = random.integers(0, 120, 150)
    scores = metric.compute(predictions=geometry, references=text, molecule_ids=groups, num_bootstrap=0)
    for direction, matrices in zip(DIRECTIONS, ((geometry, text), (text, geometry)), strict=True):
        ranks = sorted_ranks(*matrices, groups)
        expected = [
            (ranks <= 1).mean(),
            (ranks <= 5).mean(),
            (ranks <= 20).mean(),
            (1 / ranks).mean(),
            np.median(ranks),
        ]
        assert values(scores, f"{direction}_full") == pytest.approx(expected, abs=1e-12)
    assert values(scores, "geometry_to_text_full") != values(scores, "text_to_geometry_full")


def test_by_hand_the_directions_differ(metric):
    geometry, text = ([(np.cos(a), np.sin(a)) for a in np.radians(angles)] for angles in ((0, 110), (70, 80)))
    scores = metric.compute(predictions=geometry, references=text)  # cosines .34 .17 | .77 .87
    assert values(scores, "geometry_to_text_full") == [1, 1, 1, 1, 1]
    assert values(scores, "text_to_geometry_full") == [0.5, 1, 1, 0.75, 1.5]


def test_rows_with_the_same_molecule_or_text_are_hits(metric):
    geometry, text = np.eye(3), np.roll(np.eye(3), 1, axis=0)  # geometry 0 matches text 1, 1 matches 2, 2 matches 0
    assert metric.compute(predictions=geometry, references=text)["geometry_to_text_full_recall_at_1"] == 0
    by_molecule = metric.compute(predictions=geometry, references=text, molecule_ids=["x", "x", "y"])
    assert by_molecule["geometry_to_text_full_recall_at_1"] == pytest.approx(1 / 3)
    by_both = metric.compute(predictions=geometry, references=text, molecule_ids=["x", "x", "y"], text_ids=[7, 8, 8])
    assert by_both["geometry_to_text_full_recall_at_1"] == pytest.approx(2 / 3)
    assert (by_both["num_rows"], by_both["num_molecules"], by_both["num_texts"]) == (3, 2, 2)


def test_missing_ids_are_unique(metric, random):
    inputs = {"predictions": random.random((9, 4)), "references": random.random((9, 4))}
    unique = metric.compute(**inputs)
    assert metric.compute(**inputs, molecule_ids=[None] * 9, text_ids=list("abcdefghi")) == unique
    assert metric.compute(**inputs, molecule_ids=np.zeros(9, dtype=np.int64)) != unique


@pytest.mark.parametrize(("gap", "expected"), [(5e-7, 0.5), (5e-6, 0.0)])
def test_scores_closer_than_a_millionth_tie(metric, gap, expected):
    text = [(0.6, 0.8), (0.6 + gap, np.sqrt(1 - (0.6 + gap) ** 2))]  # each slightly closer to the other geometry
    scores = metric.compute(predictions=[(1, 0), (0, 1)], references=text)
    assert scores["geometry_to_text_full_recall_at_1"] == expected
    assert scores["geometry_to_text_full_median_rank"] == 2 - expected


@pytest.mark.parametrize("constant", [np.ones((90, 3)), np.zeros((90, 3)), np.full((90, 3), 0.1, dtype=np.float32)])
def test_constant_embeddings_score_chance(metric, random, constant):
    texts = random.integers(0, 60, 90)
    scores = metric.compute(predictions=constant, references=constant, text_ids=texts)
    for direction in DIRECTIONS:
        for scope in ("full", "pool"):
            start = f"{direction}_{scope}"
            assert values(scores, start) == values(scores, start, "_chance")


def test_chance_follows_the_hypergeometric_law(metric, random):
    texts = random.integers(0, 40, 90)
    scores = metric.compute(predictions=random.random((90, 5)), references=random.random((90, 5)), text_ids=texts)
    hits = (texts[:, None] == texts).sum(axis=1)
    expected = [np.mean(hypergeom.sf(0, 90, hits, rank)) for rank in (1, 5, 20)]
    got = values(scores, "text_to_geometry_full", "_chance")
    assert got[:3] == pytest.approx(expected)
    assert got[4] == pytest.approx(np.median(91 / (hits + 1)))


def test_chance_of_unique_rows(metric, random):
    scores = metric.compute(predictions=random.random((222, 5)), references=random.random((222, 5)), num_bootstrap=0)
    harmonic = sum(1 / rank for rank in range(1, 223)) / 222
    assert values(scores, "text_to_geometry_full", "_chance") == pytest.approx(
        [1 / 222, 5 / 222, 20 / 222, harmonic, 111.5]
    )
    assert values(scores, "text_to_geometry_pool", "_chance")[:3] == pytest.approx([1 / 64, 5 / 64, 20 / 64])


def test_ceiling_is_what_a_perfect_model_gets_when_only_the_own_row_counts(metric):
    scores = metric.compute(predictions=np.eye(4), references=np.eye(4), text_ids=["a", "b", "b", "c"])
    for direction in DIRECTIONS:
        assert values(scores, f"{direction}_full") == [1, 1, 1, 1, 1]
        assert values(scores, f"{direction}_full", "_ceiling") == [0.75, 1, 1, 0.875, 1.25]


def test_the_order_of_rows_does_not_matter(metric, random):
    geometry, text, groups = random.random((40, 3)), random.random((40, 3)), random.integers(0, 30, 40)
    order = random.permutation(40)
    scores = metric.compute(predictions=geometry, references=text, text_ids=groups)
    shuffled = metric.compute(predictions=geometry[order], references=text[order], text_ids=groups[order])
    for end in ("", "_chance", "_ceiling"):
        for direction in DIRECTIONS:
            first, second = (values(result, f"{direction}_full", end) for result in (scores, shuffled))
            assert first == pytest.approx(second, abs=1e-12)


def test_scores_are_cosines(metric, random):
    geometry, text, lengths = random.random((30, 3)), random.random((30, 3)), random.uniform(0.1, 9, (30, 1))
    scores = metric.compute(predictions=geometry, references=text)
    assert metric.compute(predictions=geometry * lengths, references=text * lengths[::-1]) == pytest.approx(scores)


def test_pools_hold_their_row_and_no_row_twice():
    pools = _draw_pools(100, 64, np.random.default_rng(0))
    assert pools.shape == (100, 64)
    assert (pools[:, 0] == np.arange(100)).all()
    assert all(len(set(pool)) == 64 for pool in pools.tolist())
    assert pools.min() >= 0
    assert pools.max() < 100
    times = np.bincount(pools[:, 1:].ravel(), minlength=100)  # binomial: mean 63, standard deviation 4.8
    assert times.min() > 40
    assert times.max() < 86


def test_a_pool_as_large_as_the_set_is_the_set(metric, random):
    scores = metric.compute(predictions=random.random((20, 3)), references=random.random((20, 3)))
    assert scores["pool_size"] == 20
    for direction in DIRECTIONS:
        for end in ("", "_chance", "_ceiling", "_low", "_high"):
            assert values(scores, f"{direction}_full", end) == pytest.approx(values(scores, f"{direction}_pool", end))


def test_pools_are_random_samples_of_the_full_set(metric, random):
    geometry = random.standard_normal((120, 4))
    text = geometry + random.standard_normal((120, 4))
    runs = [
        metric.compute(predictions=geometry, references=text, pool_size=30, num_bootstrap=0, seed=seed)
        for seed in range(40)
    ]
    for direction, matrices in zip(DIRECTIONS, ((geometry, text), (text, geometry)), strict=True):
        ranks = sorted_ranks(*matrices, np.arange(120))
        expected = np.mean(hypergeom.cdf(4, 119, ranks - 1, 29))  # at most 4 better candidates among 29 drawn
        mean = np.mean([run[f"{direction}_pool_recall_at_5"] for run in runs])
        assert mean == pytest.approx(expected, abs=0.01)
    assert runs[0] != runs[1]


def test_equal_seeds_give_equal_numbers(metric, random):
    inputs = {"predictions": random.random((80, 3)), "references": random.random((80, 3)), "seed": 3}
    first = metric.compute(**inputs)
    assert metric.compute(**inputs) == first
    assert metric.compute(**(inputs | {"seed": 4})) != first


def noisy_pairs(random, rows: int) -> tuple[np.ndarray, np.ndarray]:
    geometry = random.standard_normal((rows, 6))
    return geometry, geometry + 0.8 * random.standard_normal((rows, 6))


def test_the_interval_has_the_width_of_a_binomial_proportion(metric, random):
    geometry, text = noisy_pairs(random, 300)
    scores = metric.compute(predictions=geometry, references=text)
    for direction in DIRECTIONS:
        value, low, high = (scores[f"{direction}_full_recall_at_1{end}"] for end in ("", "_low", "_high"))
        assert 0.1 < value < 0.9
        assert low < value < high
        assert (high - low) / (2 * 1.96) == pytest.approx(np.sqrt(value * (1 - value) / 300), rel=0.15)


def test_the_bootstrap_draws_molecules_not_rows(metric, random):
    geometry, text = (np.repeat(matrix, 4, axis=0) for matrix in noisy_pairs(random, 75))
    molecules = np.repeat(np.arange(75), 4)
    scores = metric.compute(predictions=geometry, references=text, molecule_ids=molecules)
    value, low, high = (scores[f"geometry_to_text_full_recall_at_1{end}"] for end in ("", "_low", "_high"))
    assert (high - low) / (2 * 1.96) == pytest.approx(np.sqrt(value * (1 - value) / 75), rel=0.15)


def test_without_resamples_there_are_no_intervals(metric, random):
    scores = metric.compute(predictions=random.random((5, 3)), references=random.random((5, 3)), num_bootstrap=0)
    assert not [key for key in scores if key.endswith(("_low", "_high"))]
    assert all(type(value) is float for value in scores.values())


def test_ranks_of_the_rows_are_those_that_are_summarised(metric, random):
    predictions, references = noisy_pairs(random, 50)
    scores = metric.compute(predictions=predictions, references=references, return_ranks=True, num_bootstrap=0)
    for scope in ("geometry_to_text_full", "text_to_geometry_full", "geometry_to_text_pool", "text_to_geometry_pool"):
        ranks = np.array(scores[f"{scope}_ranks"])
        assert ranks.shape == (50,)
        assert (1 / ranks).mean() == pytest.approx(scores[f"{scope}_mean_reciprocal_rank"])
        assert np.median(ranks) == scores[f"{scope}_median_rank"]


def test_further_molecules_by_hand(metric):
    """One of three further molecules precedes the first text's molecule, or is that molecule."""
    geometry, text = [[1.0, 0.2], [0.0, 1.0]], [[1.0, 0.0], [0.0, 1.0]]
    further = [[1.0, 0.0], [1.0, 1.0], [-1.0, 0.0]]
    shared = {"predictions": geometry, "references": text, "molecule_ids": ["a", "b"], "num_bootstrap": 0}
    shared |= {"further_predictions": further, "return_ranks": True}
    scores = metric.compute(**shared, further_molecule_ids=["c", "d", "e"])
    assert scores["text_to_geometry_further_ranks"] == [2, 1]
    assert scores["text_to_geometry_further_recall_at_1"] == 0.5
    assert scores["text_to_geometry_further_recall_at_1_chance"] == pytest.approx(1 / 5)
    assert scores["text_to_geometry_full_ranks"] == [1, 1]
    assert scores["num_further"] == 3
    own = metric.compute(**shared, further_molecule_ids=["a", None, None])
    assert own["text_to_geometry_further_ranks"] == [1, 1]
    unnamed = metric.compute(**shared)
    assert unnamed["text_to_geometry_further_ranks"] == [2, 1]
    with pytest.raises(ValueError, match="further_molecule_ids has 1 entries for 3 rows"):
        metric.compute(**shared, further_molecule_ids=["a"])


def test_further_molecules_change_nothing_else_and_equal_a_full_sort(metric, random):
    geometry, text, further = (random.normal(size=(size, 6)) for size in (40, 40, 300))
    plain = metric.compute(predictions=geometry, references=text, return_ranks=True, num_bootstrap=5)
    scores = metric.compute(
        predictions=geometry, references=text, return_ranks=True, num_bootstrap=5, further_predictions=further
    )
    changed = {name for name in plain if not name.endswith(("_low", "_high")) and plain[name] != scores[name]}
    assert changed == set()
    unit = [rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (text, np.concatenate([geometry, further]))]
    cosines = unit[0] @ unit[1].T
    expected = 1 + (cosines > np.diag(cosines)[:, None]).sum(axis=1)
    assert scores["text_to_geometry_further_ranks"] == expected.tolist()
    assert scores["text_to_geometry_further_recall_at_20_low"] <= scores["text_to_geometry_further_recall_at_20"]


def test_one_pair(metric):
    scores = metric.compute(predictions=[[1.0, 2.0]], references=[[1.0, -2.0]])
    assert values(scores, "geometry_to_text_full") == values(scores, "geometry_to_text_pool") == [1, 1, 1, 1, 1]


@pytest.mark.parametrize(
    ("predictions", "references", "options", "message"),
    [
        ([], [], {}, "empty"),
        (np.ones((3, 2)), np.ones((2, 2)), {}, "Mismatch"),
        (np.ones((3, 2)), np.ones((3, 4)), {}, r"\(3, 2\).*\(3, 4\)"),
        (np.ones(3), np.ones(3), {}, "expected format"),
        (np.ones((3, 2, 2)), np.ones((3, 2, 2)), {}, "expected format"),
        ([[1, 2], [1]], [[1, 2], [1, 2]], {}, "predictions have rows of different lengths"),
        ([[1, 2], [1, np.nan]], [[1, 2], [1, 2]], {}, "predictions contain NaN.*row 1"),
        ([[1, 2], [1, 3]], [[np.inf, 2], [1, 2]], {}, "references contain NaN.*row 0"),
        (np.ones((3, 2)), np.ones((3, 2)), {"molecule_ids": [1, 2]}, "molecule_ids has 2 entries for 3 rows"),
        (np.ones((3, 2)), np.ones((3, 2)), {"text_ids": ["a"]}, "text_ids has 1 entries for 3 rows"),
        (np.ones((3, 2)), np.ones((3, 2)), {"pool_size": 0}, "pool_size=0"),
    ],
)
def test_bad_input_is_refused(predictions, references, options, message):
    with pytest.raises(ValueError, match=f"(?s){message}"):
        evaluate.load(str(FOLDER)).compute(predictions=predictions, references=references, **options)


def test_after_a_refusal_the_metric_is_usable():
    metric = evaluate.load(str(FOLDER))
    for predictions in (np.ones((3, 2)), [[np.nan]]):
        with pytest.raises(ValueError, match=r"Mismatch|NaN"):
            metric.compute(predictions=predictions, references=[[1.0]])
        assert metric.compute(predictions=np.eye(3), references=np.eye(3))["num_rows"] == 3


def test_the_documented_example_runs(metric, monkeypatch):
    monkeypatch.chdir(FOLDER.parents[2])
    example = doctest.DocTestParser().get_doctest(metric.inputs_description, {"evaluate": evaluate}, "example", None, 0)
    assert doctest.DocTestRunner().run(example) == (0, 3)
