"""Pre-training of the geometry tower alone: denoise atoms and predict the structure, without texts."""

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
    """Settings of geometry-only pre-training, on any dataset of molecules."""

    geometry_model: str | None = setting(
        "Geometry tower to train further, as a folder, a Hub id or a Uni-Mol checkpoint (.pt). A .json configuration "
        "starts from random weights; so does omitting it, with the shape of Uni-Mol.",
        default=None,
    )
    remove_hydrogens: bool | None = setting(
        "Whether to remove hydrogens from the geometries. If omitted, the setting of the tower is kept.", default=None
    )
    max_atoms: int | None = setting(
        "Maximum number of atoms. Larger molecules are skipped and counted. If omitted, the setting of the tower is "
        "kept.",
        default=None,
    )
    denoising_weight: float = setting("Weight of the denoising loss. 0 adds no noise.", default=1.0)
    bond_order_weight: float = setting(
        "Weight of predicting bond orders, from the pair representation. Requires the column `smiles`.", default=0.0
    )
    is_in_ring_weight: float = setting(
        "Weight of predicting which atoms are in rings. Requires the column `smiles`.", default=0.0
    )
    formal_charge_weight: float = setting(
        "Weight of predicting the signs of formal charges. Requires the column `smiles`.", default=0.0
    )
    hybridization_weight: float = setting(
        "Weight of predicting the hybridization of atoms. Requires the column `smiles`.", default=0.0
    )
    fingerprint_weight: float = setting(
        "Weight of predicting ECFP4 bits, from the mean state of the atoms. Requires the column `smiles`.", default=0.0
    )
    functional_groups_weight: float = setting(
        "Weight of predicting functional group counts, from the mean state of the atoms. Requires the column `smiles`.",
        default=0.0,
    )

    def __post_init__(self):
        super().__post_init__()
        for name in ("denoising", *NUM_LOGITS):
            if (weight := getattr(self, f"{name}_weight")) < 0:
                raise ValueError(f"--{name}_weight is {weight}; it must be at least 0")
        if not any((self.denoising_weight, *self.structure_weights.values())):
            raise ValueError(
                "all loss weights are 0, so there is nothing to learn; set one, such as --denoising_weight 1"
            )

    @property
    def structure_weights(self) -> dict[str, float]:
        """Weights above 0 of the structure losses, by target."""
        return {name: weight for name in NUM_LOGITS if (weight := getattr(self, f"{name}_weight"))}


@dataclasses.dataclass
class GeometryPretrainingOutput(ModelOutput):
    """Output of [`GeometryStep`].

    Args:
        denoising_output: output of the denoising heads; None without noise.
        structure_logits: logits by target, as [`StructureHeads`] returns them.
    """

    denoising_output: GeomCLIPDenoisingOutput | None = None
    structure_logits: dict[str, Tensor] | None = None


class GeometryStep(TrainingStep):
    """Denoise geometries, and predict the structure from the noised ones.

    Args:
        targets: names of the structure targets, keys of `NUM_LOGITS`.
    """

    model: GeomCLIPGeometryForPreTraining

    def __init__(self, model: GeomCLIPGeometryForPreTraining, targets: list[str]):
        super().__init__(model)
        self.structure_heads = StructureHeads(model.config, targets)

    def forward(
        self, atom_ids: Tensor, positions: Tensor, atom_mask: Tensor, **noised: Tensor
    ) -> GeometryPretrainingOutput:
        """Denoise as [`GeomCLIPGeometryForPreTraining.denoise`] does, and predict the structure.

        Without noise, the structure is predicted from the clean geometry.
        """
        geometry = {"atom_ids": atom_ids, "positions": positions, "atom_mask": atom_mask}
        denoised = self.model.denoise(**geometry, **noised) if noised else None
        if denoised is None:
            outputs = self.model.geometry_model(**geometry, output_pair_representations=True)
        else:
            outputs = denoised.geometry_model_output
        return GeometryPretrainingOutput(denoised, self.structure_heads(outputs, atom_mask))


class GeometryPretraining(Task):
    """Pre-training with a weighted sum of denoising and structure losses.

    The best checkpoint has the lowest loss on validation.
    """

    settings_class = PretrainGeometrySettings
    settings: PretrainGeometrySettings

    @property
    def columns(self) -> tuple[str, ...]:
        """`smiles`, if there are structure targets."""
        return ("smiles",) if self.settings.structure_weights else ()

    @property
    def derived_columns(self) -> dict[str, Any]:
        """The structure labels, if there are structure targets."""
        return LABELS if self.settings.structure_weights else {}

    def derive(self, row: dict, molecule: dict) -> dict[str, Any]:
        """Label the structure of a molecule as the tower reads it, using all hydrogens that the row has."""
        if not self.settings.structure_weights:
            return {}
        given, num_atoms = self.take_molecule(row), len(molecule["atomic_numbers"])
        if isinstance(given, str):  # its conformer has the atom order of the canonical SMILES
            mol = Chem.MolFromSmiles(given)
            return label_structure(mol and Chem.MolToSmiles(mol), **molecule)
        whole = read_molecule(given)
        return label_structure(row["smiles"], **whole, remove_hydrogens=num_atoms < len(whole["atomic_numbers"]))

    def build(self) -> tuple[GeometryStep, GeomCLIPFeatureExtractor]:
        """Build the tower with its heads, and freeze the parameters without a loss."""
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
        """Return the tower with its denoising heads, without the structure heads."""
        return step.model

    def measure_lengths(self, rows: Dataset) -> list[int]:
        """Return the number of atoms of each row."""
        return [len(numbers) for numbers in rows["atomic_numbers"]]

    def collate(self, processor: GeomCLIPFeatureExtractor, rows: list[dict], epoch: int) -> dict[str, Tensor]:
        """Collate geometries, noise and structure labels. The noise depends only on seed, epoch and row id."""
        seeds = [hash_id(f"{self.settings.seed} {epoch} {row['row_id']}") for row in rows]
        return self.batch(processor, rows, torch.tensor(seeds))

    def batch(self, processor: GeomCLIPFeatureExtractor, rows: list[dict], noise_seeds: Tensor) -> dict[str, Tensor]:
        """Collate geometries, noise from the given seeds, and structure labels."""
        batch = dict(processor(rows, return_tensors="pt"))
        if self.settings.structure_weights:
            batch |= collate_labels(rows, batch["atom_ids"].shape[1])
        if self.settings.denoising_weight:
            batch |= draw_noise(*(batch[name] for name in GEOMETRY), noise_seeds, self.config)
        return batch

    def forward(self, model: torch.nn.Module, batch: dict[str, Tensor]) -> GeometryPretrainingOutput:
        """Denoise the batch and predict its structure."""
        return model(**{name: batch[name] for name in GEOMETRY + NOISED if name in batch})

    def compute_losses(self, outputs: GeometryPretrainingOutput, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return all losses, scaled for DDP, and their weighted sum."""
        means = self.average_losses(outputs, batch)
        losses = {name: loss * scale_to_mean(count, loss.dtype) for name, (loss, count) in means.items()}
        return {"loss": self.weight_losses(losses), **losses}

    def average_losses(
        self, outputs: GeometryPretrainingOutput, batch: dict[str, Tensor]
    ) -> dict[str, tuple[Tensor, Tensor]]:
        """Return each loss on the batch of this process, with the number of items it is a mean over."""
        means, denoised = structure_losses(outputs.structure_logits, batch), outputs.denoising_output
        if denoised is not None:
            losses = {"denoising_loss": denoised.loss} | {name: denoised[name] for name in DENOISING_LOSSES}
            means |= {name: (loss, denoised.num_chosen) for name, loss in losses.items()}
        return means

    def weight_losses(self, losses: dict[str, Any]) -> Any:
        """Return the sum of the losses with the weights of the settings."""
        weights = {"denoising": self.settings.denoising_weight, **self.settings.structure_weights}
        return sum(weight * losses[f"{name}_loss"] for name, weight in weights.items() if weight)

    def validate(
        self, step: GeometryStep, processor: GeomCLIPFeatureExtractor, rows: Dataset
    ) -> tuple[float, dict[str, float]]:
        """Return the negative loss over all rows, and all losses. The noise is the same each time."""
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
