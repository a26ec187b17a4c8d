"""Read lists of benchmark molecules and texts, and count their overlap with training data."""

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

CHAIN = re.compile("[BCFINOPS]{14}")  # a SMILES that looks like a first block, such as that of tetradecane
COLUMNS = ("inchikey14", "inchikey", "smiles")
TEXT = "text"
SHOWN = 10
SHOWN_CHARACTERS = 80  # per text


class Benchmark(NamedTuple):
    """The contents of a benchmark list, distinct and ascending.

    Attributes:
        blocks: (molecules,) first blocks of InChIKeys, 14 bytes each.
        texts: (texts,) uint64, hashes by `hash_texts`; empty for a list without texts.
    """

    blocks: np.ndarray
    texts: np.ndarray


def read_benchmark(path: Path, encoding: str = "utf-8") -> Benchmark:
    """Read the molecules of a list and, if it is a table with texts, its texts.

    Args:
        path: text file with one InChIKey, first block or SMILES per line, or a table with a column `inchikey14`,
            `inchikey` or `smiles`, in upper or lower case. The first of these that a row has is used. Texts are read
            from a column with one of the names in `table_files.ALIASES`; rows may lack them.
        encoding: encoding of a text file.
    Raises:
        ValueError: the file cannot be read or names no molecule, or a line or row is invalid; the message gives its
            number. Invalid lines are not skipped, because their molecules would then go unnoticed in training data.
    """
    read = _read_table if is_table(path) else _read_lines
    blocks, texts = set(), set()
    for place, molecule, text in read(path, encoding):
        blocks.add(_read_first_block(molecule, f"{path}, {place}"))
        if normalise_text(text):
            texts.add(text)
    if not blocks:
        raise ValueError(f"{path} names no molecule; a benchmark list needs at least one")
    return Benchmark(np.array(sorted(blocks), dtype=BLOCK), np.unique(hash_texts(texts)))


def count_overlap(rows: Dataset, benchmarks: Mapping[str, Benchmark]) -> dict:
    """Count the molecules and texts of a dataset that are on benchmark lists.

    Args:
        rows: rows with one of `COLUMNS` and optionally `text`.
        benchmarks: lists by name.
    Returns:
        `num_rows`; `molecules`, the number of distinct first blocks; `rows_without_molecule`, the rows that cannot be
        compared; and `overlap`, by the name of each list: the shared `molecules`, their `rows` and the `first` of
        them. For a list with texts, also the shared `texts`, the `rows_with_text`, whatever their molecule, and the
        `first_texts`.
    Raises:
        ValueError: the dataset has none of `COLUMNS`.
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
    """Return the part of `count_overlap` about texts, by the name of each list."""
    texts = rows[TEXT] if TEXT in rows.column_names else []
    hashes = hash_texts(text or "" for text in tqdm(texts, desc="reading texts"))
    overlap = {}
    for name, benchmark in benchmarks.items():
        found = np.flatnonzero(np.isin(hashes, benchmark))
        firsts = np.sort(np.unique(hashes[found], return_index=True)[1])  # first row of each text
        shown = [shorten(texts[int(row)], SHOWN_CHARACTERS) for row in found[firsts[:SHOWN]]]
        overlap[name] = {"texts": len(firsts), "rows_with_text": len(found), "first_texts": shown}
    return overlap


def _read_table(path: Path, encoding: str) -> Iterator[tuple[str, str, str]]:
    """Yield the place in the file, the molecule and the text of each row; "" for a missing one."""
    for row in read_rows([path], (COLUMNS,), encoding=encoding):
        if row.fault:
            raise ValueError(f"{path}, {row.place}: {row.fault.reason} ({row.fault.detail}); correct it")
        molecule = next((row.cells[name] for name in COLUMNS if name in row.cells), "")
        yield row.place, undouble_backslashes(molecule), row.cells.get(TEXT, "")


def _read_lines(path: Path, encoding: str) -> Iterator[tuple[str, str, str]]:
    """Yield the place in the file and the molecule of each line of a list without texts."""
    # Imported here because it loads transformers, which a build without lists does not need.
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
