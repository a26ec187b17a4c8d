"""Anyone's own pairs: a table of texts, of geometries or of both, as Parquet, TSV, CSV or SDF.

TSV is read as ChEBI-20 and its relatives are written, without quoting (a `"` is a character); CSV with quoting
(RFC 4180). A list in a cell of text is JSON.
"""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from rdkit import Chem
from rdkit.rdBase import BlockLogs

from ..chemistry.identity import BLOCK, INCHIKEY, take_first_block
from ..records import Compound, Geometry, Identity, RecordError, Text, check_geometry
from .base import GeometrySource, TextSource
from .sdf import read_sdf_geometry
from .table_files import MOL_BLOCK, Row, list_column_keys, read_number_list, read_rows, undouble_backslashes
from .table_profile import profile_table

STRUCTURE = ("smiles", "inchi", MOL_BLOCK)
STANDARD_INCHI = "InChI=1S/"  # any other has keys that match no standard one
NO_POSITIONS = "no positions"


@dataclass(frozen=True)
class Table(TextSource):
    """Texts of a table. Each row has a text and its molecule: a SMILES, an InChI, the structure of an SDF, or a CID.

    The first one of these that a row has counts; a CID alone is looked up in the recipe's source of structures.
    """

    name: ClassVar[str] = "table"
    about: ClassVar[str] = (
        "texts of a table that the builder of this folder brought; their terms are known to no one but them."
    )

    def read_records(self, folder: Path) -> Iterator[Row]:
        """The rows, numbered from 0 on through all files.

        Raises:
            ValueError: naming the file; it lacks a necessary column, is broken, or is of a format that is not known.
        """
        return read_rows(self.list_files(folder), (("text",), (*STRUCTURE, "cid")))

    def parse_texts(self, raw: Row) -> list[Text]:
        """The text, stripped of white space at its ends."""
        cells = get_cells(raw)
        text = cells.get("text", "").strip()
        if not text:
            raise RecordError(raw.record_id, "the text is empty")
        compound, cid = read_compound(raw), _read_whole_number(raw, "cid")
        if compound is None and cid is None:
            raise RecordError(raw.record_id, "neither a structure nor a CID")
        return [
            Text(
                raw.record_id,
                text,
                cells.get("text_source", self.name),
                cid=cid,
                compound=compound,
                name=cells.get("name"),
                raw=None if text == cells["text"] else cells["text"],
                kind=cells.get("text_kind"),
                source_id=cells.get("text_source_id"),
                url=cells.get("text_url"),
                license_url=cells.get("text_license_url"),
                anid=_read_whole_number(raw, "anid"),
            )
        ]

    def profile(self, folder: Path) -> dict[str, int]:
        """The table as it was given; see `profile_table`."""
        return profile_table(self.read_records(folder))


@dataclass(frozen=True)
class TableGeometry(GeometrySource):
    """Geometries of a table. Each row has `atomic_numbers` and `positions` or, in an SDF, a 3D structure; and, if it is
    known, `conformer_energy`, eV, one for each conformer.

    Args:
        method: level of theory where the table has no column `geometry_method`.
        license: licence where the table has no column `geometry_license`.
    """

    name: ClassVar[str] = "table"
    about: ClassVar[str] = "coordinates of a table that the builder of this folder brought."
    method: str = "not stated"
    license: str = "not stated"

    def read_records(self, folder: Path) -> Iterator[Row]:
        """The rows; see `Table.read_records`."""
        molecule, geometry = ("inchikey", *STRUCTURE, "cid"), (("atomic_numbers", MOL_BLOCK), ("positions", MOL_BLOCK))
        return read_rows(self.list_files(folder), (molecule, *geometry))

    def has_coordinates(self, folder: Path) -> bool:
        """Whether any of the files has columns for coordinates."""
        return any({"positions", MOL_BLOCK} & list_column_keys(file) for file in self.list_files(folder))

    def identify(self, raw: Row) -> Identity:
        """The CID, and the InChIKey as the row gives it or else from its structure."""
        cid, inchikey = _read_whole_number(raw, "cid"), _read_inchikey(raw)
        if (inchikey is None or len(inchikey) == BLOCK.itemsize) and (compound := read_compound(raw)):
            inchikey = compound.inchikey
        if cid is None and inchikey is None:
            raise RecordError(raw.record_id, "neither a structure nor an InChIKey nor a CID")
        return Identity(cid, inchikey)

    def parse_geometry(self, raw: Row) -> Geometry:
        """The conformers, hydrogens as given; positions are flat (3 atoms), (atoms, 3) or (conformers, atoms, 3)."""
        cells = get_cells(raw)
        read_compound(raw)  # refuses an InChIKey that is another molecule's
        if "positions" in cells:
            atomic_numbers, positions = _read_array(raw, "atomic_numbers"), _read_array(raw, "positions")
            if positions.ndim == 1 and positions.size % 3 == 0:
                positions = positions.reshape(-1, 3)
        elif MOL_BLOCK in cells:
            atomic_numbers, positions = read_sdf_geometry(raw.record_id, cells[MOL_BLOCK])
        else:
            raise RecordError(raw.record_id, NO_POSITIONS)
        energies = np.atleast_1d(_read_array(raw, "energy")) if "energy" in cells else None
        return check_geometry(
            raw.record_id,
            np.atleast_1d(atomic_numbers),
            positions,
            energies,
            method=cells.get("geometry_method"),
            license=cells.get("geometry_license"),
        )


def read_compound(raw: Row) -> Compound | None:
    """The compound by its SMILES, InChI or mol block, None if the row has none of them.

    Its InChIKey is that of the row, if there is a whole one; the first structure that has this key counts, since a
    table may have a SMILES without stereo beside an InChI with it.
    Raises:
        RecordError: the structure cannot be read; InChIKey and structure are of different molecules.
    """
    given, found = _read_inchikey(raw), [key for key in STRUCTURE if key in raw.cells]
    if not found:
        return None
    compound = _read_structure(raw, found[0])
    if given is None:
        return compound
    for key in found[1:] if compound.inchikey != given and len(given) > BLOCK.itemsize else ():
        with suppress(RecordError):  # what is wrong with a structure that is not needed
            if (other := _read_structure(raw, key)).inchikey == given:
                return other
    if take_first_block(given) != take_first_block(compound.inchikey):
        raise RecordError(
            raw.record_id, "InChIKey and structure are of different molecules", f"{given}, {compound.inchikey}"
        )
    return compound if len(given) == BLOCK.itemsize else replace(compound, inchikey=given)


def _read_structure(raw: Row, key: str) -> Compound:
    """The compound by one of `STRUCTURE`."""
    cells, names = get_cells(raw), {"cid": _read_whole_number(raw, "cid"), "title": raw.cells.get("name", "")}
    if key == "smiles":
        return Compound.from_smiles(undouble_backslashes(cells[key].strip()), raw.record_id, **names)
    text, form = (cells[key].strip(), "InChI") if key == "inchi" else (cells[key], "mol block")
    compound = Compound.from_smiles(Chem.MolToSmiles(_read_mol(raw.record_id, form, text)), raw.record_id, **names)
    is_standard = text.startswith(STANDARD_INCHI)
    return replace(compound, inchi=text, inchikey=Chem.InchiToInchiKey(text)) if is_standard else compound


def _read_mol(record_id: str, form: str, text: str) -> Chem.Mol:
    try:
        with BlockLogs():
            mol = Chem.MolFromInchi(text) if form == "InChI" else Chem.MolFromMolBlock(text)
    except RuntimeError:  # a condition that RDKit itself violates
        mol = None
    if mol is None:
        raise RecordError(record_id, f"RDKit cannot read the {form}", text.strip()[:80])
    return mol


def get_cells(raw: Row) -> dict[str, Any]:
    """The cells of a row.

    Raises:
        RecordError: it does not fit the head of its table.
    """
    if raw.fault:
        raise RecordError(raw.record_id, "the row does not fit the head of its table", raw.fault)
    return raw.cells


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
        return None if value is None else int(float(value))  # a column with gaps is often written as 12.0
    except (ValueError, OverflowError) as error:
        raise RecordError(raw.record_id, "an id is no positive integer", f"{column}: {value}") from error


def _read_array(raw: Row, column: str) -> np.ndarray:
    value = raw.cells.get(column, [])
    try:
        value = read_number_list(value)
        return np.array(value) if column == "atomic_numbers" else np.array(value, dtype=np.float64)
    except (ValueError, TypeError) as error:
        raise RecordError(raw.record_id, "a cell is no list of numbers", f"{column}: {str(value)[:40]}") from error
