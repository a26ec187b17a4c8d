"""A quality report for people: a page of tables and the plots it shows."""

from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

DISTRIBUTIONS = ("words", "atoms", "heavy_atoms", "conformers")
COMPARISON_COUNTS = ("sampled", "compared", "fewer_conformers", "upper_bounds")
RMSD_HEADER = ("", "conformer", "n", "mean", "median", "90th percentile", "under 0.5 Å", "under 1.0 Å")
SIZE = (7.0, 4.0)  # inches


def require_matplotlib() -> None:
    """Raise ModuleNotFoundError, with the remedy, if matplotlib is not installed."""
    if find_spec("matplotlib") is None:
        raise ModuleNotFoundError("plots need matplotlib; pip install matplotlib")


def write_plots(folder: Path, report: dict, comparisons: list[dict]) -> list[Path]:
    """Draw what there is to draw of a report.

    Args:
        folder: made if it is not there.
        comparisons: of single molecules, as dictionaries.
    Returns: the files, in the order in which they are to be shown.
    """
    folder.mkdir(exist_ok=True)
    drawn = [
        _plot_distributions(folder / "text_lengths.png", report, "words", "words a text"),
        _plot_distributions(folder / "heavy_atoms.png", report, "heavy_atoms", "heavy atoms a molecule"),
        _plot_elements(folder / "elements.png", report),
        _plot_rmsds(folder / "geometry_rmsd.png", comparisons),
        _plot_flexibility(folder / "geometry_rmsd_by_rotatable_bonds.png", report),
    ]
    return [file for file in drawn if file is not None]


def _axes(**labels: str) -> tuple[Any, Any]:
    from matplotlib.figure import Figure  # draws with Agg, without pyplot's global state

    figure = Figure(figsize=SIZE, layout="constrained")
    axes = figure.add_subplot()
    axes.set(**labels)
    axes.grid(alpha=0.3)
    return figure, axes


def _save(figure: Any, file: Path) -> Path:
    figure.savefig(file, dpi=120)
    return file


def _plot_distributions(file: Path, report: dict, name: str, label: str) -> Path | None:
    figure, axes = _axes(xlabel=label, ylabel="share of rows up to this", ylim=(0, 1.02))
    for config, figures in report["configs"].items():
        if rows_of := figures.get(name, {}).get("rows_of"):
            shares = np.cumsum(list(rows_of.values())) / sum(rows_of.values())
            axes.step(list(rows_of), shares, where="post", label=f"{config} ({figures['rows']} rows)")
    if not axes.lines:
        return None
    axes.set_xscale("symlog" if name == "words" else "linear")
    axes.legend()
    return _save(figure, file)


def _plot_elements(file: Path, report: dict) -> Path | None:
    configs = {config: figures["elements"] for config, figures in report["configs"].items() if figures["elements"]}
    if not configs:
        return None
    elements = list(dict.fromkeys(element for held in configs.values() for element in held))
    figure, axes = _axes(xlabel="element", ylabel="rows that hold it", yscale="log")
    for index, (config, held) in enumerate(configs.items()):
        places = np.arange(len(elements)) + (index - (len(configs) - 1) / 2) * 0.8 / len(configs)
        axes.bar(places, [held.get(element, 0) for element in elements], 0.8 / len(configs), label=config)
    axes.set_xticks(range(len(elements)), elements)
    axes.legend()
    return _save(figure, file)


def _plot_rmsds(file: Path, comparisons: list[dict]) -> Path | None:
    compared = [comparison for comparison in comparisons if comparison["failure"] is None]
    if not compared:
        return None
    figure, axes = _axes(xlabel="heavy-atom RMSD to the stored geometry (Å)", ylabel="share of molecules up to this")
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
    figure, axes = _axes(xlabel="rotatable bonds", ylabel="median heavy-atom RMSD (Å), 95 % interval")
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


def write_page(file: Path, report: dict, plots: list[Path]) -> None:
    """Write a report as Markdown that shows the plots."""
    configs = report["configs"]
    flat = {config: dict(_flattened(figures)) for config, figures in configs.items()}
    sections = [
        "# Quality of this folder",
        _verdict(report["faults"]),
        "## Figures\n\nRows with nulls where none may be are counted as rows and as faults and in nothing else.",
        _by_config(flat, lambda path: len(path) == 1 or path[0] == "splits"),
        "## Shared between splits\n\nHow many distinct values two splits of a config both have. First blocks and split"
        " groups must be in one split; texts and scaffolds (Bemis-Murcko, of molecules with rings) may be in several.",
        _by_config(flat, lambda path: path[0] == "shared_between_splits"),
        _held_out(report["trained_on_here_and_held_out_there"]),
        "## Distributions",
        _by_config(flat, lambda path: path[0] in DISTRIBUTIONS),
        "## Rows by what they hold",
        _by_config(
            flat, lambda path: len(path) > 1 and path[0] not in (*DISTRIBUTIONS, "shared_between_splits", "splits")
        ),
        _comparison(report["geometry_comparison"]),
        "## Plots",
        *(f"![{plot.stem}]({plot.relative_to(file.parent).as_posix()})" for plot in plots),
    ]
    file.write_text("\n\n".join(section for section in sections if section) + "\n", encoding="utf-8")


def _flattened(figures: dict, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    for key, value in figures.items():
        if isinstance(value, dict) and key != "rows_of":
            yield from _flattened(value, (*path, str(key)))
        elif key != "rows_of":
            yield (*path, str(key)), value


def _by_config(flat: dict[str, dict], is_told: Callable[[tuple[str, ...]], bool]) -> str:
    """A table of figures, one column a config."""
    paths = [path for path in dict.fromkeys(path for figures in flat.values() for path in figures) if is_told(path)]
    rows = [[_name(path), *(figures.get(path, "") for figures in flat.values())] for path in paths]
    return _table(["", *flat], rows)


def _name(path: tuple[str, ...]) -> str:
    return ": ".join([path[0].replace("_", " "), *path[1:]]).removeprefix("shared between splits: ")


def _table(header: list[str], rows: list[list]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines)


def _verdict(faults: list[dict]) -> str:
    if not faults:
        return "No faults were found."
    rows = [[fault["config"], fault["fault"], fault["count"], "<br>".join(fault["first"])] for fault in faults]
    return "## Faults\n\n" + _table(["config", "fault", "number", "first"], rows)


def _held_out(shared: dict[str, int]) -> str:
    if not shared:
        return "No config trains on a first block that another one holds out."
    rows = [[pair, count] for pair, count in shared.items()]
    return "First blocks that one config trains on and another holds out:\n\n" + _table(["", "first blocks"], rows)


def _comparison(comparison: dict) -> str:
    """How far RDKit's conformers are from the stored geometries."""
    intro = (
        f"## Stored geometries and RDKit's conformers\n\nA sample of config `{comparison['config']}`. The molecule is"
        " perceived from the stored geometry, stereo included, and embedded with ETKDGv3 and MMFF94; RMSD in Å over"
        " heavy atoms, the least over rotations and symmetries, of the first conformer and of the closest of several."
        " In brackets: 95 % bootstrap interval of the median. Molecules with fewer than 4 heavy atoms, which have no"
        " torsion, and those of several fragments are not compared."
    )
    sections = [intro]
    for method, figures in comparison["methods"].items():
        counts = [[name.replace("_", " "), figures[name]] for name in COMPARISON_COUNTS]
        counts += [[f"not compared: {reason}", number] for reason, number in figures["failures"].items()]
        rows = _rmsd_rows("all", figures)
        for bonds, entry in figures["by_rotatable_bonds"].items():
            rows += _rmsd_rows(f"{bonds} rotatable bonds", entry)
        sections += [
            f"### {method}",
            _table(["", "molecules"], counts),
            _table(list(RMSD_HEADER), rows) if rows else "",
        ]
    return "\n\n".join(section for section in sections if section)


def _rmsd_rows(name: str, entry: dict) -> list[list]:
    rows = []
    for which in ("first", "best"):
        if (figures := entry[which]) is not None:
            low, high = figures["median_interval_95"]
            shares = [f"{figures[key]:.1%}" for key in figures if key.startswith("share")]
            median = f"{figures['median']:.3f} ({low:.3f} to {high:.3f})"
            rows.append([name, which, entry["n"], f"{figures['mean']:.3f}", median, f"{figures['p90']:.3f}", *shares])
    return rows
