"""A choice is made by the mean over seeds or by hand, written once, and checked for changes."""

from pathlib import Path

import pandas as pd
import pytest
import yaml

from geomclip_tools.studies.freezing import FROZEN, TEST_LOG, freeze, read_frozen
from geomclip_tools.studies.results import METRICS_FILE, describe
from geomclip_tools.studies.runs import VALIDATION, list_measurements, list_runs
from geomclip_tools.studies.study import read_study

VALUES = {  # of the metric
    ("base", 0): 0.8,
    ("base", 1): 0.2,
    ("high", 0): 0.5,
    ("high", 1): 0.6,
    ("short", 0): 0.9,
    ("short", 1): 0.9,
}


def write_metrics(study, folder: Path, values: dict) -> Path:
    rows = [
        {**describe(item), "row": row, "metric": study.metric, "value": values[item.run.variant, item.run.seed] - less}
        for item in list_measurements(study, list_runs(study.variants.values()), VALIDATION)
        if (item.run.variant, item.run.seed) in values
        for row, less in (("model", 0), ("random positions", 0.1))
    ]
    pd.DataFrame(rows).to_parquet(folder / METRICS_FILE)
    return folder


def test_the_best_mean_is_chosen_and_never_a_control(study, tmp_path):
    record = freeze(study, write_metrics(study, tmp_path, VALUES))
    assert record == yaml.safe_load((tmp_path / FROZEN).read_text())
    assert record["variant"] == "high"
    assert record["chosen"].startswith("by the highest mean over seeds of text_to_geometry_full_recall_at_1 on valid")
    assert record["validation"] == {
        "base": {0: 0.8, 1: 0.2},
        "high": {0: 0.5, 1: 0.6},
        "short": {0: 0.9, 1: 0.9},
    }
    assert list(record["settings"]) == ["high", "short"]
    assert record["settings"]["high"] == {"seeds": [0, 1], "stages": study.variants["high"].stages}
    assert record["evaluations"] == {"retrieval": {"command": "retrieval"}}
    assert record["study_sha256"] == study.sha256
    assert {"commit", "date"} <= set(record)
    assert read_frozen(study, tmp_path) == ["high", "short"]


def test_the_lowest_mean(write_study, tmp_path):
    study = read_study(write_study(best="lowest"))
    assert freeze(study, write_metrics(study, tmp_path, VALUES))["variant"] == "base"


def test_a_choice_by_hand_says_so(study, tmp_path):
    values = {key: value for key, value in VALUES.items() if key[0] != "high"}  # not run
    record = freeze(study, write_metrics(study, tmp_path, values), by_hand="base")
    assert (record["variant"], record["chosen"]) == ("base", "by hand")


def test_the_best_of_some(study, tmp_path):
    values = {key: value for key, value in VALUES.items() if key != ("high", 1)}
    record = freeze(study, write_metrics(study, tmp_path, values), among=["base", "short"])
    assert record["variant"] == "base"
    assert record["chosen"].endswith("on validation (retrieval), among base")
    assert list(record["validation"]) == ["base", "short"]


def test_controls_and_grids_are_no_choice(study, write_study, tmp_path):
    with pytest.raises(ValueError, match="short are controls only"):
        freeze(study, tmp_path, among=["short"])
    variants = {"base": {}, "rate": {"grid": {"second.level": [1, 2]}}}
    study = read_study(write_study(variants=variants, controls=[]))
    with pytest.raises(ValueError, match=r"'rate' is a grid; choose one of rate:second.level=1, rate:second.level=2"):
        freeze(study, tmp_path, by_hand="rate")


def test_nothing_is_frozen_twice(study, tmp_path):
    freeze(study, write_metrics(study, tmp_path, VALUES))
    before = (tmp_path / FROZEN).read_text()
    with pytest.raises(ValueError, match="a choice is already frozen: "):
        freeze(study, tmp_path, by_hand="base")
    assert (tmp_path / FROZEN).read_text() == before


def test_nothing_is_frozen_after_the_test_split_was_read(study, tmp_path):
    write_metrics(study, tmp_path, VALUES)
    (tmp_path / TEST_LOG).write_text("")
    with pytest.raises(ValueError, match="a test split was already read"):
        freeze(study, tmp_path)


@pytest.mark.parametrize("missing", [("base", 1), ("short", 0)])
def test_all_figures_are_needed(study, tmp_path, missing):
    values = {key: value for key, value in VALUES.items() if key != missing}
    with pytest.raises(ValueError, match=f"of {missing[0]}, seed {missing[1]} is not measured on validation"):
        freeze(study, write_metrics(study, tmp_path, values))


def test_an_unknown_metric_or_variant_is_refused(study, write_study, tmp_path):
    write_metrics(study, tmp_path, VALUES)
    with pytest.raises(ValueError, match="no variant 'hihg'; it has base, high, short"):
        freeze(study, tmp_path, by_hand="hihg")
    other = read_study(write_study(metric="recall"))
    with pytest.raises(ValueError, match="retrieval has no metric 'recall'; it has text_to_geometry_full_recall_at_1"):
        freeze(other, tmp_path)


def test_the_test_split_needs_a_frozen_choice(study, tmp_path):
    with pytest.raises(ValueError, match=r"no choice is frozen in .*; run `geomclip study freeze`"):
        read_frozen(study, tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"variants": {"base": {}, "high": {"second.level": 5}, "short": {}}}, "level: 4 -> 5"),
        ({"variants": {"base": {}, "short": {}}}, "the frozen variant 'high' is no longer in the study"),
        ({"seeds": [0]}, r"seeds: \[0, 1\] -> \[0\]"),
        ({"controls": []}, r"controls: \['short'\] -> \[\]"),
        ({"evaluations": {"retrieval": {"num_bootstrap": 3}}}, "num_bootstrap: None -> 3"),
    ],
)
def test_a_study_that_changed_is_refused(study, write_study, tmp_path, changes, message):
    freeze(study, write_metrics(study, tmp_path, VALUES))
    with pytest.raises(ValueError, match=message):
        read_frozen(read_study(write_study(**changes)), tmp_path)


def test_further_variants_may_be_added(study, write_study, values, tmp_path):
    freeze(study, write_metrics(study, tmp_path, VALUES))
    changed = read_study(write_study(variants=values["variants"] | {"new": {"second.level": 9}}, about="more"))
    assert read_frozen(changed, tmp_path) == ["high", "short"]
