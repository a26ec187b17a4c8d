"""Print the recall of towers on the same pairs, and the differences from the first, with paired bootstrap intervals.

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

ORDER = sorted(SCOPES, key=lambda scope: not scope.startswith("text"))
FORMAT = "{:.1f} [{:.1f}, {:.1f}]"
RECALL_RANKS = {"full": (1, 20), "pool": (1,), "further": (1, 20)}  # by the last word of the scope
SUFFIXES = {"full": "", "pool": " of 64", "further": " with further"}
Columns = dict[str, tuple[float, float, float]]  # value and 95 % interval, by title


def recalls(table: pd.DataFrame) -> Columns:
    """Compute the recall of a table of ranks, by column."""
    return {title: interval(hits) for title, hits in resampled_columns(table).items()}


def differences(first: pd.DataFrame, second: pd.DataFrame) -> Columns:
    """Compute the recall of the first table minus that of the second, by column.

    Raises:
        ValueError: if the tables are from different pairs.
    """
    if first["molecule"].tolist() != second["molecule"].tolist():
        raise ValueError("the two tables have different molecules; evaluate both on the same dataset and split")
    hits, others = resampled_columns(first), resampled_columns(second)
    return {title: interval(values - others[title]) for title, values in hits.items() if title in others}


def resampled_columns(table: pd.DataFrame) -> dict[str, np.ndarray]:
    """Return the recall of all rows, and then of each bootstrap resample of the molecules, by column."""
    molecules = table["molecule"].where(table["molecule"] != "", table.index.astype(str))
    columns = {}
    for scope in [scope for scope in ORDER if scope in table]:
        direction, kind = ("T→G" if scope.startswith("text") else "G→T"), scope.rpartition("_")[2]
        for rank in RECALL_RANKS[kind]:
            columns[f"{direction} R@{rank}{SUFFIXES[kind]}"] = resampled_recall(table[scope] <= rank, molecules)
    return columns


def resampled_recall(is_hit: pd.Series, molecules: pd.Series) -> np.ndarray:
    """Return the share of hits, for all rows first and then for each bootstrap resample of the molecules."""
    by_molecule = is_hit.groupby(molecules, sort=False)
    return resample_ratio(by_molecule.sum().to_numpy(), by_molecule.count().to_numpy())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("first", type=Path)
    parser.add_argument("others", type=Path, nargs="*")
    args = parser.parse_args()
    first, *others = (pd.read_csv(path, keep_default_na=False) for path in (args.first, *args.others))
    names = [path.stem for path in (args.first, *args.others)]
    print_table("percent", {name: recalls(table) for name, table in zip(names, (first, *others))})
    if others:
        compared = {f"{names[0]} - {name}": differences(first, other) for name, other in zip(names[1:], others)}
        print_table("difference", compared)


def print_table(title: str, rows: dict[str, Columns]) -> None:
    """Print a Markdown table, in percent."""
    titles = [*dict.fromkeys(column for columns in rows.values() for column in columns)]
    print(f"| {title} | {' | '.join(titles)} |")
    print("| --- |" + " --- |" * len(titles))
    for name, columns in rows.items():
        cells = [[100 * number for number in columns[column]] if column in columns else None for column in titles]
        print(f"| {name} | {' | '.join('' if cell is None else FORMAT.format(*cell) for cell in cells)} |")
    print()


if __name__ == "__main__":
    main()
