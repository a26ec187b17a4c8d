"""Fine-tuning of a language model, by LoRA, to caption what the geometry tower sees."""

import dataclasses
import os
import shutil
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from datasets import Dataset
from torch import Tensor
from transformers import AutoConfig, AutoModel, AutoProcessor, AutoTokenizer

from modeling_geomclip import GeomCLIPCaptioningOutput, GeomCLIPCaptioningProcessor, GeomCLIPForCaptioning

from ...evaluation.caption_generation import compute_caption_losses
from ...loading import check_kind
from ..decoders import prepare_decoder
from ..distributed import scale_to_mean
from ..settings import TrainingSettings, setting
from .base import Task


@dataclasses.dataclass(frozen=True, kw_only=True)
class CaptionSettings(TrainingSettings):
    """Captioning. `text` of the dataset is the caption."""

    model: str = setting("GeomCLIP folder or Hub id, whose geometry side is read.")
    decoder: str = setting("Causal language model: folder, Hub id, or a folder with a GGUF file.")
    geometry: str = setting("What becomes of the geometry tower: frozen, lora or full.", default="frozen")
    prefix: str = setting("What the decoder reads: resampler, atoms, pooled, or none.", default="resampler")
    num_prefix_tokens: int = setting("Soft tokens of the resampler.", default=16)
    prompt: str = setting("Before the caption; {smiles} in it shows the SMILES.", default="Describe the molecule:")
    prompt_format: str = setting("plain, or chat for the decoder's chat template.", default="plain")
    max_caption_tokens: int = setting("Longer captions are cut.", default=128)
    lora_rank: int = setting("Rank of LoRA.", default=16)
    lora_alpha: int = setting("Scale of LoRA: alpha / rank.", default=32)
    lora_dropout: float = setting("Dropout of LoRA.", default=0.0)
    prefix_learning_rate: float | None = setting(
        "Peak learning rate of resampler and projector, if another.", default=None
    )

    def __post_init__(self):
        super().__post_init__()
        if self.prefix == "none" and self.geometry != "frozen":
            raise ValueError(f"--geometry {self.geometry} trains what --prefix none never reads; leave it frozen")


class Captioning(Task):
    """Cross-entropy of the captions' tokens; chosen by the same on the validation rows."""

    settings_class = CaptionSettings
    settings: CaptionSettings

    @property
    def columns(self) -> tuple[str, ...]:
        return ("text", "smiles") if "{smiles}" in self.settings.prompt else ("text",)

    @property
    def base(self) -> Path:
        return Path(self.settings.output_dir) / "base"

    def build(self) -> tuple[GeomCLIPForCaptioning, GeomCLIPCaptioningProcessor]:
        settings = self.settings
        decoder = prepare_decoder(settings.decoder)
        check_kind(settings.model, "geomclip", "is not aligned with text; give a GeomCLIP")
        geomclip = AutoModel.from_pretrained(settings.model, dtype=torch.float32)
        shape = {"prefix": settings.prefix, "num_prefix_tokens": settings.num_prefix_tokens}
        model = GeomCLIPForCaptioning.from_geometry_decoder_pretrained(geomclip, decoder, **shape)
        model.generation_config.max_new_tokens = settings.max_caption_tokens
        processor = GeomCLIPCaptioningProcessor(
            AutoProcessor.from_pretrained(settings.model).feature_extractor,
            load_tokenizer(decoder),
            settings.prompt,
            settings.prompt_format,
            settings.max_caption_tokens,
        )
        self.save_base(model, processor)
        names = {"r": settings.lora_rank, "lora_alpha": settings.lora_alpha, "lora_dropout": settings.lora_dropout}
        model.add_adapter(model.lora_config(settings.geometry, **names))
        return model, processor

    def save_base(self, model: GeomCLIPForCaptioning, processor: GeomCLIPCaptioningProcessor) -> None:
        """What the adapter is put on, once; it appears under its name when it is complete."""
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
        model.save_pretrained(folder, base_model=os.path.relpath(self.base, final_folder))

    def measure_lengths(self, rows: Dataset) -> list[int]:
        return [len(text) for text in rows["text"]]

    def choose_learning_rate(self, name: str) -> float:
        is_own = name.startswith(("resampler.", "projector.")) and self.settings.prefix_learning_rate is not None
        return self.settings.prefix_learning_rate if is_own else self.settings.learning_rate

    def collate(self, processor: Any, rows: list[dict], epoch: int) -> dict[str, Tensor]:
        texts = {"captions": [row["text"] for row in rows]}
        if "{smiles}" in processor.prompt:
            texts["smiles"] = [row["smiles"] for row in rows]
        return dict(processor(rows, **texts, return_tensors="pt"))

    def forward(self, model: torch.nn.Module, batch: dict[str, Tensor]) -> GeomCLIPCaptioningOutput:
        return model(**batch)

    def compute_losses(self, outputs: GeomCLIPCaptioningOutput, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        return {"loss": outputs.loss * scale_to_mean(outputs.num_tokens, outputs.loss.dtype)}

    def validate(self, model: GeomCLIPForCaptioning, processor: Any, rows: Dataset) -> tuple[float, dict[str, float]]:
        """Minus the mean cross-entropy of the captions' tokens."""
        totals, num_tokens = compute_caption_losses(model, processor, rows, rows["text"][:], self.settings.batch_size)
        loss = float(totals.sum() / num_tokens.sum())
        return -loss, {"caption_loss": loss}


def load_tokenizer(decoder: str) -> Any:
    """The decoder's tokenizer, with an end of sequence."""
    tokenizer = AutoTokenizer.from_pretrained(decoder)
    if tokenizer.eos_token is None:  # Galactica's tokenizer names none, but its configuration does
        eos_token_id = AutoConfig.from_pretrained(decoder).eos_token_id
        if not isinstance(eos_token_id, int):
            raise ValueError(f"neither the tokenizer nor the configuration of {decoder} names one end of sequence")
        tokenizer.eos_token = tokenizer.convert_ids_to_tokens(eos_token_id)
    return tokenizer
