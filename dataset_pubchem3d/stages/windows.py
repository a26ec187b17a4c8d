"""Tables too large for memory, cut into windows: ranges of a sorted column that are worked on one at a time."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pyarrow as pa

WINDOW = 1000  # distinct values of the column


def make_window_bounds(values: np.ndarray) -> np.ndarray:
    """Where the windows start, the first one aside.

    Args:
        values: distinct and ascending.
    """
    return values[WINDOW::WINDOW]


def name_window(index: int) -> str:
    """Name of a window's file or part."""
    return f"{index:06d}"


def write_windows(tables: Iterable[pa.Table], column: str, bounds: np.ndarray, folder: Path) -> None:
    """Deal the rows of tables to one file a window, rows of a window in the order in which they come.

    The files hold Arrow record batches one after another without a schema, so that they can be added to and need not
    all be open at once.

    Args:
        tables: of equal schema; one at a time is in memory.
        column: integers or strings, of the kind that `bounds` holds.
    """
    for table in tables:
        if len(table) == 0:
            continue
        values = read_column(table, column, bounds.dtype)
        window = np.searchsorted(bounds, values, side="right")
        order = np.argsort(window, kind="stable")
        table, window = table.take(pa.array(order)), window[order]
        starts = np.flatnonzero(np.diff(window, prepend=-1))
        for start, end in zip(starts, np.append(starts[1:], len(window))):
            with open(folder / name_window(window[start]), "ab") as file:
                for batch in table.slice(start, end - start).combine_chunks().to_batches():
                    file.write(batch.serialize())


def read_window(folder: Path, index: int, schema: pa.Schema) -> pa.Table:
    """The rows of one window; none if no row fell into it."""
    path = folder / name_window(index)
    if not path.exists():
        return schema.empty_table()
    batches = []
    with pa.OSFile(str(path)) as file:
        while file.tell() < file.size():
            batches.append(pa.ipc.read_record_batch(pa.ipc.read_message(file), schema))
    return pa.Table.from_batches(batches, schema).combine_chunks()


def read_column(table: pa.Table, column: str, dtype: np.dtype) -> np.ndarray:
    """A column without nulls as a flat array: strings as fixed-width bytes, so that they take no Python objects."""
    values = table.column(column)
    if dtype.kind == "S":
        return np.asarray(values.cast(pa.binary()).to_numpy(zero_copy_only=False), dtype=dtype)
    return values.to_numpy().astype(dtype)
