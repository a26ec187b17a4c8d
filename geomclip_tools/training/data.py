"""Load the rows of the datasets that a task trains on."""

import json
import logging
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset, Features, List, Value, concatenate_datasets

from dataset_pubchem3d.pairs import ROW_FAULT, find_first_block, load_molecules
from modeling_geomclip import GeomCLIPFeatureExtractor, read_molecule

from .identity import hash_id
from .sampling import sample_rows
from .tasks.base import Task

logger = logging.getLogger("geomclip")

MOLECULE_COLUMNS = {
    "atomic_numbers": List(Value("int64")),
    "positions": List(List(Value("float64"))),
    "inchikey14": Value("string"),
}
CONFORMER_COLUMNS = {"further_positions": List(List(List(Value("float64"))))}
ROWS_OF_A_DATASET = 2**40  # distance between the row ids of two datasets, more than any dataset has rows


def refuse_faulty(row: dict) -> None:
    """Reject a table row that was marked as faulty when it was read.

    Raises:
        ValueError: the row is faulty; names the fault.
    """
    if row.get(ROW_FAULT):
        raise ValueError(row[ROW_FAULT])


def require_text(row: dict, columns: Sequence[str]) -> None:
    """Reject a row without text, if `text` is among the columns that the task reads.

    Raises:
        ValueError: the text is empty.
    """
    if "text" in columns and not (row["text"] or "").strip():
        raise ValueError("the text is empty; fill it in")


def load_training_rows(task: Task, feature_extractor: GeomCLIPFeatureExtractor) -> tuple[Dataset, list[int]]:
    """Load and concatenate the training rows of all datasets of a task.

    Returns:
        the rows, with a `row_id` that is unique across datasets, and the number of rows of each dataset.
    Raises:
        ValueError: none of the rows of a further dataset can be used.
    """
    settings = task.settings
    parts = [
        load_prepared(task, feature_extractor, settings.train_split, settings.train_rows, number)
        for number in range(len(settings.datasets))
    ]
    for name, part in zip(settings.datasets[1:], parts[1:]):
        if not len(part):
            raise ValueError(f"no row of {name} can be used; the reasons are listed in {settings.output_dir}")
    parts = [part if part.features == parts[0].features else part.cast(parts[0].features) for part in parts]
    return concatenate_datasets(parts), [len(part) for part in parts]


def load_prepared(
    task: Task,
    feature_extractor: GeomCLIPFeatureExtractor,
    split: str,
    limit: int | None = None,
    number: int = 0,
) -> Dataset:
    """Load the usable rows of a split: geometry, first InChIKey block and the columns of the task.

    Rows that the feature extractor or the task rejects are skipped, counted, and listed with their reasons in
    rejected-<split>.jsonl in the output folder.

    Args:
        limit: number of rows to sample before any is rejected, see `sample_rows`; None for all.
        number: index of the dataset among those of the task.
    """
    settings = task.settings
    rows = load_molecules(settings.datasets[number], split, settings.dataset_config, task.columns, settings.encoding)
    places = sample_rows(len(rows), limit)
    rows = rows if limit is None else rows.select(places)
    features = {"row_id": Value("int64"), "reason": Value("string"), **MOLECULE_COLUMNS}
    features |= {column: rows.features[column] for column in task.columns}
    if settings.num_conformers > 1:
        features |= CONFORMER_COLUMNS
    features |= task.derived_columns
    reading = {"seed": feature_extractor.conformer_seed, "max_atoms": feature_extractor.max_atoms}
    reading["remove_hydrogens"] = feature_extractor.remove_hydrogens

    def prepare(row: dict, index: int) -> dict:
        row_id = {"row_id": number * ROWS_OF_A_DATASET + places[index]}
        try:
            refuse_faulty(row)
            given = task.take_molecule(row)
            molecule = read_molecule(given, **reading)
            feature_extractor([molecule])  # a molecule that would fail in a batch fails here
            require_text(row, task.columns)
            derived = task.derive(row, molecule)
            if settings.num_conformers > 1:
                derived |= {"further_positions": read_further(row, given, settings.num_conformers, reading)}
        except ValueError as error:
            return dict.fromkeys(features) | row_id | {"reason": str(error)}
        kept = {column: row[column] for column in task.columns} | derived
        return {**row_id, "reason": None, "inchikey14": find_first_block(row), **kept, **molecule}

    prepared = rows.map(
        prepare,
        with_indices=True,
        remove_columns=rows.column_names,
        features=Features(features),  # explicit: `datasets` would infer the types from the first rows
        num_proc=settings.num_workers or None,
        desc=f"reading {split}",
    )
    failures = [{"row": place, "reason": reason} for place, reason in zip(places, prepared["reason"]) if reason]
    if failures:
        part = f"-{number + 1}" if number else ""
        listing = Path(settings.output_dir) / f"rejected-{re.sub(r'[^a-z0-9]+', '-', split)}{part}.jsonl"
        listing.write_text("".join(json.dumps(failure) + "\n" for failure in failures))
        logger.warning("%d of %d rows of %s are skipped; see %s", len(failures), len(rows), split, listing)
    return prepared.filter(lambda reason: reason is None, input_columns="reason", desc=f"keeping {split}")


def read_further(row: dict, given: Any, num_conformers: int, reading: dict[str, Any]) -> list[np.ndarray]:
    """Read the further conformers of a row.

    Args:
        given: the molecule of the row, as `read_molecule` takes it.
        num_conformers: maximum number of conformers, including that of `given`.
        reading: further arguments of `read_molecule`.
    Returns:
        the positions of each further conformer, (atoms, 3) in Å; none if `given` is not a geometry.
    Raises:
        MoleculeError: a conformer cannot be used.
    """
    if not isinstance(given, dict):  # a SMILES, whose generated conformer has other atoms
        return []
    further = (row.get("further_positions") or [])[: num_conformers - 1]
    return [read_molecule(given | {"positions": positions}, **reading)["positions"] for positions in further]


def draw_conformer(row: dict, seed: int, epoch: int) -> dict:
    """Return the row with one of its conformers, chosen at random by seed, epoch and row id."""
    if not row.get("further_positions"):
        return row
    conformers = [row["positions"], *row["further_positions"]]
    return row | {"positions": conformers[hash_id(f"conformer {seed} {epoch} {row['row_id']}") % len(conformers)]}
