"""Rows of a dataset that a task trains on."""

import hashlib
import json
import logging
import re
from collections.abc import Sequence
from pathlib import Path

from datasets import Dataset

from dataset_pubchem3d.pairs import first_block, load_pairs, molecule_input
from modeling_geomclip import MISSING_ID, GeomCLIPFeatureExtractor, read_molecule

from .settings import TrainingSettings

logger = logging.getLogger("geomclip")

MOLECULE_COLUMNS = ("atomic_numbers", "positions", "inchikey14")


def id_hash(value: str | None) -> int:
    """63 bits of SHA-256, or `MISSING_ID`."""
    if value is None:
        return MISSING_ID
    return int.from_bytes(hashlib.sha256(value.encode()).digest()[:8], "big") >> 1


def require_text(row: dict, columns: Sequence[str]) -> None:
    if "text" in columns and not (row["text"] or "").strip():
        raise ValueError("there is no text; fill it in")


def load_prepared(
    settings: TrainingSettings, feature_extractor: GeomCLIPFeatureExtractor, split: str, columns: Sequence[str]
) -> Dataset:
    """Geometry, InChIKey block and `columns` of each row that the feature extractor takes.

    The others are left out, counted, and listed with their reasons in rejected-<split>.jsonl.
    """

    def prepare(row: dict, index: int) -> dict:
        try:
            molecule = read_molecule(molecule_input(row), feature_extractor.embedding_seed, feature_extractor.max_atoms)
            feature_extractor([molecule])  # what would stop a batch stops its row here
            require_text(row, columns)
        except ValueError as error:
            return {"row_id": index, "reason": str(error), **dict.fromkeys((*MOLECULE_COLUMNS, *columns))}
        kept = {column: row.get(column) for column in columns}
        return {"row_id": index, "reason": None, "inchikey14": first_block(row), **kept, **molecule}

    rows = load_pairs(settings.dataset, split, settings.dataset_config)
    prepared = rows.map(
        prepare,
        with_indices=True,
        remove_columns=rows.column_names,
        num_proc=settings.num_workers or None,
        desc=f"reading {split}",
    )
    failures = [{"row": row, "reason": reason} for row, reason in enumerate(prepared["reason"]) if reason]
    if failures:
        listing = Path(settings.output_dir) / f"rejected-{re.sub(r'[^a-z0-9]+', '-', split)}.jsonl"
        listing.write_text("".join(json.dumps(failure) + "\n" for failure in failures))
        logger.warning("%d of %d rows of %s are left out, see %s", len(failures), len(rows), split, listing)
    return prepared.filter(lambda reason: reason is None, input_columns="reason", desc=f"keeping {split}")
