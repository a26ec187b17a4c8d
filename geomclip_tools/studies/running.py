"""Stages and evaluations as processes, one at a time: what is finished is skipped, what was interrupted goes on."""

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

DONE, LOG = "stage.json", "stage.log"  # within the folder of a stage: written at its end; all that it printed
RESULTS, RANKS = "results.json", "ranks.csv"  # within the folder of a measurement
RANKED = ("retrieval",)  # commands that write ranks
ROOT = Path(__file__).resolve().parents[2]
WEIGHTS = (".parquet", ".csv", ".tsv", ".sdf", ".safetensors", ".pt", ".bin")  # of an input, that tell it
HUB = "the Hub"  # where an input is that is no path
TAIL = 15  # lines of a log that are shown


class StageError(RuntimeError):
    """A process that ended with an error; the message has the last lines of its log."""


@dataclass(frozen=True)
class Bench:
    """Where a study is run: the folder of its runs, and the inputs' paths by name."""

    folder: Path
    inputs: Mapping[str, str]

    def find(self, reference: str) -> str:
        """The path that a name in braces stands for: an input's, or an earlier stage's folder."""
        return self.inputs.get(reference) or str(self.folder / reference)


# --------------------------------------------------------------------------------------------------------------- inputs


def read_inputs(words: list[str], study: Study, runs: list[Run]) -> dict[str, str]:
    """Paths by name, from `name=path`.

    Raises:
        ValueError: the study has no such input; one that the runs need is missing; a file or folder is not there, or is
            a test split by its name.
    """
    inputs = {}
    for word in words:
        name, equals, path = word.partition("=")
        if not equals or name not in study.inputs:
            raise ValueError(f"--input {word}: give name=path; the inputs of {study.name} are {list(study.inputs)}")
        path = str(Path(path).expanduser())
        if path.startswith((".", "/")) and not Path(path).exists():
            raise ValueError(f"--input {word}: there is no such file or folder")
        if Path(path).is_file() and "test" in Path(path).stem.lower().replace("_", "-").split("-"):
            raise ValueError(f"--input {word}: this is a test split by its name; give the data set that it is of")
        inputs[name] = path
    settings = [stage.settings for run in runs for stage in run.stages]
    settings += [evaluation.settings for evaluation in study.evaluations.values()]
    for name in (name for flags in settings for name in list_references(flags)):
        if name in study.inputs and name not in inputs:
            raise ValueError(f"the input {name!r} is missing; give --input {name}=PATH")
    return inputs


def describe_input(path: str) -> str:
    """How many files of data or weights, and of how many bytes, so that another input of the same name is noticed."""
    if not Path(path).exists():
        return HUB
    files = [Path(path)] if Path(path).is_file() else [file for file in Path(path).rglob("*") if file.is_file()]
    sizes = [file.stat().st_size for file in files if file.suffix in WEIGHTS]
    return f"{len(sizes)} files, {sum(sizes)} bytes"


# --------------------------------------------------------------------------------------------------------------- stages


def run_stage(stage: Stage, bench: Bench) -> None:
    """Train it, if that is not done.

    Raises:
        StageError: its process ended with an error.
        ValueError: another process trains it; it was trained on another input.
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
    """Refuse a finished stage whose inputs were others."""
    for name, description in inputs.items():
        if before[name] != description and HUB not in (before[name], description):
            raise ValueError(
                f"{folder} was trained on the input {name} of {before[name]}, which now has {description}; give the "
                f"same, or another folder by --runs"
            )


def build_training(stage: Stage, bench: Bench, measured: Settings | None = None) -> list[str]:
    """The command line of a stage; a script that measures is told what and, without `measured`, validation rows."""
    settings = fill(stage.settings, bench.find)
    folder = bench.folder / stage.folder
    flags = {key: value for key, value in settings.items() if key not in ("task", "script", "measures")}
    words = [*find_program(settings), *list_flags(flags | {"seed": stage.seed, "output_dir": folder}), "--resume"]
    if stage.measures:
        words += list_flags(measured or {"split": VALIDATION, "output": folder / "while_training.json"})
    return words


def find_program(settings: Settings) -> list[str]:
    if "script" in settings:
        return [sys.executable, settings["script"]]
    return [sys.executable, "-m", "geomclip_tools", "train", settings["task"]]


def list_flags(settings: Settings) -> list[str]:
    """Words of a command line."""
    words = []
    for name, value in settings.items():
        words += [f"--{name}", *map(str, value)] if isinstance(value, list) else [f"--{name}={value}"]
    return words


def read_record(folder: Path) -> dict[str, Any] | None:
    """What a training wrote of itself, of its last epoch if it can be told."""
    files = [folder / "last" / RECORD, folder / RECORD]
    return next((record for file in files if file.is_file() and "seconds" in (record := read_json(file))), None)


# --------------------------------------------------------------------------------------------------------- measurements


def measure(measurement: Measurement, bench: Bench) -> None:
    """Make the measurement, if that is not done; its folder appears when it is complete.

    Raises:
        StageError, ValueError: as `run_stage`.
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
    """The command line, whose results go into a folder."""
    stage, evaluation = measurement.run.stages[-1], measurement.evaluation
    written = {"split": measurement.split, "output": folder / RESULTS}
    if stage.measures or evaluation.command in RANKED:
        written["ranks"] = folder / RANKS
    if stage.measures:  # finds nothing left to train
        return build_training(stage, bench, written)
    words = [sys.executable, "-m", "geomclip_tools", "evaluate", evaluation.command]
    settings = fill(evaluation.settings, lambda name: measurement.split if name == SPLIT else bench.find(name))
    flags = {"model": bench.folder / stage.folder} | settings | written
    return [*words, *list_flags(flags)]


# ------------------------------------------------------------------------------------------------------------ processes


@contextmanager
def open_log(folder: Path) -> Iterator[BinaryIO]:
    """The log of a stage, to be appended to; it stays locked as long as a command writes into it, even if this process
    is killed before.

    Raises:
        ValueError: another command holds it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / LOG).open("ab") as log:
        try:
            fcntl.flock(log, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ValueError(f"another process works in {folder}; wait for it, or end it") from None
        yield log


def execute(words: list[str], log: BinaryIO) -> None:
    """Run a command, whose output goes into the log.

    Raises:
        StageError: it ended with an error.
    """
    log.write(f"\n# {now()}, commit {find_commit()}: {shlex.join(words)}\n".encode())
    log.flush()
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))  # for scripts in folders
    environment = os.environ | {"PYTHONPATH": path}
    result = subprocess.run(
        words, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, env=environment, check=False
    )
    if result.returncode:
        text = Path(log.name).read_text(encoding="utf-8", errors="replace").replace("\r", "\n")
        end = f"ended with exit code {result.returncode}; its whole log is {log.name}"
        raise StageError("\n".join([*text.splitlines()[-TAIL:], end]))


def write_json(path: Path, record: dict[str, Any]) -> None:
    """Complete or not at all."""
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(record, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    partial.replace(path)


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
