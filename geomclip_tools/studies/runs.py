"""What a study runs and measures, and where each lies: equal stages of several variants are one folder."""

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
    """One training: its settings, in which {input} stands for a path and {folder} for an earlier stage's folder."""

    name: str
    settings: Settings
    seed: int

    @cached_property
    def folder(self) -> str:
        """The stage's name and a digest of all that it is made from."""
        return f"{self.name}-{digest({'settings': self.settings, 'seed': self.seed})}"

    @property
    def measures(self) -> str | None:
        """The evaluation that the stage's script makes itself, as no command can."""
        return self.settings.get("measures")


@dataclass(frozen=True)
class Run:
    """A variant with a seed: stages, of which the last leaves what is measured."""

    variant: str
    seed: int
    stages: tuple[Stage, ...]

    @property
    def name(self) -> str:
        return f"{self.variant}, seed {self.seed}"


@dataclass(frozen=True)
class Measurement:
    """An evaluation of a run on a split; the `reading` counts how often a test split was read for it."""

    run: Run
    evaluation: Evaluation
    split: str
    reading: int = 1

    @property
    def folder(self) -> str:
        """Below the folder of the runs; the same for equal runs."""
        settings = {"command": self.evaluation.command, "settings": self.evaluation.settings}
        name = f"{self.split}-{self.evaluation.name}-{digest(settings)}"
        suffix = f"-reading-{self.reading}" if self.reading > 1 else ""
        return f"{self.run.stages[-1].folder}/evaluations/{name}{suffix}"


def digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:12]


def list_runs(variants: Iterable[Variant], seeds: list[int] | None = None) -> list[Run]:
    """All runs of the variants, those of the first seed first; of these seeds only, if some are given.

    Raises:
        ValueError: no variant has one of the seeds.
    """
    variants = list(variants)
    known = list(dict.fromkeys(seed for variant in variants for seed in variant.seeds))
    for seed in seeds or ():
        if seed not in known:
            raise ValueError(f"no chosen variant has the seed {seed}; their seeds are {known}")
    chosen = [seed for seed in known if seeds is None or seed in seeds]
    return [build_run(variant, seed) for seed in chosen for variant in variants if seed in variant.seeds]


def build_run(variant: Variant, seed: int) -> Run:
    """The stages of a variant with a seed, which a stage's own `seed` overrides."""
    folders, stages = {}, []
    for name, settings in variant.stages.items():
        filled = fill(settings, lambda reference: f"{{{folders.get(reference, reference)}}}")
        stage = Stage(name, {key: value for key, value in filled.items() if key != "seed"}, filled.get("seed", seed))
        folders[name] = stage.folder
        stages.append(stage)
    return Run(variant.name, seed, tuple(stages))


def list_measurements(study: Study, runs: Iterable[Run], split: str) -> list[Measurement]:
    """Every evaluation of every run; of one whose last stage measures itself, that one only."""
    return [
        Measurement(run, evaluation, split)
        for run in runs
        for evaluation in study.evaluations.values()
        if run.stages[-1].measures in (None, evaluation.name)
    ]
