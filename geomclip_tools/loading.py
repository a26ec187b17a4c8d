"""Checkpoints to evaluate or to use: a model in evaluation mode, and what reads for it."""

from typing import Any

import torch
from transformers import (
    AutoConfig,
    AutoFeatureExtractor,
    AutoModel,
    AutoModelForSequenceClassification,
    AutoProcessor,
)

from modeling_geomclip import GeomCLIPForPropertyPrediction  # which registers all classes


def choose_device() -> torch.device:
    """The accelerator, if there is one, else the CPU."""
    return torch.accelerator.current_accelerator(check_available=True) or torch.device("cpu")


def load_geomclip(path: str) -> tuple[Any, Any]:
    """GeomCLIP, in float32, and its processor, of a folder or Hub id.

    Raises:
        ValueError: it is another model.
    """
    check_kind(path, "geomclip", "does not embed molecules and texts; give a GeomCLIP")
    model = AutoModel.from_pretrained(path, dtype=torch.float32).to(choose_device()).eval()
    return model, AutoProcessor.from_pretrained(path)


def load_captioner(path: str) -> tuple[Any, Any]:
    """Captioner, in the data type of its weights, and its processor, of a folder or Hub id.

    Raises:
        ValueError: it is another model.
    """
    check_kind(path, "geomclip_captioning", "writes nothing; give a captioner")
    model = AutoModel.from_pretrained(path, dtype="auto").to(choose_device()).eval()
    return model, AutoProcessor.from_pretrained(path)


def check_kind(path: str, kind: str, fault: str) -> None:
    """Refuse, before it is loaded, a checkpoint of another `model_type`.

    Raises:
        ValueError: naming both, and the fault.
    """
    if (found := read_config(path).model_type) != kind:
        raise ValueError(f"{path} is a {found}, which {fault}")


def read_config(path: str) -> Any:
    """Configuration of a folder or Hub id.

    Raises:
        ValueError: there is no such folder, and no such model on the Hub, or the Hub is out of reach.
    """
    try:
        return AutoConfig.from_pretrained(path)
    except OSError as error:
        raise ValueError(
            f"{path} is neither the folder of a checkpoint nor a model that the Hub gives; check the path"
        ) from error


def load_predictor(path: str) -> tuple[Any, Any]:
    """Predictor of properties and its feature extractor, of a folder or Hub id.

    Raises:
        ValueError: it has no head for properties, so that a random one would predict.
    """
    architectures = read_config(path).architectures or []
    if GeomCLIPForPropertyPrediction.__name__ not in architectures:
        kind = ", ".join(architectures) or "model of unknown architecture"
        raise ValueError(f"{path} is a {kind}, which predicts no properties; give a predictor")
    model = AutoModelForSequenceClassification.from_pretrained(path).to(choose_device()).eval()
    return model, AutoFeatureExtractor.from_pretrained(path)
