"""Draw recall against the number of candidates, from the ranks of a test set.

    python research/figures/retrieval.py geomclip-mini=research/results/retrieval/geomclip-mini.csv \\
        ECFP4=research/results/retrieval/ecfp4.csv --output docs/results/images/recall_by_candidates.svg

The files come from `geomclip evaluate retrieval --ranks`. The recall in random pools is computed from the rank among
all candidates, not simulated.
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from drawing import COLOURS, INK, WIDTH, save_svg, styled
from matplotlib.figure import Figure
from scipy.stats import hypergeom

COLUMN = "text_to_geometry_full"
RECALL_RANKS = (1, 20)
TICKS = (1, 2, 5)  # and their multiples by powers of 10
BOOTSTRAPS = 1000


def compute_expected_recall(ranks: np.ndarray, num_candidates: int, pool_size: int, at: int) -> np.ndarray:
    """Return the expected recall of each query in a random pool that contains its molecule.

    Of the `rank - 1` candidates that score higher, a hypergeometric number is in the pool. The molecule is found if
    this number is less than `at`. A rank between two whole numbers is the mean of a tie. It gives the value between
    theirs, which is exact for a tie of two and approximate for more.

    Args:
        ranks: ranks among all candidates (queries,), from 1 to `num_candidates`.
        num_candidates: number of all candidates.
        pool_size: number of candidates in the pool, drawn without replacement.
        at: number of candidates that are looked at.
    Returns:
        (queries,).
    Raises:
        ValueError: `pool_size` is not between 1 and `num_candidates`.
    """
    if not 1 <= pool_size <= num_candidates:
        raise ValueError(f"pool_size is {pool_size}; it must be at least 1 and at most {num_candidates}")
    different, which = np.unique(ranks, return_inverse=True)
    low, high = np.floor(different), np.ceil(different)
    at_low, at_high = (hypergeom.cdf(at - 1, num_candidates - 1, rank - 1, pool_size - 1) for rank in (low, high))
    return (at_low + (different - low) * (at_high - at_low))[which]


def choose_pool_sizes(num_candidates: int) -> np.ndarray:
    """Return about 30 whole numbers from 1 to `num_candidates`, evenly spaced on a logarithmic axis."""
    return np.unique(np.geomspace(1, num_candidates, 30).round().astype(int))


def compute_curve(table: pd.DataFrame, pool_sizes: np.ndarray, at: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the mean expected recall by pool size, and the bounds of its 95 % bootstrap interval over molecules."""
    ranks = table[COLUMN].to_numpy(dtype=float)
    recalls = np.stack([compute_expected_recall(ranks, len(ranks), size, at) for size in pool_sizes.tolist()], axis=1)
    names = table["molecule"].where(table["molecule"] != "", table.index.astype(str))
    by_molecule = pd.DataFrame(recalls).groupby(names.to_numpy(), sort=False)
    sums, counts = by_molecule.sum().to_numpy(), by_molecule.size().to_numpy()
    random = np.random.default_rng(0)
    times = random.multinomial(len(counts), np.full(len(counts), 1 / len(counts)), size=BOOTSTRAPS)
    low, high = np.percentile((times @ sums) / (times @ counts)[:, None], (2.5, 97.5), axis=0)
    return recalls.mean(axis=0), low, high


@styled
def draw_recalls(tables: dict[str, pd.DataFrame]) -> Figure:
    """Draw R@1 and R@20 of each table by the number of candidates, and of random ranks."""
    figure = Figure(figsize=(WIDTH, 3.2), layout="constrained")
    panels = figure.subplots(1, len(RECALL_RANKS), sharex=True, sharey=True)
    largest = max(map(len, tables.values()))
    for axes, at in zip(panels, RECALL_RANKS):
        for index, (name, table) in enumerate(tables.items()):
            sizes = choose_pool_sizes(len(table))
            value, low, high = (100 * part for part in compute_curve(table, sizes, at))
            colour = COLOURS[index % len(COLOURS)]
            axes.fill_between(sizes, low, high, color=colour, alpha=0.15, linewidth=0)
            axes.plot(sizes, value, color=colour, label=name, linewidth=1.6)
        sizes = choose_pool_sizes(largest)
        axes.plot(sizes, 100 * np.minimum(at / sizes, 1), color=INK, linestyle=":", label="random")
        axes.set(xscale="log", xlim=(1, largest), ylim=(0, 101), title=f"R@{at}")
        axes.grid(alpha=0.3)
    panels[0].set_ylabel("recall (%)")
    ticks = [tick * 10**power for power in range(8) for tick in TICKS if tick * 10**power <= largest]
    panels[0].set_xticks(ticks, [f"{tick:,}" for tick in ticks])
    panels[0].minorticks_off()
    panels[1].minorticks_off()
    figure.supxlabel("candidate molecules", fontsize="medium")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper center", ncols=len(tables) + 1)
    return figure


def read_ranks(argument: str) -> tuple[str, pd.DataFrame]:
    """Read NAME=FILE.

    Raises:
        ValueError: there is no name, or the file does not have the columns.
    """
    name, _, file = argument.partition("=")
    if not (name and file):
        raise ValueError(f"{argument!r} does not have the form NAME=FILE, such as ECFP4=ecfp4.csv")
    table = pd.read_csv(file, keep_default_na=False)
    if missing := {"molecule", COLUMN} - {*table.columns}:
        raise ValueError(f"{file} has no column {' and no '.join(sorted(missing))}; write it with --ranks")
    return name, table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("systems", nargs="+", metavar="NAME=FILE", help="label and CSV file of ranks, in this order")
    parser.add_argument("--output", required=True, type=Path, help="SVG file to write")
    args = parser.parse_args()
    try:
        tables = dict(map(read_ranks, args.systems))
    except (OSError, ValueError) as error:
        parser.error(str(error))
    save_svg(draw_recalls(tables), args.output)


if __name__ == "__main__":
    main()
