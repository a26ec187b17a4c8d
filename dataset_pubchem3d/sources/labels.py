"""Properties: a user's own table of structures and columns to predict, as in MoleculeNet."""

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
    """A table (Parquet, CSV, TSV or SDF) whose rows have labels and a SMILES, an InChI or the structure of an SDF.

    A missing label (an empty cell, NaN, NA, N/A, None, null, a dash or an Excel error) becomes null. A molecule without
    coordinates gets an RDKit conformer.

    Args:
        labels: columns to predict. They contain numbers; yes and no are 1 and 0, or true and false.
        units: unit of each label, "" for no unit; empty if no label has a unit.
        method: level of theory of the table's geometries, if it has no column `geometry_method`.
        seed: seed of the conformers.
    """

    name: ClassVar[str] = "labels"
    about: ClassVar[str] = "molecules and labels of a table that the builder of this folder provided."
    license: ClassVar[str] = "not stated"
    labels: tuple[str, ...] = ()
    units: tuple[str, ...] = ()
    method: str = "not stated"
    seed: int = 42

    def __post_init__(self):
        if len(set(self.labels)) != len(self.labels):
            raise ValueError(f"recipe: labels are {', '.join(self.labels)}; name each label once")
        if taken := [label for label in self.labels if label in {column.name for column in MOLECULE_COLUMNS}]:
            raise ValueError(f"recipe: label {taken[0]!r} is the name of a standard column; rename the label")
        if self.units and len(self.units) != len(self.labels):
            raise ValueError(f"recipe: {len(self.units)} units for {len(self.labels)} labels; give one unit per label")

    @property
    def property_columns(self) -> tuple[Column, ...]:
        """One column per label."""
        named = zip(self.labels, self.units or ("",) * len(self.labels))
        return tuple(Column(label, Value("float64"), unit, "Label of the table, or null.") for label, unit in named)

    def read_records(self, folder: Path) -> Iterator[Row]:
        """Yield the rows, numbered from 0 across all files.

        Raises:
            ValueError: no labels are named; or a file lacks a structure or a label, is broken or has an unknown
                format, and the message names the file.
        """
        if not self.labels:
            raise ValueError(f"source {self.name}: no labels; name the columns to predict")
        return read_rows(self.list_files(folder), (STRUCTURE,), self.labels, self.encoding)

    def identify(self, raw: Row) -> Identity:
        """Return the InChIKey of the row's structure; see `GeometrySource.identify`."""
        return Identity(inchikey=self.parse_compound(raw).inchikey)

    def parse_compound(self, raw: Row) -> Compound:
        """Parse the structure of the row; see `PropertySource.parse_compound`."""
        compound = read_compound(raw)
        if compound is None:
            raise RecordError(raw.record_id, "no structure")
        return compound

    def parse_geometry(self, raw: Row) -> Geometry:
        """Return the coordinates of the row, or an RDKit conformer if it has none."""
        if (given := check_row(raw).geometry) is not None:
            return given
        conformers = RDKitConformers(seed=self.seed)
        made = conformers.parse_geometry({"inchikey": raw.record_id, "smiles": self.parse_compound(raw).smiles})
        method = made.method or conformers.method
        return replace(made, geometry_id=raw.record_id, method=method, license=conformers.license)

    def parse_properties(self, raw: Row) -> dict[str, float | None]:
        """Parse the labels.

        Raises:
            RecordError: a label is not a finite number.
        """
        return {label: self._read_label(raw, label) for label in self.labels}

    def _read_label(self, raw: Row, label: str) -> float | None:
        value = get_cells(raw).get(make_label_key(label))
        try:
            number = None if value is None else float(TRUTH.get(str(value).strip().lower(), value))
        except (TypeError, ValueError) as error:
            raise RecordError(raw.record_id, "a label is not a number", f"{label}: {str(value)[:40]}") from error
        if number is not None and not math.isfinite(number):
            raise RecordError(raw.record_id, "a label is not finite", f"{label}: {value}")
        return number
