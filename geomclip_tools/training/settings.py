"""The settings that every training task has."""

import dataclasses
import functools
import math
import time

import torch

LEAST_GAIN = 1.3  # for which bfloat16 is worth its digits


def setting(help: str, **kwargs):
    return dataclasses.field(metadata={"help": help}, **kwargs)


def choose_precision() -> str:
    """bf16 where the hardware computes in it and is faster so, else no.

    Without such instructions bfloat16 is many times slower on a CPU; with them it is faster on some, slower on others.
    """
    if torch.cuda.is_available():
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "no"
    if torch.accelerator.is_available() or not hasattr(torch.cpu, "get_capabilities"):
        return "no"  # or unknown
    capabilities = torch.cpu.get_capabilities()
    is_native = any(capabilities.get(name) for name in ("avx512_bf16", "amx_bf16", "bf16"))
    return "bf16" if is_native and measure_bfloat16_gain() > LEAST_GAIN else "no"


@functools.cache
def measure_bfloat16_gain() -> float:
    """How many times as fast this CPU multiplies matrices in bfloat16 as in float32."""
    seconds = {}
    for dtype in (torch.float32, torch.bfloat16):
        matrix, spent = torch.ones(1024, 1024, dtype=dtype), []
        for _ in range(6):  # of which the first makes ready
            start = time.perf_counter()
            torch.mm(matrix, matrix)
            spent.append(time.perf_counter() - start)
        seconds[dtype] = min(spent)
    return seconds[torch.float32] / seconds[torch.bfloat16]


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainingSettings:
    """What every task needs."""

    dataset: str = setting("Folder, Hub id, .csv, .tsv, .parquet or .sdf with `text` and geometries or `smiles`.")
    output_dir: str = setting("Folder of the checkpoint; the best one by validation lies in it, the last one in last/.")
    further_datasets: list[str] | None = setting("Datasets whose rows are mixed in.", default=None)
    dataset_weights: list[float] | None = setting(
        "How often an epoch passes over each dataset, such as 1 0.5 for all rows of the first and half of those of the "
        "second, others in each epoch; left out, once.",
        default=None,
    )
    dataset_config: str | None = setting("Config of the datasets, such as pretrain.", default=None)
    encoding: str = setting("Encoding of a table that is a text file, such as cp1252.", default="utf-8")
    train_split: str = setting("Split, with slicing if wanted.", default="train")
    validation_split: str = setting("Split that chooses the best checkpoint; 'none' for none.", default="validation")
    train_rows: int | None = setting(
        "Training rows, if not all: drawn at random, for every seed the same, fewer being part of more.", default=None
    )
    validation_rows: int | None = setting("Validation rows, drawn likewise.", default=None)
    num_conformers: int = setting(
        "Conformers of a molecule, as far as its row holds them, of which training draws another in each epoch.",
        default=1,
    )
    num_train_epochs: int = setting("Passes over the training rows.", default=30)
    batch_size: int = setting("Rows in one batch over all processes.", default=64)
    gradient_accumulation_steps: int = setting("Batches per update; does not add negatives.", default=1)
    learning_rate: float = setting("Peak learning rate.", default=1e-4)
    weight_decay: float = setting("AdamW; norms, biases, embeddings and single numbers have none.", default=0.05)
    warmup_ratio: float = setting("Share of the updates over which the learning rate rises.", default=0.1)
    max_grad_norm: float = setting("Gradients are scaled down to this norm.", default=1.0)
    ema_decay: float = setting(
        "Decay of a moving average of the weights, which is validated and saved in their place; 0 for none.",
        default=0.0,
    )
    mixed_precision: str = setting(
        "no, bf16, fp16, or auto: bf16 where the hardware is faster in it, else no.", default="no"
    )
    gradient_checkpointing: bool = setting("Recompute activations in the backward pass to save memory.", default=False)
    num_workers: int = setting("Processes that prepare batches, per training process.", default=0)
    seed: int = setting("Seed of weights, batches, dropout and noise.", default=0)
    save_steps: int = setting("Updates between two training states.", default=500)
    resume: bool = setting("Go on from the newest training state in output_dir.", default=False)
    report_to: str = setting("Tracker besides log.jsonl: tensorboard, wandb, ..., or none.", default="none")

    def __post_init__(self):
        if self.mixed_precision == "auto":
            object.__setattr__(self, "mixed_precision", choose_precision())  # so that the record names it
        if not 0 <= self.ema_decay < 1:
            raise ValueError(f"--ema_decay is {self.ema_decay}; give 0, or less than 1")
        if self.num_conformers < 1:
            raise ValueError(f"--num_conformers is {self.num_conformers}; give at least 1")
        weights = " ".join(map(str, self.weights))
        if len(self.weights) != len(self.datasets) or not all(0 < weight < math.inf for weight in self.weights):
            raise ValueError(
                f"--dataset_weights are {weights} for {len(self.datasets)} datasets; give each a number above 0, the "
                "first to --dataset"
            )

    @property
    def rows_per_batch(self) -> int:
        """Rows over which a loss is computed, on all processes together."""
        return self.batch_size

    @property
    def datasets(self) -> list[str]:
        """All datasets that are trained on."""
        return [self.dataset, *(self.further_datasets or ())]

    @property
    def weights(self) -> list[float]:
        """Passes of an epoch over each of `datasets`."""
        return self.dataset_weights or [1.0] * len(self.datasets)

    def choose(self, *names: str) -> dict:
        """Those of the named settings that are not left out."""
        return {name: value for name in names if (value := getattr(self, name)) is not None}
