"""The model of an index: its identity and its embeddings."""

import hashlib
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any

import numpy as np
import torch

from modeling_geomclip import embed_molecules, embed_texts
from modeling_geomclip.embedding_geomclip import embed_records

from ..loading import load_geomclip

GEOMETRY = ("atomic_numbers", "positions")
READING = ("remove_hydrogens", "max_atoms")  # settings of the feature extractor for molecules with coordinates


class Encoder:
    """A model with its processor.

    Args:
        model: folder or Hub id of a GeomCLIP, or a `GeomCLIPModel` and its processor.
    Attributes:
        name: folder or Hub id; "" for a model that was given itself.
        weights_sha256: digest of the weights, see `digest_weights`.
    """

    def __init__(self, model: str | tuple[Any, Any]):
        self.name = model if isinstance(model, str) else ""
        self.model, self.processor = load_geomclip(model) if isinstance(model, str) else model
        self.weights_sha256 = digest_weights(self.model)

    def describe(self) -> dict[str, Any]:
        """Return the metadata of an index of this model."""
        return {
            "model": self.name,
            "weights_sha256": self.weights_sha256,
            "processor": self.describe_processor(),
            "embedding_size": self.model.config.projection_dim,
            "software_version": version("geomclip"),
        }

    def describe_processor(self) -> dict[str, Any]:
        """Return the settings of the processor that embeddings depend on."""
        return {**self.making, "text_length": self.processor.tokenizer.model_max_length}

    @property
    def reading(self) -> dict[str, Any]:
        """Settings of `read_molecule` for coordinates."""
        return {name: getattr(self.processor.feature_extractor, name) for name in READING}

    @property
    def making(self) -> dict[str, Any]:
        """Settings of `read_molecule` for a conformer."""
        return self.reading | {"seed": self.processor.feature_extractor.conformer_seed}

    def embed_texts(self, texts: Sequence[str]) -> np.ndarray:
        """Embed texts: (texts, size) float32, L2-normalised."""
        return embed_texts(self.model, self.processor, texts).numpy()

    def embed_molecule(self, molecule: Any) -> np.ndarray:
        """Embed a molecule in any form that the processor takes: (size,) float32, L2-normalised.

        Raises:
            MoleculeError: the molecule cannot be used.
        """
        return embed_molecules(self.model, self.processor, [molecule]).numpy()[0]

    def embed_rows(self, rows: Sequence[dict[str, Any]]) -> None:
        """Add `vector` to each row that has a geometry, and `text_vector` to each that has a text."""
        placed, told = [row for row in rows if "positions" in row], [row for row in rows if row.get("text")]
        if placed:
            records = [{name: row[name] for name in GEOMETRY} for row in placed]
            for row, vector in zip(placed, embed_records(self.model, self.processor, records).numpy()):
                row["vector"] = vector
        if told:
            for row, vector in zip(told, self.embed_texts([row["text"] for row in told])):
                row["text_vector"] = vector

    def check(self, metadata: Mapping[str, Any]) -> None:
        """Check that this is the model of an index.

        Raises:
            ValueError: it is another model, or has another processor.
        """
        if metadata["weights_sha256"] != self.weights_sha256:
            raise ValueError(
                f"the index belongs to {_name_model(metadata)}; {self.name or 'the given model'} has weights with "
                f"SHA-256 {self.weights_sha256}; pass the model of the index, or make a new index"
            )
        own = self.describe_processor()
        if differing := [name for name, value in metadata["processor"].items() if own.get(name) != value]:
            told = ", ".join(f"{name} is {own.get(name)}, not {metadata['processor'][name]}" for name in differing)
            raise ValueError(f"the index was made with other settings of the processor: {told}; use those of the index")


def load_encoder(metadata: Mapping[str, Any]) -> Encoder:
    """Load the model that an index names.

    Raises:
        ValueError: it is not there, or it is another model.
    """
    if not metadata["model"]:
        raise ValueError(f"the index belongs to {_name_model(metadata)}; pass this model")
    try:
        encoder = Encoder(metadata["model"])
    except (OSError, ValueError) as error:
        raise ValueError(f"the index belongs to {_name_model(metadata)}; pass its folder ({error})") from error
    encoder.check(metadata)
    return encoder


def digest_weights(model: torch.nn.Module) -> str:
    """Return the SHA-256 over names, types, shapes and values of the weights, whatever files they came from."""
    sha = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        values = tensor.detach().cpu().contiguous().reshape(-1)
        sha.update(f"{name} {values.dtype} {tuple(tensor.shape)}\n".encode())
        sha.update(values.view(torch.uint8).numpy().tobytes())
    return sha.hexdigest()


def _name_model(metadata: Mapping[str, Any]) -> str:
    name = f"the model {metadata['model']}" if metadata["model"] else "a model"
    return f"{name} with weights of SHA-256 {metadata['weights_sha256']}"
