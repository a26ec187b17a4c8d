"""Measure a built folder from its Parquet files: its contents, its faults and the quality of its geometries."""

import json
from dataclasses import asdict
from itertools import chain
from pathlib import Path

from .figures import list_faults, summarise_config
from .files import list_data_files
from .geometry_comparison import compare_geometries, summarise
from .leaks import compare_configs, find_leaks
from .page import write_page
from .plots import require_matplotlib, write_plots
from .processes import open_mapper
from .sampling import sample_rows
from .scan import examine_files, find_column_faults


def write_quality(folder: Path, sample: int = 2500, seed: int = 0, num_proc: int = 1) -> dict:
    """Measure a folder and write `quality_report.json`, `QUALITY.md`, `plots/` and `geometry_comparison.jsonl` into it.

    Returns:
        The report, without the comparisons of single molecules.
    Raises:
        ModuleNotFoundError: matplotlib is not installed.
        FileNotFoundError, ValueError: see `measure_quality`.
    """
    require_matplotlib()  # fail before the long measurement
    report = measure_quality(folder, sample, seed, num_proc)
    comparisons = report["geometry_comparison"].pop("molecules")
    lines = "".join(json.dumps(comparison, ensure_ascii=False) + "\n" for comparison in comparisons)
    (folder / "geometry_comparison.jsonl").write_text(lines, encoding="utf-8")
    text = json.dumps(report, indent=2, ensure_ascii=False, allow_nan=False)
    (folder / "quality_report.json").write_text(text + "\n", encoding="utf-8")
    write_page(folder / "QUALITY.md", report, write_plots(folder / "plots", report, comparisons))
    return report


def measure_quality(folder: Path, sample: int, seed: int, num_proc: int) -> dict:
    """Measure the figures of every config of a folder, its faults, and the distance of its geometries from RDKit's.

    Args:
        folder: built folder.
        sample: number of geometries of each method to compare with RDKit conformers.
        seed: seed of the sample and of the bootstrap; the seed of the conformers is fixed.
        num_proc: number of processes.
    Raises:
        FileNotFoundError: the folder has no data, or files of a split are missing.
        ValueError: a file cannot be read.
    """
    files = list_data_files(folder)
    configs, faults, blocks = {}, [], {}
    with open_mapper(num_proc) as run:
        for config, splits in files.items():
            findings = {split: examine_files(found, config, run) for split, found in splits.items()}
            configs[config] = summarise_config(findings, config)
            faults += [*list_faults(findings, config), *find_leaks(findings, splits, config)]
            blocks[config] = {split: found.count_hashes("first_blocks")[0] for split, found in findings.items()}
        measured = [
            file
            for config, splits in files.items()
            for file in chain(*splits.values())
            if not find_column_faults(file, config)
        ]
        comparisons = compare_geometries(sample_rows(measured, sample, seed), run=run)
    return {
        "faults": faults,
        "configs": configs,
        "trained_on_here_and_held_out_there": compare_configs(blocks),
        "geometry_comparison": {
            "methods": summarise(comparisons, seed),
            "molecules": [asdict(comparison) for comparison in comparisons],
        },
    }
