"""What the training loop asks of a task."""

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
    """One thing to train. The trainer owns batches, updates, states and checkpoints."""

    settings_class: ClassVar[type[TrainingSettings]]
    columns: tuple[str, ...] = ("text",)  # of the dataset, besides the molecule
    derived_columns: ClassVar[dict[str, Any]] = {}  # that `derive` adds, with their types as `datasets` names them

    def __init__(self, settings: TrainingSettings):
        self.settings = settings
        self.record = describe_training(settings)  # now: a run may end in the folder that it starts from

    @abstractmethod
    def build(self) -> tuple[torch.nn.Module, ProcessorMixin]:
        """What is trained, with `requires_grad` on what is to be, and the processor. Equal on every process."""

    def unwrap(self, model: torch.nn.Module) -> PreTrainedModel:
        """The model within what is trained: that which is saved."""
        return model

    def take_molecule(self, row: dict) -> Any:
        """What is read as the molecule of a row of the dataset."""
        return get_molecule_input(row)

    def derive(self, row: dict, molecule: dict) -> dict[str, Any]:
        """What else a row of the dataset is to hold, once its molecule is read.

        Raises:
            ValueError: the row cannot be used.
        """
        return {}

    def prepare(self, model: torch.nn.Module, rows: Dataset) -> None:  # noqa: B027  most tasks need nothing
        """Take from the training rows what the model has to know of them, before training starts."""

    @abstractmethod
    def collate(self, processor: Any, rows: list[dict], epoch: int) -> dict[str, Tensor]:
        """Rows to a batch; random choices depend on (seed, epoch, row id) only."""

    @abstractmethod
    def forward(self, model: torch.nn.Module, batch: dict[str, Tensor]) -> Any:
        """Outputs of the model, or of its DDP wrapper, on the batch of this process."""

    @abstractmethod
    def compute_losses(self, outputs: Any, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """`loss`, whose gradients DDP may average over processes, and what else the log should hold."""

    def backward(self, accelerator: Accelerator, model: torch.nn.Module, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Add the gradients of the batch, and return its losses."""
        losses = self.compute_losses(self.forward(model, batch), batch)
        accelerator.backward(losses["loss"])
        return losses

    @abstractmethod
    def validate(self, model: torch.nn.Module, processor: Any, rows: Dataset) -> tuple[float, dict[str, float]]:
        """A score that chooses the checkpoint, higher is better, and numbers for the log."""

    def measure_lengths(self, rows: Dataset) -> list[int] | None:
        """By which rows are grouped into batches; None for batches drawn at random."""
        return None

    def list_fingerprints(self, rows: Dataset) -> list[list[int]] | None:
        """By whose bits rows of like structure come together; None for batches drawn at random."""
        return None

    def choose_learning_rate(self, name: str) -> float:
        """Peak learning rate of the parameter `name`."""
        return self.settings.learning_rate

    def save(self, model: torch.nn.Module, folder: Path, final_folder: Path) -> None:
        """Save the model into `folder`, which is going to be `final_folder`."""
        self.unwrap(model).save_pretrained(folder)
