"""Run stages and evaluations as processes, one at a time; skip finished ones and resume interrupted ones."""

import fcntl
import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

from ..records import RECORD, describe_hardware, find_commit, read_json, redact_path
from .runs import VALIDATION, Measurement, Run, Stage
from .study import SPLIT, Settings, Study, fill, list_references

DONE, LOG = "stage.json", "stage.log"  # in the folder of a stage: its record, written at the end; its output
RESULTS, RANKS = "results.json", "ranks.csv"  # in the folder of a measurement
RANKED = ("retrieval",)  # evaluations that write ranks
ROOT = Path(__file__).resolve().parents[2]
WEIGHTS = (".parquet", ".csv", ".tsv", ".sdf", ".safetensors", ".pt", ".bin")  # files that identify an input
HUB = "the Hub"  # describes an input that is not a path
TAIL = 15  # lines of the log in an error message


class StageError(RuntimeError):
    """A process failed; the message has the last lines of its log."""


@dataclass(frozen=True)
class Bench:
    """The place where a study runs: the folder of its runs, and the paths of the inputs by name."""

    folder: Path
    inputs: Mapping[str, str]

    def find(self, reference: str) -> str:
        """Return the path for a name in braces: that of an input, or the folder of an earlier stage."""
        return self.inputs.get(reference) or str(self.folder / reference)


# --------------------------------------------------------------------------------------------------------------- inputs


def read_inputs(words: list[str], study: Study, runs: list[Run]) -> dict[str, str]:
    """Parse `name=path` words into paths by name.

    Raises:
        ValueError: if the study has no such input, a required input is missing, a file or folder does not exist, or a
            file name is that of a test split.
    """
    inputs = {}
    for word in words:
        name, equals, path = word.partition("=")
        if not equals or name not in study.inputs:
            raise ValueError(f"--input {word}: use name=path; the inputs of {study.name} are {list(study.inputs)}")
        path = str(Path(path).expanduser())
        if path.startswith((".", "/")) and not Path(path).exists():
            raise ValueError(f"--input {word}: there is no such file or folder; check the path")
        if Path(path).is_file() and "test" in Path(path).stem.lower().replace("_", "-").split("-"):
            raise ValueError(f"--input {word}: the name is that of a test split; pass the folder of the whole dataset")
        inputs[name] = path
    settings = [stage.settings for run in runs for stage in run.stages]
    settings += [evaluation.settings for evaluation in study.evaluations.values()]
    for name in (name for flags in settings for name in list_references(flags)):
        if name in study.inputs and name not in inputs:
            raise ValueError(f"the input {name!r} is missing; add --input {name}=PATH")
    return inputs


def describe_input(path: str) -> str:
    """Return the number and total size of the data or weight files, to detect another input of the same name."""
    if not Path(path).exists():
        return HUB
    files = [Path(path)] if Path(path).is_file() else [file for file in Path(path).rglob("*") if file.is_file()]
    sizes = [file.stat().st_size for file in files if file.suffix in WEIGHTS]
    return f"{len(sizes)} files, {sum(sizes)} bytes"


# --------------------------------------------------------------------------------------------------------------- stages


def run_stage(stage: Stage, bench: Bench) -> None:
    """Train a stage unless it is finished.

    Raises:
        StageError: if its process fails.
        ValueError: if another process is training it, or if it was trained on another input.
    """
    folder = bench.folder / stage.folder
    used = [name for name in list_references(stage.settings) if name in bench.inputs]
    inputs = {name: describe_input(bench.inputs[name]) for name in used}
    if (folder / DONE).is_file():
        check_inputs(folder, read_json(folder / DONE)["inputs"], inputs)
        return
    words, started = build_training(stage, bench), time.monotonic()
    with open_log(folder) as log:
        execute(words, log)
    spent = read_record(folder) or {"seconds": time.monotonic() - started, "hardware": describe_hardware(1)}
    record = {
        "stage": stage.name,
        "settings": stage.settings,
        "seed": stage.seed,
        "inputs": inputs,
        "commit": find_commit(),
        "hardware": spent["hardware"],
        "hours": round(spent["seconds"] / 3600, 4),
        "command": shlex.join(map(redact_path, words[1:])),
        "date": now(),
    }
    write_json(folder / DONE, record)


def check_inputs(folder: Path, before: dict[str, str], inputs: dict[str, str]) -> None:
    """Check that a finished stage was trained on the same inputs."""
    for name, description in inputs.items():
        if before[name] != description and HUB not in (before[name], description):
            raise ValueError(
                f"{folder} was trained with the input {name} of {before[name]}, which now has {description}; pass the "
                f"same input, or another folder with --runs"
            )


def build_training(stage: Stage, bench: Bench, measured: Settings | None = None) -> list[str]:
    """Build the command line of a stage.

    A script that measures also gets the flags `measured`; without them, it measures the validation split.
    """
    settings = fill(stage.settings, bench.find)
    folder = bench.folder / stage.folder
    flags = {key: value for key, value in settings.items() if key not in ("task", "script", "measures")}
    words = [*find_program(settings), *list_flags(flags | {"seed": stage.seed, "output_dir": folder}), "--resume"]
    if stage.measures:
        words += list_flags(measured or {"split": VALIDATION, "output": folder / "while_training.json"})
    return words


def find_program(settings: Settings) -> list[str]:
    """Return the first words of the command line: the script or `geomclip train TASK`."""
    if "script" in settings:
        return [sys.executable, settings["script"]]
    return [sys.executable, "-m", "geomclip_tools", "train", settings["task"]]


def list_flags(settings: Settings) -> list[str]:
    """Convert settings to the words of a command line."""
    words = []
    for name, value in settings.items():
        words += [f"--{name}", *map(str, value)] if isinstance(value, list) else [f"--{name}={value}"]
    return words


def read_record(folder: Path) -> dict[str, Any] | None:
    """Return the record of a training run that has its duration, preferably of the last epoch; None without one."""
    files = [folder / "last" / RECORD, folder / RECORD]
    return next((record for file in files if file.is_file() and "seconds" in (record := read_json(file))), None)


# --------------------------------------------------------------------------------------------------------- measurements


def measure(measurement: Measurement, bench: Bench) -> None:
    """Run a measurement unless it is finished; its folder appears when it is complete.

    Raises:
        StageError, ValueError: as for `run_stage`.
    """
    folder = bench.folder / measurement.folder
    if folder.is_dir():
        return
    partial = folder.with_name(f"{folder.name}.partial")
    with open_log(bench.folder / measurement.run.stages[-1].folder) as log:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        execute(build_evaluation_command(measurement, bench, partial), log)
        partial.rename(folder)


def build_evaluation_command(measurement: Measurement, bench: Bench, folder: Path) -> list[str]:
    """Build the command line of a measurement that writes its results into `folder`."""
    stage, evaluation = measurement.run.stages[-1], measurement.evaluation
    written = {"split": measurement.split, "output": folder / RESULTS}
    if stage.measures or evaluation.command in RANKED:
        written["ranks"] = folder / RANKS
    if stage.measures:  # trained already: measures only
        return build_training(stage, bench, written)
    words = [sys.executable, "-m", "geomclip_tools", "evaluate", evaluation.command]
    settings = fill(evaluation.settings, lambda name: measurement.split if name == SPLIT else bench.find(name))
    flags = {"model": bench.folder / stage.folder} | settings | written
    return [*words, *list_flags(flags)]


# ------------------------------------------------------------------------------------------------------------ processes


@contextmanager
def open_log(folder: Path) -> Iterator[BinaryIO]:
    """Open the log of a stage for appending, with a lock.

    The lock lasts as long as a command writes into the log, even if this process is killed earlier.

    Raises:
        ValueError: if another process holds the lock.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / LOG).open("ab") as log:
        try:
            fcntl.flock(log, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ValueError(f"another process is using {folder}; wait for it, or stop it") from None
        yield log


def execute(words: list[str], log: BinaryIO) -> None:
    """Run a command and write its output to the log.

    Raises:
        StageError: if it fails.
    """
    log.write(f"\n# {now()}, commit {find_commit()}: {shlex.join(words)}\n".encode())
    log.flush()
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))  # lets scripts import the packages
    environment = os.environ | {"PYTHONPATH": path}
    result = subprocess.run(
        words, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, env=environment, check=False
    )
    if result.returncode:
        text = Path(log.name).read_text(encoding="utf-8", errors="replace").replace("\r", "\n")
        end = f"failed with exit code {result.returncode}; the full log is {log.name}"
        raise StageError("\n".join([*text.splitlines()[-TAIL:], end]))


def write_json(path: Path, record: dict[str, Any]) -> None:
    """Write a JSON file atomically."""
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(record, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    partial.replace(path)


def now() -> str:
    """Return the current UTC time in ISO 8601 format, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")
