"""Stream the entries of a library, whatever its files; a faulty record is an entry with its fault."""

import gzip
import math
import zlib
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow.parquet as pq
from datasets import load_dataset

from dataset_pubchem3d.sources.delimited import DAMAGED, Fault
from dataset_pubchem3d.sources.table_files import (
    MOL_BLOCK,
    FileRow,
    Row,
    find_columns,
    is_missing,
    is_table,
    name_cells,
    read_file_rows,
)
from modeling_geomclip.molecule_files_geomclip import read_records
from modeling_geomclip.text_files_geomclip import COMPRESSED, describe_undecoded, open_text

STRUCTURES = ("smiles", "inchi", MOL_BLOCK)  # one of these identifies a molecule
LIST_ENDINGS = tuple(ending + packed for ending in (".smi", ".smiles", ".ism") for packed in ("", COMPRESSED))
RECORD_ENDINGS = (".mol", f".mol{COMPRESSED}")
ENDINGS = (".csv", ".tsv", ".parquet", ".sdf", ".smi")  # in messages; the first four are tables
CARD, REPORT = "README.md", "build_report.json"  # the folder of a dataset has a card with metadata, or a report
USED = ("text", *STRUCTURES, "inchikey", "inchikey14", "name", "atomic_numbers", "positions")  # keys of used cells
IDS = ("id", "cid")  # the user's own columns that name a molecule without a name
LEFT_OUT = "further_positions"  # further conformers, which can be larger than all else


class Entry(NamedTuple):
    """A molecule of a library.

    Attributes:
        row: the cells by the keys of `ALIASES`, or the fault; its `record_id` is the place: file and line or record.
        columns: the user's own columns.
    """

    row: Row
    columns: dict[str, Any] = {}

    @property
    def place(self) -> str:
        """File and line, row or record."""
        return self.row.record_id

    @property
    def name(self) -> str:
        """Name of the molecule, or its title in an SDF, or its id; "" if there is none."""
        title = self.row.cells.get(MOL_BLOCK, "").partition("\n")[0]
        ids = (write_id(cell) for column in IDS for name, cell in self.columns.items() if name.lower() == column)
        return next((name.strip() for name in (self.row.cells.get("name", ""), title, *ids) if name.strip()), "")


def write_id(cell: Any) -> str:
    """Return the cell of an id as text; of a float, which integers in a column with gaps become, the integer."""
    if isinstance(cell, float):
        return "" if math.isnan(cell) else str(int(cell) if cell.is_integer() else cell)
    return "" if cell is None else str(cell).strip()


def read_entries(libraries: Sequence[str], encoding: str = "utf-8") -> Iterator[Entry]:
    """Yield the entries of libraries one by one.

    Args:
        libraries: files, folders of files (other files in them are ignored), and folders or Hub ids of datasets.
        encoding: encoding of text files.
    Raises:
        ValueError: a file is missing, cannot be read, has an unknown ending, or has no column with structures; or a
            folder has no file that can be read.
    """
    for library in libraries:
        if is_dataset(library):
            yield from _read_dataset(library)
        else:
            for file in list_files(library):
                yield from choose_reader(file)(file, encoding)


def is_dataset(library: str) -> bool:
    """Return whether a library is the folder of a dataset, or a Hub id of the form "owner/name"."""
    path = Path(library)
    if path.is_dir():
        card = path / CARD
        return (path / REPORT).is_file() or (card.is_file() and card.read_bytes()[:3] == b"---")
    return not path.exists() and not path.suffix and library.count("/") == 1


def list_files(library: str) -> list[Path]:
    """Return the files of a library, sorted: the file itself, or all files of a folder that can be read.

    Raises:
        ValueError: there is no such file or folder, its ending is unknown, or the folder has no file that can be read.
    """
    path = Path(library)
    if not path.is_dir():
        choose_reader(path)
        if not path.is_file():
            raise ValueError(f"there is no file {library}; check the path")
        return [path]
    if files := sorted(file for file in path.rglob("*") if file.is_file() and _find_reader(file)):
        return files
    raise ValueError(f"folder {library} has no file that ends in {', '.join(ENDINGS)}; check the path")


def choose_reader(file: Path) -> Callable[[Path, str], Iterator[Entry]]:
    """Return the function that reads a file.

    Raises:
        ValueError: the ending is unknown.
    """
    if reader := _find_reader(file):
        return reader
    raise ValueError(f"{file}: its ending is not one of {', '.join(ENDINGS)}, also with {COMPRESSED}; convert the file")


def _find_reader(file: Path) -> Callable[[Path, str], Iterator[Entry]] | None:
    name = file.name.lower()
    if is_table(name):
        return _read_table
    if name.endswith(LIST_ENDINGS):
        return _read_list
    return _read_structures if name.endswith(RECORD_ENDINGS) else None


# -------------------------------------------------------------------------------------------------------------- readers


def make_entry(place: str, row: FileRow) -> Entry:
    """Make an entry from a row under the user's own column names."""
    named = name_cells(place, row)
    keys = find_columns(Path(place), row.cells, ())
    left_out = {"", LEFT_OUT, *(name for key, name in keys.items() if key in USED)}
    columns = {name: cell for name, cell in row.cells.items() if name not in left_out and not _is_empty(cell)}
    return Entry(named, {} if named.fault else columns)


def _is_empty(cell: Any) -> bool:
    is_nan = isinstance(cell, float) and math.isnan(cell)
    return cell is None or is_nan or (isinstance(cell, str) and is_missing(cell))


def _read_table(file: Path, encoding: str) -> Iterator[Entry]:
    for row in read_file_rows(file, partial(_choose_columns, file), encoding):
        yield make_entry(f"{file}, {row.place}", row)


def _choose_columns(file: Path, names: list[str]) -> list[str]:
    find_columns(file, names, (STRUCTURES,))
    return [name for name in names if name]


def _read_list(file: Path, encoding: str) -> Iterator[Entry]:
    """Yield the SMILES of a file, one per line and optionally followed by a name."""
    with open_text(file, encoding) as lines:
        for number, line in enumerate(lines, start=1):
            smiles, name = [*line.split(maxsplit=1), "", ""][:2]
            if smiles and not smiles.startswith("#"):
                damage = describe_undecoded(line, number, encoding)
                fault = Fault(DAMAGED, damage) if damage else None
                cells = {} if fault else {"smiles": smiles, **({"name": name.strip()} if name else {})}
                yield Entry(Row(f"{file}, line {number}", cells, fault))


def _read_structures(file: Path, encoding: str) -> Iterator[Entry]:
    for number, record in enumerate(read_records(file, encoding), start=1):
        cells = {} if record.fault else {MOL_BLOCK: record.text}
        yield Entry(Row(f"{file}, record {number}", cells, Fault(DAMAGED, record.fault) if record.fault else None))


def _read_dataset(dataset: str) -> Iterator[Entry]:
    """Yield the rows of all splits of the default config."""
    for split, rows in load_dataset(dataset, streaming=True).items():
        if rows.column_names is not None:
            find_columns(Path(dataset), rows.column_names, (STRUCTURES,))
        for number, cells in enumerate(rows, start=1):
            yield make_entry(f"{dataset}, {split}, row {number}", FileRow(cells, None, ""))


# ---------------------------------------------------------------------------------------------------------------- sizes


def count_entries(libraries: Sequence[str]) -> int | None:
    """Estimate the number of entries for a progress bar; None if a library is a dataset of unknown size.

    Lines of a table are counted, so a cell of several lines counts several times.

    Raises:
        ValueError: a gzipped file is truncated or broken.
    """
    if any(is_dataset(library) for library in libraries):
        return None
    return sum(_count_file(file) for library in libraries for file in list_files(library))


def _count_file(file: Path) -> int:
    name = file.name.lower()
    if name.endswith(".parquet"):
        return pq.read_metadata(file).num_rows
    opened = gzip.open if name.endswith(COMPRESSED) else open
    is_listed = not name.removesuffix(COMPRESSED).endswith((".sdf", ".sd", ".mol"))
    try:
        with opened(file, "rb") as lines:
            return sum(is_listed or line.startswith(b"$$$$") for line in lines)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(f"{file}: truncated or broken gzip file ({error}); fetch it again") from error
