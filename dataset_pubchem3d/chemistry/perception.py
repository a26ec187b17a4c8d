"""A geometry to the molecule it shows, with bonds, charges and stereo.

A geometry is one stereoisomer even where its record names none.
"""

from collections.abc import Sequence

import numpy as np
from rdkit import Chem
from rdkit.Chem import rdDetermineBonds
from rdkit.rdBase import BlockLogs

from .elements import count_elements, list_atomic_numbers
from .identity import take_first_block

# Ways to find connections, until one gives the record's: strained cages have unbonded atoms closer than 1.3 radii.
PERCEPTIONS = ({"useVdw": False}, {"useVdw": True, "covFactor": 1.15}, {"useVdw": True, "covFactor": 1.3})
MAX_BOND_ORDER_STEPS = 100_000
LONGEST_BOND = 1.3  # in sums of covalent radii
CLOCKWISE, COUNTERCLOCKWISE = Chem.ChiralType.CHI_TETRAHEDRAL_CW, Chem.ChiralType.CHI_TETRAHEDRAL_CCW


class PerceptionError(ValueError):
    """A geometry does not show the molecule that it should.

    Attributes: `reason`, the same words for the same fault, so that reasons can be counted, and `detail`.
    """

    def __init__(self, reason: str, detail: str = ""):
        super().__init__(f"{reason} ({detail})" if detail else reason)
        self.reason, self.detail = reason, detail


def perceive_molecule(
    template: Chem.Mol, inchikey: str, atomic_numbers: Sequence[int], positions: np.ndarray
) -> Chem.Mol:
    """The molecule that a geometry shows: its atoms in their order, its stereo, the bond orders of the record.

    Args:
        template: the molecule of the record, with hydrogens as atoms.
        inchikey: of the record; its first block counts.
        atomic_numbers: (atoms,), hydrogens included.
        positions: (atoms, 3), Å.
    Returns:
        with hydrogens as atoms and the geometry as its only conformer.
    Raises:
        PerceptionError: record and geometry cannot be brought together.
    """
    atoms = place_atoms(atomic_numbers, positions)
    if count_elements(template) != count_elements(atoms):
        raise PerceptionError("the geometry has not the atoms of its record")
    mol = place_by_connections(template, atoms)
    if mol is None:
        mol = perceive_bonds(atoms, Chem.GetFormalCharge(template))
    shown = Chem.MolToInchiKey(mol)
    if take_first_block(shown) != take_first_block(inchikey):
        raise PerceptionError("the geometry shows another molecule than its record", shown)
    assign_stereo(mol)
    return mol


def arrange_molecule(smiles: str | None, atomic_numbers: Sequence[int], positions: np.ndarray) -> Chem.Mol:
    """The molecule of a SMILES with its atoms in the order of a geometry.

    That is the SMILES's own order, as in RDKit's conformers, where it fits; else atoms are matched by what lies within
    bonding distance.

    Args:
        atomic_numbers: (atoms,), all atoms or the heavy ones alone; hydrogens tell a hydroxyl from a carbonyl oxygen.
        positions: (atoms, 3), Å.
    Raises:
        ValueError: the SMILES cannot be read, or is not of these atoms and bonds.
    """
    positions = np.asarray(positions)
    with BlockLogs():
        template = Chem.MolFromSmiles(smiles or "")
        if template is None or template.GetNumAtoms() == 0:
            raise ValueError(f"RDKit cannot read the SMILES {smiles!r}; correct it")
        template = Chem.AddHs(template) if 1 in atomic_numbers else Chem.RemoveAllHs(template)
    atoms = place_atoms(atomic_numbers, positions)
    if count_elements(template) != count_elements(atoms):
        raise ValueError(f"the atoms of the geometry are not those of its SMILES {smiles!r}; give all of its hydrogens")
    is_ordered = list_atomic_numbers(template) == list_atomic_numbers(atoms)
    mol = template if is_ordered and has_near_bonds(template, positions) else place_by_connections(template, atoms)
    if mol is None:
        raise ValueError(
            f"the bonds of its SMILES {smiles!r} do not join atoms of the geometry that are near each other"
        )
    return mol


def place_atoms(atomic_numbers: Sequence[int], positions: np.ndarray) -> Chem.Mol:
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


def has_near_bonds(mol: Chem.Mol, positions: np.ndarray) -> bool:
    """Whether every bond joins atoms within bonding distance of each other; positions (atoms, 3) in Å."""
    table = Chem.GetPeriodicTable()
    radii = np.array([table.GetRcovalent(number) for number in list_atomic_numbers(mol)])
    begin, end = (
        np.array([(bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()) for bond in mol.GetBonds()], int).reshape(-1, 2).T
    )
    lengths = np.linalg.norm(positions[begin] - positions[end], axis=1)
    return bool((lengths < LONGEST_BOND * (radii[begin] + radii[end])).all())


def place_by_connections(template: Chem.Mol, atoms: Chem.Mol) -> Chem.Mol | None:
    """`template` with its atoms placed as the equally connected ones of `atoms`; None if connections differ."""
    skeleton = _strip_to_skeleton(template)
    for perception in PERCEPTIONS:
        connected = Chem.Mol(atoms)
        rdDetermineBonds.DetermineConnectivity(connected, **perception)
        if connected.GetNumBonds() != skeleton.GetNumBonds():
            continue
        match = _strip_to_skeleton(connected).GetSubstructMatch(skeleton)  # template's atom -> geometry's
        if match:
            mol = Chem.RenumberAtoms(template, np.argsort(match).tolist())
            Chem.RemoveStereochemistry(mol)
            mol.AddConformer(atoms.GetConformer(), assignId=True)
            return mol
    return None


def _strip_to_skeleton(mol: Chem.Mol) -> Chem.Mol:
    """Elements and connections alone."""
    skeleton = Chem.RWMol()
    for number in list_atomic_numbers(mol):
        skeleton.AddAtom(Chem.Atom(number))
    for bond in mol.GetBonds():
        skeleton.AddBond(bond.GetBeginAtomIdx(), bond.GetEndAtomIdx(), Chem.BondType.SINGLE)
    return skeleton.GetMol()


def perceive_bonds(atoms: Chem.Mol, charge: int) -> Chem.Mol:
    """`atoms` with the bonds and bond orders that their distances and the total charge tell.

    Raises:
        PerceptionError: there are none that fit.
    """
    mol = Chem.Mol(atoms)
    try:
        rdDetermineBonds.DetermineBonds(mol, charge=charge, maxIterations=MAX_BOND_ORDER_STEPS)
        Chem.SanitizeMol(mol)
    except (ValueError, RuntimeError) as error:
        detail = " ".join(str(error).split())[:120]
        raise PerceptionError("bonds cannot be perceived from the geometry", detail) from error
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
