"""Flags and output that the evaluation commands share."""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from ..evaluation.conformers import COORDINATES
from .molecules import PAIR_BUDGET_HELP, count_things

ENCODING_HELP = "encoding of a text table (.csv or .tsv), such as cp1252"


@dataclass(frozen=True, kw_only=True)
class EvaluationSettings:
    """Settings of every evaluation; the fields are the flags of the commands."""

    model: str = field(metadata={"help": "checkpoint folder or Hub id"})
    dataset: str = field(metadata={"help": "folder, Hub id or table; a table has only the split train"})
    output: str = field(metadata={"help": "results file to write (JSON)"})
    dataset_config: str | None = field(default=None, metadata={"help": "dataset configuration, such as captioning"})
    encoding: str = field(default="utf-8", metadata={"help": ENCODING_HELP})
    split: str = field(default="test", metadata={"help": "dataset split to evaluate"})
    pair_budget: int | None = field(default=None, metadata={"help": PAIR_BUDGET_HELP})
    seed: int = field(default=0, metadata={"help": "random seed"})


@dataclass(frozen=True, kw_only=True)
class ConformerSettings:
    """Settings that select the geometries to evaluate."""

    coordinates: str = field(
        default="given", metadata={"help": "given: geometries of the dataset; rdkit: conformers from the SMILES"}
    )
    num_conformers: int = field(default=1, metadata={"help": "number of conformers per molecule to average over"})

    def __post_init__(self):
        if self.coordinates not in COORDINATES:
            raise ValueError(f"--coordinates is {self.coordinates!r}; it must be one of {', '.join(COORDINATES)}")
        if self.num_conformers < 1:
            raise ValueError(f"--num_conformers is {self.num_conformers}; it must be at least 1")

    @property
    def columns(self) -> tuple[str, ...]:
        """Dataset columns that RDKit conformers need."""
        return ("smiles",) if self.coordinates == "rdkit" else ()


def print_failures(failures: list[dict[str, Any]]) -> None:
    """Print the number of rejected molecules by reason, most frequent first."""
    for reason, count in Counter(failure["reason"] for failure in failures).most_common():
        print(f"not evaluated: {count_things(count, 'molecule')}: {reason}")


def write_ranks(ranks: dict[str, list], path: str | None) -> None:
    """Write a CSV file with one row per pair, if there is a path."""
    if path:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        pd.DataFrame(ranks).to_csv(path, index=False)
