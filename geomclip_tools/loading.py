"""Checkpoints to evaluate or to use: a model in evaluation mode, and what reads for it."""

from typing import Any

import torch
from transformers import AutoFeatureExtractor, AutoModel, AutoModelForSequenceClassification, AutoProcessor

import modeling_geomclip  # noqa: F401  registers the classes


def choose_device() -> torch.device:
    """The accelerator, if there is one, else the CPU."""
    return torch.accelerator.current_accelerator(check_available=True) or torch.device("cpu")


def load_checkpoint(path: str, dtype: torch.dtype | str = torch.float32) -> tuple[Any, Any]:
    """Model and processor of a folder or Hub id.

    Args:
        dtype: of the weights, however they are stored; "auto" for that in which they are.
    """
    model = AutoModel.from_pretrained(path, dtype=dtype).to(choose_device()).eval()
    return model, AutoProcessor.from_pretrained(path)


def load_predictor(path: str) -> tuple[Any, Any]:
    """Predictor of properties and its feature extractor, of a folder or Hub id."""
    model = AutoModelForSequenceClassification.from_pretrained(path).to(choose_device()).eval()
    return model, AutoFeatureExtractor.from_pretrained(path)
