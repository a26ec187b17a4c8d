"""The plan of a build: what its sources will download, how long that takes, and whether the disk has room for it.

Making a plan asks no server and writes nothing. Sizes and numbers of requests are those that the sources know before
a download (`sources.base.Source.plan`); what nobody knows is called unknown and counts as nothing.
"""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from .fetch.client import REQUESTS_PER_SECOND
from .fetch.planned import Download
from .recipe import Recipe
from .sources.base import Source

# Bytes of disk that the stages and the output take at their peak, for a pair and for each of its conformers. Measured
# with pairs of 45 atoms and 43 words that are in all configs (docs/results/dataset_build.md).
ROW_BYTES, CONFORMER_BYTES = 5_700, 2_600
TRANSFER_RATE = 100e6  # bit/s, to give an idea of the time


class SourcePlan(NamedTuple):
    """What a source downloads. `path` is what it reads instead of a download, or ""."""

    name: str
    path: str
    downloads: list[Download]


@dataclass(frozen=True)
class Plan:
    """What a build downloads, and the folders it writes.

    Args:
        sources: the sources of the recipe, in the order in which they are fetched.
        work: folder for raw files and finished stages.
        out: folder to build.
        conformers: maximum number of conformers of each molecule.
    """

    sources: list[SourcePlan]
    work: Path
    out: Path
    conformers: int = 1

    @property
    def missing(self) -> list[Download]:
        """Downloads of which something is still to be fetched."""
        return [download for source in self.sources for download in source.downloads if not download.is_there]

    @property
    def missing_bytes(self) -> int:
        """Bytes to fetch, as far as their number is known."""
        return sum(download.missing_bytes or 0 for download in self.missing)

    @property
    def row_bytes(self) -> int:
        """Bytes of disk that a row of the dataset takes in the stages and the output, by a rule of thumb."""
        return ROW_BYTES + self.conformers * CONFORMER_BYTES

    def check_disk(self) -> None:
        """Check that what is to be fetched fits on the disk of the work folder.

        Raises:
            OSError: it does not fit.
        """
        free = measure_free_space(self.work)
        if self.missing_bytes > free:
            raise OSError(
                f"the disk is too small: {format_bytes(self.missing_bytes)} are to be fetched into {self.work}, but "
                f"only {format_bytes(free)} are free there; free some space, choose another --work, or set the `path` "
                "of a source to files on another disk"
            )


def make_plan(recipe: Recipe, work: Path, out: Path) -> Plan:
    """Plan a build; see `build.build` for the folders.

    Raises:
        OSError: a list of CIDs cannot be read.
        ValueError: a source lacks an option that it needs to fetch, or a file that was fetched is damaged.
    """
    sources: dict[tuple[str, Path], SourcePlan] = {}
    for source in _list_sources(recipe):
        key = source.name, source.find_folder(work)
        if key not in sources:  # QM9 may give both geometries and properties, and a table both texts and geometries
            sources[key] = SourcePlan(source.name, source.path, [] if source.path else source.plan(key[1]))
    return Plan([*sources.values()], work, out, recipe.conformers)


def _list_sources(recipe: Recipe) -> list[Source]:
    named = [*recipe.texts, recipe.structures, *recipe.geometries, recipe.properties]
    return [source for source in named if source is not None]


def describe_plan(plan: Plan) -> str:
    """Return the plan as text: each source, the sums, the disk space and a verdict."""
    lines = ["plan of the build; nothing was downloaded or written", ""]
    for source in plan.sources:
        lines += _describe_source(source)
    return "\n".join([*lines, "", *_describe_sums(plan), *_describe_disk(plan)])


def _describe_source(source: SourcePlan) -> list[str]:
    if not source.downloads:
        origin = f"reads {source.path}" if source.path else "reads an installed package or makes its data"
        return [f"{source.name}: nothing is fetched; it {origin}"]
    return [f"{source.name}:", *map(_describe_download, source.downloads)]


def _describe_download(download: Download) -> str:
    size = "unknown size" if download.num_bytes is None else format_bytes(download.num_bytes)
    if download.is_there:
        return f"  {download.name}: there already"
    facts = [size]
    if download.bytes_there:
        facts.append(f"{format_bytes(download.bytes_there)} there already")
    if download.requests is None:
        facts.append("unknown number of requests")
    elif download.requests:
        facts.append(f"{download.requests:,} request{'s' if download.requests > 1 else ''}")
    return f"  {download.name}: {', '.join(facts)}{f' ({download.note})' if download.note else ''}"


def _describe_sums(plan: Plan) -> list[str]:
    if not plan.missing:
        return ["to fetch: nothing"]
    size = format_bytes(plan.missing_bytes)
    if unknown := sum(download.missing_bytes is None for download in plan.missing):
        size = f"at least {size}, and {unknown} download{'s' if unknown > 1 else ''} of unknown size"
    number = sum(download.requests or 0 for download in plan.missing)
    requests = f"at least {number:,}" if any(found.requests is None for found in plan.missing) else f"{number:,}"
    polite, transfer = number / REQUESTS_PER_SECOND, 8 * plan.missing_bytes / TRANSFER_RATE
    return [
        f"to fetch: {size}; {format_hours(transfer)} at {TRANSFER_RATE / 1e6:.0f} Mbit/s",
        f"requests: {requests}; {format_hours(polite)} at the polite rate, {REQUESTS_PER_SECOND:g} a second",
    ]


def _describe_disk(plan: Plan) -> list[str]:
    free, free_out = measure_free_space(plan.work), measure_free_space(plan.out)
    room = min(free - plan.missing_bytes, free_out)
    is_one_disk = _find_existing(plan.work).stat().st_dev == _find_existing(plan.out).stat().st_dev
    also = "and" if is_one_disk else f"and {format_bytes(free_out)} for"
    lines = [
        f"free disk: {format_bytes(free)} for the work folder {_shorten(plan.work)} {also} {_shorten(plan.out)}",
        f"whole build: what is fetched, and {format_bytes(100_000 * plan.row_bytes)} of stages and output for each "
        "100,000 rows (rule of thumb: docs/results/dataset_build.md)",
    ]
    if room < 0:
        return [*lines, "verdict: the disk is too small for what is to be fetched"]
    return [
        *lines,
        f"verdict: {_describe_fit(plan)}; {format_bytes(room)} remain, enough for about "
        f"{_round_down(room // plan.row_bytes):,} rows",
    ]


def _describe_fit(plan: Plan) -> str:
    if not plan.missing:
        return "nothing is to be fetched"
    is_known = all(download.missing_bytes is not None for download in plan.missing)
    return "the downloads fit" if is_known else "the downloads of known size fit, and the others are not counted"


def _round_down(number: int) -> int:
    """Round a number down to two digits."""
    unit = 10 ** max(len(str(number)) - 2, 0)
    return number // unit * unit


def measure_free_space(path: Path) -> int:
    """Return the free bytes of the file system on which a file or folder is, or would be made."""
    return shutil.disk_usage(_find_existing(path)).free


def _find_existing(path: Path) -> Path:
    """Return the path, or the nearest folder above it that exists."""
    return next(found for found in (path.resolve(), *path.resolve().parents) if found.exists())


def _shorten(path: Path) -> Path:
    """Return the path as seen from the current directory, if it is below it."""
    absolute, here = path.resolve(), Path.cwd()
    return absolute.relative_to(here) if absolute.is_relative_to(here) else absolute


def format_bytes(number: int) -> str:
    """Return a number of bytes to three digits, such as 7.36 GB, in powers of 1000."""
    for unit, size in (("TB", 10**12), ("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if number >= 0.9995 * size:
            return f"{number / size:.3g} {unit}"
    return f"{number} bytes"


def format_hours(seconds: float) -> str:
    """Return a duration in hours to two digits or more, such as 0.29 hours."""
    hours = seconds / 3600
    return f"{hours:.2g} hours" if hours < 10 else f"{hours:,.0f} hours"
