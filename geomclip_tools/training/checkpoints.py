"""What a run leaves on disk: its log, training states to resume from, checkpoints."""

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

STATES, LAST = "states", "last"  # within the output folder: what a run resumes from, and its last checkpoint


class JsonlTracker(GeneralTracker):
    """One JSON object a line in log.jsonl; a resumed run drops the lines after the step it starts at."""

    name = "jsonl"
    requires_logging_directory = False

    def __init__(self, path: Path):
        super().__init__()
        self.path = path

    @property
    def tracker(self) -> Path:
        return self.path

    def store_init_configuration(self, values: dict) -> None:
        pass  # train_config.json holds them

    def keep_until(self, step: int) -> None:
        lines = self.path.read_text().splitlines(keepends=True) if step and self.path.exists() else []
        complete = [line for line in lines if line.endswith("\n")]
        self.path.write_text("".join(line for line in complete if json.loads(line)["step"] <= step))

    @on_main_process
    def log(self, values: dict, step: int | None = None, **kwargs) -> None:
        with self.path.open("a") as file:
            file.write(json.dumps({"step": step, **values}) + "\n")


@dataclasses.dataclass
class Progress:
    """Where a run stands: epochs done, batches done in the next one, updates done, best validation score, seconds that
    updates and validation took, in all sittings.
    """

    epoch: int = 0
    batch: int = 0
    step: int = 0
    best_score: float = -math.inf
    seconds: float = 0.0


def save_state(accelerator: Accelerator, folder: Path, progress: Progress, settings: TrainingSettings) -> None:
    """Save all that `resume` needs. It appears under its name only when it is complete; then older ones go."""
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
    """Load the newest complete state, or none if there is none yet; the settings must be those it was saved with."""
    states = sorted(folder.glob("step_*"), key=lambda state: int(state.name.removeprefix("step_")))
    if not states:
        return Progress()
    record = json.loads((states[-1] / "progress.json").read_text())
    check_unchanged(states[-1], record["settings"], settings)
    accelerator.load_state(str(states[-1]))
    return Progress(**record["progress"])


def is_finished(settings: TrainingSettings) -> bool:
    """Whether a run with these settings came to its end in its folder.

    Raises:
        ValueError: one with other settings did.
    """
    folder = Path(settings.output_dir)
    record = folder / LAST / RECORD
    if not record.is_file() or any((folder / STATES).glob("step_*")):
        return False
    check_unchanged(record.parent, json.loads(record.read_text()), settings)
    return True


def check_unchanged(folder: Path, saved: dict, settings: TrainingSettings) -> None:
    """Raises: ValueError: the settings are not those that were saved; what was not saved had its default."""
    saved = {field.name: field.default for field in dataclasses.fields(settings)} | saved
    changed = {
        name: f"{saved[name]} -> {value}"
        for name, value in dataclasses.asdict(settings).items()
        if name not in ("resume", "num_workers", "report_to", "save_steps") and saved[name] != value
    }
    if changed:
        raise ValueError(f"{folder} was saved with other settings {changed}; restore them or take a new output_dir")


def save_checkpoint(
    accelerator: Accelerator, task: Task, model: torch.nn.Module, processor, folder: Path, seconds: float
) -> None:
    """Model, processor, record of the training so far and card; a kill leaves the former checkpoint or the new one."""
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
