"""Measure the time, memory and disk of dataset builds: QM9, and increasing numbers of synthetic pairs.

    python research/benchmarks/dataset_build.py --output research/results/dataset_build/run5.json

Every build runs in its own process, with two workers. Memory is the peak sum of the proportional set sizes (PSS) of the
process and its children, sampled five times per second; memory-mapped pages count. Disk is the peak of all files of the
build, sampled every two seconds; nothing is downloaded.
"""

import argparse
import contextlib
import hashlib
import itertools
import json
import multiprocessing
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil

from dataset_pubchem3d.build import build
from dataset_pubchem3d.recipe import Recipe
from dataset_pubchem3d.records import Compound, Geometry, Identity, Text, check_geometry
from dataset_pubchem3d.sources.base import GeometrySource, TextSource

HEAVY_ATOMS, ATOMS, WORDS = 24, 45, 43  # about PubChem's median molecule and text
SITES = np.stack(np.unravel_index(np.arange(ATOMS), (4, 4, 4)), axis=1) * 2.0  # Å; a build refuses atoms that clash
JITTER = 0.4  # Å
BUILDS = ("20000x1", "20000x10", "200000x10", "2000000x1")  # pairs x conformers
INTERVALS_OF_DISK = 10  # samples of memory per sample of disk
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
    """Random conformers of the same molecules, in reverse order; the atoms are near sites of a lattice."""

    name, method, license = "invented_geometries", "none", "none needed"
    number: int = 0
    conformers: int = 1

    def list_files(self, folder: Path) -> list[Path]:
        return []

    def read_records(self, folder: Path) -> Iterator[int]:
        yield from range(self.number - 1, -1, -1)

    def identify(self, raw: int) -> Identity:
        return Identity(inchikey=invented_key(raw))

    def parse_geometry(self, raw: int) -> Geometry:
        generator = np.random.default_rng(raw)
        numbers = np.array([6] * HEAVY_ATOMS + [1] * (ATOMS - HEAVY_ATOMS))
        positions = SITES + generator.uniform(-JITTER, JITTER, size=(self.conformers, ATOMS, 3))
        return check_geometry(str(raw), numbers, positions, generator.normal(size=self.conformers))


def make_recipe(pairs: int, conformers: int) -> Recipe:
    """Return the recipe for synthetic pairs."""
    geometries = InventedGeometries(number=pairs, conformers=conformers)
    return Recipe((InventedTexts(number=pairs),), (geometries,), conformers=conformers)


def measure(recipe: Recipe, num_proc: int) -> dict:
    """Measure the seconds, peak PSS in MB, and peak and output on disk in MB of one build."""
    folder = Path(tempfile.mkdtemp(prefix="dataset_build_"))
    process = multiprocessing.get_context("spawn").Process(
        target=build, args=(recipe, folder / "out"), kwargs={"num_proc": num_proc}
    )
    start, peak, disk = time.perf_counter(), 0, 0
    process.start()
    for sample in itertools.count():
        if not process.is_alive():
            break
        peak = max(peak, summed_pss(process.pid))
        if sample % INTERVALS_OF_DISK == 0:
            disk = max(disk, sum_sizes(folder))
        process.join(0.2)
    seconds = time.perf_counter() - start
    if process.exitcode != 0:
        raise RuntimeError(f"the build failed with exit code {process.exitcode}")
    disk, written = max(disk, sum_sizes(folder)), sum_sizes(folder / "out")
    shutil.rmtree(folder)
    sizes = {"peak_disk_mb": round(disk / 1e6), "written_mb": round(written / 1e6)}
    return {"seconds": round(seconds, 1), "peak_pss_mb": peak >> 20, **sizes}


def sum_sizes(folder: Path) -> int:
    """Sum the sizes in bytes of the files below a folder, which may be disappearing."""
    total = 0
    for place, _, files in os.walk(folder):
        for file in files:
            with contextlib.suppress(FileNotFoundError):  # a temporary file that was renamed
                total += (Path(place) / file).stat().st_size
    return total


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
    from machine import describe_machine  # imports torch, which a build does not

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--builds", nargs="*", default=BUILDS, help="synthetic pairs and conformers, such as 20000x10")
    parser.add_argument("--num_proc", type=int, default=2, help="worker processes per build")
    parser.add_argument("--output", type=Path, help="results file to write (JSON)")
    args = parser.parse_args()
    if args.output:
        args.output.parent.mkdir(parents=True, exist_ok=True)
    results = {"machine": describe_machine(), "num_proc": args.num_proc, "builds": []}
    sizes = [tuple(map(int, size.split("x"))) for size in args.builds]
    recipes = [("QM9", {}, Recipe.from_packages())]
    recipes += [("invented", {"pairs": size[0], "conformers": size[1]}, make_recipe(*size)) for size in sizes]
    for what, size, recipe in recipes:
        results["builds"].append({"what": what, **size, **measure(recipe, args.num_proc)})
        print(json.dumps(results["builds"][-1]), flush=True)
    if args.output:
        args.output.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
