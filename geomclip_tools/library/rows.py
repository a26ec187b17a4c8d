"""The rows of an index: their columns, their form in Arrow, and the union of two rows of the same molecule."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from . import descriptors
from .substructures import PATTERN_BITS

KEY = "inchikey"
PRIMARY = {b"lance-schema:unenforced-primary-key": b"true"}
VECTOR, TEXT_VECTOR = "vector", "text_vector"
PATTERN = "pattern"  # bits that a molecule has if it contains a substructure that has them
HIDDEN = (VECTOR, TEXT_VECTOR, PATTERN)  # columns that no result shows
UNITED = ("names", "sources", "text", "columns")  # cells that a further source can change
NAMES = pa.list_(pa.string())
POSITIONS = pa.list_(pa.list_(pa.float32(), 3))
METADATA = b"geomclip"  # key of the table's metadata, JSON


def make_schema(size: int, metadata: Mapping[str, Any]) -> pa.Schema:
    """Return the schema of an index.

    Args:
        size: number of dimensions of the embeddings.
        metadata: what the rows were made with.
    """
    vector = pa.list_(pa.float16(), size)
    fields = [
        pa.field(KEY, pa.string(), nullable=False, metadata=PRIMARY),
        pa.field("smiles", pa.string()),
        pa.field("names", NAMES),
        pa.field("sources", NAMES),
        *(pa.field(name, kind) for name, kind in descriptors.TYPES.items()),
        pa.field("text", pa.string()),
        pa.field("columns", pa.string()),  # the user's own, as JSON
        pa.field("atomic_numbers", pa.list_(pa.uint8())),
        pa.field("positions", POSITIONS),  # Å
        pa.field(PATTERN, pa.binary(PATTERN_BITS // 8)),
        pa.field(VECTOR, vector),
        pa.field(TEXT_VECTOR, vector),
    ]
    return pa.schema(fields, {METADATA: json.dumps(metadata, ensure_ascii=False).encode()})


def unite(row: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """Return the union of two rows of a molecule: all names and sources, and otherwise `row` where it has a value."""
    lists = {name: list(dict.fromkeys([*row[name], *other[name]])) for name in ("names", "sources")}
    text_keys = ("text", TEXT_VECTOR)
    text = {key: (other if row.get("text") is None else row).get(key) for key in text_keys}
    return {**other, **row, **lists, **text, "columns": {**other["columns"], **row["columns"]}}


def make_table(rows: Sequence[Mapping[str, Any]], schema: pa.Schema) -> pa.Table:
    """Return rows as an Arrow table of a schema.

    Raises:
        ValueError: an embedding is not finite.
    """
    return pa.table([_make_column(field, [row.get(field.name) for row in rows]) for field in schema], schema=schema)


def read_rows(table: pa.Table) -> list[dict[str, Any]]:
    """Return the rows of a table, the inverse of `make_table`."""
    rows = table.to_pylist()
    return [row | {"columns": json.loads(row["columns"])} for row in rows]


def read_vectors(table: pa.Table, name: str = VECTOR) -> np.ndarray:
    """Return the embeddings of the molecules, or texts, of a table, (rows, size) float32, L2-normalised."""
    column = table[name].combine_chunks()
    vectors = column.flatten().to_numpy().reshape(len(table), column.type.list_size).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def _make_column(field: pa.Field, cells: list[Any]) -> pa.Array:
    if field.name == "columns":
        return pa.array([json.dumps(cell, ensure_ascii=False, default=str) for cell in cells], field.type)
    if field.name == "positions":
        flat = np.concatenate([np.reshape(cell, -1) for cell in cells]).astype(np.float32)
        offsets = np.cumsum([0, *map(len, cells)]).astype(np.int32)
        return pa.ListArray.from_arrays(offsets, pa.FixedSizeListArray.from_arrays(flat, 3), type=POSITIONS)
    if field.name in (VECTOR, TEXT_VECTOR):
        return _make_vectors(cells, field.type)
    return pa.array([cell.tolist() if isinstance(cell, np.ndarray) else cell for cell in cells], field.type)


def _make_vectors(cells: list[Any], kind: pa.DataType) -> pa.Array:
    is_missing = np.array([cell is None for cell in cells])
    empty = np.zeros(kind.list_size, np.float16)
    values = np.stack([empty if cell is None else np.asarray(cell) for cell in cells]).astype(np.float16)
    if not np.isfinite(values).all():
        row = int(np.flatnonzero(~np.isfinite(values).all(axis=1))[0])
        raise ValueError(f"the embedding of molecule {row} of a batch is not finite; check the model's weights")
    return pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), type=kind, mask=pa.array(is_missing))
