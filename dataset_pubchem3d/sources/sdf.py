"""Read SDF files: their records, data items and coordinates.

Source: BIOVIA, CTfile Formats (2020), chapters 2 to 6. RDKit reads structures and coordinates. This module splits the
file into records and reads the data items, lazily and even for structures that RDKit refuses.
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
    """Yield the records of an SDF in order, without their `$$$$` lines.

    Args:
        file: plain or gzipped (.gz) file in UTF-8, or an open text stream, such as a member of an archive. A byte that
            is not UTF-8 invalidates only its record, which `read_sdf_geometry` and `check_decoded` refuse.
    Raises:
        OSError: the file cannot be opened.
        ValueError: the file is truncated or broken; the message names it. A last record without `$$$$` is accepted if
            nothing follows its structure; if data items follow, the file counts as truncated.
    """
    if not isinstance(file, Path):
        yield from _split_records(file, getattr(file, "name", "SDF stream"))
        return
    opened = gzip.open if file.suffix == ".gz" else open
    with opened(file, "rt", encoding="utf-8-sig", errors="surrogateescape") as lines:
        yield from _split_records(lines, file)


def read_sdf_tags(record: str) -> dict[str, str]:
    r"""Return the data items of a record by name, with lines joined by "\n"; empty for a record without `M  END`."""
    items = record.replace("\r\n", "\n").partition(STRUCTURE_END)[2]
    return {name: value.rstrip("\n") for name, value in DATA_ITEM.findall(items)}


def read_sdf_geometry(record_id: str, block: str) -> tuple[np.ndarray, np.ndarray]:
    """Read the atoms and coordinates of a record or mol block (V2000 or V3000) as written, hydrogens included.

    Returns:
        Atomic numbers (atoms,) int64 and positions (atoms, 3) float64, Å.
    Raises:
        RecordError: a byte is not UTF-8, RDKit cannot read the block, it has no atoms, it is 2D (whatever its second
            line says), or its distances are impossible.
    """
    # Imported here because it loads transformers, except in workers.
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
    """Check that a record is valid UTF-8.

    Raises:
        RecordError: a byte is not UTF-8.
    """
    try:
        record.encode()
    except UnicodeEncodeError as error:
        line = record.count("\n", 0, error.start) + 1
        byte = ord(record[error.start]) - 0xDC00
        detail = f"byte 0x{byte:02x} in line {line} of the record"
        raise RecordError(record_id, "a byte is not UTF-8", detail) from error


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
            f"{name}: its last record ({start!r}) does not end with {RECORD_END}, so the file is truncated; "
            f"delete the file and fetch it again, or, if the record is complete, add a line {RECORD_END}"
        )
