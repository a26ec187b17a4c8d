"""Split tables too large for memory into windows: ranges of a column's values that are processed one at a time."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pyarrow as pa

WINDOW = 1000  # distinct values of the column


def make_window_bounds(values: np.ndarray) -> np.ndarray:
    """Return the first value of each window except the first window.

    Args:
        values: distinct values, ascending.
    """
    return values[WINDOW::WINDOW]


def name_window(index: int) -> str:
    """Return the name of a window's file or part."""
    return f"{index:06d}"


def write_windows(tables: Iterable[pa.Table], column: str, bounds: np.ndarray, folder: Path) -> None:
    """Write the rows of tables to one file per window, in their original order.

    Every window has a file, even without rows, so a missing file is not taken for an empty window. The files contain
    consecutive Arrow record batches without a schema. They can therefore be appended to, and not all are open at once.

    Args:
        tables: tables with the same schema; only one at a time is in memory.
        column: column of integers or strings, of the type of `bounds`.
        bounds: bounds by `make_window_bounds`.
        folder: folder of the files.
    """
    for index in range(len(bounds) + 1):
        (folder / name_window(index)).touch()
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
    """Return the rows of one window; the table is empty if the window has no rows."""
    batches = []
    with pa.OSFile(str(folder / name_window(index))) as file:
        while file.tell() < file.size():
            batches.append(pa.ipc.read_record_batch(pa.ipc.read_message(file), schema))
    return pa.Table.from_batches(batches, schema).combine_chunks()


def read_column(table: pa.Table, column: str, dtype: np.dtype) -> np.ndarray:
    """Return a column without nulls as an array; strings become fixed-width bytes, which saves memory."""
    values = table.column(column)
    if dtype.kind == "S":
        return np.asarray(values.cast(pa.binary()).to_numpy(zero_copy_only=False), dtype=dtype)
    return values.to_numpy().astype(dtype)
