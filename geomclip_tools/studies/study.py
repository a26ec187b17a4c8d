"""A study, as its YAML file gives it: stages, variants of them, seeds and evaluations."""

import copy
import hashlib
import itertools
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from ..configurations import find_configuration

NEEDED = ("about", "metric", "stages", "variants", "seeds", "evaluations")
KEYS = (*NEEDED, "inputs", "best", "baseline", "controls")
OWN = ("seeds", "grid")  # keys of a variant that are no changes
HARNESS = ("model", "split", "output", "ranks")  # flags of an evaluation that are the harness's
STAGE_HARNESS = ("output_dir", "resume", "split", "output", "ranks")  # those of a stage
SPLIT = "split"  # stands in braces in an evaluation for the split that is measured
REFERENCE = re.compile(r"\{([\w-]+)\}")
NAME = re.compile(r"[\w-]+")
TEST_WORD = re.compile(r"(?i)(?<![a-z])test(?![a-z])")
NUMBER = re.compile(r"[+-]?\d+(\.\d*)?[eE][+-]?\d+")  # such as 5e-4, which YAML takes for a word

Settings = dict[str, Any]


@dataclass(frozen=True)
class Variant:
    """What is compared: the settings of its stages in their order, `config` files read into them, and its seeds."""

    name: str
    stages: dict[str, Settings]
    seeds: tuple[int, ...]


@dataclass(frozen=True)
class Evaluation:
    """A command of `geomclip evaluate` and its flags, but those of the harness."""

    name: str
    command: str
    settings: Settings


@dataclass(frozen=True)
class Study:
    """What a study file says, checked."""

    name: str
    about: str
    evaluation: str  # whose
    row: str  # of it
    metric: str  # chooses a variant
    best: str  # highest or lowest
    inputs: tuple[str, ...]
    variants: dict[str, Variant]
    baseline: str
    controls: tuple[str, ...]  # measured beside the choice, and never chosen
    evaluations: dict[str, Evaluation]
    sha256: str

    def choose(self, names: list[str] | None) -> list[Variant]:
        """The variants of these names, where the name of a grid stands for all of it; all without names.

        Raises:
            ValueError: there is none of a name.
        """
        chosen = {}
        for name in self.variants if names is None else names:
            found = {key: item for key, item in self.variants.items() if name in (key, key.partition(":")[0])}
            if not found:
                raise ValueError(f"study {self.name} has no variant {name!r}; it has {', '.join(self.variants)}")
            chosen |= found
        return [*chosen.values()]


# ------------------------------------------------------------------------------------------------------- the whole file


def read_study(path: str | Path) -> Study:
    """A study file, checked: its stages and evaluations never name a test split.

    Raises:
        ValueError: it cannot be run as it stands, with what to change.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"there is no study file {path}")
    text = path.read_text(encoding="utf-8")
    try:
        values = read_numbers(yaml.safe_load(text))
    except yaml.YAMLError as error:
        raise ValueError(f"{path} is no YAML; correct it: {error}") from error
    try:
        return build_study(path.stem, values, hashlib.sha256(text.encode()).hexdigest())
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def build_study(name: str, values: Any, sha256: str) -> Study:
    """The study that a file's values make.

    Raises:
        ValueError: as `read_study`.
    """
    check_keys("the study", values, KEYS, NEEDED)
    for kind in ("stages", "variants", "evaluations"):
        check_names(kind, values[kind])
    for kind in ("inputs", "controls", "seeds"):
        if not isinstance(values.get(kind) or [], list):
            raise ValueError(f"`{kind}` is {values[kind]!r}, not a list")
    stages = {stage: settings or {} for stage, settings in values["stages"].items()}
    inputs = tuple(values.get("inputs") or ())
    if shared := set(stages) & set(inputs):
        raise ValueError(f"{min(shared)!r} names both an input and a stage; rename one")
    if SPLIT in (*stages, *inputs):
        raise ValueError(f"{SPLIT!r} stands for the split that an evaluation measures; rename the input or stage")
    variants = {
        variant.name: variant
        for key, changes in values["variants"].items()
        for variant in build_variants(key, changes or {}, stages, values["seeds"], inputs)
    }
    evaluations = {key: build_evaluation(key, flags or {}, inputs) for key, flags in values["evaluations"].items()}
    evaluation, row, metric = read_metric(str(values["metric"]), next(iter(evaluations)))
    study = Study(
        name=name,
        about=values["about"],
        evaluation=evaluation,
        row=row,
        metric=metric,
        best=values.get("best", "highest"),
        inputs=inputs,
        variants=variants,
        baseline=values.get("baseline", next(iter(variants))),
        controls=tuple(values.get("controls") or ()),
        evaluations=evaluations,
        sha256=sha256,
    )
    check_choice(study)
    return study


def read_metric(name: str, first: str) -> tuple[str, str, str]:
    """Evaluation, row and name of a metric that is given as `metric`, `evaluation.metric` or `evaluation.row.metric`.

    Args:
        first: the evaluation of one that names none.
    """
    *where, metric = name.split(".", 2)
    evaluation, row = [*where, *(first, "model")[len(where) :]]
    return evaluation, row, metric


def check_choice(study: Study) -> None:
    """Refuse a metric, baseline or control that the study does not have."""
    if study.evaluation not in study.evaluations:
        raise ValueError(f"`metric` names the evaluation {study.evaluation!r}; there is {', '.join(study.evaluations)}")
    if study.best not in ("highest", "lowest"):
        raise ValueError(f"`best` is {study.best!r}; it is highest or lowest")
    for key, names in (("baseline", [study.baseline]), ("controls", study.controls)):
        for name in names:
            if name not in study.variants:
                raise ValueError(f"`{key}` names {name!r}, which is none of the variants {', '.join(study.variants)}")
    for variant in study.variants.values():
        for stage, settings in variant.stages.items():
            if (measures := settings.get("measures")) and measures not in study.evaluations:
                raise ValueError(
                    f"stage {stage!r} of variant {variant.name!r} measures {measures!r}; the evaluations are "
                    f"{', '.join(study.evaluations)}"
                )
    if set(study.variants) <= set(study.controls):
        raise ValueError("all variants are `controls`, so that none can be chosen; leave one out of them")


def check_keys(what: str, values: Any, known: tuple[str, ...], needed: tuple[str, ...]) -> None:
    """Refuse what is no mapping, has other keys, or lacks one."""
    if not isinstance(values, Mapping):
        raise ValueError(f"{what} is no mapping of names to values; it has the keys {', '.join(known)}")
    if unknown := [key for key in values if key not in known]:
        raise ValueError(f"{what} has the unknown key {unknown[0]!r}; the keys are {', '.join(known)}")
    if missing := [key for key in needed if not values.get(key)]:
        raise ValueError(f"{what} lacks the key {missing[0]!r}; add it")


def check_names(kind: str, values: Any) -> None:
    """Refuse what is no mapping from names to mappings, or nothing."""
    if not isinstance(values, Mapping):
        raise ValueError(f"`{kind}` is no mapping of names to settings")
    for name, item in values.items():
        if not NAME.fullmatch(str(name)):
            raise ValueError(f"`{kind}` has the name {name!r}; use letters, digits, _ and - only")
        if not isinstance(item, Mapping | None):
            raise ValueError(f"{name!r} of `{kind}` is {item!r}, not a mapping of settings")


def read_numbers(value: Any) -> Any:
    """The value with numbers such as 5e-4, for which YAML wants a dot, read as numbers."""
    if isinstance(value, Mapping):
        return {name: read_numbers(item) for name, item in value.items()}
    if isinstance(value, list):
        return [read_numbers(item) for item in value]
    return float(value) if isinstance(value, str) and NUMBER.fullmatch(value) else value


# ------------------------------------------------------------------------------------------------------------- variants


def build_variants(
    name: str, changes: Settings, stages: dict[str, Settings], seeds: list[int], inputs: tuple[str, ...]
) -> Iterator[Variant]:
    """One variant, or those of its `grid`, one for each combination of its lists.

    Raises:
        ValueError: it changes what is not there; a stage of it cannot be run.
    """
    seeds = changes.get("seeds", seeds)
    if not isinstance(seeds, list) or not all(type(seed) is int for seed in seeds) or not seeds:
        raise ValueError(f"the seeds of variant {name!r} are {seeds!r}; give a list of whole numbers")
    grid = changes.get("grid") or {}
    if not isinstance(grid, Mapping) or not all(isinstance(values, list) and values for values in grid.values()):
        raise ValueError(f"the `grid` of variant {name!r} is no mapping of settings to lists of values")
    own = {key: value for key, value in changes.items() if key not in OWN}
    for values in itertools.product(*grid.values()):
        chosen = dict(zip(grid, values))
        full = ":".join([name, *([",".join(f"{key}={value}" for key, value in chosen.items())] if chosen else [])])
        changed = change_stages(full, stages, own | chosen)
        resolved = {stage: resolve_config(settings) for stage, settings in changed.items()}
        check_stages(full, resolved, inputs, list(stages))
        yield Variant(full, resolved, tuple(seeds))


def change_stages(variant: str, stages: dict[str, Settings], changes: Settings) -> dict[str, Settings]:
    """The stages with a variant's changes: `stage: null` leaves one out, a mapping replaces it, `stage.setting: value`
    sets one setting and, with null, unsets it.
    """
    changed = copy.deepcopy(stages)
    for key, value in sorted(changes.items(), key=lambda item: "." in item[0]):  # whole stages first
        stage, is_setting, setting = key.partition(".")
        if stage not in stages:
            raise ValueError(f"variant {variant!r} changes {key!r}; the stages are {', '.join(stages)}")
        if is_setting and stage not in changed:
            raise ValueError(f"variant {variant!r} sets {key!r} of a stage that it leaves out; remove one of the two")
        if is_setting:
            changed[stage][setting] = value
        elif value is None:
            changed.pop(stage)
        elif isinstance(value, Mapping):
            changed[stage] = dict(value)
        else:
            raise ValueError(f"variant {variant!r} gives {key!r} the value {value!r}; null or a mapping of settings")
    return changed


def resolve_config(settings: Settings) -> Settings:
    """The settings of a stage over those of its `config` files; what is null is left out."""
    names = settings.get("config") or []
    values = {}
    for name in [names] if isinstance(names, str) else names:
        values |= read_numbers(yaml.safe_load(find_configuration(name).read_text(encoding="utf-8")))
    values |= {name: value for name, value in settings.items() if name != "config"}
    return {name: value for name, value in values.items() if value is not None}


# ---------------------------------------------------------------------------------- what a stage may name, and what not


def check_stages(variant: str, stages: dict[str, Settings], inputs: tuple[str, ...], order: list[str]) -> None:
    """Refuse a variant without stages, and a stage that is none, or names a test split or what comes later."""
    if not stages:
        raise ValueError(f"variant {variant!r} leaves out all stages; keep one")
    earlier = []
    for stage, settings in stages.items():
        where = f"stage {stage!r} of variant {variant!r}"
        if ("task" in settings) == ("script" in settings):
            raise ValueError(f"{where} needs either a `task` of `geomclip train` or a `script`")
        if "measures" in settings and "script" not in settings:
            raise ValueError(f"{where} has `measures`, which only a `script` has")
        if "script" in settings and not Path(settings["script"]).is_file():
            raise ValueError(f"{where} has the script {settings['script']!r}, which is no file here")
        check_flags(where, settings, STAGE_HARNESS)
        for name in list_references(settings):
            if name in order and name not in earlier:
                reason = "leaves out" if name not in stages else "has not run before it"
                raise ValueError(f"{where} names the stage {name!r}, which the variant {reason}")
            if name not in (*inputs, *earlier):
                raise ValueError(f"{where} names {{{name}}}; inputs are {list(inputs)}, earlier stages {earlier}")
        earlier.append(stage)


def build_evaluation(name: str, flags: Settings, inputs: tuple[str, ...]) -> Evaluation:
    """An evaluation; its command has its name if it gives none."""
    where, settings = f"evaluation {name!r}", {key: value for key, value in flags.items() if key != "command"}
    check_flags(where, settings, HARNESS)
    for reference in list_references(settings):
        if reference not in (*inputs, SPLIT):
            raise ValueError(f"{where} names {{{reference}}}, which is none of the inputs {list(inputs)}")
    return Evaluation(name, flags.get("command", name), settings)


def check_flags(where: str, settings: Settings, harness: tuple[str, ...]) -> None:
    """Refuse a flag that reads a test split or that the harness sets."""
    for name, value in settings.items():
        if TEST_WORD.search(str(value)) or ("split" in name.lower() and "test" in str(value).lower()):
            raise ValueError(
                f"{where} has {name}: {value!r}; only `geomclip study test` reads a test split, of a frozen choice"
            )
        if name.replace("-", "_") in harness:
            raise ValueError(f"{where} sets {name!r}, which the harness does; remove it")


def list_references(settings: Settings) -> list[str]:
    """The names in braces of all settings."""
    return REFERENCE.findall(" ".join(str(value) for value in settings.values()))


def fill(value: Any, replace: Callable[[str], str]) -> Any:
    """A setting, or a list or mapping of them, with every name in braces replaced."""
    if isinstance(value, Mapping):
        return {name: fill(item, replace) for name, item in value.items()}
    if isinstance(value, list):
        return [fill(item, replace) for item in value]
    return REFERENCE.sub(lambda match: replace(match[1]), value) if isinstance(value, str) else value
