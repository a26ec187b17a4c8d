"""Print a random sample of the captions of `eval/captioning.py` as Markdown.

    python research/experiments/sample_captions.py runs/captioning/captioning.jsonl --source ChEBI --number 10 --seed 0

`--source` keeps rows whose `text_source` starts with it. Quote only texts whose licence allows it.
"""

import argparse
import json
import random
from pathlib import Path

SHOWN = ("reference", "model", "blind")  # nearest training captions have other licences


def samples(path: Path, source: str, number: int, seed: int) -> list[dict]:
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    allowed = [row for row in rows if (row.get("text_source") or "").startswith(source)]
    if len(allowed) < number:
        raise SystemExit(f"{path} has {len(allowed)} rows of {source!r}, fewer than {number}; lower --number")
    return random.Random(seed).sample(allowed, number)


def markdown(rows: list[dict]) -> str:
    parts = []
    for number, row in enumerate(rows, 1):
        lines = [f"{number}. `{row['smiles']}` ({row['inchikey']})"]
        lines += [f"   - **{name}**: {row[name]}" for name in SHOWN if name in row]
        parts.append("\n".join(lines))
    return "\n".join(parts)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("captions", type=Path)
    parser.add_argument("--source", default="ChEBI")
    parser.add_argument("--number", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    print(markdown(samples(given.captions, given.source, given.number, given.seed)))
