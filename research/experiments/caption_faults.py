"""Count faults of the captions of `geomclip evaluate captioning`, and print some of them for reading.

    python research/experiments/caption_faults.py runs/captioning/validation.jsonl --seed 2 --output faults.csv

The overlap is that of `geomclip_tools.evaluation.caption_consensus`. A caption loops if it has four words in a row
thrice, or a part of a word between hyphens, commas or spaces more than 20 times. Read validation rows only.
"""

import argparse
import json
import random
import re
from collections import Counter
from pathlib import Path

import pandas as pd

from geomclip_tools.evaluation.caption_consensus import measure_overlaps
from geomclip_tools.evaluation.caption_reranking import space_evenly

NEAREST = "nearest by GeomCLIP"
SYSTEMS = ("model", "model, first draft", "neighbours reranked", NEAREST, "nearest by ECFP4")
SAME = 0.01  # difference of overlaps that counts as none


def loops(caption: str) -> bool:
    """Return whether a caption repeats itself."""
    words = caption.split()
    runs, parts = Counter(zip(*(words[start:] for start in range(4)))), Counter(re.split(r"[-, ]", caption))
    return max(runs.values(), default=0) >= 3 or max(parts.values()) > 20


def count_faults(rows: list[dict]) -> pd.DataFrame:
    """Return one row per system, with shares and the mean overlap with the true captions."""
    overlaps = {
        name: [float(measure_overlaps([row[name]], [row["reference"]])[0, 0]) for row in rows] for name in SYSTEMS
    }
    table = []
    for name in SYSTEMS:
        gains = [mine - theirs for mine, theirs in zip(overlaps[name], overlaps[NEAREST])]
        table.append(
            {
                "system": name,
                "overlap": sum(overlaps[name]) / len(rows),
                "loops": sum(loops(row[name]) for row in rows) / len(rows),
                "is the nearest caption": sum(space_evenly(row[NEAREST]) == space_evenly(row[name]) for row in rows)
                / len(rows),
                "better than the nearest": sum(gain > SAME for gain in gains) / len(rows),
                "worse than the nearest": sum(gain < -SAME for gain in gains) / len(rows),
            }
        )
    return pd.DataFrame(table).round(3)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("captions", type=Path)
    parser.add_argument("--number", type=int, default=50, help="rows to print")
    parser.add_argument("--seed", type=int, default=2)
    parser.add_argument("--output", type=Path, required=True, help="table to write (CSV)")
    given = parser.parse_args()
    rows = [json.loads(line) for line in given.captions.read_text(encoding="utf-8").splitlines()]
    for row in random.Random(given.seed).sample(rows, given.number):
        print(row["smiles"], *(f"    {name}: {row[name]}" for name in ("reference", *SYSTEMS[:2], NEAREST)), sep="\n")
    table = count_faults(rows)
    print(table.to_string(index=False))
    table.to_csv(given.output, index=False)


if __name__ == "__main__":
    main()
