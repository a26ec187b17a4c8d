"""The files of one split, row group by row group, to what is found in them."""

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

UNREAD = "text_raw"  # nothing is asked of it


class Part(NamedTuple):
    """A row group of a file, the unit of work. `first_row`: its first row in the file."""

    file: Path
    row_group: int
    first_row: int


def examine_files(files: list[Path], config: str, run: Callable) -> Findings:
    """What is found in a split's files.

    Args:
        run: `map`, or what does the same in several processes.
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
    """Why the columns of a file cannot be measured; nothing if they can."""
    schema = read_schema(file)
    required = REQUIRED + REQUIRED_WITH_TEXT if config in PAIR_SPLITS else REQUIRED
    missing = [f"the file has no column {name}; it is not measured" for name in required if name not in schema.names]
    return missing + [
        f"{name} is {schema.field(name).type}, not numbers in lists; the file is not measured"
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
    """What is found in the rows of a row group."""
    found, row = Findings(), part.first_row
    config, split = part.file.parts[-2], part.file.name.rsplit("-", 3)[0]
    columns = [name for name in read_schema(part.file).names if name != UNREAD]
    for batch in read_batches(part.file, columns, [part.row_group]):
        keys = enumerate(batch["inchikey"].to_pylist(), start=row)
        ids = np.array([f"{config}/{part.file.name} row {index}, {key}" for index, key in keys], object)
        examine_batch(found, batch, ids, split)
        row += batch.num_rows
    return found
