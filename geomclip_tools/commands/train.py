"""`geomclip train`: contrastive and denoising pre-training, captioning, property prediction.

The first argument is the task; `--help` after it lists its settings. `--config` reads settings from a YAML file; flags
override them. `--batch_size` counts the rows of all processes together: N processes give the result of one.

    accelerate launch --num_processes 2 -m geomclip_tools train pretrain --dataset pubchem3d --output_dir geomclip
"""

import argparse
import logging
from collections.abc import Sequence
from dataclasses import fields
from typing import Any

import yaml

from dataset_pubchem3d.recipe import Recipe

from ..configurations import find_configuration
from ..training.settings import TrainingSettings
from ..training.tasks import TASKS
from ..training.trainer import run
from .parsing import parse_flags

EXAMPLES = {
    "pretrain": "--dataset pubchem3d --output_dir geomclip --config train/quickstart",
    "pretrain_geometry": "--dataset qm9 --output_dir tower --config train/pretrain_geometry_qm9",
    "caption": "--dataset pubchem3d --output_dir captioner --model geomclip --decoder HuggingFaceTB/SmolLM2-135M",
    "property": "--dataset qm9 --output_dir predictor --model geomclip --targets homo lumo gap",
}


def main(argv: Sequence[str], command: Sequence[str] = ("geomclip", "train")) -> None:
    """Train a task with the settings of the command line; `command` is the name to show in help and errors."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    settings = parse_settings(argv, command)
    run(TASKS[argv[0]](settings))


def parse_settings(argv: Sequence[str], command: Sequence[str] = ("geomclip", "train")) -> TrainingSettings:
    """Parse a task, `--config` files and flags into settings.

    Files are given by path or by the name of a shipped one. Later files override earlier ones, flags override files.

    Raises:
        SystemExit: there is no such task; lists all tasks. Or as `parse_flags`.
        ValueError: there is no such file or setting, or a file is not a file of training settings.
    """
    prog = " ".join(command)
    if not argv or argv[0] not in TASKS:
        examples = "\n       ".join(f"{prog} {task} {flags}" for task, flags in EXAMPLES.items())
        usage = f"usage: {examples}\n\n       {prog} {{{','.join(TASKS)}}} [--config file.yaml] [--setting value ...]"
        if argv and argv[0] in ("-h", "--help"):
            print(f"{usage}\n\n{__doc__}")
            raise SystemExit(0)
        print(usage)
        fault = f"there is no task {argv[0]!r}" if argv else "the task is missing"
        raise SystemExit(f"{prog}: {fault}; choose one of {', '.join(TASKS)}")
    task, files = argv[0], argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    files.add_argument("--config", action="append", default=[])
    given, flags = files.parse_known_args(argv[1:])
    values = {}
    for name in given.config:
        values |= read_settings(name)
    words = {name: value if isinstance(value, list) else [value] for name, value in values.items() if value is not None}
    flags = [word for name, listed in words.items() for word in (f"--{name}", *map(str, listed))] + flags
    return parse_flags(TASKS[task].settings_class, flags, f"{prog} {task}", f"{prog} {task} {EXAMPLES[task]}")


def read_settings(name: str) -> dict[str, Any]:
    """Read the settings in a YAML file, given by path or by the name of a shipped one.

    Raises:
        ValueError: there is no such file, it does not contain settings, or it is a dataset recipe.
    """
    path = find_configuration(name, "train")
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise ValueError(f"{path} is not valid YAML; correct it: {error}") from error
    if not isinstance(values, dict):
        raise ValueError(f"{path} does not contain settings; write lines such as `seed: 1`")
    if is_recipe(values):
        raise ValueError(
            f"--config {name} is a recipe for `geomclip build`, not training settings; build the dataset with "
            f"`geomclip build --config {name} --out FOLDER` and pass --dataset FOLDER"
        )
    return values


def is_recipe(values: dict[str, Any]) -> bool:
    """Return whether the settings of a file are those of a dataset recipe."""
    known, shared = ({field.name for field in fields(settings)} for settings in (Recipe, TrainingSettings))
    return values.keys() <= known and not values.keys() <= shared
