"""Pre-training of the geometry tower alone: no texts, noised atoms to recover."""

import dataclasses
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from torch import Tensor

from eval.denoising import evaluate_denoising
from modeling_geomclip import GeomCLIPDenoisingOutput, GeomCLIPFeatureExtractor, GeomCLIPGeometryForPreTraining

from .rows import id_hash
from .settings import TrainingSettings, setting
from .task import Task, share_of_mean
from .towers import feature_extractor, geometry_tower


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


class GeometryPretraining(Task):
    """Denoising; chosen by how much of the noise is taken away on validation."""

    settings_class = PretrainGeometrySettings
    settings: PretrainGeometrySettings
    columns = ()

    def build(self) -> tuple[GeomCLIPGeometryForPreTraining, GeomCLIPFeatureExtractor]:
        settings = self.settings
        tower = geometry_tower(settings.geometry_model)
        reading = settings.chosen("remove_hydrogens", "max_atoms")
        extractor = feature_extractor(settings.geometry_model, **reading)
        return GeomCLIPGeometryForPreTraining(tower.config, tower), extractor

    def lengths(self, rows: Dataset) -> list[int]:
        return [len(numbers) for numbers in rows["atomic_numbers"]]

    def collate(self, processor: GeomCLIPFeatureExtractor, rows: list[dict], epoch: int) -> dict[str, Tensor]:
        seeds = [id_hash(f"{self.settings.seed} {epoch} {row['row_id']}") for row in rows]
        return {**processor(rows, return_tensors="pt"), "noise_seeds": torch.tensor(seeds)}

    def forward(self, model: torch.nn.Module, batch: dict[str, Tensor]) -> GeomCLIPDenoisingOutput:
        return model(**batch)

    def losses(self, outputs: GeomCLIPDenoisingOutput, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        share = share_of_mean(outputs.num_chosen, outputs.loss.dtype)
        names = ("loss", "coordinate_loss", "atom_type_loss", "distance_loss")
        return {name: outputs[name] * share for name in names if outputs.get(name) is not None}

    def validate(
        self, model: GeomCLIPGeometryForPreTraining, processor: Any, rows: Dataset
    ) -> tuple[float, dict[str, float]]:
        """Share of the coordinate noise that the tower takes away."""
        metrics = evaluate_denoising(model, processor, rows, self.settings.seed, num_draws=1)
        names = ("coordinate_loss", "noised_coordinate_loss", "relative_reduction")
        return metrics["relative_reduction"], {name: metrics[name] for name in names}

    def save(self, model: GeomCLIPGeometryForPreTraining, folder: Path, final_folder: Path) -> None:
        """The tower, which loads by `AutoModel`."""
        model.geometry_model.save_pretrained(folder)
