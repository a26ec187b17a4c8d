"""Freeze the choice of a study, made on validation, before a test split is read."""

from pathlib import Path
from typing import Any

import yaml

from ..records import find_commit
from .results import METRICS_FILE, select
from .running import now
from .runs import VALIDATION, list_measurements, list_runs
from .study import Study

FROZEN, TEST_LOG = "frozen.yaml", "test_log.jsonl"  # in the results folder


def freeze(study: Study, results: Path, by_hand: str | None = None, among: list[str] | None = None) -> dict[str, Any]:
    """Choose a variant and record it with its settings, those of the controls, and the validation scores.

    Args:
        study: the study.
        results: results folder of the study, which has its tables.
        by_hand: a variant to choose regardless of its scores.
        among: candidate variants, such as those that were run with all seeds; None stands for all.
    Returns:
        The record, as written to `frozen.yaml`.
    Raises:
        ValueError: if a choice is already frozen, a test split was already read, a required score is missing, or a
            variant does not exist.
    """
    for file, reason in ((FROZEN, "a choice is already frozen"), (TEST_LOG, "a test split was already read")):
        if (results / file).exists():
            raise ValueError(f"{reason}: {results / file}; a new choice needs a new study with a test split of its own")
    candidates = [variant.name for variant in study.choose([by_hand] if by_hand else among)]
    if by_hand and candidates != [by_hand]:
        raise ValueError(f"{by_hand!r} is a grid; choose one of {', '.join(candidates)}")
    candidates = [name for name in candidates if by_hand or name not in study.controls]
    if not candidates:
        raise ValueError(f"{', '.join(among)} are controls only; name a variant that can be chosen")
    validation = read_validation(study, results, [*candidates, *study.controls])
    variant = by_hand or choose(study, {name: validation[name] for name in candidates})
    how = f"by the {study.best} mean over seeds of {study.metric} on validation ({study.evaluation})"
    how += f", among {', '.join(candidates)}" if among else ""
    record = {
        "study": study.name,
        "variant": variant,
        "chosen": "by hand" if by_hand else how,
        "metric": f"{study.evaluation}.{study.row}.{study.metric}",
        "validation": validation,
        **describe_choice(study, variant),
        "study_sha256": study.sha256,
        "commit": find_commit(),
        "date": now(),
    }
    (results / FROZEN).write_text(yaml.safe_dump(record, sort_keys=False, allow_unicode=True), encoding="utf-8")
    return record


def choose(study: Study, validation: dict[str, dict[int, float]]) -> str:
    """Return the variant with the best mean over its seeds; of equal ones, the first."""
    means = {name: sum(values.values()) / len(values) for name, values in validation.items()}
    return (max if study.best == "highest" else min)(means, key=means.get)


def read_validation(study: Study, results: Path, variants: list[str]) -> dict[str, dict[int, float]]:
    """Return the metric by variant and seed, for the variants that have the evaluation.

    Raises:
        ValueError: if a value is missing.
    """
    metrics = select(study, results, METRICS_FILE, study.evaluation, VALIDATION)
    if len(metrics) and study.metric not in set(metrics["metric"]):
        names = ", ".join(dict.fromkeys(metrics["metric"]))
        raise ValueError(f"{study.evaluation} has no metric {study.metric!r}; it has {names}")
    metrics = metrics[(metrics["row"] == study.row) & (metrics["metric"] == study.metric)]
    found = {(row.variant, int(row.seed)): float(row.value) for row in metrics.itertuples()}
    validation = {}
    for measurement in list_measurements(study, list_runs(study.variants[name] for name in variants), VALIDATION):
        if measurement.evaluation.name == study.evaluation:
            run = measurement.run
            if (run.variant, run.seed) not in found:
                raise ValueError(
                    f"{study.metric} of {run.name} is not measured on validation; run `geomclip study run`, or freeze "
                    f"a choice with --among or --variant"
                )
            validation.setdefault(run.variant, {})[run.seed] = found[run.variant, run.seed]
    if missing := [name for name in variants if name not in validation and name not in study.controls]:
        raise ValueError(f"variant {missing[0]!r} has no evaluation {study.evaluation}; make it a control")
    return validation


def describe_choice(study: Study, variant: str) -> dict[str, Any]:
    """Return everything that must not change: the stages of the choice and of the controls, and the evaluations."""
    names = dict.fromkeys([variant, *study.controls])
    return {
        "controls": list(study.controls),
        "settings": {
            name: {"seeds": list(study.variants[name].seeds), "stages": study.variants[name].stages} for name in names
        },
        "evaluations": {
            name: {"command": evaluation.command, **evaluation.settings}
            for name, evaluation in study.evaluations.items()
        },
    }


def read_frozen(study: Study, results: Path) -> list[str]:
    """Return the names of the frozen variant and, after it, of the controls.

    Raises:
        ValueError: if no choice is frozen, or if the study has changed since.
    """
    if not (results / FROZEN).is_file():
        raise ValueError(f"no choice is frozen in {results}; run `geomclip study freeze` before `geomclip study test`")
    record = yaml.safe_load((results / FROZEN).read_text(encoding="utf-8"))
    variant = record["variant"]
    if variant not in study.variants:
        raise ValueError(f"the frozen variant {variant!r} is no longer in the study; restore it")
    for key, value in describe_choice(study, variant).items():
        if record[key] != value:
            change = first_change(record[key], value, key)
            raise ValueError(f"the study has changed since its choice was frozen: {change}; revert the change")
    return list(record["settings"])


def first_change(before: Any, after: Any, place: str) -> str:
    """Describe the first difference between two values."""
    if isinstance(before, dict) and isinstance(after, dict):
        for name in [*before, *after]:
            if before.get(name) != after.get(name):
                return first_change(before.get(name), after.get(name), f"{place}.{name}")
    return f"{place}: {before!r} -> {after!r}"
