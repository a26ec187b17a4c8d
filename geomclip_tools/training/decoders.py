"""Prepare the decoder of a captioner, converting a GGUF file if necessary."""

import hashlib
import logging
import shutil
from importlib.util import find_spec
from pathlib import Path

import torch
from filelock import FileLock
from huggingface_hub.constants import HF_HOME
from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

from modeling_geomclip.processing_geomclip import LOCAL_SETTINGS

logger = logging.getLogger("geomclip")

CACHE = Path(HF_HOME) / "geomclip" / "decoders"


def prepare_decoder(source: str, cache: Path = CACHE) -> str:
    """Return a source that `AutoModelForCausalLM` and `AutoTokenizer` can load, converting a GGUF file once.

    Args:
        source: Hub id, folder with config.json, folder with one GGUF file, or path of a GGUF file.
        cache: folder for converted GGUF files, each in a folder named after the SHA-256 of the file.
    Returns:
        `source`, or the folder with the converted model: float32 weights, configurations and tokenizer.
    Raises:
        FileNotFoundError: the GGUF file does not exist.
        ModuleNotFoundError: the gguf package is not installed.
        ValueError: the folder has no config.json and not exactly one GGUF file, or the file is not a complete causal
            language model.
    """
    gguf_file = _find_gguf_file(Path(source))
    return source if gguf_file is None else str(_convert_once(gguf_file, cache))


def _find_gguf_file(source: Path) -> Path | None:
    """Return the GGUF file that the source is or contains, or None if transformers can load the source directly."""
    if source.suffix == ".gguf" and not source.is_dir():
        if not source.is_file():
            raise FileNotFoundError(f"the GGUF file {source} does not exist; correct the path of the decoder")
        return source
    if not source.is_dir() or (source / "config.json").is_file():
        return None
    files = sorted(source.glob("*.gguf"))
    if not files:
        raise ValueError(
            f"folder {source} has neither config.json nor a .gguf file; pass a folder with one of them, or a Hub id"
        )
    if len(files) > 1:
        names = ", ".join(file.name for file in files)
        raise ValueError(f"folder {source} has {len(files)} .gguf files, {names}; pass the path of one of them")
    return files[0]


def _convert_once(gguf_file: Path, cache: Path) -> Path:
    with gguf_file.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    folder, unfinished = cache / digest, cache / f"{digest}.part"
    cache.mkdir(parents=True, exist_ok=True)
    with FileLock(cache / f"{digest}.lock"):  # one process converts, the others wait
        if not folder.is_dir():
            logger.info("converting %s to %s", gguf_file, folder)
            shutil.rmtree(unfinished, ignore_errors=True)  # left by a killed process
            _convert(gguf_file, unfinished)
            unfinished.rename(folder)
    return folder


def _convert(gguf_file: Path, folder: Path) -> None:
    if find_spec("gguf") is None:
        raise ModuleNotFoundError(f"reading {gguf_file} needs the gguf package; pip install gguf")
    # float32 stores the dequantised values exactly. bfloat16 is half the size, but changes 79 % of the weights of
    # SmolLM2-135M-Instruct (Q4_1), and its logits by 0.02 on average. transformers trains in the dtype of the file.
    model, loading = AutoModelForCausalLM.from_pretrained(
        gguf_file.parent,
        gguf_file=gguf_file.name,
        dtype=torch.float32,
        quantization_config=GgufConfig(dequantize=True),  # a quantised model cannot be saved
        output_loading_info=True,
    )
    if missing := sorted(loading["missing_keys"]):
        raise ValueError(f"{gguf_file} lacks {len(missing)} weights, such as {missing[0]}; pass a complete file")
    model.save_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(gguf_file.parent, gguf_file=gguf_file.name)
    for name in LOCAL_SETTINGS:
        tokenizer.init_kwargs.pop(name, None)
    tokenizer.save_pretrained(folder)
