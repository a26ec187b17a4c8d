"""Molecules and text -> the model's inputs."""

import os
from typing import Any, Literal

from transformers import BatchFeature, ProcessorMixin

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
        text: str | list[str] | None = None,
        return_tensors: str | None = "pt",
        errors: Literal["raise", "report"] = "raise",
        **kwargs: Any,
    ) -> BatchFeature:
        """A batch of molecules, of texts, or of both.

        Args:
            molecules: one molecule or an iterable of them, as the feature extractor takes them.
            text: one text or a list of them.
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
            texts = _list_of_texts(text)
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

    def save_pretrained(self, save_directory: str | os.PathLike, push_to_hub: bool = False, **kwargs: Any) -> list[str]:
        """As for every processor, without what the tokenizer knows of this machine."""
        for name in LOCAL_SETTINGS:
            self.tokenizer.init_kwargs.pop(name, None)
        return super().save_pretrained(save_directory, push_to_hub=push_to_hub, **kwargs)


def _list_of_texts(text: str | list[str]) -> list[str]:
    texts = [text] if isinstance(text, str) else list(text)
    if not texts:
        raise ValueError("the list of texts is empty; pass at least one text, or text=None")
    for index, item in enumerate(texts):
        if not isinstance(item, str):
            raise ValueError(f"text {index} is {item!r}, not a string; replace or drop it")
    return texts
