"""SDF: its records, their data items and their coordinates.

Source: BIOVIA, CTfile Formats (2020), chapters 2 to 6. Chemistry and coordinates are read by RDKit; only the splitting
into records and the data items are read here, so that they are lazy and survive structures that RDKit refuses.
"""

import gzip
import re
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

import numpy as np

from ..records import RecordError

RECORD_END = "$$$$"
TWO_DIMENSIONAL = "the coordinates are 2D"
STRUCTURE_END = "\nM  END"
DATA_ITEM = re.compile(r"^>.*?<(.+)>.*\n((?:.*\S.*(?:\n|\Z))*)", re.MULTILINE)


def read_sdf(file: Path | TextIO) -> Iterator[str]:
    """The records of an SDF in order, one at a time, without their `$$$$` line.

    Args:
        file: a plain or gzipped (.gz) file in UTF-8, or an open text stream, such as a member of an archive. A byte
            that is no UTF-8 costs its record, which `read_sdf_geometry` and `check_decoded` refuse.
    Raises:
        OSError: the file cannot be opened.
        ValueError: naming the file; it is truncated or broken. A last record without `$$$$` passes if
            nothing follows its structure; after data items the file is taken for truncated.
    """
    if not isinstance(file, Path):
        yield from _split_records(file, getattr(file, "name", "SDF stream"))
        return
    opened = gzip.open if file.suffix == ".gz" else open
    with opened(file, "rt", encoding="utf-8-sig", errors="surrogateescape") as lines:
        yield from _split_records(lines, file)


def read_sdf_tags(record: str) -> dict[str, str]:
    r"""The data items of a record by name; the lines of a value are joined by "\n". None without an `M  END`."""
    items = record.replace("\r\n", "\n").partition(STRUCTURE_END)[2]
    return {name: value.rstrip("\n") for name, value in DATA_ITEM.findall(items)}


def read_sdf_geometry(record_id: str, block: str) -> tuple[np.ndarray, np.ndarray]:
    """Atoms and coordinates of a record or mol block (V2000 or V3000) as they are written, hydrogens included.

    Returns:
        Atomic numbers (atoms,) int64 and positions (atoms, 3) float64, Å.
    Raises:
        RecordError: a byte is no UTF-8; RDKit cannot read it; it has no atoms; it is 2D, whatever its second line says;
            its distances are no molecule's.
    """
    # Here, as it imports transformers, which only the workers need that read geometries.
    from modeling_geomclip.molecules_geomclip import MoleculeError, read_mol_block

    check_decoded(record_id, block)
    try:
        geometry = read_mol_block(block)
    except MoleculeError as error:
        raise RecordError.of_molecule(record_id, error) from error
    if geometry is None:
        raise RecordError(record_id, TWO_DIMENSIONAL)
    return geometry


def check_decoded(record_id: str, record: str) -> None:
    """Raises: RecordError: the record holds a byte that is no UTF-8."""
    try:
        record.encode()
    except UnicodeEncodeError as error:
        line = record.count("\n", 0, error.start) + 1
        byte = ord(record[error.start]) - 0xDC00
        raise RecordError(record_id, "a byte is no UTF-8", f"byte 0x{byte:02x} in line {line} of the record") from error


def _split_records(lines: TextIO, name: str | Path) -> Iterator[str]:
    record: list[str] = []
    try:
        for line in lines:
            if line.startswith(RECORD_END):
                yield "".join(record)
                record = []
            else:
                record.append(line)
    except (OSError, EOFError, ValueError, zlib.error, tarfile.TarError) as error:
        raise ValueError(f"{name}: truncated or broken SDF ({error}); delete it and fetch it again") from error
    _, structure_end, rest = (text := "".join(record)).partition(STRUCTURE_END)
    if structure_end and not rest.strip():
        yield text
    elif text.strip():
        start = text.strip().splitlines()[0][:40]
        raise ValueError(
            f"{name}: its last record ({start!r}) does not end in {RECORD_END}, so it is truncated; "
            f"delete the file and fetch it again, or end a complete record by a line {RECORD_END}"
        )
