"""Fine-tuning of a language model with LoRA to caption molecules that the geometry tower encodes."""

import dataclasses
import logging
import os
import random
import shutil
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from datasets import Dataset
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import Tensor
from transformers import AutoConfig, AutoModel, AutoModelForCausalLM, AutoProcessor, AutoTokenizer

from modeling_geomclip import (
    GeomCLIPCaptioningOutput,
    GeomCLIPCaptioningProcessor,
    GeomCLIPForCaptioning,
    GeomCLIPReferences,
    Neighbour,
    embed_molecules,
)
from modeling_geomclip.references_geomclip import hash_geometry_side

from ...evaluation.caption_generation import compute_caption_losses, list_prompt_inputs
from ...loading import check_kind
from ..decoders import prepare_decoder
from ..distributed import scale_to_mean
from ..identity import hash_id
from ..settings import TrainingSettings, setting
from .base import Task

logger = logging.getLogger("geomclip")

GEOMETRY = ["atomic_numbers", "positions"]
LINE_TOKENS = 16  # of the line of a neighbour, besides its caption
SPARE = 2  # neighbours to draw from, for each that a prompt contains


@dataclasses.dataclass(frozen=True, kw_only=True)
class CaptionSettings(TrainingSettings):
    """Settings of captioning. The column `text` of the dataset holds the captions."""

    model: str = setting("Folder or Hub id of the GeomCLIP whose geometry tower encodes the molecules.")
    decoder: str = setting("Causal language model to fine-tune: a folder, a Hub id, or a GGUF file or its folder.")
    geometry: str = setting("How to train the geometry tower: frozen, lora or full.", default="frozen")
    prefix: str = setting(
        "How the decoder reads the geometry, as a prefix of soft tokens: resampler, atoms, pooled or none.",
        default="resampler",
    )
    num_prefix_tokens: int = setting("Number of soft tokens of the resampler.", default=16)
    prompt: str = setting(
        "Prompt before the caption. {smiles} in it is replaced by the SMILES.", default="Describe the molecule:"
    )
    prompt_format: str = setting("Prompt format: plain, or chat to apply the decoder's chat template.", default="plain")
    max_caption_tokens: int = setting("Maximum tokens per caption. Longer captions are truncated.", default=128)
    num_neighbours: int = setting("Number of similar training molecules whose captions the prompt contains.", default=0)
    neighbour_order: str = setting("Order of the neighbours: nearest_first or nearest_last.", default="nearest_first")
    max_neighbour_tokens: int = setting("Maximum tokens of a neighbour's caption.", default=96)
    neighbour_dropout: float = setting(
        "Probability that training skips a neighbour, so that the decoder does not copy blindly. The next one of the "
        "2 x num_neighbours nearest takes its place.",
        default=0.2,
    )
    lora_rank: int = setting("LoRA rank.", default=16)
    lora_alpha: int = setting("LoRA alpha. The adapter is scaled by alpha / rank.", default=32)
    lora_dropout: float = setting("Dropout probability of the LoRA layers.", default=0.0)
    lora_layers: list[str] | None = setting(
        "Names of the decoder's linear layers with LoRA, such as q_proj v_proj. If omitted, all but the head.",
        default=None,
    )
    decoder_dtype: str = setting(
        "Data type of the frozen decoder: float32, bfloat16 or auto. auto uses bfloat16 if --mixed_precision is bf16.",
        default="auto",
    )
    torch_compile: bool = setting(
        "Compile the decoder's layers with torch.compile. On a CPU, needs a C++ compiler and uses eager attention.",
        default=False,
    )
    prefix_learning_rate: float | None = setting(
        "Peak learning rate of the resampler and the projector. If omitted, --learning_rate is used.", default=None
    )

    def __post_init__(self):
        super().__post_init__()
        if self.prefix == "none" and self.geometry != "frozen":
            raise ValueError(f"--geometry {self.geometry} trains a tower that --prefix none does not read; use frozen")
        if self.num_neighbours and self.geometry != "frozen":
            raise ValueError(
                f"--geometry {self.geometry} trains the tower that finds the {self.num_neighbours} neighbours, so that "
                "they would not stay the nearest ones; use frozen"
            )
        if not 0 <= self.neighbour_dropout < 1:
            raise ValueError(f"--neighbour_dropout is {self.neighbour_dropout}; it must be at least 0 and below 1")
        if self.decoder_dtype not in ("auto", "float32", "bfloat16"):
            raise ValueError(f"--decoder_dtype is {self.decoder_dtype!r}; use auto, float32 or bfloat16")


class Captioning(Task):
    """Fine-tuning on the cross-entropy of caption tokens. The best checkpoint has the lowest one on validation."""

    settings_class = CaptionSettings
    settings: CaptionSettings

    @property
    def columns(self) -> tuple[str, ...]:
        """`text`, and `smiles` if the prompt shows it."""
        return ("text", "smiles") if "{smiles}" in self.settings.prompt else ("text",)

    @property
    def base(self) -> Path:
        """Folder of the base model that the adapter belongs to."""
        return Path(self.settings.output_dir) / "base"

    @property
    def decoder_dtype(self) -> torch.dtype:
        """Data type of the frozen decoder."""
        name, is_bf16 = self.settings.decoder_dtype, self.settings.mixed_precision == "bf16"
        return getattr(torch, ("bfloat16" if is_bf16 else "float32") if name == "auto" else name)

    def build(self) -> tuple[GeomCLIPForCaptioning, GeomCLIPCaptioningProcessor]:
        """Build the captioner from a GeomCLIP and a decoder, save it as base model and add a new adapter."""
        settings = self.settings
        folder = prepare_decoder(settings.decoder)
        decoder = AutoModelForCausalLM.from_pretrained(folder, dtype=self.decoder_dtype)
        check_kind(settings.model, "geomclip", "is not aligned with text; give a GeomCLIP")
        geomclip = AutoModel.from_pretrained(settings.model, dtype=torch.float32)
        shape = {"prefix": settings.prefix, "num_prefix_tokens": settings.num_prefix_tokens}
        model = GeomCLIPForCaptioning.from_geometry_decoder_pretrained(geomclip, decoder, **shape)
        model.generation_config.max_new_tokens = settings.max_caption_tokens
        processor = GeomCLIPCaptioningProcessor(
            AutoProcessor.from_pretrained(settings.model).feature_extractor,
            load_tokenizer(folder),
            settings.prompt,
            settings.prompt_format,
            settings.max_caption_tokens,
            settings.num_neighbours,
            settings.neighbour_order,
            settings.max_neighbour_tokens,
        )
        check_length(model, processor)
        self.save_base(model, processor)
        names = {"r": settings.lora_rank, "lora_alpha": settings.lora_alpha, "lora_dropout": settings.lora_dropout}
        model.add_adapter(model.lora_config(settings.geometry, settings.lora_layers, **names))
        for parameter in model.parameters():
            if parameter.requires_grad:  # also the adapter of a bfloat16 decoder
                parameter.data = parameter.data.float()
        for module in model.modules():
            if isinstance(module, BaseTunerLayer):  # autocast casts the weights of the adapter, which are small
                module.cast_input_dtype_enabled = settings.mixed_precision == "no"
        if settings.torch_compile:
            if not torch.accelerator.is_available():  # compiled, it is faster on a CPU than the fused kernel
                model.decoder.set_attn_implementation("eager")
            for blocks in (module for module in model.decoder.modules() if isinstance(module, torch.nn.ModuleList)):
                for block in blocks:
                    block.compile(dynamic=True)  # in place, so that weights keep their names
        self.processor = processor
        return model, processor

    def prepare(self, model: GeomCLIPForCaptioning, rows: Dataset) -> None:
        """Embed the training molecules as references, and find the neighbours of each.

        No caption reaches the prompt of a molecule with the same first InChIKey block or the same caption. A molecule
        without an InChIKey, for which this cannot be decided, is not a reference and has no neighbours.

        Raises:
            ValueError: no molecule has an InChIKey.
        """
        if not self.settings.num_neighbours:
            return
        embeddings = embed_molecules(model, self.processor, list(rows.select_columns(GEOMETRY)))
        blocks, captions = rows["inchikey14"][:], rows["text"][:]
        named = [place for place, block in enumerate(blocks) if block]
        if not named:
            raise ValueError(
                "no training row has an InChIKey; add a column inchikey or smiles, or omit --num_neighbours"
            )
        if len(named) < len(rows):
            logger.warning(
                "%d of %d training rows have no InChIKey and are not used as references; add inchikey or smiles",
                len(rows) - len(named),
                len(rows),
            )
        chosen = ([captions[place] for place in named], [blocks[place] for place in named])
        self.processor.references = GeomCLIPReferences(embeddings[named], *chosen, hash_geometry_side(model))
        num_drawn = SPARE * self.settings.num_neighbours
        found = self.processor.references.find(embeddings, num_drawn, blocks, captions)
        found = [near if block else [] for near, block in zip(found, blocks, strict=True)]
        self.neighbours = dict(zip(rows["row_id"], found, strict=True))

    def draw_neighbours(self, row: dict, epoch: int) -> list[Neighbour]:
        """Return the nearest neighbours of a training row, passing over some at random by seed, epoch and row id."""
        settings = self.settings
        draws = random.Random(hash_id(f"neighbours {settings.seed} {epoch} {row['row_id']}"))
        kept = [found for found in self.neighbours[row["row_id"]] if draws.random() >= settings.neighbour_dropout]
        return kept[: settings.num_neighbours]

    def save_base(self, model: GeomCLIPForCaptioning, processor: GeomCLIPCaptioningProcessor) -> None:
        """Save the base model of the adapter, unless a resumed run has saved it.

        The folder gets its final name once it is complete.
        """
        is_resumed = self.settings.resume and any(Path(self.settings.output_dir).glob("states/step_*"))
        if PartialState().is_main_process and not (is_resumed and self.base.is_dir()):
            partial = self.base.with_name("base.partial")
            for folder in (partial, self.base):
                shutil.rmtree(folder, ignore_errors=True)
            model.save_pretrained(partial)
            processor.save_pretrained(partial)
            partial.rename(self.base)
        model.name_or_path = str(self.base)

    def save(self, model: GeomCLIPForCaptioning, folder: Path, final_folder: Path) -> None:
        """Save the adapter, with the path of its base model relative to `final_folder`."""
        model.save_pretrained(folder, base_model=os.path.relpath(self.base, final_folder))

    def measure_lengths(self, rows: Dataset) -> list[int]:
        """Return the number of tokens of each caption, with those of its nearest neighbours."""
        settings, captions = self.settings, rows["text"][:]
        if not settings.num_neighbours:
            return self.count_tokens(captions, settings.max_caption_tokens)
        references = self.processor.references.captions
        counts = dict(zip(references, self.count_tokens(references, settings.max_neighbour_tokens), strict=True))
        nearest = [self.neighbours[row_id][: settings.num_neighbours] for row_id in rows["row_id"]]
        own = self.count_tokens(captions, settings.max_caption_tokens)
        return [length + sum(counts[one.caption] for one in found) for length, found in zip(own, nearest, strict=True)]

    def count_tokens(self, texts: list[str], longest: int) -> list[int]:
        """Return the number of tokens of each text, at most `longest`."""
        encoded = self.processor.decoder_tokenizer(texts, add_special_tokens=False)["input_ids"]
        return [min(len(ids), longest) for ids in encoded]

    def choose_learning_rate(self, name: str) -> float:
        """Return the peak learning rate of a parameter; the resampler and the projector may have their own."""
        is_own = name.startswith(("resampler.", "projector.")) and self.settings.prefix_learning_rate is not None
        return self.settings.prefix_learning_rate if is_own else self.settings.learning_rate

    def collate(self, processor: Any, rows: list[dict], epoch: int) -> dict[str, Tensor]:
        """Collate geometries, prompts and captions."""
        texts = {"captions": [row["text"] for row in rows]}
        if "{smiles}" in processor.prompt:
            texts["smiles"] = [row["smiles"] for row in rows]
        if processor.num_neighbours:
            texts["neighbours"] = [self.draw_neighbours(row, epoch) for row in rows]
        return dict(processor(rows, **texts, return_tensors="pt"))

    def forward(self, model: torch.nn.Module, batch: dict[str, Tensor]) -> GeomCLIPCaptioningOutput:
        """Run the captioner on a batch."""
        return model(**batch)

    def compute_losses(self, outputs: GeomCLIPCaptioningOutput, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return the mean cross-entropy per caption token, scaled for DDP."""
        return {"loss": outputs.loss * scale_to_mean(outputs.num_tokens.sum(), outputs.loss.dtype)}

    def validate(self, model: GeomCLIPForCaptioning, processor: Any, rows: Dataset) -> tuple[float, dict[str, float]]:
        """Return the negative mean cross-entropy per caption token, and the cross-entropy as metric."""
        rows, captions = list(rows), rows["text"][:]
        prompt_inputs = list_prompt_inputs(model, processor, rows, leave_own_out=True)
        totals, num_tokens = compute_caption_losses(
            model, processor, rows, captions, self.settings.batch_size, prompt_inputs
        )
        loss = float(totals.sum() / num_tokens.sum())
        return -loss, {"caption_loss": loss}


def check_length(model: GeomCLIPForCaptioning, processor: GeomCLIPCaptioningProcessor) -> None:
    """Check that the longest input fits the positions of the decoder, if it has a limit.

    Raises:
        ValueError: it does not.
    """
    positions = getattr(model.config.decoder_config, "max_position_embeddings", None)
    prefix = {"none": 0, "pooled": 1}.get(model.config.prefix, model.config.num_prefix_tokens)
    prompt = len(processor.decoder_tokenizer(processor.prompt)["input_ids"])
    neighbours = processor.num_neighbours * (processor.max_neighbour_tokens + LINE_TOKENS)
    longest = prefix + neighbours + prompt + processor.max_caption_tokens
    if positions is not None and longest > positions:
        raise ValueError(
            f"an input may need {longest} tokens, but the decoder has {positions} positions; reduce --num_neighbours, "
            "--max_neighbour_tokens or --max_caption_tokens"
        )


def load_tokenizer(decoder: str) -> Any:
    """Load the tokenizer of a decoder, with an end-of-sequence token.

    Raises:
        ValueError: neither the tokenizer nor the configuration defines a single end-of-sequence token.
    """
    tokenizer = AutoTokenizer.from_pretrained(decoder)
    if tokenizer.eos_token is None:  # Galactica defines it only in its configuration
        eos_token_id = AutoConfig.from_pretrained(decoder).eos_token_id
        if not isinstance(eos_token_id, int):
            raise ValueError(
                f"neither the tokenizer nor the configuration of {decoder} has one end-of-sequence token; set eos_token"
            )
        tokenizer.eos_token = tokenizer.convert_ids_to_tokens(eos_token_id)
    return tokenizer
