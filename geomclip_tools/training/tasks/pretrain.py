"""Contrastive and denoising pre-training of GeomCLIP."""

import dataclasses
import logging
import re
from collections.abc import Mapping
from pathlib import Path
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

from ...evaluation.retrieval import evaluate_retrieval
from ...loading import check_kind
from ...noise import draw_noise
from ..cached_gradients import cached_backward, split_batch
from ..collators import identify_pairs
from ..freezing import freeze_heads_without_loss
from ..grouping import choose_training_budget
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
    """Settings of contrastive and denoising pre-training.

    A model setting that is None keeps the value of the checkpoint. For a new model, it takes the default of its
    configuration.
    """

    model: str | None = setting(
        "Folder or Hub id of the GeomCLIP to train further. If omitted, a new model is built from two towers.",
        default=None,
    )
    text_learning_rate: float | None = setting(
        "Peak learning rate of the text tower. If omitted, --learning_rate is used. 0 freezes the text tower, so that "
        "each text is encoded only once.",
        default=None,
    )
    text_layer_decay: float = setting(
        "Layer-wise learning rate decay of the text tower: the ratio of the learning rate of a layer to that of the "
        "layer above it.",
        default=1.0,
    )
    text_dropout: float | None = setting(
        "Dropout probability of the text tower. If omitted, that of its configuration is used.", default=None
    )
    sentence_sampling: float = setting(
        "Probability, per text and epoch, of replacing a text by a random subset of its sentences in random order.",
        default=0.0,
    )
    text_target_weight: float = setting(
        "Weight of an auxiliary loss: training-only heads predict the ECFP4 bits, functional groups and elements of a "
        "molecule from the embedding of its text. 0 disables it. Requires the column `smiles`.",
        default=0.0,
    )
    soft_label_temperature: float = setting(
        "Temperature of soft labels for the contrastive loss: a softmax over the ECFP4 Tanimoto similarities between "
        "the molecules of a batch. 0 uses hard labels, where only the paired molecule is correct. Requires the column "
        "`smiles`.",
        default=0.0,
    )
    neighbours: int = setting(
        "Number of rows with similar structures (by ECFP4) to put together in a batch as hard negatives. Rows with "
        "identical ECFP4 are then not negatives of each other. 1 disables it. Requires the column `smiles`.",
        default=1,
    )
    contrastive_batch_size: int | None = setting(
        "Number of pairs in the contrastive loss, over all processes, if more than --batch_size; must be a multiple of "
        "it. Pairs are encoded in chunks of --batch_size, in two passes (GradCache).",
        default=None,
    )
    pair_budget: int | None = setting(
        "Maximum molecules * rows² per pass of the geometry tower; batches are split into groups of similar size. If "
        "omitted, a value that suits the device is used.",
        default=None,
    )
    token_budget: int = setting("Maximum texts * tokens per pass of the text tower.", default=8192)
    denoising_loss_weight: float | None = setting(
        "Weight alpha of the denoising loss in L = L_contrastive + alpha * L_denoising.", default=None
    )
    learnable_temperature: bool | None = setting("Whether to train the temperature.", default=None)
    geometry_model: str | None = setting(
        "New model: geometry tower to start from, as a folder, a Hub id or a Uni-Mol checkpoint (.pt). A .json "
        "configuration starts from random weights; so does omitting it, with the shape of Uni-Mol.",
        default=None,
    )
    text_model: str | None = setting(
        "New model: folder or Hub id of the text tower. If omitted, SciBERT is used.", default=None
    )
    projection_dim: int | None = setting("New model: dimension of the joint embedding space.", default=None)
    geometry_pooling: str | None = setting(
        "New model: pooling of the geometry tower: mean, cls, counting or attention.", default=None
    )
    text_pooling: str | None = setting("New model: pooling of the text tower: cls or mean.", default=None)
    temperature: float | None = setting("New model: initial temperature of the contrastive loss.", default=None)
    remove_hydrogens: bool | None = setting("New model: whether to remove hydrogens from the geometries.", default=None)
    max_atoms: int | None = setting(
        "New model: maximum number of atoms. Larger molecules are skipped and counted.", default=None
    )
    max_text_tokens: int | None = setting(
        "New model: maximum tokens per text. Longer texts are truncated.", default=None
    )

    def __post_init__(self):
        super().__post_init__()
        if self.model is None and self.text_model is None:
            object.__setattr__(self, "text_model", "allenai/scibert_scivocab_uncased")  # the record holds the choice
        if self.rows_per_batch % self.batch_size:
            below = self.rows_per_batch // self.batch_size * self.batch_size
            raise ValueError(
                f"--contrastive_batch_size is {self.contrastive_batch_size}; it must be a multiple of --batch_size "
                f"{self.batch_size}, such as {below or self.batch_size}"
            )
        if self.neighbours < 1 or self.rows_per_batch % self.neighbours:
            raise ValueError(
                f"--neighbours is {self.neighbours}; it must be at least 1 and divide the batch of "
                f"{self.rows_per_batch} rows"
            )
        for name in ("text_target_weight", "soft_label_temperature"):
            if (value := getattr(self, name)) < 0:
                raise ValueError(f"--{name} is {value}; it must be at least 0")
        if not 0 <= self.sentence_sampling <= 1:
            raise ValueError(f"--sentence_sampling is {self.sentence_sampling}; it must be in [0, 1]")
        if not 0 < self.text_layer_decay <= 1:
            raise ValueError(f"--text_layer_decay is {self.text_layer_decay}; it must be above 0 and at most 1")
        if self.text_learning_rate == 0 and self.sentence_sampling:
            raise ValueError(
                "--sentence_sampling does not work with --text_learning_rate 0, which encodes each text only once; "
                "omit one of them"
            )

    @property
    def rows_per_batch(self) -> int:
        """Number of pairs in the contrastive loss, on all processes together."""
        return self.contrastive_batch_size or self.batch_size

    @property
    def needs_structure(self) -> bool:
        """Whether a setting needs the structure of the molecules, from the column `smiles`."""
        return self.reads_structure or self.neighbours > 1

    @property
    def reads_structure(self) -> bool:
        """Whether the loss needs the structure of the molecules."""
        return self.text_target_weight > 0 or self.soft_label_temperature > 0


class Pretraining(Task):
    """Pre-training on pairs of geometry and text, with L = L_contrastive + alpha * L_denoising.

    The best checkpoint has the highest mean reciprocal rank in retrieval on validation.
    """

    settings_class = PretrainSettings
    settings: PretrainSettings
    pooled_texts: dict[str, Tensor] | None = None  # by text, if the text tower is frozen

    def __init__(self, settings: PretrainSettings):
        super().__init__(settings)
        if settings.needs_structure:
            self.columns, self.derived_columns = ("text", "smiles"), TEXT_TARGETS

    def derive(self, row: dict, molecule: dict) -> dict[str, Any]:
        """Label the structure of the molecule, if a setting needs it."""
        return label_text_targets(row["smiles"]) if self.settings.needs_structure else {}

    def list_fingerprints(self, rows: Dataset) -> list[list[int]] | None:
        """Return the set ECFP4 bits of each row, if batches need hard negatives."""
        return rows["fingerprint"][:] if self.settings.neighbours > 1 else None

    def build(self) -> tuple[ContrastiveStep, GeomCLIPProcessor]:
        """Build the model and freeze the parameters without a loss and, if its learning rate is 0, the text tower."""
        model, self.processor = build_model(self.settings)
        self.config = model.config
        if self.settings.text_dropout is not None:
            set_dropout(model.text_model, self.settings.text_dropout)
        if self.settings.mixed_precision == "bf16" and not torch.accelerator.is_available():
            model.text_model.set_attn_implementation("eager")  # PyTorch's SDPA has a slow gradient in bfloat16 on CPUs
        model.logit_scale.requires_grad_(self.config.learnable_temperature)
        model.denoising_head.requires_grad_(self.config.denoising_loss_weight > 0)
        freeze_heads_without_loss(model.denoising_head)
        if self.settings.text_learning_rate == 0:
            model.text_model.requires_grad_(False)
        return ContrastiveStep(model, self.settings.text_target_weight > 0), self.processor

    def unwrap(self, step: ContrastiveStep) -> GeomCLIPForPreTraining:
        """Return the model without training-only heads."""
        return step.model

    def prepare(self, step: ContrastiveStep, rows: Dataset) -> None:
        """Encode every training text once, if the text tower is frozen."""
        if self.settings.text_learning_rate == 0:
            self.pooled_texts = pool_texts(step.model, self.processor, rows["text"][:], self.settings.batch_size)

    def choose_learning_rate(self, name: str) -> float:
        """Return the peak learning rate of a parameter, with layer-wise decay in the text tower."""
        settings = self.settings
        if not name.startswith("model.text_model."):
            return settings.learning_rate
        rate = settings.learning_rate if settings.text_learning_rate is None else settings.text_learning_rate
        return rate * settings.text_layer_decay ** self.count_layers_above(name)

    def count_layers_above(self, name: str) -> int:
        """Count the layers of the text tower above a parameter; embeddings are below all layers."""
        num_layers, layer = self.config.text_config.num_hidden_layers, re.search(r"\.(\d+)\.", name)
        if layer:
            return num_layers - 1 - int(layer[1])
        return num_layers if "embed" in name else 0

    def collate(self, processor: GeomCLIPProcessor, rows: list[dict], epoch: int) -> dict[str, Tensor]:
        """Collate geometries, their noise, texts, structure labels and ids of molecules and texts.

        With a frozen text tower, the pooled states of the texts replace their tokens.
        """
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
        """Collate the geometries of rows."""
        return processor(molecules=rows, return_tensors="pt")

    def forward(self, model: torch.nn.Module, batch: dict[str, Tensor], denoise: bool = True) -> ContrastiveOutput:
        """Embed the pairs of a batch and, if `denoise`, denoise its geometries."""
        pair_budget = self.settings.pair_budget or choose_training_budget(batch["atom_ids"].device)
        budgets = {"pair_budget": pair_budget, "token_budget": self.settings.token_budget}
        if isinstance(model, FSDPModule):  # every process must run the layers equally often
            budgets = {}
        return model(batch, **budgets, denoise=denoise)

    @property
    def loss_settings(self) -> tuple[float, float, float]:
        """Arguments of `combine_losses`: the weights of denoising and text targets, and the soft label temperature."""
        settings = self.settings
        return self.config.denoising_loss_weight, settings.text_target_weight, settings.soft_label_temperature

    def compute_losses(self, outputs: ContrastiveOutput, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return the losses of the batches of all processes, see `combine_losses`."""
        return combine_losses(outputs, batch, *self.loss_settings)

    def backward(self, accelerator: Accelerator, model: torch.nn.Module, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Accumulate the gradients of a batch, in chunks if it is larger than `batch_size`."""
        num_parts = self.settings.rows_per_batch // self.settings.batch_size
        if num_parts == 1:
            return super().backward(accelerator, model, batch)
        parts = split_batch(batch, num_parts)
        return cached_backward(self.forward, *self.loss_settings, accelerator, model, parts)

    def validate(self, step: ContrastiveStep, processor: Any, rows: Dataset) -> tuple[float, dict[str, float]]:
        """Return the mean reciprocal rank, averaged over both retrieval directions, and all metrics."""
        settings = {"seed": self.settings.seed, "num_bootstrap": 0, "encode_texts": self.embed_texts}
        evaluation = evaluate_retrieval(step.model, processor, rows, **settings)
        metrics = evaluation["metrics"]["model"]
        directions = ("geometry_to_text", "text_to_geometry")
        return sum(metrics[f"{direction}_full_mean_reciprocal_rank"] for direction in directions) / 2, metrics

    def embed_texts(self, model: GeomCLIPModel, processor: GeomCLIPProcessor, texts: list[str]) -> Tensor:
        """Embed texts, reusing the pooled states of a frozen text tower."""
        if self.pooled_texts is None:
            return embed_texts(model, processor, texts)
        if unread := [text for text in texts if text not in self.pooled_texts]:
            self.pooled_texts |= pool_texts(model, processor, unread, self.settings.batch_size)
        with inference(model):
            pooled = torch.stack([self.pooled_texts[text] for text in texts])
            return model.project_text(pooled.to(model.device)).float().cpu()


def build_model(settings: PretrainSettings) -> tuple[GeomCLIPForPreTraining, GeomCLIPProcessor]:
    """Load the GeomCLIP to train further, or build a new one from two towers.

    Raises:
        ValueError: `model` is combined with settings of a new model, or a source is not a checkpoint.
    """
    config = settings.choose("denoising_loss_weight", "learnable_temperature")
    shape = settings.choose("projection_dim", "geometry_pooling", "text_pooling", "temperature")
    reading = settings.choose("remove_hydrogens", "max_atoms")
    if settings.model:
        if fixed := [*shape, *reading, *settings.choose("geometry_model", "text_model", "max_text_tokens")]:
            raise ValueError(f"--model {settings.model} already has its own {', '.join(fixed)}; omit these settings")
        return load_geomclip(settings.model, **config), AutoProcessor.from_pretrained(settings.model)
    check_text_model(settings.text_model)
    tower = load_geometry_tower(settings.geometry_model)
    model = GeomCLIPForPreTraining.from_geometry_text_pretrained(tower, settings.text_model, **config, **shape)
    tokenizer = AutoTokenizer.from_pretrained(settings.text_model)
    if settings.max_text_tokens is not None:
        tokenizer.model_max_length = settings.max_text_tokens
    return model, GeomCLIPProcessor(load_feature_extractor(settings.geometry_model, **reading), tokenizer)


def check_text_model(source: str) -> None:
    """Check that a folder given as text tower holds a model, before anything is loaded.

    Raises:
        ValueError: the folder has no config.json.
    """
    folder, names = Path(source), ("config.json", "adapter_config.json")
    if folder.is_dir() and not any((folder / name).is_file() for name in names):
        raise ValueError(
            f"--text_model is the folder {source}, which has no config.json; pass the folder or Hub id of a text "
            "encoder with its tokenizer, such as allenai/scibert_scivocab_uncased"
        )


def load_geomclip(source: str, **config) -> GeomCLIPForPreTraining:
    """Load a GeomCLIP to train further, in float32. Denoising heads that were not saved are newly initialised.

    Raises:
        ValueError: there is no checkpoint, or it is not a GeomCLIP.
    """
    check_kind(source, "geomclip", "has no text tower; pass a GeomCLIP, or pass the tower as --geometry_model")
    settings = {"dtype": torch.float32, "output_loading_info": True, **config}
    model, loading = AutoModelForPreTraining.from_pretrained(source, **settings)
    if loading["missing_keys"]:
        logger.warning("%s has no denoising heads; they are newly initialised", source)
    return model


def set_dropout(model: torch.nn.Module, probability: float) -> None:
    """Set the probability of all dropout in a model, including that of its attention."""
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = probability
        if isinstance(getattr(module, "attention_dropout", None), float):  # read by attention functions
            module.attention_dropout = probability


def pool_texts(model: GeomCLIPModel, processor: GeomCLIPProcessor, texts: list[str], batch_size: int) -> dict:
    """Encode each distinct text once.

    Returns:
        the pooled state of each text, (text hidden_size,) on the CPU, for `GeomCLIPModel.project_text`.
    """
    distinct = sorted(set(texts), key=lambda text: (len(text), text))
    batches = [distinct[start : start + batch_size] for start in range(0, len(distinct), batch_size)]
    pooled = {}
    with inference(model):
        for batch in tqdm(batches, desc="texts", disable=not PartialState().is_main_process):
            inputs = processor(text=batch, return_tensors="pt").to(model.device)
            states = model.text_model(**inputs).last_hidden_state
            pooled.update(zip(batch, model.pool_text(states, inputs["attention_mask"]).cpu(), strict=True))
    return pooled
