"""Train GeomCLIP with Accelerate.

    accelerate launch train_accelerate.py pretrain --dataset pubchem3d --output_dir geomclip
    accelerate launch train_accelerate.py pretrain --config configs/quickstart.yaml --seed 1
    accelerate launch train_accelerate.py caption --dataset pubchem3d --output_dir captioner \\
        --model geomclip --decoder HuggingFaceTB/SmolLM2-135M
    accelerate launch train_accelerate.py property --dataset qm9 --output_dir predictor \\
        --model geomclip --targets homo lumo gap

The first word names the task; `--help` after it lists its settings. A YAML file gives settings by name, flags override
it. On N processes `--batch_size` is the size of the joint batch, and the result is that of one process.
"""

import argparse
import dataclasses
import logging
import math
import os
import shutil
import sys
import time
from pathlib import Path

import torch
import yaml
from accelerate import Accelerator, skip_first_batches
from accelerate.utils import DataLoaderConfiguration, broadcast, set_seed
from datasets import Dataset
from torch.utils.data import DataLoader
from tqdm.auto import tqdm
from transformers import HfArgumentParser, PreTrainedModel, get_cosine_schedule_with_warmup

from training.batches import Collator, LengthGroupedSampler
from training.caption import Captioning
from training.pretrain import Pretraining
from training.pretrain_geometry import GeometryPretraining
from training.property import PropertyPrediction
from training.rows import id_hash, load_prepared
from training.settings import TrainingSettings
from training.states import (
    LAST,
    STATES,
    JsonlTracker,
    Progress,
    is_finished,
    load_newest_state,
    save_checkpoint,
    save_state,
)
from training.task import Task

logger = logging.getLogger("geomclip")

TASKS = {
    "pretrain": Pretraining,
    "pretrain_geometry": GeometryPretraining,
    "caption": Captioning,
    "property": PropertyPrediction,
}


def parse_settings(argv: list[str]) -> TrainingSettings:
    """Settings from the task's name, `--config file.yaml` and flags, of which later ones win."""
    if not argv or argv[0] not in TASKS:
        raise SystemExit(f"usage: train_accelerate.py {{{','.join(TASKS)}}} [--config file.yaml] [--setting value ...]")
    task = argv[0]
    files = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    files.add_argument("--config", action="append", default=[], type=Path)
    given, flags = files.parse_known_args(argv[1:])
    values = {name: value for file in given.config for name, value in yaml.safe_load(file.read_text()).items()}
    words = {name: value if isinstance(value, list) else [value] for name, value in values.items() if value is not None}
    flags = [word for name, listed in words.items() for word in (f"--{name}", *map(str, listed))] + flags
    parser = HfArgumentParser(TASKS[task].settings_class, prog=f"train_accelerate.py {task}", allow_abbrev=False)
    (settings,) = parser.parse_args_into_dataclasses(flags)
    return settings


def parameter_groups(model: torch.nn.Module, task: Task) -> list[dict]:
    """AdamW groups: one for each learning rate of the task, with and without weight decay."""
    embeddings = {
        id(p) for module in model.modules() if isinstance(module, torch.nn.Embedding) for p in module.parameters()
    }
    groups = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            is_decayed = parameter.ndim > 1 and id(parameter) not in embeddings
            groups.setdefault((task.learning_rate(name), is_decayed), []).append(parameter)
    return [
        {"params": parameters, "lr": rate, "weight_decay": task.settings.weight_decay if is_decayed else 0.0}
        for (rate, is_decayed), parameters in groups.items()
    ]


def train(
    task: Task, accelerator: Accelerator, model: PreTrainedModel, processor, rows: Dataset, validation: Dataset | None
) -> None:
    """The loop: batches, loss, update; validation and checkpoint after each epoch."""
    settings, output_dir = task.settings, Path(task.settings.output_dir)
    collator = Collator(task, processor)
    lengths = task.lengths(rows)
    loader = DataLoader(
        rows,
        batch_size=settings.rows_per_batch,
        shuffle=lengths is None,
        sampler=None if lengths is None else LengthGroupedSampler(lengths, settings.rows_per_batch, settings.seed),
        drop_last=True,
        collate_fn=collator,
        num_workers=settings.num_workers,
    )
    updates_per_epoch = math.ceil(len(loader) / settings.gradient_accumulation_steps)
    num_updates = updates_per_epoch * settings.num_train_epochs
    optimizer = torch.optim.AdamW(parameter_groups(model, task), fused=True)
    scheduler = get_cosine_schedule_with_warmup(optimizer, round(settings.warmup_ratio * num_updates), num_updates)
    model, optimizer, loader, scheduler = accelerator.prepare(model, optimizer, loader, scheduler)

    progress = load_newest_state(accelerator, output_dir / STATES, settings) if settings.resume else Progress()
    if accelerator.is_main_process:
        accelerator.get_tracker("jsonl").keep_until(progress.step)
        if not settings.resume:
            for folder in (STATES, LAST):  # of an earlier run
                shutil.rmtree(output_dir / folder, ignore_errors=True)
    started = time.monotonic() - progress.seconds
    bar = tqdm(total=num_updates, initial=progress.step, disable=not accelerator.is_main_process, desc="updates")
    while progress.epoch < settings.num_train_epochs:
        model.train()
        collator.epoch = progress.epoch
        loader.set_epoch(progress.epoch)
        batches = skip_first_batches(loader, progress.batch) if progress.batch else loader
        for batch in batches:
            # Dropout depends on the place in the run alone, so that a resumed run draws the same.
            torch.manual_seed(id_hash(f"{settings.seed} {progress.epoch} {progress.batch} {accelerator.process_index}"))
            with accelerator.accumulate(model):
                losses = task.backward(accelerator, model, batch)
                if accelerator.sync_gradients:
                    grad_norm = accelerator.clip_grad_norm_(model.parameters(), settings.max_grad_norm)
                optimizer.step()
                scheduler.step()
                optimizer.zero_grad()
            progress.batch += 1
            if accelerator.sync_gradients:
                progress.step += 1
                progress.seconds = time.monotonic() - started
                bar.update()
                bar.set_postfix(loss=f"{losses['loss'].item():.3f}")
                values = {name: accelerator.reduce(loss.detach(), "mean").item() for name, loss in losses.items()}
                values |= {"grad_norm": float(grad_norm), "lr": scheduler.get_last_lr()[0]}
                accelerator.log({"epoch": progress.epoch, **values}, progress.step)
                if progress.step % settings.save_steps == 0:
                    save_state(accelerator, output_dir / STATES, progress, settings)
        progress.epoch, progress.batch = progress.epoch + 1, 0
        score = validate(task, accelerator, model, processor, validation, progress)
        progress.seconds = time.monotonic() - started
        if score >= progress.best_score:
            progress.best_score = score
            save_checkpoint(accelerator, task, model, processor, output_dir, progress.seconds)
    save_checkpoint(accelerator, task, model, processor, output_dir / LAST, progress.seconds)
    if accelerator.is_main_process:
        shutil.rmtree(output_dir / STATES, ignore_errors=True)


def validate(
    task: Task, accelerator: Accelerator, model: torch.nn.Module, processor, rows: Dataset | None, progress: Progress
) -> float:
    """The task's score, on every process; 0 without validation rows: then the last checkpoint is the best."""
    score = torch.zeros(1, device=accelerator.device)
    if rows is not None and accelerator.is_main_process:
        value, metrics = task.validate(accelerator.unwrap_model(model), processor, rows)
        score += value
        accelerator.log({"epoch": progress.epoch, **metrics}, progress.step)
    return broadcast(score).item()


def build_accelerator(settings: TrainingSettings) -> Accelerator:
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
            f"{launched} processes were launched but each trains alone; on CPUs launch with "
            f"ACCELERATE_USE_CPU=true accelerate launch --multi_gpu --num_processes {launched} train_accelerate.py ..."
        )
    return accelerator


def run(task: Task) -> None:
    """Read the rows, build the model, train it."""
    settings = task.settings
    if settings.resume and is_finished(settings):
        logger.info("%s is finished; nothing is left to resume", settings.output_dir)
        return
    Path(settings.output_dir).mkdir(parents=True, exist_ok=True)
    accelerator = build_accelerator(settings)
    given = {name: value for name, value in dataclasses.asdict(settings).items() if value is not None}
    given = {name: " ".join(value) if isinstance(value, list) else value for name, value in given.items()}
    accelerator.init_trackers("geomclip", given)
    if settings.report_to != "none":
        accelerator.get_tracker(settings.report_to)  # a tracker whose package is missing would log nothing in silence
    set_seed(settings.seed)
    model, processor = task.build()
    if settings.gradient_checkpointing:
        model.activation_checkpointing_enable()
    feature_extractor = getattr(processor, "feature_extractor", processor)

    def read(split: str, limit: int | None) -> Dataset:
        return load_prepared(task, feature_extractor, split, limit)

    with accelerator.main_process_first():
        rows = read(settings.train_split, settings.train_rows)
        is_validated = settings.validation_split != "none"
        validation = read(settings.validation_split, settings.validation_rows) if is_validated else None
    if len(rows) < settings.rows_per_batch:
        name = "batch_size" if settings.rows_per_batch == settings.batch_size else "contrastive_batch_size"
        raise ValueError(f"{len(rows)} rows do not fill one batch of {settings.rows_per_batch}; lower --{name}")
    task.prepare(model.to(accelerator.device), rows)
    train(task, accelerator, model, processor, rows, validation)
    # Not in `train`: its DDP must go before the process group does. As the last to go it would hold the interpreter and
    # wait for gloo's threads, one of which may wait for the interpreter to release a tensor.
    accelerator.end_training()


def main(argv: list[str]) -> None:
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    settings = parse_settings(argv)
    run(TASKS[argv[0]](settings))


if __name__ == "__main__":
    main(sys.argv[1:])
