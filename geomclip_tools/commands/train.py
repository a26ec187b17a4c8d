"""`geomclip train`: contrastive and denoising pre-training, captioning, property prediction.

The first word names the task; `--help` after it lists its settings. A YAML file gives settings by name, flags override
it. On N processes `--batch_size` is the size of the joint batch, and the result is that of one process:

    accelerate launch --num_processes 2 -m geomclip_tools train pretrain --dataset pubchem3d --output_dir geomclip
"""

import argparse
import logging
from collections.abc import Sequence
from typing import Any

import yaml

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
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    settings = parse_settings(argv, command)
    run(TASKS[argv[0]](settings))


def parse_settings(argv: Sequence[str], command: Sequence[str] = ("geomclip", "train")) -> TrainingSettings:
    """Settings from the task's name, `--config` files, by path or by the name of a shipped one, and flags.

    Later ones win.

    Raises:
        SystemExit: there is no such task, with all that there are; or as `parse_flags`.
        ValueError: there is no such file or setting.
    """
    prog = " ".join(command)
    if not argv or argv[0] not in TASKS:
        examples = "\n       ".join(f"{prog} {task} {flags}" for task, flags in EXAMPLES.items())
        usage = f"usage: {examples}\n\n       {prog} {{{','.join(TASKS)}}} [--config file.yaml] [--setting value ...]"
        if argv and argv[0] in ("-h", "--help"):
            print(f"{usage}\n\n{__doc__}")
            raise SystemExit(0)
        print(usage)
        raise SystemExit(f"{prog}: name one of {', '.join(TASKS)}" + (f", not {argv[0]!r}" if argv else ""))
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
    """Settings by their names, from a YAML file that `find_configuration` finds.

    Raises:
        ValueError: there is no such file, or it holds no settings.
    """
    path = find_configuration(name)
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise ValueError(f"{path} is no YAML; correct it: {error}") from error
    if not isinstance(values, dict):
        raise ValueError(f"{path} holds no settings by name; give lines such as `seed: 1`")
    return values
