"""The decoder of a captioner: what transformers loads, also where there is only a GGUF file."""

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
    """What `AutoModelForCausalLM` and `AutoTokenizer` load for the decoder that `source` names.

    Args:
        source: Hub id, folder with config.json, folder with one GGUF file, or path of a GGUF file.
        cache: where what is made of GGUF files lies, in a folder named by the SHA-256 of the file.
    Returns: `source`, or the folder made of its GGUF file: float32 weights, configurations and tokenizer.
    Raises:
        FileNotFoundError: there is no GGUF file of that path.
        ModuleNotFoundError: the package gguf is not installed.
        ValueError: the folder has no config.json and not one GGUF file, or the file is no whole causal language model.
    """
    gguf_file = _find_gguf_file(Path(source))
    return source if gguf_file is None else str(_convert_once(gguf_file, cache))


def _find_gguf_file(source: Path) -> Path | None:
    """The GGUF file that the source is or has; None for what transformers loads as it is."""
    if source.suffix == ".gguf" and not source.is_dir():
        if not source.is_file():
            raise FileNotFoundError(f"there is no GGUF file {source}; correct the path of the decoder")
        return source
    if not source.is_dir() or (source / "config.json").is_file():
        return None
    files = sorted(source.glob("*.gguf"))
    if not files:
        raise ValueError(
            f"folder {source} has neither config.json nor a .gguf file; name a folder that has one of them, or a Hub id"
        )
    if len(files) > 1:
        names = ", ".join(file.name for file in files)
        raise ValueError(f"folder {source} has {len(files)} .gguf files, {names}; give the path of one of them")
    return files[0]


def _convert_once(gguf_file: Path, cache: Path) -> Path:
    with gguf_file.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    folder, unfinished = cache / digest, cache / f"{digest}.part"
    cache.mkdir(parents=True, exist_ok=True)
    with FileLock(cache / f"{digest}.lock"):  # of several processes one converts, the others wait for it
        if not folder.is_dir():
            logger.info("converting %s to %s", gguf_file, folder)
            shutil.rmtree(unfinished, ignore_errors=True)  # what a killed process left
            _convert(gguf_file, unfinished)
            unfinished.rename(folder)
    return folder


def _convert(gguf_file: Path, folder: Path) -> None:
    if find_spec("gguf") is None:
        raise ModuleNotFoundError(f"reading {gguf_file} needs the package gguf; pip install gguf")
    # float32 holds the dequantised values exactly. bfloat16, half as large, changes 79 % of the weights of
    # SmolLM2-135M-Instruct (Q4_1) and its logits by 0.02 on average, and transformers trains in the dtype it finds.
    model, loading = AutoModelForCausalLM.from_pretrained(
        gguf_file.parent,
        gguf_file=gguf_file.name,
        dtype=torch.float32,
        quantization_config=GgufConfig(dequantize=True),  # without it the model cannot be saved
        output_loading_info=True,
    )
    if missing := sorted(loading["missing_keys"]):
        raise ValueError(f"{gguf_file} lacks {len(missing)} weights, such as {missing[0]}; name a file that has all")
    model.save_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(gguf_file.parent, gguf_file=gguf_file.name)
    for name in LOCAL_SETTINGS:
        tokenizer.init_kwargs.pop(name, None)
    tokenizer.save_pretrained(folder)
