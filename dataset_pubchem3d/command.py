"""The commands `build`, `validate` and `overlap`: flags to functions, and what a user got wrong to one line."""

import argparse
import json
import logging
import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .recipe import Recipe

NUM_PROC = min(8, os.cpu_count() or 1)  # each takes some 200 MB
SETTINGS = ("seed", "min_words", "text_licenses", "split_by", "conformers", "match")


class ExampleParser(argparse.ArgumentParser):
    """A parser whose help begins with an example.

    Args:
        example: arguments of it, "" for none.
    """

    def __init__(self, *args, example: str = "", **options):
        super().__init__(*args, **options)
        self.example = example

    def format_help(self) -> str:
        """The example, then usage and flags."""
        return (f"{self.prog} {self.example}\n\n" if self.example else "") + super().format_help()


def main(argv: list[str] | None = None, prog: str = "python -m dataset_pubchem3d") -> None:
    """Run a command.

    Args:
        argv: its name and arguments; those of the process if None. Flags may have underscores in place of dashes.
        prog: what precedes them where the command is told.
    Raises:
        SystemExit: 1 for what a user can correct, for faults that `validate` and molecules or texts that `overlap`
            finds; 130 after Ctrl-C.
    """
    argv = sys.argv[1:] if argv is None else argv
    args, unknown = make_parser(prog).parse_known_args(spell_with_dashes(argv))
    if unknown:
        args.parser.error(f"unrecognized arguments: {' '.join(unknown)}")
    logging.basicConfig(format="%(asctime)s %(message)s", level=logging.INFO)
    args.invocation = shlex.join([*prog.split(), *argv])
    try:
        args.run(args)
    except (OSError, ValueError, ModuleNotFoundError) as error:  # what a user can cause; finished stages stay
        args.parser.exit(1, f"{args.parser.prog}: {error}\n")
    except KeyboardInterrupt:
        args.parser.exit(130, f"{args.parser.prog}: interrupted; {args.interrupted}\n")


def make_parser(prog: str) -> ExampleParser:
    """The parser of all commands."""
    parser = ExampleParser(
        prog=prog, description="Make the PubChem3D dataset.", example="build --source qm9 --out pubchem3d"
    )
    commands = parser.add_subparsers(dest="command", required=True)
    add_build(commands)
    add_validate(commands)
    add_overlap(commands)
    return parser


def spell_with_dashes(argv: list[str]) -> list[str]:
    """Arguments whose flags have dashes for underscores; values stay as they are."""
    spelled = []
    for argument in argv:
        flag, equals, value = argument.partition("=")
        spelled.append(flag.replace("_", "-") + equals + value if flag.startswith("--") else argument)
    return spelled


def add_build(commands) -> None:
    build = commands.add_parser(
        "build",
        example="--source qm9 --out pubchem3d",
        help="make a folder that load_dataset reads",
        description="Make a folder that load_dataset reads. A build that was interrupted goes on where it stopped.",
    )
    what = build.add_mutually_exclusive_group()
    what.add_argument("--config", type=Path, help="recipe in YAML, such as configs/data/pubchem3d.yaml")
    what.add_argument(
        "--source",
        choices=["qm9", "table", "labels"],
        default="qm9",
        help="instead of a recipe. qm9: PyPI's qm9pack and chemicals, no network (default). table: your own texts, by "
        "--path. labels: your own molecules with properties, by --path and --labels",
    )
    build.add_argument("--path", help="the table of --source table or labels: .parquet, .csv, .tsv or .sdf")
    build.add_argument("--encoding", help="of that table, if it is text in another than utf-8, such as cp1252")
    build.add_argument("--labels", nargs="+", default=[], help="columns of --source labels to predict")
    build.add_argument("--units", nargs="+", default=[], help="unit of each of the --labels")
    build.add_argument("--out", type=Path, default=Path("pubchem3d"), help="folder to make (default: %(default)s)")
    build.add_argument("--work", type=Path, help="folder for raw files and finished stages (default: beside --out)")
    build.add_argument("--stage", default="write", help="last of fetch, read, join, clean, deduplicate, split, write")
    build.add_argument("--num-proc", type=int, default=NUM_PROC, help="processes (default: %(default)s)")
    build.add_argument("--seed", type=int, help="seed of the splits")
    build.add_argument("--split-by", help="first_block or scaffold")
    build.add_argument(
        "--split-sizes",
        type=float,
        nargs=3,
        metavar=("TRAIN", "VALIDATION", "TEST"),
        help="in proportion; rows are dealt by a hash, so sizes hold on average and a refused row moves no other",
    )
    build.add_argument("--match", help="inchikey, cid or first_block: the loosest match of text and geometry")
    build.add_argument("--min-words", type=int, help="shorter texts are refused")
    build.add_argument("--conformers", type=int, help="how many of a molecule are kept")
    build.add_argument("--text-licenses", help="all, or permissive: texts under other or unknown licences are refused")
    build.add_argument(
        "--benchmark",
        action="append",
        default=[],
        metavar="NAME=PATH",
        help="list of InChIKeys or SMILES that are kept out of pre-training, and so are the texts of a table with a "
        "column `text`; may be repeated",
    )
    build.set_defaults(
        parser=build, run=run_build, interrupted="the same command goes on from the stages that are finished"
    )


def add_validate(commands) -> None:
    validate = commands.add_parser(
        "validate",
        example="pubchem3d",
        help="measure a built folder: quality_report.json, QUALITY.md, plots",
        description="Measure a built folder and write quality_report.json, QUALITY.md and plots into it.",
    )
    validate.add_argument("folder", type=Path)
    validate.add_argument(
        "--sample",
        type=int,
        default=2500,
        help="geometries of each method that are compared with RDKit's (default: %(default)s)",
    )
    validate.add_argument("--seed", type=int, default=0, help="of the sample (default: 0)")
    validate.add_argument("--num-proc", type=int, default=NUM_PROC, help="processes (default: %(default)s)")
    validate.set_defaults(parser=validate, run=run_validate, interrupted="nothing was written")


def add_overlap(commands) -> None:
    overlap = commands.add_parser(
        "overlap",
        example="pubchem3d --dataset-config pretrain --benchmark chebi20=list.txt",
        help="count the molecules and texts of a dataset that are on a list; exit status 1 if there are any",
        description="Count the molecules of a dataset, by the first block of their InChIKeys, that are on a list, such "
        "as a benchmark's test set, and if that is a table with a column `text`, also the texts, whatever their "
        "molecule. Prints JSON, for the model card. The exit status is 1 if there are any.",
    )
    overlap.add_argument("dataset", help="folder, Hub id or table: what was trained on")
    overlap.add_argument("--dataset-config", help="config of the dataset, such as pretrain")
    overlap.add_argument("--split", default="train", help="split of the dataset (default: train)")
    overlap.add_argument(
        "--benchmark",
        action="append",
        required=True,
        metavar="NAME=PATH",
        help="list of InChIKeys, first blocks or SMILES, or a table with such a column and, maybe, `text`; may be "
        "repeated",
    )
    overlap.add_argument(
        "--encoding", default="utf-8", help="of lists and tables of text, such as cp1252 (default: %(default)s)"
    )
    overlap.set_defaults(parser=overlap, run=run_overlap, interrupted="nothing was written")


def run_build(args: argparse.Namespace) -> None:
    from .build import STAGES, build  # only now: --help reads no data library

    if args.stage not in STAGES:
        raise ValueError(f"--stage is {args.stage!r}; choose one of {', '.join(STAGES)}")
    overrides = {name: getattr(args, name) for name in SETTINGS if getattr(args, name) is not None}
    if args.benchmark:
        overrides["benchmarks"] = _name_paths(args.benchmark)
    if args.split_sizes:
        overrides["split_sizes"] = tuple(args.split_sizes)
    report = build(_make_recipe(args, overrides), args.out, args.work, args.num_proc, args.stage)
    print(json.dumps(report, indent=2, ensure_ascii=False))


def _make_recipe(args: argparse.Namespace, overrides: dict) -> "Recipe":
    from .recipe import Recipe

    source = None if args.config is not None else args.source
    if (args.path is not None) != (source in ("table", "labels")):
        raise ValueError("--path names the table of --source table or labels; give both or neither")
    if bool(args.labels) != (source == "labels"):
        raise ValueError("--labels names columns of --source labels; give both or neither")
    if args.encoding is not None and args.path is None:
        raise ValueError("--encoding is that of --path; in a recipe, `encoding` is an option of the sources of tables")
    encoding = args.encoding or "utf-8"
    if source == "labels":
        return Recipe.from_labels(args.path, args.labels, args.units, encoding, **overrides)
    if source == "table":
        return Recipe.from_table(args.path, encoding, **overrides)
    return Recipe.from_packages(**overrides) if source else Recipe.from_yaml(args.config, **overrides)


def run_validate(args: argparse.Namespace) -> None:
    from .quality.report import write_quality

    report = write_quality(args.folder, args.sample, args.seed, args.num_proc)
    print(f"{args.folder / 'QUALITY.md'} tells the whole; faults: {json.dumps(report['faults'], indent=2)}")
    if report["faults"]:
        raise SystemExit(1)


def run_overlap(args: argparse.Namespace) -> None:
    from .benchmarks import count_overlap, read_benchmark
    from .pairs import load_molecules

    paths, encoding = _name_paths(args.benchmark), args.encoding
    benchmarks = {name: read_benchmark(Path(path), encoding) for name, path in paths.items()}
    rows = load_molecules(args.dataset, args.split, args.dataset_config, (), encoding)
    report = count_overlap(rows, benchmarks)
    settings = {"dataset": args.dataset, "dataset_config": args.dataset_config, "split": args.split}
    print(json.dumps({"task": "overlap", **report, "settings": settings, "command": args.invocation}, indent=2))
    if any(found["molecules"] or found.get("texts") for found in report["overlap"].values()):
        raise SystemExit(1)


def _name_paths(benchmarks: list[str]) -> dict[str, str]:
    """Paths of lists by name."""
    paths = {}
    for benchmark in benchmarks:
        name, is_named, path = benchmark.partition("=")
        if not is_named:
            raise ValueError(f"--benchmark {benchmark!r}: write it as NAME=PATH")
        if name in paths:
            raise ValueError(f"--benchmark {benchmark}: {name} is the name of {paths[name]}; give each list its own")
        paths[name] = path
    return paths
