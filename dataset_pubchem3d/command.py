"""The commands `build`, `validate` and `overlap`: parse their flags and report a user's mistake in one line."""

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
        example: arguments of the example; "" for no example.
    """

    def __init__(self, *args, example: str = "", **options):
        super().__init__(*args, **options)
        self.example = example

    def format_help(self) -> str:
        """Return the example, followed by the usage and the flags."""
        return (f"{self.prog} {self.example}\n\n" if self.example else "") + super().format_help()


def main(argv: list[str] | None = None, prog: str = "python -m dataset_pubchem3d") -> None:
    """Run a command.

    Args:
        argv: name and arguments of the command; those of the process if None. Flags may be spelled with underscores.
        prog: program name in help, messages and the recorded command line.
    Raises:
        SystemExit: 1 for an error that the user can correct, if `validate` finds faults, or if `overlap` finds shared
            molecules or texts; 130 after Ctrl-C.
    """
    argv = sys.argv[1:] if argv is None else argv
    args, unknown = make_parser(prog).parse_known_args(spell_with_dashes(argv))
    if unknown:
        args.parser.error(f"unrecognized arguments: {' '.join(unknown)}")
    logging.basicConfig(format="%(asctime)s %(message)s")
    logging.getLogger(__package__).setLevel(logging.INFO)  # not those of libraries, which log each request to the Hub
    args.invocation = shlex.join([*prog.split(), *argv])
    try:
        args.run(args)
    except (OSError, ValueError, ModuleNotFoundError) as error:  # errors a user can cause; finished stages are kept
        args.parser.exit(1, f"{args.parser.prog}: {error}\n")
    except KeyboardInterrupt:
        args.parser.exit(130, f"{args.parser.prog}: interrupted; {args.interrupted}\n")


def make_parser(prog: str) -> ExampleParser:
    """Return the parser of all commands."""
    parser = ExampleParser(
        prog=prog, description="Build and check PubChem3D datasets.", example="build --source qm9 --out pubchem3d"
    )
    commands = parser.add_subparsers(dest="command", required=True)
    add_build(commands)
    add_validate(commands)
    add_overlap(commands)
    return parser


def spell_with_dashes(argv: list[str]) -> list[str]:
    """Return the arguments with underscores in flags replaced by dashes; values are unchanged."""
    spelled = []
    for argument in argv:
        flag, equals, value = argument.partition("=")
        spelled.append(flag.replace("_", "-") + equals + value if flag.startswith("--") else argument)
    return spelled


def add_build(commands) -> None:
    """Add the command `build`."""
    build = commands.add_parser(
        "build",
        example="--source qm9 --out pubchem3d",
        help="build a dataset folder for load_dataset",
        description="Build a dataset folder for load_dataset. Run the same command again to resume an interrupted "
        "build.",
    )
    what = build.add_mutually_exclusive_group()
    what.add_argument("--config", type=Path, help="YAML recipe, such as configs/data/pubchem3d.yaml")
    what.add_argument(
        "--source",
        choices=["qm9", "table", "labels"],
        default="qm9",
        help="data source, instead of a recipe. qm9: geometries and texts from PyPI's qm9pack and chemicals, without "
        "network (default). table: your own texts, from --path. labels: your own molecules with properties, from "
        "--path and --labels",
    )
    build.add_argument("--path", help="table for --source table or labels: .parquet, .csv, .tsv or .sdf")
    build.add_argument("--encoding", help="encoding of a CSV, TSV or SDF table, such as cp1252 (default: utf-8)")
    build.add_argument("--labels", nargs="+", default=[], help="columns with the properties, for --source labels")
    build.add_argument("--units", nargs="+", default=[], help="units of the --labels, one each")
    build.add_argument("--out", type=Path, default=Path("pubchem3d"), help="output folder (default: %(default)s)")
    build.add_argument("--work", type=Path, help="folder for raw files and finished stages (default: beside --out)")
    build.add_argument(
        "--stage",
        default="write",
        help="last stage to run: fetch, read, join, clean, deduplicate, split or write (default: %(default)s)",
    )
    build.add_argument(
        "--plan",
        action="store_true",
        help="print what would be downloaded, how long that takes and whether the disk has room for it, then stop. "
        "Nothing is downloaded or written; the exit status is 1 if the disk is too small",
    )
    build.add_argument("--num-proc", type=int, default=NUM_PROC, help="number of processes (default: %(default)s)")
    build.add_argument(
        "--engine",
        default="local",
        help="local: processes of this machine (default). ray: a Ray cluster, the one at RAY_ADDRESS or one started on "
        "this machine, which then ignores --num-proc; all machines must share the --work folder",
    )
    build.add_argument("--seed", type=int, help="seed of the splits")
    build.add_argument("--split-by", help="what rows of one split group share: first_block or scaffold")
    build.add_argument(
        "--split-sizes",
        type=float,
        nargs=3,
        metavar=("TRAIN", "VALIDATION", "TEST"),
        help="relative sizes of the splits. Rows are assigned by a hash, so the sizes hold only on average, and "
        "removing a row does not move the others",
    )
    build.add_argument("--match", help="loosest accepted match of text and geometry: inchikey, cid or first_block")
    build.add_argument("--min-words", type=int, help="minimum words of a text; shorter texts are refused")
    build.add_argument("--conformers", type=int, help="maximum number of conformers to keep for each molecule")
    build.add_argument(
        "--text-licenses", help="all or permissive; permissive refuses texts under other or unknown licences"
    )
    build.add_argument(
        "--benchmark",
        action="append",
        default=[],
        metavar="NAME=PATH",
        help="list of InChIKeys or SMILES to keep out of pre-training. If it is a table with a column `text`, its "
        "texts are kept out too. May be repeated",
    )
    build.set_defaults(
        parser=build, run=run_build, interrupted="run the same command again to resume after the finished stages"
    )


def add_validate(commands) -> None:
    """Add the command `validate`."""
    validate = commands.add_parser(
        "validate",
        example="pubchem3d",
        help="check a built folder and write quality_report.json, QUALITY.md and plots",
        description="Check a built folder and write quality_report.json, QUALITY.md and plots into it.",
    )
    validate.add_argument("folder", type=Path, help="built folder")
    validate.add_argument(
        "--sample",
        type=int,
        default=2500,
        help="number of geometries of each method to compare with RDKit conformers (default: %(default)s)",
    )
    validate.add_argument("--seed", type=int, default=0, help="seed of the sample (default: %(default)s)")
    validate.add_argument("--num-proc", type=int, default=NUM_PROC, help="number of processes (default: %(default)s)")
    validate.set_defaults(parser=validate, run=run_validate, interrupted="nothing was written")


def add_overlap(commands) -> None:
    """Add the command `overlap`."""
    overlap = commands.add_parser(
        "overlap",
        example="pubchem3d --dataset-config pretrain --benchmark chebi20=list.txt",
        help="count the molecules and texts of a dataset that are on a list; exit status 1 if there are any",
        description="Count the molecules of a dataset that are on a list, such as a benchmark's test set. Molecules "
        "are compared by the first block of their InChIKey. If the list is a table with a column `text`, shared texts "
        "are counted too, whatever their molecule. Prints JSON for the model card. The exit status is 1 if anything "
        "is shared.",
    )
    overlap.add_argument("dataset", help="training data: folder, Hub id or table")
    overlap.add_argument("--dataset-config", help="config of the dataset, such as pretrain")
    overlap.add_argument("--split", default="train", help="split of the dataset (default: %(default)s)")
    overlap.add_argument(
        "--benchmark",
        action="append",
        required=True,
        metavar="NAME=PATH",
        help="list of InChIKeys, first blocks or SMILES, or a table with a column of them and optionally a column "
        "`text`. May be repeated",
    )
    overlap.add_argument(
        "--encoding", default="utf-8", help="encoding of lists and text tables, such as cp1252 (default: %(default)s)"
    )
    overlap.set_defaults(parser=overlap, run=run_overlap, interrupted="nothing was written")


def run_build(args: argparse.Namespace) -> None:
    """Build a dataset and print a summary, or only print the plan."""
    from .build import STAGES, build  # imported here so that --help does not load the data libraries

    if args.stage not in STAGES:
        raise ValueError(f"--stage is {args.stage!r}; choose one of {', '.join(STAGES)}")
    overrides = {name: getattr(args, name) for name in SETTINGS if getattr(args, name) is not None}
    if args.benchmark:
        overrides["benchmarks"] = _name_paths(args.benchmark)
    if args.split_sizes:
        overrides["split_sizes"] = tuple(args.split_sizes)
    recipe = _make_recipe(args, overrides)
    if args.plan:
        print_plan(recipe, args.out, args.work)
        return
    report = build(recipe, args.out, args.work, args.num_proc, args.stage, args.engine)
    print(summarise_build(report, args.out, args.stage))


def print_plan(recipe: "Recipe", out: Path, work: Path | None) -> None:
    """Print the plan of a build.

    Raises:
        FileExistsError, ValueError: a build would refuse the folders.
        OSError: the disk is too small for what is to be fetched.
    """
    from .build import find_work_folder
    from .plan import describe_plan, make_plan

    plan = make_plan(recipe, find_work_folder(out, work), out)
    print(describe_plan(plan))
    plan.check_disk()


def summarise_build(report: dict, folder: Path, stage: str) -> str:
    """Return the rows of each config and split, and how to load them; for a build that stops early, how to resume."""
    if "configs" not in report:
        return f"stopped after the stage {stage}; run the same command without --stage to resume"
    configs = {
        name: ", ".join(f"{number:,} {split}" for split, number in splits.items())
        for name, splits in report["configs"].items()
    }
    first, width = next(iter(configs)), max(map(len, configs))
    config = "" if first == "default" else f', "{first}"'
    lines = [f"wrote {folder}; {folder / 'build_report.json'} counts what was read, refused and kept"]
    lines += [f"  {name:<{width}}  {rows}" for name, rows in configs.items()]
    return "\n".join([*lines, f'load it with datasets.load_dataset("{folder}"{config})'])


def _make_recipe(args: argparse.Namespace, overrides: dict) -> "Recipe":
    from .recipe import Recipe

    source = None if args.config is not None else args.source
    if (args.path is not None) != (source in ("table", "labels")):
        raise ValueError("--path goes with --source table or labels; give both or neither")
    if bool(args.labels) != (source == "labels"):
        raise ValueError("--labels goes with --source labels; give both or neither")
    if args.encoding is not None and args.path is None:
        raise ValueError("--encoding goes with --path; in a recipe, set the option `encoding` of the table's source")
    encoding = args.encoding or "utf-8"
    if source == "labels":
        return Recipe.from_labels(args.path, args.labels, args.units, encoding, **overrides)
    if source == "table":
        return Recipe.from_table(args.path, encoding, **overrides)
    return Recipe.from_packages(**overrides) if source else Recipe.from_yaml(args.config, **overrides)


def run_validate(args: argparse.Namespace) -> None:
    """Check a folder and print its faults.

    Raises:
        SystemExit: 1 if there are faults.
    """
    from .quality.report import write_quality

    report = write_quality(args.folder, args.sample, args.seed, args.num_proc)
    print(f"full report: {args.folder / 'QUALITY.md'}; faults: {json.dumps(report['faults'], indent=2)}")
    if report["faults"]:
        raise SystemExit(1)


def run_overlap(args: argparse.Namespace) -> None:
    """Print the overlap of a dataset with benchmark lists as JSON.

    Raises:
        SystemExit: 1 if they share a molecule or a text.
    """
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
    """Return the paths of the lists by name."""
    paths = {}
    for benchmark in benchmarks:
        name, is_named, path = benchmark.partition("=")
        if not is_named:
            raise ValueError(f"--benchmark {benchmark!r}: write it as NAME=PATH")
        if name in paths:
            raise ValueError(f"--benchmark {benchmark}: {name} already names {paths[name]}; use another name")
        paths[name] = path
    return paths
