"""Read the YAML file of a study: stages, their variants, seeds and evaluations."""

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
OWN = ("seeds", "grid")  # keys of a variant that do not change a stage
HARNESS = ("model", "split", "output", "ranks")  # flags of an evaluation that the harness sets
STAGE_HARNESS = ("output_dir", "resume", "split", "output", "ranks")  # flags of a stage that the harness sets
SPLIT = "split"  # {split} in an evaluation stands for the measured split
REFERENCE = re.compile(r"\{([\w-]+)\}")
NAME = re.compile(r"[\w-]+")
TEST_WORD = re.compile(r"(?i)(?<![a-z])test(?![a-z])")
NUMBER = re.compile(r"[+-]?\d+(\.\d*)?[eE][+-]?\d+")  # such as 5e-4, which YAML reads as a string

Settings = dict[str, Any]


@dataclass(frozen=True)
class Variant:
    """A variant to compare: the settings of its stages in order, with their `config` files merged in, and its seeds."""

    name: str
    stages: dict[str, Settings]
    seeds: tuple[int, ...]


@dataclass(frozen=True)
class Evaluation:
    """A command of `geomclip evaluate` and its flags, except those that the harness sets."""

    name: str
    command: str
    settings: Settings


@dataclass(frozen=True)
class Study:
    """The validated contents of a study file."""

    name: str
    about: str
    evaluation: str  # evaluation whose metric chooses a variant
    row: str  # row of this evaluation
    metric: str  # metric in this row
    best: str  # highest or lowest
    inputs: tuple[str, ...]
    variants: dict[str, Variant]
    baseline: str
    controls: tuple[str, ...]  # tested along with the choice, never chosen
    evaluations: dict[str, Evaluation]
    sha256: str

    def choose(self, names: list[str] | None) -> list[Variant]:
        """Return the variants with these names, or all for None; the name of a grid stands for all its variants.

        Raises:
            ValueError: if no variant has one of the names.
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
    """Read and validate a study file; its stages and evaluations may not name a test split.

    Raises:
        ValueError: if the study cannot be run; the message says what to change.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"there is no study file {path}; check the path")
    text = path.read_text(encoding="utf-8")
    try:
        values = read_numbers(yaml.safe_load(text))
    except yaml.YAMLError as error:
        raise ValueError(f"{path} is not valid YAML; correct it: {error}") from error
    try:
        return build_study(path.stem, values, hashlib.sha256(text.encode()).hexdigest())
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def build_study(name: str, values: Any, sha256: str) -> Study:
    """Build a study from the values of its file.

    Raises:
        ValueError: as for `read_study`.
    """
    check_keys("the study", values, KEYS, NEEDED)
    for kind in ("stages", "variants", "evaluations"):
        check_names(kind, values[kind])
    for kind in ("inputs", "controls", "seeds"):
        if not isinstance(values.get(kind) or [], list):
            raise ValueError(f"`{kind}` is {values[kind]!r}; it must be a list")
    stages = {stage: settings or {} for stage, settings in values["stages"].items()}
    inputs = tuple(values.get("inputs") or ())
    if shared := set(stages) & set(inputs):
        raise ValueError(f"{min(shared)!r} is the name of both an input and a stage; rename one")
    if SPLIT in (*stages, *inputs):
        raise ValueError(f"{SPLIT!r} is reserved for the split that an evaluation measures; rename the input or stage")
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
    """Split `metric`, `evaluation.metric` or `evaluation.row.metric` into evaluation, row and metric.

    Args:
        name: the metric of the study file.
        first: the evaluation to use if `name` has none.
    """
    *where, metric = name.split(".", 2)
    evaluation, row = [*where, *(first, "model")[len(where) :]]
    return evaluation, row, metric


def check_choice(study: Study) -> None:
    """Check that metric, baseline, controls and `measures` of a study exist."""
    if study.evaluation not in study.evaluations:
        known = ", ".join(study.evaluations)
        raise ValueError(f"`metric` names the evaluation {study.evaluation!r}; it must be one of {known}")
    if study.best not in ("highest", "lowest"):
        raise ValueError(f"`best` is {study.best!r}; it must be highest or lowest")
    for key, names in (("baseline", [study.baseline]), ("controls", study.controls)):
        for name in names:
            if name not in study.variants:
                known = ", ".join(study.variants)
                raise ValueError(f"`{key}` names {name!r}, which is not a variant; the variants are {known}")
    for variant in study.variants.values():
        for stage, settings in variant.stages.items():
            if (measures := settings.get("measures")) and measures not in study.evaluations:
                raise ValueError(
                    f"stage {stage!r} of variant {variant.name!r} measures {measures!r}; the evaluations are "
                    f"{', '.join(study.evaluations)}"
                )
    if set(study.variants) <= set(study.controls):
        raise ValueError("all variants are `controls`, so none can be chosen; remove one from them")


def check_keys(what: str, values: Any, known: tuple[str, ...], needed: tuple[str, ...]) -> None:
    """Check that values are a mapping with known keys only and with all the needed ones."""
    if not isinstance(values, Mapping):
        raise ValueError(f"{what} is not a mapping of names to values; its keys must be {', '.join(known)}")
    if unknown := [key for key in values if key not in known]:
        raise ValueError(f"{what} has the unknown key {unknown[0]!r}; the keys are {', '.join(known)}")
    if missing := [key for key in needed if not values.get(key)]:
        raise ValueError(f"{what} lacks the key {missing[0]!r}; add it")


def check_names(kind: str, values: Any) -> None:
    """Check that values are a mapping from valid names to mappings or None."""
    if not isinstance(values, Mapping):
        raise ValueError(f"`{kind}` is not a mapping; write `name:` and its settings below")
    for name, item in values.items():
        if not NAME.fullmatch(str(name)):
            raise ValueError(f"`{kind}` has the name {name!r}; use letters, digits, _ and - only")
        if not isinstance(item, Mapping | None):
            raise ValueError(f"{name!r} of `{kind}` is {item!r}; it must be a mapping of settings")


def read_numbers(value: Any) -> Any:
    """Convert strings such as 5e-4, which YAML does not read as a number without a dot, to numbers."""
    if isinstance(value, Mapping):
        return {name: read_numbers(item) for name, item in value.items()}
    if isinstance(value, list):
        return [read_numbers(item) for item in value]
    return float(value) if isinstance(value, str) and NUMBER.fullmatch(value) else value


# ------------------------------------------------------------------------------------------------------------- variants


def build_variants(
    name: str, changes: Settings, stages: dict[str, Settings], seeds: list[int], inputs: tuple[str, ...]
) -> Iterator[Variant]:
    """Yield one variant or, for a `grid`, one for each combination of its lists.

    Raises:
        ValueError: if it changes a stage that does not exist, or if one of its stages cannot be run.
    """
    seeds = changes.get("seeds", seeds)
    if not isinstance(seeds, list) or not all(type(seed) is int for seed in seeds) or not seeds:
        raise ValueError(f"the seeds of variant {name!r} are {seeds!r}; they must be a list of integers")
    grid = changes.get("grid") or {}
    if not isinstance(grid, Mapping) or not all(isinstance(values, list) and values for values in grid.values()):
        raise ValueError(f"the `grid` of variant {name!r} is {grid!r}; it must map settings to lists of values")
    own = {key: value for key, value in changes.items() if key not in OWN}
    for values in itertools.product(*grid.values()):
        chosen = dict(zip(grid, values))
        full = ":".join([name, *([",".join(f"{key}={value}" for key, value in chosen.items())] if chosen else [])])
        changed = change_stages(full, stages, own | chosen)
        resolved = {stage: resolve_config(settings) for stage, settings in changed.items()}
        check_stages(full, resolved, inputs, list(stages))
        yield Variant(full, resolved, tuple(seeds))


def change_stages(variant: str, stages: dict[str, Settings], changes: Settings) -> dict[str, Settings]:
    """Apply the changes of a variant to the stages.

    `stage: null` removes a stage, and a mapping replaces it. `stage.setting: value` sets one setting, and null unsets
    it.
    """
    changed = copy.deepcopy(stages)
    for key, value in sorted(changes.items(), key=lambda item: "." in item[0]):  # entire stages first
        stage, is_setting, setting = key.partition(".")
        if stage not in stages:
            raise ValueError(f"variant {variant!r} changes {key!r}; the stages are {', '.join(stages)}")
        if is_setting and stage not in changed:
            raise ValueError(f"variant {variant!r} sets {key!r} of a stage that it removes; drop one of the changes")
        if is_setting:
            changed[stage][setting] = value
        elif value is None:
            changed.pop(stage)
        elif isinstance(value, Mapping):
            changed[stage] = dict(value)
        else:
            raise ValueError(f"variant {variant!r} sets {key!r} to {value!r}; use null or a mapping of settings")
    return changed


def resolve_config(settings: Settings) -> Settings:
    """Merge the settings of a stage over those of its `config` files; null removes a setting."""
    names = settings.get("config") or []
    values = {}
    for name in [names] if isinstance(names, str) else names:
        values |= read_numbers(yaml.safe_load(find_configuration(name).read_text(encoding="utf-8")))
    values |= {name: value for name, value in settings.items() if name != "config"}
    return {name: value for name, value in values.items() if value is not None}


# ------------------------------------------------------------------------------------- checks of stages and evaluations


def check_stages(variant: str, stages: dict[str, Settings], inputs: tuple[str, ...], order: list[str]) -> None:
    """Check that a variant has stages, and that each has a program and refers only to inputs and earlier stages."""
    if not stages:
        raise ValueError(f"variant {variant!r} removes all stages; keep at least one")
    earlier = []
    for stage, settings in stages.items():
        where = f"stage {stage!r} of variant {variant!r}"
        if ("task" in settings) == ("script" in settings):
            raise ValueError(f"{where} needs either a `task` of `geomclip train` or a `script`")
        if "measures" in settings and "script" not in settings:
            raise ValueError(f"{where} has `measures`, which needs a `script`")
        if "script" in settings and not Path(settings["script"]).is_file():
            raise ValueError(f"{where} has the script {settings['script']!r}, which does not exist; correct the path")
        check_flags(where, settings, STAGE_HARNESS)
        for name in list_references(settings):
            if name in order and name not in earlier:
                reason = "the variant removes" if name not in stages else "does not run before it"
                raise ValueError(f"{where} refers to the stage {name!r}, which {reason}; use an earlier stage")
            if name not in (*inputs, *earlier):
                raise ValueError(f"{where} refers to {{{name}}}; inputs are {list(inputs)}, earlier stages {earlier}")
        earlier.append(stage)


def build_evaluation(name: str, flags: Settings, inputs: tuple[str, ...]) -> Evaluation:
    """Build an evaluation; its name is the command unless it has a `command`."""
    where, settings = f"evaluation {name!r}", {key: value for key, value in flags.items() if key != "command"}
    check_flags(where, settings, HARNESS)
    for reference in list_references(settings):
        if reference not in (*inputs, SPLIT):
            raise ValueError(f"{where} refers to {{{reference}}}, which is not an input; the inputs are {list(inputs)}")
    return Evaluation(name, flags.get("command", name), settings)


def check_flags(where: str, settings: Settings, harness: tuple[str, ...]) -> None:
    """Check that no flag reads a test split or is set by the harness."""
    for name, value in settings.items():
        if TEST_WORD.search(str(value)) or ("split" in name.lower() and "test" in str(value).lower()):
            raise ValueError(
                f"{where} has {name}: {value!r}; only `geomclip study test` may read a test split, after a choice is "
                "frozen"
            )
        if name.replace("-", "_") in harness:
            raise ValueError(f"{where} sets {name!r}, which the harness sets; remove it")


def list_references(settings: Settings) -> list[str]:
    """List the names in braces in all settings."""
    return REFERENCE.findall(" ".join(str(value) for value in settings.values()))


def fill(value: Any, replace: Callable[[str], str]) -> Any:
    """Replace every name in braces in a setting, or in a list or mapping of settings."""
    if isinstance(value, Mapping):
        return {name: fill(item, replace) for name, item in value.items()}
    if isinstance(value, list):
        return [fill(item, replace) for item in value]
    return REFERENCE.sub(lambda match: replace(match[1]), value) if isinstance(value, str) else value
