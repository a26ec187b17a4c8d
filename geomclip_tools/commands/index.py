"""`geomclip index`: make and keep an index of a library of molecules, for `geomclip search`."""

import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..library import MoleculeIndex
from ..library.store import exists
from .molecules import ENCODING_HELP, count_things, report_reasons
from .parsing import name_leading_words, parse_flags

INDEX_HELP = "index: folder, or a URI that LanceDB opens, such as s3://bucket/folder"
MODEL_HELP = "GeomCLIP: checkpoint folder or Hub id; if omitted, the model that the index names"
WHERE_HELP = 'condition on the columns in SQL, such as "mol_weight < 300 and rings >= 1"'


@dataclass(frozen=True, kw_only=True)
class AddSettings:
    """Settings of `geomclip index add`."""

    libraries: list[str] = field(
        metadata={
            "help": "files (.smi, .csv, .tsv, .parquet, .sdf, also .gz), folders of them, and folders or Hub ids of "
            "datasets; may also stand before all flags"
        }
    )
    index: str = field(metadata={"help": f"{INDEX_HELP}; made if it is not there"})
    model: str | None = field(default=None, metadata={"help": f"{MODEL_HELP}; required for a new index"})
    quarantine: str | None = field(
        default=None, metadata={"help": "JSON Lines file for what is refused (default: INDEX.rejected.jsonl)"}
    )
    encoding: str = field(default="utf-8", metadata={"help": ENCODING_HELP})
    num_proc: int | None = field(
        default=None, metadata={"help": "processes that make conformers (default: one per core; 0: none)"}
    )
    batch_size: int = field(default=1024, metadata={"help": "entries per commit; a kill loses at most two batches"})
    engine: str = field(
        default="local",
        metadata={
            "help": "local: this machine. ray: a Ray cluster, the one at RAY_ADDRESS or one started on this machine, "
            "generates conformers and embeddings; it ignores --num-proc",
        },
    )
    texts: bool = field(
        default=True,
        metadata={"help": "keep and embed the texts of the libraries, too; long ones take most of the time"},
    )

    def __post_init__(self):
        if self.batch_size < 1 or (self.num_proc or 0) < 0:
            raise ValueError("--batch-size must be at least 1, and --num-proc at least 0")


@dataclass(frozen=True, kw_only=True)
class InfoSettings:
    """Settings of `geomclip index info`."""

    index: str = field(metadata={"help": INDEX_HELP})


@dataclass(frozen=True, kw_only=True)
class RemoveSettings:
    """Settings of `geomclip index remove`."""

    index: str = field(metadata={"help": INDEX_HELP})
    where: str | None = field(default=None, metadata={"help": WHERE_HELP})
    inchikeys: list[str] = field(default_factory=list, metadata={"help": "InChIKeys of the molecules"})


@dataclass(frozen=True, kw_only=True)
class OptimizeSettings:
    """Settings of `geomclip index optimize`."""

    index: str = field(metadata={"help": INDEX_HELP})


@dataclass(frozen=True, kw_only=True)
class ExportSettings:
    """Settings of `geomclip index export`."""

    index: str = field(metadata={"help": INDEX_HELP})
    output: str = field(metadata={"help": ".csv, .jsonl, .smi, .sdf or .parquet file; only Parquet has the vectors"})
    where: str | None = field(default=None, metadata={"help": WHERE_HELP})


# ------------------------------------------------------------------------------------------------------------ the steps


def add(settings: AddSettings) -> None:
    """Add the molecules of libraries to an index, which is made if it is not there."""
    if settings.model is None and not exists(settings.index):
        raise ValueError(f"there is no index at {settings.index}; pass --model to make one")
    if settings.model is None:
        index = MoleculeIndex.open(settings.index)
    else:
        index = MoleculeIndex.create(settings.index, settings.model)
    listing = Path(settings.quarantine or _name_quarantine(settings.index))
    counts = index.add(
        settings.libraries,
        settings.encoding,
        listing,
        settings.num_proc,
        settings.batch_size,
        settings.texts,
        settings.engine,
    )
    reasons = Counter(counts.pop("reasons"))
    if reasons:
        report_reasons(reasons, sum(counts.values()), "entry", "entries", listing)
    told = f"added {count_things(counts['added'], 'molecule')} to {settings.index}, which now has {len(index)}"
    merged = count_things(counts["united"], "entry", "entries")
    print(f"{told}; merged {merged} into molecules that were there, skipped {counts['skipped']} added earlier")


def _name_quarantine(index: str) -> str:
    return f"{Path(index).name if '://' in index else index.rstrip('/')}.rejected.jsonl"


def show_info(settings: InfoSettings) -> None:
    """Print what an index contains, and what it was made with."""
    for name, value in MoleculeIndex.open(settings.index).info().items():
        told = ", ".join(f"{key} {item}" for key, item in value.items()) if isinstance(value, dict) else value
        print(f"{name:<18} {'none' if told is None else told}")


def remove(settings: RemoveSettings) -> None:
    """Remove molecules from an index."""
    number = MoleculeIndex.open(settings.index).remove(settings.where, settings.inchikeys)
    print(f"removed {count_things(number, 'molecule')} from {settings.index}")


def optimize(settings: OptimizeSettings) -> None:
    """Merge small files of an index, delete old versions, and build or update its indices."""
    MoleculeIndex.open(settings.index).optimize()
    print(f"optimized {settings.index}")


def export(settings: ExportSettings) -> None:
    """Write the molecules of an index to a file."""
    number = MoleculeIndex.open(settings.index).export(settings.output, settings.where)
    print(f"wrote {count_things(number, 'molecule')} to {settings.output}")


STEPS: dict[str, tuple[type, Callable[[Any], None], str]] = {
    "add": (AddSettings, add, "molecules.csv vendor.sdf.gz --index my_library --model release/geomclip-mini"),
    "info": (InfoSettings, show_info, "--index my_library"),
    "remove": (RemoveSettings, remove, '--index my_library --where "mol_weight > 900"'),
    "optimize": (OptimizeSettings, optimize, "--index my_library"),
    "export": (ExportSettings, export, "--index my_library --output my_library.sdf"),
}


def main(argv: Sequence[str], command: Sequence[str] = ("geomclip", "index")) -> None:
    """Run one of the steps.

    Raises:
        SystemExit: after help, or if there is no such step.
    """
    prog = " ".join(command)
    if not argv or argv[0] not in STEPS:
        print(f"usage: {prog} add {STEPS['add'][-1]}\n\n       {prog} {{{','.join(STEPS)}}} [--flag value ...]")
        if argv and argv[0] in ("-h", "--help"):
            raise SystemExit(0)
        fault = f"there is no step {argv[0]!r}" if argv else "the step is missing"
        print(f"{prog}: {fault}; choose one of {', '.join(STEPS)}", file=sys.stderr)
        raise SystemExit(2)
    settings_class, step, example = STEPS[argv[0]]
    words = name_leading_words(argv[1:], "--libraries") if argv[0] == "add" else argv[1:]
    step(parse_flags(settings_class, words, f"{prog} {argv[0]}", f"{prog} {argv[0]} {example}"))
