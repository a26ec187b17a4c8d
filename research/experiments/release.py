"""Prepare a trained GeomCLIP for release: weights rounded to bfloat16, the processor and the training record.

    python research/experiments/release.py --model runs/retrieval/geomclip --output release/geomclip-mini

Evaluate the result with `eval/retrieval.py`, and add the results to its card with `geomclip card`.
"""

import argparse
import json
from functools import partial
from pathlib import Path

import torch
from transformers import AutoModelForPreTraining, AutoProcessor

from geomclip_tools.cards.model_card import write_model_card
from geomclip_tools.records import RECORD, read_json, redact_paths
from modeling_geomclip.modeling_geometry_geomclip import forget_origin


def release(model_dir: Path, output_dir: Path) -> None:
    """Copy a checkpoint folder with weights in bfloat16. They load as float32, which every CPU supports."""
    load = partial(AutoModelForPreTraining.from_pretrained, model_dir)
    rounded, model = load(dtype=torch.bfloat16), load(dtype=torch.float32)
    forget_origin(model.geometry_model)
    model.save_pretrained(output_dir, state_dict=rounded.state_dict())
    AutoProcessor.from_pretrained(model_dir).save_pretrained(output_dir)
    record = redact_paths(read_json(model_dir / RECORD))
    (output_dir / RECORD).write_text(json.dumps(record, indent=2, ensure_ascii=False) + "\n")
    write_model_card(output_dir)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True, help="checkpoint folder to release")
    parser.add_argument("--output", type=Path, required=True, help="folder to write")
    args = parser.parse_args()
    release(args.model, args.output)


if __name__ == "__main__":
    main()
