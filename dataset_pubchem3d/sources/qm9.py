"""Geometries and properties: QM9 from the files of the PyPI package `qm9pack`.

Source: R. Ramakrishnan, P. O. Dral, M. Rupp, O. A. von Lilienfeld, Scientific Data 1, 140022 (2014). The package has
130,831 molecules. It lacks the 3,054 whose geometries do not match their SMILES.
"""

import ast
import csv
import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain, zip_longest
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from datasets import List, Value
from rdkit import Chem
from rdkit.rdBase import BlockLogs

from ..chemistry.elements import ATOMIC_NUMBERS
from ..chemistry.units import EV_PER_HARTREE
from ..records import Compound, Geometry, Identity, RecordError, check_geometry
from ..schema import Column
from .base import PropertySource, find_installed_folder

METHOD = "B3LYP/6-31G(2df,p)"
TABLES = ("qm9_part1.csv", "qm9_part2.csv", "qm9_part3.csv")
TENSORS = "qm9_polarizability.csv"
TENSOR_COLUMNS = ("A_xx", "A_xy", "A_yy", "A_xz", "A_yz", "A_zz")
FLOAT = Value("float64")

SCALARS = (  # in the order of the original archive
    Column("rotational_constant_a", FLOAT, "GHz", "Rotational constant A; 0 for most linear molecules."),
    Column("rotational_constant_b", FLOAT, "GHz", "Rotational constant B."),
    Column("rotational_constant_c", FLOAT, "GHz", "Rotational constant C."),
    Column("dipole_moment", FLOAT, "D", "Norm of the dipole moment."),
    Column("polarizability", FLOAT, "a0^3", "Isotropic polarizability."),
    Column("homo", FLOAT, "Hartree", "Energy of the highest occupied molecular orbital."),
    Column("lumo", FLOAT, "Hartree", "Energy of the lowest unoccupied molecular orbital."),
    Column("gap", FLOAT, "Hartree", "`lumo` minus `homo`."),
    Column("r2", FLOAT, "a0^2", "Electronic spatial extent, <R^2>."),
    Column("zpve", FLOAT, "Hartree", "Zero-point vibrational energy."),
    Column("u0", FLOAT, "Hartree", "Internal energy at 0 K."),
    Column("u298", FLOAT, "Hartree", "Internal energy at 298.15 K."),
    Column("h298", FLOAT, "Hartree", "Enthalpy at 298.15 K."),
    Column("g298", FLOAT, "Hartree", "Gibbs free energy at 298.15 K."),
    Column("cv", FLOAT, "cal/mol/K", "Heat capacity at 298.15 K and constant volume."),
)
SCALAR_COLUMNS = (
    "RotA_GHz",
    "RotB_GHz",
    "RotC_GHz",
    "Dipole_debye",
    "Polarizability_bohr3",
    "HOMO_au",
    "LUMO_au",
    "HOMO_LUMO_gap_au",
    "R2_bohr2",
    "ZPVE_au",
    "InternalEnergy_0K_au",
    "InternalEnergy_298K_au",
    "Enthalphy_298K_au",  # the package's spelling
    "GibbsFreeEnergy_298K_au",
    "Heatcapacity_Cv_cal_mol_K",
)
ATOM_ENERGIES = {  # Hartree, of free atoms, by atomic number; atomref.txt of the original archive
    "u0": {1: -0.500273, 6: -37.846772, 7: -54.583861, 8: -75.064579, 9: -99.718730},
    "u298": {1: -0.498857, 6: -37.845355, 7: -54.582445, 8: -75.063163, 9: -99.717314},
    "h298": {1: -0.497912, 6: -37.844411, 7: -54.581501, 8: -75.062219, 9: -99.716370},
    "g298": {1: -0.510927, 6: -37.861317, 7: -54.598897, 8: -75.079532, 9: -99.733544},
}
PROPERTIES = (
    *SCALARS,
    *(
        Column(f"{energy}_atom", FLOAT, "Hartree", f"Atomisation energy: `{energy}` minus that of the free atoms.")
        for energy in ATOM_ENERGIES
    ),
    Column(
        "polarizability_tensor",
        List(FLOAT, length=6),
        "a0^3",
        "Polarizability xx, xy, yy, xz, yz, zz, or null; its axes are not those of `positions`.",
    ),
    Column("mulliken_charges", List(FLOAT), "e", "Mulliken charge of each atom."),
    Column(
        "frequencies",
        List(FLOAT),
        "cm^-1",
        "Harmonic frequencies, 3N-6 or, for 5 linear molecules, 3N-5; negative if imaginary. As in the source, 334 "
        "molecules have two sets of values, one after the other, from two calculations.",
    ),
)


@dataclass(frozen=True)
class QM9(PropertySource):
    """QM9 from `qm9pack`. A raw record is a row of its tables, with the polarizability tensor; its cells are text.

    Args:
        path: folder of the package's tables; "" for the installed package.
    """

    name: ClassVar[str] = "qm9"
    about: ClassVar[str] = (
        "QM9 (Ramakrishnan et al., Scientific Data 2014, doi:10.1038/sdata.2014.22), B3LYP/6-31G(2df,p) ground "
        "states from the PyPI package `qm9pack`. Molecules have at most nine heavy atoms of C, N, O and F. Most of "
        "their InChIs lack stereochemistry; the geometry is then one of the possible stereoisomers. "
        "`conformer_energy` is U0, the internal energy at 0 K: the absolute electronic energy plus the zero-point "
        "vibrational energy."
    )
    method: ClassVar[str] = METHOD
    license: ClassVar[str] = "MIT (qm9pack); terms of the original QM9 archive not verified"
    property_columns: ClassVar[tuple[Column, ...]] = PROPERTIES

    def list_files(self, folder: Path) -> list[Path]:
        """List the tables; the polarizability tensors come last.

        Raises:
            ModuleNotFoundError: `qm9pack` is not installed.
            FileNotFoundError: a table is missing.
        """
        data = folder if self.path else find_installed_folder("qm9pack") / "data"
        files = [data / name for name in (*TABLES, TENSORS)]
        for file in files:
            if not file.is_file():
                raise FileNotFoundError(f"source {self.name}: {file} is missing; reinstall qm9pack")
        return files

    def read_records(self, folder: Path) -> Iterator[dict[str, str]]:
        """Yield the rows, ascending by Index.

        Raises:
            ValueError: a table is truncated, or the tables of molecules and of tensors do not match; the message names
                the file.
        """
        *tables, tensors = self.list_files(folder)
        molecules = chain.from_iterable(map(_read_rows, tables))
        for molecule, tensor in zip_longest(molecules, _read_rows(tensors), fillvalue={}):
            if molecule.get("XYZ_file") != tensor.get("XYZ_file"):
                raise ValueError(
                    f"{tensors}: has {tensor.get('XYZ_file')}, but the tables of molecules have "
                    f"{molecule.get('XYZ_file')}; a table is truncated, reinstall qm9pack"
                )
            yield molecule | tensor

    def identify(self, raw: dict[str, str]) -> Identity:
        """Return the InChIKey of QM9's original InChI. It often lacks stereochemistry, so several rows can share it."""
        return Identity(inchikey=read_inchikey(raw["Index"], raw["InChi"]))

    def parse_geometry(self, raw: dict[str, str]) -> Geometry:
        """Parse the conformer; its energy is U0, the internal energy at 0 K."""
        energy = _read_number(raw, "InternalEnergy_0K_au") * EV_PER_HARTREE
        return check_geometry(raw["Index"], _read_elements(raw), _read_numbers(raw, "XYZ_Ang"), [energy])

    def parse_properties(self, raw: dict[str, str]) -> dict[str, Any]:
        """Parse the values of `PROPERTIES`.

        Raises:
            RecordError: a cell cannot be read.
        """
        charges = _read_numbers(raw, "Mulliken_pop")
        if charges.shape != (len(_read_elements(raw)),):
            raise RecordError(raw["Index"], "numbers of atoms and charges differ", f"Mulliken_pop: {charges.shape}")
        scalars = {property.name: _read_number(raw, column) for property, column in zip(SCALARS, SCALAR_COLUMNS)}
        return {
            **scalars,
            **compute_atomisation_energies(scalars, _read_elements(raw)),
            "polarizability_tensor": [_read_number(raw, column) for column in TENSOR_COLUMNS],
            "mulliken_charges": charges.tolist(),
            "frequencies": _read_numbers(raw, "Harmonic_Freq_cmi").tolist(),
        }

    def parse_compound(self, raw: dict[str, str]) -> Compound:
        """Return the molecule; see `make_gdb_compound`."""
        return make_gdb_compound(raw["Index"], raw["InChi"], raw["SMILES"])


def make_gdb_compound(record_id: str, inchi: str, smiles: str) -> Compound:
    """Make the compound of a QM9 molecule, identified by its original InChI.

    The SMILES of QM9 have no stereochemistry. If the SMILES therefore differs from the InChI, `smiles` is written from
    the InChI.

    Raises:
        RecordError: RDKit cannot read the InChI or the SMILES.
    """
    inchikey = read_inchikey(record_id, inchi)
    with BlockLogs():
        mol = Chem.MolFromSmiles(smiles)
        if mol is None:
            raise RecordError(record_id, "RDKit cannot read the SMILES", smiles)
        if Chem.MolToInchiKey(mol) != inchikey:
            mol = Chem.MolFromInchi(inchi)
        if mol is None:
            raise RecordError(record_id, "RDKit cannot read the InChI", inchi)
    return Compound(inchikey, inchi, Chem.MolToSmiles(mol), mol.GetNumHeavyAtoms(), Chem.GetFormalCharge(mol))


def compute_atomisation_energies(scalars: dict[str, float], atomic_numbers: list[int]) -> dict[str, float]:
    """Compute `u0_atom`, `u298_atom`, `h298_atom` and `g298_atom`, in Hartree.

    Args:
        scalars: values of `SCALARS`.
        atomic_numbers: of all atoms, hydrogens included.
    """
    return {
        f"{energy}_atom": scalars[energy] - sum(of_atom[number] for number in atomic_numbers)
        for energy, of_atom in ATOM_ENERGIES.items()
    }


def read_inchikey(record_id: str, inchi: str) -> str:
    """Compute the InChIKey of an InChI.

    Raises:
        RecordError: the InChI is invalid.
    """
    with BlockLogs():
        inchikey = Chem.InchiToInchiKey(inchi)
    if not inchikey:
        raise RecordError(record_id, "not an InChI", inchi)
    return inchikey


def find_atomic_numbers(record_id: str, symbols: list[str]) -> list[int]:
    """Return the atomic numbers of element symbols.

    Raises:
        RecordError: a symbol is unknown.
    """
    try:
        return [ATOMIC_NUMBERS[symbol] for symbol in symbols]
    except (KeyError, TypeError) as error:
        raise RecordError(record_id, "an element symbol is unknown", str(error)) from error


def _read_rows(file: Path) -> Iterator[dict[str, str]]:
    with open(file, encoding="utf-8", newline="") as lines:
        rows = csv.DictReader(lines, strict=True)
        try:
            for row in rows:
                if None in row or row[rows.fieldnames[-1]] is None:
                    raise ValueError(f"line {rows.line_num} does not have {len(rows.fieldnames)} cells")
                yield row
        except (csv.Error, ValueError) as error:
            raise ValueError(f"{file}: broken or truncated ({error}); reinstall qm9pack") from error


def _read_elements(raw: dict[str, str]) -> list[int]:
    return find_atomic_numbers(
        raw["Index"], _read_cell(raw, "Elements", lambda cell: json.loads(cell.replace("'", '"')))
    )


def _parse_literal(cell: str) -> Any:
    try:
        return json.loads(cell)  # ten times as fast, but fails for numbers such as `0.` or `-7.E-6`
    except ValueError:
        return ast.literal_eval(cell)


def _read_cell(raw: dict[str, str], column: str, read: Callable[[str], Any]) -> Any:
    try:
        return read(raw[column])
    except (ValueError, SyntaxError, TypeError) as error:
        raise RecordError(raw["Index"], "a cell cannot be read", f"{column}: {raw[column][:40]!r}") from error


def _read_numbers(raw: dict[str, str], column: str) -> np.ndarray:
    numbers = _read_cell(raw, column, lambda cell: np.array(_parse_literal(cell), dtype=np.float64))
    _check_finite(raw, column, bool(np.isfinite(numbers).all()))
    return numbers


def _read_number(raw: dict[str, str], column: str) -> float:
    number = _read_cell(raw, column, float)
    _check_finite(raw, column, math.isfinite(number))
    return number


def _check_finite(raw: dict[str, str], column: str, is_finite: bool) -> None:
    if not is_finite:
        raise RecordError(raw["Index"], "a number is not finite", column)
