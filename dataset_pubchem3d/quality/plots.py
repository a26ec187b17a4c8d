"""Draw the plots of a quality report."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

SIZE = (7.0, 4.0)  # inches


def require_matplotlib() -> None:
    """Raise ModuleNotFoundError, with the remedy, if matplotlib is not installed."""
    if find_spec("matplotlib") is None:
        raise ModuleNotFoundError("the plots need matplotlib, which is not installed; pip install matplotlib")


def write_plots(folder: Path, report: dict, comparisons: list[dict]) -> list[Path]:
    """Draw the plots that the report has data for.

    Args:
        folder: output folder; created if it does not exist.
        report: quality report.
        comparisons: comparisons of single molecules, as dictionaries.
    Returns:
        The files, in the order of the page.
    """
    folder.mkdir(exist_ok=True)
    drawn = [
        _plot_distributions(folder / "text_lengths.png", report, "words", "words per text"),
        _plot_distributions(folder / "heavy_atoms.png", report, "heavy_atoms", "heavy atoms per molecule"),
        _plot_counts(folder / "elements.png", report, "elements", "element"),
        _plot_counts(folder / "text_kinds.png", report, "text_kind", "kind of text"),
        _plot_counts(folder / "geometry_methods.png", report, "geometry_method", "method of the geometry"),
        _plot_rmsds(folder / "geometry_rmsd.png", comparisons),
        _plot_flexibility(folder / "geometry_rmsd_by_rotatable_bonds.png", report),
    ]
    return [file for file in drawn if file is not None]


def _make_axes(**labels: str) -> tuple[Any, Any]:
    from matplotlib.figure import Figure  # draws with Agg and avoids pyplot's global state

    figure = Figure(figsize=SIZE, layout="constrained")
    axes = figure.add_subplot()
    axes.set(**labels)
    axes.grid(alpha=0.3)
    return figure, axes


def _save(figure: Any, file: Path) -> Path:
    figure.savefig(file, dpi=120)
    return file


def _plot_distributions(file: Path, report: dict, name: str, label: str) -> Path | None:
    figure, axes = _make_axes(xlabel=label, ylabel="cumulative share of rows", ylim=(0, 1.02))
    for config, figures in report["configs"].items():
        if rows_of := figures.get(name, {}).get("rows_of"):
            shares = np.cumsum(list(rows_of.values())) / sum(rows_of.values())
            axes.step(list(rows_of), shares, where="post", label=f"{config} ({figures['rows']} rows)")
    if not axes.lines:
        return None
    axes.set_xscale("symlog" if name == "words" else "linear")
    axes.legend()
    return _save(figure, file)


def _plot_counts(file: Path, report: dict, name: str, label: str) -> Path | None:
    configs = {config: figures[name] for config, figures in report["configs"].items() if figures.get(name)}
    if not configs:
        return None
    values = list(dict.fromkeys(value for counts in configs.values() for value in counts))
    figure, axes = _make_axes(xlabel=label, ylabel="rows", yscale="log")
    for index, (config, counts) in enumerate(configs.items()):
        places = np.arange(len(values)) + (index - (len(configs) - 1) / 2) * 0.8 / len(configs)
        axes.bar(places, [counts.get(value, 0) for value in values], 0.8 / len(configs), label=config)
    axes.set_xticks(range(len(values)), values, rotation=0 if max(map(len, values)) < 3 else 20)
    axes.legend()
    return _save(figure, file)


def _plot_rmsds(file: Path, comparisons: list[dict]) -> Path | None:
    compared = [comparison for comparison in comparisons if comparison["failure"] is None]
    if not compared:
        return None
    figure, axes = _make_axes(
        xlabel="heavy-atom RMSD to the stored geometry (Å)", ylabel="cumulative share of molecules"
    )
    for index, method in enumerate(sorted({comparison["method"] for comparison in compared})):
        for name, style in (("first", "-"), ("best", "--")):
            rmsds = sorted(c[f"rmsd_{name}"] for c in compared if c["method"] == method)
            shares = np.arange(1, len(rmsds) + 1) / len(rmsds)
            axes.step(rmsds, shares, style, color=f"C{index}", where="post", label=f"{method}, {name} conformer")
    axes.set(xlim=(0, None), ylim=(0, 1.02))
    axes.legend()
    return _save(figure, file)


def _plot_flexibility(file: Path, report: dict) -> Path | None:
    methods = {m: figures for m, figures in report["geometry_comparison"]["methods"].items() if figures["n"]}
    if not methods:
        return None
    figure, axes = _make_axes(xlabel="rotatable bonds", ylabel="median heavy-atom RMSD (Å), 95 % interval")
    names = sorted({name for figures in methods.values() for name in figures["by_rotatable_bonds"]})
    series = [(method, which) for method in methods for which in ("first", "best")]
    for index, (method, which) in enumerate(series):
        entries = {name: entry[which] for name, entry in methods[method]["by_rotatable_bonds"].items()}
        medians = np.array([entry["median"] for entry in entries.values()])
        low, high = np.array([entry["median_interval_95"] for entry in entries.values()]).T
        places = np.array([names.index(name) for name in entries]) + (index - (len(series) - 1) / 2) * 0.4 / len(series)
        errors = np.maximum([medians - low, high - medians], 0)
        axes.errorbar(places, medians, errors, fmt="o", capsize=3, label=f"{method}, {which} conformer")
    axes.set_xticks(range(len(names)), names)
    axes.set_ylim(0, None)
    axes.legend()
    return _save(figure, file)
