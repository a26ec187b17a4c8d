"""Queries as the page sends them, checked before anything is computed."""

import math
import reprlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import pyarrow as pa

from modeling_geomclip.molecule_files_geomclip import find_file_format

from ..library.descriptors import TYPES
from ..library.substructures import parse_smarts

LONGEST_TEXT = 10_000  # characters; the model reads some 250 tokens
LARGEST_MOLECULE = 200_000  # characters of a file or a SMILES
LONGEST_SMARTS = 500  # characters
MOST_RESULTS = 200
LARGEST_INTEGER = 32_767
RANGES = tuple(name for name in TYPES if name != "formula")  # columns that can be limited


class QueryError(ValueError):
    """A fault of a query, told to its author. Other errors may name files of the server, and are not."""


@dataclass(frozen=True, kw_only=True)
class Query:
    """A search.

    Attributes:
        text: what the molecules should be.
        molecule: SMILES or the content of a file whose nearest molecules are wanted.
        similar: InChIKey of a molecule of the index whose nearest molecules are wanted, instead of `molecule`.
        weight: weight of the molecule beside a text, in [0, 1].
        top: largest number of results.
        ranges: smallest and largest value of columns; None leaves an end open.
        substructure: SMARTS that the molecules must contain.
    """

    text: str = ""
    molecule: str = ""
    similar: str = ""
    weight: float = 0.5
    top: int = 12
    ranges: Mapping[str, tuple[float | None, float | None]] = field(default_factory=dict)
    substructure: str = ""

    @property
    def where(self) -> str | None:
        """The condition in SQL on the columns; made here, so that none comes from a browser."""
        conditions = []
        for name, (low, high) in self.ranges.items():
            conditions += [] if low is None else [f"{name} >= {_write_end(name, low, math.ceil)}"]
            conditions += [] if high is None else [f"{name} <= {_write_end(name, high, math.floor)}"]
        return " and ".join(conditions) or None


def _write_end(name: str, end: float, to_integer: Callable[[float], int]) -> str:
    """Return the end of a range in SQL, which compares a column of integers with integers only."""
    if pa.types.is_integer(TYPES[name]):
        return str(to_integer(min(max(end, -LARGEST_INTEGER), LARGEST_INTEGER)))
    return repr(end)


def read_query(given: Any) -> Query:
    """Check a query from a browser.

    Raises:
        QueryError: it is not one, too large, or empty.
    """
    if not isinstance(given, Mapping):
        raise QueryError("the query is not an object")
    if unknown := sorted(set(map(str, given)) - {each.name for each in fields(Query)}):
        raise QueryError(f"the query has unknown fields: {reprlib.repr(', '.join(unknown))}")
    text = _read_text(given, "text", LONGEST_TEXT)
    molecule = _read_text(given, "molecule", LARGEST_MOLECULE)
    similar = _read_text(given, "similar", 27)
    if not (text or molecule or similar):
        raise QueryError("enter a text or a molecule")
    if "\n" not in molecule and find_file_format(molecule):
        raise QueryError("this is the name of a file; choose the file itself, or paste its content")
    return Query(
        text=text,
        molecule=molecule,
        similar=similar,
        weight=_read_number(given, "weight", 0, 1),
        top=int(_read_number(given, "top", 1, MOST_RESULTS)),
        ranges=_read_ranges(given.get("ranges", {})),
        substructure=_read_smarts(given),
    )


def _read_text(given: Mapping[str, Any], name: str, longest: int) -> str:
    text = given.get(name, "")
    if not isinstance(text, str):
        raise QueryError(f"{name} must be a string")
    if len(text) > longest:
        raise QueryError(f"the {name} has {len(text):,} characters; at most {longest:,} are accepted")
    return text.strip() if "\n" not in text.strip() else text


def _read_smarts(given: Mapping[str, Any]) -> str:
    smarts = _read_text(given, "substructure", LONGEST_SMARTS)
    if smarts:
        try:
            parse_smarts(smarts)
        except ValueError as error:
            raise QueryError(str(error)) from error
    return smarts


def _read_number(given: Mapping[str, Any], name: str, low: float, high: float) -> float:
    value = given.get(name, getattr(Query, name))
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
        raise QueryError(f"{name} is {reprlib.repr(value)}; it must be a number from {low} to {high}")
    return value


def _read_ranges(given: Any) -> dict[str, tuple[float | None, float | None]]:
    if not isinstance(given, Mapping):
        raise QueryError("ranges is not an object")
    ranges = {}
    for name, ends in given.items():
        if name not in RANGES:
            raise QueryError(f"cannot filter by {reprlib.repr(name)}; choose one of {', '.join(RANGES)}")
        if not isinstance(ends, (list, tuple)) or len(ends) != 2:
            raise QueryError(f"the range of {name} must be [minimum, maximum]")
        ranges[name] = tuple(_read_end(name, end) for end in ends)
    return ranges


def _read_end(name: str, end: Any) -> float | None:
    if end is None:
        return None
    if isinstance(end, bool) or not isinstance(end, (int, float)) or not math.isfinite(end):
        raise QueryError(f"the limit {reprlib.repr(end)} of {name} is not a number")
    return float(end)
