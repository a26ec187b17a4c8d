"""What the training loop asks of a task."""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, ClassVar

import torch
import torch.distributed as dist
from accelerate import Accelerator
from datasets import Dataset
from torch import Tensor
from transformers import PreTrainedModel, ProcessorMixin

from dataset_pubchem3d.pairs import molecule_input

from .settings import TrainingSettings, training_record


class Task(ABC):
    """One thing to train. The loop of `train_accelerate.py` owns batches, updates, states and checkpoints."""

    settings_class: ClassVar[type[TrainingSettings]]
    columns: tuple[str, ...] = ("text",)  # of the dataset, besides the molecule
    derived_columns: ClassVar[dict[str, Any]] = {}  # that `derive` adds, with their types as `datasets` names them

    def __init__(self, settings: TrainingSettings):
        self.settings = settings
        self.record = training_record(settings)  # now: a run may end in the folder that it starts from

    @abstractmethod
    def build(self) -> tuple[PreTrainedModel, ProcessorMixin]:
        """Model, with `requires_grad` on what is to be trained, and processor. Equal on every process."""

    def molecule(self, row: dict) -> Any:
        """What is read as the molecule of a row of the dataset."""
        return molecule_input(row)

    def derive(self, row: dict, molecule: dict) -> dict[str, Any]:
        """What else a row of the dataset is to hold, once its molecule is read.

        Raises:
            ValueError: the row cannot be used.
        """
        return {}

    def prepare(self, model: PreTrainedModel, rows: Dataset) -> None:  # noqa: B027  most tasks need nothing
        """Take from the training rows what the model has to know of them, before training starts."""

    @abstractmethod
    def collate(self, processor: Any, rows: list[dict], epoch: int) -> dict[str, Tensor]:
        """Rows to a batch; random choices depend on (seed, epoch, row id) only."""

    @abstractmethod
    def forward(self, model: torch.nn.Module, batch: dict[str, Tensor]) -> Any:
        """Outputs of the model, or of its DDP wrapper, on the batch of this process."""

    @abstractmethod
    def losses(self, outputs: Any, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """`loss`, whose gradients DDP may average over processes, and what else the log should hold."""

    def backward(self, accelerator: Accelerator, model: torch.nn.Module, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Add the gradients of the batch, and return its losses."""
        losses = self.losses(self.forward(model, batch), batch)
        accelerator.backward(losses["loss"])
        return losses

    @abstractmethod
    def validate(self, model: PreTrainedModel, processor: Any, rows: Dataset) -> tuple[float, dict[str, float]]:
        """A score that chooses the checkpoint, higher is better, and numbers for the log."""

    def lengths(self, rows: Dataset) -> list[int] | None:
        """By which rows are grouped into batches; None for batches drawn at random."""
        return None

    def learning_rate(self, name: str) -> float:
        """Peak learning rate of the parameter `name`."""
        return self.settings.learning_rate

    def save(self, model: PreTrainedModel, folder: Path, final_folder: Path) -> None:
        """Save the model into `folder`, which is going to be `final_folder`."""
        model.save_pretrained(folder)


class AllGather(torch.autograd.Function):
    """Rows of all processes, in rank order, with gradient (as in open_clip's `gather_with_grad`)."""

    @staticmethod
    def forward(ctx, rows: Tensor) -> Tensor:
        gathered = [torch.empty_like(rows) for _ in range(dist.get_world_size())]
        dist.all_gather(gathered, rows.contiguous())
        ctx.num_rows = len(rows)
        return torch.cat(gathered)

    @staticmethod
    def backward(ctx, grad: Tensor) -> Tensor:
        grad = grad.contiguous()
        dist.all_reduce(grad)
        return grad[dist.get_rank() * ctx.num_rows :][: ctx.num_rows]


def gather(rows: Tensor) -> Tensor:
    """Rows of all processes, in rank order, with gradient."""
    return AllGather.apply(rows) if dist.is_initialized() else rows.clone()


def share_of_mean(num_local: Tensor, dtype: torch.dtype) -> Tensor:
    """What a mean over `num_local` things of this process is to be scaled by.

    DDP averages gradients over processes; scaled so, the result is the mean over the things of all processes.
    """
    counts = gather(num_local.view(1)).to(dtype)
    return num_local * len(counts) / counts.sum().clamp(min=1)
