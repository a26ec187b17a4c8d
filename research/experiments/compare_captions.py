"""Compare two or more systems of an evaluation of captions: the first one minus each of the others, with intervals.

    python research/experiments/compare_captions.py runs/captioning/test --dataset PAIRS --judge JUDGE \\
        --systems "neighbours reranked" "nearest by GeomCLIP" "nearest by ECFP4" --output differences.json

Reads the captions (`.jsonl`) at this place, and generates nothing. `geomclip evaluate captioning` has the differences
of the model alone.
"""

import argparse
import json
from pathlib import Path

import datasets

from geomclip_tools.evaluation.caption_table import format_scores
from geomclip_tools.evaluation.captioning import TRUE, judge_captions, score_systems
from geomclip_tools.loading import load_geomclip

POOL = 64


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", type=Path, help="path of the evaluation's results, without suffix")
    parser.add_argument("--systems", nargs="+", required=True, help="table rows, such as 'model, first draft'")
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
    first, *others = given.systems
    names = {"model": first, **{name: name for name in others}}  # the first one takes the model's place
    systems = {name: [line[name_of] for line in lines] for name, name_of in names.items()}
    hits = judge_captions(*load_geomclip(given.judge), pairs, {**systems, TRUE: pairs["text"][:]}, POOL)
    results = score_systems(pairs, systems, hits, given.tokenizer)
    print(format_scores(results).replace("| model minus |", f"| {first} minus |"))
    record = {"compared": first, "differences": results["differences"], "num_rows": len(pairs)}
    given.output.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
