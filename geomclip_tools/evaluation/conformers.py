"""Read the molecules of a dataset for evaluation, with their given geometries or with conformers from their SMILES."""

from collections.abc import Callable, Iterable
from typing import Any

import datasets
import numpy as np
from tqdm import tqdm

from dataset_pubchem3d.pairs import ROW_FAULT, get_molecule_input

COORDINATES = ("given", "rdkit")
Record = dict[str, Any]  # a molecule as `GeomCLIPFeatureExtractor.read` returns it


def average_over_conformers(
    encode: Callable[[list[Record]], np.ndarray],
    processor: Any,
    rows: datasets.Dataset,
    coordinates: str = "given",
    num_conformers: int = 1,
) -> tuple[np.ndarray, np.ndarray, list[dict[str, Any]]]:
    """Encode molecules and average the values over conformers.

    Args:
        encode: function from records of molecules to (molecules, values).
        processor: processor or feature extractor.
        rows: rows with a molecule each.
        coordinates: "given", or "rdkit" for conformers made from the column `smiles`.
        num_conformers: largest number of conformers to average over. Given conformers are those in `positions` and
            `further_positions`; RDKit conformers come from consecutive seeds.
    Returns:
        The averages, (kept, values) float64; the row numbers, (kept,) int64; the failures as [{"row", "reason"}].
    Raises:
        ValueError: if the processor accepts no molecule.
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
    """Read conformer `number`, counted from 0, of every row that has it; return what `read_or_list` returns.

    Raises:
        ValueError: if no first conformer can be read, or no RDKit conformer of any number.
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
    """Return the molecule without its geometry: its SMILES or, for a faulty row, the fault."""
    return get_molecule_input(row) if row.get(ROW_FAULT) else row["smiles"]


def list_empty(rows: datasets.Dataset, column: str) -> list[int]:
    """List the rows with an empty text column. Faulty rows of a table are not listed; they are reported elsewhere."""
    num_rows, names = len(rows), rows.column_names
    values, faults = (rows[name] if name in names else [None] * num_rows for name in (column, ROW_FAULT))
    return [row for row, (value, fault) in enumerate(zip(values, faults)) if not (fault or (value and value.strip()))]


def read_molecules_of(processor: Any, rows: datasets.Dataset) -> tuple[list[Record], list[dict[str, Any]]]:
    """Read the given geometries of the rows, as `read_or_list` does."""
    return read_or_list(processor, map(get_molecule_input, rows), len(rows))


def read_or_list(processor: Any, molecules: Iterable[Any], number: int) -> tuple[list[Record], list[dict[str, Any]]]:
    """Read `number` molecules with a processor or feature extractor.

    Returns:
        The records of the accepted molecules, whose `index` is the row, and the failures as [{"row", "reason"}].
    Raises:
        ValueError: if no molecule is accepted.
    """
    extractor = getattr(processor, "feature_extractor", processor)
    records, failures = extractor.read(tqdm(molecules, total=number, desc="reading", leave=False), errors="report")
    failures = [{"row": failure["index"], "reason": failure["reason"]} for failure in failures]
    if not records:
        raise ValueError(f"no molecule of {number} can be read; failures: {failures[:3]}")
    return records, failures


def _list_rows(records: list[Record]) -> np.ndarray:
    return np.array([record["index"] for record in records], dtype=np.int64)
