"""Lists of benchmark molecules, as first blocks of InChIKeys, and what training data have of them."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from datasets import Dataset
from tqdm import tqdm

from .chemistry.identity import BLOCK, INCHIKEY, compute_inchikey, take_first_block
from .pairs import find_first_block
from .sources.table_files import is_table, read_rows, undouble_backslashes

CHAIN = re.compile("[BCFINOPS]{14}")  # looks like a first block, but is a SMILES, such as that of tetradecane
COLUMNS = ("inchikey14", "inchikey", "smiles")
SHOWN = 10


def read_benchmark(path: Path, encoding: str = "utf-8") -> np.ndarray:
    """First blocks of the molecules of a list.

    Args:
        path: a text file with one InChIKey, first block or SMILES a line, or a table with a column `inchikey14`,
            `inchikey` or `smiles`, in upper or lower case; of those that a row has, the first counts.
        encoding: of a text file.
    Returns:
        distinct and ascending, as 14 bytes each.
    Raises:
        ValueError: the file cannot be read; or a line or row that is none of these, named by its number: a list that
            is read in part would let its other molecules pass.
    """
    read = _read_table if is_table(path) else _read_lines
    blocks = {_read_first_block(value, f"{path}, {place}") for place, value in read(path, encoding)}
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


def _read_table(path: Path, encoding: str) -> Iterator[tuple[str, str]]:
    """The entries of a table, each with its place in the file."""
    for row in read_rows([path], (COLUMNS,), encoding=encoding):
        if row.fault:
            raise ValueError(f"{path}, {row.place}: {row.fault.reason} ({row.fault.detail}); correct it")
        yield row.place, undouble_backslashes(next((row.cells[name] for name in COLUMNS if name in row.cells), ""))


def _read_lines(path: Path, encoding: str) -> Iterator[tuple[str, str]]:
    """The entries of a text, each with its place in the file."""
    # Here, as it imports transformers, which a build without lists does not need.
    from modeling_geomclip.text_files_geomclip import describe_undecoded, open_text

    with open_text(path, encoding) as lines:
        for number, line in enumerate(lines, start=1):
            if not (value := line.strip()) or value.startswith("#"):
                continue
            if damage := describe_undecoded(line, number, encoding):
                raise ValueError(f"{path}: {damage}")
            yield f"line {number}", value


def _read_first_block(value: str, place: str) -> str:
    value = value.strip()
    is_inchikey = INCHIKEY.fullmatch(value) and not CHAIN.fullmatch(value)
    key = value if is_inchikey or not value else compute_inchikey(value)
    if not key:
        raise ValueError(f"{place}: {value!r} is neither an InChIKey nor a SMILES that RDKit can read; correct it")
    return take_first_block(key)
