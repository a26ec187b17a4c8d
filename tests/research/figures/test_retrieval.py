"""Expected recall agrees with hand calculations, with a simulation and with stored results."""

import itertools
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from drawing import save_svg
from retrieval import choose_pool_sizes, compute_curve, compute_expected_recall, draw_recalls, read_ranks

RESULTS = Path(__file__).resolve().parents[3] / "research" / "results" / "retrieval"


def table(ranks: list[float], molecules: list[str] | None = None) -> pd.DataFrame:
    molecules = [*map(str, range(len(ranks)))] if molecules is None else molecules
    return pd.DataFrame({"molecule": molecules, "text_to_geometry_full": ranks})


@pytest.mark.parametrize(
    ("rank", "num_candidates", "pool_size", "at", "expected"),
    [
        (1, 3, 2, 1, 1),
        (2, 3, 2, 1, 1 / 2),  # the pool holds one of two others, and one of these scores higher
        (3, 3, 2, 1, 0),
        (3, 4, 2, 1, 1 / 3),  # one of three others; two of these score higher
        (3, 5, 3, 1, 1 / 6),  # both others must be the two lower ones, of 6 pairs
        (3, 5, 3, 2, 5 / 6),  # all except the pair of the two higher ones
        (3, 5, 5, 2, 0),  # all candidates: the rank itself
        (3, 5, 5, 3, 1),
        (5, 5, 1, 1, 1),  # alone
        (1.5, 2, 2, 1, 1 / 2),  # a tie of two
        (2.5, 3, 2, 1, 1 / 4),
    ],
)
def test_hand_computed_recalls(rank, num_candidates, pool_size, at, expected):
    recall = compute_expected_recall(np.array([rank]), num_candidates, pool_size, at)
    assert recall == pytest.approx([expected])


def test_every_pool_of_a_small_set():
    for rank, pool_size, at in itertools.product(range(1, 8), range(1, 8), (1, 2, 4)):
        others = [other for other in range(1, 8) if other != rank]
        pools = [*itertools.combinations(others, pool_size - 1)]
        hits = [sum(other < rank for other in pool) < at for pool in pools]
        recall = compute_expected_recall(np.array([rank]), 7, pool_size, at)
        assert recall == pytest.approx([np.mean(hits)]), (rank, pool_size, at)


def test_a_simulation():
    random = np.random.default_rng(0)
    ranks = random.integers(1, 201, size=30)
    for pool_size, at in ((5, 1), (64, 1), (64, 20)):
        found = []
        for rank in ranks:
            others = np.delete(np.arange(1, 201), rank - 1)
            pools = random.permuted(np.tile(others, (2000, 1)), axis=1)[:, : pool_size - 1]
            found.append(((pools < rank).sum(axis=1) < at).mean())
        recalls = compute_expected_recall(ranks, 200, pool_size, at)
        np.testing.assert_allclose(recalls, found, atol=0.05)  # more than 4 standard errors
        assert recalls.mean() == pytest.approx(np.mean(found), abs=0.01)


@pytest.mark.parametrize("pool_size", [0, 6])
def test_pools_that_cannot_be_drawn_are_refused(pool_size):
    with pytest.raises(ValueError, match="at least 1 and at most 5"):
        compute_expected_recall(np.array([1]), 5, pool_size, 1)


@pytest.mark.parametrize("name", ["geomclip-mini", "ecfp4", "smiles", "element_counts"])
def test_stored_results(name):
    _, ranks = read_ranks(f"tower={RESULTS / name}.csv")
    metrics = json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))["metrics"]
    metrics = next(iter(metrics.values()))
    for at in (1, 20):
        (in_pool, everywhere), low, high = compute_curve(ranks, np.array([64, len(ranks)]), at)
        assert everywhere == pytest.approx(metrics[f"text_to_geometry_full_recall_at_{at}"], abs=0.002)  # ties
        assert low[1] == pytest.approx(metrics[f"text_to_geometry_full_recall_at_{at}_low"], abs=0.01)
        assert high[1] == pytest.approx(metrics[f"text_to_geometry_full_recall_at_{at}_high"], abs=0.01)
        assert in_pool == pytest.approx(metrics[f"text_to_geometry_pool_recall_at_{at}"], abs=0.02)  # drawn pools


def test_molecules_are_drawn_with_all_their_rows():
    ranks = [1.0, 40.0] * 20
    sizes = np.array([40])
    value, low, high = compute_curve(table(ranks), sizes, 1)
    assert value == 0.5
    assert 0.3 < low < high < 0.7
    by_two = table([1.0] * 20 + [40.0] * 20, ["a"] * 20 + ["b"] * 20)
    assert [*map(float, np.concatenate(compute_curve(by_two, sizes, 1)))] == [0.5, 0, 1]
    unnamed = compute_curve(table(ranks, [""] * 40), sizes, 1)
    assert np.concatenate(unnamed) == pytest.approx(np.concatenate([value, low, high]))


def test_sizes_go_from_one_to_all():
    sizes = choose_pool_sizes(733)
    assert (sizes[0], sizes[-1]) == (1, 733)
    assert (np.diff(sizes) > 0).all()
    assert choose_pool_sizes(3).tolist() == [1, 2, 3]


def test_a_picture_of_any_tables_is_the_same_every_time(tmp_path):
    tables = {"one tower": table([1, 2, 2.5, 9, 30] * 6), "another": table([3, 1, 8] * 7)}
    for name in ("first", "second"):
        save_svg(draw_recalls(tables), tmp_path / f"{name}.svg")
    text = (tmp_path / "first.svg").read_text(encoding="utf-8")
    assert text == (tmp_path / "second.svg").read_text(encoding="utf-8")
    for label in ("one tower", "another", "random", "R@1", "R@20"):
        assert f">{label}</text>" in text


def test_arguments_that_cannot_be_used(tmp_path):
    with pytest.raises(ValueError, match="NAME=FILE"):
        read_ranks("ecfp4.csv")
    (tmp_path / "a=b.csv").write_text("molecule,rank\nA,1\n")
    with pytest.raises(ValueError, match="no column text_to_geometry_full; write it with --ranks"):
        read_ranks(f"x={tmp_path / 'a=b.csv'}")
