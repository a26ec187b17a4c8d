"""The interface between the training loop and a task."""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, ClassVar

import torch
from accelerate import Accelerator
from datasets import Dataset
from torch import Tensor
from transformers import PreTrainedModel, ProcessorMixin

from dataset_pubchem3d.pairs import get_molecule_input

from ...records import describe_training
from ..settings import TrainingSettings


class Task(ABC):
    """A training task: its model, its data, its losses and its validation score.

    The trainer draws the batches, updates the weights, and saves training states and checkpoints.
    """

    settings_class: ClassVar[type[TrainingSettings]]
    columns: tuple[str, ...] = ("text",)  # dataset columns that the task reads besides the molecule
    derived_columns: ClassVar[dict[str, Any]] = {}  # columns that `derive` adds, and their `datasets` types

    def __init__(self, settings: TrainingSettings):
        self.settings = settings
        self.record = describe_training(settings)  # before the run can overwrite its own starting point

    @abstractmethod
    def build(self) -> tuple[torch.nn.Module, ProcessorMixin]:
        """Build the module to train and its processor, identical on every process.

        Only the parameters to train have `requires_grad`.
        """

    def unwrap(self, model: torch.nn.Module) -> PreTrainedModel:
        """Return the model to save, given the module that is trained."""
        return model

    def take_molecule(self, row: dict) -> Any:
        """Return the molecule of a dataset row, as `read_molecule` takes it."""
        return get_molecule_input(row)

    def derive(self, row: dict, molecule: dict) -> dict[str, Any]:
        """Compute the `derived_columns` of a dataset row.

        Args:
            row: all columns that the task reads.
            molecule: the molecule of the row, as `read_molecule` returns it.
        Raises:
            ValueError: the row cannot be used.
        """
        return {}

    def prepare(self, model: torch.nn.Module, rows: Dataset) -> None:  # noqa: B027  most tasks need no preparation
        """Set up the model from the training rows before training starts, for example with label statistics."""

    @abstractmethod
    def collate(self, processor: Any, rows: list[dict], epoch: int) -> dict[str, Tensor]:
        """Collate rows into a batch. Random choices depend only on (seed, epoch, row id)."""

    @abstractmethod
    def forward(self, model: torch.nn.Module, batch: dict[str, Tensor]) -> Any:
        """Run the model, or its DDP wrapper, on the batch of this process."""

    @abstractmethod
    def compute_losses(self, outputs: Any, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return `loss`, whose gradients DDP may average over processes, and any other values to log."""

    def backward(self, accelerator: Accelerator, model: torch.nn.Module, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Accumulate the gradients of the batch and return its losses."""
        losses = self.compute_losses(self.forward(model, batch), batch)
        accelerator.backward(losses["loss"])
        return losses

    @abstractmethod
    def validate(self, model: torch.nn.Module, processor: Any, rows: Dataset) -> tuple[float, dict[str, float]]:
        """Return the score that selects the best checkpoint (higher is better), and metrics to log."""

    def measure_lengths(self, rows: Dataset) -> list[int] | None:
        """Return the length of each row, to batch rows of similar length, or None to batch rows at random."""
        return None

    def list_fingerprints(self, rows: Dataset) -> list[list[int]] | None:
        """Return the set fingerprint bits of each row, to batch similar molecules, or None to batch rows at random."""
        return None

    def choose_learning_rate(self, name: str) -> float:
        """Return the peak learning rate of the parameter `name`."""
        return self.settings.learning_rate

    def save(self, model: torch.nn.Module, folder: Path, final_folder: Path) -> None:
        """Save the model in `folder`, whose files the trainer then moves to `final_folder`."""
        self.unwrap(model).save_pretrained(folder)
