"""Rows of a dataset that a task trains on."""

import hashlib
import json
import logging
import re
from collections.abc import Sequence
from pathlib import Path

import torch
from datasets import Dataset, Features, List, Value

from dataset_pubchem3d.pairs import first_block, load_molecules
from modeling_geomclip import MISSING_ID, GeomCLIPFeatureExtractor, read_molecule

from .task import Task

logger = logging.getLogger("geomclip")

MOLECULE_COLUMNS = {
    "atomic_numbers": List(Value("int64")),
    "positions": List(List(Value("float64"))),
    "inchikey14": Value("string"),
}


def id_hash(value: str | None) -> int:
    """63 bits of SHA-256, or `MISSING_ID`."""
    if value is None:
        return MISSING_ID
    return int.from_bytes(hashlib.sha256(value.encode()).digest()[:8], "big") >> 1


def require_text(row: dict, columns: Sequence[str]) -> None:
    if "text" in columns and not (row["text"] or "").strip():
        raise ValueError("there is no text; fill it in")


def drawn(num_rows: int, limit: int | None) -> list[int]:
    """Places of `limit` of the rows, at random; always the same, and those of a smaller limit among those of a larger.

    Raises:
        ValueError: there are not so many.
    """
    if limit is None:
        return list(range(num_rows))
    if not 0 < limit <= num_rows:
        raise ValueError(f"{limit} rows are to be drawn of {num_rows}; draw at least 1 and no more than there are")
    return torch.randperm(num_rows, generator=torch.Generator().manual_seed(0))[:limit].tolist()


def load_prepared(
    task: Task, feature_extractor: GeomCLIPFeatureExtractor, split: str, limit: int | None = None
) -> Dataset:
    """Geometry, InChIKey block and the task's columns of each row whose molecule the feature extractor takes.

    `limit` rows are read, see `drawn`. Those that it does not take are left out, counted, and listed with their reasons
    in rejected-<split>.jsonl.
    """

    settings = task.settings
    reading = {"seed": feature_extractor.embedding_seed, "max_atoms": feature_extractor.max_atoms}
    reading["remove_hydrogens"] = feature_extractor.remove_hydrogens

    def prepare(row: dict, index: int) -> dict:
        try:
            molecule = read_molecule(task.molecule(row), **reading)
            feature_extractor([molecule])  # what would stop a batch stops its row here
            require_text(row, task.columns)
            derived = task.derive(row, molecule)
        except ValueError as error:
            names = (*MOLECULE_COLUMNS, *task.columns, *task.derived_columns)
            return {"row_id": places[index], "reason": str(error), **dict.fromkeys(names)}
        kept = {column: row[column] for column in task.columns} | derived
        return {"row_id": places[index], "reason": None, "inchikey14": first_block(row), **kept, **molecule}

    rows = load_molecules(settings.dataset, split, settings.dataset_config, task.columns)
    places = drawn(len(rows), limit)
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
