"""Contrastive and denoising pre-training of GeomCLIP."""

import dataclasses
import logging
import re
from collections.abc import Mapping
from typing import Any

import torch
from accelerate import Accelerator, PartialState
from datasets import Dataset
from torch import Tensor
from torch.distributed.fsdp import FSDPModule
from tqdm.auto import tqdm
from transformers import AutoModelForPreTraining, AutoProcessor, AutoTokenizer

from modeling_geomclip import (
    GeomCLIPForPreTraining,
    GeomCLIPModel,
    GeomCLIPProcessor,
    embed_texts,
)
from modeling_geomclip.embedding_geomclip import inference
from modeling_geomclip.grouping_geomclip import choose_pair_budget

from ...evaluation.retrieval import evaluate_retrieval
from ...loading import check_kind
from ...noise import draw_noise
from ..cached_gradients import cached_backward, split_batch
from ..collators import identify_pairs
from ..freezing import freeze_heads_without_loss
from ..identity import hash_id
from ..settings import TrainingSettings, setting
from ..steps import GEOMETRY, ContrastiveOutput, ContrastiveStep, combine_losses
from ..structure_labels import TEXT_TARGETS, collate_text_targets, label_text_targets
from ..text_sampling import sample_sentences
from ..towers import load_feature_extractor, load_geometry_tower
from .base import Task

logger = logging.getLogger("geomclip")


@dataclasses.dataclass(frozen=True, kw_only=True)
class PretrainSettings(TrainingSettings):
    """Contrastive and denoising pre-training. What is left out is the checkpoint's, or a new model's default."""

    model: str | None = setting("GeomCLIP folder or Hub id to go on from.", default=None)
    text_learning_rate: float | None = setting(
        "Peak learning rate of the text tower, if another; 0 locks it, as it is: it reads every text once.",
        default=None,
    )
    text_layer_decay: float = setting(
        "Learning rate of a layer of the text tower, as a share of that of the layer above it.", default=1.0
    )
    text_dropout: float | None = setting("Dropout of the text tower, if another than its own.", default=None)
    sentence_sampling: float = setting(
        "Probability that a text is reduced, for an epoch, to some of its sentences in random order.", default=0.0
    )
    text_target_weight: float = setting(
        "Weight of reading the molecule's ECFP4, functional groups and elements off the embedding of its text, by a "
        "head that is thrown away; needs `smiles`.",
        default=0.0,
    )
    soft_label_temperature: float = setting(
        "Temperature of a softmax over the ECFP4 Tanimoto similarities of a batch, which a text is to reach in place "
        "of its own molecule alone; 0 for none. Needs `smiles`.",
        default=0.0,
    )
    neighbours: int = setting(
        "Rows of like structure, by ECFP4, that stand together in a batch as hard negatives; equal ones are none. "
        "Needs `smiles`.",
        default=1,
    )
    contrastive_batch_size: int | None = setting(
        "Pairs that are contrasted, over all processes, if more than fit into memory at once: a multiple of "
        "batch_size, of which so many are encoded at a time, twice.",
        default=None,
    )
    pair_budget: int | None = setting(
        "Molecules * rows² that the geometry tower takes at once; left out, what suits the device.", default=None
    )
    token_budget: int = setting("Texts * tokens that the text tower takes at once.", default=4096)
    denoising_loss_weight: float | None = setting("alpha in L = L_contrastive + alpha * L_denoising.", default=None)
    learnable_temperature: bool | None = setting("Whether the temperature is trained.", default=None)
    geometry_model: str | None = setting(
        "New model: geometry tower, a folder, Hub id, Uni-Mol's .pt, or a .json configuration to start from scratch.",
        default=None,
    )
    text_model: str | None = setting("New model: text tower, a folder or Hub id; left out, SciBERT.", default=None)
    projection_dim: int | None = setting("New model: size of the joint space.", default=None)
    geometry_pooling: str | None = setting("New model: mean, cls, counting or attention.", default=None)
    text_pooling: str | None = setting("New model: cls or mean.", default=None)
    temperature: float | None = setting("New model: start value.", default=None)
    remove_hydrogens: bool | None = setting("New model: whether to read heavy atoms only.", default=None)
    max_atoms: int | None = setting("New model: larger molecules are left out and counted.", default=None)
    max_text_tokens: int | None = setting("New model: longer texts are cut.", default=None)

    def __post_init__(self):
        super().__post_init__()
        if self.model is None and self.text_model is None:
            object.__setattr__(self, "text_model", "allenai/scibert_scivocab_uncased")  # so that the record names it
        if self.rows_per_batch % self.batch_size:
            raise ValueError(
                f"--contrastive_batch_size {self.contrastive_batch_size} is no multiple of --batch_size "
                f"{self.batch_size}; {self.rows_per_batch // self.batch_size * self.batch_size or self.batch_size} is"
            )
        if self.neighbours < 1 or self.rows_per_batch % self.neighbours:
            raise ValueError(
                f"--neighbours is {self.neighbours}; give 1 or more, of which a batch of {self.rows_per_batch} is a "
                "multiple"
            )
        for name in ("text_target_weight", "soft_label_temperature"):
            if (value := getattr(self, name)) < 0:
                raise ValueError(f"--{name} is {value}; give 0 or more")
        if not 0 <= self.sentence_sampling <= 1 or not 0 < self.text_layer_decay <= 1:
            raise ValueError(
                f"--sentence_sampling {self.sentence_sampling} must lie in [0, 1] and --text_layer_decay "
                f"{self.text_layer_decay} in (0, 1]"
            )
        if self.text_learning_rate == 0 and self.sentence_sampling:
            raise ValueError(
                "--sentence_sampling needs a text tower that reads its texts in every epoch; leave out "
                "--text_learning_rate 0"
            )

    @property
    def rows_per_batch(self) -> int:
        return self.contrastive_batch_size or self.batch_size

    @property
    def needs_structure(self) -> bool:
        """Whether the molecules' structure is read from the column `smiles`."""
        return self.reads_structure or self.neighbours > 1

    @property
    def reads_structure(self) -> bool:
        """Whether the loss needs it."""
        return self.text_target_weight > 0 or self.soft_label_temperature > 0


class Pretraining(Task):
    """L = L_contrastive + alpha * L_denoising over pairs of geometry and text; chosen by retrieval."""

    settings_class = PretrainSettings
    settings: PretrainSettings
    pooled_texts: dict[str, Tensor] | None = None  # of a text tower that is not trained

    def __init__(self, settings: PretrainSettings):
        super().__init__(settings)
        if settings.needs_structure:
            self.columns, self.derived_columns = ("text", "smiles"), TEXT_TARGETS

    def derive(self, row: dict, molecule: dict) -> dict[str, Any]:
        return label_text_targets(row["smiles"]) if self.settings.needs_structure else {}

    def list_fingerprints(self, rows: Dataset) -> list[list[int]] | None:
        return rows["fingerprint"][:] if self.settings.neighbours > 1 else None

    def build(self) -> tuple[ContrastiveStep, GeomCLIPProcessor]:
        model, self.processor = build_model(self.settings)
        self.config = model.config
        if self.settings.text_dropout is not None:
            set_dropout(model.text_model, self.settings.text_dropout)
        model.logit_scale.requires_grad_(self.config.learnable_temperature)
        model.denoising_head.requires_grad_(self.config.denoising_loss_weight > 0)
        freeze_heads_without_loss(model.denoising_head)
        if self.settings.text_learning_rate == 0:
            model.text_model.requires_grad_(False)
        return ContrastiveStep(model, self.settings.text_target_weight > 0), self.processor

    def unwrap(self, step: ContrastiveStep) -> GeomCLIPForPreTraining:
        return step.model

    def prepare(self, step: ContrastiveStep, rows: Dataset) -> None:
        """A locked text tower reads every text once, now."""
        if self.settings.text_learning_rate == 0:
            self.pooled_texts = pool_texts(step.model, self.processor, rows["text"][:], self.settings.batch_size)

    def choose_learning_rate(self, name: str) -> float:
        settings = self.settings
        if not name.startswith("model.text_model."):
            return settings.learning_rate
        rate = settings.learning_rate if settings.text_learning_rate is None else settings.text_learning_rate
        return rate * settings.text_layer_decay ** self.count_layers_above(name)

    def count_layers_above(self, name: str) -> int:
        """Layers of the text tower above the one that a parameter is of; below all are the embeddings."""
        num_layers, layer = self.config.text_config.num_hidden_layers, re.search(r"\.(\d+)\.", name)
        if layer:
            return num_layers - 1 - int(layer[1])
        return num_layers if "embed" in name else 0

    def collate(self, processor: GeomCLIPProcessor, rows: list[dict], epoch: int) -> dict[str, Tensor]:
        seeds = [hash_id(f"{self.settings.seed} {epoch} {row['row_id']}") for row in rows]
        texts = [row["text"] for row in rows]
        if self.pooled_texts is None:
            read = [sample_sentences(text, self.settings.sentence_sampling, seed) for text, seed in zip(texts, seeds)]
            text_batch = processor(text=read, return_tensors="pt")
        else:
            text_batch = {"pooled_text": torch.stack([self.pooled_texts[text] for text in texts])}
        geometry = dict(self.collate_geometries(processor, rows))
        if self.config.denoising_loss_weight > 0:
            noised = (geometry[name] for name in GEOMETRY)
            geometry |= draw_noise(*noised, torch.tensor(seeds), self.config.geometry_config)
        structure = collate_text_targets(rows) if self.settings.reads_structure else {}
        if self.settings.neighbours > 1:
            structure["structure_ids"] = torch.tensor([hash_id(str(sorted(row["fingerprint"]))) for row in rows])
        return {**geometry, **text_batch, **structure, **identify_pairs(rows)}

    def collate_geometries(self, processor: GeomCLIPProcessor, rows: list[dict]) -> Mapping[str, Tensor]:
        return processor(molecules=rows, return_tensors="pt")

    def forward(self, model: torch.nn.Module, batch: dict[str, Tensor], denoise: bool = True) -> ContrastiveOutput:
        pair_budget = self.settings.pair_budget or choose_pair_budget(batch["atom_ids"].device)
        budgets = {"pair_budget": pair_budget, "token_budget": self.settings.token_budget}
        if isinstance(model, FSDPModule):  # every process has to run the layers equally often
            budgets = {}
        return model(batch, **budgets, denoise=denoise)

    @property
    def loss_settings(self) -> tuple[float, float, float]:
        """What `combine_losses` takes: weights of denoising and of the targets of texts, temperature of soft labels."""
        settings = self.settings
        return self.config.denoising_loss_weight, settings.text_target_weight, settings.soft_label_temperature

    def compute_losses(self, outputs: ContrastiveOutput, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        return combine_losses(outputs, batch, *self.loss_settings)

    def backward(self, accelerator: Accelerator, model: torch.nn.Module, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        num_parts = self.settings.rows_per_batch // self.settings.batch_size
        if num_parts == 1:
            return super().backward(accelerator, model, batch)
        parts = split_batch(batch, num_parts)
        return cached_backward(self.forward, *self.loss_settings, accelerator, model, parts)

    def validate(self, step: ContrastiveStep, processor: Any, rows: Dataset) -> tuple[float, dict[str, float]]:
        """Mean reciprocal rank over both directions."""
        settings = {"seed": self.settings.seed, "num_bootstrap": 0, "encode_texts": self.embed_texts}
        evaluation = evaluate_retrieval(step.model, processor, rows, **settings)
        metrics = evaluation["metrics"]["model"]
        directions = ("geometry_to_text", "text_to_geometry")
        return sum(metrics[f"{direction}_full_mean_reciprocal_rank"] for direction in directions) / 2, metrics

    def embed_texts(self, model: GeomCLIPModel, processor: GeomCLIPProcessor, texts: list[str]) -> Tensor:
        """As `embed_texts`, but what a locked text tower has read it does not read again."""
        if self.pooled_texts is None:
            return embed_texts(model, processor, texts)
        if unread := [text for text in texts if text not in self.pooled_texts]:
            self.pooled_texts |= pool_texts(model, processor, unread, self.settings.batch_size)
        with inference(model):
            pooled = torch.stack([self.pooled_texts[text] for text in texts])
            return model.project_text(pooled.to(model.device)).float().cpu()


def build_model(settings: PretrainSettings) -> tuple[GeomCLIPForPreTraining, GeomCLIPProcessor]:
    """Load the GeomCLIP to go on from, or join two towers to a new one."""
    config = settings.choose("denoising_loss_weight", "learnable_temperature")
    shape = settings.choose("projection_dim", "geometry_pooling", "text_pooling", "temperature")
    reading = settings.choose("remove_hydrogens", "max_atoms")
    if settings.model:
        if fixed := [*shape, *reading, *settings.choose("geometry_model", "text_model", "max_text_tokens")]:
            raise ValueError(f"--model {settings.model} has its own {', '.join(fixed)}; leave these settings out")
        return load_geomclip(settings.model, **config), AutoProcessor.from_pretrained(settings.model)
    tower = load_geometry_tower(settings.geometry_model)
    model = GeomCLIPForPreTraining.from_geometry_text_pretrained(tower, settings.text_model, **config, **shape)
    tokenizer = AutoTokenizer.from_pretrained(settings.text_model)
    if settings.max_text_tokens is not None:
        tokenizer.model_max_length = settings.max_text_tokens
    return model, GeomCLIPProcessor(load_feature_extractor(settings.geometry_model, **reading), tokenizer)


def load_geomclip(source: str, **config) -> GeomCLIPForPreTraining:
    """A GeomCLIP to train further, in float32; one that was saved without heads gets new ones.

    Raises:
        ValueError: it is another model.
    """
    check_kind(source, "geomclip", "has no text tower; give a GeomCLIP, or the tower as --geometry_model")
    settings = {"dtype": torch.float32, "output_loading_info": True, **config}
    model, loading = AutoModelForPreTraining.from_pretrained(source, **settings)
    if loading["missing_keys"]:
        logger.warning("%s has no denoising heads; new ones start from random weights", source)
    return model


def set_dropout(model: torch.nn.Module, probability: float) -> None:
    """Have all of a model's dropout, and that of its attention, drop out so much."""
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = probability
        if isinstance(getattr(module, "attention_dropout", None), float):  # that attention functions read
            module.attention_dropout = probability


def pool_texts(model: GeomCLIPModel, processor: GeomCLIPProcessor, texts: list[str], batch_size: int) -> dict:
    """{text: its pooled state (text hidden_size,), on the CPU}, as `GeomCLIPModel.project_text` takes them."""
    distinct = sorted(set(texts), key=lambda text: (len(text), text))
    batches = [distinct[start : start + batch_size] for start in range(0, len(distinct), batch_size)]
    pooled = {}
    with inference(model):
        for batch in tqdm(batches, desc="texts", disable=not PartialState().is_main_process):
            inputs = processor(text=batch, return_tensors="pt").to(model.device)
            states = model.text_model(**inputs).last_hidden_state
            pooled.update(zip(batch, model.pool_text(states, inputs["attention_mask"]).cpu(), strict=True))
    return pooled
