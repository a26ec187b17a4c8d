"""Tables from tidy files with values that can be checked by hand."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from geomclip_tools.studies.results import METRICS_FILE, RANKS_FILE, describe
from geomclip_tools.studies.runs import TEST, VALIDATION, list_measurements, list_runs
from geomclip_tools.studies.tables import choose_columns, compare, draw_differences, format_spread, format_study

TITLES = ["T→G R@1", "T→G R@20"]  # of the single scope below
MOLECULES = list("AABCD")
RANKS = {  # of five pairs
    ("base", 0): [1, 1, 30, 2, 1],
    ("base", 1): [1, 2, 30, 2, 1],
    ("high", 0): [1, 1, 1, 1, 1],
    ("high", 1): [1, 1, 1, 30, 1],
    ("short", 0): [30, np.nan, 1, 2, 1],
}


@pytest.fixture
def results(study, tmp_path) -> Path:
    """Write the tidy files of `RANKS`."""
    metrics, ranks = [], []
    for measurement in list_measurements(study, list_runs(study.variants.values()), VALIDATION):
        if (key := (measurement.run.variant, measurement.run.seed)) in RANKS:
            own = np.array(RANKS[key])
            places = pd.DataFrame({"place": range(5), "molecule": MOLECULES, "rank": own})
            places.loc[places["rank"].isna(), "molecule"] = ""
            ranks.append(places.assign(scope="text_to_geometry_full", **describe(measurement)))
            shared = {"study": "levels", **describe(measurement), "row": "model", "hours": 1.0 + key[1]}
            for rank in (1, 20):
                metric = f"text_to_geometry_full_recall_at_{rank}"
                metrics.append(shared | {"metric": metric, "value": (own <= rank).mean(), "low": np.nan})
    pd.DataFrame(metrics).to_parquet(tmp_path / METRICS_FILE)
    pd.concat(ranks).to_parquet(tmp_path / RANKS_FILE)
    return tmp_path


def test_figures(study, results):
    title, table, differences = format_study(study, results, VALIDATION).split("\n\n")
    assert title == "retrieval, validation: how high is the level?"
    assert table.splitlines() == [
        "| mean over seeds (lowest to highest) | seeds | T→G R@1 | T→G R@20 | hours |",
        "| --- | --- | --- | --- | --- |",
        "| base | 2 | 50.0 (40.0 to 60.0) | 80.0 (80.0 to 80.0) | 1.50 |",
        "| high | 2 | 90.0 (80.0 to 100.0) | 90.0 (80.0 to 100.0) | 1.50 |",
        "| short | 1 | 40.0 | 60.0 | 1.00 |",
    ]
    assert differences.splitlines()[0] == "| minus base, points [95 % interval] | seeds | T→G R@1 | T→G R@20 |"
    assert differences.splitlines()[2].startswith("| high | 2 | 40.0 [")
    assert differences.splitlines()[3].startswith("| short | 1 | -20.0 [")


def test_differences_are_means_over_the_seeds_that_both_have(study, results):
    table = compare(study, results, "retrieval", VALIDATION)
    assert table["column"].tolist() == TITLES * 2
    assert table["num_seeds"].tolist() == [2, 2, 1, 1]
    assert table["num_rows"].tolist() == [5] * 4
    np.testing.assert_allclose(table["value"], [0.4, 0.1, -0.2, -0.2])


def test_the_interval_is_over_molecules_with_all_their_rows(study, results):
    """Hits at 1 of `high` minus those of `base`, over both seeds: A 1 in 4 rows, B 2 in 2, C 1 in 2, D 0 in 2."""
    row = compare(study, results, "retrieval", VALIDATION).iloc[0]
    draws = np.random.default_rng(0).multinomial(4, np.full(4, 1 / 4), size=1000)
    expected = (draws @ [1, 2, 1, 0]) / (draws @ [4, 2, 2, 2])
    np.testing.assert_allclose((row["low"], row["high"]), np.percentile(expected, (2.5, 97.5)))


def test_ranks_of_other_pairs_are_not_compared(study, results):
    ranks = pd.read_parquet(results / RANKS_FILE)
    is_changed = (ranks["variant"] == "high") & (ranks["place"] == 2)
    ranks.assign(molecule=ranks["molecule"].where(~is_changed, "Z")).to_parquet(results / RANKS_FILE)
    with pytest.raises(ValueError, match="high and base were measured on different pairs; measure both on the same"):
        compare(study, results, "retrieval", VALIDATION)
    ranks[~is_changed].to_parquet(results / RANKS_FILE)  # one has fewer
    with pytest.raises(ValueError, match="high and base were measured on different pairs"):
        compare(study, results, "retrieval", VALIDATION)


def test_without_the_baseline_there_are_no_differences(study, results):
    ranks = pd.read_parquet(results / RANKS_FILE)
    ranks[ranks["variant"] != "base"].to_parquet(results / RANKS_FILE)
    assert not len(compare(study, results, "retrieval", VALIDATION))
    assert "minus" not in format_study(study, results, VALIDATION)


def test_nothing_on_a_split(study, results):
    with pytest.raises(ValueError, match="no measurements of this study on test; run `geomclip study run`"):
        format_study(study, results, TEST)


def test_other_evaluations_show_what_they_have(study, results):
    metrics = pd.read_parquet(results / METRICS_FILE)
    names = metrics["metric"].map({"text_to_geometry_full_recall_at_1": "loss"}).fillna("average_precision")
    metrics.assign(metric=names).to_parquet(results / METRICS_FILE)
    lines = format_study(study, results, VALIDATION).splitlines()
    assert lines[2] == "| mean over seeds (lowest to highest) | seeds | loss | average_precision | hours |"
    assert lines[4] == "| base | 2 | 0.5 (0.4 to 0.6) | 80.0 (80.0 to 80.0) | 1.50 |"


def test_rows_of_an_evaluation_without_a_model_are_columns():
    metrics = pd.DataFrame(
        {"row": ["all", "all", "unseen"], "metric": ["precision_at_10", "num_queries", "loss"], "low": [0.1, None, 0.2]}
    )
    assert choose_columns(metrics) == {
        "all: precision_at_10": ("all", "precision_at_10"),
        "unseen: loss": ("unseen", "loss"),
    }


def test_a_spread():
    assert format_spread(pd.Series([0.5]), True) == "50.0"
    assert format_spread(pd.Series([3.0, 4.0]), False) == "3.5 (3 to 4)"


def test_the_figure(study, results, tmp_path):
    pytest.importorskip("matplotlib")
    draw_differences(compare(study, results, "retrieval", VALIDATION), "base", tmp_path / "plots" / "levels.png")
    assert (tmp_path / "plots" / "levels.png").read_bytes().startswith(b"\x89PNG")
