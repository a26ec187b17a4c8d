"""Compare the recall of towers on the same pairs, with paired bootstrap intervals of the differences.

    python research/experiments/compare_retrieval.py research/results/retrieval/geomclip-mini.csv \\
        research/results/retrieval/ecfp4.csv

The files come from `eval/retrieval.py --ranks`. Molecules are drawn with replacement, each with all its rows.
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

from geomclip_tools.evaluation.bootstrap import interval, resample_ratio
from geomclip_tools.evaluation.retrieval import SCOPES

RECALL_RANKS = {"full": (1, 20), "pool": (1,), "further": (1, 20)}  # by the last word of the scope


def differences(first: pd.DataFrame, second: pd.DataFrame) -> dict[str, tuple[float, float, float]]:
    """Compute the recall of the first table minus that of the second, with its 95 % interval, by column.

    Raises:
        ValueError: if the tables are from different pairs.
    """
    if first["molecule"].tolist() != second["molecule"].tolist():
        raise ValueError("the two tables have different molecules; evaluate both on the same dataset and split")
    molecules = first["molecule"].where(first["molecule"] != "", first.index.astype(str))
    columns = {}
    for scope, title in SCOPES.items():
        if scope not in first or scope not in second:
            continue
        for rank in RECALL_RANKS[scope.rpartition("_")[2]]:
            hits = [resampled_recall(table[scope] <= rank, molecules) for table in (first, second)]
            columns[f"{title}, R@{rank}"] = interval(hits[0] - hits[1])
    return columns


def resampled_recall(is_hit: pd.Series, molecules: pd.Series) -> np.ndarray:
    """Return the share of hits, for all rows first and then for each bootstrap resample of the molecules."""
    by_molecule = is_hit.groupby(molecules, sort=False)
    return resample_ratio(by_molecule.sum().to_numpy(), by_molecule.count().to_numpy())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("first", type=Path)
    parser.add_argument("others", type=Path, nargs="+")
    args = parser.parse_args()
    first, *others = (pd.read_csv(path, keep_default_na=False) for path in (args.first, *args.others))
    names = [f"{args.first.stem} - {path.stem}" for path in args.others]
    rows = {name: differences(first, other) for name, other in zip(names, others)}
    titles = [*next(iter(rows.values()))]
    print(f"| percent of {len(first)} rows | {' | '.join(titles)} |")
    print("| --- |" + " --- |" * len(titles))
    for name, columns in rows.items():
        cells = [f"{100 * value:.1f} [{100 * low:.1f}, {100 * high:.1f}]" for value, low, high in columns.values()]
        print(f"| {name} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
