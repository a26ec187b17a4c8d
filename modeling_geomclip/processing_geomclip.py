"""Processor of the joint model: build its inputs from molecules and text."""

import os
import reprlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from transformers import BatchFeature, ProcessorMixin
from transformers.data.data_collator import pad_without_fast_tokenizer_warning

from .sentence_transformers_geomclip import save_module_files

# Settings specific to this machine that a tokenizer would write to its configuration.
LOCAL_SETTINGS = ("is_local", "local_files_only", "name_or_path")


class GeomCLIPProcessor(ProcessorMixin):
    """Combine a feature extractor for molecules with a tokenizer for text.

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
        """Build a batch of molecules, texts or both.

        Args:
            molecules: one molecule or an iterable of them, as the feature extractor takes them.
            text: one text or an iterable of them, such as a column of a table; see `list_texts`.
            return_tensors: "pt" for torch tensors, as the model takes them; None for arrays and lists.
            errors: "raise" or "report", as for the feature extractor. With "report", equal numbers of molecules and
                texts are taken as pairs, and the text of a skipped molecule is skipped, too. Any other number of texts
                (captions to compare with) is kept in full.
            kwargs: further arguments of the tokenizer, such as `max_length`.
        Returns:
            For molecules, `atom_ids`, `positions` (Å) and `atom_mask`; for text, `input_ids`, `attention_mask` and all
            other outputs of the tokenizer; with errors="report", also `kept` and `failures`.
        Raises:
            MoleculeError: a molecule cannot be used.
            ValueError: a text is not a string, or there are neither molecules nor text.
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
        if "max_length" not in kwargs:  # the limit of a short text tower, or ours if the tokenizer has none
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
        """Pad rows from `__call__` to a batch. `DataCollatorWithPadding` calls this method.

        Args:
            rows: rows of molecules, texts or both, as in a dataset that was mapped with the processor. Other columns,
                for example labels, become tensors.
            padding, max_length: padding of the texts, as the tokenizer takes them; molecules are padded to the largest
                of the batch.
            pad_to_multiple_of: pad texts and molecules to a multiple of this length.
            return_tensors: as for `__call__`.
        Raises:
            ValueError: the rows come from a dataset that was not mapped with the processor.
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
        """Save the processor, without the tokenizer's settings that are specific to this machine.

        With the model, the folder is then also one that sentence-transformers loads.
        """
        for name in LOCAL_SETTINGS:
            self.tokenizer.init_kwargs.pop(name, None)
        Path(save_directory).mkdir(parents=True, exist_ok=True)
        save_module_files(save_directory)
        return super().save_pretrained(save_directory, push_to_hub=push_to_hub, **kwargs)


def list_texts(texts: str | Iterable[str]) -> list[str]:
    """Return the texts as a list; a single text becomes a list of one. Empty texts are allowed.

    Raises:
        ValueError: there are no texts, they have several dimensions, or one is not a string, such as a missing value of
            a table; names its index.
    """
    num_dimensions = getattr(texts, "ndim", 1)
    if num_dimensions > 1:  # iterating over a DataFrame yields the names of its columns
        raise ValueError(f"the texts have {num_dimensions} dimensions; pass one column")
    is_many = isinstance(texts, Iterable) and not isinstance(texts, (str, bytes, Mapping)) and num_dimensions == 1
    texts = list(texts) if is_many else [texts]
    if not texts:
        raise ValueError("the list of texts is empty; pass at least one")
    for index, text in enumerate(texts):
        if not isinstance(text, str):
            raise ValueError(f"text {index} is {reprlib.repr(text)}, not a string; replace or drop it")
    return texts
