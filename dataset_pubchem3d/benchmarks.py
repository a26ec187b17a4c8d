"""Lists of benchmark molecules, as first blocks of InChIKeys."""

import csv
import re
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from rdkit import Chem
from rdkit.rdBase import BlockLogs

FIRST_BLOCK = re.compile(r"(?![BCFINOPS]{14}$)[A-Z]{14}(?:-[A-Z]{10}-[A-Z])?")  # tetradecane is CCCCCCCCCCCCCC
COLUMNS = ("inchikey14", "inchikey", "smiles")


def read_benchmark(path: Path) -> np.ndarray:
    """First blocks of the molecules of a list.

    Args:
        path: a text file with one InChIKey, first block or SMILES a line, or a .csv, .tsv or .parquet file with a
            column `inchikey14`, `inchikey` or `smiles`, in upper or lower case.
    Returns:
        distinct and ascending, as 14 bytes each.
    Raises:
        ValueError: a line or row that is none of these, named by its number.
    """
    blocks = {_first_block(value, f"{path}, {place}") for place, value in _values(path)}
    if not blocks:
        raise ValueError(f"{path} names no molecule; a benchmark list without molecules is surely a mistake")
    return np.array(sorted(blocks), dtype="S14")


def _values(path: Path) -> Iterator[tuple[str, str | None]]:
    """The entries, each with its place in the file."""
    suffix = path.suffix.lower()
    if suffix == ".parquet":
        with pq.ParquetFile(path) as file:
            column = _column(file.schema_arrow.names, path)
            values = chain.from_iterable(batch.column(0).to_pylist() for batch in file.iter_batches(columns=[column]))
            yield from ((f"row {number}", value) for number, value in enumerate(values, start=1))
        return
    with open(path, encoding="utf-8-sig", newline="") as lines:
        if suffix in (".csv", ".tsv"):
            options = {"delimiter": "\t", "quoting": csv.QUOTE_NONE} if suffix == ".tsv" else {}
            table = csv.DictReader(lines, **options)
            column = _column(table.fieldnames or [], path)
            yield from ((f"line {table.line_num}", row[column]) for row in table)
        else:
            numbered = ((f"line {number}", line.strip()) for number, line in enumerate(lines, start=1))
            yield from ((place, line) for place, line in numbered if line and not line.startswith("#"))


def _column(names: list[str], path: Path) -> str:
    lower = {name.lower(): name for name in names}
    for column in COLUMNS:
        if column in lower:
            return lower[column]
    raise ValueError(f"{path} has the columns {names}; it needs one of {', '.join(COLUMNS)}")


def _first_block(value: str | None, place: str) -> str:
    value = (value or "").strip()
    if FIRST_BLOCK.fullmatch(value):
        return value[:14]
    with BlockLogs():
        mol = Chem.MolFromSmiles(value) if value else None
        key = Chem.MolToInchiKey(mol) if mol is not None else ""
    if not key:
        raise ValueError(f"{place}: {value!r} is neither an InChIKey nor a SMILES that RDKit can read; correct it")
    return key[:14]
