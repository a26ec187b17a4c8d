"""Readings of the test split: the first one, and later ones that must agree with it."""

import json
from dataclasses import replace

import pandas as pd
import pytest

from geomclip_tools.studies import testing
from geomclip_tools.studies.freezing import TEST_LOG
from geomclip_tools.studies.results import METRICS_FILE, describe
from geomclip_tools.studies.runs import TEST, list_measurements, list_runs
from geomclip_tools.studies.testing import DIFFERS, EXACT, FIRST, UNJUDGED, WITHIN, find_disagreements, judge

CONDITIONS = {"processor": "abacus", "accelerator": None, "threads": 2, "precision": "float32"}
FIGURES = {0: {"recall": 0.5, "rank": 3.0}, 1: {"recall": 0.6, "rank": 3.0}}  # by seed


def frame(measurement, figures: dict[str, float]) -> pd.DataFrame:
    rows = [
        {"row": "model", "metric": name, "value": value, "low": 0.1, "high": None} for name, value in figures.items()
    ]
    return pd.DataFrame(rows).assign(**describe(measurement))


@pytest.fixture
def measurements(study) -> list:
    """Return the measurements of the variant `high`, one per seed."""
    return list_measurements(study, list_runs(study.choose(["high"])), TEST)


@pytest.fixture
def agree(study, measurements, tmp_path):
    """Compare a reading with other values and conditions with the first reading of `num_seeds` seeds."""

    def agree(figures=None, num_seeds=2, data="abc", **conditions) -> dict:
        tables = [frame(measurements[seed], FIGURES[seed]) for seed in range(num_seeds)]
        pd.concat(tables).to_parquet(tmp_path / METRICS_FILE)
        first = {"variant": "high", "seed": 0, "evaluation": "retrieval", "data_sha256": "abc", **CONDITIONS}
        entry = first | {"data_sha256": data} | conditions
        return judge(study, entry, first, frame(measurements[0], FIGURES[0] | (figures or {})), tmp_path)

    return agree


def test_equal_figures_agree_anywhere(agree):
    assert agree() == {"agreement": EXACT}
    assert agree(processor="other", num_seeds=1) == {"agreement": EXACT}


def test_on_the_same_machine_in_float32_all_must_be_equal(agree):
    found = agree({"recall": 0.5001})
    assert found["agreement"] == f"{DIFFERS}: equal figures were expected"
    assert found["differences"] == {"model, recall": [0.5, 0.5001]}


@pytest.mark.parametrize(
    "conditions",
    [{"processor": "other"}, {"threads": 1}, {"precision": "bf16"}, {"accelerator": "a GPU"}],
)
def test_elsewhere_the_spread_of_the_seeds_is_allowed(agree, conditions):
    assert agree({"recall": 0.6}, **conditions)["agreement"] == WITHIN
    assert agree({"recall": 0.4}, **conditions)["agreement"] == WITHIN
    found = agree({"recall": 0.39}, **conditions)
    assert found["agreement"] == f"{DIFFERS} by more than the seeds"
    assert agree({"rank": 4.0}, **conditions)["agreement"].startswith(DIFFERS)  # equal for all seeds


def test_two_readings_in_bfloat16_need_not_be_equal(agree, study, measurements, tmp_path):
    agree()
    first = {"variant": "high", "seed": 0, "evaluation": "retrieval", "data_sha256": "abc", **CONDITIONS}
    first |= {"precision": "bf16"}
    assert (
        judge(study, first, first, frame(measurements[0], {"recall": 0.55, "rank": 3.0}), tmp_path)["agreement"]
        == WITHIN
    )


def test_one_seed_has_no_spread(agree):
    found = agree({"recall": 0.1}, num_seeds=1, processor="other")
    assert found == {"agreement": UNJUDGED, "differences": {"model, recall": [0.5, 0.1]}}


def test_other_rows_or_figures_disagree(agree):
    assert agree(data="xyz", processor="other")["agreement"] == f"{DIFFERS}: other rows were read"
    found = agree({"new": 1.0}, processor="other")
    assert found["agreement"].startswith(DIFFERS)
    assert found["differences"] == {"model, new": [None, 1.0]}


def test_disagreements_are_told_and_found():
    lines = []
    first = {"variant": "high", "seed": 0, "evaluation": "retrieval", "agreement": FIRST}
    bad = first | {"agreement": f"{DIFFERS} by more than the seeds", "differences": {"model, recall": [0.5, 0.1]}}
    assert find_disagreements([first, bad], lines.append) == [bad]
    assert lines == [
        "high, seed 0, retrieval: first reading",
        "high, seed 0, retrieval: differs by more than the seeds",
        "    model, recall: 0.5 -> 0.1",
    ]
    assert find_disagreements([first | {"agreement": name} for name in (EXACT, WITHIN, UNJUDGED)], lines.append) == []


def test_a_reading_is_finished_before_the_next(study, tmp_path):
    def plan():
        found = testing.plan_reading(study, ["high", "short"], tmp_path)
        return [(item.run.variant, item.run.seed, item.reading) for item in found]

    def log(variant, seed):
        with (tmp_path / TEST_LOG).open("a") as file:
            file.write(json.dumps({"variant": variant, "seed": seed, "evaluation": "retrieval"}) + "\n")

    runs = [("high", 0), ("short", 0), ("high", 1), ("short", 1)]
    assert plan() == [(*run, 1) for run in runs]
    log("high", 0)
    assert plan() == [(*run, 1) for run in runs[1:]]
    for run in runs[1:]:
        log(*run)
    assert plan() == [(*run, 2) for run in runs]
    log("short", 1)
    assert plan() == [(*run, 2) for run in runs[:3]]


def test_every_reading_has_a_folder_of_its_own(measurements):
    first, second = measurements[0], replace(measurements[0], reading=2)
    assert second.folder == f"{first.folder}-reading-2"
