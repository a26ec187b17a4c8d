"""Lists of benchmark molecules, as first blocks of InChIKeys, and their texts; what training data have of them."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from textwrap import shorten
from typing import NamedTuple

import numpy as np
from datasets import Dataset
from tqdm import tqdm

from .chemistry.identity import BLOCK, INCHIKEY, compute_inchikey, take_first_block
from .pairs import find_first_block
from .same_texts import hash_texts, normalise_text
from .sources.table_files import is_table, read_rows, undouble_backslashes

CHAIN = re.compile("[BCFINOPS]{14}")  # looks like a first block, but is a SMILES, such as that of tetradecane
COLUMNS = ("inchikey14", "inchikey", "smiles")
TEXT = "text"
SHOWN = 10
SHOWN_CHARACTERS = 80  # of a text


class Benchmark(NamedTuple):
    """What a list has, distinct and ascending.

    Attributes:
        blocks: first blocks of InChIKeys, as 14 bytes each.
        texts: hashes as of `hash_texts`; none of a list without texts.
    """

    blocks: np.ndarray
    texts: np.ndarray


def read_benchmark(path: Path, encoding: str = "utf-8") -> Benchmark:
    """Molecules of a list and, if it is a table with texts, these.

    Args:
        path: a text file with one InChIKey, first block or SMILES a line, or a table with a column `inchikey14`,
            `inchikey` or `smiles`, in upper or lower case; of those that a row has, the first counts. Of a table with a
            column of texts, as `table_files.ALIASES` name it, they count too; rows may lack them.
        encoding: of a text file.
    Raises:
        ValueError: the file cannot be read; or a line or row that is none of these, named by its number: a list that
            is read in part would let its other molecules pass.
    """
    read = _read_table if is_table(path) else _read_lines
    blocks, texts = set(), set()
    for place, molecule, text in read(path, encoding):
        blocks.add(_read_first_block(molecule, f"{path}, {place}"))
        if normalise_text(text):
            texts.add(text)
    if not blocks:
        raise ValueError(f"{path} names no molecule; a benchmark list without molecules is surely a mistake")
    return Benchmark(np.array(sorted(blocks), dtype=BLOCK), np.unique(hash_texts(texts)))


def count_overlap(rows: Dataset, benchmarks: Mapping[str, Benchmark]) -> dict:
    """Which molecules and texts of a dataset are on the lists.

    Args:
        rows: with one of `COLUMNS` and, if there are texts, `text`.
        benchmarks: by name.
    Returns:
        `num_rows`, `molecules` (distinct first blocks), `rows_without_molecule`, which no list can be compared with,
        and by the name of each list `overlap`: its `molecules` and their `rows`, and the `first` of them; of a list
        with texts also its `texts`, the `rows_with_text` of them, whatever their molecule, and the `first_texts`.
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
        shared = sorted(blocks.keys() & set(benchmark.blocks.astype(str).tolist()))
        num_rows = sum(blocks[block] for block in shared)
        overlap[name] = {"molecules": len(shared), "rows": num_rows, "first": shared[:SHOWN]}
    if with_texts := {name: benchmark.texts for name, benchmark in benchmarks.items() if len(benchmark.texts)}:
        for name, found in _count_shared_texts(rows, with_texts).items():
            overlap[name] |= found
    return {"num_rows": len(rows), "molecules": len(blocks), "rows_without_molecule": unnamed, "overlap": overlap}


def _count_shared_texts(rows: Dataset, benchmarks: Mapping[str, np.ndarray]) -> dict[str, dict]:
    """By the name of each list, what `count_overlap` tells of its texts."""
    texts = rows[TEXT] if TEXT in rows.column_names else []
    hashes = hash_texts(text or "" for text in tqdm(texts, desc="reading texts"))
    overlap = {}
    for name, benchmark in benchmarks.items():
        found = np.flatnonzero(np.isin(hashes, benchmark))
        firsts = np.sort(np.unique(hashes[found], return_index=True)[1])  # of each text the first row
        shown = [shorten(texts[int(row)], SHOWN_CHARACTERS) for row in found[firsts[:SHOWN]]]
        overlap[name] = {"texts": len(firsts), "rows_with_text": len(found), "first_texts": shown}
    return overlap


def _read_table(path: Path, encoding: str) -> Iterator[tuple[str, str, str]]:
    """Molecules and texts of a table, "" where there is none, each with its place in the file."""
    for row in read_rows([path], (COLUMNS,), encoding=encoding):
        if row.fault:
            raise ValueError(f"{path}, {row.place}: {row.fault.reason} ({row.fault.detail}); correct it")
        molecule = next((row.cells[name] for name in COLUMNS if name in row.cells), "")
        yield row.place, undouble_backslashes(molecule), row.cells.get(TEXT, "")


def _read_lines(path: Path, encoding: str) -> Iterator[tuple[str, str, str]]:
    """Molecules of a list without texts, each with its place in the file."""
    # Here, as it imports transformers, which a build without lists does not need.
    from modeling_geomclip.text_files_geomclip import describe_undecoded, open_text

    with open_text(path, encoding) as lines:
        for number, line in enumerate(lines, start=1):
            if not (value := line.strip()) or value.startswith("#"):
                continue
            if damage := describe_undecoded(line, number, encoding):
                raise ValueError(f"{path}: {damage}")
            yield f"line {number}", value, ""


def _read_first_block(value: str, place: str) -> str:
    value = value.strip()
    is_inchikey = INCHIKEY.fullmatch(value) and not CHAIN.fullmatch(value)
    key = value if is_inchikey or not value else compute_inchikey(value)
    if not key:
        raise ValueError(f"{place}: {value!r} is neither an InChIKey nor a SMILES that RDKit can read; correct it")
    return take_first_block(key)
