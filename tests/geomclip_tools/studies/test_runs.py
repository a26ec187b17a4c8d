"""List runs and measurements; equal stages are shared."""

import pytest

from geomclip_tools.studies.runs import VALIDATION, list_measurements, list_runs
from geomclip_tools.studies.study import build_study


def folders(study, *names, seeds=None) -> dict:
    runs = list_runs(study.choose(list(names) or None), seeds)
    return {(run.variant, run.seed): [stage.folder for stage in run.stages] for run in runs}


def test_equal_stages_of_variants_are_one_folder(study):
    by_run = folders(study)
    assert list(by_run) == [(name, seed) for seed in (0, 1) for name in ("base", "high", "short")]
    assert by_run["base", 0][0] == by_run["high", 0][0]
    assert by_run["base", 0][1] != by_run["high", 0][1]
    assert by_run["base", 0][0] != by_run["base", 1][0]
    assert by_run["short", 0][0] != by_run["base", 0][1]  # does not start from another stage
    assert all(folder.startswith("first-") for folder in (by_run["base", 0][0], by_run["high", 1][0]))


def test_a_stage_depends_on_the_stages_before_it(values):
    before = folders(build_study("s", values, ""))["base", 0]
    values["stages"]["first"]["level"] = 3
    after = folders(build_study("s", values, ""))["base", 0]
    assert before[0] != after[0]
    assert before[1] != after[1]


def test_a_stage_of_its_own_seed_serves_all_seeds(values):
    values["stages"]["first"]["seed"] = 7
    by_run = folders(build_study("s", values, ""))
    assert by_run["base", 0][0] == by_run["base", 1][0]
    assert by_run["base", 0][1] != by_run["base", 1][1]
    runs = list_runs(build_study("s", values, "").variants.values())
    assert [stage.seed for stage in runs[-2].stages] == [7, 1]
    assert "seed" not in runs[0].stages[0].settings


def test_the_order_of_settings_changes_nothing(values):
    before = folders(build_study("s", values, ""))["base", 0][1]
    values["stages"]["second"] = dict(reversed(values["stages"]["second"].items()))
    assert folders(build_study("s", values, ""))["base", 0][1] == before


def test_some_runs_only(study):
    assert list(folders(study, "high", seeds=[1])) == [("high", 1)]
    with pytest.raises(ValueError, match=r"no selected variant has the seed 2; their seeds are \[0, 1\]"):
        folders(study, seeds=[2])


def test_a_stage_that_measures_itself_is_measured_by_nothing_else(values):
    values["evaluations"] = {"retrieval": {}, "other": {"command": "retrieval", "num_bootstrap": 3}}
    values["variants"]["free"] = {"second.measures": None}
    study = build_study("s", values, "")
    runs = list_runs(study.choose(["base", "free"]), [0])
    found = [(item.run.variant, item.evaluation.name) for item in list_measurements(study, runs, VALIDATION)]
    assert found == [("base", "retrieval"), ("free", "retrieval"), ("free", "other")]
    places = [item.folder for item in list_measurements(study, runs, VALIDATION)]
    assert len(set(places)) == 3
    assert places[0].startswith(f"{runs[0].stages[-1].folder}/evaluations/validation-retrieval-")
