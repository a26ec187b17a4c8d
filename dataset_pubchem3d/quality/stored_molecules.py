"""Read the molecule of a stored geometry, for comparison with RDKit conformers."""

from rdkit import Chem

from ..chemistry.perception import PerceptionError, perceive_molecule
from ..records import Geometry, RecordError, check_geometry

FEWEST_HEAVY_ATOMS = 4  # a molecule with fewer has no torsion; only bond lengths and angles could differ


def read_stored_molecule(row: dict, record_id: str) -> Chem.Mol:
    """Perceive the molecule that the geometry of a row shows, see `perceive_molecule`.

    Args:
        row: row with the columns of `sampling.COLUMNS`.
        record_id: name of the row in errors.
    Raises:
        RecordError: the SMILES or the geometry is invalid, they do not agree, or the molecule has several fragments or
            too few heavy atoms.
    """
    template, geometry = _read_template(row["smiles"], record_id), _read_geometry(row, record_id)
    numbers, positions = geometry.atomic_numbers.tolist(), geometry.positions[0]
    try:
        return perceive_molecule(template, str(row["inchikey"]), numbers, positions)
    except PerceptionError as error:
        raise RecordError(record_id, error.reason, error.detail) from error


def _read_template(smiles: str | None, record_id: str) -> Chem.Mol:
    """Return the molecule of the record with explicit hydrogens."""
    mol = Chem.MolFromSmiles(smiles or "")
    if mol is None or mol.GetNumAtoms() == 0:
        raise RecordError(record_id, "RDKit cannot read the SMILES", str(smiles))
    if len(Chem.GetMolFrags(mol)) > 1:
        raise RecordError(record_id, "it has several fragments, whose relative positions are arbitrary")
    if mol.GetNumHeavyAtoms() < FEWEST_HEAVY_ATOMS:
        raise RecordError(record_id, f"it has fewer than {FEWEST_HEAVY_ATOMS} heavy atoms")
    return Chem.AddHs(mol)


def _read_geometry(row: dict, record_id: str) -> Geometry:
    try:
        return check_geometry(record_id, row["atomic_numbers"], row["positions"])
    except (TypeError, ValueError) as error:
        raise RecordError(record_id, "the stored geometry is broken", str(error)) from error
