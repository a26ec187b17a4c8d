"""Tidy tables of the measurements of a study: `metrics.parquet` and `ranks.parquet` in its results folder.

A rejected molecule counts as a miss: recalls and reciprocal ranks cover all rows. Its ranks are missing.
"""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from ..records import read_json
from .running import DONE, RANKS, RESULTS
from .runs import TEST, Measurement, list_measurements, list_runs
from .study import Study

METRICS_FILE, RANKS_FILE = "metrics.parquet", "ranks.parquet"
KEY = ["variant", "seed", "split", "evaluation", "source"]  # of a measurement; source: its folder, relative to the runs
METRIC_COLUMNS = ["study", *KEY, "row", "metric", "value", "low", "high", "hours", "commit", "hardware", "data"]
RANK_COLUMNS = [*KEY, "place", "molecule", "scope", "rank"]
FLOATS = ("value", "low", "high", "hours")
NUMBERS = (*FLOATS, "seed", "place", "rank")  # all other columns hold strings
RECORD_KEYS = ("settings", "versions", "data_sha256", "git_commit", "command", "task", "failures")  # not measurements
MISS_IS_ZERO = re.compile(r"(recall_at_\d+|mean_reciprocal_rank)(_ceiling|_low|_high)?$")


def collect(study: str, measurements: Iterable[Measurement], runs: Path, results: Path) -> None:
    """Update both tables with the measurements in the runs folder.

    Newer measurements replace older ones, except on a test split, where the first reading stays.
    """
    found = [measurement for measurement in measurements if (runs / measurement.folder / RESULTS).is_file()]
    metrics = [read_metrics(study, measurement, runs) for measurement in found]
    ranks = [read_ranks(measurement, runs) for measurement in found]
    results.mkdir(parents=True, exist_ok=True)
    write_table(results / METRICS_FILE, METRIC_COLUMNS, metrics)
    write_table(results / RANKS_FILE, RANK_COLUMNS, ranks)


def read_table(path: Path) -> pd.DataFrame:
    """Read one of the two tables; return an empty one if the file does not exist."""
    if not path.is_file():
        return pd.DataFrame(columns=METRIC_COLUMNS if path.name == METRICS_FILE else RANK_COLUMNS)
    table = pd.read_parquet(path)
    return table.astype(dict.fromkeys(table.select_dtypes("category"), object))


def select(study: Study, results: Path, file: str, evaluation: str, split: str) -> pd.DataFrame:
    """Select the rows of an evaluation on a split, for the variants as the study file now defines them."""
    table = read_table(results / file)
    runs = list_runs(study.variants.values())
    sources = {measurement.folder for measurement in list_measurements(study, runs, split)}
    return table[(table["evaluation"] == evaluation) & (table["split"] == split) & table["source"].isin(sources)]


def write_table(path: Path, columns: list[str], frames: list[pd.DataFrame]) -> None:
    """Merge frames into a table and write it atomically; string columns are dictionary-encoded."""
    old, new = read_table(path), join(frames, columns)
    old = old[(old["split"] == TEST) | ~list_keys(old).isin(list_keys(new))]
    new = new[~list_keys(new).isin(list_keys(old))]
    table = join([old, new], columns).sort_values(KEY, kind="stable", ignore_index=True)
    table = table.astype({name: "category" for name in columns if name not in NUMBERS})
    partial = path.with_suffix(".partial")
    table.to_parquet(partial, index=False)
    partial.replace(path)


def join(frames: list[pd.DataFrame], columns: list[str]) -> pd.DataFrame:
    """Concatenate the frames that have rows; return an empty table if none has."""
    filled = [frame for frame in frames if len(frame)]
    return pd.concat(filled) if filled else pd.DataFrame(columns=columns)


def list_keys(table: pd.DataFrame) -> pd.MultiIndex:
    """Return the `KEY` of every row, as strings."""
    return pd.MultiIndex.from_frame(table[KEY].astype(str))


# ---------------------------------------------------------------------------------------------------- one measurement


def describe(measurement: Measurement) -> dict[str, Any]:
    """Return the `KEY` of a measurement."""
    run = measurement.run
    values = (run.variant, run.seed, measurement.split, measurement.evaluation.name, measurement.folder)
    return dict(zip(KEY, values))


def read_metrics(study: str, measurement: Measurement, runs: Path) -> pd.DataFrame:
    """Read the metrics of a results file and the records of the run's stages, as rows of `METRIC_COLUMNS`."""
    record = read_json(runs / measurement.folder / RESULTS)
    stages = [read_json(runs / stage.folder / DONE) for stage in measurement.run.stages]
    shared = {"study": study, **describe(measurement), "hours": round(sum(stage["hours"] for stage in stages), 4)}
    shared |= {"commit": record["git_commit"], "hardware": stages[-1]["hardware"], "data": record["data_sha256"]}
    rows = [shared | row for row in tidy(count_misses(list_figures(record), record))]
    return pd.DataFrame(rows, columns=METRIC_COLUMNS).astype({"seed": "int32", **dict.fromkeys(FLOATS, "float64")})


def list_figures(record: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """Return {row: {metric: value}} of a results file: its `metrics`, or otherwise all numbers in it, named by path."""
    if "metrics" in record and all(isinstance(values, Mapping) for values in record["metrics"].values()):
        return record["metrics"]
    return {"model": dict(flatten({name: value for name, value in record.items() if name not in RECORD_KEYS}))}


def flatten(values: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, float]]:
    """Yield the path and value of every number in nested mappings."""
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from flatten(value, f"{prefix}{name}/")
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield f"{prefix}{name}", value


def count_misses(figures: dict[str, dict[str, float]], record: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """Count rejected molecules as misses, and add their number."""
    num_refused = len(record.get("failures", ()))
    if not num_refused or "num_rows" not in record:
        return figures
    share = record["num_rows"] / (record["num_rows"] + num_refused)
    return {
        row: {name: value * share if MISS_IS_ZERO.search(name) else value for name, value in values.items()}
        | {"num_refused": num_refused}
        for row, values in figures.items()
    }


def tidy(figures: dict[str, dict[str, float]]) -> Iterable[dict[str, Any]]:
    """Yield a row for each metric, with the bounds of its interval."""
    for row, values in figures.items():
        for name, value in values.items():
            stem, _, end = name.rpartition("_")
            if not (end in ("low", "high") and stem in values):
                ends = {end: values.get(f"{name}_{end}") for end in ("low", "high")}
                yield {"row": row, "metric": name, "value": value, **ends}


def read_ranks(measurement: Measurement, runs: Path) -> pd.DataFrame:
    """Read the ranks of a measurement as rows of `RANK_COLUMNS`; `place` is the row number of a pair in its split.

    A rejected pair has neither a rank nor a molecule. Tied ranks can be fractional.
    """
    folder = runs / measurement.folder
    if not (folder / RANKS).is_file():
        return pd.DataFrame(columns=RANK_COLUMNS)
    wide = pd.read_csv(folder / RANKS, keep_default_na=False)
    refused = {failure["row"] for failure in read_json(folder / RESULTS).get("failures", ())}
    wide["place"] = [place for place in range(len(wide) + len(refused)) if place not in refused]
    wide = wide.set_index("place").reindex(range(len(wide) + len(refused))).reset_index()
    wide["molecule"] = wide["molecule"].fillna("")
    table = wide.melt(["place", "molecule"], var_name="scope", value_name="rank")
    table = table.assign(**describe(measurement))[RANK_COLUMNS]
    return table.astype({"seed": "int32", "place": "int32", "rank": "float32"})
