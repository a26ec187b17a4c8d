"""Molecules with properties: anyone's own table of structures and columns to predict, as in MoleculeNet."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

from datasets import Value

from ..records import Compound, Geometry, Identity, RecordError
from ..schema import MOLECULE_COLUMNS, Column
from .base import PropertySource
from .rdkit_conformer import RDKitConformers
from .table import STRUCTURE, TableSource, check_row, get_cells, read_compound
from .table_files import Row, make_label_key, read_rows

TRUTH = {"true": 1.0, "false": 0.0}


@dataclass(frozen=True)
class LabelledMolecules(TableSource, PropertySource):
    """A table (Parquet, CSV, TSV or SDF) whose rows have a SMILES, an InChI or the structure of an SDF, and labels.

    A missing label (an empty cell, NaN, NA, N/A, None, null, a dash or an error of Excel) is null. A molecule without
    coordinates gets an RDKit conformer.

    Args:
        labels: the columns to predict, which hold numbers; yes or no is 1 or 0, true or false.
        units: unit of each, "" for none; none at all if left out.
        method: level of theory of the table's geometries where it has no column `geometry_method`.
        seed: of the conformers.
    """

    name: ClassVar[str] = "labels"
    about: ClassVar[str] = "molecules and labels of a table that the builder of this folder brought."
    license: ClassVar[str] = "not stated"
    labels: tuple[str, ...] = ()
    units: tuple[str, ...] = ()
    method: str = "not stated"
    seed: int = 42

    def __post_init__(self):
        if len(set(self.labels)) != len(self.labels):
            raise ValueError(f"recipe: labels are {', '.join(self.labels)}; name each once")
        if taken := [label for label in self.labels if label in {column.name for column in MOLECULE_COLUMNS}]:
            raise ValueError(f"recipe: every dataset has a column {taken[0]!r} of its own; rename the label")
        if self.units and len(self.units) != len(self.labels):
            raise ValueError(f"recipe: {len(self.units)} units for {len(self.labels)} labels; give one for each")

    @property
    def property_columns(self) -> tuple[Column, ...]:
        """A column a label."""
        named = zip(self.labels, self.units or ("",) * len(self.labels))
        return tuple(Column(label, Value("float64"), unit, "Label of the table, or null.") for label, unit in named)

    def read_records(self, folder: Path) -> Iterator[Row]:
        """The rows, numbered from 0 on through all files.

        Raises:
            ValueError: no labels are named; or naming the file: it lacks a structure or a label, is broken, or of a
                format that is not known.
        """
        if not self.labels:
            raise ValueError(f"source {self.name}: no labels; name the columns to predict")
        return read_rows(self.list_files(folder), (STRUCTURE,), self.labels, self.encoding)

    def identify(self, raw: Row) -> Identity:
        return Identity(inchikey=self.parse_compound(raw).inchikey)

    def parse_compound(self, raw: Row) -> Compound:
        compound = read_compound(raw)
        if compound is None:
            raise RecordError(raw.record_id, "no structure")
        return compound

    def parse_geometry(self, raw: Row) -> Geometry:
        """The coordinates of the row, else a conformer."""
        if (given := check_row(raw).geometry) is not None:
            return given
        conformers = RDKitConformers(seed=self.seed)
        made = conformers.parse_geometry({"inchikey": raw.record_id, "smiles": self.parse_compound(raw).smiles})
        method = made.method or conformers.method
        return replace(made, geometry_id=raw.record_id, method=method, license=conformers.license)

    def parse_properties(self, raw: Row) -> dict[str, float | None]:
        """The labels.

        Raises:
            RecordError: a label is no finite number.
        """
        return {label: self._read_label(raw, label) for label in self.labels}

    def _read_label(self, raw: Row, label: str) -> float | None:
        value = get_cells(raw).get(make_label_key(label))
        try:
            number = None if value is None else float(TRUTH.get(str(value).strip().lower(), value))
        except (TypeError, ValueError) as error:
            raise RecordError(raw.record_id, "a label is no number", f"{label}: {str(value)[:40]}") from error
        if number is not None and not math.isfinite(number):
            raise RecordError(raw.record_id, "a label is not finite", f"{label}: {value}")
        return number
