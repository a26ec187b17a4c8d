"""Read the Parquet files of a built folder in small batches."""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from ..pubchem3d import list_split_files

BATCH_ROWS = 1024


def list_data_files(folder: Path) -> dict[str, dict[str, list[Path]]]:
    """List the files of each config and each split with rows, `default` first.

    Raises:
        FileNotFoundError: there are no files, or files of a split are missing.
    """
    configs = sorted((path.name for path in folder.glob("data/*/")), key=lambda name: (name != "default", name))
    found = {config: list_split_files(folder, config) for config in configs or ["default"]}
    for files in chain.from_iterable(splits.values() for splits in found.values()):
        stated = int(files[-1].stem.rsplit("-", 1)[1])
        if len(files) != stated:
            raise FileNotFoundError(f"{files[-1]}: only {len(files)} of {stated} files exist; build the folder again")
    return found


def read_schema(file: Path) -> pa.Schema:
    """Read the schema of a file.

    Raises:
        ValueError: the file cannot be read.
    """
    with name_unreadable(file):
        return pq.read_schema(file)


def read_batches(file: Path, columns: list[str], row_groups: list[int] | None = None) -> Iterator[pa.RecordBatch]:
    """Read the rows of some row groups, or of all.

    Raises:
        ValueError: the file cannot be read.
    """
    with name_unreadable(file), pq.ParquetFile(file) as parquet:
        yield from parquet.iter_batches(BATCH_ROWS, row_groups=row_groups, columns=columns)


@contextmanager
def name_unreadable(file: Path) -> Iterator[None]:
    """Turn errors that Arrow raises in the block into a ValueError that names the file."""
    try:
        yield
    except (OSError, pa.ArrowInvalid) as error:
        raise ValueError(f"{file} cannot be read ({error}); build the folder again") from error
