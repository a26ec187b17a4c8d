"""`geomclip study`: run the variants of a study, compare them, freeze a choice, and test it once."""

import argparse
import dataclasses
import signal
import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from ..studies.freezing import FROZEN, TEST_LOG, freeze, read_frozen
from ..studies.results import collect
from ..studies.running import DONE, Bench, StageError, list_flags, measure, read_inputs, run_stage
from ..studies.runs import TEST, VALIDATION, Run, list_measurements, list_runs
from ..studies.study import Evaluation, Study, read_study
from ..studies.tables import compare, draw_differences, format_study
from ..studies.testing import find_disagreements, log_reading, plan_reading
from .evaluation_settings import EvaluationSettings
from .parsing import parse_flags
from .train import parse_settings

EXAMPLE = "my_study.yaml --input pairs=/data/pairs text_model=/data/text_model"


def main(argv: Sequence[str], command: Sequence[str] = ("geomclip", "study")) -> None:
    """Run one of the four steps.

    Raises:
        SystemExit: after help, or if a process of the study fails; the message has the end of its log.
        ValueError: if the study cannot be run.
    """
    settings = build_parser(" ".join(command)).parse_args(argv)
    study = read_study(settings.study)
    settings.runs = settings.runs or Path("runs", study.name)
    settings.results = settings.results or Path("research", "results", study.name)
    former = signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # also ends the running process
    try:
        settings.step(study, settings)
    except StageError as error:
        raise SystemExit(str(error)) from error
    finally:
        signal.signal(signal.SIGTERM, former)


def build_parser(prog: str) -> argparse.ArgumentParser:
    """Build the parser of the four steps."""
    usage = f"{prog} run {EXAMPLE}\n\n       {prog} {{run,table,freeze,test}} STUDY ..."
    parser = argparse.ArgumentParser(prog=prog, usage=usage, description=__doc__, allow_abbrev=False)
    steps = parser.add_subparsers(required=True, prog=prog, metavar="run, table, freeze or test")
    shared = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    shared.add_argument("study", metavar="STUDY", help="study file (YAML)")
    shared.add_argument("--results", type=Path, help="folder for tables and choice (default: research/results/NAME)")
    shared.add_argument("--runs", type=Path, help="folder for checkpoints and logs (default: runs/NAME)")
    inputs = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    inputs.add_argument("--input", nargs="+", action="extend", default=[], help="inputs as name=path")
    run = steps.add_parser("run", parents=[shared, inputs], help="train and validate all unfinished runs")
    run.add_argument("--variants", nargs="+", help="run only these variants")
    run.add_argument("--seeds", nargs="+", type=int, help="run only these seeds")
    run.set_defaults(step=run_study)
    table = steps.add_parser("table", parents=[shared], help="print the scores of the variants and their differences")
    table.add_argument("--split", default=VALIDATION, choices=(VALIDATION, TEST), help="split to show")
    table.add_argument("--plot", type=Path, help="image file to write: a plot of the differences")
    table.set_defaults(step=print_tables)
    freezing = steps.add_parser("freeze", parents=[shared], help="record the choice before the test split is read")
    choice = freezing.add_mutually_exclusive_group()
    choice.add_argument("--among", nargs="+", help="choose the best of these variants (default: all)")
    choice.add_argument("--variant", help="choose this variant by hand; the record says so")
    freezing.set_defaults(step=freeze_choice)
    test = steps.add_parser("test", parents=[shared, inputs], help="evaluate the frozen choice on the test split")
    test.set_defaults(step=test_choice)
    return parser


# ------------------------------------------------------------------------------------------------------------ the steps


def run_study(study: Study, settings: argparse.Namespace) -> None:
    """Train and validate the selected runs, and update the tables after each. A failing run does not stop the others.

    Raises:
        SystemExit: runs failed; the message has the end of the log of each.
    """
    runs = list_runs(study.choose(settings.variants), settings.seeds)
    bench = prepare(study, runs, settings)
    failures = []
    for number, run in enumerate(runs, start=1):
        try:
            finish_run(study, run, f"{number} of {len(runs)}", bench, settings.results)
        except StageError as error:
            print(f"{number} of {len(runs)}: {run.name} failed", flush=True)
            failures.append(f"{run.name}:\n{error}")
    if failures:
        raise SystemExit("\n\n".join(failures))
    print(format_study(study, settings.results, VALIDATION))


def print_tables(study: Study, settings: argparse.Namespace) -> None:
    """Print the tables of a split and plot the differences if `--plot` is set."""
    print(format_study(study, settings.results, settings.split))
    if settings.plot:
        differences = compare(study, settings.results, study.evaluation, settings.split)
        draw_differences(differences, study.baseline, settings.plot)


def freeze_choice(study: Study, settings: argparse.Namespace) -> None:
    """Freeze a choice and print its validation scores."""
    record = freeze(study, settings.results, settings.variant, settings.among)
    print(f"{record['variant']} is frozen, chosen {record['chosen']}: {settings.results / FROZEN}")
    for variant, values in record["validation"].items():
        print(f"    {variant}: {', '.join(f'{value:.4g} (seed {seed})' for seed, value in values.items())}")


def test_choice(study: Study, settings: argparse.Namespace) -> None:
    """Evaluate the frozen variant and the controls; from the second time on, compare with the first reading.

    Raises:
        SystemExit: if a reproduction disagrees.
    """
    variants = read_frozen(study, settings.results)
    runs = list_runs(study.variants[name] for name in variants)
    bench = prepare(study, runs, settings)
    for number, run in enumerate(runs, start=1):
        finish_run(study, run, f"{number} of {len(runs)}", bench, settings.results)
    entries = []
    for measurement in plan_reading(study, variants, settings.results):
        measure(measurement, bench)
        entries.append(log_reading(study, measurement, bench, settings.results))
        collect_all(study, bench, settings.results)
    if find_disagreements(entries):
        raise SystemExit(f"the reproduction disagrees with the first reading; see {settings.results / TEST_LOG}")
    print(format_study(study, settings.results, TEST))


def prepare(study: Study, runs: list[Run], settings: argparse.Namespace) -> Bench:
    """Check the flags of all stages and evaluations and return the bench of the study.

    Raises:
        SystemExit, ValueError: if a command does not accept a flag, or if an input is missing.
    """
    check_flags(study, runs)
    return Bench(settings.runs, read_inputs(settings.input, study, runs))


def finish_run(study: Study, run: Run, place: str, bench: Bench, results: Path) -> None:
    """Train and validate a run, skip its finished stages, and update the tables; `place` begins what is printed."""
    for stage in run.stages:
        is_done = (bench.folder / stage.folder / DONE).is_file()
        print(f"{place}: {run.name}: {stage.folder}{' is finished' * is_done}", flush=True)
        run_stage(stage, bench)
    for measurement in list_measurements(study, [run], VALIDATION):
        measure(measurement, bench)
    collect_all(study, bench, results)


def collect_all(study: Study, bench: Bench, results: Path) -> None:
    """Update the tables with all measurements in the runs folder."""
    runs = list_runs(study.variants.values())
    measurements = [item for split in (VALIDATION, TEST) for item in list_measurements(study, runs, split)]
    collect(study.name, measurements, bench.folder, results)


# ----------------------------------------------------------------------------------------- flag checks before long runs


def check_flags(study: Study, runs: list[Run]) -> None:
    """Parse the flags of all stages and evaluations with the parsers of their commands.

    Raises:
        SystemExit, ValueError: if a command does not accept a flag.
    """
    stages = {stage.folder: stage for run in runs for stage in run.stages if "task" in stage.settings}
    for stage in stages.values():
        flags = {name: value for name, value in stage.settings.items() if name != "task"}
        parse_settings([stage.settings["task"], *list_flags(flags | {"seed": stage.seed, "output_dir": stage.folder})])
    measurements = [item for item in list_measurements(study, runs, VALIDATION) if not item.run.stages[-1].measures]
    for evaluation in {item.evaluation.name: item.evaluation for item in measurements}.values():
        flags = {"model": "model", "output": "output", "split": VALIDATION} | evaluation.settings
        words = list_flags(flags)
        parse_flags(find_settings(evaluation), words, f"geomclip evaluate {evaluation.command}", " ".join(words))


def find_settings(evaluation: Evaluation) -> type[EvaluationSettings]:
    """Return the settings class of an evaluation's command.

    Raises:
        ValueError: if the command does not exist.
    """
    name = f"{__package__}.evaluate_{evaluation.command}"
    if not find_spec(name):
        raise ValueError(
            f"evaluation {evaluation.name!r}: there is no command `geomclip evaluate {evaluation.command}`; correct it"
        )
    found = [value for value in vars(import_module(name)).values() if dataclasses.is_dataclass(value)]
    return next(value for value in found if issubclass(value, EvaluationSettings) and value.__module__ == name)
