"""Molecules and text -> the model's inputs."""

import os
import reprlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from transformers import BatchFeature, ProcessorMixin
from transformers.data.data_collator import pad_without_fast_tokenizer_warning

# What a tokenizer remembers of the machine it was loaded on and would write into its configuration.
LOCAL_SETTINGS = ("is_local", "local_files_only", "name_or_path")


class GeomCLIPProcessor(ProcessorMixin):
    """A feature extractor for molecules and a tokenizer for text.

    Args:
        feature_extractor: a `GeomCLIPFeatureExtractor`.
        tokenizer: the tokenizer of the text tower.
    """

    text_kwargs = {"padding": True, "truncation": True, "max_length": 256}

    def __init__(self, feature_extractor: Any, tokenizer: Any) -> None:
        super().__init__(feature_extractor, tokenizer)

    def __call__(
        self,
        molecules: Any = None,
        text: str | Iterable[str] | None = None,
        return_tensors: str | None = "pt",
        errors: Literal["raise", "report"] = "raise",
        **kwargs: Any,
    ) -> BatchFeature:
        """A batch of molecules, of texts, or of both.

        Args:
            molecules: one molecule or an iterable of them, as the feature extractor takes them.
            text: one text or an iterable of them, such as a column of a table; see `list_texts`.
            return_tensors: "pt" for torch, as the model takes them; None for arrays and lists.
            errors: "raise" or "report", as for the feature extractor. With "report", lists of molecules and texts of
                equal length are pairs, and a molecule that is left out takes its text with it; texts of any other
                number (captions to compare with) are all kept.
            kwargs: for the tokenizer, such as `max_length`.
        Returns:
            For molecules `atom_ids`, `positions` (Å) and `atom_mask`, for text `input_ids`, `attention_mask` and
            whatever else the tokenizer gives; with errors="report" also `kept` and `failures`.
        Raises:
            MoleculeError: for a molecule that cannot be used. ValueError: for a text that is no text.
        """
        if molecules is None and text is None:
            raise ValueError("there is nothing to process; pass molecules, text or both")
        batch = BatchFeature()
        if molecules is not None:
            batch = self.feature_extractor(molecules, return_tensors=return_tensors, errors=errors)
        if text is not None:
            texts = list_texts(text)
            if "kept" in batch and len(texts) == len(batch["kept"]) + len(batch["failures"]):
                texts = [texts[index] for index in batch["kept"]]
            batch.update(self._tokenized(texts, return_tensors=return_tensors, **kwargs))
        return batch

    def _tokenized(self, texts: list[str], **kwargs: Any) -> dict[str, Any]:
        settings = self._merge_kwargs(tokenizer_init_kwargs=self.tokenizer.init_kwargs, **kwargs)["text_kwargs"]
        if "max_length" not in kwargs:  # a short text tower's limit, or ours for a tokenizer that knows none
            limit = settings["max_length"] or self.text_kwargs["max_length"]
            settings["max_length"] = min(limit, self.tokenizer.model_max_length)
        encoded = self.tokenizer(texts or [""], **settings)
        return {name: values[: len(texts)] for name, values in encoded.items()}

    def pad(
        self,
        rows: Sequence[Mapping[str, Any]],
        padding: bool | str = True,
        max_length: int | None = None,
        pad_to_multiple_of: int | None = None,
        return_tensors: str | None = "pt",
    ) -> BatchFeature:
        """A batch of rows that `__call__` gave before, for `DataCollatorWithPadding`.

        Args:
            rows: of molecules, of texts, or of both, as a dataset that was mapped with the processor holds them.
                Further columns, such as labels, become tensors.
            padding, max_length: of the texts, as the tokenizer takes them; molecules are padded to the largest.
            pad_to_multiple_of: what the lengths of texts and of molecules are to be multiples of.
            return_tensors: as for `__call__`.
        Raises:
            ValueError: the rows are those of a dataset that the processor was not mapped over.
        """
        text_names = [name for name in self.tokenizer.model_input_names if name in rows[0]]
        settings = {
            "padding": padding,
            "max_length": max_length,
            "pad_to_multiple_of": pad_to_multiple_of,
            "return_tensors": return_tensors,
        }
        if not text_names:
            return self.feature_extractor.pad(rows, **settings)
        if "atom_ids" not in rows[0]:
            return pad_without_fast_tokenizer_warning(self.tokenizer, rows, **settings)
        others = [{name: row[name] for name in row if name not in text_names} for row in rows]
        texts = [{name: row[name] for name in text_names} for row in rows]
        batch = self.feature_extractor.pad(others, **settings)
        batch.update(pad_without_fast_tokenizer_warning(self.tokenizer, texts, **settings))
        return batch

    def save_pretrained(self, save_directory: str | os.PathLike, push_to_hub: bool = False, **kwargs: Any) -> list[str]:
        """As for every processor, without what the tokenizer knows of this machine."""
        for name in LOCAL_SETTINGS:
            self.tokenizer.init_kwargs.pop(name, None)
        return super().save_pretrained(save_directory, push_to_hub=push_to_hub, **kwargs)


def list_texts(texts: str | Iterable[str]) -> list[str]:
    """The texts in a list, a single one too. An empty one is a text of no words, and as such may be embedded.

    Raises:
        ValueError: there is none, or one is not a string, as what a table has for a missing one; naming its place.
    """
    num_dimensions = getattr(texts, "ndim", 1)
    if num_dimensions > 1:  # a DataFrame would give the names of its columns
        raise ValueError(f"the texts have {num_dimensions} dimensions; pass one column")
    is_many = isinstance(texts, Iterable) and not isinstance(texts, (str, bytes, Mapping)) and num_dimensions == 1
    texts = list(texts) if is_many else [texts]
    if not texts:
        raise ValueError("the list of texts is empty; pass at least one")
    for index, text in enumerate(texts):
        if not isinstance(text, str):
            raise ValueError(f"text {index} is {reprlib.repr(text)}, not a string; replace or drop it")
    return texts
