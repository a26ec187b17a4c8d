"""The settings that all training tasks share."""

import dataclasses
import math

from ..precision import choose_precision


def setting(help: str, **kwargs):
    """Define a dataclass field with a help text for the command line."""
    return dataclasses.field(metadata={"help": help}, **kwargs)


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainingSettings:
    """Settings that all training tasks share."""

    dataset: str = setting(
        "Dataset to train on: a folder, a Hub id, or a .csv, .tsv, .parquet or .sdf file with molecules (geometries or "
        "`smiles`) and the columns that the task needs, such as `text`."
    )
    output_dir: str = setting(
        "Output folder for the log, the best checkpoint on validation and, in last/, the last checkpoint."
    )
    further_datasets: list[str] | None = setting("Additional datasets to train on, mixed with --dataset.", default=None)
    dataset_weights: list[float] | None = setting(
        "Number of passes over each dataset per epoch, --dataset first. For example, 1 0.5 draws all rows of the first "
        "dataset and half of the rows of the second, a new random half in each epoch. If omitted, each dataset is "
        "passed over once.",
        default=None,
    )
    dataset_config: str | None = setting("Configuration name of the datasets, such as pretrain.", default=None)
    encoding: str = setting("Character encoding of datasets that are text files, such as cp1252.", default="utf-8")
    train_split: str = setting("Training split. Slices such as train[:1000] are allowed.", default="train")
    validation_split: str = setting(
        "Validation split, used to select the best checkpoint. Slices are allowed; none disables validation.",
        default="validation",
    )
    train_rows: int | None = setting(
        "Number of training rows to sample from each dataset. If omitted, all rows are used. The sample is the same "
        "for every --seed, and a smaller sample is a subset of a larger one.",
        default=None,
    )
    validation_rows: int | None = setting("Number of validation rows to sample, in the same way.", default=None)
    num_conformers: int = setting(
        "Maximum number of conformers to use per row. Each epoch draws one of them at random.", default=1
    )
    num_train_epochs: int = setting("Total number of training epochs.", default=30)
    batch_size: int = setting("Batch size, over all processes.", default=64)
    gradient_accumulation_steps: int = setting(
        "Number of batches to accumulate gradients over before each update. Does not add negatives.", default=1
    )
    learning_rate: float = setting("Peak learning rate of AdamW, followed by cosine decay.", default=1e-4)
    weight_decay: float = setting(
        "Weight decay of AdamW. Not applied to normalisation layers, biases, embeddings and scalars.", default=0.05
    )
    warmup_ratio: float = setting("Fraction of all updates used for a linear learning rate warmup.", default=0.1)
    max_grad_norm: float = setting("Maximum gradient norm, for gradient clipping.", default=1.0)
    ema_decay: float = setting(
        "Decay of an exponential moving average of the weights, which is validated and saved in place of the weights. "
        "0 disables it.",
        default=0.0,
    )
    mixed_precision: str = setting(
        "Mixed precision: no, bf16, fp16 or auto. auto uses bf16 if the hardware is faster with it.", default="no"
    )
    gradient_checkpointing: bool = setting(
        "Recompute activations in the backward pass, to save memory at the expense of speed.", default=False
    )
    num_workers: int = setting("Number of worker processes for data loading, per training process.", default=0)
    seed: int = setting("Random seed of new weights, data order, dropout and noise.", default=0)
    save_steps: int = setting("Number of updates between two saved training states.", default=500)
    resume: bool = setting(
        "Resume from the latest training state in --output_dir, if there is one. A finished run is left unchanged.",
        default=False,
    )
    report_to: str = setting(
        "Tracker to report to in addition to log.jsonl, such as tensorboard or wandb, or none.", default="none"
    )

    def __post_init__(self):
        if self.mixed_precision == "auto":
            object.__setattr__(self, "mixed_precision", choose_precision())  # the record holds the choice
        if not 0 <= self.ema_decay < 1:
            raise ValueError(f"--ema_decay is {self.ema_decay}; it must be at least 0 and less than 1")
        if self.num_conformers < 1:
            raise ValueError(f"--num_conformers is {self.num_conformers}; it must be at least 1")
        weights = " ".join(map(str, self.weights))
        if len(self.weights) != len(self.datasets) or not all(0 < weight < math.inf for weight in self.weights):
            raise ValueError(
                f"--dataset_weights is {weights} for {len(self.datasets)} datasets; pass one finite number above 0 per "
                "dataset, --dataset first"
            )

    @property
    def rows_per_batch(self) -> int:
        """Number of rows that a loss is computed over, on all processes together."""
        return self.batch_size

    @property
    def datasets(self) -> list[str]:
        """All training datasets, `dataset` first."""
        return [self.dataset, *(self.further_datasets or ())]

    @property
    def weights(self) -> list[float]:
        """Passes over each of `datasets` per epoch."""
        return self.dataset_weights or [1.0] * len(self.datasets)

    def choose(self, *names: str) -> dict:
        """Return the named settings that are set."""
        return {name: value for name in names if (value := getattr(self, name)) is not None}
