"""Read the rows of Parquet, CSV, TSV and SDF files under standard column names.

A faulty row carries its fault and does not affect other rows.
"""

import html
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from .delimited import DAMAGED, UNFIT, Fault, read_delimited
from .sdf import read_sdf_tags

MOL_BLOCK = "mol_block"
ALIASES = {  # names of each column, in lower case; the first that a table has is used
    "text": ("text", "description", "caption"),
    "smiles": ("smiles", "isomeric_smiles", "isomericsmiles", "canonical_smiles"),
    "inchi": ("inchi",),
    "inchikey": ("inchikey",),
    "inchikey14": ("inchikey14",),
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
KNOWN = {name for names in ALIASES.values() for name in names}
STRINGS = {*ALIASES} - {"atomic_numbers", "positions", "energy"}  # keys of cells that are never lists
WORDS = ("text", "name")  # keys of cells where a word such as "none" is content, not a missing value
GIVEN_TEXT = "text as given"  # key of the original `text` if it had HTML entities
EXCEL_ERRORS = (
    *("#n/a", "#na", "#value!", "#name?", "#ref!", "#div/0!", "#null!", "#num!", "#spill!", "#calc!", "#getting_data"),
    *("#field!", "#blocked!", "#unknown!", "#connect!", "#busy!"),
)
NO_WORDS = {"", "nan", "-", "--", *EXCEL_ERRORS}  # missing values in columns of `WORDS`, in lower case
MISSING = NO_WORDS | {"na", "n/a", "<na>", "none", "null", "-nan", "1.#ind", "-1.#ind", "1.#qnan", "-1.#qnan"}
ENTITY = re.compile(r"&(?:#\d+|#[xX][0-9a-fA-F]+|[a-zA-Z]\w*);")
Needed = tuple[tuple[str, ...], ...]  # groups of columns, of each of which at least one is required
Labels = tuple[str, ...]  # required columns, by their own names
Choose = Callable[[list[str]], Iterable[str]]  # chooses which columns of a file to read


class Row(NamedTuple):
    """A row of a table.

    Attributes:
        record_id: number of the row among all rows.
        cells: cells by column, without missing ones; empty for a faulty row.
        fault: fault of the row, if any.
        place: place of the row in its file, in words.
    """

    record_id: str
    cells: dict[str, Any]
    fault: Fault | None = None
    place: str = ""


class FileRow(NamedTuple):
    """A row with the file's own column names, otherwise like `Row`. Cells are text or, in Parquet, of any type."""

    cells: dict[str, Any]
    fault: Fault | None
    place: str


def read_rows(files: list[Path], needed: Needed, labels: Labels = (), encoding: str = "utf-8") -> Iterator[Row]:
    """Read the rows of all files, numbered from 0, with their cells by the keys of `ALIASES`.

    Args:
        files: tables.
        needed: required columns.
        labels: required columns by their own names; their cells have the keys of `make_label_key`.
        encoding: encoding of text files.
    Raises:
        ValueError: a file lacks a required column, is broken or has an unknown format; the message names the file.
    """

    def choose(file: Path, names: list[str]) -> Iterable[str]:
        return find_columns(file, names, needed, labels).values()

    number = 0
    for file in files:
        for row in read_file_rows(file, partial(choose, file), encoding):
            yield name_cells(f"row {number}", row, labels)
            number += 1


def read_file_rows(file: Path, choose: Choose, encoding: str = "utf-8") -> Iterator[FileRow]:
    """Read the rows of a file.

    Args:
        file: table.
        choose: chooses the columns to read. It is called before the first row; for an SDF, which is read completely,
            it is called after the last row.
        encoding: encoding of a text file.
    Raises:
        ValueError: the file is missing, broken or has an unknown format; the message names the file.
    """
    read = READERS[find_format(file)]
    try:
        for row in read(file, choose, encoding):
            fault = row.fault and row.fault._replace(detail=f"{file.name}: {row.fault.detail}")
            yield row._replace(fault=fault)
    except FileNotFoundError as error:
        raise ValueError(f"there is no file {file}; check the path") from error
    except (pa.ArrowException, UnicodeError, OSError) as error:
        raise ValueError(f"{file}: broken or truncated ({error}); write or download it again") from error


def is_table(path: str | Path) -> bool:
    """Return whether a path has the ending of a table."""
    return Path(path).name.lower().endswith(tuple(READERS))


def find_format(file: Path) -> str:
    """Return the ending that determines the format of a table.

    Raises:
        ValueError: the ending is unknown.
    """
    for suffix in READERS:
        if file.name.lower().endswith(suffix):
            return suffix
    raise ValueError(f"{file}: not one of the formats {', '.join(READERS)}; convert the file")


def make_label_key(label: str) -> str:
    """Return the key of a label's cell, which differs from all keys of `ALIASES`."""
    return f"label {label}"


def find_columns(file: Path, found: Iterable[str], needed: Needed, labels: Labels = ()) -> dict[str, str]:
    """Find the columns of a file, by the keys of `ALIASES` and of the labels.

    Raises:
        ValueError: a required column is missing; the message names the file and the column.
    """
    found = list(found)
    if missing := [label for label in labels if label not in found]:
        raise ValueError(f"{file}: has the columns {', '.join(found)} and lacks {', '.join(missing)}; add them")
    names = _name_columns(tuple(found), labels)
    if missing := [group for group in needed if not set(group) & names.keys()]:
        wanted = "; ".join(" or ".join(name for key in group for name in ALIASES[key]) for group in missing)
        raise ValueError(f"{file}: has the columns {', '.join(found)} and lacks {wanted}; rename or add them")
    return names


@lru_cache(maxsize=256)  # called for every row; SDF records can have different tags
def _name_columns(found: tuple[str, ...], labels: Labels) -> Mapping[str, str]:
    lower = {name.strip().lower(): name for name in reversed(found)}
    names = {key: next((lower[name] for name in known if name in lower), None) for key, known in ALIASES.items()}
    names = {key: name for key, name in names.items() if name is not None}
    return names | {make_label_key(label): label for label in labels if label in found}


def name_cells(record_id: str, row: FileRow, labels: Labels = ()) -> Row:
    """Return a row by the keys of `ALIASES`: lists unchanged, all other cells as text, without missing cells."""
    if row.fault:
        return Row(record_id, {}, row.fault, row.place)
    names = _name_columns(tuple(row.cells), labels)
    found = {key: value for key, name in names.items() if (value := row.cells[name]) is not None}
    cells = {key: value if isinstance(value, list) else str(value) for key, value in found.items()}
    if unfit := [key for key, value in cells.items() if isinstance(value, list) and key in STRINGS]:
        return Row(record_id, {}, Fault(UNFIT, f"a list as {unfit[0]}"), row.place)
    cells = {key: value for key, value in cells.items() if isinstance(value, list) or not is_missing(value, key)}
    if cells.get("smiles", "").strip().startswith("InChI=") and "inchi" not in cells:
        cells["inchi"] = cells.pop("smiles")
    for key in WORDS:
        if "&" in (given := cells.get(key, "")) and (text := resolve_entities(given)) != given:
            cells |= {key: text, GIVEN_TEXT: given} if key == "text" else {key: text}
    return Row(record_id, cells, None, row.place)


def is_missing(value: str, key: str = "") -> bool:
    """Return whether a cell stands for a missing value; fewer words do so in the columns of `WORDS`."""
    return value.strip().lower() in (NO_WORDS if key in WORDS else MISSING)


def resolve_entities(text: str) -> str:
    """Resolve the HTML entities in a text that end with a semicolon."""
    return ENTITY.sub(lambda entity: html.unescape(entity.group()), text)


def _read_parquet_rows(file: Path, choose: Choose, encoding: str) -> Iterator[FileRow]:
    first = 1
    with pq.ParquetFile(file) as table:
        columns = list(dict.fromkeys(choose(table.schema_arrow.names)))
        for batch in table.iter_batches(batch_size=256, columns=columns):
            rows, undecodable = _list_rows(batch)
            for number, row in enumerate(rows, start=first):
                place, fault = f"row {number}", None
                if column := undecodable.get(number - first):
                    row, fault = (
                        {},
                        Fault(DAMAGED, f"{column} of {place} has bytes that are not UTF-8; write it again"),
                    )
                yield FileRow(row, fault, place)
            first += len(rows)


def _list_rows(batch: pa.RecordBatch) -> tuple[list[dict[str, Any]], dict[int, str]]:
    """Return the rows of a batch, and by index the text columns of rows that are not valid UTF-8."""
    try:
        return batch.to_pylist(), {}
    except UnicodeDecodeError:
        pass
    columns, undecodable = {}, {}
    for name, column in zip(batch.schema.names, batch.columns):
        is_text = pa.types.is_string(column.type) or pa.types.is_large_string(column.type)
        columns[name] = (column.cast(pa.large_binary()) if is_text else column).to_pylist()
        for place, cell in enumerate(columns[name] if is_text else ()):
            try:
                columns[name][place] = None if cell is None else cell.decode()
            except UnicodeDecodeError:
                undecodable[place] = name
    return [dict(zip(columns, cells)) for cells in zip(*columns.values())], undecodable


def _read_delimited_rows(file: Path, choose: Choose, encoding: str, is_tsv: bool = False) -> Iterator[FileRow]:
    head, records = read_delimited(file, is_tsv, encoding, KNOWN)
    places = {name: head.index(name) for name in choose(head)}
    for record in records:
        cells = {} if record.fault else {name: record.cells[place] for name, place in places.items()}
        yield FileRow(cells, record.fault, f"line {record.first_line}")


def _read_sdf_rows(file: Path, choose: Choose, encoding: str) -> Iterator[FileRow]:
    # Imported here because it loads transformers.
    from modeling_geomclip.molecule_files_geomclip import read_records

    found = {MOL_BLOCK: None}
    for number, record in enumerate(read_records(file, encoding), start=1):
        tags = {} if record.fault else {MOL_BLOCK: record.text, **read_sdf_tags(record.text)}
        found |= dict.fromkeys(tags)
        yield FileRow(tags, Fault(DAMAGED, record.fault) if record.fault else None, f"record {number}")
    choose([*found])  # called last, because a single record may lack a tag


READERS: dict[str, Callable[[Path, Choose, str], Iterator[FileRow]]] = {
    ".parquet": _read_parquet_rows,
    **dict.fromkeys((".csv", ".csv.gz"), _read_delimited_rows),
    **dict.fromkeys((".tsv", ".tsv.gz"), partial(_read_delimited_rows, is_tsv=True)),
    **dict.fromkeys((".sdf", ".sdf.gz", ".sd", ".sd.gz"), _read_sdf_rows),
}


def list_column_keys(file: Path, encoding: str = "utf-8") -> set[str]:
    """Return the keys of `ALIASES` for which a file has columns; an SDF always has mol blocks."""
    suffix = find_format(file)
    if suffix == ".parquet":
        return set(find_columns(file, pq.read_schema(file).names, ()))
    if suffix.startswith((".csv", ".tsv")):
        head, _ = read_delimited(file, suffix.startswith(".tsv"), encoding, KNOWN)
        return set(find_columns(file, head, ()))
    return {MOL_BLOCK}


def read_number_list(cell: Any) -> Any:
    """Return a list of numbers from a cell: a list unchanged, or JSON parsed.

    Raises:
        ValueError: the text is not JSON.
    """
    return json.loads(cell) if isinstance(cell, str) else cell


def undouble_backslashes(smiles: str) -> str:
    """Return a SMILES with doubled (escaped) backslashes, as in ChEBI-20, replaced by single ones."""
    return smiles.replace("\\\\", "\\")
