"""Scan the files of a split, one row group at a time."""

from collections.abc import Callable, Iterator
from itertools import accumulate
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from tqdm import tqdm

from ..publication.folder import PAIR_SPLITS
from .examine import GEOMETRY_LISTS, REQUIRED, REQUIRED_WITH_TEXT, examine_batch
from .files import name_unreadable, read_batches, read_schema
from .findings import Findings

UNREAD = "text_raw"  # not examined


class Part(NamedTuple):
    """A row group of a file, the unit of work. `first_row` is the index of its first row in the file."""

    file: Path
    row_group: int
    first_row: int


def examine_files(files: list[Path], config: str, run: Callable) -> Findings:
    """Examine the files of a split.

    Args:
        files: files of the split.
        config: config of the files.
        run: `map`, or an equivalent that uses several processes.
    Raises:
        ValueError: a file cannot be read.
    """
    whole, parts = Findings(), []
    for file in files:
        faults = find_column_faults(file, config)
        for fault in faults:
            whole.add_fault(fault, [f"{config}/{file.name}"])
        if not faults:
            parts += _list_parts(file)
    for found in tqdm(run(examine_part, parts), total=len(parts), desc=f"measuring {config}", unit=" row groups"):
        whole.add(found)
    return whole


def find_column_faults(file: Path, config: str) -> list[str]:
    """Return the reasons why the columns of a file cannot be measured; empty if they can."""
    schema = read_schema(file)
    required = REQUIRED + REQUIRED_WITH_TEXT if config in PAIR_SPLITS else REQUIRED
    missing = [f"the file has no column {name}; it is not measured" for name in required if name not in schema.names]
    return missing + [
        f"{name} is {schema.field(name).type}, not nested lists of numbers; the file is not measured"
        for name, depth in GEOMETRY_LISTS.items()
        if name in schema.names and not _is_nested_numbers(schema.field(name).type, depth)
    ]


def _is_nested_numbers(dtype: pa.DataType, depth: int) -> bool:
    while pa.types.is_list(dtype) or pa.types.is_fixed_size_list(dtype):
        dtype, depth = dtype.value_type, depth - 1
    return depth == 0 and (pa.types.is_floating(dtype) or pa.types.is_integer(dtype))


def _list_parts(file: Path) -> Iterator[Part]:
    with name_unreadable(file), pq.ParquetFile(file) as parquet:
        num_rows = [parquet.metadata.row_group(index).num_rows for index in range(parquet.num_row_groups)]
    for index, first_row in zip(range(len(num_rows)), accumulate(num_rows, initial=0)):
        yield Part(file, index, first_row)


def examine_part(part: Part) -> Findings:
    """Examine the rows of a row group."""
    found, row = Findings(), part.first_row
    config, split = part.file.parts[-2], part.file.name.rsplit("-", 3)[0]
    columns = [name for name in read_schema(part.file).names if name != UNREAD]
    for batch in read_batches(part.file, columns, [part.row_group]):
        keys = enumerate(batch["inchikey"].to_pylist(), start=row)
        ids = np.array([f"{config}/{part.file.name} row {index}, {key}" for index, key in keys], object)
        examine_batch(found, batch, ids, split)
        row += batch.num_rows
    return found
