"""Measure the time and memory of a dataset build: QM9, and increasing numbers of synthetic pairs with ten conformers.

    python research/benchmarks/dataset_build.py --output research/results/dataset_build/run1.json

Every build runs in its own process, with two workers. Memory is the peak sum of the proportional set sizes (PSS) of the
process and its children, sampled five times per second; memory-mapped pages count.
"""

import argparse
import hashlib
import json
import multiprocessing
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
from machine import describe_machine

from dataset_pubchem3d.build import build
from dataset_pubchem3d.recipe import Recipe
from dataset_pubchem3d.records import Compound, Geometry, Identity, Text, check_geometry
from dataset_pubchem3d.sources.base import GeometrySource, TextSource

CONFORMERS, HEAVY_ATOMS, ATOMS, WORDS = 10, 24, 45, 43  # about PubChem's median molecule and text
SITES = np.stack(np.unravel_index(np.arange(ATOMS), (4, 4, 4)), axis=1) * 2.0  # Å; a build refuses atoms that clash
JITTER = 0.4  # Å
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def invented_key(index: int) -> str:
    """Return a distinct string in the format of an InChIKey."""
    digest = hashlib.sha256(str(index).encode()).digest()
    return "".join(LETTERS[byte % 26] for byte in digest[:14]) + "-UHFFFAOYSA-N"


@dataclass(frozen=True)
class InventedTexts(TextSource):
    """One text for each of `number` synthetic molecules."""

    name = "invented_texts"
    number: int = 0

    def list_files(self, folder: Path) -> list[Path]:
        return []

    def read_records(self, folder: Path) -> Iterator[int]:
        yield from range(self.number)

    def parse_texts(self, raw: int) -> list[Text]:
        key = invented_key(raw)
        compound = Compound(key, f"InChI=1S/invented/{raw}", "C" * HEAVY_ATOMS, HEAVY_ATOMS, 0, cid=raw + 1)
        text = " ".join(f"word{(raw * 31 + place) % 9973}" for place in range(WORDS))
        return [Text(str(raw), text, "invented", compound=compound, cid=raw + 1)]


@dataclass(frozen=True)
class InventedGeometries(GeometrySource):
    """Ten random conformers for each of the same molecules, in reverse order; the atoms are near sites of a lattice."""

    name, method, license = "invented_geometries", "none", "none needed"
    number: int = 0

    def list_files(self, folder: Path) -> list[Path]:
        return []

    def read_records(self, folder: Path) -> Iterator[int]:
        yield from range(self.number - 1, -1, -1)

    def identify(self, raw: int) -> Identity:
        return Identity(inchikey=invented_key(raw))

    def parse_geometry(self, raw: int) -> Geometry:
        generator = np.random.default_rng(raw)
        numbers = np.array([6] * HEAVY_ATOMS + [1] * (ATOMS - HEAVY_ATOMS))
        positions = SITES + generator.uniform(-JITTER, JITTER, size=(CONFORMERS, ATOMS, 3))
        return check_geometry(str(raw), numbers, positions, generator.normal(size=CONFORMERS))


def recipe_of(size: int | None) -> Recipe:
    """Return the recipe for `size` synthetic pairs, or for all of QM9 if it is None."""
    if size is None:
        return Recipe.from_packages()
    return Recipe((InventedTexts(number=size),), (InventedGeometries(number=size),), conformers=CONFORMERS)


def measure(size: int | None, num_proc: int) -> dict:
    """Measure the seconds, peak PSS in MB and output size in MB of one build."""
    folder = Path(tempfile.mkdtemp(prefix="dataset_build_"))
    process = multiprocessing.get_context("spawn").Process(
        target=build, args=(recipe_of(size), folder / "out"), kwargs={"num_proc": num_proc}
    )
    start, peak = time.perf_counter(), 0
    process.start()
    while process.is_alive():
        peak = max(peak, summed_pss(process.pid))
        process.join(0.2)
    seconds = time.perf_counter() - start
    if process.exitcode != 0:
        raise RuntimeError(f"the build of {size or 'QM9'} failed with exit code {process.exitcode}")
    written = sum(file.stat().st_size for file in (folder / "out").rglob("*") if file.is_file())
    shutil.rmtree(folder)
    return {"pairs": size, "seconds": round(seconds, 1), "peak_pss_mb": peak >> 20, "written_mb": written >> 20}


def summed_pss(pid: int) -> int:
    """Sum the PSS of a process and its descendants, in bytes."""
    total = 0
    try:
        for process in (parent := psutil.Process(pid), *parent.children(recursive=True)):
            total += process.memory_full_info().pss
    except (psutil.NoSuchProcess, psutil.AccessDenied):  # the process has just ended
        pass
    return total


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--sizes", type=int, nargs="*", default=[20_000, 60_000, 203_257], help="numbers of synthetic pairs"
    )
    parser.add_argument("--num_proc", type=int, default=2, help="worker processes per build")
    parser.add_argument("--output", type=Path, help="results file to write (JSON)")
    args = parser.parse_args()
    if args.output:
        args.output.parent.mkdir(parents=True, exist_ok=True)
    results = {"machine": describe_machine(), "num_proc": args.num_proc, "builds": []}
    for size in (None, *args.sizes):
        results["builds"].append({"what": "QM9" if size is None else "invented", **measure(size, args.num_proc)})
        print(json.dumps(results["builds"][-1]), flush=True)
    if args.output:
        args.output.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
