"""Pre-training of the geometry tower alone: no texts, but noised atoms to recover and the structure to read off."""

import dataclasses
from collections import defaultdict
from typing import Any

import torch
from datasets import Dataset
from rdkit import Chem
from torch import Tensor
from transformers.utils import ModelOutput

from modeling_geomclip import (
    GeomCLIPDenoisingOutput,
    GeomCLIPFeatureExtractor,
    GeomCLIPGeometryForPreTraining,
    read_molecule,
)
from modeling_geomclip.embedding_geomclip import inference

from ...noise import draw_noise, draw_seed
from ..distributed import scale_to_mean
from ..freezing import freeze_heads_without_loss, freeze_unread_states
from ..identity import hash_id
from ..settings import TrainingSettings, setting
from ..steps import GEOMETRY, NOISED, TrainingStep
from ..structure_heads import NUM_LOGITS, OF_PAIRS, StructureHeads, structure_losses
from ..structure_labels import LABELS, collate_labels, label_structure
from ..towers import load_feature_extractor, load_geometry_tower
from .base import Task

DENOISING_LOSSES = ("coordinate_loss", "noised_coordinate_loss", "atom_type_loss", "distance_loss")


@dataclasses.dataclass(frozen=True, kw_only=True)
class PretrainGeometrySettings(TrainingSettings):
    """Geometry-only pre-training, on any dataset of molecules. What is left out is the tower's."""

    geometry_model: str | None = setting(
        "Tower to go on from, a folder or Hub id; a .json configuration, or nothing for Uni-Mol's shape, starts from "
        "scratch.",
        default=None,
    )
    remove_hydrogens: bool | None = setting("Whether to read heavy atoms only.", default=None)
    max_atoms: int | None = setting("Larger molecules are left out and counted.", default=None)
    denoising_weight: float = setting("Of the denoising loss; 0 leaves the geometry as it is.", default=1.0)
    bond_order_weight: float = setting("Of bonds, from the pair representation; needs `smiles`.", default=0.0)
    is_in_ring_weight: float = setting("Of which atoms are in rings; needs `smiles`.", default=0.0)
    formal_charge_weight: float = setting("Of the signs of formal charges; needs `smiles`.", default=0.0)
    hybridization_weight: float = setting("Of the atoms' hybridization; needs `smiles`.", default=0.0)
    fingerprint_weight: float = setting("Of ECFP4's bits, from the mean state; needs `smiles`.", default=0.0)
    functional_groups_weight: float = setting("Of numbers of functional groups, likewise.", default=0.0)

    def __post_init__(self):
        super().__post_init__()
        for name in ("denoising", *NUM_LOGITS):
            if (weight := getattr(self, f"{name}_weight")) < 0:
                raise ValueError(f"--{name}_weight is {weight}; give 0 or more")
        if not any((self.denoising_weight, *self.structure_weights.values())):
            raise ValueError("every weight is 0, so that there is nothing to learn; give one, such as denoising_weight")

    @property
    def structure_weights(self) -> dict[str, float]:
        """Weights above 0, by target."""
        return {name: weight for name in NUM_LOGITS if (weight := getattr(self, f"{name}_weight"))}


@dataclasses.dataclass
class GeometryPretrainingOutput(ModelOutput):
    """What was recovered of the noise, if there was any, and the structure that was read off."""

    denoising_output: GeomCLIPDenoisingOutput | None = None
    structure_logits: dict[str, Tensor] | None = None


class GeometryStep(TrainingStep):
    """Denoises geometries and reads their structure off the noised ones."""

    model: GeomCLIPGeometryForPreTraining

    def __init__(self, model: GeomCLIPGeometryForPreTraining, targets: list[str]):
        super().__init__(model)
        self.structure_heads = StructureHeads(model.config, targets)

    def forward(
        self, atom_ids: Tensor, positions: Tensor, atom_mask: Tensor, **noised: Tensor
    ) -> GeometryPretrainingOutput:
        """As [`GeomCLIPGeometryForPreTraining.denoise`]; without what was noised, the clean geometry is read."""
        geometry = {"atom_ids": atom_ids, "positions": positions, "atom_mask": atom_mask}
        denoised = self.model.denoise(**geometry, **noised) if noised else None
        if denoised is None:
            outputs = self.model.geometry_model(**geometry, output_pair_representations=True)
        else:
            outputs = denoised.geometry_model_output
        return GeometryPretrainingOutput(denoised, self.structure_heads(outputs, atom_mask))


class GeometryPretraining(Task):
    """Weighted losses of denoising and of structure; chosen by their sum on validation."""

    settings_class = PretrainGeometrySettings
    settings: PretrainGeometrySettings

    @property
    def columns(self) -> tuple[str, ...]:
        return ("smiles",) if self.settings.structure_weights else ()

    @property
    def derived_columns(self) -> dict[str, Any]:
        return LABELS if self.settings.structure_weights else {}

    def derive(self, row: dict, molecule: dict) -> dict[str, Any]:
        """Structure labels of a molecule as it is read; from its hydrogens too, where they are given."""
        if not self.settings.structure_weights:
            return {}
        given, num_atoms = self.take_molecule(row), len(molecule["atomic_numbers"])
        if isinstance(given, str):  # its conformer has the atoms in the order of the canonical SMILES
            mol = Chem.MolFromSmiles(given)
            return label_structure(mol and Chem.MolToSmiles(mol), **molecule)
        whole = read_molecule(given)
        return label_structure(row["smiles"], **whole, remove_hydrogens=num_atoms < len(whole["atomic_numbers"]))

    def build(self) -> tuple[GeometryStep, GeomCLIPFeatureExtractor]:
        settings = self.settings
        model = load_geometry_tower(settings.geometry_model)
        self.config = model.config
        reading = settings.choose("remove_hydrogens", "max_atoms")
        extractor = load_feature_extractor(settings.geometry_model, **reading)
        step = GeometryStep(model, list(settings.structure_weights))
        freeze_heads_without_loss(model.denoising_head)
        if not settings.denoising_weight:
            model.denoising_head.requires_grad_(False)
            if all(target in OF_PAIRS for target in settings.structure_weights):
                freeze_unread_states(model.geometry_model)
        return step, extractor

    def unwrap(self, step: GeometryStep) -> GeomCLIPGeometryForPreTraining:
        return step.model

    def measure_lengths(self, rows: Dataset) -> list[int]:
        return [len(numbers) for numbers in rows["atomic_numbers"]]

    def collate(self, processor: GeomCLIPFeatureExtractor, rows: list[dict], epoch: int) -> dict[str, Tensor]:
        seeds = [hash_id(f"{self.settings.seed} {epoch} {row['row_id']}") for row in rows]
        return self.batch(processor, rows, torch.tensor(seeds))

    def batch(self, processor: GeomCLIPFeatureExtractor, rows: list[dict], noise_seeds: Tensor) -> dict[str, Tensor]:
        """The geometries, clean and noised, and their labels."""
        batch = dict(processor(rows, return_tensors="pt"))
        if self.settings.structure_weights:
            batch |= collate_labels(rows, batch["atom_ids"].shape[1])
        if self.settings.denoising_weight:
            batch |= draw_noise(*(batch[name] for name in GEOMETRY), noise_seeds, self.config)
        return batch

    def forward(self, model: torch.nn.Module, batch: dict[str, Tensor]) -> GeometryPretrainingOutput:
        return model(**{name: batch[name] for name in GEOMETRY + NOISED if name in batch})

    def compute_losses(self, outputs: GeometryPretrainingOutput, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        means = self.average_losses(outputs, batch)
        losses = {name: loss * scale_to_mean(count, loss.dtype) for name, (loss, count) in means.items()}
        return {"loss": self.weight_losses(losses), **losses}

    def average_losses(
        self, outputs: GeometryPretrainingOutput, batch: dict[str, Tensor]
    ) -> dict[str, tuple[Tensor, Tensor]]:
        """Every loss of the batch of this process, and the number of things that it is a mean over."""
        means, denoised = structure_losses(outputs.structure_logits, batch), outputs.denoising_output
        if denoised is not None:
            losses = {"denoising_loss": denoised.loss} | {name: denoised[name] for name in DENOISING_LOSSES}
            means |= {name: (loss, denoised.num_chosen) for name, loss in losses.items()}
        return means

    def weight_losses(self, losses: dict[str, Any]) -> Any:
        """The one loss: a sum with the weights of the settings."""
        weights = {"denoising": self.settings.denoising_weight, **self.settings.structure_weights}
        return sum(weight * losses[f"{name}_loss"] for name, weight in weights.items() if weight)

    def validate(
        self, step: GeometryStep, processor: GeomCLIPFeatureExtractor, rows: Dataset
    ) -> tuple[float, dict[str, float]]:
        """The loss, negative, over all rows; their noise is always the same."""
        sums, counts = defaultdict(float), defaultdict(int)
        order = torch.tensor(self.measure_lengths(rows)).argsort(stable=True)
        for places in order.split(self.settings.batch_size):
            seeds = [draw_seed(self.settings.seed, 0, place) for place in places.tolist()]
            batch = self.batch(processor, [rows[place] for place in places.tolist()], torch.tensor(seeds))
            batch = {name: values.to(step.model.device) for name, values in batch.items()}
            with inference(step):
                means = self.average_losses(self.forward(step, batch), batch)
            for name, (loss, count) in means.items():
                sums[name] += loss.item() * count.item()
                counts[name] += count.item()
        metrics = {name: sums[name] / max(1, counts[name]) for name in sums}
        return -self.weight_losses(metrics), {f"validation_{name}": value for name, value in metrics.items()}
