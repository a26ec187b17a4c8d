"""Write the rows of a table to a file, batch by batch."""

import csv
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TextIO

import pyarrow as pa
import pyarrow.parquet as pq

from .formats import flatten, parse_columns, write_record
from .rows import HIDDEN
from .store import MoleculeStore


def export_rows(store: MoleculeStore, output: Path, where: str | None = None) -> int:
    """Write all rows, or those that fulfil a condition in SQL, and return their number.

    Raises:
        ValueError: the ending is unknown, the condition is not valid, or there is no such row.
    """
    write = WRITERS.get(output.suffix.lower())
    if write is None:
        raise ValueError(f"{output} has the wrong ending; it must be one of {', '.join(WRITERS)}")
    num_rows = store.count(where)
    if num_rows == 0:
        condition = f" that fulfils {where!r}" if where else ""
        raise ValueError(f"the index has no molecule{condition}, so {output} is not written")
    output.parent.mkdir(parents=True, exist_ok=True)
    is_parquet = write is _write_parquet
    names = [name for name in store.schema.names if is_parquet or name not in HIDDEN]
    write(store.scan(names, where), output)
    return num_rows


def _write_parquet(batches: Iterator[pa.Table], output: Path) -> None:
    writer = None
    for batch in batches:
        writer = writer or pq.ParquetWriter(output, batch.schema)
        writer.write_table(batch)
    if writer is not None:
        writer.close()


def _write_text(write: Callable[[dict[str, Any], TextIO], None]) -> Callable[[Iterator[pa.Table], Path], None]:
    def write_all(batches: Iterator[pa.Table], output: Path) -> None:
        with output.open("w", encoding="utf-8", newline="") as file:
            for batch in batches:
                for row in batch.to_pylist():
                    write(row, file)

    return write_all


def _write_csv(batches: Iterator[pa.Table], output: Path) -> None:
    with output.open("w", encoding="utf-8", newline="") as file:
        writer = None
        for batch in batches:
            for row in map(flatten, batch.to_pylist()):
                if writer is None:
                    writer = csv.DictWriter(file, row)
                    writer.writeheader()
                writer.writerow(row)


def _write_json(row: dict[str, Any], file: TextIO) -> None:
    file.write(json.dumps(parse_columns(row), ensure_ascii=False) + "\n")


def _write_smiles(row: dict[str, Any], file: TextIO) -> None:
    name = row["names"][0] if row["names"] else row["inchikey"]
    file.write(f"{row['smiles']} {' '.join(name.splitlines())}\n")


WRITERS = {
    ".csv": _write_csv,
    ".jsonl": _write_text(_write_json),
    ".smi": _write_text(_write_smiles),
    ".sdf": _write_text(write_record),
    ".parquet": _write_parquet,
}
