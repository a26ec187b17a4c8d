"""Average the weights of GeomCLIPs trained from one checkpoint with the same settings and different seeds.

    python research/experiments/average.py --models runs/seed_0 runs/seed_1 --output_dir runs/mean

This script can also be a stage of a study, after stages with their own `seed`.
Source: model soups (Wortsman et al., ICML 2022).
"""

import argparse
import json
from pathlib import Path

import torch
from transformers import AutoModelForPreTraining, AutoProcessor

from geomclip_tools.cards.model_card import write_model_card
from geomclip_tools.records import RECORD, read_json

OF_A_RUN = ("seed", "output_dir", "seconds", "hardware", "resume")  # the records of the runs may differ here


def average(model_dirs: list[Path], output_dir: Path) -> None:
    """Write a checkpoint with the mean weights and with the processor of the first folder.

    Raises:
        ValueError: if the runs differ in more than the seed.
    """
    records = [read_json(folder / RECORD) for folder in model_dirs]
    settings = [{name: value for name, value in record.items() if name not in OF_A_RUN} for record in records]
    for folder, other in zip(model_dirs, settings):
        if different := [name for name in {*settings[0], *other} if settings[0].get(name) != other.get(name)]:
            raise ValueError(
                f"{folder} and {model_dirs[0]} differ in {', '.join(sorted(different))}; pass runs that differ only in "
                "the seed"
            )
    models = [AutoModelForPreTraining.from_pretrained(folder, dtype=torch.float32) for folder in model_dirs]
    models[0].load_state_dict(average_weights([model.state_dict() for model in models]))
    models[0].save_pretrained(output_dir)
    AutoProcessor.from_pretrained(model_dirs[0]).save_pretrained(output_dir)
    record = records[0] | {
        "averaged_seeds": [record["seed"] for record in records],
        "seconds": sum(record["seconds"] for record in records),
        "output_dir": str(output_dir),
    }
    (output_dir / RECORD).write_text(json.dumps(record, indent=2, ensure_ascii=False) + "\n")
    write_model_card(output_dir)


def average_weights(states: list[dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    """Average the floating-point states of models in float64; take all other states from the first model."""
    return {
        name: torch.stack([state[name].double() for state in states]).mean(dim=0).to(first.dtype)
        if first.is_floating_point()
        else first
        for name, first in states[0].items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=Path, nargs="+", required=True, help="checkpoint folders to average")
    parser.add_argument("--output_dir", type=Path, required=True, help="folder to write")
    for flag in ("--seed", "--resume"):  # every stage of a study gets these
        parser.add_argument(flag, nargs="?", help="ignored")
    args = parser.parse_args()
    average(args.models, args.output_dir)


if __name__ == "__main__":
    main()
