"""Print the mean and standard deviation over seeds of the results files of `three_seeds.sh` as a table.

python research/experiments/summarise.py research/results/seeds
"""

import json
import sys
from pathlib import Path
from statistics import mean, stdev

COLUMNS = {
    f"{direction}_{column}": f"{arrow} {label}"
    for direction, arrow in (("text_to_geometry", "T→G"), ("geometry_to_text", "G→T"))
    for column, label in (
        ("full_recall_at_1", "R@1"),
        ("full_recall_at_5", "R@5"),
        ("full_recall_at_20", "R@20"),
        ("full_mean_reciprocal_rank", "MRR"),
        ("pool_recall_at_1", "R@1 of 64"),
    )
}


def read(folder: Path, task: str) -> list[dict]:
    return [json.loads(file.read_text(encoding="utf-8")) for file in sorted(folder.glob(f"{task}-*.json"))]


def line(name: str, metrics: list[dict], suffix: str = "") -> str:
    """Format a row of the table: mean ± standard deviation in percent."""
    columns = [[100 * values[key + suffix] for values in metrics] for key in COLUMNS]
    return f"| {name} | " + " | ".join(f"{mean(c):.1f} ± {stdev(c):.1f}" for c in columns) + " |"


def main(folder: Path) -> None:
    retrieval, counts = read(folder, "retrieval"), read(folder, "element_counts")
    model = [record["metrics"]["model"] for record in retrieval]
    random = [record["metrics"]["random positions"] for record in retrieval]
    sizes = ", ".join(str(record["num_rows"]) for record in retrieval)
    print(f"| full set of {sizes} test molecules | {' | '.join(COLUMNS.values())} |")
    print("| --- |" + " --- |" * len(COLUMNS))
    print(line("GeomCLIP", model))
    print(line("the same checkpoints on random positions", random))
    print(line("element-count tower trained alike", [record["metrics"]["model"] for record in counts]))
    print(line("chance", model, "_chance"))
    print(line("ceiling", model, "_ceiling"))
    reductions = [f"{100 * record['relative_reduction']:.1f} %" for record in read(folder, "denoising")]
    print(f"\nCoordinate loss below that of returning the noised input, per seed: {', '.join(reductions)}.")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
