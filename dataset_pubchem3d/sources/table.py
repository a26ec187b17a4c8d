"""Texts and geometries: a user's own table of texts, geometries or both, as Parquet, TSV, CSV or SDF.

TSV is read without quoting (a `"` is an ordinary character), the format of ChEBI-20 and similar data sets; CSV is read
with quoting (RFC 4180). A list in a text cell is JSON. `check_row` decides which rows are faulty, here and wherever a
table is read.
"""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
from rdkit import Chem
from rdkit.rdBase import BlockLogs

from ..chemistry.agreement import find_disagreement
from ..chemistry.identity import BLOCK, INCHIKEY, take_first_block
from ..records import Compound, Geometry, Identity, RecordError, Text, check_geometry
from .base import GeometrySource, Source, TextSource
from .sdf import TWO_DIMENSIONAL, read_sdf_geometry
from .table_files import GIVEN_TEXT, MOL_BLOCK, Row, list_column_keys, read_number_list, read_rows, undouble_backslashes
from .table_profile import profile_table

FORMS = {  # formats of structures, in order of preference, with their names and parsers
    "smiles": ("SMILES", Chem.MolFromSmiles),
    "inchi": ("InChI", Chem.MolFromInchi),
    MOL_BLOCK: ("mol block", Chem.MolFromMolBlock),
}
STRUCTURE = tuple(FORMS)
STANDARD_INCHI = "InChI=1S/"  # keys of other InChIs do not match standard keys
NO_POSITIONS = "no positions"
NO_STRUCTURE = "neither a structure nor a CID"


@dataclass(frozen=True)
class TableSource(Source):
    """Base class of the sources that are read from tables.

    Args:
        encoding: encoding of CSV, TSV and SDF files.
    """

    encoding: str = "utf-8"

    def list_files(self, folder: Path) -> list[Path]:
        """List the files; see `Source.list_files`."""
        if self.path and not folder.exists():
            raise FileNotFoundError(f"there is no file {folder}; check the path")
        return super().list_files(folder)


@dataclass(frozen=True)
class Table(TableSource, TextSource):
    """Texts of a table. Each row has a text and its molecule: a SMILES, an InChI, the structure of an SDF, or a CID.

    The first of these that a row has identifies the molecule. A CID alone is looked up in the recipe's source of
    structures.

    Args:
        with_geometries: whether the recipe also takes geometries from the table. A row with an unusable geometry is
            then refused here, and only once. Set by the recipe.
    """

    name: ClassVar[str] = "table"
    about: ClassVar[str] = (
        "texts of a table that the builder of this folder provided; only the builder knows their terms."
    )
    with_geometries: bool = False

    def read_records(self, folder: Path) -> Iterator[Row]:
        """Yield the rows, numbered from 0 across all files.

        Raises:
            ValueError: a file lacks a required column, is broken or has an unknown format; the message names the file.
        """
        return read_rows(self.list_files(folder), (("text",), (*STRUCTURE, "cid")), encoding=self.encoding)

    def parse_texts(self, raw: Row) -> list[Text]:
        """Return the text, stripped of leading and trailing whitespace.

        Raises:
            RecordError: see `check_row`; or the row has neither a structure nor a CID.
        """
        compound = check_row(raw, wants_text=True, wants_geometry=self.with_geometries, wants_compound=True).molecule
        cells, text, cid = raw.cells, read_text(raw), _read_whole_number(raw, "cid")
        if compound is None and cid is None:
            raise RecordError(raw.record_id, NO_STRUCTURE)
        given = cells.get(GIVEN_TEXT, cells["text"])
        return [
            Text(
                raw.record_id,
                text,
                cells.get("text_source", self.name),
                cid=cid,
                compound=compound,
                name=cells.get("name"),
                raw=None if text == given else given,
                kind=cells.get("text_kind"),
                source_id=cells.get("text_source_id"),
                url=cells.get("text_url"),
                license_url=cells.get("text_license_url"),
                anid=_read_whole_number(raw, "anid"),
            )
        ]

    def profile(self, folder: Path) -> dict[str, int]:
        """Return statistics of the table as given; see `profile_table`."""
        return profile_table(self.read_records(folder))


@dataclass(frozen=True)
class TableGeometry(TableSource, GeometrySource):
    """Geometries of a table.

    Each row has `atomic_numbers` and `positions` or, in an SDF, a 3D structure, and optionally `conformer_energy`, eV,
    one per conformer.

    Args:
        method: level of theory if the table has no column `geometry_method`.
        license: licence if the table has no column `geometry_license`.
        with_texts: whether the recipe also takes texts from the table. The source of texts then refuses unusable rows.
            Set by the recipe.
    """

    name: ClassVar[str] = "table"
    about: ClassVar[str] = "coordinates of a table that the builder of this folder provided."
    method: str = "not stated"
    license: str = "not stated"
    with_texts: bool = False

    def read_records(self, folder: Path) -> Iterator[Row]:
        """Yield the rows; see `Table.read_records`."""
        molecule, geometry = ("inchikey", *STRUCTURE, "cid"), (("atomic_numbers", MOL_BLOCK), ("positions", MOL_BLOCK))
        return read_rows(self.list_files(folder), (molecule, *geometry), encoding=self.encoding)

    def has_coordinates(self, folder: Path) -> bool:
        """Return whether any of the files has columns for coordinates."""
        files = self.list_files(folder)
        return any({"positions", MOL_BLOCK} & list_column_keys(file, self.encoding) for file in files)

    def identify(self, raw: Row) -> Identity:
        """Return the CID, and the InChIKey of the row or else of its structure.

        With `with_texts`, the identity is empty for a row without a geometry and for a row that the texts refuse.
        """
        if not self.with_texts:
            return _identify(raw)
        try:
            return Identity() if check_row(raw).geometry is None else _identify(raw)
        except RecordError:
            return Identity()

    def parse_geometry(self, raw: Row) -> Geometry:
        """Parse the conformers, with hydrogens as given.

        The positions in the row are flat (3 atoms), (atoms, 3) or (conformers, atoms, 3).

        Raises:
            RecordError: see `check_row`; or the row has no 3D coordinates.
        """
        geometry = read_geometry(raw) if self.with_texts else check_row(raw).geometry
        if geometry is None:
            raise RecordError(raw.record_id, TWO_DIMENSIONAL if MOL_BLOCK in raw.cells else NO_POSITIONS)
        return geometry


def _identify(raw: Row) -> Identity:
    cid, inchikey = _read_whole_number(raw, "cid"), _read_inchikey(raw)
    if (inchikey is None or len(inchikey) == BLOCK.itemsize) and (compound := read_compound(raw)):
        inchikey = compound.inchikey
    if cid is None and inchikey is None:
        raise RecordError(raw.record_id, "neither a structure nor an InChIKey nor a CID")
    return Identity(cid, inchikey)


# ------------------------------------------------------------------------------------------------------------- one row


class CheckedRow(NamedTuple):
    """The contents of a row: its molecule, as a compound if that was needed, and its geometry; None if missing."""

    molecule: Compound | Chem.Mol | None
    geometry: Geometry | None


def check_row(
    raw: Row, wants_text: bool = False, wants_geometry: bool = True, wants_compound: bool = False
) -> CheckedRow:
    """Check a row and refuse it if it cannot be used.

    Args:
        raw: the row.
        wants_text: whether the row must have a text.
        wants_geometry: whether to read its geometry, if it has one.
        wants_compound: whether to compute the InChI even without an InChIKey to compare it with.
    Raises:
        RecordError: there are too few or too many cells; the text is empty; the structure cannot be read or does not
            match the InChIKey; or the geometry is incomplete, broken or of another molecule than the structure.
    """
    if wants_text:
        read_text(raw)
    molecule = read_compound(raw) if _read_inchikey(raw) or wants_compound else _read_first_mol(raw)
    geometry = read_geometry(raw) if wants_geometry else None
    is_of_itself = "positions" not in raw.cells and not {"smiles", "inchi"} & raw.cells.keys()
    if geometry is not None and molecule is not None and not is_of_itself:
        with BlockLogs():
            mol = Chem.MolFromSmiles(molecule.smiles) if isinstance(molecule, Compound) else molecule
        if detail := find_disagreement(mol, geometry.atomic_numbers, geometry.positions[0]):
            raise RecordError(raw.record_id, "the coordinates are of another molecule", detail)
    return CheckedRow(molecule, geometry)


def get_cells(raw: Row) -> dict[str, Any]:
    """Return the cells of a row.

    Raises:
        RecordError: the row is damaged or does not fit the header of its table.
    """
    if raw.fault:
        raise RecordError(raw.record_id, *raw.fault)
    return raw.cells


def read_text(raw: Row) -> str:
    """Return the text, stripped of leading and trailing whitespace.

    Raises:
        RecordError: the text is empty.
    """
    text = get_cells(raw).get("text", "").strip()
    if not text:
        raise RecordError(raw.record_id, "the text is empty")
    return text


def read_compound(raw: Row) -> Compound | None:
    """Return the compound of the SMILES, InChI or mol block; None if the row has none of them.

    If the row has a full InChIKey, the compound keeps it, and the first structure with this key is used, because a
    table can have a SMILES without stereochemistry next to an InChI with it.

    Raises:
        RecordError: the structure cannot be read, or InChIKey and structure belong to different molecules.
    """
    given, found = _read_inchikey(raw), [key for key in STRUCTURE if key in raw.cells]
    if not found:
        return None
    compound = _read_structure(raw, found[0])
    if given is None:
        return compound
    for key in found[1:] if compound.inchikey != given and len(given) > BLOCK.itemsize else ():
        with suppress(RecordError):  # ignore faults of a structure that is not needed
            if (other := _read_structure(raw, key)).inchikey == given:
                return other
    if take_first_block(given) != take_first_block(compound.inchikey):
        raise RecordError(
            raw.record_id, "InChIKey and structure are of different molecules", f"{given}, {compound.inchikey}"
        )
    return compound if len(given) == BLOCK.itemsize else replace(compound, inchikey=given)


def _read_structure(raw: Row, key: str) -> Compound:
    """Return the compound of one of `STRUCTURE`."""
    cells, names = get_cells(raw), {"cid": _read_whole_number(raw, "cid"), "title": raw.cells.get("name", "")}
    if key == "smiles":
        _check_smiles(raw.record_id, smiles := read_smiles(cells))
        return Compound.from_smiles(smiles, raw.record_id, **names)
    text = cells[key].strip() if key == "inchi" else cells[key]
    compound = Compound.from_smiles(Chem.MolToSmiles(_read_mol(raw, key)), raw.record_id, **names)
    is_standard = text.startswith(STANDARD_INCHI)
    return replace(compound, inchi=text, inchikey=Chem.InchiToInchiKey(text)) if is_standard else compound


def _read_first_mol(raw: Row) -> Chem.Mol | None:
    """Return the molecule of the first of `STRUCTURE` that the row has, without computing its InChI."""
    key = next((key for key in STRUCTURE if key in raw.cells), None)
    if key is None:
        return None
    mol = _read_mol(raw, key)
    if any(atom.GetAtomicNum() == 0 for atom in mol.GetAtoms()):  # `Compound.from_smiles` would refuse it
        raise RecordError(raw.record_id, "RDKit finds no InChI", Chem.MolToSmiles(mol))
    return mol


def _read_mol(raw: Row, key: str) -> Chem.Mol:
    """Return the molecule of one of `STRUCTURE`."""
    name, read = FORMS[key]
    text = read_smiles(raw.cells) if key == "smiles" else raw.cells[key]
    if key == "smiles":
        _check_smiles(raw.record_id, text)
    try:
        with BlockLogs():
            mol = read(text.strip() if key == "inchi" else text)
    except RuntimeError:  # a violated invariant in RDKit
        mol = None
    if mol is None or mol.GetNumAtoms() == 0:
        raise RecordError(raw.record_id, f"RDKit cannot read the {name}", text.strip()[:80])
    return mol


def _check_smiles(record_id: str, smiles: str) -> None:
    """Refuse SELFIES, reactions and other strings that RDKit could read as another molecule."""
    # Imported here because it loads transformers, which a build from other sources does not need.
    from modeling_geomclip.molecules_geomclip import MoleculeError, refuse_other_lines

    try:
        refuse_other_lines(smiles)
    except MoleculeError as error:
        raise RecordError(record_id, f"not a SMILES: {error.rule}", smiles[:80]) from error


def read_smiles(cells: dict[str, Any]) -> str:
    """Return the SMILES of a row, stripped and with escaped backslashes undone."""
    return undouble_backslashes(cells["smiles"].strip())


def read_geometry(raw: Row) -> Geometry | None:
    """Return the conformers of a row; None if it has no coordinates or only 2D ones.

    Raises:
        RecordError: the coordinates are incomplete or broken.
    """
    cells = get_cells(raw)
    if "positions" in cells or (MOL_BLOCK not in cells and "atomic_numbers" in cells):
        atomic_numbers, positions, energies = read_coordinates(raw)
    elif MOL_BLOCK in cells:
        try:
            (atomic_numbers, positions), energies = (
                read_sdf_geometry(raw.record_id, cells[MOL_BLOCK]),
                _read_energies(raw),
            )
        except RecordError as error:
            if error.reason != TWO_DIMENSIONAL:
                raise
            return None
    else:
        return None
    return check_geometry(
        raw.record_id,
        atomic_numbers,
        positions,
        energies,
        method=cells.get("geometry_method"),
        license=cells.get("geometry_license"),
    )


def read_coordinates(raw: Row) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Read the columns of coordinates without further checks.

    Returns:
        Atomic numbers (atoms,); positions (atoms, 3) or (conformers, atoms, 3), Å; and energies (conformers,), eV, or
        None.
    Raises:
        RecordError: there are no positions, or a cell is not a list of numbers.
    """
    if "positions" not in raw.cells:
        raise RecordError(raw.record_id, NO_POSITIONS)
    atomic_numbers, positions = _read_array(raw, "atomic_numbers"), _read_array(raw, "positions")
    if positions.ndim == 1 and positions.size % 3 == 0:
        positions = positions.reshape(-1, 3)
    return np.atleast_1d(atomic_numbers), positions, _read_energies(raw)


def _read_energies(raw: Row) -> np.ndarray | None:
    return np.atleast_1d(_read_array(raw, "energy")) if "energy" in raw.cells else None


def _read_inchikey(raw: Row) -> str | None:
    inchikey = get_cells(raw).get("inchikey")
    inchikey = None if inchikey is None else inchikey.strip()
    if inchikey is not None and not INCHIKEY.fullmatch(inchikey):
        raise RecordError(raw.record_id, "not an InChIKey", inchikey)
    return inchikey


def _read_whole_number(raw: Row, column: str) -> int | None:
    value = get_cells(raw).get(column)
    try:
        if value is not None and (float(value) != int(float(value)) or float(value) < 1):
            raise ValueError(value)
        return None if value is None else int(float(value))  # integers in a column with gaps are often written as 12.0
    except (ValueError, OverflowError) as error:
        raise RecordError(raw.record_id, "an id is not a positive integer", f"{column}: {value}") from error


def _read_array(raw: Row, column: str) -> np.ndarray:
    value = raw.cells.get(column, [])
    try:
        value = read_number_list(value)
        return np.array(value) if column == "atomic_numbers" else np.array(value, dtype=np.float64)
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        raise RecordError(raw.record_id, "a cell is not a list of numbers", f"{column}: {str(value)[:40]}") from error
