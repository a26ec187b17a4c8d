"""Split files of molecules into records of text, and detect the format of files and texts."""

import os
import re
from collections.abc import Iterator
from itertools import chain, islice
from typing import NamedTuple

from .molecule_checks_geomclip import MoleculeError
from .text_files_geomclip import COMPRESSED, UTF8, TextFileError, describe_undecoded, open_text
from .xyz_geomclip import count_lines, is_atom, is_count, starts_record

ENDINGS = {".sdf": "SDF", ".sd": "SDF", ".mol": "SDF", ".mol2": "MOL2", ".xyz": "XYZ"}
FOREIGN = {  # extensions of files that are not supported and not SMILES either, and the remedy
    **dict.fromkeys((".smi", ".smiles", ".ism"), "pass its SMILES one by one"),
    **dict.fromkeys((".csv", ".tsv", ".parquet", ".txt", ".xlsx", ".json"), "pass its molecules one by one"),
    **dict.fromkeys((".pdb", ".ent", ".pdbqt"), "convert it to SDF, which has the bond orders that PDB lacks"),
    **dict.fromkeys((".cif", ".mmcif", ".mcif"), "convert one molecule to SDF, without its unit cell"),
    **dict.fromkeys((".rxn", ".rdf"), "pass the molecules of the reaction one by one"),
    **dict.fromkeys((".cdx", ".cdxml", ".mrv", ".cml", ".mae", ".maegz", ".gjf", ".log", ".out"), "convert it to SDF"),
    **dict.fromkeys((".zip", ".tar", ".tgz", ".bz2", ".xz", ".gz"), "unpack it"),
}
NUM_FIRST_LINES = 100  # used to detect a file's format
RECORD_END = "$$$$"
STRUCTURE_END = "M  END"
TRUNCATED = "fetch or write it again"
MOL2_START, MOL2_ATOMS = "@<TRIPOS>MOLECULE", "@<TRIPOS>ATOM"
EXTENDED_XYZ = re.compile(r"\b(?:Properties|Lattice)\s*=", re.IGNORECASE)
VERSION = re.compile(r"V[23]000", re.IGNORECASE)
ATOM_LINE = re.compile(r"(?:\s*-?\d+\.\d+){3}\s+[A-Za-z]")  # the fifth line of a mol block
PDB = re.compile(r"^(?:ATOM  |HETATM)", re.MULTILINE)
CIF = re.compile(r"^(?:data_|_cell_|_atom_site)", re.MULTILINE)


class Record(NamedTuple):
    """A record of a file, without its separator, and the numbers of its first and last line.

    `fault` says what is wrong with the record, "" if nothing is. Its molecule may be invalid all the same.
    """

    text: str
    first_line: int
    last_line: int
    fault: str = ""


class RecordText(str):
    """The text of a record that knows its place in the file, for error messages.

    Attributes: `path`, `first_line` and `last_line`.
    """

    path, first_line, last_line = "", 1, 1

    @classmethod
    def of(cls, record: Record, path: str) -> "RecordText":
        """Build the text of a record of the file at `path`."""
        text = cls(record.text)
        text.path, text.first_line, text.last_line = path, record.first_line, record.last_line
        return text

    @property
    def place(self) -> str:
        """File and lines of the record."""
        return f"{self.path}, {name_lines(self.first_line, self.last_line)}"


def name_lines(first: int, last: int) -> str:
    """Describe a range of lines in words."""
    return f"line {first}" if first == last else f"lines {first} to {last}"


# ------------------------------------------------------------------------------------------------------------- formats


def find_file_format(path: str | os.PathLike) -> str | None:
    """Return the format of a file from its extension; None for an unknown extension."""
    name = os.fsdecode(path).lower().removesuffix(COMPRESSED)
    return ENDINGS.get(os.path.splitext(name)[1])


def refuse_foreign_file(path: str | os.PathLike) -> None:
    """Raise a MoleculeError if the extension is that of a file format that is not supported."""
    name = os.fsdecode(path).lower()
    ending = os.path.splitext(name)[1]
    if ending in FOREIGN and find_file_format(path) is None:
        rule = f"{ending} files are not supported, only {', '.join(ENDINGS)}, also with {COMPRESSED}"
        raise MoleculeError(rule, FOREIGN[ending])


def tell_format(text: str) -> str:
    """Detect whether text of several lines is SDF, MOL2 or XYZ.

    Raises:
        MoleculeError: it is in none of these formats; names the actual format if it is recognised.
    """
    lines = text.splitlines()
    if len(lines) > 1 and is_count(lines[0]) and EXTENDED_XYZ.search(lines[1]):  # its columns can be anything
        return "XYZ"
    if MOL2_START in text:
        return "MOL2"
    if text.lstrip().startswith(("$RXN", "$RDFILE")):
        raise MoleculeError("it is a reaction", "pass its molecules one by one")
    # The search starts at the third line, because the second line of XYZ may be anything.
    if (
        any(VERSION.search(line) for line in lines[2:])
        or f"\n{STRUCTURE_END}" in text
        or (len(lines) > 4 and ATOM_LINE.match(lines[4]))
    ):
        return "SDF"
    first = next((line.split() for line in lines if line.strip()), [""])
    if is_count(first[0]):
        return "XYZ"
    if PDB.search(text) or CIF.search(text):
        name = "PDB" if PDB.search(text) else "CIF"
        raise MoleculeError(f"it is {name} text, which is not supported", "convert it to SDF")
    raise MoleculeError(
        "it is neither SDF, MOL2 nor XYZ text", "pass one of these, or a SMILES or InChI on a single line"
    )


# ------------------------------------------------------------------------------------------------------------- records


def read_molecules(path: str | os.PathLike, encoding: str = UTF8) -> Iterator[str | MoleculeError]:
    """Yield the molecules of an SDF, MOL2 or XYZ file one by one, as text that `read_molecule` takes.

    A damaged record is yielded as a MoleculeError, which `read_molecule` raises. Indices are thus preserved, and a
    damaged record does not affect the others.

    Args:
        path: file with one of the extensions in `ENDINGS`, in upper or lower case, optionally gzipped.
        encoding: encoding of the file; a byte order mark is skipped.
    Raises:
        MoleculeError: the file cannot be read.
    """
    name = os.fsdecode(path)
    for record in read_records(path, encoding):
        if record.fault:
            rule, _, remedy = record.fault.partition("; ")
            yield MoleculeError(rule, remedy, name)
        else:
            yield RecordText.of(record, name)


def read_records(path: str | os.PathLike, encoding: str = UTF8) -> Iterator[Record]:
    """Yield the records of a file. A damaged record names its lines, and reading resumes at the next separator.

    The format is detected from the first lines, and taken from the extension only if they do not show it.

    Raises:
        MoleculeError: the extension is unknown, or the file cannot be read.
    """
    if find_file_format(path) is None:
        refuse_foreign_file(path)
        raise MoleculeError(
            "the file's extension is unknown",
            f"use one of {', '.join(ENDINGS)}, also with {COMPRESSED}",
            os.fsdecode(path),
        )
    try:
        with open_text(path, encoding) as lines:
            first_lines = [*islice(lines, NUM_FIRST_LINES)]
            split = SPLITTERS[_tell_format_of(first_lines) or find_file_format(path)]
            for record in split(enumerate(chain(first_lines, lines), start=1)):
                yield _check_record(record, encoding)
    except TextFileError as error:
        rule, _, remedy = str(error).rpartition("; ")
        raise MoleculeError(rule, remedy) from error


def _tell_format_of(first_lines: list[str]) -> str | None:
    try:
        return tell_format("".join(first_lines))
    except MoleculeError:
        return None


def _check_record(record: Record, encoding: str) -> Record:
    fault = record.fault or describe_undecoded(record.text, record.first_line, encoding)
    if not fault and "\n" not in record.text.strip():  # a single line would be read as a SMILES
        fault = f"line {record.first_line}: there is no structure here; drop it"
    return record._replace(fault=fault)


def _make_record(lines: list[tuple[int, str]], fault: str = "") -> Record:
    first, last = lines[0][0], lines[-1][0]
    return Record(
        "".join(line for _, line in lines), first, last, f"{name_lines(first, last)}: {fault}" if fault else ""
    )


def _split_sdf(lines: Iterator[tuple[int, str]]) -> Iterator[Record]:
    record: list[tuple[int, str]] = []
    for number, line in lines:
        if line.startswith(RECORD_END):
            yield _finish_sdf(record or [(number, "")])
            record = []
        else:
            record.append((number, line))
    if any(line.strip() for _, line in record):
        yield _finish_sdf(record, is_ended=False)


def _finish_sdf(record: list[tuple[int, str]], is_ended: bool = True) -> Record:
    """Make a record that ends at `$$$$`, or at the end of the file, where it must be visibly complete."""
    ends = [place for place, (_, line) in enumerate(record) if line.startswith(STRUCTURE_END)]
    if len(ends) > 1:
        return _make_record(record, f"{len(ends)} structures without a {RECORD_END} line between them; add it")
    if is_ended:
        return _make_record(record)
    if not ends:
        return _make_record(record, f"the file ends within a structure, before {STRUCTURE_END}; {TRUNCATED}")
    rest = [line.strip() for _, line in record[ends[0] + 1 :]]
    if any(rest) and rest[-1]:  # a data item ends with a blank line
        return _make_record(record, f"the file ends within data items, before {RECORD_END}; {TRUNCATED}")
    return _make_record(record)


def _split_mol2(lines: Iterator[tuple[int, str]]) -> Iterator[Record]:
    record: list[tuple[int, str]] = []
    for number, line in lines:
        if line.startswith(MOL2_START) and record:
            yield from _finish_mol2(record)
            record = []
        record.append((number, line))
    yield from _finish_mol2(record)


def _finish_mol2(record: list[tuple[int, str]]) -> Iterator[Record]:
    if not any(line.strip() and not line.startswith("#") for _, line in record):  # comments before the first
        return
    text = "".join(line for _, line in record)
    if not text.startswith(MOL2_START):
        yield _make_record(record, f"there is no {MOL2_START} line before it; add it")
    elif text.count(MOL2_ATOMS) > 1:
        yield _make_record(record, f"several molecules without a {MOL2_START} line between them; add it")
    else:
        yield _make_record(record)


def _split_xyz(lines: Iterator[tuple[int, str]]) -> Iterator[Record]:
    """Split XYZ text at atom counts; a record with a wrong count ends at the next line that is a count.

    Atoms beyond the count stay in the record, so that it is refused.
    """
    record: list[tuple[int, str]] = []
    for number, line in lines:
        if record and line.strip() and _ends_xyz([text for _, text in record[:2]], len(record), line):
            yield _finish_xyz(record)
            record = []
        if record or line.strip():
            record.append((number, line))
    if record:
        yield _finish_xyz(record)


def _ends_xyz(start: list[str], number: int, line: str) -> bool:
    """Return whether a line belongs to the next record; `start` has the first two of the `number` lines of this one."""
    if number == 1 and starts_record(start[0]):  # the line is the comment, which may be anything
        return False
    is_full = starts_record(start[0]) and number >= count_lines(*start)
    return starts_record(line) or (is_full and not is_atom(line, start[1]))


def _finish_xyz(record: list[tuple[int, str]]) -> Record:
    if starts_record(record[0][1]):
        return _make_record(record)
    return _make_record(record, "there is no atom count before it; add it")


SPLITTERS = {"SDF": _split_sdf, "MOL2": _split_mol2, "XYZ": _split_xyz}
