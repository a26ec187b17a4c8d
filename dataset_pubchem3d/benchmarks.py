"""Lists of benchmark molecules, as first blocks of InChIKeys, and what training data have of them."""

import csv
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import chain
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from datasets import Dataset
from tqdm import tqdm

from .chemistry.identity import BLOCK, INCHIKEY, compute_inchikey, take_first_block
from .pairs import find_first_block

CHAIN = re.compile("[BCFINOPS]{14}")  # looks like a first block, but is a SMILES, such as that of tetradecane
COLUMNS = ("inchikey14", "inchikey", "smiles")
SHOWN = 10


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
    blocks = {_read_first_block(value, f"{path}, {place}") for place, value in _read_values(path)}
    if not blocks:
        raise ValueError(f"{path} names no molecule; a benchmark list without molecules is surely a mistake")
    return np.array(sorted(blocks), dtype=BLOCK)


def count_overlap(rows: Dataset, benchmarks: Mapping[str, np.ndarray]) -> dict:
    """Which molecules of a dataset are on the lists.

    Args:
        rows: with one of `COLUMNS`.
        benchmarks: by name, first blocks as `read_benchmark` gives them.
    Returns:
        `num_rows`, `molecules` (distinct first blocks), `rows_without_molecule`, which no list can be compared with,
        and by the name of each list `overlap`: its `molecules` and their `rows`, and the `first` of them.
    Raises:
        ValueError: there is no such column.
    """
    columns = [column for column in COLUMNS if column in rows.column_names]
    if not columns:
        raise ValueError(f"the dataset has the columns {rows.column_names}; it needs one of {', '.join(COLUMNS)}")
    blocks = Counter(find_first_block(row) for row in tqdm(rows.select_columns(columns), desc="reading molecules"))
    unnamed = blocks.pop(None, 0)
    overlap = {}
    for name, benchmark in benchmarks.items():
        shared = sorted(blocks.keys() & set(benchmark.astype(str).tolist()))
        num_rows = sum(blocks[block] for block in shared)
        overlap[name] = {"molecules": len(shared), "rows": num_rows, "first": shared[:SHOWN]}
    return {"num_rows": len(rows), "molecules": len(blocks), "rows_without_molecule": unnamed, "overlap": overlap}


def _read_values(path: Path) -> Iterator[tuple[str, str | None]]:
    """The entries, each with its place in the file."""
    suffix = path.suffix.lower()
    if suffix == ".parquet":
        with pq.ParquetFile(path) as file:
            column = _find_column(file.schema_arrow.names, path)
            values = chain.from_iterable(batch.column(0).to_pylist() for batch in file.iter_batches(columns=[column]))
            yield from ((f"row {number}", value) for number, value in enumerate(values, start=1))
        return
    with open(path, encoding="utf-8-sig", newline="") as lines:
        if suffix in (".csv", ".tsv"):
            options = {"delimiter": "\t", "quoting": csv.QUOTE_NONE} if suffix == ".tsv" else {}
            table = csv.DictReader(lines, **options)
            column = _find_column(table.fieldnames or [], path)
            yield from ((f"line {table.line_num}", row[column]) for row in table)
        else:
            numbered = ((f"line {number}", line.strip()) for number, line in enumerate(lines, start=1))
            yield from ((place, line) for place, line in numbered if line and not line.startswith("#"))


def _find_column(names: list[str], path: Path) -> str:
    lower = {name.lower(): name for name in names}
    for column in COLUMNS:
        if column in lower:
            return lower[column]
    raise ValueError(f"{path} has the columns {names}; it needs one of {', '.join(COLUMNS)}")


def _read_first_block(value: str | None, place: str) -> str:
    value = (value or "").strip()
    is_inchikey = INCHIKEY.fullmatch(value) and not CHAIN.fullmatch(value)
    key = value if is_inchikey or not value else compute_inchikey(value)
    if not key:
        raise ValueError(f"{place}: {value!r} is neither an InChIKey nor a SMILES that RDKit can read; correct it")
    return take_first_block(key)
