"""Rows of Parquet, CSV, TSV and SDF files under one set of column names: the one reader of tables.

What is wrong with a row is told with it and costs no other row.
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
ALIASES = {  # names of a column, in lower case; the first one that a table has counts
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
STRINGS = {*ALIASES} - {"atomic_numbers", "positions", "energy"}  # keys of cells that hold no list
WORDS = ("text", "name")  # keys of cells in which any word may mean itself
GIVEN_TEXT = "text as given"  # key of the cell `text` before its entities were resolved, where it had some
EXCEL_ERRORS = (
    *("#n/a", "#na", "#value!", "#name?", "#ref!", "#div/0!", "#null!", "#num!", "#spill!", "#calc!", "#getting_data"),
    *("#field!", "#blocked!", "#unknown!", "#connect!", "#busy!"),
)
NO_WORDS = {"", "nan", "-", "--", *EXCEL_ERRORS}  # a missing cell of `WORDS`, in lower case
MISSING = NO_WORDS | {"na", "n/a", "<na>", "none", "null", "-nan", "1.#ind", "-1.#ind", "1.#qnan", "-1.#qnan"}
ENTITY = re.compile(r"&(?:#\d+|#[xX][0-9a-fA-F]+|[a-zA-Z]\w*);")
Needed = tuple[tuple[str, ...], ...]  # of each group of columns one is necessary
Labels = tuple[str, ...]  # columns by their own names, all of them necessary
Choose = Callable[[list[str]], Iterable[str]]  # of the columns that a file has, those to read


class Row(NamedTuple):
    """A row of a table: its place among all rows and its cells by column, without those that are missing.

    `fault` is what is wrong with it, if anything, and then it has no cells; `place` is where it stands in its file, in
    words.
    """

    record_id: str
    cells: dict[str, Any]
    fault: Fault | None = None
    place: str = ""


class FileRow(NamedTuple):
    """A row as its file has it: its cells by the file's own names of columns, its fault and its place, as of a `Row`.

    Cells are text or, of Parquet, of any type.
    """

    cells: dict[str, Any]
    fault: Fault | None
    place: str


def read_rows(files: list[Path], needed: Needed, labels: Labels = (), encoding: str = "utf-8") -> Iterator[Row]:
    """The rows of all files, numbered from 0 on: their cells by the keys of `ALIASES`, or the fault of a broken row.

    The cells of `labels` are under `make_label_key`.
    Raises:
        ValueError: naming the file; it lacks a necessary column, is broken, or is of a format that is not known.
    """

    def choose(file: Path, names: list[str]) -> Iterable[str]:
        return find_columns(file, names, needed, labels).values()

    number = 0
    for file in files:
        for row in read_file_rows(file, partial(choose, file), encoding):
            yield name_cells(f"row {number}", row, labels)
            number += 1


def read_file_rows(file: Path, choose: Choose, encoding: str = "utf-8") -> Iterator[FileRow]:
    """The rows of a file.

    Args:
        choose: which columns to read; called before the first row or, of an SDF, whose records are all read, after the
            last.
        encoding: of a text file.
    Raises:
        ValueError: naming the file; it is missing, broken, or of a format that is not known.
    """
    read = READERS[find_format(file)]
    try:
        for row in read(file, choose, encoding):
            fault = row.fault and row.fault._replace(detail=f"{file.name}: {row.fault.detail}")
            yield row._replace(fault=fault)
    except FileNotFoundError as error:
        raise ValueError(f"there is no file {file}; check the path") from error
    except (pa.ArrowException, UnicodeError, OSError) as error:
        raise ValueError(f"{file}: broken or truncated ({error}); write or fetch it again") from error


def is_table(path: str | Path) -> bool:
    """Whether a path ends as a table does."""
    return Path(path).name.lower().endswith(tuple(READERS))


def find_format(file: Path) -> str:
    """The ending that tells the format of a table.

    Raises:
        ValueError: it is none that is known.
    """
    for suffix in READERS:
        if file.name.lower().endswith(suffix):
            return suffix
    raise ValueError(f"{file}: not one of the formats {', '.join(READERS)}; convert it")


def make_label_key(label: str) -> str:
    """The key of a label's cell, which no key of `ALIASES` is."""
    return f"label {label}"


def find_columns(file: Path, found: Iterable[str], needed: Needed, labels: Labels = ()) -> dict[str, str]:
    """The columns that a file has, by the keys of `ALIASES` and of its labels.

    Raises:
        ValueError: naming the file and what it lacks.
    """
    found = list(found)
    if missing := [label for label in labels if label not in found]:
        raise ValueError(f"{file}: has the columns {', '.join(found)} and lacks {', '.join(missing)}")
    names = _name_columns(tuple(found), labels)
    if missing := [group for group in needed if not set(group) & names.keys()]:
        wanted = "; ".join(" or ".join(name for key in group for name in ALIASES[key]) for group in missing)
        raise ValueError(f"{file}: has the columns {', '.join(found)} and lacks {wanted}; rename or add them")
    return names


@lru_cache(maxsize=256)  # of every row of a file, and of SDF records that have different tags
def _name_columns(found: tuple[str, ...], labels: Labels) -> Mapping[str, str]:
    lower = {name.strip().lower(): name for name in reversed(found)}
    names = {key: next((lower[name] for name in known if name in lower), None) for key, known in ALIASES.items()}
    names = {key: name for key, name in names.items() if name is not None}
    return names | {make_label_key(label): label for label in labels if label in found}


def name_cells(record_id: str, row: FileRow, labels: Labels = ()) -> Row:
    """A row by the keys of `ALIASES`: lists as they are, all else as text, without the cells that are missing."""
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
    """Whether a cell says that there is nothing; in a column of `WORDS` fewer words do."""
    return value.strip().lower() in (NO_WORDS if key in WORDS else MISSING)


def resolve_entities(text: str) -> str:
    """A text with its HTML entities, as far as they end in a semicolon, resolved."""
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
                        Fault(DAMAGED, f"{place} holds bytes that are no utf-8 as {column}; write it again"),
                    )
                yield FileRow(row, fault, place)
            first += len(rows)


def _list_rows(batch: pa.RecordBatch) -> tuple[list[dict[str, Any]], dict[int, str]]:
    """The rows of a batch, and by their places those that have no UTF-8 in a column of text, with its name."""
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
    from modeling_geomclip.molecule_files_geomclip import read_records  # here, as in `delimited`

    found = {MOL_BLOCK: None}
    for number, record in enumerate(read_records(file, encoding), start=1):
        tags = {} if record.fault else {MOL_BLOCK: record.text, **read_sdf_tags(record.text)}
        found |= dict.fromkeys(tags)
        yield FileRow(tags, Fault(DAMAGED, record.fault) if record.fault else None, f"record {number}")
    choose([*found])  # records may lack a tag, but not all of them


READERS: dict[str, Callable[[Path, Choose, str], Iterator[FileRow]]] = {
    ".parquet": _read_parquet_rows,
    **dict.fromkeys((".csv", ".csv.gz"), _read_delimited_rows),
    **dict.fromkeys((".tsv", ".tsv.gz"), partial(_read_delimited_rows, is_tsv=True)),
    **dict.fromkeys((".sdf", ".sdf.gz"), _read_sdf_rows),
}


def list_column_keys(file: Path, encoding: str = "utf-8") -> set[str]:
    """Which of the keys of `ALIASES` a file has columns for; an SDF has its mol blocks at any rate."""
    suffix = find_format(file)
    if suffix == ".parquet":
        return set(find_columns(file, pq.read_schema(file).names, ()))
    if suffix.startswith((".csv", ".tsv")):
        head, _ = read_delimited(file, suffix.startswith(".tsv"), encoding, KNOWN)
        return set(find_columns(file, head, ()))
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
