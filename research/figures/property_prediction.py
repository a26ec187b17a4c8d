"""Draw the error of property predictors against the number of training labels.

    python research/figures/property_prediction.py research/results/property_prediction \\
        --output docs/results/images/error_by_labels.svg

The folder has the results files of `research/experiments/property_prediction.sh`.
"""

import argparse
import json
from pathlib import Path

import numpy as np
from drawing import COLOURS, INK, WIDTH, save_svg, styled
from matplotlib.figure import Figure

SYSTEMS = {  # results file or entry of a fingerprint file: label and colour
    "mean": ("mean of the training labels", INK),
    "element counts": ("linear in element counts", COLOURS[6]),
    "kernel ridge": ("kernel ridge on ECFP4", COLOURS[4]),
    "gradient boosting": ("gradient boosting on ECFP4", COLOURS[1]),
    "scratch": ("tower from scratch", COLOURS[2]),
    "denoised": ("denoised tower", COLOURS[3]),
    "aligned": ("denoised tower, aligned with text", COLOURS[0]),
}
PANELS = {
    "gap_mae": ("HOMO-LUMO gap", "MAE (mHa)", 1000),
    "standardised_mae": ("All twelve targets", "standardised MAE", 1),
}
FINGERPRINTS = "fingerprints"


def read_errors(folder: Path) -> dict[str, dict[int, list[dict[str, float]]]]:
    """Return {system: {number of labels: metrics of each seed}} for the files SYSTEM-LABELS-SEED.json of a folder.

    Raises:
        ValueError: the folder has no file of a known system.
    """
    found = {name: {} for name in SYSTEMS}
    for file in sorted(folder.glob("*.json")):
        system, _, rest = file.stem.partition("-")
        labels = int(rest.partition("-")[0])
        results = json.loads(file.read_text(encoding="utf-8"))
        results = results["results"] if system == FINGERPRINTS else {system: results}
        for name in results.keys() & SYSTEMS.keys():
            found[name].setdefault(labels, []).append(results[name]["metrics"])
    if not any(found.values()):
        raise ValueError(f"{folder} has no results of {', '.join(SYSTEMS)}")
    return {name: by_labels for name, by_labels in found.items() if by_labels}


@styled
def draw_errors(errors: dict[str, dict[int, list[dict[str, float]]]]) -> Figure:
    """Draw the mean over seeds as a line, and each seed as a point; points of different systems are side by side."""
    figure = Figure(figsize=(WIDTH, 3.1), layout="constrained")
    panels = figure.subplots(1, len(PANELS))
    sizes = sorted({labels for by_labels in errors.values() for labels in by_labels})
    for axes, (metric, (title, unit, factor)) in zip(panels, PANELS.items()):
        for index, (name, by_labels) in enumerate(errors.items()):
            label, colour = SYSTEMS[name]
            shift = 1.03 ** (index - (len(errors) - 1) / 2)
            points = {labels: [factor * seed[metric] for seed in seeds] for labels, seeds in sorted(by_labels.items())}
            places = [shift * labels for labels in points]
            axes.plot(places, [np.mean(values) for values in points.values()], color=colour, label=label, linewidth=1.3)
            for place, values in zip(places, points.values()):
                axes.plot([place] * len(values), values, "o", color=colour, markersize=3.5, markeredgewidth=0)
        axes.set(xscale="log", yscale="log", title=title, ylabel=unit, xlabel="training labels")
        axes.set_xticks(sizes, [f"{size:,}" for size in sizes])
        axes.minorticks_off()
        axes.grid(alpha=0.3)
    panels[0].set_yticks([5, 10, 20, 40], ["5", "10", "20", "40"])
    panels[1].set_yticks([0.05, 0.1, 0.2, 0.4, 0.8], ["0.05", "0.1", "0.2", "0.4", "0.8"])
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside right center")
    return figure


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="folder of the results files")
    parser.add_argument("--output", required=True, type=Path, help="SVG file to write")
    args = parser.parse_args()
    try:
        errors = read_errors(args.folder)
    except ValueError as error:
        parser.error(str(error))
    save_svg(draw_errors(errors), args.output)


if __name__ == "__main__":
    main()
