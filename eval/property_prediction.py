"""How well does a predictor know properties of molecules that it has not seen?

    python eval/property_prediction.py --model predictor --dataset qm9 --split test --output results/property.json

Prints a table and writes it, with all that is needed to repeat it, as JSON.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import datasets
import evaluate
import numpy as np
import torch
from transformers import AutoFeatureExtractor, AutoModelForSequenceClassification, HfArgumentParser

if not __package__:  # run as a script: the clone is not on the path
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from dataset_pubchem3d.pairs import label_units, load_molecules
from eval.conformers import COORDINATES_HELP, NUM_CONFORMERS_HELP, Record, check_coordinates, over_conformers
from eval.retrieval import PAIR_BUDGET_HELP, ROOT, print_failures, write_results
from modeling_geomclip.embedding_geomclip import batches_by_size, inference

METRIC = ROOT / "eval" / "metrics" / "molecule_property_prediction"
CONVERSIONS = {"Hartree": {"eV": 27.211386246, "kcal/mol": 627.5094740}}  # CODATA 2018
OVERALL = ("mean_mae", "standardised_mae", "mean_roc_auc", "mean_pr_auc")


@dataclass(frozen=True)
class PropertySettings:
    """What to evaluate; the fields are the command's flags."""

    model: str = field(metadata={"help": "predictor: checkpoint folder or Hub id"})
    dataset: str = field(metadata={"help": "folder, Hub id or table with the predictor's targets as columns"})
    output: str = field(metadata={"help": "results file to write (JSON)"})
    dataset_config: str | None = field(default=None, metadata={"help": "config of the data set, such as qm9"})
    split: str = field(default="test", metadata={"help": "split of the data set"})
    coordinates: str = field(default="given", metadata={"help": COORDINATES_HELP})
    num_conformers: int = field(default=1, metadata={"help": NUM_CONFORMERS_HELP})
    pair_budget: int | None = field(default=None, metadata={"help": PAIR_BUDGET_HELP})
    seed: int = field(default=0, metadata={"help": "of the bootstrap"})
    num_bootstrap: int = field(default=1000, metadata={"help": "resamples for the intervals"})

    def __post_init__(self):
        check_coordinates(self.coordinates, self.num_conformers)


def main() -> None:
    settings = HfArgumentParser(PropertySettings).parse_args_into_dataclasses()[0]
    model, extractor = load_predictor(settings.model)
    targets = target_columns(model.config)
    needed = [*targets, *(["smiles"] if settings.coordinates == "rdkit" else [])]
    rows = load_molecules(settings.dataset, settings.split, settings.dataset_config, needed)
    check_units(model.config, label_units(settings.dataset))
    evaluation = evaluate_properties(
        model,
        extractor,
        rows,
        settings.coordinates,
        settings.num_conformers,
        settings.num_bootstrap,
        settings.seed,
        settings.pair_budget,
    )
    print(format_properties(evaluation))
    print_failures(evaluation["failures"])
    write_results(settings, rows, {"task": "property_prediction", **evaluation})


def load_predictor(path: str) -> tuple[Any, Any]:
    """Predictor in evaluation mode on the accelerator, if there is one, and its feature extractor."""
    device = torch.accelerator.current_accelerator(check_available=True) or torch.device("cpu")
    model = AutoModelForSequenceClassification.from_pretrained(path).to(device).eval()
    return model, AutoFeatureExtractor.from_pretrained(path)


def target_columns(config: Any) -> list[str]:
    """Columns that hold the labels: one for each property, or the one whose classes the predictor tells apart."""
    names = [config.id2label[index] for index in range(config.num_labels)]
    if config.problem_type != "single_label_classification":
        return names
    return [names[0].rpartition("=")[0]]


def check_units(config: Any, units: dict[str, str]) -> None:
    """Refuse labels in other units than those the predictor was trained on."""
    for name, own in zip(target_columns(config), config.label_units or []):
        if units.get(name, own) != own:
            raise ValueError(
                f"the predictor gives {name!r} in {own or 'no unit'}, but the dataset has it in "
                f"{units[name] or 'no unit'}; convert the column"
            )


def label_array(rows: datasets.Dataset, targets: Sequence[str]) -> np.ndarray:
    """(rows, targets) float64, NaN where a label is missing.

    Raises:
        ValueError: a label is no number, or infinite; names the column and the first such row.
    """
    columns = []
    for target in targets:
        try:
            column = np.array([np.nan if value is None else value for value in rows[target]], dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise ValueError(f"the column {target!r} holds what is no number ({error}); convert it") from error
        if len(bad := np.flatnonzero(np.isinf(column))):
            raise ValueError(f"{len(bad)} labels of {target!r} are infinite, first row {bad[0]}; leave them empty")
        columns.append(column)
    return np.stack(columns, axis=1)


def predict_properties(model: Any, extractor: Any, records: list[Record], pair_budget: int | None = None) -> np.ndarray:
    """(molecules, num_labels) float64, what the model, whose training mode is kept, predicts of molecules as read."""
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
    """Predictions against labels.

    Args:
        rows: with the predictor's targets as columns and a molecule each.
        coordinates, num_conformers: as for `over_conformers`.
    Returns:
        `targets` and their `units`; `metrics` of `molecule_property_prediction`; `num_rows` that were evaluated;
        `failures`: [{"row", "reason"}] of the molecules that the feature extractor refused.
    """
    targets = target_columns(model.config)
    labels = label_array(rows, targets)

    def encode(records: list[Record]) -> np.ndarray:
        return predict_properties(model, extractor, records, pair_budget)

    predictions, kept, failures = over_conformers(encode, extractor, rows, coordinates, num_conformers)
    labels = labels[kept]
    problem_type = model.config.problem_type
    if problem_type == "single_label_classification":  # each class against the others
        labels = np.where(np.isnan(labels), np.nan, labels == np.arange(model.config.num_labels))
        targets, problem_type = [model.config.id2label[i] for i in range(labels.shape[1])], "multi_label_classification"
    metrics = evaluate.load(str(METRIC)).compute(
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
    """A Markdown table, energies also in other units, and the numbers over all targets."""
    metrics = evaluation["metrics"]
    is_regression = f"{evaluation['targets'][0]}_mae" in metrics
    names = ("mae", "rmse", "r2") if is_regression else ("roc_auc", "pr_auc")
    lines = [["target", "unit", *names, "labels"], ["---"] * (len(names) + 3)]
    for target, unit in zip(evaluation["targets"], evaluation["units"], strict=True):
        cells = [_cell(metrics, f"{target}_{name}") for name in names]
        lines.append([target, unit, *cells, str(metrics[f"{target}_num_labelled"])])
        conversions = CONVERSIONS.get(unit, {}) if metrics.get(f"{target}_mae") is not None else {}
        for other, factor in conversions.items():
            errors = [f"{factor * metrics[f'{target}_{name}']:.5g}" for name in ("mae", "rmse")]
            lines.append(["", other, *errors, "", ""])
    has_one_unit = len(evaluation["targets"]) > 1 == len(set(evaluation["units"]))
    shown = [name for name in OVERALL if metrics.get(name) is not None and (name != "mean_mae" or has_one_unit)]
    overall = [f"{name}: {metrics[name]:.4g}" for name in shown]
    return "\n".join([*(f"| {' | '.join(line)} |" for line in lines), "", *overall])


def _cell(metrics: dict[str, Any], key: str) -> str:
    if metrics[key] is None:
        return "not defined"
    interval = [f"{metrics[f'{key}_{end}']:.4g}" for end in ("low", "high") if f"{key}_{end}" in metrics]
    return f"{metrics[key]:.5g}" + (f" [{', '.join(interval)}]" if interval else "")


if __name__ == "__main__":
    main()
