"""Tidy tables from results files."""

import json

import numpy as np
import pandas as pd
import pyarrow.parquet
import pytest

from geomclip_tools.studies.results import (
    METRIC_COLUMNS,
    METRICS_FILE,
    RANK_COLUMNS,
    RANKS_FILE,
    collect,
    count_misses,
    list_figures,
    read_table,
    select,
    tidy,
)
from geomclip_tools.studies.runs import TEST, VALIDATION, Measurement, list_measurements, list_runs


@pytest.fixture
def write_results(tmp_path):
    """Write the files that a run and its measurement leave."""

    def write(measurement: Measurement, recall: float, ranks: list[float], failures=()) -> None:
        for stage in measurement.run.stages:
            (tmp_path / "runs" / stage.folder).mkdir(parents=True, exist_ok=True)
            record = {"hours": 1.5, "hardware": "2 abaci"}
            (tmp_path / "runs" / stage.folder / "stage.json").write_text(json.dumps(record))
        folder = tmp_path / "runs" / measurement.folder
        folder.mkdir(parents=True, exist_ok=True)
        metrics = {"recall_at_1": recall, "recall_at_1_low": 0.1, "recall_at_1_high": 0.9, "recall_at_1_chance": 0.05}
        record = {"metrics": {"model": metrics, "random positions": {"recall_at_1": 0.0}}, "num_rows": len(ranks)}
        record |= {"failures": [{"row": row, "reason": "no"} for row in failures]}
        (folder / "results.json").write_text(json.dumps(record | {"git_commit": "c0ffee", "data_sha256": "abc"}))
        table = pd.DataFrame({"molecule": list("ABCDEFG")[: len(ranks)], "text_to_geometry_full": ranks})
        table.to_csv(folder / "ranks.csv", index=False)

    return write


def list_all(study, split=VALIDATION) -> list[Measurement]:
    return list_measurements(study, list_runs(study.variants.values()), split)


def test_from_files_to_tables(study, write_results, tmp_path):
    first, second, *rest = list_all(study)
    write_results(first, 0.5, [1, 2.5, 3])
    write_results(second, 0.25, [4, 1, 1])
    collect("levels", [first, second, *rest], tmp_path / "runs", tmp_path / "results")
    metrics = read_table(tmp_path / "results" / METRICS_FILE)
    assert list(metrics) == METRIC_COLUMNS
    assert len(metrics) == 6
    row = metrics[(metrics["variant"] == "base") & (metrics["row"] == "model")].iloc[0].to_dict()
    assert row == {
        "study": "levels",
        "variant": "base",
        "seed": 0,
        "split": "validation",
        "evaluation": "retrieval",
        "source": first.folder,
        "row": "model",
        "metric": "recall_at_1",
        "value": 0.5,
        "low": 0.1,
        "high": 0.9,
        "hours": 3.0,  # of both stages
        "commit": "c0ffee",
        "hardware": "2 abaci",
        "data": "abc",
    }
    ranks = read_table(tmp_path / "results" / RANKS_FILE)
    assert list(ranks) == RANK_COLUMNS
    base = ranks[ranks["variant"] == "base"]
    assert base["rank"].tolist() == [1, 2.5, 3]
    assert base["place"].tolist() == [0, 1, 2]
    assert base["molecule"].tolist() == ["A", "B", "C"]
    types = {field.name: str(field.type) for field in pyarrow.parquet.read_schema(tmp_path / "results" / RANKS_FILE)}
    assert (types["seed"], types["rank"]) == ("int32", "float")
    assert all(types[name].startswith("dictionary") for name in ("variant", "source", "molecule", "scope"))


def test_tables_are_merged(study, write_results, tmp_path):
    first, second, *_ = list_all(study)
    results = tmp_path / "results"
    write_results(first, 0.5, [1, 2])
    collect("levels", [first], tmp_path / "runs", results)
    write_results(second, 0.2, [1, 2])
    collect("levels", [second], tmp_path / "runs", results)  # like results from another machine
    write_results(first, 0.75, [2, 2])
    for _ in range(2):
        collect("levels", [first], tmp_path / "runs", results)
    metrics = read_table(results / METRICS_FILE)
    values = metrics[(metrics["row"] == "model") & (metrics["metric"] == "recall_at_1")]
    assert values.set_index("variant")["value"].to_dict() == {"base": 0.75, "high": 0.2}
    assert len(read_table(results / RANKS_FILE)) == 4
    collect("levels", [], tmp_path / "runs", results)
    pd.testing.assert_frame_equal(read_table(results / METRICS_FILE), metrics)


def test_what_was_read_of_a_test_split_stays(study, write_results, tmp_path):
    first = list_all(study, TEST)[0]
    for recall in (0.5, 0.75):
        write_results(first, recall, [1])
        collect("levels", [first], tmp_path / "runs", tmp_path / "results")
    metrics = read_table(tmp_path / "results" / METRICS_FILE)
    assert metrics[metrics["row"] == "model"]["value"].tolist() == [0.5, 0.05]


def test_results_of_earlier_settings_are_kept_and_not_selected(study, write_results, tmp_path):
    first = list_all(study)[0]
    write_results(first, 0.5, [1])
    collect("levels", [first], tmp_path / "runs", tmp_path / "results")
    assert len(select(study, tmp_path / "results", METRICS_FILE, "retrieval", VALIDATION)) == 3
    assert not len(select(study, tmp_path / "results", METRICS_FILE, "retrieval", TEST))
    study.variants["base"].stages["first"]["level"] = 9
    assert not len(select(study, tmp_path / "results", METRICS_FILE, "retrieval", VALIDATION))


def test_a_refused_molecule_is_a_miss(study, write_results, tmp_path):
    first = list_all(study)[0]
    write_results(first, 0.5, [1, 2, 1], failures=[0, 2])
    collect("levels", [first], tmp_path / "runs", tmp_path / "results")
    metrics = read_table(tmp_path / "results" / METRICS_FILE)
    model = metrics[metrics["row"] == "model"].set_index("metric")
    assert model["value"].to_dict() == pytest.approx({"recall_at_1": 0.3, "recall_at_1_chance": 0.05, "num_refused": 2})
    assert (model["low"]["recall_at_1"], model["high"]["recall_at_1"]) == pytest.approx((0.06, 0.54))
    ranks = read_table(tmp_path / "results" / RANKS_FILE)
    np.testing.assert_array_equal(ranks["rank"], [np.nan, 1, np.nan, 2, 1])
    assert ranks["molecule"].tolist() == ["", "A", "", "B", "C"]


def test_without_refused_molecules_nothing_is_counted():
    figures = {"model": {"recall_at_1": 0.5}}
    assert count_misses(figures, {"failures": [], "num_rows": 4}) == figures


def test_figures_of_other_evaluations():
    record = {"task": "denoising", "loss": 0.5, "largest": {"turn": 1e-5, "order of atoms": 2}, "is_on": True}
    record |= {"settings": {"seed": 0}, "versions": {}, "failures": []}
    assert list_figures(record) == {"model": {"loss": 0.5, "largest/turn": 1e-5, "largest/order of atoms": 2}}


def test_ends_of_intervals_stand_beside_their_figure():
    rows = list(tidy({"a": {"x": 2, "x_low": 1, "x_high": 3, "y": 5, "too_low": 6}}))
    assert rows == [
        {"row": "a", "metric": "x", "value": 2, "low": 1, "high": 3},
        {"row": "a", "metric": "y", "value": 5, "low": None, "high": None},
        {"row": "a", "metric": "too_low", "value": 6, "low": None, "high": None},
    ]
