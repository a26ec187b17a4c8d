"""What the evaluation commands have in common: their flags, and what they print and write."""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from ..evaluation.conformers import COORDINATES
from .molecules import count_things

ENCODING_HELP = "encoding of a table that is a text file, such as cp1252"
PAIR_BUDGET_HELP = "molecules * rows² that are encoded at once; changes speed and memory only"


@dataclass(frozen=True, kw_only=True)
class EvaluationSettings:
    """What every evaluation needs; the fields are the commands' flags."""

    model: str = field(metadata={"help": "checkpoint folder or Hub id"})
    dataset: str = field(metadata={"help": "folder, Hub id or table; a file has the one split train"})
    output: str = field(metadata={"help": "results file to write (JSON)"})
    dataset_config: str | None = field(default=None, metadata={"help": "config of the data set, such as captioning"})
    encoding: str = field(default="utf-8", metadata={"help": ENCODING_HELP})
    split: str = field(default="test", metadata={"help": "split of the data set"})
    pair_budget: int | None = field(default=None, metadata={"help": PAIR_BUDGET_HELP})
    seed: int = field(default=0, metadata={"help": "of all that is drawn"})


@dataclass(frozen=True, kw_only=True)
class ConformerSettings:
    """Which geometries are evaluated."""

    coordinates: str = field(default="given", metadata={"help": "given, or rdkit for conformers from the SMILES"})
    num_conformers: int = field(default=1, metadata={"help": "conformers to average over, given or RDKit's"})

    def __post_init__(self):
        if self.coordinates not in COORDINATES:
            raise ValueError(f"--coordinates is {self.coordinates!r}; choose one of {', '.join(COORDINATES)}")
        if self.num_conformers < 1:
            raise ValueError(f"--num_conformers is {self.num_conformers}; give at least 1")

    @property
    def columns(self) -> tuple[str, ...]:
        """Of the dataset, that conformers are made from."""
        return ("smiles",) if self.coordinates == "rdkit" else ()


def print_failures(failures: list[dict[str, Any]]) -> None:
    """Molecules that were left out, by reason, most frequent first."""
    for reason, count in Counter(failure["reason"] for failure in failures).most_common():
        print(f"not evaluated: {count_things(count, 'molecule')}: {reason}")


def write_ranks(ranks: dict[str, list], path: str | None) -> None:
    """A CSV with a row for each pair, if there is a path."""
    if path:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        pd.DataFrame(ranks).to_csv(path, index=False)
