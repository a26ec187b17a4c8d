"""Rows of Parquet, CSV, TSV and SDF files under one set of column names."""

import csv
import json
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from .sdf import read_sdf, read_sdf_tags

MOL_BLOCK = "mol_block"
ALIASES = {  # names of a column, in lower case; the first one that a table has counts
    "text": ("text", "description", "caption"),
    "smiles": ("smiles", "isomeric_smiles", "isomericsmiles", "canonical_smiles"),
    "inchi": ("inchi",),
    "inchikey": ("inchikey",),
    "cid": ("cid",),
    "name": ("name", "title"),
    "text_source": ("text_source", "source"),
    "text_source_id": ("text_source_id",),
    "text_url": ("text_url",),
    "text_license_url": ("text_license_url",),
    "text_kind": ("text_kind",),
    "anid": ("anid",),
    "atomic_numbers": ("atomic_numbers",),
    "positions": ("positions",),
    "energy": ("conformer_energy",),
    "geometry_method": ("geometry_method",),
    "geometry_license": ("geometry_license",),
    MOL_BLOCK: (MOL_BLOCK,),
}
STRINGS = {*ALIASES} - {"atomic_numbers", "positions", "energy"}  # keys of cells that hold no list
WORDS = ("text", "name")  # keys of cells in which any word may mean itself
MISSING = ("", "nan", "na", "n/a", "none", "null")  # a cell, in lower case; of `WORDS` the first two
LONGEST_CELL = 2**27  # characters; positions of large molecules are longer than what the csv module allows
Needed = tuple[tuple[str, ...], ...]  # of each group of columns one is necessary
Labels = tuple[str, ...]  # columns by their own names, all of them necessary
Cells = tuple[dict[str, Any], str]  # the cells that are not missing, and what is wrong with the row


class Row(NamedTuple):
    """A row of a table: its place among all rows and its cells by column, without those that are missing.

    `fault` says what is wrong with it, "" if nothing is.
    """

    record_id: str
    cells: dict[str, Any]
    fault: str = ""


def read_rows(files: list[Path], needed: Needed, labels: Labels = ()) -> Iterator[Row]:
    """The rows of all files, as `read_table` reads them, numbered from 0 on."""
    for number, (cells, fault) in enumerate(chain.from_iterable(read_table(file, needed, labels) for file in files)):
        yield Row(f"row {number}", cells, fault)


def read_table(file: Path, needed: Needed, labels: Labels = ()) -> Iterator[Cells]:
    """The rows of a file: their cells by the keys of `ALIASES`, "" or the fault of a row that does not fit its head.

    The cells of `labels` are under `make_label_key`.
    Raises:
        ValueError: naming the file; it lacks a necessary column, is broken, or is of a format that is not known.
    """
    for suffix, read in READERS.items():
        if file.name.lower().endswith(suffix):
            try:
                yield from read(file, needed, labels)
            except (pa.ArrowException, csv.Error, UnicodeError, OSError) as error:
                raise ValueError(f"{file}: broken or truncated ({error}); write or fetch it again") from error
            return
    raise ValueError(f"{file}: not one of the formats {', '.join(READERS)}; convert it")


def make_label_key(label: str) -> str:
    """The key of a label's cell, which no key of `ALIASES` is."""
    return f"label {label}"


def _find_columns(file: Path, found: Iterable[str], needed: Needed, labels: Labels = ()) -> dict[str, str]:
    """The columns that a file has, by the keys of `ALIASES` and of its labels."""
    found = list(found)
    if missing := [label for label in labels if label not in found]:
        raise ValueError(f"{file}: has the columns {', '.join(found)} and lacks {', '.join(missing)}")
    lower = {name.strip().lower(): name for name in reversed(found)}
    names = {key: next((lower[name] for name in known if name in lower), None) for key, known in ALIASES.items()}
    names = {key: name for key, name in names.items() if name is not None}
    if missing := [group for group in needed if not set(group) & names.keys()]:
        wanted = "; ".join(" or ".join(name for key in group for name in ALIASES[key]) for group in missing)
        raise ValueError(f"{file}: has the columns {', '.join(found)} and lacks {wanted}; rename or add them")
    return names | {make_label_key(label): label for label in labels}


def _select_cells(found: Iterable[tuple[str, Any]]) -> Cells:
    """Lists as they are, all else as text, without the cells that are `MISSING`."""
    cells = {key: value if isinstance(value, list) else str(value) for key, value in found if value is not None}
    if unfit := [key for key, value in cells.items() if isinstance(value, list) and key in STRINGS]:
        return {}, f"a list as {unfit[0]}"
    return {key: value for key, value in cells.items() if isinstance(value, list) or not _is_missing(key, value)}, ""


def _is_missing(key: str, value: str) -> bool:
    return value.strip().lower() in (MISSING[:2] if key in WORDS else MISSING)


def _read_parquet_rows(file: Path, needed: Needed, labels: Labels) -> Iterator[Cells]:
    with pq.ParquetFile(file) as table:
        names = _find_columns(file, table.schema_arrow.names, needed, labels)
        for batch in table.iter_batches(batch_size=256, columns=list(dict.fromkeys(names.values()))):
            for row in batch.to_pylist():
                yield _select_cells((key, row[name]) for key, name in names.items())


def _read_delimited_rows(file: Path, needed: Needed, labels: Labels, **form: Any) -> Iterator[Cells]:
    csv.field_size_limit(LONGEST_CELL)
    with open(file, encoding="utf-8-sig", newline="") as lines:
        rows = csv.reader(lines, **form)
        head = next(rows, [])
        places = {key: head.index(name) for key, name in _find_columns(file, head, needed, labels).items()}
        for row in filter(None, rows):  # a blank line is no row
            if len(row) == len(head):
                yield _select_cells((key, row[place]) for key, place in places.items())
            else:
                yield {}, f"{len(row)} cells in line {rows.line_num}, {len(head)} columns"


def _read_sdf_rows(file: Path, needed: Needed, labels: Labels) -> Iterator[Cells]:
    found: dict[str, None] = {MOL_BLOCK: None}
    for record in read_sdf(file):
        tags = {MOL_BLOCK: record, **read_sdf_tags(record)}
        found |= dict.fromkeys(tags)
        named = _find_columns(file, tags, (), tuple(label for label in labels if label in tags))
        yield _select_cells((key, tags[name]) for key, name in named.items())
    _find_columns(file, found, needed, labels)  # records may lack a tag, but not all of them


FORMS: dict[str, dict[str, Any]] = {
    ".csv": {"strict": True},
    ".tsv": {"delimiter": "\t", "quoting": csv.QUOTE_NONE},
}
READERS: dict[str, Callable[[Path, Needed, Labels], Iterator[Cells]]] = {
    ".parquet": _read_parquet_rows,
    **{suffix: partial(_read_delimited_rows, **form) for suffix, form in FORMS.items()},
    ".sdf": _read_sdf_rows,
    ".sdf.gz": _read_sdf_rows,
}


def list_column_keys(file: Path) -> set[str]:
    """Which of the keys of `ALIASES` a file has columns for; an SDF has its mol blocks at any rate."""
    if file.suffix.lower() == ".parquet":
        return set(_find_columns(file, pq.read_schema(file).names, ()))
    if form := FORMS.get(file.suffix.lower()):
        with open(file, encoding="utf-8-sig", newline="") as lines:
            return set(_find_columns(file, next(csv.reader(lines, **form), []), ()))
    return {MOL_BLOCK}


def read_number_list(cell: Any) -> Any:
    """A cell of numbers: a list as it is, JSON read.

    Raises:
        ValueError: text that is no JSON.
    """
    return json.loads(cell) if isinstance(cell, str) else cell


def undouble_backslashes(smiles: str) -> str:
    """A SMILES whose backslashes were escaped, as in ChEBI-20, with single ones."""
    return smiles.replace("\\\\", "\\")
