"""The training loop of all tasks: batches, losses, updates, validation, training states and checkpoints."""

import copy
import dataclasses
import logging
import math
import os
import shutil
import time
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator, skip_first_batches
from accelerate.utils import DataLoaderConfiguration, broadcast, set_seed
from datasets import Dataset
from torch import Tensor
from torch.distributed.fsdp import FSDPModule
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader
from tqdm.auto import tqdm
from transformers import get_cosine_schedule_with_warmup

from dataset_pubchem3d.chemistry.fingerprints import FINGERPRINT_SIZE

from .checkpoints import (
    LAST,
    STATES,
    JsonlTracker,
    Progress,
    is_finished,
    load_newest_state,
    save_checkpoint,
    save_state,
)
from .data import draw_conformer, load_prepared, load_training_rows
from .distributed import unsqueeze_scalars
from .identity import hash_id
from .sampling import EpochSampler, LengthGroupedSampler, NeighbourSampler, count_draws
from .settings import TrainingSettings
from .tasks.base import Task

logger = logging.getLogger("geomclip")


class Collator:
    """Collate rows into a batch of the task, for the epoch that the training loop sets."""

    def __init__(self, task: Task, processor: Any):
        self.task, self.processor, self.epoch = task, processor, 0

    def __call__(self, rows: list[dict]) -> dict[str, Tensor]:
        """Draw a conformer of each row and collate the rows."""
        rows = [draw_conformer(row, self.task.settings.seed, self.epoch) for row in rows]
        return self.task.collate(self.processor, rows, self.epoch)


def group_parameters(model: torch.nn.Module, task: Task) -> list[dict]:
    """Group the trainable parameters for AdamW by learning rate and by whether weight decay applies."""
    embeddings = {
        id(p) for module in model.modules() if isinstance(module, torch.nn.Embedding) for p in module.parameters()
    }
    groups = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            is_decayed = parameter.ndim > 1 and id(parameter) not in embeddings
            groups.setdefault((task.choose_learning_rate(name), is_decayed), []).append(parameter)
    return [
        {"params": parameters, "lr": rate, "weight_decay": task.settings.weight_decay if is_decayed else 0.0}
        for (rate, is_decayed), parameters in groups.items()
    ]


def build_loader(task: Task, rows: Dataset, sizes: list[int], collator: Collator) -> DataLoader:
    """Build the training data loader, with batches of similar length, with similar molecules, or at random.

    Args:
        sizes: number of rows of each dataset of the task.
    """
    settings, lengths, fingerprints = task.settings, task.measure_lengths(rows), task.list_fingerprints(rows)
    drawn = (sizes, settings.weights, settings.seed)
    if lengths is not None:
        sampler = LengthGroupedSampler(*drawn, lengths, settings.rows_per_batch)
    elif fingerprints is not None:
        sampler = NeighbourSampler(*drawn, fingerprints, settings.neighbours, FINGERPRINT_SIZE)
    elif settings.further_datasets or settings.dataset_weights:
        sampler = EpochSampler(*drawn)
    else:
        sampler = None
    return DataLoader(
        rows,
        batch_size=settings.rows_per_batch,
        shuffle=sampler is None,
        sampler=sampler,
        drop_last=True,
        collate_fn=collator,
        num_workers=settings.num_workers,
    )


class Trainer:
    """One training run: its model, its progress and its output folder."""

    def __init__(
        self,
        task: Task,
        accelerator: Accelerator,
        model: torch.nn.Module,
        processor: Any,
        rows: Dataset,
        sizes: list[int],
    ):
        self.task, self.accelerator, self.processor = task, accelerator, processor
        self.settings, self.output_dir = task.settings, Path(task.settings.output_dir)
        self.collator = Collator(task, processor)
        loader = build_loader(task, rows, sizes, self.collator)
        updates_per_epoch = math.ceil(len(loader) / self.settings.gradient_accumulation_steps)
        self.num_updates = updates_per_epoch * self.settings.num_train_epochs
        num_warmup = round(self.settings.warmup_ratio * self.num_updates)
        self.whole = copy.deepcopy(model) if accelerator.is_fsdp2 and accelerator.is_main_process else None
        if accelerator.is_fsdp2:
            unsqueeze_scalars(model)
        optimizer = torch.optim.AdamW(group_parameters(model, task), fused=True)
        scheduler = get_cosine_schedule_with_warmup(optimizer, num_warmup, self.num_updates)
        prepared = accelerator.prepare(model, optimizer, loader, scheduler)
        self.model, self.optimizer, self.loader, self.scheduler = prepared
        self.average = self.start_average() if self.settings.ema_decay else None
        self.progress = self.resume() if self.settings.resume else Progress()

    def start_average(self) -> AveragedModel:
        """Start a moving average of the weights, which training states include.

        Raises:
            ValueError: FSDP shards the weights over processes.
        """
        if isinstance(self.model, FSDPModule):
            raise ValueError("--ema_decay does not work with FSDP, which shards the weights over processes; omit it")
        decay = get_ema_multi_avg_fn(self.settings.ema_decay)
        average = AveragedModel(self.accelerator.unwrap_model(self.model), multi_avg_fn=decay)
        self.accelerator.register_for_checkpointing(average)
        return average

    @property
    def result(self) -> torch.nn.Module:
        """The model to validate and save: the moving average, or the gathered model, if there is one."""
        if self.average is not None:
            return self.average.module
        return self.accelerator.unwrap_model(self.model) if self.whole is None else self.whole

    def gather_weights(self) -> None:
        """Gather the weights on the main process, if FSDP shards them over processes."""
        if self.accelerator.is_fsdp2:
            weights = self.accelerator.get_state_dict(self.model)
            if self.whole is not None:
                self.whole.load_state_dict(weights)

    def resume(self) -> Progress:
        """Load the latest training state, if there is one."""
        return load_newest_state(self.accelerator, self.output_dir / STATES, self.settings)

    def train(self, validation: Dataset | None) -> None:
        """Train to the last epoch. Validate after each epoch, and save the best checkpoint and the last one."""
        progress = self.progress
        self.clear_earlier_run()
        self.started = time.monotonic() - progress.seconds
        is_shown = self.accelerator.is_main_process
        with tqdm(total=self.num_updates, initial=progress.step, disable=not is_shown, desc="updates") as self.bar:
            while progress.epoch < self.settings.num_train_epochs:
                self.train_epoch()
                self.gather_weights()
                progress.epoch, progress.batch = progress.epoch + 1, 0
                score = self.validate(validation)
                progress.seconds = time.monotonic() - self.started
                if score >= progress.best_score:
                    progress.best_score = score
                    self.save(self.output_dir)
        self.save(self.output_dir / LAST)
        if self.accelerator.is_main_process:
            shutil.rmtree(self.output_dir / STATES, ignore_errors=True)
            what = "the last checkpoint" if validation is None else "the checkpoint with the best validation score"
            logger.info("saved %s in %s", what, self.output_dir)

    def clear_earlier_run(self) -> None:
        """Drop the log lines after the loaded state. Without `resume`, delete the states and last checkpoint, too."""
        if self.accelerator.is_main_process:
            self.accelerator.get_tracker("jsonl").keep_until(self.progress.step)
            if not self.settings.resume:
                for folder in (STATES, LAST):
                    shutil.rmtree(self.output_dir / folder, ignore_errors=True)

    def train_epoch(self) -> None:
        """Train on the remaining batches of the current epoch."""
        progress = self.progress
        self.model.train()
        self.collator.epoch = progress.epoch
        self.loader.set_epoch(progress.epoch)
        for batch in skip_first_batches(self.loader, progress.batch) if progress.batch else self.loader:
            losses, grad_norm = self.train_batch(batch)
            progress.batch += 1
            if self.accelerator.sync_gradients:
                progress.step += 1
                self.log_update(losses, grad_norm)
                if progress.step % self.settings.save_steps == 0:
                    save_state(self.accelerator, self.output_dir / STATES, progress, self.settings)

    def train_batch(self, batch: dict[str, Tensor]) -> tuple[dict[str, Tensor], Any]:
        """Accumulate the gradients of a batch, and update the weights if the batch completes an update.

        Returns:
            the losses of the batch, and the gradient norm of the update, if there was one.
        """
        accelerator, progress, grad_norm = self.accelerator, self.progress, None
        # Dropout depends only on the position in the run, so a resumed run repeats it exactly.
        place = f"{self.settings.seed} {progress.epoch} {progress.batch} {accelerator.process_index}"
        torch.manual_seed(hash_id(place))
        with accelerator.accumulate(self.model):
            losses = self.task.backward(accelerator, self.model, batch)
            if accelerator.sync_gradients:
                grad_norm = accelerator.clip_grad_norm_(self.model.parameters(), self.settings.max_grad_norm)
            self.optimizer.step()
            self.scheduler.step()
            self.optimizer.zero_grad()
        if self.average is not None and accelerator.sync_gradients:
            self.average.update_parameters(accelerator.unwrap_model(self.model))
        return losses, grad_norm

    def log_update(self, losses: dict[str, Tensor], grad_norm: Any) -> None:
        """Log one update, with losses averaged over processes."""
        self.progress.seconds = time.monotonic() - self.started
        self.bar.update()
        self.bar.set_postfix(loss=f"{losses['loss'].item():.3f}")
        values = {name: self.accelerator.reduce(loss.detach(), "mean").item() for name, loss in losses.items()}
        values |= {"grad_norm": float(grad_norm), "lr": self.scheduler.get_last_lr()[0]}
        self.accelerator.log({"epoch": self.progress.epoch, **values}, self.progress.step)

    def validate(self, rows: Dataset | None) -> float:
        """Return the validation score of the task, on every process.

        Without validation rows, the score is always 0, so the last checkpoint counts as the best.
        """
        accelerator = self.accelerator
        score = torch.zeros(1, device=accelerator.device)
        if rows is not None and accelerator.is_main_process:
            value, metrics = self.task.validate(self.result, self.processor, rows)
            score += value
            accelerator.log({"epoch": self.progress.epoch, **metrics}, self.progress.step)
        return broadcast(score).item()

    def save(self, folder: Path) -> None:
        """Save a checkpoint of the current model."""
        seconds = self.progress.seconds
        save_checkpoint(self.accelerator, self.task, self.result, self.processor, folder, seconds)


def build_accelerator(settings: TrainingSettings) -> Accelerator:
    """Build the accelerator, with its trackers.

    Raises:
        RuntimeError: several processes were launched that do not communicate with each other.
    """
    trackers = [] if settings.report_to == "none" else [settings.report_to]
    accelerator = Accelerator(
        mixed_precision=settings.mixed_precision,
        gradient_accumulation_steps=settings.gradient_accumulation_steps,
        dataloader_config=DataLoaderConfiguration(
            split_batches=True, use_seedable_sampler=True, data_seed=settings.seed
        ),
        log_with=[*trackers, JsonlTracker(Path(settings.output_dir) / "log.jsonl")],
        project_dir=settings.output_dir,
    )
    launched = int(os.environ.get("WORLD_SIZE", 1))
    if launched != accelerator.num_processes:
        raise RuntimeError(
            f"{launched} processes were launched, but each would train alone; on CPUs, launch them with "
            f"ACCELERATE_USE_CPU=true accelerate launch --multi_gpu --num_processes {launched} train_accelerate.py ..."
        )
    return accelerator


def run(task: Task) -> None:
    """Build the model, load the rows and train. A resumed run that is finished is left unchanged."""
    settings = task.settings
    if settings.resume and is_finished(settings):
        logger.info("the run in %s is finished; there is nothing to resume", settings.output_dir)
        return
    Path(settings.output_dir).mkdir(parents=True, exist_ok=True)
    accelerator = build_accelerator(settings)
    start_trackers(accelerator, settings)
    set_seed(settings.seed)
    model, processor = task.build()
    if settings.gradient_checkpointing:
        task.unwrap(model).activation_checkpointing_enable()
    with accelerator.main_process_first():
        rows, sizes, validation = read_rows(task, processor)
    task.prepare(model.to(accelerator.device), rows)
    Trainer(task, accelerator, model, processor, rows, sizes).train(validation)
    # Not in `Trainer`: its DDP must be destroyed before the process group. Otherwise it would hold the GIL while it
    # waits for gloo's threads, one of which may need the GIL to release a tensor.
    accelerator.end_training()


def start_trackers(accelerator: Accelerator, settings: TrainingSettings) -> None:
    """Initialise the trackers with the settings.

    Raises:
        ValueError: the package of a tracker is not installed; Accelerate would silently skip the tracker.
    """
    given = {name: value for name, value in dataclasses.asdict(settings).items() if value is not None}
    given = {name: " ".join(map(str, value)) if isinstance(value, list) else value for name, value in given.items()}
    accelerator.init_trackers("geomclip", given)
    if settings.report_to != "none":
        accelerator.get_tracker(settings.report_to)


def read_rows(task: Task, processor: Any) -> tuple[Dataset, list[int], Dataset | None]:
    """Load the training rows of all datasets and the validation rows of the first one.

    Returns:
        the training rows, the number of training rows of each dataset, and the validation rows, if any.
    Raises:
        ValueError: the training rows do not fill one batch.
    """
    settings, extractor = task.settings, getattr(processor, "feature_extractor", processor)
    rows, sizes = load_training_rows(task, extractor)
    validation = None
    if settings.validation_split != "none":
        validation = load_prepared(task, extractor, settings.validation_split, settings.validation_rows)
    num_rows = sum(count_draws(sizes, settings.weights))
    if num_rows < settings.rows_per_batch:
        name = "batch_size" if settings.rows_per_batch == settings.batch_size else "contrastive_batch_size"
        raise ValueError(f"{num_rows} rows do not fill one batch of {settings.rows_per_batch}; reduce --{name}")
    return rows, sizes, validation
