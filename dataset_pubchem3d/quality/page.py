"""Write a quality report as a Markdown page of tables and plots."""

from pathlib import Path
from typing import Any

from .geometry_comparison import THRESHOLDS
from .stored_molecules import FEWEST_HEAVY_ATOMS

COMPARISON_COUNTS = ("sampled", "compared", "fewer_conformers", "upper_bounds")
RMSD_HEADER = ("", "conformer", "n", "mean", "median", "90th percentile", *(f"under {limit} Å" for limit in THRESHOLDS))


def write_page(file: Path, report: dict, plots: list[Path]) -> None:
    """Write a report as a Markdown page that includes the plots."""
    configs = report["configs"]
    sections = [
        "# Quality report",
        _format_faults(report["faults"]),
        "## Figures\n\nRows with a null in a required column are counted as rows and as faults, and left out of all"
        " other figures.",
        _tabulate_configs(configs, "figures"),
        "## Shared between splits\n\nNumber of distinct values that two splits of a config share. A first block or a"
        " split group must be in one split only; a text or a scaffold (Bemis-Murcko, of molecules with rings) may be in"
        " several.",
        _tabulate_configs(configs, "shared"),
        _format_held_out(report["trained_on_here_and_held_out_there"]),
        "## Distributions",
        _tabulate_configs(configs, "distributions"),
        "## Rows by value",
        _tabulate_configs(configs, "held"),
        _format_comparison(report["geometry_comparison"]),
        "## Plots",
        *(f"![{plot.stem}]({plot.relative_to(file.parent).as_posix()})" for plot in plots),
    ]
    file.write_text("\n\n".join(section for section in sections if section) + "\n", encoding="utf-8")


def _tabulate_configs(configs: dict[str, dict], section: str) -> str:
    """Format the figures of one section as a table with one column per config."""
    cells = {config: _collect_cells(figures, section) for config, figures in configs.items()}
    names = dict.fromkeys(name for told in cells.values() for name in told)
    return _format_table(["", *cells], [[name, *(told.get(name, "") for told in cells.values())] for name in names])


def _collect_cells(figures: dict, section: str) -> dict[str, Any]:
    """Return the figures of one section by the name of their table row."""
    cells = {}
    for name, figure in figures.items():
        if _choose_section(name, figure) != section:
            continue
        title = name.replace("_", " ")
        if not isinstance(figure, dict):
            cells[title] = figure
        elif section == "shared":
            cells |= {f"{key}: {splits}": number for key, shared in figure.items() for splits, number in shared.items()}
        else:
            cells |= {f"{title}: {key}": number for key, number in figure.items() if key != "rows_of"}
    return cells


def _choose_section(name: str, figure: Any) -> str:
    """Return the section of the page that shows a figure."""
    if name == "shared_between_splits":
        return "shared"
    if name == "splits" or not isinstance(figure, dict):
        return "figures"
    return "distributions" if "rows_of" in figure else "held"


def _format_table(header: list[str], rows: list[list]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines)


def _format_faults(faults: list[dict]) -> str:
    if not faults:
        return "No faults were found."
    rows = [[fault["config"], fault["fault"], fault["count"], "<br>".join(fault["first"])] for fault in faults]
    return "## Faults\n\n" + _format_table(["config", "fault", "number", "first"], rows)


def _format_held_out(shared: dict[str, int]) -> str:
    if not shared:
        return "No config trains on a first block that another config holds out."
    rows = [[pair, count] for pair, count in shared.items()]
    return "First blocks that one config trains on and another config holds out:\n\n" + _format_table(
        ["", "first blocks"], rows
    )


def _format_comparison(comparison: dict) -> str:
    """Format the comparison of RDKit conformers with the stored geometries."""
    intro = (
        "## Stored geometries and RDKit conformers\n\nA sample of the geometries of each method, from all configs. The"
        " molecule is perceived from the stored geometry, including its stereochemistry, and RDKit makes conformers of"
        " it with ETKDGv3 and MMFF94. The RMSD (Å, heavy atoms) is the minimum over rotations and symmetries, given for"
        " the first and for the closest conformer. In brackets: 95 % bootstrap interval of the median. Molecules with"
        f" fewer than {FEWEST_HEAVY_ATOMS} heavy atoms, which have no torsion, and molecules of several fragments are"
        " not compared."
    )
    sections = [intro]
    for method, figures in comparison["methods"].items():
        counts = [[name.replace("_", " "), figures[name]] for name in COMPARISON_COUNTS]
        counts += [[f"not compared: {reason}", number] for reason, number in figures["failures"].items()]
        rows = _format_rmsds("all", figures)
        for bonds, entry in figures["by_rotatable_bonds"].items():
            rows += _format_rmsds(f"{bonds} rotatable bonds", entry)
        sections += [
            f"### {method}",
            _format_table(["", "molecules"], counts),
            _format_table(list(RMSD_HEADER), rows) if rows else "",
        ]
    return "\n\n".join(section for section in sections if section)


def _format_rmsds(name: str, entry: dict) -> list[list]:
    rows = []
    for which in ("first", "best"):
        if (figures := entry[which]) is not None:
            low, high = figures["median_interval_95"]
            shares = [f"{figures[f'share_under_{limit}']:.1%}" for limit in THRESHOLDS]
            median = f"{figures['median']:.3f} ({low:.3f} to {high:.3f})"
            rows.append([name, which, entry["n"], f"{figures['mean']:.3f}", median, f"{figures['p90']:.3f}", *shares])
    return rows
