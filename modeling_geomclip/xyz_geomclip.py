"""Read XYZ text (plain, extended and QM9's raw form) into atomic numbers and positions.

This is our own reader, because RDKit and ASE both read "0,5" as 0, and neither reads QM9's files or names faulty lines.
Source: libAtoms, https://github.com/libAtoms/extxyz (extended XYZ); Ramakrishnan et al., Sci. Data 2014, Table 2 (QM9).
"""

import re
from itertools import takewhile
from typing import NamedTuple

import numpy as np

from .molecule_checks_geomclip import ELEMENTS, MoleculeError

ATOMIC_NUMBERS = {symbol: number for number, symbol in enumerate(ELEMENTS, start=1)} | {"D": 1, "T": 1}
GHOSTS = ("bq", "gh", "x", "xx", "du", "q", "lp", "vac", "*")  # symbols of centres without a nucleus
COUNT = re.compile(r"\s*\+?[0-9]{1,9}\s*")
LABEL = re.compile(r"([A-Za-z]{1,2})\d*")
LINE_END = re.compile(r"\r\n|\r|\n")  # `str.splitlines` splits at other characters, too
GHOST = re.compile(r"@.+|gh\(.*\)|[a-z]{1,2}\d*:|[a-z]{1,2}-bq|bq[a-z]{1,2}", re.I)  # Psi4, ORCA, Gaussian, NWChem
NUMBER = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+))(?:(?:[eEdD]|\*\^)([+-]?\d+))?")
SETTING = re.compile(r"""(\w+)\s*=\s*("[^"]*"|'[^']*'|\[[^\]]*\]|\{[^}]*\}|\S+)""")
PLAIN = "species:S:1:pos:R:3"
QM9_COMMENT = re.compile(r"gdb\s*\d+")
NUM_QM9_LINES = 3  # after the atoms: frequencies, SMILES, InChI
BOHR = ("bohr", "au", "a.u.")
UNITS = (*BOHR, "angstrom", "angstroms")
LONGEST_SHOWN = 40


class Columns(NamedTuple):
    """Indices of the columns of the element and of the first of three coordinates."""

    species: int
    position: int


PLAIN_COLUMNS = Columns(0, 1)


def is_count(line: str) -> bool:
    """Return whether a line is a single whole number, which begins a record."""
    return COUNT.fullmatch(line) is not None


def starts_record(line: str) -> bool:
    """Return whether a line is an atom count, alone or with a unit of length."""
    cells = line.split()
    return bool(cells) and is_count(cells[0]) and (len(cells) == 1 or cells[1].lower() in UNITS)


def count_lines(first: str, comment: str) -> int:
    """Return the number of lines of a record from its first two lines, including the lines that QM9 adds."""
    return 2 + int(first.split()[0]) + (NUM_QM9_LINES if QM9_COMMENT.match(comment.strip()) else 0)


def is_atom(line: str, comment: str = "") -> bool:
    """Return whether a line is an atom, in the columns that the comment of its record names."""
    try:
        _read_atom(line, 0, _read_comment(comment))
    except MoleculeError:
        return False
    return True


def read_xyz(text: str) -> tuple[np.ndarray, np.ndarray]:
    """Read one record of XYZ text.

    Elements are symbols in any case, D, T, labels such as C12, or atomic numbers. Further columns are ignored.
    Exponents of Fortran (1.0D-3) and QM9 (1.0*^-3) and decimal commas are accepted.

    Returns:
        Atomic numbers (atoms,) int64 and positions (atoms, 3) float64, Å.
    Raises:
        MoleculeError: a line is invalid (names the line, counted from 1, and the fault), the text holds more than one
            record, or the molecule is periodic.
    """
    lines = LINE_END.split(text.rstrip("\r\n"))
    start = len([*takewhile(lambda line: not line.strip(), lines)])
    number = _read_count(lines, start)
    if number == 0:
        raise MoleculeError("it has no atoms", "drop it")
    comment = lines[start + 1] if len(lines) > start + 1 else ""
    columns = _read_comment(comment)
    atoms = lines[start + 2 : start + 2 + number]
    if len(atoms) < number:
        given = f"line {start + 1} says {number} atoms, but {len(atoms)} lines follow the comment line"
        raise MoleculeError(given, "add the missing lines; the second line is a comment")
    _check_rest(lines, start + 2 + number, QM9_COMMENT.match(comment.strip()) is not None)
    if columns == PLAIN_COLUMNS:
        _refuse_other_columns([line.split() for line in atoms], start + 3)
    read = [_read_atom(line, start + 3 + place, columns) for place, line in enumerate(atoms)]
    return np.array([element for element, _ in read]), np.array([position for _, position in read])


def _read_count(lines: list[str], start: int) -> int:
    first = lines[start].split() if start < len(lines) else []
    if not first or not starts_record(lines[start]):
        shown = _shorten(lines[start]) if first else "missing"
        rule = f"line {start + 1} of XYZ text must be the number of atoms, but it is {shown}"
        raise MoleculeError(rule, "pass XYZ text as atom count, comment and lines of 'symbol x y z'")
    if first[1:] and first[1].lower() in BOHR:
        raise MoleculeError(f"line {start + 1} says Bohr", "multiply the coordinates by 0.529177 to get Å")
    return int(first[0])


def _check_rest(lines: list[str], start: int, is_qm9: bool) -> None:
    rest = [place for place in range(start, len(lines)) if lines[place].strip()]
    if not rest or (is_qm9 and len(rest) <= NUM_QM9_LINES and not is_count(lines[rest[0]])):
        return
    if any(starts_record(lines[place]) for place in rest):
        raise MoleculeError("it holds several XYZ records", "pass read_molecules(path), which yields them one by one")
    raise MoleculeError(
        f"line {rest[0] + 1} ({_shorten(lines[rest[0]])}) follows the last atom",
        "correct the number of atoms or drop the line",
    )


# -------------------------------------------------------------------------------------------------------- comment line


def _read_comment(comment: str) -> Columns:
    """Return the columns that the comment of extended XYZ names, otherwise those of plain XYZ.

    Raises:
        MoleculeError: the atoms are periodic, or the comment does not name the columns of elements and positions.
    """
    settings = {name.lower(): value.strip("\"'[]{}") for name, value in SETTING.findall(comment)}
    if not settings.keys() & {"properties", "lattice", "pbc"}:
        return PLAIN_COLUMNS
    has_lattice = bool(settings.get("lattice", "").strip())
    periods = re.findall(r"[TtFf10]\w*", settings.get("pbc", "T T T" if has_lattice else ""))
    if any(period[0] in "Tt1" for period in periods):
        raise MoleculeError(
            "it is periodic, and distances across the cell would be lost", 'write pbc="F F F" if it is not'
        )
    return _find_columns(settings.get("properties", PLAIN))


def _find_columns(properties: str) -> Columns:
    fields = properties.split(":")
    try:
        widths = [int(width) for width in fields[2::3]]
    except ValueError:
        widths = []
    if not widths or min(widths) < 1 or len(widths) * 3 != len(fields):
        raise MoleculeError(f"Properties={properties} does not have the form name:type:columns", f"write {PLAIN}")
    places = {name.lower(): sum(widths[:place]) for place, name in enumerate(fields[::3])}
    species = next((name for name in ("species", "element", "symbol", "z", "numbers") if name in places), None)
    position = next((name for name in ("pos", "positions") if name in places), None)
    if species is None or position is None:
        lacking = "species" if species is None else "pos"
        raise MoleculeError(
            f"Properties={properties} does not name {lacking}", f"write {PLAIN}, with further columns after it"
        )
    if (width := widths[[name.lower() for name in fields[::3]].index(position)]) != 3:
        raise MoleculeError(f"Properties={properties} gives {position} {width} columns", "give it 3")
    return Columns(places[species], places[position])


# --------------------------------------------------------------------------------------------------------------- atoms


def _read_atom(line: str, number: int, columns: Columns) -> tuple[int, list[float]]:
    cells = line.split()
    if len(cells) <= max(columns.species, columns.position + 2):
        rule = f"line {number} ({_shorten(line)}) is not an atom with three coordinates"
        raise MoleculeError(rule, "write 'symbol x y z', separated by white space")
    element = _read_element(cells[columns.species], number)
    return element, [_read_number(cell, number) for cell in cells[columns.position : columns.position + 3]]


def _refuse_other_columns(rows: list[list[str]], number: int) -> None:
    """Refuse plain XYZ with another column between the element and x: an index, a charge, a mass or a flag.

    Args:
        rows: cells of the lines of atoms.
        number: line number of the first atom.
    """
    if min(len(row) for row in rows) < 5:
        return
    counts_atoms = len(rows) > 2 and [row[0] for row in rows] == [str(place + 1) for place in range(len(rows))]
    is_whole = all(row[1].lstrip("+-").isdigit() for row in rows)
    has_points = all("." in cell for row in rows for cell in row[2:5])
    if counts_atoms or (is_whole and has_points) or _is_of_the_element(rows):
        rule = f"line {number} and the lines after it have a column between the element and x"
        raise MoleculeError(rule, "write 'symbol x y z', or name the columns with Properties=")


def _is_of_the_element(rows: list[list[str]]) -> bool:
    """Return whether the second column is a nuclear charge or mass: one value per element, not below its number."""
    values: dict[str, set[str]] = {}
    for row in rows:
        values.setdefault(row[0].lower(), set()).add(row[1])
    if len(values) < 2 or any(len(found) > 1 or not NUMBER.fullmatch(*found) for found in values.values()):
        return False
    return all(float(*found) >= ATOMIC_NUMBERS.get(symbol.capitalize(), 999) for symbol, found in values.items())


def _read_element(cell: str, number: int) -> int:
    if cell.lower().rstrip("0123456789") in GHOSTS or GHOST.fullmatch(cell):
        raise MoleculeError(f"line {number}: {cell!r} is a ghost atom, which has no nucleus", "leave it out")
    if cell.isascii() and cell.isdigit():
        if len(cell) > 3 or not 1 <= int(cell) <= len(ELEMENTS):
            raise MoleculeError(f"line {number}: {_shorten(cell)} is not an atomic number", f"use 1 to {len(ELEMENTS)}")
        return int(cell)
    label = LABEL.fullmatch(cell)
    symbol = label.group(1).capitalize() if label else ""
    if symbol not in ATOMIC_NUMBERS:
        raise MoleculeError(f"line {number}: {_shorten(cell)} is not an element", "use its symbol or atomic number")
    return ATOMIC_NUMBERS[symbol]


def _read_number(cell: str, line: int) -> float:
    found = NUMBER.fullmatch(cell.replace(",", ".") if cell.count(",") == 1 and "." not in cell else cell)
    if found is None:
        comma = " (commas do not separate columns)" if "," in cell else ""
        raise MoleculeError(
            f"line {line}: {_shorten(cell)} is not a number{comma}", "write coordinates in Å, such as -1.25"
        )
    return float(f"{found.group(1)}e{found.group(2) or 0}")


def _shorten(text: str) -> str:
    text = " ".join(text.split())
    return repr(text if len(text) <= LONGEST_SHOWN else f"{text[: LONGEST_SHOWN - 1]}…")
