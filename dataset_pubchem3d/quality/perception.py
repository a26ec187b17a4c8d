"""A stored geometry to the molecule it shows, with bonds, charges and stereo.

A geometry is one stereoisomer even where its record names none.
"""

from collections import Counter
from collections.abc import Sequence

import numpy as np
from rdkit import Chem
from rdkit.Chem import rdDetermineBonds

from ..records import RecordError, checked_geometry

FEWEST_HEAVY_ATOMS = 4  # fewer have no torsion: nothing but bond lengths and angles could differ
# Ways to find connections, until one gives the record's: strained cages have unbonded atoms closer than 1.3 radii.
PERCEPTIONS = ({"useVdw": False}, {"useVdw": True, "covFactor": 1.15}, {"useVdw": True, "covFactor": 1.3})
MAX_BOND_ORDER_STEPS = 100_000
LONGEST_BOND = 1.3  # in sums of covalent radii
CLOCKWISE, COUNTERCLOCKWISE = Chem.ChiralType.CHI_TETRAHEDRAL_CW, Chem.ChiralType.CHI_TETRAHEDRAL_CCW


def perceive_molecule(row: dict, record_id: str) -> Chem.Mol:
    """The molecule of a stored geometry: its atoms in their order, its stereo, the bond orders of the record's SMILES.

    Args:
        row: with the columns of `sampling.COLUMNS`.
    Returns: with hydrogens as atoms and the geometry as its only conformer.
    Raises:
        RecordError: record and geometry cannot be brought together, or there is too little to compare.
    """
    template, atoms = _template(row["smiles"], record_id), _atoms_of(row, record_id)
    if elements(template) != elements(atoms):
        raise RecordError(record_id, "the geometry has not the atoms of its record")
    mol = place_by_connections(template, atoms)
    if mol is None:
        mol = _bonds_of_distances(atoms, Chem.GetFormalCharge(template), record_id)
    inchikey = Chem.MolToInchiKey(mol)
    if inchikey[:14] != str(row["inchikey"])[:14]:
        raise RecordError(record_id, "the geometry shows another molecule than its record", inchikey)
    assign_stereo(mol)
    return mol


def _template(smiles: str | None, record_id: str) -> Chem.Mol:
    """The molecule of the record, with hydrogens as atoms."""
    mol = Chem.MolFromSmiles(smiles or "")
    if mol is None or mol.GetNumAtoms() == 0:
        raise RecordError(record_id, "RDKit cannot read the SMILES", str(smiles))
    if len(Chem.GetMolFrags(mol)) > 1:
        raise RecordError(record_id, "it has several fragments, whose relative places mean nothing")
    if mol.GetNumHeavyAtoms() < FEWEST_HEAVY_ATOMS:
        raise RecordError(record_id, f"it has fewer than {FEWEST_HEAVY_ATOMS} heavy atoms")
    return Chem.AddHs(mol)


def elements(mol: Chem.Mol) -> Counter:
    """How many atoms of each element there are."""
    return Counter(atom.GetAtomicNum() for atom in mol.GetAtoms())


def _atoms_of(row: dict, record_id: str) -> Chem.Mol:
    try:
        geometry = checked_geometry(record_id, row["atomic_numbers"], row["positions"])
    except (TypeError, ValueError) as error:
        raise RecordError(record_id, "the stored geometry is broken", str(error)) from error
    return placed_atoms(geometry.atomic_numbers.tolist(), geometry.positions[0])


def placed_atoms(atomic_numbers: Sequence[int], positions: np.ndarray) -> Chem.Mol:
    """Atoms at (atoms, 3) positions in Å, without bonds."""
    mol = Chem.RWMol()
    for number in atomic_numbers:
        atom = Chem.Atom(int(number))
        atom.SetNoImplicit(True)
        mol.AddAtom(atom)
    conformer = Chem.Conformer(len(atomic_numbers))
    conformer.SetPositions(np.asarray(positions, dtype=np.float64))
    mol.AddConformer(conformer)
    return mol.GetMol()


def bonds_are_near(mol: Chem.Mol, positions: np.ndarray) -> bool:
    """Whether every bond joins atoms within bonding distance of each other; positions (atoms, 3) in Å."""
    table = Chem.GetPeriodicTable()
    radii = np.array([table.GetRcovalent(atom.GetAtomicNum()) for atom in mol.GetAtoms()])
    begin, end = (
        np.array([(bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()) for bond in mol.GetBonds()], int).reshape(-1, 2).T
    )
    lengths = np.linalg.norm(positions[begin] - positions[end], axis=1)
    return bool((lengths < LONGEST_BOND * (radii[begin] + radii[end])).all())


def place_by_connections(template: Chem.Mol, atoms: Chem.Mol) -> Chem.Mol | None:
    """`template` with its atoms placed as the equally connected ones of `atoms`; None if connections differ."""
    skeleton = _skeleton(template)
    for perception in PERCEPTIONS:
        connected = Chem.Mol(atoms)
        rdDetermineBonds.DetermineConnectivity(connected, **perception)
        if connected.GetNumBonds() != skeleton.GetNumBonds():
            continue
        match = _skeleton(connected).GetSubstructMatch(skeleton)  # template's atom -> geometry's
        if match:
            mol = Chem.RenumberAtoms(template, np.argsort(match).tolist())
            Chem.RemoveStereochemistry(mol)
            mol.AddConformer(atoms.GetConformer(), assignId=True)
            return mol
    return None


def _skeleton(mol: Chem.Mol) -> Chem.Mol:
    """Elements and connections alone."""
    skeleton = Chem.RWMol()
    for atom in mol.GetAtoms():
        skeleton.AddAtom(Chem.Atom(atom.GetAtomicNum()))
    for bond in mol.GetBonds():
        skeleton.AddBond(bond.GetBeginAtomIdx(), bond.GetEndAtomIdx(), Chem.BondType.SINGLE)
    return skeleton.GetMol()


def _bonds_of_distances(atoms: Chem.Mol, charge: int, record_id: str) -> Chem.Mol:
    mol = Chem.Mol(atoms)
    try:
        rdDetermineBonds.DetermineBonds(mol, charge=charge, maxIterations=MAX_BOND_ORDER_STEPS)
        Chem.SanitizeMol(mol)
    except (ValueError, RuntimeError) as error:
        detail = " ".join(str(error).split())[:120]
        raise RecordError(record_id, "bonds cannot be perceived from the geometry", detail) from error
    return mol


def assign_stereo(mol: Chem.Mol, conformer_id: int = -1) -> None:
    """Replace the stereo of `mol`, its hydrogens being atoms, by that of a conformer.

    Differs from RDKit's AssignStereochemistryFrom3D: the handedness of an atom with four neighbours is that of the
    neighbours, as it is for ETKDGv3. RDKit's is that of three of them seen from the atom, which is another one where
    a strained cage has all four on one side.
    """
    Chem.AssignAtomChiralTagsFromStructure(mol, conformer_id, replaceExistingTags=True)
    positions = mol.GetConformer(conformer_id).GetPositions()
    centres = [atom for atom in mol.GetAtoms() if atom.GetDegree() == 4]
    neighbours = [[neighbour.GetIdx() for neighbour in atom.GetNeighbors()] for atom in centres]
    corners = positions[np.array(neighbours, int).reshape(-1, 4)]  # (centres, 4, 3)
    is_clockwise = np.linalg.det(corners[:, :3] - corners[:, 3:]) < 0
    for atom, clockwise in zip(centres, is_clockwise):
        atom.SetChiralTag(CLOCKWISE if clockwise else COUNTERCLOCKWISE)
    Chem.DetectBondStereochemistry(mol, conformer_id)
    Chem.AssignStereochemistry(mol, cleanIt=True, force=True)
