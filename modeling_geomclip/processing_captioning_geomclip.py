"""Molecules, prompts and captions -> the captioner's inputs; token ids -> captions."""

import os
from collections.abc import Iterable, Sequence
from typing import Any, Literal

import numpy as np
from transformers import BatchFeature, ProcessorMixin

from .processing_geomclip import LOCAL_SETTINGS

IGNORED_LABEL = -100


class GeomCLIPCaptioningProcessor(ProcessorMixin):
    """A feature extractor for molecules and the tokenizer of the decoder.

    Args:
        feature_extractor: a `GeomCLIPFeatureExtractor`.
        decoder_tokenizer: the tokenizer of the language model.
        prompt: what stands between the molecule's soft tokens and the caption. "{smiles}" in it is replaced by the
            molecule's SMILES; without it the decoder knows of the molecule by its geometry only.
        prompt_format: "plain", or "chat" for a turn of the user's in the decoder's chat template.
        max_caption_tokens: longer captions are cut in training.
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
        """A batch to caption or, with captions, to train on.

        Args:
            molecules: one molecule or an iterable of them, as the feature extractor takes them.
            captions: one for each molecule.
            smiles: one for each molecule, if the prompt asks for it.
            return_tensors: "pt" for torch.
            errors: "raise" or "report", as for the feature extractor; a molecule that is left out takes its caption
                and SMILES with it.
        Returns:
            `atom_ids`, `positions` (Å), `atom_mask`; `input_ids` and `attention_mask` (molecules, tokens) of prompts
            and captions, padded on the left; with captions `labels`, `IGNORED_LABEL` but for captions and their end;
            with errors="report" also `kept` and `failures`.
        Raises:
            MoleculeError: for a molecule that cannot be used. ValueError: for captions or SMILES that are missing.
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
        ids = {}  # by prompt: without SMILES all are the same
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
        """Tokens of every caption and its end; a caption that is cut has no end."""
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
        """The captions of `GeomCLIPForCaptioning.generate`, without special tokens and surrounding blanks."""
        decoded = self.decoder_tokenizer.batch_decode(token_ids, skip_special_tokens=True)
        return [" ".join(caption.split()) for caption in decoded]

    def batch_decode(self, *args: Any, **kwargs: Any) -> list[str]:
        """As the decoder's tokenizer."""
        return self.decoder_tokenizer.batch_decode(*args, **kwargs)

    def decode(self, *args: Any, **kwargs: Any) -> str:
        """As the decoder's tokenizer."""
        return self.decoder_tokenizer.decode(*args, **kwargs)

    def save_pretrained(self, save_directory: str | os.PathLike, push_to_hub: bool = False, **kwargs: Any) -> list[str]:
        """As for every processor, without what the tokenizer knows of this machine."""
        for name in LOCAL_SETTINGS:
            self.decoder_tokenizer.init_kwargs.pop(name, None)
        return super().save_pretrained(save_directory, push_to_hub=push_to_hub, **kwargs)


def _one_each(texts: str | Sequence[str] | None, num_molecules: int, name: str) -> list[str]:
    texts = [texts] if isinstance(texts, str) else list(texts or [])
    if len(texts) != num_molecules:
        raise ValueError(f"{len(texts)} {name} for {num_molecules} molecules; give one for each")
    for index, text in enumerate(texts):
        if not isinstance(text, str) or not text.strip():
            raise ValueError(f"{name}[{index}] is {text!r}, not a text; replace it or drop the molecule")
    return texts
