"""A trained GeomCLIP as it is released: weights rounded to bfloat16, processor, and the record of its training.

    python experiments/release.py --model runs/retrieval/geomclip --output release/geomclip-mini

`eval/retrieval.py` measures the result, `model_card.py` writes the figures into its card.
"""

import argparse
import json
import sys
from pathlib import Path

import torch
from transformers import AutoModel, AutoProcessor

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the scripts of this repository are not installed

import modeling_geomclip  # noqa: F401  registers the classes
from model_card import without_folders, write_model_card
from training.settings import RECORD


def release(model_dir: Path, output_dir: Path) -> None:
    """Copy a checkpoint folder, its weights stored in bfloat16. They load in float32, which every CPU computes in."""
    rounded = AutoModel.from_pretrained(model_dir, dtype=torch.bfloat16)
    AutoModel.from_pretrained(model_dir, dtype=torch.float32).save_pretrained(
        output_dir, state_dict=rounded.state_dict()
    )
    AutoProcessor.from_pretrained(model_dir).save_pretrained(output_dir)
    record = without_folders(json.loads((model_dir / RECORD).read_text()))
    (output_dir / RECORD).write_text(json.dumps(record, indent=2, ensure_ascii=False) + "\n")
    write_model_card(output_dir)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True, help="checkpoint folder of the trainer")
    parser.add_argument("--output", type=Path, required=True, help="folder to write")
    args = parser.parse_args()
    release(args.model, args.output)


if __name__ == "__main__":
    main()
