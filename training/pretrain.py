"""Contrastive and denoising pre-training of GeomCLIP."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import torch
from accelerate import Accelerator, PartialState
from datasets import Dataset
from torch import Tensor
from torch.distributed.fsdp import FSDPModule
from tqdm.auto import tqdm
from transformers import AutoModel, AutoProcessor, AutoTokenizer

from eval.retrieval import evaluate_retrieval
from modeling_geomclip import (
    GeomCLIPModel,
    GeomCLIPOutput,
    GeomCLIPProcessor,
    contrastive_loss,
    embed_texts,
)
from modeling_geomclip.embedding_geomclip import inference
from modeling_geomclip.geometry_geomclip import default_pair_budget

from .cached_gradients import cached_backward, split_batch
from .rows import id_hash
from .settings import TrainingSettings, setting
from .task import Task, gather, share_of_mean
from .towers import feature_extractor, geometry_tower


@dataclasses.dataclass(frozen=True, kw_only=True)
class PretrainSettings(TrainingSettings):
    """Contrastive and denoising pre-training. What is left out is the checkpoint's, or a new model's default."""

    model: str | None = setting("GeomCLIP folder or Hub id to go on from.", default=None)
    text_learning_rate: float | None = setting(
        "Peak learning rate of the text tower, if another; 0 locks it, as it is: it reads every text once.",
        default=None,
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
    geometry_pooling: str | None = setting("New model: mean or cls.", default=None)
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

    @property
    def rows_per_batch(self) -> int:
        return self.contrastive_batch_size or self.batch_size


class Pretraining(Task):
    """L = L_contrastive + alpha * L_denoising over pairs of geometry and text; chosen by retrieval."""

    settings_class = PretrainSettings
    settings: PretrainSettings
    pooled_texts: dict[str, Tensor] | None = None  # of a text tower that is not trained

    def build(self) -> tuple[GeomCLIPModel, GeomCLIPProcessor]:
        model, processor = build_model(self.settings)
        self.denoising_loss_weight = model.config.denoising_loss_weight
        if self.settings.text_learning_rate == 0:
            model.text_model.requires_grad_(False)
        self.processor = processor
        return model, processor

    def prepare(self, model: GeomCLIPModel, rows: Dataset) -> None:
        """A locked text tower reads every text once, now."""
        if self.settings.text_learning_rate == 0:
            self.pooled_texts = pool_texts(model, self.processor, rows["text"][:], self.settings.batch_size)

    def learning_rate(self, name: str) -> float:
        is_own = name.startswith("text_model.") and self.settings.text_learning_rate is not None
        return self.settings.text_learning_rate if is_own else self.settings.learning_rate

    def collate(self, processor: GeomCLIPProcessor, rows: list[dict], epoch: int) -> dict[str, Tensor]:
        texts = [row["text"] for row in rows]
        if self.pooled_texts is None:
            text_batch = processor(text=texts, return_tensors="pt")
        else:
            text_batch = {"pooled_text": torch.stack([self.pooled_texts[text] for text in texts])}
        return {
            **self.geometry_batch(processor, rows),
            **text_batch,
            "molecule_ids": torch.tensor([id_hash(row["inchikey14"]) for row in rows]),
            "text_ids": torch.tensor([id_hash(row["text"]) for row in rows]),
            "noise_seeds": torch.tensor([id_hash(f"{self.settings.seed} {epoch} {row['row_id']}") for row in rows]),
        }

    def geometry_batch(self, processor: GeomCLIPProcessor, rows: list[dict]) -> Mapping[str, Tensor]:
        return processor(molecules=rows, return_tensors="pt")

    def forward(self, model: torch.nn.Module, batch: dict[str, Tensor], denoise: bool = True) -> GeomCLIPOutput:
        pair_budget = self.settings.pair_budget or default_pair_budget(batch["atom_ids"].device)
        budgets = {"pair_budget": pair_budget, "token_budget": self.settings.token_budget}
        if isinstance(model, FSDPModule):  # every process has to run the layers equally often
            budgets = {}
        return model(**batch, **budgets, return_loss=False, denoise=denoise)

    def losses(self, outputs: GeomCLIPOutput, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        losses = joint_loss(outputs, batch, self.denoising_loss_weight)
        return losses | {"temperature": 1 / outputs.logit_scale}

    def backward(self, accelerator: Accelerator, model: torch.nn.Module, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        num_parts = self.settings.rows_per_batch // self.settings.batch_size
        if num_parts == 1:
            return super().backward(accelerator, model, batch)
        parts = split_batch(batch, num_parts)
        return cached_backward(self, accelerator, model, parts)

    def validate(self, model: GeomCLIPModel, processor: Any, rows: Dataset) -> tuple[float, dict[str, float]]:
        """Mean reciprocal rank over both directions."""
        settings = {"seed": self.settings.seed, "num_bootstrap": 0, "encode_texts": self.embed_texts}
        evaluation = evaluate_retrieval(model, processor, rows, **settings)
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
    tower = geometry_tower(settings.geometry_model)
    model = GeomCLIPModel.from_geometry_text_pretrained(tower, settings.text_model, **config, **shape)
    tokenizer = AutoTokenizer.from_pretrained(settings.text_model)
    if settings.max_text_tokens is not None:
        tokenizer.model_max_length = settings.max_text_tokens
    return model, GeomCLIPProcessor(feature_extractor(settings.geometry_model, **reading), tokenizer)


@torch.no_grad()
def pool_texts(model: GeomCLIPModel, processor: GeomCLIPProcessor, texts: list[str], batch_size: int) -> dict:
    """{text: its pooled state (text hidden_size,), on the CPU}, as `GeomCLIPModel.forward` takes them."""
    distinct = sorted(set(texts), key=lambda text: (len(text), text))
    batches = [distinct[start : start + batch_size] for start in range(0, len(distinct), batch_size)]
    pooled, was_training = {}, model.training
    model.eval()
    for batch in tqdm(batches, desc="texts", disable=not PartialState().is_main_process):
        inputs = processor(text=batch, return_tensors="pt").to(model.device)
        states = model.text_model(**inputs).last_hidden_state
        pooled.update(zip(batch, model.pool_text(states, inputs["attention_mask"]).cpu(), strict=True))
    model.train(was_training)
    return pooled


def joint_loss(outputs: GeomCLIPOutput, batch: dict, denoising_loss_weight: float) -> dict[str, torch.Tensor]:
    """L = L_contrastive + alpha * L_denoising of the batch over all processes, on each of them.

    DDP averages gradients: the contrastive loss is whole on every process, the denoising loss of one process is
    scaled to its share of the chosen atoms.
    """
    ids = (gather(batch["molecule_ids"]), gather(batch["text_ids"]))
    embeds = (gather(outputs.geometry_embeds), gather(outputs.text_embeds))
    losses = {"contrastive_loss": contrastive_loss(*embeds, outputs.logit_scale, *ids)}
    losses["loss"] = losses["contrastive_loss"]
    if outputs.denoising_loss is not None:
        share = share_of_mean(outputs.num_chosen, outputs.denoising_loss.dtype)
        losses["denoising_loss"] = outputs.denoising_loss * share
        losses["loss"] = losses["contrastive_loss"] + denoising_loss_weight * losses["denoising_loss"]
    return losses
