"""Turn entries of a library into rows: who the molecule is, its descriptors, and the geometry that the model reads.

The functions run in worker processes. The limits of a conformer count iterations, not seconds (`make_conformer`), so a
library has the same rows on any machine under any load.
"""

from collections.abc import Sequence
from typing import Any

from rdkit import Chem
from rdkit.rdBase import BlockLogs

from dataset_pubchem3d.chemistry.identity import INCHIKEY
from dataset_pubchem3d.records import RecordError
from dataset_pubchem3d.sources.table import check_row, get_cells
from modeling_geomclip.molecules_geomclip import MoleculeError, read_molecule

from .descriptors import describe_molecule
from .entries import Entry
from .rows import PATTERN
from .substructures import make_pattern_bits

NO_STRUCTURE = "it has neither a SMILES, an InChI nor a mol block"
NOT_ONE = "its InChIKey is not a standard one"


def identify_entries(entries: Sequence[Entry], settings: dict[str, Any]) -> list[dict[str, Any] | RecordError]:
    """Identify the molecules of some entries; a `RecordError` stands for an entry that cannot be used.

    Args:
        entries: entries of a library.
        settings: `remove_hydrogens` and `max_atoms`, as for `read_molecule`.
    Returns:
        rows with all columns but the vectors; without `atomic_numbers` and `positions` if a conformer is needed.
    """
    return [_try_to_identify(entry, settings) for entry in entries]


def _try_to_identify(entry: Entry, settings: dict[str, Any]) -> dict[str, Any] | RecordError:
    try:
        return identify_entry(entry, settings)
    except RecordError as error:
        return error


def identify_entry(entry: Entry, settings: dict[str, Any]) -> dict[str, Any]:
    """Identify the molecule of an entry; see `identify_entries`.

    Raises:
        RecordError: the entry is faulty, has no structure that RDKit reads, or has coordinates that cannot be used.
    """
    cells = get_cells(entry.row)
    compound, geometry = check_row(entry.row, wants_compound=True)
    if compound is None:
        raise RecordError(entry.place, NO_STRUCTURE)
    if not INCHIKEY.fullmatch(compound.inchikey) or "-" not in compound.inchikey:
        raise RecordError(entry.place, NOT_ONE, compound.inchikey)
    with BlockLogs():
        mol = Chem.MolFromSmiles(compound.smiles)
    row = {
        "inchikey": compound.inchikey,
        "smiles": compound.smiles,
        "names": [entry.name] if entry.name else [],
        "sources": [entry.place],
        **describe_molecule(mol),
        PATTERN: make_pattern_bits(mol),
        "text": cells.get("text", "").strip() or None,
        "columns": entry.columns,
    }
    if geometry is not None:
        given = {"atomic_numbers": geometry.atomic_numbers, "positions": geometry.positions[0]}
        row |= _read(entry.place, given, settings)
    return row


def add_conformer(row: dict[str, Any], settings: dict[str, Any]) -> dict[str, Any]:
    """Return a row with a conformer of its SMILES: `atomic_numbers` (atoms,) and `positions` (atoms, 3), Å.

    Args:
        row: from `identify_entry`.
        settings: `seed`, `remove_hydrogens` and `max_atoms`, as for `read_molecule`.
    Raises:
        RecordError: no conformer can be made.
    """
    return row | _read(row["sources"][0], row["smiles"], settings)


def _read(place: str, molecule: Any, settings: dict[str, Any]) -> dict[str, Any]:
    try:
        return read_molecule(molecule, **settings)
    except MoleculeError as error:
        raise RecordError.of_molecule(place, error) from error
