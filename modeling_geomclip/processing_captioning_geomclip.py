"""Processor of the captioner: build its inputs from molecules, prompts and captions, and decode its captions."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from transformers import BatchFeature, ProcessorMixin
from transformers.utils import has_file

from .embedding_geomclip import embed_molecules
from .processing_geomclip import LOCAL_SETTINGS
from .references_geomclip import EMBEDDINGS_FILE, GeomCLIPReferences, Neighbour

IGNORED_LABEL = -100
UNLIKE = "unlike the reference molecules"  # in place of the caption of such a molecule


class GeomCLIPCaptioningProcessor(ProcessorMixin):
    """Combine a feature extractor for molecules with the tokenizer of the decoder.

    Args:
        feature_extractor: a `GeomCLIPFeatureExtractor`.
        decoder_tokenizer: the tokenizer of the language model.
        prompt: text between the molecule's soft tokens and the caption. "{smiles}" in the prompt is replaced by the
            molecule's SMILES; without it, the decoder knows the molecule only by its geometry.
        prompt_format: "plain", or "chat" for a user turn in the decoder's chat template.
        max_caption_tokens: longer captions are truncated in training.
        num_neighbours: number of similar molecules, whose captions stand before the prompt; 0 for none.
        neighbour_order: "nearest_first" or "nearest_last".
        max_neighbour_tokens: longer captions of neighbours are truncated.
    """

    def __init__(
        self,
        feature_extractor: Any,
        decoder_tokenizer: Any,
        prompt: str = "Describe the molecule:",
        prompt_format: str = "plain",
        max_caption_tokens: int = 128,
        num_neighbours: int = 0,
        neighbour_order: str = "nearest_first",
        max_neighbour_tokens: int = 96,
    ) -> None:
        super().__init__(feature_extractor, decoder_tokenizer)
        if prompt_format not in ("plain", "chat"):
            raise ValueError(f"prompt_format is {prompt_format!r}; use 'plain' or 'chat'")
        if prompt_format == "chat" and not decoder_tokenizer.chat_template:
            raise ValueError("the decoder's tokenizer has no chat template; use prompt_format='plain'")
        if neighbour_order not in ("nearest_first", "nearest_last"):
            raise ValueError(f"neighbour_order is {neighbour_order!r}; use 'nearest_first' or 'nearest_last'")
        _require_at_least(1, max_caption_tokens=max_caption_tokens, max_neighbour_tokens=max_neighbour_tokens)
        _require_at_least(0, num_neighbours=num_neighbours)
        self.prompt, self.prompt_format, self.max_caption_tokens = prompt, prompt_format, max_caption_tokens
        self.num_neighbours, self.neighbour_order = num_neighbours, neighbour_order
        self.max_neighbour_tokens = max_neighbour_tokens
        self.references: GeomCLIPReferences | None = None  # set it to the captions that neighbours are drawn from

    def __call__(
        self,
        molecules: Any,
        captions: str | Sequence[str] | None = None,
        smiles: str | Sequence[str] | None = None,
        neighbours: Sequence[Sequence[Neighbour]] | None = None,
        return_tensors: str | None = None,
        errors: Literal["raise", "report"] = "raise",
    ) -> BatchFeature:
        """Build a batch for captioning or, with captions, for training.

        Args:
            molecules: one molecule or an iterable of them, as the feature extractor takes them.
            captions: one per molecule.
            smiles: one per molecule, if the prompt contains "{smiles}".
            neighbours: for each molecule, at most `num_neighbours` similar ones, from `find_neighbours`.
            return_tensors: "pt" for torch tensors.
            errors: "raise" or "report", as for the feature extractor; the texts of a skipped molecule are skipped, too.
        Returns:
            `atom_ids`, `positions` (Å) and `atom_mask`; `input_ids` and `attention_mask` (molecules, tokens) of prompts
            and captions, padded on the left; with captions, also `labels`, which are `IGNORED_LABEL` except on captions
            and their end tokens; with errors="report", also `kept` and `failures`.
        Raises:
            MoleculeError: a molecule cannot be used.
            ValueError: captions, SMILES or neighbours are missing, captions or SMILES are empty, or a molecule has too
                many neighbours.
        """
        batch = self.feature_extractor(molecules, return_tensors=return_tensors, errors=errors)
        num_given = len(batch["atom_ids"]) + len(batch.get("failures", []))
        kept = [int(row) for row in batch["kept"]] if errors == "report" else range(num_given)
        smiles = _one_each(smiles, num_given, "smiles") if "{smiles}" in self.prompt else [""] * num_given
        neighbours = self._neighbours_of_each(neighbours, num_given)
        prompts = self._prompt_ids([self._write_prompt(smiles[row], neighbours[row]) for row in kept])
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

    def find_neighbours(
        self, model: Any, molecules: Any, num_found: int | None = None, **left_out: Sequence[str | None] | None
    ) -> list[list[Neighbour]] | None:
        """Find the nearest molecules of each molecule in `references`, by their geometry alone.

        Args:
            model: the captioner, whose geometry tower embeds the molecules.
            molecules: as in `__call__`.
            num_found: neighbours of a molecule; `num_neighbours`, those that a prompt contains, if None.
            left_out: `left_out` and `left_out_captions`, as for `GeomCLIPReferences.find`.
        Returns:
            The neighbours of each molecule, the nearest first; None if the prompt contains none.
        Raises:
            MoleculeError: a molecule cannot be used.
            ValueError: there are no references, or they belong to another captioner.
        """
        if not self.num_neighbours:
            return None
        if self.references is None:
            raise ValueError(
                f"the prompt contains the captions of {self.num_neighbours} similar molecules, but there are no "
                "references to find them in; set processor.references to GeomCLIPReferences.from_molecules(...)"
            )
        self.references.check_captioner(model)
        embeddings = embed_molecules(model, self.feature_extractor, molecules)
        return self.references.find(embeddings, num_found or self.num_neighbours, **left_out)

    def is_unlike(self, neighbours: Sequence[Neighbour]) -> bool:
        """Return whether a molecule is unlike all references, so that its caption would be invented.

        It is if it has no neighbours, or if they are less similar than `GeomCLIPReferences.min_similarity`. It never is
        if the prompt contains no neighbours.

        Args:
            neighbours: of the molecule, from `find_neighbours`.
        """
        if not self.num_neighbours:
            return False
        return not neighbours if self.references is None else self.references.is_unlike(neighbours)

    def _neighbours_of_each(
        self, neighbours: Sequence[Sequence[Neighbour]] | None, num_molecules: int
    ) -> Sequence[Sequence[Neighbour]]:
        if not self.num_neighbours:
            if neighbours is not None:
                raise ValueError("neighbours are given, but num_neighbours=0 puts none into the prompt; omit them")
            return [[]] * num_molecules
        if neighbours is None or len(neighbours) != num_molecules:
            given = "none" if neighbours is None else f"those of {len(neighbours)}"
            raise ValueError(
                f"the prompt contains the captions of similar molecules, but for {num_molecules} molecules, {given} "
                "are given; pass neighbours from find_neighbours"
            )
        for index, found in enumerate(neighbours):
            if len(found) > self.num_neighbours:
                raise ValueError(
                    f"neighbours[{index}] has {len(found)} molecules, more than num_neighbours={self.num_neighbours}; "
                    "pass only the nearest"
                )
        return neighbours

    def _write_prompt(self, smiles: str, neighbours: Sequence[Neighbour]) -> str:
        """Write the captions of the neighbours with their similarity, one per line, and the prompt."""
        captions = self._shorten([neighbour.caption for neighbour in neighbours])
        lines = [
            f"Similar molecule ({neighbour.similarity:.2f}): {caption}"
            for neighbour, caption in zip(neighbours, captions, strict=True)
        ]
        lines = lines[::-1] if self.neighbour_order == "nearest_last" else lines
        return "\n".join([*lines, self.prompt.replace("{smiles}", smiles)])

    def _shorten(self, captions: list[str]) -> list[str]:
        """Truncate the captions of neighbours."""
        if not captions:
            return []
        texts = [" ".join(caption.split()) for caption in captions]
        encoded = self.decoder_tokenizer(texts, add_special_tokens=False)["input_ids"]
        longest = self.max_neighbour_tokens
        return [
            self.decoder_tokenizer.decode(ids[:longest]) if len(ids) > longest else text
            for ids, text in zip(encoded, texts, strict=True)
        ]

    def _prompt_ids(self, prompts: list[str]) -> list[list[int]]:
        tokenizer = self.decoder_tokenizer
        ids = {}  # by prompt, because all prompts are the same without SMILES and neighbours
        for prompt in dict.fromkeys(prompts):
            if self.prompt_format == "chat":
                turn = [{"role": "user", "content": prompt}]
                text = tokenizer.apply_chat_template(turn, tokenize=False, add_generation_prompt=True)
                ids[prompt] = tokenizer(text, add_special_tokens=False)["input_ids"]
            else:
                ids[prompt] = tokenizer(prompt)["input_ids"]
        return [ids[prompt] for prompt in prompts]

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
        """Decode captions from `GeomCLIPForCaptioning.generate`, (captions, tokens), without special tokens.

        White space is reduced to single spaces.
        """
        decoded = self.decoder_tokenizer.batch_decode(token_ids, skip_special_tokens=True)
        return [" ".join(caption.split()) for caption in decoded]

    def batch_decode(self, *args: Any, **kwargs: Any) -> list[str]:
        """Decode several texts with the decoder's tokenizer."""
        return self.decoder_tokenizer.batch_decode(*args, **kwargs)

    def decode(self, *args: Any, **kwargs: Any) -> str:
        """Decode one text with the decoder's tokenizer."""
        return self.decoder_tokenizer.decode(*args, **kwargs)

    def save_pretrained(self, save_directory: str | os.PathLike, push_to_hub: bool = False, **kwargs: Any) -> list[str]:
        """Save the processor and its references, without the tokenizer's settings that are specific to this machine."""
        for name in LOCAL_SETTINGS:
            self.decoder_tokenizer.init_kwargs.pop(name, None)
        if self.references is not None:
            self.references.save_pretrained(save_directory)
        files = super().save_pretrained(save_directory, **({} if push_to_hub else kwargs))
        if push_to_hub:  # by this way, because `save_pretrained` would not upload the references
            self.push_to_hub(kwargs.pop("repo_id", Path(save_directory).name), **kwargs)
        return files

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | os.PathLike, **kwargs: Any) -> Any:
        """Load the processor and, if there are any, the references."""
        processor = super().from_pretrained(pretrained_model_name_or_path, **kwargs)
        hub = {name: kwargs[name] for name in ("cache_dir", "revision", "token") if kwargs.get(name)}
        if processor.num_neighbours and has_file(pretrained_model_name_or_path, EMBEDDINGS_FILE, **hub):
            processor.references = GeomCLIPReferences.from_pretrained(pretrained_model_name_or_path, **hub)
        return processor


def _require_at_least(least: int, **settings: int) -> None:
    for name, value in settings.items():
        if value < least:
            raise ValueError(f"{name} is {value}; it must be at least {least}")


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
