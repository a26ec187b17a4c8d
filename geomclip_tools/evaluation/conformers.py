"""Molecules of a dataset as they are evaluated: in the geometries given, or in conformers made from their SMILES."""

from collections.abc import Callable, Iterable
from typing import Any

import datasets
import numpy as np
from tqdm import tqdm

from dataset_pubchem3d.pairs import ROW_FAULT, get_molecule_input

COORDINATES = ("given", "rdkit")
Record = dict[str, Any]  # of a molecule, as `GeomCLIPFeatureExtractor.read` gives it


def average_over_conformers(
    encode: Callable[[list[Record]], np.ndarray],
    processor: Any,
    rows: datasets.Dataset,
    coordinates: str = "given",
    num_conformers: int = 1,
) -> tuple[np.ndarray, np.ndarray, list[dict[str, Any]]]:
    """What is computed of the molecules that the processor takes.

    Args:
        encode: records of molecules to (molecules, values).
        processor: or a feature extractor.
        rows: with a molecule each.
        coordinates: "given", or "rdkit" for conformers made from the column `smiles`.
        num_conformers: over which the values are averaged, as many as there are: those in `positions` and
            `further_positions`, or of RDKit's those of consecutive seeds.
    Returns:
        (kept, values) float64; (kept,) int64, the rows; failures, {"row", "reason"} each.
    Raises:
        ValueError: the processor takes no molecule.
    """
    extractor = getattr(processor, "feature_extractor", processor)
    totals, counts, reasons = 0.0, np.zeros(len(rows), dtype=np.int64), {}
    for number in range(num_conformers):
        records, failures = read_conformers(extractor, rows, coordinates, number)
        reasons = {failure["row"]: failure["reason"] for failure in failures} | reasons
        if records:
            values, kept = np.asarray(encode(records), np.float64), _list_rows(records)
            spread = np.zeros((len(rows), values.shape[1]))
            spread[kept] = values
            totals = totals + spread
            counts[kept] += 1
    kept = np.flatnonzero(counts)
    failures = [{"row": row, "reason": reason} for row, reason in sorted(reasons.items()) if not counts[row]]
    return totals[kept] / counts[kept, None], kept, failures


def read_conformers(
    extractor: Any, rows: datasets.Dataset, coordinates: str, number: int
) -> tuple[list[Record], list[dict[str, Any]]]:
    """Records and failures, as `read_or_list` gives them, of the conformer of that number of each row that has it.

    Raises:
        ValueError: it is the first one, and none can be read.
    """
    if coordinates == "rdkit":
        seed = extractor.conformer_seed
        extractor.conformer_seed = seed + number
        try:
            return read_or_list(extractor, map(take_smiles, rows), len(rows))
        finally:
            extractor.conformer_seed = seed
    if number == 0:
        return read_molecules_of(extractor, rows)
    if "further_positions" not in rows.column_names:
        return [], []
    lists = rows["further_positions"]
    places = [place for place, further in enumerate(lists) if len(further or ()) >= number]
    if not places:
        return [], []
    molecules = [
        {"atomic_numbers": row["atomic_numbers"], "positions": row["further_positions"][number - 1]}
        for row in rows.select(places)
    ]
    records, failures = extractor.read(molecules, errors="report")
    records = [record | {"index": places[record["index"]]} for record in records]
    return records, [{"row": places[failure["index"]], "reason": failure["reason"]} for failure in failures]


def take_smiles(row: dict[str, Any]) -> Any:
    """What the processor takes for a molecule without its geometry: its SMILES or, of a faulty row, the fault."""
    return get_molecule_input(row) if row.get(ROW_FAULT) else row["smiles"]


def list_empty(rows: datasets.Dataset, column: str) -> list[int]:
    """The rows that should have a text in a column and have none; faulty rows of a table are told elsewhere."""
    num_rows, names = len(rows), rows.column_names
    values, faults = (rows[name] if name in names else [None] * num_rows for name in (column, ROW_FAULT))
    return [row for row, (value, fault) in enumerate(zip(values, faults)) if not (fault or (value and value.strip()))]


def read_molecules_of(processor: Any, rows: datasets.Dataset) -> tuple[list[Record], list[dict[str, Any]]]:
    """As `read_or_list`, of the geometries that the rows give."""
    return read_or_list(processor, map(get_molecule_input, rows), len(rows))


def read_or_list(processor: Any, molecules: Iterable[Any], number: int) -> tuple[list[Record], list[dict[str, Any]]]:
    """Records of those of `number` molecules that the processor takes, `index` being their row; failures, {"row",
    "reason"} each.

    Raises:
        ValueError: it takes none.
    """
    extractor = getattr(processor, "feature_extractor", processor)
    records, failures = extractor.read(tqdm(molecules, total=number, desc="reading", leave=False), errors="report")
    failures = [{"row": failure["index"], "reason": failure["reason"]} for failure in failures]
    if not records:
        raise ValueError(f"no molecule of {number} can be read; failures: {failures[:3]}")
    return records, failures


def _list_rows(records: list[Record]) -> np.ndarray:
    return np.array([record["index"] for record in records], dtype=np.int64)
