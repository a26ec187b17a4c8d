"""Tables and figures of a study, made from its tidy tables alone."""

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from ..evaluation.bootstrap import interval, resample_ratio
from .results import METRICS_FILE, RANKS_FILE, select
from .study import Study

COLUMNS = {  # column title: metric; only measured ones are shown
    "T→G R@1": "text_to_geometry_full_recall_at_1",
    "T→G R@20": "text_to_geometry_full_recall_at_20",
    "T→G R@1 of 64": "text_to_geometry_pool_recall_at_1",
    "T→G R@1 with further": "text_to_geometry_further_recall_at_1",
    "T→G R@20 with further": "text_to_geometry_further_recall_at_20",
    "G→T R@1": "geometry_to_text_full_recall_at_1",
    "G→T R@20": "geometry_to_text_full_recall_at_20",
    "G→T R@1 of 64": "geometry_to_text_pool_recall_at_1",
}
RECALL = "_recall_at_"
SHARES = re.compile("recall|precision|reciprocal_rank")  # metrics shown in percent
DIFFERENCE_COLUMNS = ["variant", "num_seeds", "num_rows", "column", "value", "low", "high"]


def format_study(study: Study, results: Path, split: str) -> str:
    """Format the metrics of all variants and their differences from the baseline as Markdown, for each evaluation.

    Raises:
        ValueError: if nothing was measured on the split.
    """
    parts = []
    for evaluation in study.evaluations:
        metrics = select(study, results, METRICS_FILE, evaluation, split)
        if len(metrics):
            parts.append(f"{evaluation}, {split}: {study.about}")
            parts.append(format_figures(study, metrics))
            differences = compare(study, results, evaluation, split)
            if len(differences):
                parts.append(format_differences(differences, study.baseline))
    if not parts:
        raise ValueError(
            f"{results} has no measurements of this study on {split}; run `geomclip study run` or `geomclip study test`"
        )
    return "\n\n".join(parts)


# -------------------------------------------------------------------------------------------------------------- metrics


def format_figures(study: Study, metrics: pd.DataFrame) -> str:
    """Format one row per variant: mean over seeds, range if there are several, and hours; shares in percent."""
    columns = choose_columns(metrics)
    lines = [["mean over seeds (lowest to highest)", "seeds", *columns, "hours"]]
    for variant in study.variants:
        own = metrics[metrics["variant"] == variant]
        if len(own):
            values = own.set_index(["row", "metric"]).sort_index()["value"]
            cells = [format_spread(values.loc[[key]], bool(SHARES.search(key[1]))) for key in columns.values()]
            hours = own.groupby("seed")["hours"].first()
            lines.append([variant, str(own["seed"].nunique()), *cells, f"{hours.mean():.2f}"])
    return format_markdown(lines)


def choose_columns(metrics: pd.DataFrame) -> dict[str, tuple[str, str]]:
    """Return row and metric by column title.

    These are the `COLUMNS` of the row "model". If the evaluation has none of them, they are all metrics with intervals
    or, if there are no intervals, all metrics.
    """
    known = set(metrics[metrics["row"] == "model"]["metric"])
    if columns := {title: ("model", name) for title, name in COLUMNS.items() if name in known}:
        return columns
    shown = metrics[metrics["low"].notna()] if metrics["low"].notna().any() else metrics
    keys = dict.fromkeys(zip(shown["row"], shown["metric"]))
    return {metric if row == "model" else f"{row}: {metric}": (row, metric) for row, metric in keys}


def format_spread(values: pd.Series, is_share: bool) -> str:
    """Format the mean and, for several values, the range."""
    numbers = (values.min(), values.mean(), values.max())
    low, mean, high = (f"{100 * number:.1f}" if is_share else f"{number:.4g}" for number in numbers)
    return mean if len(values) < 2 else f"{mean} ({low} to {high})"


def format_markdown(lines: list[list[str]]) -> str:
    """Format rows of cells as a Markdown table; the first row is the header."""
    rows = [lines[0], ["---"] * len(lines[0]), *lines[1:]]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


# ---------------------------------------------------------------------------------------------------------- differences


def compare(study: Study, results: Path, evaluation: str, split: str) -> pd.DataFrame:
    """Compute the recall of each variant minus the recall of the baseline, with 95 % intervals.

    Differences are means over the seeds that both have. The bootstrap draws molecules, each with all its rows.

    Returns:
        Rows of `DIFFERENCE_COLUMNS`; none if the baseline has no ranks.
    Raises:
        ValueError: if the ranks are from different pairs.
    """
    ranks = select(study, results, RANKS_FILE, evaluation, split)
    baseline = ranks[ranks["variant"] == study.baseline]
    rows = []
    for variant in study.variants:
        own = ranks[ranks["variant"] == variant]
        if variant != study.baseline and set(own["seed"]) & set(baseline["seed"]):
            rows += [{"variant": variant, **row} for row in compare_ranks(own, baseline)]
    return pd.DataFrame(rows, columns=DIFFERENCE_COLUMNS)


def compare_ranks(own: pd.DataFrame, baseline: pd.DataFrame) -> Iterator[dict]:
    """Yield the differences between two variants, one per column."""
    both = own.merge(baseline, on=["seed", "scope", "place"], suffixes=("", "_baseline"), how="outer")
    both = both[both["seed"].isin(set(own["seed"]) & set(baseline["seed"]))]
    check_pairs(both, own, baseline)
    molecules = both["molecule"].where(both["molecule"] != "", both["molecule_baseline"])
    both["molecule"] = molecules.where(molecules != "", "row " + both["place"].astype(str))
    for title, metric in COLUMNS.items():
        scope, _, rank = metric.rpartition(RECALL)
        table = both[both["scope"] == scope]
        if len(table):
            hits, hits_baseline = (table[name] <= int(rank) for name in ("rank", "rank_baseline"))
            by_molecule = (hits.astype(int) - hits_baseline.astype(int)).groupby(table["molecule"])
            samples = resample_ratio(by_molecule.sum().to_numpy(), by_molecule.count().to_numpy())
            value, low, high = interval(samples)
            sizes = {"num_seeds": table["seed"].nunique(), "num_rows": table["place"].nunique()}
            yield sizes | {"column": title, "value": value, "low": low, "high": high}


def check_pairs(both: pd.DataFrame, own: pd.DataFrame, baseline: pd.DataFrame) -> None:
    """Check that the ranks are from the same pairs; a rejected molecule has no name and matches any."""
    is_named = (both["molecule"] != "") & (both["molecule_baseline"] != "")
    names = [f"{table['variant'].iloc[0]}" for table in (own, baseline)]
    if (both["molecule"] != both["molecule_baseline"])[is_named].any():
        raise ValueError(f"{' and '.join(names)} were measured on different pairs; measure both on the same dataset")


def format_differences(differences: pd.DataFrame, baseline: str) -> str:
    """Format one row per variant, in percentage points."""
    columns = list(dict.fromkeys(differences["column"]))
    lines = [[f"minus {baseline}, points [95 % interval]", "seeds", *columns]]
    for variant, own in differences.groupby("variant", sort=False):
        cells = [f"{100 * row.value:.1f} [{100 * row.low:.1f}, {100 * row.high:.1f}]" for row in own.itertuples()]
        lines.append([variant, str(own["num_seeds"].iloc[0]), *cells])
    return format_markdown(lines)


def draw_differences(differences: pd.DataFrame, baseline: str, path: Path) -> None:
    """Plot the intervals of `compare`, one panel per column.

    Raises:
        ImportError: if matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError("figures need matplotlib; run `pip install 'geomclip[plots]'`") from error
    columns, variants = (list(dict.fromkeys(differences[name])) for name in ("column", "variant"))
    figure = Figure(figsize=(2.2 * len(columns) + 2, 0.4 * len(variants) + 1.2), layout="constrained")
    panels = np.atleast_1d(figure.subplots(1, len(columns), sharey=True))
    for panel, column in zip(panels, columns):
        own = differences[differences["column"] == column].set_index("variant").loc[variants]
        value, low, high = (100 * own[name].to_numpy() for name in ("value", "low", "high"))
        panel.errorbar(value, range(len(variants)), xerr=np.array([value - low, high - value]), fmt="o", capsize=3)
        panel.axvline(0, color="grey", linewidth=0.8)
        panel.set_title(column)
    panels[0].set_yticks(range(len(variants)), variants)
    panels[0].invert_yaxis()
    figure.supxlabel(f"difference from {baseline} in percentage points, with 95 % interval")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)
