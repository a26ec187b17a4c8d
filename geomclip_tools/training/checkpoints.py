"""The files of a run: its log, the training states to resume from, and its checkpoints."""

import dataclasses
import json
import math
import shutil
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.tracking import GeneralTracker, on_main_process

from ..cards.model_card import write_model_card
from ..records import RECORD, describe_hardware
from .settings import TrainingSettings
from .tasks.base import Task

STATES, LAST = "states", "last"  # in the output folder: the training states, and the last checkpoint


class JsonlTracker(GeneralTracker):
    """Log to log.jsonl, one JSON object per line."""

    name = "jsonl"
    requires_logging_directory = False

    def __init__(self, path: Path):
        super().__init__()
        self.path = path

    @property
    def tracker(self) -> Path:
        """The log file."""
        return self.path

    def store_init_configuration(self, values: dict) -> None:
        """Do nothing: train_config.json records the settings."""

    def keep_until(self, step: int) -> None:
        """Drop the log lines after a step, from which a run resumes; step 0 empties the log."""
        lines = self.path.read_text().splitlines(keepends=True) if step and self.path.exists() else []
        complete = [line for line in lines if line.endswith("\n")]
        self.path.write_text("".join(line for line in complete if json.loads(line)["step"] <= step))

    @on_main_process
    def log(self, values: dict, step: int | None = None, **kwargs) -> None:
        """Append one line, on the main process."""
        with self.path.open("a") as file:
            file.write(json.dumps({"step": step, **values}) + "\n")


@dataclasses.dataclass
class Progress:
    """Progress of a run.

    Args:
        epoch: number of completed epochs.
        batch: number of completed batches in the current epoch.
        step: number of completed updates.
        best_score: best validation score so far.
        seconds: time spent on updates and validation, including earlier sessions of a resumed run.
    """

    epoch: int = 0
    batch: int = 0
    step: int = 0
    best_score: float = -math.inf
    seconds: float = 0.0


def save_state(accelerator: Accelerator, folder: Path, progress: Progress, settings: TrainingSettings) -> None:
    """Save a training state to resume from.

    The folder gets its final name once it is complete. Older states are then deleted.
    """
    partial = folder / "partial"
    if accelerator.is_main_process:
        shutil.rmtree(partial, ignore_errors=True)
    accelerator.wait_for_everyone()
    accelerator.save_state(str(partial))
    accelerator.wait_for_everyone()
    if accelerator.is_main_process:
        record = {"progress": dataclasses.asdict(progress), "settings": dataclasses.asdict(settings)}
        (partial / "progress.json").write_text(json.dumps(record))
        older = list(folder.glob("step_*"))
        shutil.rmtree(folder / f"step_{progress.step}", ignore_errors=True)
        partial.rename(folder / f"step_{progress.step}")
        for state in older:
            if state.name != f"step_{progress.step}":
                shutil.rmtree(state)
    accelerator.wait_for_everyone()


def load_newest_state(accelerator: Accelerator, folder: Path, settings: TrainingSettings) -> Progress:
    """Load the latest training state, if there is one, and return its progress.

    Raises:
        ValueError: the settings differ from those of the state.
    """
    states = sorted(folder.glob("step_*"), key=lambda state: int(state.name.removeprefix("step_")))
    if not states:
        return Progress()
    record = json.loads((states[-1] / "progress.json").read_text())
    check_unchanged(states[-1], record["settings"], settings)
    accelerator.load_state(str(states[-1]))
    return Progress(**record["progress"])


def is_finished(settings: TrainingSettings) -> bool:
    """Return whether the output folder holds a finished run with these settings.

    Raises:
        ValueError: it holds a finished run with other settings.
    """
    folder = Path(settings.output_dir)
    record = folder / LAST / RECORD
    if not record.is_file() or any((folder / STATES).glob("step_*")):
        return False
    check_unchanged(record.parent, json.loads(record.read_text()), settings)
    return True


def check_unchanged(folder: Path, saved: dict, settings: TrainingSettings) -> None:
    """Check that the settings are those that were saved. Settings missing from `saved` count as defaults.

    Raises:
        ValueError: a setting that affects the result differs.
    """
    saved = {field.name: field.default for field in dataclasses.fields(settings)} | saved
    changed = {
        name: f"{saved[name]} -> {value}"
        for name, value in dataclasses.asdict(settings).items()
        if name not in ("resume", "num_workers", "report_to", "save_steps") and saved[name] != value
    }
    if changed:
        raise ValueError(f"{folder} was saved with other settings {changed}; restore them or pass a new --output_dir")


def save_checkpoint(
    accelerator: Accelerator, task: Task, model: torch.nn.Module, processor, folder: Path, seconds: float
) -> None:
    """Save the model, its processor, the training record and the model card.

    Everything is written to a temporary folder first, so that a killed run does not leave a torn file behind.
    """
    accelerator.wait_for_everyone()
    if accelerator.is_main_process:
        partial = folder / "partial"
        shutil.rmtree(partial, ignore_errors=True)
        task.save(accelerator.unwrap_model(model), partial, folder)
        processor.save_pretrained(partial)
        spent = {"seconds": round(seconds, 1), "hardware": describe_hardware(accelerator.num_processes)}
        (partial / RECORD).write_text(json.dumps(task.record | spent, indent=2) + "\n")
        write_model_card(partial, name=Path(task.settings.output_dir).name)
        for item in partial.iterdir():
            if item.is_dir():
                shutil.rmtree(folder / item.name, ignore_errors=True)
            item.replace(folder / item.name)
        partial.rmdir()
    accelerator.wait_for_everyone()
