"""`geomclip predict`: predict properties of molecules."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from ..evaluation.property_prediction import predict_properties
from ..loading import load_predictor
from .molecules import (
    ENCODING_HELP,
    MOLECULES_HELP,
    PAIR_BUDGET_HELP,
    check_output,
    count_things,
    list_given,
    read_given,
    write_table,
)
from .parsing import parse_flags

EXAMPLE = "geomclip predict --model predictor --molecules molecules.csv --output properties.csv"


@dataclass(frozen=True, kw_only=True)
class PredictSettings:
    """Settings of `geomclip predict`."""

    model: str = field(metadata={"help": "predictor: checkpoint folder or Hub id"})
    molecules: list[str] = field(metadata={"help": MOLECULES_HELP})
    output: str = field(metadata={"help": "output file: .csv, .parquet or .jsonl"})
    encoding: str = field(default="utf-8", metadata={"help": ENCODING_HELP})
    pair_budget: int | None = field(default=None, metadata={"help": PAIR_BUDGET_HELP})

    def __post_init__(self):
        check_output(self.output, (".csv", ".parquet", ".jsonl"))


def main(argv: Sequence[str], command: Sequence[str] = ("geomclip", "predict")) -> None:
    """Predict properties of molecules and write them to a file."""
    settings = parse_flags(PredictSettings, argv, " ".join(command), EXAMPLE)
    given = list_given(settings.molecules, settings.encoding)
    model, extractor = load_predictor(settings.model)
    records = read_given(extractor, given, settings.output)
    predictions = predict_properties(model, extractor, records, settings.pair_budget)
    places = [record["index"] for record in records]
    columns = {"id": [given[place].name for place in places], "row": places}
    write_table(settings.output, columns | label_columns(model.config, predictions))
    properties = count_things(predictions.shape[1], "property", "properties")
    print(f"wrote {properties} of {count_things(len(records), 'molecule')} to {settings.output}")


def label_columns(config: Any, predictions: np.ndarray) -> dict[str, np.ndarray]:
    """Return one column per output, (molecules,): values in the unit that the column name states, or probabilities.

    Args:
        config: configuration of the predictor.
        predictions: (molecules, num_labels), as `predict_properties` returns them.
    """
    names = [config.id2label[index] for index in range(config.num_labels)]
    if config.problem_type == "regression":
        units = config.label_units or [""] * len(names)
        names = [f"{name} ({unit})" if unit else name for name, unit in zip(names, units, strict=True)]
    elif config.problem_type == "multi_label_classification":
        predictions = torch.from_numpy(predictions).sigmoid().numpy()
    else:
        predictions = torch.from_numpy(predictions).softmax(dim=1).numpy()
    return dict(zip(names, predictions.T, strict=True))
