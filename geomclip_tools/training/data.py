"""Rows of a dataset that a task trains on."""

import json
import logging
import re
from collections.abc import Sequence
from pathlib import Path

from datasets import Dataset, Features, List, Value

from dataset_pubchem3d.pairs import ROW_FAULT, find_first_block, load_molecules
from modeling_geomclip import GeomCLIPFeatureExtractor, read_molecule

from .sampling import sample_rows
from .tasks.base import Task

logger = logging.getLogger("geomclip")

MOLECULE_COLUMNS = {
    "atomic_numbers": List(Value("int64")),
    "positions": List(List(Value("float64"))),
    "inchikey14": Value("string"),
}


def refuse_faulty(row: dict) -> None:
    """Raises: ValueError: the row of a table cannot be used."""
    if row.get(ROW_FAULT):
        raise ValueError(row[ROW_FAULT])


def require_text(row: dict, columns: Sequence[str]) -> None:
    if "text" in columns and not (row["text"] or "").strip():
        raise ValueError("there is no text; fill it in")


def load_prepared(
    task: Task, feature_extractor: GeomCLIPFeatureExtractor, split: str, limit: int | None = None
) -> Dataset:
    """Geometry, InChIKey block and the task's columns of each row whose molecule the feature extractor takes.

    `limit` rows are read, see `sample_rows`. Those that it does not take are left out, counted, and listed with their
    reasons in rejected-<split>.jsonl.
    """

    settings = task.settings
    reading = {"seed": feature_extractor.conformer_seed, "max_atoms": feature_extractor.max_atoms}
    reading["remove_hydrogens"] = feature_extractor.remove_hydrogens

    def prepare(row: dict, index: int) -> dict:
        try:
            refuse_faulty(row)
            molecule = read_molecule(task.take_molecule(row), **reading)
            feature_extractor([molecule])  # what would stop a batch stops its row here
            require_text(row, task.columns)
            derived = task.derive(row, molecule)
        except ValueError as error:
            names = (*MOLECULE_COLUMNS, *task.columns, *task.derived_columns)
            return {"row_id": places[index], "reason": str(error), **dict.fromkeys(names)}
        kept = {column: row[column] for column in task.columns} | derived
        return {"row_id": places[index], "reason": None, "inchikey14": find_first_block(row), **kept, **molecule}

    rows = load_molecules(settings.dataset, split, settings.dataset_config, task.columns, settings.encoding)
    places = sample_rows(len(rows), limit)
    rows = rows if limit is None else rows.select(places)
    copied = {column: rows.features[column] for column in task.columns}
    told = {"row_id": Value("int64"), "reason": Value("string")}
    prepared = rows.map(
        prepare,
        with_indices=True,
        remove_columns=rows.column_names,
        features=Features(told | MOLECULE_COLUMNS | copied | task.derived_columns),  # not guessed from the first rows
        num_proc=settings.num_workers or None,
        desc=f"reading {split}",
    )
    failures = [{"row": place, "reason": reason} for place, reason in zip(places, prepared["reason"]) if reason]
    if failures:
        listing = Path(settings.output_dir) / f"rejected-{re.sub(r'[^a-z0-9]+', '-', split)}.jsonl"
        listing.write_text("".join(json.dumps(failure) + "\n" for failure in failures))
        logger.warning("%d of %d rows of %s are left out, see %s", len(failures), len(rows), split, listing)
    return prepared.filter(lambda reason: reason is None, input_columns="reason", desc=f"keeping {split}")
