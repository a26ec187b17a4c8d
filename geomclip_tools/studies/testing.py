"""Read the test split once for a frozen choice; every later reading is a reproduction, which must agree."""

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from ..records import RECORD, find_commit, name_processor, read_json
from .freezing import TEST_LOG
from .results import METRICS_FILE, read_metrics, select
from .running import Bench
from .running import now as tell_date
from .runs import TEST, Measurement, list_measurements, list_runs
from .study import Study

NAMES = ("variant", "seed", "evaluation")  # of a measurement in the log
CONDITIONS = ("processor", "accelerator", "threads", "precision")  # equal conditions should give equal values
FIRST, EXACT, WITHIN, UNJUDGED, DIFFERS = (
    "first reading",
    "equal",
    "within the spread of the seeds",
    "other hardware and one seed: cannot be judged",
    "differs",
)

ROUNDING = 1e-9  # tolerance of differences

Figures = dict[tuple[str, str], tuple[float, float, float]]  # (row, metric): value and interval bounds


def plan_reading(study: Study, variants: list[str], results: Path) -> list[Measurement]:
    """List the missing measurements of the first reading of the test split or, if it is complete, of the next one."""
    runs = list_runs(study.variants[name] for name in variants)
    measurements = list_measurements(study, runs, TEST)
    read = Counter(tuple(entry[name] for name in NAMES) for entry in read_log(results))
    reading = 1 + min(read[name_measurement(measurement)] for measurement in measurements)
    return [replace(item, reading=reading) for item in measurements if read[name_measurement(item)] < reading]


def log_reading(study: Study, measurement: Measurement, bench: Bench, results: Path) -> dict[str, Any]:
    """Append a reading to the log, with its agreement with the first reading, and return the entry."""
    metrics = read_metrics(study.name, measurement, bench.folder)
    entry = dict(zip(NAMES, name_measurement(measurement)))
    entry |= {"reading": measurement.reading, "date": tell_date(), "commit": find_commit()}
    entry |= describe_conditions(measurement, bench)
    entry |= {"study_sha256": study.sha256, "data_sha256": metrics["data"].iloc[0]}
    if measurement.reading == 1:
        entry["agreement"] = FIRST
    else:
        first = next(old for old in read_log(results) if all(old[name] == entry[name] for name in NAMES))
        entry |= judge(study, entry, first, metrics, results)
    with (results / TEST_LOG).open("a", encoding="utf-8") as file:
        file.write(json.dumps(entry, ensure_ascii=False) + "\n")
    return entry


def read_log(results: Path) -> list[dict[str, Any]]:
    """Read the log of test readings; return an empty list if there is none."""
    path = results / TEST_LOG
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.is_file() else []


def name_measurement(measurement: Measurement) -> tuple[str, int, str]:
    """Return the `NAMES` of a measurement."""
    return measurement.run.variant, measurement.run.seed, measurement.evaluation.name


def describe_conditions(measurement: Measurement, bench: Bench) -> dict[str, Any]:
    """Return the `CONDITIONS` that may affect the values; the precision is that of training."""
    files = [bench.folder / stage.folder / RECORD for stage in measurement.run.stages]
    precisions = {read_json(file)["mixed_precision"] for file in files if file.is_file()} - {"no"}
    is_on_gpu = torch.cuda.is_available()
    return {
        "processor": name_processor(),
        "accelerator": torch.cuda.get_device_name() if is_on_gpu else None,
        "threads": torch.get_num_threads(),
        "precision": ", ".join(sorted(precisions)) or "float32",
    }


# ------------------------------------------------------------------------------------------------------------ agreement


def judge(study: Study, entry: dict, first: dict, metrics: pd.DataFrame, results: Path) -> dict[str, Any]:
    """Compare a reading with the first one.

    In float32 on the same processor with the same number of threads, all values must be equal. Otherwise, a value may
    differ by at most the range over the seeds of the variant in the first reading.

    Returns:
        `agreement` and, unless all values are equal, `differences` as {"row, metric": [before, after]}.
    """
    known = select(study, results, METRICS_FILE, entry["evaluation"], TEST)
    known = known[known["variant"] == entry["variant"]]
    before, after = list_figures(known[known["seed"] == entry["seed"]]), list_figures(metrics)
    changed = [key for key in {**before, **after} if before.get(key) != after.get(key)]
    listed = {", ".join(key): [figures.get(key, [None])[0] for figures in (before, after)] for key in changed}
    if not changed and first["data_sha256"] == entry["data_sha256"]:
        return {"agreement": EXACT}
    is_alike = all(first[name] == entry[name] for name in CONDITIONS)
    is_exact = is_alike and entry["precision"] == "float32" and entry["accelerator"] is None
    if first["data_sha256"] != entry["data_sha256"]:
        return {"agreement": f"{DIFFERS}: other rows were read", "differences": listed}
    if is_exact or set(before) != set(after):
        return {"agreement": f"{DIFFERS}: equal figures were expected", "differences": listed}
    if known["seed"].nunique() < 2:
        return {"agreement": UNJUDGED, "differences": listed}
    spread = known.groupby(["row", "metric"])["value"].agg(lambda values: values.max() - values.min())
    if all(abs(before[key][0] - after[key][0]) <= spread[key] + ROUNDING for key in changed):
        return {"agreement": WITHIN, "differences": listed}
    return {"agreement": f"{DIFFERS} by more than the seeds", "differences": listed}


def list_figures(metrics: pd.DataFrame) -> Figures:
    """Return value and interval bounds by row and metric; a missing bound is None because NaN never equals itself."""
    numbers = metrics[["value", "low", "high"]].astype(object).where(metrics[["value", "low", "high"]].notna(), None)
    return dict(zip(zip(metrics["row"], metrics["metric"]), map(tuple, numbers.to_numpy())))


def find_disagreements(entries: list[dict], tell: Callable[[str], None] = print) -> list[dict]:
    """Report the agreement of each reading with `tell`, and return those that disagree."""
    for entry in entries:
        tell(f"{entry['variant']}, seed {entry['seed']}, {entry['evaluation']}: {entry['agreement']}")
        for name, (before, after) in entry.get("differences", {}).items():
            tell(f"    {name}: {before} -> {after}")
    return [entry for entry in entries if entry["agreement"].startswith(DIFFERS)]
