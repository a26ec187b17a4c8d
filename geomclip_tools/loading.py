"""Load checkpoints for evaluation and use: a model in evaluation mode, and its processor."""

from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoConfig,
    AutoFeatureExtractor,
    AutoModel,
    AutoModelForSequenceClassification,
    AutoProcessor,
)

from modeling_geomclip import GeomCLIPForPropertyPrediction  # also registers the Auto classes

from .precision import choose_precision


def choose_device() -> torch.device:
    """Return the accelerator if there is one, else the CPU."""
    return torch.accelerator.current_accelerator(check_available=True) or torch.device("cpu")


def load_geomclip(path: str) -> tuple[Any, Any]:
    """Load a GeomCLIP in float32, and its processor.

    Args:
        path: folder or Hub id.
    Raises:
        ValueError: there is no checkpoint, or it is not a GeomCLIP.
    """
    check_kind(path, "geomclip", "does not embed molecules and texts; pass a GeomCLIP")
    model = AutoModel.from_pretrained(path, dtype=torch.float32).to(choose_device()).eval()
    return model, AutoProcessor.from_pretrained(path)


def load_captioner(path: str) -> tuple[Any, Any]:
    """Load a captioner in the dtype of its weights, and its processor.

    A decoder that was trained in bfloat16 computes in it where that is faster, and in float32 elsewhere.

    Args:
        path: folder or Hub id.
    Raises:
        ValueError: there is no checkpoint, or it is not a captioner.
    """
    check_kind(path, "geomclip_captioning", "does not generate captions; pass a captioner")
    model = AutoModel.from_pretrained(path, dtype="auto").to(choose_device()).eval()
    if read_config(path).decoder_config.dtype == torch.bfloat16:
        model.decoder.to(torch.bfloat16 if choose_precision() == "bf16" else torch.float32)
    return model, AutoProcessor.from_pretrained(path)


def check_kind(path: str, kind: str, fault: str) -> None:
    """Check the `model_type` of a checkpoint before it is loaded.

    Args:
        path: folder or Hub id.
        kind: expected `model_type`.
        fault: end of the error message: what other models lack, and the remedy.
    Raises:
        ValueError: there is no checkpoint, or it has another `model_type`.
    """
    if (found := read_config(path).model_type) != kind:
        raise ValueError(f"{path} is a {found}, which {fault}")


def read_config(path: str) -> Any:
    """Load the configuration of a checkpoint.

    Args:
        path: folder or Hub id.
    Raises:
        ValueError: the folder has no config.json, or there is neither a folder nor a Hub model of that name, or the Hub
            cannot be reached.
    """
    if Path(path).is_dir() and not (Path(path) / "config.json").is_file():  # transformers: "Unrecognized model"
        raise ValueError(f"folder {path} has no config.json, so it is not a checkpoint; pass the folder of a model")
    try:
        return AutoConfig.from_pretrained(path)
    except OSError as error:
        raise ValueError(
            f"{path} is neither the folder of a checkpoint nor a model that can be loaded from the Hub; check the path"
        ) from error


def load_predictor(path: str) -> tuple[Any, Any]:
    """Load a property predictor and its feature extractor.

    Args:
        path: folder or Hub id.
    Raises:
        ValueError: there is no checkpoint, or it has no property head; a newly initialised head would predict noise.
    """
    architectures = read_config(path).architectures or []
    if GeomCLIPForPropertyPrediction.__name__ not in architectures:
        kind = ", ".join(architectures) or "model of unknown architecture"
        raise ValueError(f"{path} is a {kind}, which does not predict properties; pass a predictor")
    model = AutoModelForSequenceClassification.from_pretrained(path).to(choose_device()).eval()
    return model, AutoFeatureExtractor.from_pretrained(path)
