"""Compare the first drafts of two captioners; `geomclip evaluate captioning --num_drafts` compares what is chosen.

    python research/experiments/compare_drafts.py runs/captioning/test --dataset PAIRS \\
        --judge runs/captioning/judge --output drafts.json

Reads the results (`.json`) and captions (`.jsonl`) at this place, and generates nothing. The scores are those of the
evaluation; the differences are between the first drafts of the model and of the captioner `blind`.
"""

import argparse
import json
from pathlib import Path

import datasets

from geomclip_tools.commands.evaluate_captioning import FIRST
from geomclip_tools.evaluation.caption_table import format_scores
from geomclip_tools.evaluation.captioning import TRUE, judge_captions, score_systems
from geomclip_tools.loading import load_geomclip

POOL = 64


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", type=Path, help="path of the evaluation's results, without suffix")
    parser.add_argument("--judge", required=True, help="folder or Hub id")
    parser.add_argument("--dataset", required=True, help="folder or Hub id of the pairs that were captioned")
    parser.add_argument("--dataset_config", default="captioning")
    parser.add_argument("--split", default="test")
    parser.add_argument("--tokenizer", default="allenai/scibert_scivocab_uncased", help="folder or Hub id")
    parser.add_argument("--output", type=Path, required=True, help="results file to write (JSON)")
    given = parser.parse_args()
    lines = [json.loads(line) for line in Path(f"{given.results}.jsonl").read_text(encoding="utf-8").splitlines()]
    pairs = datasets.load_dataset(given.dataset, given.dataset_config, split=given.split)
    if pairs["text"][:] != [line["reference"] for line in lines]:
        raise ValueError(f"{given.results}.jsonl has other rows than {given.dataset}, {given.split}")
    systems = {name: [line[f"{name}{FIRST}"] for line in lines] for name in ("model", "blind")}
    hits = judge_captions(*load_geomclip(given.judge), pairs, {**systems, TRUE: pairs["text"][:]}, POOL)
    results = score_systems(pairs, systems, hits, given.tokenizer)
    print(format_scores(results))
    given.output.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
