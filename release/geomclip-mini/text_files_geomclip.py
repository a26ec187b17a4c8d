"""Open text files of any encoding, so that a line that cannot be decoded does not affect the others.

All text files are opened here. This module needs only the standard library.
"""

import codecs
import gzip
import io
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

UTF8 = "utf-8"
COMPRESSED = ".gz"
UNDECODED = re.compile("[\ud800-\udfff]")  # what `surrogateescape` makes of an undecodable byte (PEP 383)
BYTE_ORDER_MARKS = {
    codecs.BOM_UTF32_LE: "utf-32",  # before UTF-16, because it begins with the mark of UTF-16
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
    codecs.BOM_UTF8: UTF8,
}


class TextFileError(ValueError):
    """A text file cannot be read; names the file and the remedy."""


@contextmanager
def open_text(path: str | os.PathLike, encoding: str = UTF8, newline: str | None = None) -> Iterator[TextIO]:
    """Open a text file for reading, gzipped or not, and skip its byte order mark.

    Bytes that cannot be decoded become lone surrogates, which `describe_undecoded` finds. They thus affect only their
    own record, not the whole file.

    Args:
        encoding: encoding of the file, by any name that Python knows.
        newline: as for `open`; "" keeps line ends as they are, as the csv module requires.
    Raises:
        TextFileError: the file cannot be opened, is named .gz but not gzipped, is truncated, or has the byte order mark
            of another encoding. Names the file. Reading within the block can raise it, too.
    """
    name = os.fsdecode(path)
    _check_encoding(name, encoding)
    try:
        _check_byte_order_mark(name, codecs.lookup(encoding).name)
        encoding = "utf-8-sig" if codecs.lookup(encoding).name == UTF8 else encoding
        opened = gzip.open if name.lower().endswith(COMPRESSED) else open
        with opened(name, "rt", encoding=encoding, errors="surrogateescape", newline=newline) as lines:
            yield lines
    except UnicodeError as error:  # of multi-byte encodings
        raise TextFileError(f"{name} is not in {encoding} ({error}); pass the encoding it was written in") from error
    except FileNotFoundError as error:
        raise TextFileError(f"there is no file {name}; check the path") from error
    except OSError as error:
        raise TextFileError(f"{name} cannot be read ({error.strerror or error}); check the path") from error
    except (EOFError, gzip.zlib.error) as error:
        raise TextFileError(f"{name} is truncated or damaged ({error}); fetch or write it again") from error


def _check_encoding(name: str, encoding: str) -> None:
    try:
        io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    except (LookupError, ValueError) as error:  # ValueError: null characters in it
        raise TextFileError(f"{name}: there is no encoding {encoding!r}; use one such as utf-8 or cp1252") from error
    if "\0" in name:
        raise TextFileError(f"{name!r} is not a path, because it has a null character; check the path")


def _check_byte_order_mark(name: str, given: str) -> None:
    opened = gzip.open if name.lower().endswith(COMPRESSED) else open
    with opened(name, "rb") as file:
        start = file.read(4)
    for mark, encoding in BYTE_ORDER_MARKS.items():
        if start.startswith(mark):
            if given not in (encoding, f"{encoding}-sig"):
                raise TextFileError(f"{name} begins as {encoding.upper()} text; pass the encoding {encoding}")
            return


def describe_undecoded(text: str, first_line: int = 1, encoding: str = UTF8) -> str:
    """Describe the first byte of a text that could not be decoded, its line and the remedy; return "" if all could.

    Args:
        text: as read with `open_text`.
        first_line: number of the text's first line in the file.
        encoding: encoding that the file was read with.
    """
    found = UNDECODED.search(text)
    if found is None:
        return ""
    line = first_line + text.count("\n", 0, found.start())
    code = ord(found.group())
    byte = f"byte 0x{code - 0xDC00:02x}" if 0xDC80 <= code <= 0xDCFF else f"U+{code:04X}"
    return (
        f"line {line} holds {byte}, which is not valid {encoding}; pass the encoding it was written in, such as cp1252"
    )
