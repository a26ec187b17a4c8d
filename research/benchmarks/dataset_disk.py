"""Measure the disk use of a dataset build: the peak of its work and output folders, by the number of conformers.

    python research/benchmarks/dataset_disk.py --output research/results/dataset_build/disk.json

The pairs are those of `dataset_build.py`. The peak is sampled twice per second; nothing is downloaded.
"""

import argparse
import json
import tempfile
import threading
from pathlib import Path

from dataset_build import InventedGeometries, InventedTexts

from dataset_pubchem3d.build import build
from dataset_pubchem3d.recipe import Recipe

INTERVAL = 0.5  # s


def measure(pairs: int, conformers: int) -> dict:
    """Measure the sizes in bytes of one build."""
    recipe = Recipe((InventedTexts(number=pairs),), (InventedGeometries(number=pairs),), conformers=conformers)
    with tempfile.TemporaryDirectory(prefix="dataset_disk_") as name:
        folder, peak, is_built = Path(name), 0, threading.Event()
        builder = threading.Thread(target=lambda: (build(recipe, folder / "out"), is_built.set()), daemon=True)
        builder.start()
        while builder.is_alive():
            peak = max(peak, sum_sizes(folder))
            builder.join(INTERVAL)
        if not is_built.is_set():
            raise RuntimeError(f"the build of {pairs} pairs with {conformers} conformers failed")
        work, out = sum_sizes(folder / ".out.work"), sum_sizes(folder / "out")
    peak = max(peak, work + out)
    sizes = {"work_bytes": work, "out_bytes": out, "peak_bytes": peak, "peak_bytes_per_pair": round(peak / pairs)}
    return {"pairs": pairs, "conformers": conformers, **sizes}


def sum_sizes(folder: Path) -> int:
    """Sum the sizes in bytes of the files below a folder, which may be disappearing."""
    total = 0
    for file in folder.rglob("*"):
        try:
            total += file.stat().st_size if file.is_file() else 0
        except FileNotFoundError:  # a temporary file that was renamed
            continue
    return total


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=10_000, help="number of synthetic pairs")
    parser.add_argument("--conformers", type=int, nargs="*", default=[1, 10], help="numbers of conformers")
    parser.add_argument("--output", type=Path, help="results file to write (JSON)")
    args = parser.parse_args()
    results = []
    for conformers in args.conformers:
        results.append(measure(args.pairs, conformers))
        print(json.dumps(results[-1]), flush=True)
    if args.output:
        args.output.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
