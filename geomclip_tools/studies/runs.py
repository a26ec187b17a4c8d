"""Runs and measurements of a study, and their folders; variants share the folders of equal stages."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from .study import Evaluation, Settings, Study, Variant, fill

VALIDATION, TEST = "validation", "test"


@dataclass(frozen=True)
class Stage:
    """One training run. In its settings, {input} stands for a path and {folder} for the folder of an earlier stage."""

    name: str
    settings: Settings
    seed: int

    @cached_property
    def folder(self) -> str:
        """The name of the stage and a digest of its settings and seed."""
        return f"{self.name}-{digest({'settings': self.settings, 'seed': self.seed})}"

    @property
    def measures(self) -> str | None:
        """The evaluation that the stage's script runs itself because no command can."""
        return self.settings.get("measures")


@dataclass(frozen=True)
class Run:
    """A variant with a seed; the last of its stages is measured."""

    variant: str
    seed: int
    stages: tuple[Stage, ...]

    @property
    def name(self) -> str:
        """The variant and the seed, for messages."""
        return f"{self.variant}, seed {self.seed}"


@dataclass(frozen=True)
class Measurement:
    """An evaluation of a run on a split; `reading` counts the readings of a test split."""

    run: Run
    evaluation: Evaluation
    split: str
    reading: int = 1

    @property
    def folder(self) -> str:
        """The folder, relative to the runs; equal runs share it."""
        settings = {"command": self.evaluation.command, "settings": self.evaluation.settings}
        name = f"{self.split}-{self.evaluation.name}-{digest(settings)}"
        suffix = f"-reading-{self.reading}" if self.reading > 1 else ""
        return f"{self.run.stages[-1].folder}/evaluations/{name}{suffix}"


def digest(value: Any) -> str:
    """Return 12 hexadecimal digits of the SHA-256 of a JSON value."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:12]


def list_runs(variants: Iterable[Variant], seeds: list[int] | None = None) -> list[Run]:
    """List the runs of the variants, ordered by seed, optionally only those with the given seeds.

    Raises:
        ValueError: if no variant has one of the seeds.
    """
    variants = list(variants)
    known = list(dict.fromkeys(seed for variant in variants for seed in variant.seeds))
    for seed in seeds or ():
        if seed not in known:
            raise ValueError(f"no selected variant has the seed {seed}; their seeds are {known}")
    chosen = [seed for seed in known if seeds is None or seed in seeds]
    return [build_run(variant, seed) for seed in chosen for variant in variants if seed in variant.seeds]


def build_run(variant: Variant, seed: int) -> Run:
    """Build the stages of a variant with a seed; a stage's own `seed` takes precedence."""
    folders, stages = {}, []
    for name, settings in variant.stages.items():
        filled = fill(settings, lambda reference: f"{{{folders.get(reference, reference)}}}")
        stage = Stage(name, {key: value for key, value in filled.items() if key != "seed"}, filled.get("seed", seed))
        folders[name] = stage.folder
        stages.append(stage)
    return Run(variant.name, seed, tuple(stages))


def list_measurements(study: Study, runs: Iterable[Run], split: str) -> list[Measurement]:
    """List every evaluation of every run; if the last stage of a run measures one itself, list only that one."""
    return [
        Measurement(run, evaluation, split)
        for run in runs
        for evaluation in study.evaluations.values()
        if run.stages[-1].measures in (None, evaluation.name)
    ]
