"""Load a user's table as a `datasets.Dataset`: the rows that a build would use, and the faults of the other rows."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from datasets import Dataset, Features, List, ReadInstruction, Value, concatenate_datasets
from datasets.exceptions import DatasetGenerationError
from rdkit import Chem, rdBase

from .records import Compound, RecordError
from .sources.table import NO_STRUCTURE, STRUCTURE, CheckedRow, check_row, read_coordinates, read_smiles
from .sources.table_files import (
    MOL_BLOCK,
    Row,
    find_columns,
    find_format,
    is_missing,
    name_cells,
    read_file_rows,
)

FORMAT = 2  # version of the rows; a new number makes `datasets` read every table again
SPLIT = "train"
ID = "id"  # a column of a text file that is kept as it is written: 1.10 and 1E2 are no numbers
ROW_FAULT = "row_fault"
WORDS = ("text", "smiles", "inchi", "inchikey", "inchikey14", "name", MOL_BLOCK)  # standard string columns
COORDINATES = {"atomic_numbers": List(Value("int64")), "positions": List(List(Value("float64")))}
STANDARD = (*WORDS, "cid", *COORDINATES)  # columns that get these names whatever the file calls them

WHOLE_NUMBER = re.compile(r"[+-]?(?:0|[1-9]\d{0,17})", re.ASCII)  # with a leading zero it is an id
NUMBER = re.compile(
    r"[+-]?(?:(?:0|[1-9]\d{0,17})(?:\.\d*)?(?:e[+-]?\d+)?|\.\d+(?:e[+-]?\d+)?|inf(?:inity)?)", re.ASCII | re.IGNORECASE
)
TRUTH = {"true": True, "false": False}
# How a cell is read, by the name of its type in `datasets`.
KINDS = {"int64": int, "float64": float, "bool": lambda cell: TRUTH[cell.lower()], "string": str}


def load_table(path: str, split: str, columns: Sequence[str] = (), encoding: str = "utf-8") -> Dataset:
    """Load the rows of a table with the reader of the build, and cache them with `datasets`.

    Args:
        path: Parquet, CSV, TSV or SDF file.
        split: "train" or slices of it, in the syntax of `load_dataset`.
        columns: required columns, by their standard names or their names in the file. If `text` is one of them, a row
            without a text is faulty.
        encoding: encoding of a text file.
    Returns:
        The columns of `STANDARD` that the file has under any alias; `smiles` is also derived from other structure
        columns. The other columns keep their names. `row_fault` tells why a row cannot be used: it begins with the
        reason that a build's quarantine gives, and all other columns of the row are null.
    Raises:
        ValueError: the file is missing or broken, has no rows, or does not have the split; the message names the file.
    """
    file = Path(path)
    kinds, num_rows = _tell_kinds(file, encoding)
    if num_rows == 0:
        raise ValueError(f"{path} has no rows; give a table with at least one")
    features = _list_features(file, kinds, columns)
    state = file.stat()
    given = {"path": str(file.resolve()), "size": state.st_size, "mtime_ns": state.st_mtime_ns, "encoding": encoding}
    given |= {"wants_text": "text" in columns, "versions": (FORMAT, rdBase.rdkitVersion)}
    try:
        rows = Dataset.from_generator(_generate_rows, features, gen_kwargs=given | {"features": features})
    except DatasetGenerationError as error:
        raise (error.__cause__ if isinstance(error.__cause__, ValueError) else error) from None
    return _take_split(path, rows, split)


def _take_split(path: str, rows: Dataset, split: str) -> Dataset:
    try:
        if split == SPLIT:
            return rows
        slices = ReadInstruction.from_spec(split).to_absolute({SPLIT: len(rows)})
    except ValueError as error:
        raise ValueError(
            f"{path} is a table, which has only the split 'train', and {split!r} is not a slice of it ({error}); use "
            "slices such as train[:90%] and train[90%:], or --validation_split none for no validation"
        ) from error
    return concatenate_datasets([rows.select(range(part.from_ or 0, _find_end(part, rows))) for part in slices])


def _find_end(part: Any, rows: Dataset) -> int:
    return len(rows) if part.to is None else part.to


# ------------------------------------------------------------------------------------------------------------- columns


def _tell_kinds(file: Path, encoding: str) -> tuple[dict[str, Any], int]:
    """Return the columns of a file, each with its `datasets` type, and the number of rows."""
    if find_format(file) == ".parquet":
        return _read_parquet_features(file)
    kinds: dict[str, str | None] = {}
    num_rows = 0

    def note(names: list[str]) -> list[str]:
        kinds.update({name: kinds.get(name) for name in names})
        return names

    for row in read_file_rows(file, note, encoding):
        num_rows += 1
        for name, cell in row.cells.items():
            if (kind := kinds.get(name)) != "string" and not is_missing(cell):
                kinds[name] = _widen(kind, cell.strip())
    kinds |= {name: "string" for name in kinds if name.lower() == ID}
    return {name: Value(kind or "string") for name, kind in kinds.items() if name}, num_rows


def _read_parquet_features(file: Path) -> tuple[dict[str, Any], int]:
    try:
        with pq.ParquetFile(file) as table:
            schema = table.schema_arrow
            for place, column in enumerate(schema):
                if pa.types.is_dictionary(column.type):  # a type that `datasets` lacks
                    schema = schema.set(place, column.with_type(column.type.value_type))
            return dict(Features.from_arrow_schema(schema)), table.metadata.num_rows
    except FileNotFoundError as error:
        raise ValueError(f"there is no file {file}; check the path") from error
    except (pa.ArrowException, OSError) as error:
        raise ValueError(f"{file}: broken or truncated ({error}); write or download it again") from error


def _widen(kind: str | None, cell: str) -> str:
    """Return the kind that fits both the cells of a column so far and one more cell."""
    if WHOLE_NUMBER.fullmatch(cell):
        own = "int64"
    elif NUMBER.fullmatch(cell):
        own = "float64"
    else:
        own = "bool" if cell.lower() in TRUTH else "string"
    if kind in (None, own):
        return own
    return "float64" if {kind, own} == {"int64", "float64"} else "string"


def _list_features(file: Path, kinds: Mapping[str, Any], columns: Sequence[str]) -> Features:
    """Return the features of the rows: `STANDARD` columns replace the file's own, except those in `columns`."""
    names = _name_standard_columns(file, kinds)
    keys = {name: key for key, name in names.items()}
    features: dict[str, Any] = {}
    for name, kind in kinds.items():
        if name in keys:
            features[keys[name]] = _choose_feature(keys[name], kind, is_parquet=find_format(file) == ".parquet")
        if (name not in keys or name in columns) and name not in {*names, ROW_FAULT}:
            features[name] = kind
    if set(STRUCTURE) & features.keys():
        features.setdefault("smiles", Value("string"))
    return Features(features | {ROW_FAULT: Value("string")})


def _name_standard_columns(file: Path, found: Iterable[str]) -> dict[str, str]:
    """Return the file's names of the `STANDARD` columns that it has."""
    return {key: name for key, name in find_columns(file, found, ()).items() if key in STANDARD}


def _choose_feature(key: str, kind: Any, is_parquet: bool) -> Any:
    """Return the feature of a standard column; Parquet coordinates keep their type if they are nested number lists."""
    if key in WORDS:
        return Value("string")
    if key == "cid" or (is_parquet and _count_depth(kind) <= {"atomic_numbers": 1, "positions": 2}[key]):
        return kind
    return COORDINATES[key]


def _count_depth(kind: Any) -> int:
    """Return how deeply lists are nested; 9, more than any column allows, if they do not hold numbers."""
    depth = 0
    while not isinstance(kind, Value):
        if not hasattr(kind, "feature"):
            return 9
        kind, depth = kind.feature, depth + 1
    return depth if depth and re.match("u?int|float", kind.dtype) else 9


# ---------------------------------------------------------------------------------------------------------------- rows


def _generate_rows(
    path: str, size: int, mtime_ns: int, encoding: str, wants_text: bool, versions: tuple, features: Features
) -> Iterator[dict[str, Any]]:
    """Yield the rows of a file. `datasets` hashes all arguments, so a changed file or setting is read again."""
    file = Path(path)
    is_text = find_format(file) != ".parquet"
    for number, row in enumerate(read_file_rows(file, lambda names: [name for name in names if name], encoding)):
        named = name_cells(f"row {number}", row)
        try:
            made = _make_standard_cells(named, _check(named, wants_text), features)
        except RecordError as error:
            yield dict.fromkeys(features) | {ROW_FAULT: _name_fault(error)}
            continue
        names = _name_standard_columns(file, row.cells)
        own = {name: row.cells.get(names.get(name, name)) for name in features}
        own = {name: _read_cell(cell, features[name]) if is_text else cell for name, cell in own.items()}
        yield own | made | {ROW_FAULT: None}


def _name_fault(error: RecordError) -> str:
    """Return the reason with its details, or only the details if they contain the whole reason."""
    if not error.detail or "…" in error.reason:
        return error.detail or error.reason
    return f"{error.reason} ({error.detail})"


def _check(row: Row, wants_text: bool) -> CheckedRow:
    """Check a row with `check_row`.

    Raises:
        RecordError: the row is faulty, or has neither a structure nor coordinates.
    """
    checked = check_row(row, wants_text)
    if checked.molecule is None and checked.geometry is None:
        reason = "its molecule is given only by a CID" if "cid" in row.cells else NO_STRUCTURE
        raise RecordError(row.record_id, reason)
    return checked


def _make_standard_cells(row: Row, checked: CheckedRow, features: Features) -> dict[str, Any]:
    """Return the cells of the standard columns that are not taken over from the file unchanged."""
    cells = {key: row.cells.get(key) for key in WORDS if key in features}
    if cells.get("text"):
        cells["text"] = cells["text"].strip()
    if checked.geometry is None and MOL_BLOCK in cells:
        cells[MOL_BLOCK] = None  # a 2D drawing; the SMILES contains the same information
    if checked.molecule is not None:
        cells["smiles"] = _choose_smiles(row, checked.molecule)
    made = {name: feature for name, feature in COORDINATES.items() if features.get(name) == feature}
    if made:
        cells |= dict.fromkeys(made)
    if made and "positions" in row.cells:
        atomic_numbers, positions, energies = read_coordinates(row)
        if positions.ndim == 3:  # conformers; keep the one of lowest energy, as a build does
            positions = positions[0 if energies is None else int(np.argmin(energies))]
        given = {"atomic_numbers": atomic_numbers.tolist(), "positions": positions.tolist()}
        cells |= {name: given[name] for name in made}
    return cells


def _choose_smiles(row: Row, molecule: Compound | Chem.Mol) -> str:
    """Return the given SMILES, or the molecule's own if there is none or the InChIKey belongs to another structure."""
    if "smiles" not in row.cells:
        return molecule.smiles if isinstance(molecule, Compound) else Chem.MolToSmiles(molecule)
    given = read_smiles(row.cells)
    if not isinstance(molecule, Compound) or not {"inchi", MOL_BLOCK} & row.cells.keys():
        return given
    with rdBase.BlockLogs():
        return given if Chem.CanonSmiles(given) == molecule.smiles else molecule.smiles


def _read_cell(cell: str | None, feature: Any) -> Any:
    """Return the value of a text cell in the type of its column; None if it is missing."""
    if cell is None or is_missing(cell) or not isinstance(feature, Value):
        return None
    return KINDS[feature.dtype](cell.strip() if feature.dtype != "string" else cell)
