"""Split a large JSON array of objects into the text of its objects, in constant memory and without parsing them."""

import gzip
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

CHUNK = 2**18  # bytes read at a time
LONGEST = 2**23  # bytes of an object; records of PubChemQC have up to 50 kB
CLOSING_LINE = re.compile(rb"\n    \}")
NEXT_BRACE = re.compile(rb'[^{}"]*+(?:"(?:[^"\\]|\\.)*+"[^{}"]*+)*+([{}])')  # skips strings


def read_objects(file: Path) -> Iterator[str]:
    """Yield the text of the objects of a file, which may be gzipped.

    Raises:
        ValueError: the file is truncated, broken or not a JSON array. Its complete objects are yielded first.
    """
    opened, count = gzip.open if file.suffix == ".gz" else open, 0
    with opened(file, "rb") as stream:
        try:
            for record in split_array(stream):
                yield record.decode("utf-8", "replace")  # a broken string costs its record at most
                count += 1
        except (OSError, EOFError, ValueError, zlib.error) as error:
            remedy = "delete it and fetch it again"
            raise ValueError(f"{file}: truncated or broken after {count} records ({error}); {remedy}") from error


def split_array(stream: BinaryIO) -> Iterator[bytes]:
    """Yield the objects of a JSON array of objects, in constant memory.

    Anything else before an object is yielded with it, so that parsing the object fails.

    Raises:
        ValueError: the stream is truncated or not an array. Its complete objects are yielded first.
    """
    buffer, start = _read(stream), 0
    if not buffer.lstrip().startswith(b"["):
        raise ValueError("it does not begin with [")
    end_of = _find_end_by_line if re.match(rb"\[\r?\n    \{\r?\n", buffer) else _find_end_by_depth
    while True:
        while (end := end_of(buffer, start)) is not None:
            yield buffer[start:end].lstrip(b"[, \t\r\n")
            start = end
        if len(buffer) - start > LONGEST:
            raise ValueError(f"a record is longer than {LONGEST} bytes")
        if not (chunk := _read(stream)):
            break
        buffer, start = buffer[start:] + chunk, 0
    if buffer[start:].strip(b"[ \t\r\n") != b"]":
        raise ValueError("it does not end with ]")


def _read(stream: BinaryIO) -> bytes:
    return stream.read1(CHUNK)  # unlike `read`, it does not lose data when a gzip file is truncated


def _find_end_by_line(buffer: bytes, start: int) -> int | None:
    """Find the end of the next record in the format of the mirror's shards: a line of four spaces and `}`.

    This is safe and ten times as fast: nested objects are indented more, and JSON strings have no raw line breaks.
    """
    closing = CLOSING_LINE.search(buffer, start)
    return closing and closing.end()


def _find_end_by_depth(buffer: bytes, start: int) -> int | None:
    """Find the end of the next record in any format of the array."""
    depth = 0
    while brace := NEXT_BRACE.match(buffer, start):
        start, depth = brace.end(), depth + (1 if brace[1] == b"{" else -1)
        if depth <= 0:
            return start
    return None
