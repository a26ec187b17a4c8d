"""Fine-tuning of a geometry tower to predict molecular properties."""

import copy
import dataclasses
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from torch import Tensor

from dataset_pubchem3d.pairs import get_molecule_input, read_label_units
from modeling_geomclip import (
    GeomCLIPFeatureExtractor,
    GeomCLIPForPropertyPrediction,
    GeomCLIPPropertyOutput,
)
from modeling_geomclip.feature_extraction_geomclip import ID_OF_ATOMIC_NUMBER

from ...evaluation.conformers import COORDINATES
from ...evaluation.property_prediction import evaluate_properties, read_labels
from ..distributed import scale_to_mean
from ..settings import TrainingSettings, setting
from ..towers import load_feature_extractor, load_geometry_tower
from .base import Task

PROBLEMS = ("regression", "multi_label_classification", "single_label_classification")


@dataclasses.dataclass(frozen=True, kw_only=True)
class PropertySettings(TrainingSettings):
    """Settings of property prediction."""

    model: str = setting(
        "GeomCLIP, geometry tower or property predictor to start from, as a folder or Hub id. A .json configuration "
        "starts from random weights."
    )
    targets: list[str] = setting("Columns to predict.")
    units: list[str] | None = setting(
        "Units of the targets, in the same order. If omitted, those that the dataset records.", default=None
    )
    problem_type: str = setting(f"Problem type, one of {', '.join(PROBLEMS)}.", default="regression")
    num_classes: int = setting(
        "Number of classes for single_label_classification. Classes are numbered from 0.", default=2
    )
    geometry: str = setting("How to train the geometry tower: full, lora or frozen.", default="full")
    coordinates: str = setting(
        "Coordinates to read: given for those of the dataset, or rdkit for a conformer generated from the SMILES.",
        default="given",
    )
    element_references: bool = setting(
        "Regression only: fit the labels to the element counts by least squares, and train on the residuals.",
        default=False,
    )
    property_pooling: str | None = setting("Pooling of the atom states: cls, mean or sum.", default=None)
    property_dropout: float | None = setting("Dropout probability of the head.", default=None)
    head_learning_rate: float | None = setting(
        "Peak learning rate of the head. If omitted, --learning_rate is used.", default=None
    )
    remove_hydrogens: bool | None = setting(
        "Whether to remove hydrogens from the geometries. If omitted, the setting of the model is kept.", default=None
    )
    max_atoms: int | None = setting(
        "Maximum number of atoms. Larger molecules are skipped and counted. If omitted, the setting of the model is "
        "kept.",
        default=None,
    )
    lora_rank: int = setting("LoRA rank.", default=16)
    lora_alpha: int = setting("LoRA alpha. The adapter is scaled by alpha / rank.", default=32)
    lora_dropout: float = setting("Dropout probability of the LoRA layers.", default=0.0)

    def __post_init__(self):
        super().__post_init__()
        choices = {
            "problem_type": PROBLEMS,
            "geometry": ("full", "lora", "frozen"),
            "coordinates": COORDINATES,
        }
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                raise ValueError(f"--{name} is {getattr(self, name)!r}; choose one of {', '.join(allowed)}")
        if len(set(self.targets)) != len(self.targets):
            raise ValueError(f"--targets {' '.join(self.targets)} names a column twice; name each column once")
        if self.problem_type == "single_label_classification" and len(self.targets) != 1:
            raise ValueError(f"--targets has {len(self.targets)} columns; single_label_classification takes one target")
        if self.element_references and self.problem_type != "regression":
            raise ValueError(
                f"--element_references is for regression, but --problem_type is {self.problem_type}; omit it"
            )
        if self.units is not None and len(self.units) != len(self.targets):
            raise ValueError(
                f"--units has {len(self.units)} units for {len(self.targets)} targets; pass one per target"
            )


class PropertyPrediction(Task):
    """Fine-tuning with a smooth L1 or cross-entropy loss; missing labels are ignored.

    The best checkpoint has the lowest standardised MAE or the highest mean ROC-AUC on validation.
    """

    settings_class = PropertySettings
    settings: PropertySettings

    @property
    def columns(self) -> tuple[str, ...]:
        """The targets, and `smiles` if conformers are generated."""
        return (*self.settings.targets, *(("smiles",) if self.settings.coordinates == "rdkit" else ()))

    def take_molecule(self, row: dict) -> Any:
        """Return the molecule of the row, or its SMILES if conformers are generated."""
        return row["smiles"] if self.settings.coordinates == "rdkit" else get_molecule_input(row)

    def build(self) -> tuple[GeomCLIPForPropertyPrediction, GeomCLIPFeatureExtractor]:
        """Build a predictor with a new head, and freeze the tower or add LoRA to it if the settings say so."""
        from ...evaluation.metrics import molecule_property_prediction  # noqa: F401  fails early without its packages

        settings = self.settings
        extractor = load_feature_extractor(settings.model, **settings.choose("remove_hydrogens", "max_atoms"))
        model = GeomCLIPForPropertyPrediction.from_geometry_pretrained(
            load_geometry_tower(settings.model).geometry_model,
            problem_type=settings.problem_type,
            id2label=name_outputs(settings),
            **settings.choose("property_pooling", "property_dropout"),
        )
        units = settings.units or [read_label_units(settings.dataset).get(target, "") for target in settings.targets]
        if settings.problem_type == "regression":
            model.config.label_units = units
        if settings.geometry == "frozen":
            model.geometry_model.requires_grad_(False)
        if settings.geometry == "lora":
            names = {"r": settings.lora_rank, "lora_alpha": settings.lora_alpha, "lora_dropout": settings.lora_dropout}
            model.add_adapter(model.lora_config(**names))
        return model, extractor

    def prepare(self, model: GeomCLIPForPropertyPrediction, rows: Dataset) -> None:
        """Store the mean and standard deviation of the labels, and the element references, in the configuration.

        Raises:
            ValueError: a target has no labels, only one value, or a label that is not a class, or the element counts
                alone explain it; names the target.
        """
        settings = self.settings
        labels = read_labels(rows, settings.targets)
        for target, column in zip(settings.targets, labels.T):
            check_labels(target, column[~np.isnan(column)], settings)
        if settings.problem_type == "regression":
            model.config.label_means = np.nanmean(labels, axis=0).tolist()
            model.config.label_stds = np.nanstd(labels, axis=0).tolist()
        if settings.element_references:
            counts = element_counts(rows["atomic_numbers"], model.config.vocab_size)
            fits = [fit_references(target, counts, column) for target, column in zip(settings.targets, labels.T)]
            references, means, stds = zip(*fits)
            model.config.element_references = [values.tolist() for values in references]
            model.config.label_means, model.config.residual_stds = list(means), list(stds)

    def measure_lengths(self, rows: Dataset) -> list[int]:
        """Return the number of atoms of each row."""
        return [len(numbers) for numbers in rows["atomic_numbers"]]

    def choose_learning_rate(self, name: str) -> float:
        """Return the peak learning rate of a parameter; the head may have its own."""
        is_own = name.startswith("property_head.") and self.settings.head_learning_rate is not None
        return self.settings.head_learning_rate if is_own else self.settings.learning_rate

    def collate(self, processor: GeomCLIPFeatureExtractor, rows: list[dict], epoch: int) -> dict[str, Tensor]:
        """Collate geometries and labels. Missing labels are NaN, or -100 for single-label classification."""
        values = [[row[target] for target in self.settings.targets] for row in rows]
        if self.settings.problem_type == "single_label_classification":
            labels = torch.tensor([-100 if value is None else int(value) for (value,) in values])
        else:
            labels = torch.tensor([[math.nan if value is None else value for value in row] for row in values])
        return {**processor(rows, return_tensors="pt"), "labels": labels}

    def forward(self, model: torch.nn.Module, batch: dict[str, Tensor]) -> GeomCLIPPropertyOutput:
        """Run the predictor on a batch."""
        return model(**batch)

    def compute_losses(self, outputs: GeomCLIPPropertyOutput, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return the mean loss over labels, scaled for DDP."""
        return {"loss": outputs.loss * scale_to_mean(outputs.num_labelled, outputs.loss.dtype)}

    def validate(self, model: GeomCLIPForPropertyPrediction, processor: Any, rows: Dataset) -> tuple[float, dict]:
        """Return the negative standardised MAE or the mean ROC-AUC, and all metrics.

        Raises:
            ValueError: no target has enough validation labels.
        """
        metrics = evaluate_properties(model, processor, rows)["metrics"]
        name, sign = ("standardised_mae", -1) if self.settings.problem_type == "regression" else ("mean_roc_auc", 1)
        if metrics[name] is None:
            raise ValueError(
                f"--validation_split {self.settings.validation_split} has too few labels to select a checkpoint; pass "
                "another split, or none"
            )
        return sign * metrics[name], metrics

    def save(self, model: GeomCLIPForPropertyPrediction, folder: Path, final_folder: Path) -> None:
        """Save the full model, with LoRA merged into its weights."""
        if self.settings.geometry == "lora":
            model = copy.deepcopy(model).merge_and_unload()
        model.save_pretrained(folder)


def name_outputs(settings: PropertySettings) -> dict[int, str]:
    """Return the name of each output: the targets or, for single-label classification, the classes of the target."""
    if settings.problem_type == "single_label_classification":
        return {number: f"{settings.targets[0]}={number}" for number in range(settings.num_classes)}
    return dict(enumerate(settings.targets))


def check_labels(target: str, labels: np.ndarray, settings: PropertySettings) -> None:
    """Check the training labels of a target.

    Args:
        labels: (rows,), without NaN.
    Raises:
        ValueError: there are no labels, only one value, or values that are not classes of the problem type.
    """
    distinct = np.unique(labels)
    if len(distinct) < 2:
        found = f"only the value {distinct[0]:g}" if len(distinct) else "no label"
        raise ValueError(f"the training rows have {found} of {target!r}; remove it from --targets, or change the split")
    num_classes = {"multi_label_classification": 2, "single_label_classification": settings.num_classes}
    if settings.problem_type != "regression" and not np.isin(distinct, range(num_classes[settings.problem_type])).all():
        raise ValueError(
            f"{target!r} has the values {distinct[:5].tolist()}, but --problem_type {settings.problem_type} takes "
            f"0 to {num_classes[settings.problem_type] - 1}; convert them, or use regression"
        )


def element_counts(atomic_numbers: Iterable[Sequence[int]], vocab_size: int) -> np.ndarray:
    """Count the atoms of each symbol, (molecules, vocab_size) float64."""
    ids = (ID_OF_ATOMIC_NUMBER[np.asarray(numbers)] for numbers in atomic_numbers)
    return np.stack([np.bincount(row, minlength=vocab_size) for row in ids]).astype(np.float64)


def fit_references(target: str, counts: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, float, float]:
    """Fit the contribution of each element to a property, by least squares over the available labels.

    Source: the linear references of Chanussot et al., ACS Catalysis 2021 (OC20). The contribution of an element that
    does not occur is 0.

    Args:
        counts: (molecules, vocab_size), number of atoms of each symbol.
        labels: (molecules,), NaN where a label is missing.
    Returns:
        the references (vocab_size,), the intercept, and the standard deviation of the residuals.
    Raises:
        ValueError: the residuals are 0.
    """
    is_labelled = ~np.isnan(labels)
    counts, labels = counts[is_labelled], labels[is_labelled]
    centred = counts - counts.mean(axis=0), labels - labels.mean()
    references = np.linalg.lstsq(*centred)[0]
    residual = centred[1] - centred[0] @ references
    if residual.std() <= 1e-6 * labels.std():
        raise ValueError(
            f"the element counts alone explain {target!r} in all {len(labels)} labelled training rows; remove it from "
            "--targets, add rows, or omit --element_references"
        )
    return references, float(labels.mean() - counts.mean(axis=0) @ references), float(residual.std())
