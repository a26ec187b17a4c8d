"""A user's table as a `datasets.Dataset`: the rows that a build would take, and why it would not take the others."""

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

FORMAT = 1  # of the rows; another number makes `datasets` read every table again
SPLIT = "train"
ROW_FAULT = "row_fault"
WORDS = ("text", "smiles", "inchi", "inchikey", "inchikey14", "name", MOL_BLOCK)  # standard columns of text
COORDINATES = {"atomic_numbers": List(Value("int64")), "positions": List(List(Value("float64")))}
STANDARD = (*WORDS, "cid", *COORDINATES)  # columns that have these names whatever the file calls them

WHOLE_NUMBER = re.compile(r"[+-]?(?:0|[1-9]\d{0,17})", re.ASCII)  # a leading zero makes an id of it
NUMBER = re.compile(
    r"[+-]?(?:(?:0|[1-9]\d{0,17})(?:\.\d*)?(?:e[+-]?\d+)?|\.\d+(?:e[+-]?\d+)?|inf(?:inity)?)", re.ASCII | re.IGNORECASE
)
TRUTH = {"true": True, "false": False}
# By the names that `datasets` has for types, how a cell is read.
KINDS = {"int64": int, "float64": float, "bool": lambda cell: TRUTH[cell.lower()], "string": str}


def load_table(path: str, split: str, columns: Sequence[str] = (), encoding: str = "utf-8") -> Dataset:
    """The rows of a table, read by the builder's own reader and kept in the cache of `datasets`.

    Args:
        path: a Parquet, CSV, TSV or SDF file.
        split: "train" or slices of it, as `load_dataset` takes them.
        columns: that are needed, by their standard or their own names; with `text` among them, a row without a text is
            faulty.
        encoding: of a text file.
    Returns:
        the columns of `STANDARD` that the file has under any of its aliases, `smiles` also from another structure; all
        others under their own names; and `row_fault`, for which a row cannot be used and is null elsewhere, beginning
        with the reason that a build's quarantine gives.
    Raises:
        ValueError: naming the file; it is missing, broken, has no rows or has no such split.
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
            f"{path} is a table, which has the one split 'train', and {split!r} is none of it ({error}); name slices, "
            "such as train[:90%] and train[90%:], and for no validation --validation_split none"
        ) from error
    return concatenate_datasets([rows.select(range(part.from_ or 0, _find_end(part, rows))) for part in slices])


def _find_end(part: Any, rows: Dataset) -> int:
    return len(rows) if part.to is None else part.to


# ------------------------------------------------------------------------------------------------------------- columns


def _tell_kinds(file: Path, encoding: str) -> tuple[dict[str, Any], int]:
    """The columns of a file, each with its type as `datasets` has it, and the number of its rows."""
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
    return {name: Value(kind or "string") for name, kind in kinds.items() if name}, num_rows


def _read_parquet_features(file: Path) -> tuple[dict[str, Any], int]:
    try:
        with pq.ParquetFile(file) as table:
            schema = table.schema_arrow
            for place, column in enumerate(schema):
                if pa.types.is_dictionary(column.type):  # of which `datasets` knows nothing
                    schema = schema.set(place, column.with_type(column.type.value_type))
            return dict(Features.from_arrow_schema(schema)), table.metadata.num_rows
    except FileNotFoundError as error:
        raise ValueError(f"there is no file {file}; check the path") from error
    except (pa.ArrowException, OSError) as error:
        raise ValueError(f"{file}: broken or truncated ({error}); write or fetch it again") from error


def _widen(kind: str | None, cell: str) -> str:
    """The kind of a column that has been of a kind so far and has a further cell."""
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
    """The columns of the rows: `STANDARD` ones in the place of the file's own, which stay where they are asked for."""
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
    """What a file calls the columns of `STANDARD` that it has."""
    return {key: name for key, name in find_columns(file, found, ()).items() if key in STANDARD}


def _choose_feature(key: str, kind: Any, is_parquet: bool) -> Any:
    """Of a standard column; coordinates of Parquet keep their type if they are lists of numbers or of three numbers."""
    if key in WORDS:
        return Value("string")
    if key == "cid" or (is_parquet and _count_depth(kind) <= {"atomic_numbers": 1, "positions": 2}[key]):
        return kind
    return COORDINATES[key]


def _count_depth(kind: Any) -> int:
    """Of lists within lists; more than any, if they hold no numbers."""
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
    """The rows of a file; by the other arguments `datasets` knows whether what it keeps is still what is asked for."""
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
    """The reason and its details, which alone say all where the reason leaves particulars out."""
    if not error.detail or "…" in error.reason:
        return error.detail or error.reason
    return f"{error.reason} ({error.detail})"


def _check(row: Row, wants_text: bool) -> CheckedRow:
    """See `check_row`.

    Raises:
        RecordError: there is no molecule either.
    """
    checked = check_row(row, wants_text)
    if checked.molecule is None and checked.geometry is None:
        reason = "its molecule is given by a CID alone" if "cid" in row.cells else NO_STRUCTURE
        raise RecordError(row.record_id, reason)
    return checked


def _make_standard_cells(row: Row, checked: CheckedRow, features: Features) -> dict[str, Any]:
    """The cells of standard columns, as far as they are not the file's own."""
    cells = {key: row.cells.get(key) for key in WORDS if key in features}
    if cells.get("text"):
        cells["text"] = cells["text"].strip()
    if checked.geometry is None and MOL_BLOCK in cells:
        cells[MOL_BLOCK] = None  # a drawing, of which the SMILES tells as much
    if checked.molecule is not None:
        cells["smiles"] = _choose_smiles(row, checked.molecule)
    made = {name: feature for name, feature in COORDINATES.items() if features.get(name) == feature}
    if made:
        cells |= dict.fromkeys(made)
    if made and "positions" in row.cells:
        atomic_numbers, positions, energies = read_coordinates(row)
        if positions.ndim == 3:  # conformers, of which a build keeps that of lowest energy
            positions = positions[0 if energies is None else int(np.argmin(energies))]
        given = {"atomic_numbers": atomic_numbers.tolist(), "positions": positions.tolist()}
        cells |= {name: given[name] for name in made}
    return cells


def _choose_smiles(row: Row, molecule: Compound | Chem.Mol) -> str:
    """The SMILES as it is given, unless there is none or another structure is that of the InChIKey."""
    if "smiles" not in row.cells:
        return molecule.smiles if isinstance(molecule, Compound) else Chem.MolToSmiles(molecule)
    given = read_smiles(row.cells)
    if not isinstance(molecule, Compound) or not {"inchi", MOL_BLOCK} & row.cells.keys():
        return given
    with rdBase.BlockLogs():
        return given if Chem.CanonSmiles(given) == molecule.smiles else molecule.smiles


def _read_cell(cell: str | None, feature: Any) -> Any:
    """A cell of text as its column has it; None where it is missing."""
    if cell is None or is_missing(cell) or not isinstance(feature, Value):
        return None
    return KINDS[feature.dtype](cell.strip() if feature.dtype != "string" else cell)
