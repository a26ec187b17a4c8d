"""Read CSV and TSV files with real-world errors: each record is complete, or has a fault.

The grammar is RFC 4180, with a delimiter detected from the header. An error costs only its own record, where Python's
`csv` would merge the record with its neighbours or reject the file. Errors are text after a closing quote, a NUL,
bytes that cannot be decoded, and a number of cells that differs from the header's. A quote that is never closed costs
only the line where it opens; otherwise the rest of the file would be lost.
"""

import re
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

TAB, QUOTE, NUL = "\t", '"', "\x00"
DELIMITERS = (",", ";", TAB)  # the first of several that fit a header equally well is used
DECLARED = re.compile(r'"?sep=(.)"?[;,\t]*', re.IGNORECASE)  # first line that Excel writes
QUOTED = re.compile(r'[^"]*(?:""[^"]*)*')  # up to the closing quote or the end
LONGEST_RECORD = 2**27  # characters; the positions of a large molecule make a long cell
LINE_ENDS = "\r\n"
UNDECODABLE_IN_NAME = "\N{REPLACEMENT CHARACTER}"
DAMAGED, UNFIT = "the row is damaged", "the row does not fit the header of its table"


class Fault(NamedTuple):
    """The fault of a record or row: a reason, in the same words for all records that have it, and details."""

    reason: str
    detail: str


class Record(NamedTuple):
    """A record: its first and last line in the file, counted from 1, and its cells, or the fault that replaces them."""

    first_line: int
    last_line: int
    cells: list[str]
    fault: Fault | None = None


class Lines:
    """The lines of a text, with their line ends; the lines read last can be given back and read again.

    Attributes:
        number: number of the line read last, counted from 1.
    """

    def __init__(self, lines: Iterable[str]):
        self._lines, self._returned, self.number = iter(lines), deque(), 0

    def read(self) -> str | None:
        """Return the next line; None at the end."""
        line = self._returned.popleft() if self._returned else next(self._lines, None)
        self.number += line is not None
        return line

    def give_back(self, lines: list[str]) -> None:
        """Give back the lines read last, in their order."""
        self._returned.extendleft(reversed(lines))
        self.number -= len(lines)


def read_delimited(
    file: Path, is_tsv: bool = False, encoding: str = "utf-8", known: Collection[str] = ()
) -> tuple[list[str], Iterator[Record]]:
    """Read the column names and the records of a file.

    Args:
        file: CSV or TSV file.
        is_tsv: whether the delimiter is a tab and quotation marks are ordinary characters.
        encoding: encoding of the file.
        known: known column names, in lower case, to choose the delimiter if several fit.
    Raises:
        ValueError: the file cannot be opened or decoded at all, or its header is broken; the message names the file.
            Iterating over the records raises it too.
    """
    records = _read_file(file, is_tsv, encoding, known)
    return next(records).cells, records


def _read_file(file: Path, is_tsv: bool, encoding: str, known: Collection[str]) -> Iterator[Record]:
    """Yield the header, then all records."""
    # Imported here because it loads transformers, which a build from other sources does not need.
    from modeling_geomclip.text_files_geomclip import UNDECODED, describe_undecoded, open_text

    def describe(text: str, first_line: int) -> str:
        return _describe_nul(text, first_line) or describe_undecoded(text, first_line, encoding)

    with open_text(file, encoding, newline="") as text:
        lines = Lines(text)
        delimiter, head = _read_head(file, lines, (TAB,) if is_tsv else DELIMITERS, not is_tsv, known)
        names = [UNDECODED.sub(UNDECODABLE_IN_NAME, name).strip() for name in head]
        while names and not names[-1]:
            names.pop()
        yield Record(lines.number, lines.number, names)
        yield from _split_records(lines, delimiter, not is_tsv, len(names), describe)


def _read_head(
    file: Path, lines: Lines, delimiters: tuple[str, ...], is_quoting: bool, known: Collection[str]
) -> tuple[str, list[str]]:
    """Return the delimiter that gives the most known column names, then the most cells, and the cells of the header."""
    line = _skip_blank_lines(lines)
    if line is not None and (declared := DECLARED.fullmatch(line.rstrip(LINE_ENDS))):
        delimiters, line = (declared[1],), _skip_blank_lines(lines)
    if line is None:
        return delimiters[0], []
    if NUL in line:
        raise ValueError(f"{file}: its header contains NUL characters; if it is UTF-16, pass the encoding utf-16")
    found = {}
    for delimiter in delimiters:
        taken, cells, fault = _take_record(lines, line, delimiter, is_quoting)
        num_known = sum(cell.strip().lower() in known for cell in cells)
        found[delimiter] = (not fault, num_known, len(cells)), taken, cells, fault
        lines.give_back(taken[1:])
    delimiter = max(delimiters, key=lambda delimiter: found[delimiter][0])
    (_, num_known, _), taken, cells, fault = found[delimiter]
    fault = fault or next((other[-1] for other in found.values() if other[-1] and not num_known), "")
    if fault:
        raise ValueError(f"{file}: its header is broken ({fault}); correct it")
    for _ in taken[1:]:
        lines.read()
    return delimiter, cells


def _skip_blank_lines(lines: Lines) -> str | None:
    while (line := lines.read()) is not None and not line.strip(" " + LINE_ENDS):
        pass
    return line


def _split_records(
    lines: Lines, delimiter: str, is_quoting: bool, num_columns: int, describe: Callable[[str, int], str]
) -> Iterator[Record]:
    """Yield all records; `describe` returns the damage of a text that starts in a given line, or ""."""
    while (line := _skip_blank_lines(lines)) is not None:
        first = lines.number
        taken, cells, fault = _take_record(lines, line, delimiter, is_quoting, num_columns)
        text = line if len(taken) == 1 else "".join(taken)
        while len(cells) > num_columns and not cells[-1].strip():
            cells.pop()
        if damage := describe(text, first) or fault:
            yield Record(first, lines.number, [], Fault(DAMAGED, damage))
        elif len(cells) != num_columns:
            place = f"line {first}" if first == lines.number else f"lines {first} to {lines.number}"
            detail = f"{_count(len(cells), 'cell')} in {place}, {_count(num_columns, 'column')}"
            yield Record(first, lines.number, [], Fault(UNFIT, detail))
        else:
            yield Record(first, lines.number, cells)


def _take_record(
    lines: Lines, line: str, delimiter: str, is_quoting: bool, num_columns: int | None = None
) -> tuple[list[str], list[str], str]:
    """Return the lines of the record that starts with a line, its cells, and the fault of its quotes, or "".

    A cell beyond the last column cannot continue on the next line, so that stray quotes do not join records.
    """
    if not is_quoting or QUOTE not in line:
        return [line], line.rstrip(LINE_ENDS).split(delimiter), ""
    first, taken, cells, place = lines.number, [line], [], 0
    while True:
        if line.startswith(QUOTE, place):
            opened, (line, place, cell) = lines.number, _take_quoted(lines, taken, place, len(cells) == num_columns)
            if cell is None or (line[place:].strip(LINE_ENDS) and not line.startswith(delimiter, place)):
                last = lines.number
                lines.give_back(taken[opened - first + 1 :])
                return taken[: opened - first + 1], [], _describe_quote(opened, last)
        else:
            end = line.find(delimiter, place)
            cell = line[place:].rstrip(LINE_ENDS) if end < 0 else line[place:end]
            place += len(cell)
        cells.append(cell)
        if not line.startswith(delimiter, place):
            return taken, cells, ""
        place += len(delimiter)


def _take_quoted(lines: Lines, taken: list[str], place: int, is_last_line: bool) -> tuple[str, int, str | None]:
    """Read the quoted cell that opens at `place` in the last line of `taken`; lines that it needs are added to `taken`.

    Returns:
        The line in which the quote closes, the place after the quote, and the cell; None if the quote is not closed.
    """
    line, parts, size, place = taken[-1], [], 0, place + 1
    while (end := QUOTED.match(line, place).end()) == len(line):
        parts.append(line[place:])
        size += len(line)
        following = None if is_last_line or size > LONGEST_RECORD else lines.read()
        if following is None:
            return line, end, None
        line, place = following, 0
        taken.append(line)
    parts.append(line[place:end])
    return line, end + 1, "".join(parts).replace(QUOTE * 2, QUOTE)


def _describe_quote(opened: int, last: int) -> str:
    if opened == last:
        return f"a quotation mark in line {opened} does not end its cell; double it, or quote the cell"
    return f"the quotation mark that opens in line {opened} is still open in line {last}; close or double it"


def _describe_nul(text: str, first_line: int) -> str:
    place = text.find(NUL)
    return "" if place < 0 else f"line {first_line + text.count(chr(10), 0, place)} contains a NUL character"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
