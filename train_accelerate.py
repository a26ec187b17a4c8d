"""Train GeomCLIP with Accelerate.

    accelerate launch train_accelerate.py pretrain --dataset pubchem3d --output_dir geomclip
    accelerate launch train_accelerate.py pretrain --config configs/quickstart.yaml --seed 1

The first word names the task; `--help` after it lists its settings. A YAML file gives settings by name, flags override
it. On N processes `--batch_size` is the size of the joint batch, and the result is that of one process.
"""

import argparse
import dataclasses
import hashlib
import json
import logging
import math
import os
import re
import shutil
import sys
from pathlib import Path

import torch
import torch.distributed as dist
import yaml
from accelerate import Accelerator, skip_first_batches
from accelerate.tracking import GeneralTracker, on_main_process
from accelerate.utils import DataLoaderConfiguration, broadcast, set_seed
from datasets import Dataset
from torch.utils.data import DataLoader
from tqdm.auto import tqdm
from transformers import AutoModel, AutoProcessor, AutoTokenizer, HfArgumentParser, get_cosine_schedule_with_warmup

from dataset_pubchem3d.pairs import first_block, load_pairs, molecule_input
from eval.retrieval import evaluate_retrieval
from model_card import write_model_card
from modeling_geomclip import (
    MISSING_ID,
    GeomCLIPFeatureExtractor,
    GeomCLIPGeometryConfig,
    GeomCLIPGeometryModel,
    GeomCLIPModel,
    GeomCLIPOutput,
    GeomCLIPProcessor,
    MoleculeError,
    contrastive_loss,
    read_molecule,
)

logger = logging.getLogger("geomclip")


def setting(help: str, **kwargs):
    return dataclasses.field(metadata={"help": help}, **kwargs)


@dataclasses.dataclass(frozen=True)
class TrainingSettings:
    """What every task needs."""

    dataset: str = setting("Folder, Hub id, .csv, .tsv or .parquet with `text` and geometries or `smiles`.")
    output_dir: str = setting("Folder of the checkpoint; the best one by validation lies in it, the last one in last/.")
    model: str | None = setting("GeomCLIP folder or Hub id to go on from.", default=None)
    dataset_config: str | None = setting("Config of the dataset, such as pretrain.", default=None)
    train_split: str = setting("Split, with slicing if wanted.", default="train")
    validation_split: str = setting("Split that chooses the best checkpoint; 'none' for none.", default="validation")
    num_train_epochs: int = setting("Passes over the training pairs.", default=30)
    batch_size: int = setting("Pairs in one batch over all processes: each has batch_size - 1 negatives.", default=64)
    gradient_accumulation_steps: int = setting("Batches per update; does not add negatives.", default=1)
    learning_rate: float = setting("Peak learning rate.", default=1e-4)
    text_learning_rate: float | None = setting(
        "Peak learning rate of the text tower, if another; 0 locks it, as it is, without dropout.", default=None
    )
    weight_decay: float = setting("AdamW; norms, biases, embeddings and logit_scale have none.", default=0.05)
    warmup_ratio: float = setting("Share of the updates over which the learning rate rises.", default=0.1)
    max_grad_norm: float = setting("Gradients are scaled down to this norm.", default=1.0)
    mixed_precision: str = setting("no, bf16 or fp16.", default="no")
    gradient_checkpointing: bool = setting("Recompute activations in the backward pass to save memory.", default=False)
    pair_budget: int = setting("Molecules * rows² that the geometry tower takes at once.", default=200_000)
    num_workers: int = setting("Processes that prepare batches, per training process.", default=0)
    seed: int = setting("Seed of weights, batches, dropout and noise.", default=0)
    save_steps: int = setting("Updates between two training states.", default=500)
    resume: bool = setting("Go on from the newest training state in output_dir.", default=False)
    report_to: str = setting("Tracker besides log.jsonl: tensorboard, wandb, ..., or none.", default="none")


@dataclasses.dataclass(frozen=True)
class PretrainSettings(TrainingSettings):
    """Contrastive and denoising pre-training. What is left out is the checkpoint's, or a new model's default."""

    denoising_loss_weight: float | None = setting("alpha in L = L_contrastive + alpha * L_denoising.", default=None)
    learnable_temperature: bool | None = setting("Whether the temperature is trained.", default=None)
    geometry_model: str | None = setting(
        "New model: geometry tower, a folder, Hub id or a .json configuration to start from scratch.", default=None
    )
    text_model: str | None = setting("New model: text tower, a folder or Hub id; left out, SciBERT.", default=None)
    projection_dim: int | None = setting("New model: size of the joint space.", default=None)
    geometry_pooling: str | None = setting("New model: mean or cls.", default=None)
    text_pooling: str | None = setting("New model: cls or mean.", default=None)
    temperature: float | None = setting("New model: start value.", default=None)
    remove_hydrogens: bool | None = setting("New model: whether to read heavy atoms only.", default=None)
    max_atoms: int | None = setting("New model: larger molecules are left out and counted.", default=None)
    max_text_tokens: int | None = setting("New model: longer texts are cut.", default=None)

    def __post_init__(self):
        if self.model is None and self.text_model is None:
            object.__setattr__(self, "text_model", "allenai/scibert_scivocab_uncased")  # so that the record names it

    def chosen(self, *names: str) -> dict:
        """Those of the named settings that are not left out."""
        return {name: value for name in names if (value := getattr(self, name)) is not None}


TASKS = {"pretrain": PretrainSettings}


# ------------------------------------------------------------------------------------------------------------ settings


def parse_settings(argv: list[str]) -> TrainingSettings:
    """Settings from the task's name, `--config file.yaml` and flags, of which later ones win."""
    if not argv or argv[0] not in TASKS:
        raise SystemExit(f"usage: train_accelerate.py {{{','.join(TASKS)}}} [--config file.yaml] [--setting value ...]")
    task = argv[0]
    files = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    files.add_argument("--config", action="append", default=[], type=Path)
    given, flags = files.parse_known_args(argv[1:])
    values = [item for file in given.config for item in yaml.safe_load(file.read_text()).items()]
    flags = [word for name, value in values for word in (f"--{name}", str(value))] + flags
    parser = HfArgumentParser(TASKS[task], prog=f"train_accelerate.py {task}", allow_abbrev=False)
    (settings,) = parser.parse_args_into_dataclasses(flags)
    return settings


# ------------------------------------------------------------------------------------------------- model and processor


def build_model(settings: PretrainSettings) -> tuple[GeomCLIPModel, GeomCLIPProcessor]:
    """The GeomCLIP to go on from, or a new one from two towers."""
    config = settings.chosen("denoising_loss_weight", "learnable_temperature")
    shape = settings.chosen("projection_dim", "geometry_pooling", "text_pooling", "temperature")
    reading = settings.chosen("remove_hydrogens", "max_atoms")
    if settings.model:
        if fixed := [*shape, *reading, *settings.chosen("geometry_model", "text_model", "max_text_tokens")]:
            raise ValueError(f"--model {settings.model} has its own {', '.join(fixed)}; leave these settings out")
        processor = AutoProcessor.from_pretrained(settings.model)
        return AutoModel.from_pretrained(settings.model, dtype=torch.float32, **config), processor
    geometry_tower = build_geometry_tower(settings.geometry_model)
    model = GeomCLIPModel.from_geometry_text_pretrained(geometry_tower, settings.text_model, **config, **shape)
    tokenizer = AutoTokenizer.from_pretrained(settings.text_model)
    if settings.max_text_tokens is not None:
        tokenizer.model_max_length = settings.max_text_tokens
    return model, GeomCLIPProcessor(GeomCLIPFeatureExtractor(**reading), tokenizer)


def build_geometry_tower(source: str | None) -> GeomCLIPGeometryModel:
    if source is None or source.endswith(".json"):
        config = GeomCLIPGeometryConfig() if source is None else GeomCLIPGeometryConfig.from_json_file(source)
        return GeomCLIPGeometryModel(config)
    return GeomCLIPGeometryModel.from_pretrained(source, dtype=torch.float32)


# ------------------------------------------------------------------------------------------------------------ the data


def id_hash(value: str | None) -> int:
    """63 bits of SHA-256, or `MISSING_ID`."""
    if value is None:
        return MISSING_ID
    return int.from_bytes(hashlib.sha256(value.encode()).digest()[:8], "big") >> 1


PAIR_COLUMNS = ("atomic_numbers", "positions", "text", "inchikey14")


def load_prepared(settings: TrainingSettings, processor: GeomCLIPProcessor, split: str) -> Dataset:
    """Geometry, text and InChIKey block of each pair that the processor takes.

    The others are left out, counted, and listed with their reasons in rejected-<split>.jsonl.
    """
    feature_extractor = processor.feature_extractor

    def prepare(row: dict, index: int) -> dict:
        try:
            molecule = read_molecule(molecule_input(row), feature_extractor.embedding_seed, feature_extractor.max_atoms)
            feature_extractor([molecule])  # what would stop a batch stops its row here
        except MoleculeError as error:
            return {"row_id": index, "reason": str(error), **dict.fromkeys(PAIR_COLUMNS)}
        return {"row_id": index, "reason": None, "text": row["text"], "inchikey14": first_block(row), **molecule}

    pairs = load_pairs(settings.dataset, split, settings.dataset_config)
    prepared = pairs.map(
        prepare,
        with_indices=True,
        remove_columns=pairs.column_names,
        num_proc=settings.num_workers or None,
        desc=f"reading {split}",
    )
    failures = [{"row": row, "reason": reason} for row, reason in enumerate(prepared["reason"]) if reason]
    if failures:
        listing = Path(settings.output_dir) / f"rejected-{re.sub(r'[^a-z0-9]+', '-', split)}.jsonl"
        listing.write_text("".join(json.dumps(failure) + "\n" for failure in failures))
        logger.warning("%d of %d pairs of %s are left out, see %s", len(failures), len(pairs), split, listing)
    return prepared.filter(lambda reason: reason is None, input_columns="reason", desc=f"keeping {split}")


class PairCollator:
    """Rows to a batch. The noise seed of a row depends on (seed, epoch, row id) only."""

    def __init__(self, processor: GeomCLIPProcessor, seed: int):
        self.processor, self.seed, self.epoch = processor, seed, 0

    def __call__(self, rows: list[dict]) -> dict[str, torch.Tensor]:
        batch = self.processor(molecules=rows, text=[row["text"] for row in rows], return_tensors="pt")
        return {
            **batch,
            "molecule_ids": torch.tensor([id_hash(row["inchikey14"]) for row in rows]),
            "text_ids": torch.tensor([id_hash(row["text"]) for row in rows]),
            "noise_seeds": torch.tensor([id_hash(f"{self.seed} {self.epoch} {row['row_id']}") for row in rows]),
        }


# ----------------------------------------------------------------------------------------------- loss and optimisation


class AllGather(torch.autograd.Function):
    """Rows of all processes, in rank order, with gradient (as in open_clip's `gather_with_grad`)."""

    @staticmethod
    def forward(ctx, rows: torch.Tensor) -> torch.Tensor:
        gathered = [torch.empty_like(rows) for _ in range(dist.get_world_size())]
        dist.all_gather(gathered, rows.contiguous())
        ctx.num_rows = len(rows)
        return torch.cat(gathered)

    @staticmethod
    def backward(ctx, grad: torch.Tensor) -> torch.Tensor:
        grad = grad.contiguous()
        dist.all_reduce(grad)
        return grad[dist.get_rank() * ctx.num_rows :][: ctx.num_rows]


def joint_loss(outputs: GeomCLIPOutput, batch: dict, denoising_loss_weight: float) -> dict[str, torch.Tensor]:
    """L = L_contrastive + alpha * L_denoising of the batch over all processes, on each of them.

    DDP averages gradients: the contrastive loss is whole on every process, the denoising loss of one process is
    scaled to its share of the chosen atoms.
    """
    gather = AllGather.apply if dist.is_initialized() else torch.Tensor.clone
    ids = (gather(batch["molecule_ids"]), gather(batch["text_ids"]))
    embeds = (gather(outputs.geometry_embeds), gather(outputs.text_embeds))
    losses = {"contrastive_loss": contrastive_loss(*embeds, outputs.logit_scale, *ids)}
    losses["loss"] = losses["contrastive_loss"]
    if outputs.denoising_loss is not None:
        num_chosen = gather(outputs.num_chosen.view(1)).to(outputs.denoising_loss.dtype)
        share = outputs.num_chosen * len(num_chosen) / num_chosen.sum().clamp(min=1)
        losses["denoising_loss"] = outputs.denoising_loss * share
        losses["loss"] = losses["contrastive_loss"] + denoising_loss_weight * losses["denoising_loss"]
    return losses


def parameter_groups(model: torch.nn.Module, settings: TrainingSettings) -> list[dict]:
    """AdamW groups: with and without weight decay, for the text tower and for the rest."""
    embeddings = {
        id(p) for module in model.modules() if isinstance(module, torch.nn.Embedding) for p in module.parameters()
    }
    groups = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            is_decayed = parameter.ndim > 1 and id(parameter) not in embeddings
            groups.setdefault((name.startswith("text_model."), is_decayed), []).append(parameter)
    rates = {False: settings.learning_rate, True: settings.text_learning_rate}
    return [
        {
            "params": parameters,
            "lr": settings.learning_rate if rates[is_text] is None else rates[is_text],
            "weight_decay": settings.weight_decay if is_decayed else 0.0,
        }
        for (is_text, is_decayed), parameters in groups.items()
    ]


# ------------------------------------------------------------------------------------------- logs, states, checkpoints


class JsonlTracker(GeneralTracker):
    """One JSON object a line in log.jsonl; a resumed run drops the lines after the step it starts at."""

    name = "jsonl"
    requires_logging_directory = False

    def __init__(self, path: Path):
        super().__init__()
        self.path = path

    @property
    def tracker(self) -> Path:
        return self.path

    def store_init_configuration(self, values: dict) -> None:
        pass  # train_config.json holds them

    def keep_until(self, step: int) -> None:
        lines = self.path.read_text().splitlines(keepends=True) if step and self.path.exists() else []
        complete = [line for line in lines if line.endswith("\n")]
        self.path.write_text("".join(line for line in complete if json.loads(line)["step"] <= step))

    @on_main_process
    def log(self, values: dict, step: int | None = None, **kwargs) -> None:
        with self.path.open("a") as file:
            file.write(json.dumps({"step": step, **values}) + "\n")


@dataclasses.dataclass
class Progress:
    """Where a run stands: epochs done, batches done in the next one, updates done, best validation score."""

    epoch: int = 0
    batch: int = 0
    step: int = 0
    best_score: float = -1.0


def save_state(accelerator: Accelerator, folder: Path, progress: Progress, settings: TrainingSettings) -> None:
    """Save all that `resume` needs. It appears under its name only when it is complete; then older ones go."""
    partial = folder / "partial"
    if accelerator.is_main_process:
        shutil.rmtree(partial, ignore_errors=True)
    accelerator.wait_for_everyone()
    accelerator.save_state(str(partial))
    accelerator.wait_for_everyone()
    if accelerator.is_main_process:
        record = {"progress": dataclasses.asdict(progress), "settings": dataclasses.asdict(settings)}
        (partial / "progress.json").write_text(json.dumps(record))
        older = list(folder.glob("step_*"))
        shutil.rmtree(folder / f"step_{progress.step}", ignore_errors=True)
        partial.rename(folder / f"step_{progress.step}")
        for state in older:
            if state.name != f"step_{progress.step}":
                shutil.rmtree(state)
    accelerator.wait_for_everyone()


def load_newest_state(accelerator: Accelerator, folder: Path, settings: TrainingSettings) -> Progress:
    """Load the newest complete state, or none if there is none yet; the settings must be those it was saved with."""
    states = sorted(folder.glob("step_*"), key=lambda state: int(state.name.removeprefix("step_")))
    if not states:
        return Progress()
    record = json.loads((states[-1] / "progress.json").read_text())
    changed = {
        name: f"{record['settings'].get(name)} -> {value}"
        for name, value in dataclasses.asdict(settings).items()
        if name not in ("resume", "num_workers", "report_to", "save_steps") and record["settings"].get(name) != value
    }
    if changed:
        raise ValueError(f"{states[-1]} was saved with other settings {changed}; restore them or take a new output_dir")
    accelerator.load_state(str(states[-1]))
    return Progress(**record["progress"])


def save_checkpoint(accelerator: Accelerator, model: torch.nn.Module, processor, folder: Path, settings) -> None:
    """Model, processor, settings and card; a kill leaves the former checkpoint or the new one."""
    accelerator.wait_for_everyone()
    if accelerator.is_main_process:
        partial = folder / "partial"
        shutil.rmtree(partial, ignore_errors=True)
        accelerator.unwrap_model(model).save_pretrained(partial)
        processor.save_pretrained(partial)
        (partial / "train_config.json").write_text(json.dumps(dataclasses.asdict(settings), indent=2) + "\n")
        write_model_card(partial, name=Path(settings.output_dir).name)
        for file in partial.iterdir():
            file.replace(folder / file.name)
        partial.rmdir()
    accelerator.wait_for_everyone()


# -------------------------------------------------------------------------------------------------------- the training


def train(
    settings: TrainingSettings,
    accelerator: Accelerator,
    model: GeomCLIPModel,
    processor: GeomCLIPProcessor,
    pairs: Dataset,
    validation_pairs: Dataset | None,
) -> None:
    """The loop: batches of pairs, joint loss, update; validation and checkpoint after each epoch."""
    output_dir = Path(settings.output_dir)
    collator = PairCollator(processor, settings.seed)
    loader = DataLoader(
        pairs,
        batch_size=settings.batch_size,
        shuffle=True,
        drop_last=True,
        collate_fn=collator,
        num_workers=settings.num_workers,
    )
    is_text_locked = settings.text_learning_rate == 0
    if is_text_locked:
        model.text_model.requires_grad_(False)
    updates_per_epoch = math.ceil(len(loader) / settings.gradient_accumulation_steps)
    num_updates = updates_per_epoch * settings.num_train_epochs
    optimizer = torch.optim.AdamW(parameter_groups(model, settings))
    scheduler = get_cosine_schedule_with_warmup(optimizer, round(settings.warmup_ratio * num_updates), num_updates)
    denoising_loss_weight = model.config.denoising_loss_weight
    model, optimizer, loader, scheduler = accelerator.prepare(model, optimizer, loader, scheduler)

    progress = load_newest_state(accelerator, output_dir / "states", settings) if settings.resume else Progress()
    if accelerator.is_main_process:
        accelerator.get_tracker("jsonl").keep_until(progress.step)
        if not settings.resume:
            shutil.rmtree(output_dir / "states", ignore_errors=True)  # of an earlier run
    bar = tqdm(total=num_updates, initial=progress.step, disable=not accelerator.is_main_process, desc="updates")
    while progress.epoch < settings.num_train_epochs:
        model.train()
        if is_text_locked:
            accelerator.unwrap_model(model).text_model.eval()
        collator.epoch = progress.epoch
        loader.set_epoch(progress.epoch)
        batches = skip_first_batches(loader, progress.batch) if progress.batch else loader
        for batch in batches:
            # Dropout depends on the place in the run alone, so that a resumed run draws the same.
            torch.manual_seed(id_hash(f"{settings.seed} {progress.epoch} {progress.batch} {accelerator.process_index}"))
            with accelerator.accumulate(model):
                outputs = model(**batch, pair_budget=settings.pair_budget, return_loss=False)
                losses = joint_loss(outputs, batch, denoising_loss_weight)
                accelerator.backward(losses["loss"])
                if accelerator.sync_gradients:
                    grad_norm = accelerator.clip_grad_norm_(model.parameters(), settings.max_grad_norm)
                optimizer.step()
                scheduler.step()
                optimizer.zero_grad()
            progress.batch += 1
            if accelerator.sync_gradients:
                progress.step += 1
                bar.update()
                bar.set_postfix(loss=f"{losses['loss'].item():.3f}")
                values = {name: accelerator.reduce(loss.detach(), "mean").item() for name, loss in losses.items()}
                values |= {"grad_norm": float(grad_norm), "temperature": 1 / outputs.logit_scale.item()}
                accelerator.log({"epoch": progress.epoch, **values, "lr": scheduler.get_last_lr()[0]}, progress.step)
                if progress.step % settings.save_steps == 0:
                    save_state(accelerator, output_dir / "states", progress, settings)
        progress.epoch, progress.batch = progress.epoch + 1, 0
        score = validate(settings, accelerator, model, processor, validation_pairs, progress)
        if score >= progress.best_score:
            progress.best_score = score
            save_checkpoint(accelerator, model, processor, output_dir, settings)
    save_checkpoint(accelerator, model, processor, output_dir / "last", settings)
    accelerator.end_training()
    if accelerator.is_main_process:
        shutil.rmtree(output_dir / "states", ignore_errors=True)


def validate(
    settings: TrainingSettings,
    accelerator: Accelerator,
    model: torch.nn.Module,
    processor: GeomCLIPProcessor,
    pairs: Dataset | None,
    progress: Progress,
) -> float:
    """Mean reciprocal rank over both directions; 0 without validation pairs: then the last checkpoint is the best."""
    score = torch.zeros(1, device=accelerator.device)
    if pairs is not None and accelerator.is_main_process:
        unwrapped = accelerator.unwrap_model(model)
        evaluation = evaluate_retrieval(unwrapped, processor, pairs, settings.batch_size, settings.seed, 0, False)
        metrics = evaluation["metrics"]["model"]
        accelerator.log({"epoch": progress.epoch, **metrics}, progress.step)
        for direction in ("geometry_to_text", "text_to_geometry"):
            score += metrics[f"{direction}_full_mean_reciprocal_rank"] / 2
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


def run(settings: TrainingSettings, build=build_model) -> None:
    """Read the pairs, build the model, train it."""
    Path(settings.output_dir).mkdir(parents=True, exist_ok=True)
    accelerator = build_accelerator(settings)
    given = {name: value for name, value in dataclasses.asdict(settings).items() if value is not None}
    accelerator.init_trackers("geomclip", given)
    if settings.report_to != "none":
        accelerator.get_tracker(settings.report_to)  # a tracker whose package is missing would log nothing in silence
    set_seed(settings.seed)
    model, processor = build(settings)
    if settings.gradient_checkpointing:
        model.activation_checkpointing_enable()
    with accelerator.main_process_first():
        pairs = load_prepared(settings, processor, settings.train_split)
        has_validation = settings.validation_split != "none"
        validation_pairs = load_prepared(settings, processor, settings.validation_split) if has_validation else None
    if len(pairs) < settings.batch_size:
        raise ValueError(f"{len(pairs)} pairs do not fill one batch of {settings.batch_size}; lower --batch_size")
    train(settings, accelerator, model, processor, pairs, validation_pairs)


def main(argv: list[str]) -> None:
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    run(parse_settings(argv))


if __name__ == "__main__":
    main(sys.argv[1:])
