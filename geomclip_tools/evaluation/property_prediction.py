"""Evaluate a property predictor on held-out molecules."""

from collections.abc import Sequence
from typing import Any

import datasets
import numpy as np

from dataset_pubchem3d.chemistry.units import ENERGY_UNITS
from modeling_geomclip.embedding_geomclip import batches_by_size, inference

from .conformers import Record, average_over_conformers

OVERALL = ("mean_mae", "standardised_mae", "mean_roc_auc", "mean_pr_auc")


def list_targets(config: Any) -> list[str]:
    """Return the names of the label columns: one per property, or the single column of a multi-class predictor."""
    names = [config.id2label[index] for index in range(config.num_labels)]
    if config.problem_type != "single_label_classification":
        return names
    return [names[0].rpartition("=")[0]]


def check_units(config: Any, units: dict[str, str]) -> None:
    """Check that the labels have the units that the predictor was trained with.

    Args:
        config: configuration of the predictor.
        units: unit of each column of the dataset; columns without an entry are not checked.
    Raises:
        ValueError: if the unit of a target differs.
    """
    for name, own in zip(list_targets(config), config.label_units or []):
        if units.get(name, own) != own:
            raise ValueError(
                f"the predictor returns {name!r} in {own or 'no unit'}, but the dataset has it in "
                f"{units[name] or 'no unit'}; convert the column"
            )


def read_labels(rows: datasets.Dataset, targets: Sequence[str]) -> np.ndarray:
    """Return the labels as (rows, targets) float64, NaN for missing ones.

    Raises:
        ValueError: if a label is infinite or not a number.
    """
    columns = []
    for target in targets:
        try:
            column = np.array([np.nan if value is None else value for value in rows[target]], dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise ValueError(f"a label of the column {target!r} is not a number ({error}); convert it") from error
        if len(bad := np.flatnonzero(np.isinf(column))):
            raise ValueError(f"{len(bad)} labels of {target!r} are infinite, first row {bad[0]}; leave them empty")
        columns.append(column)
    return np.stack(columns, axis=1)


def predict_properties(model: Any, extractor: Any, records: list[Record], pair_budget: int | None = None) -> np.ndarray:
    """Predict the properties of molecules, (molecules, num_labels) float64, in the units of the labels.

    Args:
        model: a predictor; its training mode is restored. A classifier returns logits.
        extractor: its feature extractor.
        records: molecules as `extractor.read` returns them.
        pair_budget: as for `embed_molecules`.
    """
    predictions = np.empty((len(records), model.config.num_labels))
    with inference(model):
        for indices, batch in batches_by_size(extractor, records, model.device, pair_budget):
            predictions[indices.numpy()] = model(**batch).logits.double().cpu().numpy()
    return predictions


def evaluate_properties(
    model: Any,
    extractor: Any,
    rows: datasets.Dataset,
    coordinates: str = "given",
    num_conformers: int = 1,
    num_bootstrap: int = 0,
    seed: int = 0,
    pair_budget: int | None = None,
) -> dict[str, Any]:
    """Compare the predictions of a model with labels.

    Args:
        model: a predictor; its training mode is restored.
        extractor: its feature extractor.
        rows: rows with a molecule each and with the predictor's targets as columns.
        coordinates, num_conformers: as for `average_over_conformers`; predictions are averaged.
        num_bootstrap: number of bootstrap resamples for the intervals; 0 omits the intervals.
        seed: random seed of the bootstrap.
        pair_budget: as for `embed_molecules`.
    Returns:
        `targets` and their `units`; `metrics` of `molecule_property_prediction`; `num_rows` evaluated; `failures` as
        [{"row", "reason"}]: molecules that the feature extractor rejected.
    Raises:
        ValueError: as for `read_labels` and `average_over_conformers`.
    """
    from .metrics.molecule_property_prediction import MoleculePropertyPrediction  # scikit-learn is optional

    targets = list_targets(model.config)
    labels = read_labels(rows, targets)

    def encode(records: list[Record]) -> np.ndarray:
        return predict_properties(model, extractor, records, pair_budget)

    predictions, kept, failures = average_over_conformers(encode, extractor, rows, coordinates, num_conformers)
    labels = labels[kept]
    problem_type = model.config.problem_type
    if problem_type == "single_label_classification":  # one class against the others
        labels = np.where(np.isnan(labels), np.nan, labels == np.arange(model.config.num_labels))
        targets, problem_type = [model.config.id2label[i] for i in range(labels.shape[1])], "multi_label_classification"
    metrics = MoleculePropertyPrediction().compute(
        predictions=predictions,
        references=labels,
        targets=targets,
        problem_type=problem_type,
        stds=model.config.label_stds,
        num_bootstrap=num_bootstrap,
        seed=seed,
    )
    units = model.config.label_units or [""] * len(targets)
    return {"targets": targets, "units": units, "metrics": metrics, "num_rows": len(kept), "failures": failures}


def format_properties(evaluation: dict[str, Any]) -> str:
    """Format the metrics as a Markdown table, with energies in further units, and the means over all targets."""
    metrics = evaluation["metrics"]
    is_regression = f"{evaluation['targets'][0]}_mae" in metrics
    names = ("mae", "rmse", "r2") if is_regression else ("roc_auc", "pr_auc")
    lines = [["target", "unit", *names, "labels"], ["---"] * (len(names) + 3)]
    for target, unit in zip(evaluation["targets"], evaluation["units"], strict=True):
        cells = [_format_cell(metrics, f"{target}_{name}") for name in names]
        lines.append([target, unit, *cells, str(metrics[f"{target}_num_labelled"])])
        conversions = ENERGY_UNITS.get(unit, {}) if metrics.get(f"{target}_mae") is not None else {}
        for other, factor in conversions.items():
            errors = [f"{factor * metrics[f'{target}_{name}']:.5g}" for name in ("mae", "rmse")]
            lines.append(["", other, *errors, "", ""])
    has_one_unit = len(evaluation["targets"]) > 1 == len(set(evaluation["units"]))
    shown = [name for name in OVERALL if metrics.get(name) is not None and (name != "mean_mae" or has_one_unit)]
    overall = [f"{name}: {metrics[name]:.4g}" for name in shown]
    return "\n".join([*(f"| {' | '.join(line)} |" for line in lines), "", *overall])


def _format_cell(metrics: dict[str, Any], key: str) -> str:
    if metrics[key] is None:
        return "not defined"
    interval = [f"{metrics[f'{key}_{end}']:.4g}" for end in ("low", "high") if f"{key}_{end}" in metrics]
    return f"{metrics[key]:.5g}" + (f" [{', '.join(interval)}]" if interval else "")
