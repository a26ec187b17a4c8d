"""Print a random sample of the captions of `geomclip evaluate captioning` as Markdown.

    python research/experiments/sample_captions.py runs/captioning/test.jsonl --dataset PAIRS --source ChEBI --seed 0

`--source` keeps rows whose `text_source` starts with it, and none with a caption of a training molecule from another
source. Quote only texts whose licence allows it.
"""

import argparse
import json
import random
from pathlib import Path

import datasets

from geomclip_tools.evaluation.caption_reranking import space_evenly

SHOWN = ("reference", "model", "model, first draft", "blind, first draft", "neighbours reranked")


def samples(path: Path, training: datasets.Dataset, source: str, number: int, seed: int) -> list[dict]:
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    sources = {space_evenly(text): name or "" for text, name in zip(training["text"][:], training["text_source"][:])}
    allowed = [
        row
        for row in rows
        if (row.get("text_source") or "").startswith(source)
        and all(sources.get(space_evenly(row[name]), source).startswith(source) for name in SHOWN)
    ]
    if len(allowed) < number:
        raise SystemExit(f"{path} has {len(allowed)} rows of {source!r}, fewer than {number}; lower --number")
    return random.Random(seed).sample(allowed, number)


def markdown(rows: list[dict]) -> str:
    parts = []
    for number, row in enumerate(rows, 1):
        lines = [f"{number}. `{row['smiles']}` ({row['inchikey']})"]
        shown = [name for name in SHOWN if name in row and (name == "model" or row[name] != row["model"])]
        lines += [f"   - **{name}**: {row[name]}" for name in shown]
        parts.append("\n".join(lines))
    return "\n".join(parts)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("captions", type=Path)
    parser.add_argument("--dataset", required=True, help="folder or Hub id of pairs, with the split train")
    parser.add_argument("--dataset_config", default="captioning")
    parser.add_argument("--source", default="ChEBI")
    parser.add_argument("--number", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    training = datasets.load_dataset(given.dataset, given.dataset_config, split="train")
    print(markdown(samples(given.captions, training, given.source, given.number, given.seed)))
