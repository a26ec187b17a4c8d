"""Print the tables of docs/results/property_prediction.md from the results files of `property_prediction.sh`.

python research/experiments/property_tables.py research/results/property_prediction
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import mean, stdev

SYSTEMS = {
    "mean": "mean of the training labels",
    "element counts": "linear in element counts",
    "kernel ridge": "kernel ridge on ECFP4",
    "gradient boosting": "gradient boosting on ECFP4",
    "scratch": "tower from scratch",
    "denoised": "denoised tower",
    "aligned": "denoised tower, aligned with text",
    "denoised_frozen": "denoised tower, frozen",
    "aligned_frozen": "aligned tower, frozen",
    "heavy_atoms": "tower from scratch, no hydrogens",
}
GEOMETRIES = {
    "given": "DFT geometry",
    "rdkit": "RDKit conformer",
    "rdkit_5": "mean over 5 RDKit conformers",
}
MILLI = {"Hartree": "mHa"}  # other units are not converted


def main(folder: Path) -> None:
    records = {file.stem: json.loads(file.read_text(encoding="utf-8")) for file in sorted(folder.glob("*.json"))}
    sizes = sorted({int(name.split("-")[1]) for name in records})
    curves = {rows: systems(records, rows) for rows in sizes}
    print("## Learning curve\n\n" + curve_table(curves))
    largest = curves[sizes[-1]]
    print(f"\n## Every target, {sizes[-1]:,} labels\n\n" + target_table({SYSTEMS[n]: r for n, r in largest.items()}))
    print("\n## The geometry at test time\n\n" + target_table(seeds_of(records, GEOMETRIES, f"{{}}-{sizes[-1]}")))
    if orbitals := of_seeds(records, f"orbitals-{sizes[-1]}"):
        print("\n## HOMO, LUMO and gap alone\n\n" + target_table({SYSTEMS["denoised"]: orbitals}, is_joint=True))


def systems(records: dict, rows: int) -> dict[str, list[dict]]:
    """Return {system: evaluations, one per seed} for a number of labels."""
    fingerprints = records.get(f"fingerprints-{rows}", {"results": {}})["results"]
    found = {
        name: [fingerprints[name]] if name in fingerprints else of_seeds(records, f"{name}-{rows}") for name in SYSTEMS
    }
    return {name: evaluations for name, evaluations in found.items() if evaluations}


def seeds_of(records: dict, names: dict[str, str], pattern: str) -> dict[str, list[dict]]:
    found = {title: of_seeds(records, pattern.format(name)) for name, title in names.items()}
    return {title: evaluations for title, evaluations in found.items() if evaluations}


def of_seeds(records: dict, prefix: str) -> list[dict]:
    return [record for name, record in records.items() if name.rpartition("-")[0] == prefix]


def curve_table(curves: dict[int, dict[str, list[dict]]]) -> str:
    header = ["", *(f"{rows:,} labels: {what}" for rows in curves for what in ("standardised MAE", "gap, mHa"))]
    names = [name for name in SYSTEMS if any(name in found for found in curves.values())]
    lines = []
    for name in names:
        cells = []
        for found in curves.values():
            metrics = [evaluation["metrics"] for evaluation in found.get(name, [])]
            cells += [cell([m["standardised_mae"] for m in metrics]), cell([1000 * m["gap_mae"] for m in metrics])]
        lines.append([SYSTEMS[name], *cells])
    return table(header, lines)


def target_table(systems: dict[str, list[dict]], is_joint: bool = False) -> str:
    """Format the MAE of every target; `is_joint` adds the mean over targets, which must share a unit."""
    first = next(iter(systems.values()))[0]
    lines = []
    for target, unit in zip(first["targets"], first["units"], strict=True):
        factor = 1000 if unit in MILLI else 1
        errors = [[factor * e["metrics"][f"{target}_mae"] for e in evaluations] for evaluations in systems.values()]
        lines.append([f"{target}, {MILLI.get(unit, unit)}", *map(cell, errors)])
    if is_joint:
        joint = [[1000 * e["metrics"]["mean_mae"] for e in evaluations] for evaluations in systems.values()]
        lines.append(["mean of the three, mHa", *map(cell, joint)])
    standardised = [[e["metrics"]["standardised_mae"] for e in evaluations] for evaluations in systems.values()]
    lines.append(["standardised MAE", *map(cell, standardised)])
    return table(["MAE", *systems], lines)


def cell(values: Sequence[float]) -> str:
    """Format the mean and, for several seeds, the standard deviation."""
    if not values:
        return "–"
    return f"{mean(values):.3g}" + (f" ± {stdev(values):.1g}" if len(values) > 1 else "")


def table(header: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    rows = [header, ["---"] * len(header), *lines]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
