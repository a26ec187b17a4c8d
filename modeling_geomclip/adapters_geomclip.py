"""Where the base model of an adapter lies, and whether its weights are those that the adapter was trained on."""

import hashlib
import os
from pathlib import Path

from huggingface_hub import snapshot_download

from .configuration_geomclip import GeomCLIPCaptioningConfig
from .references_geomclip import EMBEDDINGS_FILE

NOT_WEIGHTS = ("adapter_", EMBEDDINGS_FILE)  # beginnings of the names of other safetensors files


def weights_sha256(name_or_path: str) -> str:
    """Return the SHA-256 over a model's safetensors files, in the order of their names.

    Args:
        name_or_path: folder or Hub id.
    Raises:
        ValueError: there are no safetensors files.
    """
    folder = Path(name_or_path)
    if not folder.is_dir():
        folder = Path(snapshot_download(name_or_path, allow_patterns="*.safetensors"))
    digest = hashlib.sha256()
    files = sorted(file for file in folder.glob("*.safetensors") if not file.name.startswith(NOT_WEIGHTS))
    if not files:
        raise ValueError(f"{name_or_path} has no .safetensors files; save the adapter's base with save_pretrained")
    for file in files:
        with file.open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()


def make_relative(base: str, folder: str | os.PathLike) -> str:
    """Return the path from an adapter's folder to its base. It starts with a dot, unlike a Hub id."""
    path = Path(os.path.relpath(base, folder)).as_posix()
    return path if path.startswith(".") else f"./{path}"


def locate_base(folder: Path, config: GeomCLIPCaptioningConfig) -> str:
    """Return the folder or Hub id of the base of the adapter in `folder`."""
    if config.base_model is None:
        raise ValueError(f"{folder} holds an adapter without base_model in config.json; save it with save_pretrained")
    local = folder / config.base_model
    if local.is_dir():
        return os.path.normpath(local)
    if config.base_model.startswith(".") or config.base_model.count("/") != 1:
        raise OSError(
            f"the adapter in {folder} needs its base {config.base_model!r}, but there is no folder {local}; move the "
            "base there, or set base_model in config.json to its path or Hub id"
        )
    return config.base_model
