"""Processor of the captioner: build its inputs from molecules, prompts and captions, and decode its captions."""

import os
from collections.abc import Iterable, Sequence
from typing import Any, Literal

import numpy as np
from transformers import BatchFeature, ProcessorMixin

from .processing_geomclip import LOCAL_SETTINGS

IGNORED_LABEL = -100


class GeomCLIPCaptioningProcessor(ProcessorMixin):
    """Combine a feature extractor for molecules with the tokenizer of the decoder.

    Args:
        feature_extractor: a `GeomCLIPFeatureExtractor`.
        decoder_tokenizer: the tokenizer of the language model.
        prompt: text between the molecule's soft tokens and the caption. "{smiles}" in the prompt is replaced by the
            molecule's SMILES; without it, the decoder knows the molecule only by its geometry.
        prompt_format: "plain", or "chat" for a user turn in the decoder's chat template.
        max_caption_tokens: longer captions are truncated in training.
    """

    def __init__(
        self,
        feature_extractor: Any,
        decoder_tokenizer: Any,
        prompt: str = "Describe the molecule:",
        prompt_format: str = "plain",
        max_caption_tokens: int = 128,
    ) -> None:
        super().__init__(feature_extractor, decoder_tokenizer)
        if prompt_format not in ("plain", "chat"):
            raise ValueError(f"prompt_format is {prompt_format!r}; use 'plain' or 'chat'")
        if prompt_format == "chat" and not decoder_tokenizer.chat_template:
            raise ValueError("the decoder's tokenizer has no chat template; use prompt_format='plain'")
        if max_caption_tokens < 1:
            raise ValueError(f"max_caption_tokens is {max_caption_tokens}; it must be at least 1")
        self.prompt, self.prompt_format, self.max_caption_tokens = prompt, prompt_format, max_caption_tokens

    def __call__(
        self,
        molecules: Any,
        captions: str | Sequence[str] | None = None,
        smiles: str | Sequence[str] | None = None,
        return_tensors: str | None = None,
        errors: Literal["raise", "report"] = "raise",
    ) -> BatchFeature:
        """Build a batch for captioning or, with captions, for training.

        Args:
            molecules: one molecule or an iterable of them, as the feature extractor takes them.
            captions: one per molecule.
            smiles: one per molecule, if the prompt contains "{smiles}".
            return_tensors: "pt" for torch tensors.
            errors: "raise" or "report", as for the feature extractor; the caption and SMILES of a skipped molecule are
                skipped, too.
        Returns:
            `atom_ids`, `positions` (Å) and `atom_mask`; `input_ids` and `attention_mask` (molecules, tokens) of prompts
            and captions, padded on the left; with captions, also `labels`, which are `IGNORED_LABEL` except on captions
            and their end tokens; with errors="report", also `kept` and `failures`.
        Raises:
            MoleculeError: a molecule cannot be used.
            ValueError: captions or SMILES are missing or empty.
        """
        batch = self.feature_extractor(molecules, return_tensors=return_tensors, errors=errors)
        num_given = len(batch["atom_ids"]) + len(batch.get("failures", []))
        kept = [int(row) for row in batch["kept"]] if errors == "report" else range(num_given)
        prompts = self._prompt_ids(_one_each(smiles, num_given, "smiles") if "{smiles}" in self.prompt else None, kept)
        if captions is None:
            targets = [[] for _ in kept]
        else:
            captions = _one_each(captions, num_given, "captions")
            targets = self._caption_ids([captions[row] for row in kept])
        tokens = self._padded(prompts, targets)
        if captions is None:
            tokens.pop("labels")
        batch.update(BatchFeature(tokens, tensor_type=return_tensors))
        return batch

    def _prompt_ids(self, smiles: list[str] | None, rows: Iterable[int]) -> list[list[int]]:
        tokenizer = self.decoder_tokenizer
        ids = {}  # by prompt, because all prompts are the same without SMILES
        listed = [self.prompt.replace("{smiles}", smiles[row]) if smiles else self.prompt for row in rows]
        for prompt in dict.fromkeys(listed):
            if self.prompt_format == "chat":
                turn = [{"role": "user", "content": prompt}]
                text = tokenizer.apply_chat_template(turn, tokenize=False, add_generation_prompt=True)
                ids[prompt] = tokenizer(text, add_special_tokens=False)["input_ids"]
            else:
                ids[prompt] = tokenizer(prompt)["input_ids"]
        return [ids[prompt] for prompt in listed]

    def _caption_ids(self, captions: list[str]) -> list[list[int]]:
        """Return the tokens of every caption with an end token; a truncated caption has no end token."""
        tokenizer = self.decoder_tokenizer
        if tokenizer.eos_token_id is None:
            raise ValueError("the decoder's tokenizer has no eos_token to end a caption with; set it")
        start = "" if self.prompt_format == "chat" else " "
        texts = [start + caption.strip() for caption in captions]
        encoded = tokenizer(texts, add_special_tokens=False)["input_ids"] if texts else []
        return [[*ids, tokenizer.eos_token_id][: self.max_caption_tokens] for ids in encoded]

    def _padded(self, prompts: list[list[int]], targets: list[list[int]]) -> dict[str, np.ndarray]:
        tokenizer = self.decoder_tokenizer
        padding = next(i for i in (tokenizer.pad_token_id, tokenizer.eos_token_id, 0) if i is not None)
        width = max((len(prompt) + len(target) for prompt, target in zip(prompts, targets)), default=0)
        tokens = {
            "input_ids": np.full((len(prompts), width), padding),
            "attention_mask": np.zeros((len(prompts), width), dtype=np.int64),
            "labels": np.full((len(prompts), width), IGNORED_LABEL),
        }
        for row, (prompt, target) in enumerate(zip(prompts, targets)):
            start = width - len(prompt) - len(target)
            tokens["input_ids"][row, start:] = [*prompt, *target]
            tokens["attention_mask"][row, start:] = 1
            tokens["labels"][row, start + len(prompt) :] = target
        return tokens

    def decode_captions(self, token_ids: Any) -> list[str]:
        """Decode the output of `GeomCLIPForCaptioning.generate`, without special tokens and extra white space."""
        decoded = self.decoder_tokenizer.batch_decode(token_ids, skip_special_tokens=True)
        return [" ".join(caption.split()) for caption in decoded]

    def batch_decode(self, *args: Any, **kwargs: Any) -> list[str]:
        """Decode several texts with the decoder's tokenizer."""
        return self.decoder_tokenizer.batch_decode(*args, **kwargs)

    def decode(self, *args: Any, **kwargs: Any) -> str:
        """Decode one text with the decoder's tokenizer."""
        return self.decoder_tokenizer.decode(*args, **kwargs)

    def save_pretrained(self, save_directory: str | os.PathLike, push_to_hub: bool = False, **kwargs: Any) -> list[str]:
        """Save the processor, without the tokenizer's settings that are specific to this machine."""
        for name in LOCAL_SETTINGS:
            self.decoder_tokenizer.init_kwargs.pop(name, None)
        return super().save_pretrained(save_directory, push_to_hub=push_to_hub, **kwargs)


def _one_each(texts: str | Sequence[str] | None, num_molecules: int, name: str) -> list[str]:
    texts = [texts] if isinstance(texts, str) else list(texts or [])
    if len(texts) != num_molecules:
        raise ValueError(f"{len(texts)} {name} for {num_molecules} molecules; give one for each")
    for index, text in enumerate(texts):
        if not isinstance(text, str) or not text.strip():
            raise ValueError(
                f"{name}[{index}] is {text!r}, which is blank or not a string; replace it or drop the molecule"
            )
    return texts
