"""Perceive the molecule that a geometry shows, with bonds, charges and stereochemistry.

A geometry is a definite stereoisomer even if its record does not specify one.
"""

from collections.abc import Sequence

import numpy as np
from rdkit import Chem
from rdkit.Chem import rdDetermineBonds
from rdkit.rdBase import BlockLogs

from .elements import count_elements, list_atomic_numbers
from .identity import take_first_block

# Ways to find connections, tried until one gives those of the record: in strained cages, non-bonded atoms can be closer
# than 1.3 times the sum of their radii.
PERCEPTIONS = ({"useVdw": False}, {"useVdw": True, "covFactor": 1.15}, {"useVdw": True, "covFactor": 1.3})
MAX_BOND_ORDER_STEPS = 100_000
LONGEST_BOND = 1.3  # in sums of covalent radii
CLOCKWISE, COUNTERCLOCKWISE = Chem.ChiralType.CHI_TETRAHEDRAL_CW, Chem.ChiralType.CHI_TETRAHEDRAL_CCW


class PerceptionError(ValueError):
    """A geometry does not show the expected molecule.

    Attributes:
        reason: the fault, in the same words for all geometries that have it, so that reasons can be counted.
        detail: particulars of this geometry.
    """

    def __init__(self, reason: str, detail: str = ""):
        super().__init__(f"{reason} ({detail})" if detail else reason)
        self.reason, self.detail = reason, detail


def perceive_molecule(
    template: Chem.Mol, inchikey: str, atomic_numbers: Sequence[int], positions: np.ndarray
) -> Chem.Mol:
    """Perceive the molecule that a geometry shows.

    Atom order and stereochemistry come from the geometry, bond orders from the record.

    Args:
        template: molecule of the record, with explicit hydrogens.
        inchikey: InChIKey of the record; only its first block is used.
        atomic_numbers: (atoms,), hydrogens included.
        positions: (atoms, 3), Å.
    Returns:
        The molecule with explicit hydrogens and the geometry as its only conformer.
    Raises:
        PerceptionError: the geometry does not show the molecule of the record.
    """
    atoms = place_atoms(atomic_numbers, positions)
    if count_elements(template) != count_elements(atoms):
        raise PerceptionError("the geometry does not have the atoms of its record")
    mol = place_by_connections(template, atoms)
    if mol is None:
        mol = perceive_bonds(atoms, Chem.GetFormalCharge(template))
    shown = Chem.MolToInchiKey(mol)
    if take_first_block(shown) != take_first_block(inchikey):
        raise PerceptionError("the geometry shows another molecule than its record", shown)
    assign_stereo(mol)
    return mol


def arrange_molecule(smiles: str | None, atomic_numbers: Sequence[int], positions: np.ndarray) -> Chem.Mol:
    """Return the molecule of a SMILES with its atoms in the order of a geometry.

    The order of the SMILES is kept if it fits, as for RDKit conformers. Otherwise atoms are matched by the connections
    within bonding distance.

    Args:
        smiles: SMILES of the molecule.
        atomic_numbers: (atoms,), all atoms or only heavy atoms. Hydrogens distinguish hydroxyl from carbonyl oxygens.
        positions: (atoms, 3), Å.
    Raises:
        ValueError: the SMILES cannot be read, or the geometry has other atoms or bonds.
    """
    positions = np.asarray(positions)
    with BlockLogs():
        template = Chem.MolFromSmiles(smiles or "")
        if template is None or template.GetNumAtoms() == 0:
            raise ValueError(f"RDKit cannot read the SMILES {smiles!r}; correct it")
        template = Chem.AddHs(template) if 1 in atomic_numbers else Chem.RemoveAllHs(template)
    atoms = place_atoms(atomic_numbers, positions)
    if count_elements(template) != count_elements(atoms):
        raise ValueError(f"the geometry does not have the atoms of its SMILES {smiles!r}; give all of its hydrogens")
    is_ordered = list_atomic_numbers(template) == list_atomic_numbers(atoms)
    mol = template if is_ordered and has_near_bonds(template, positions) else place_by_connections(template, atoms)
    if mol is None:
        raise ValueError(
            f"the geometry does not show the bonds of its SMILES {smiles!r}: bonded atoms are too far apart"
        )
    return mol


def place_atoms(atomic_numbers: Sequence[int], positions: np.ndarray) -> Chem.Mol:
    """Make a molecule of atoms at (atoms, 3) positions in Å, without bonds."""
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
    """Return whether all bonded atoms are within bonding distance; positions (atoms, 3) in Å."""
    table = Chem.GetPeriodicTable()
    radii = np.array([table.GetRcovalent(number) for number in list_atomic_numbers(mol)])
    begin, end = (
        np.array([(bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()) for bond in mol.GetBonds()], int).reshape(-1, 2).T
    )
    lengths = np.linalg.norm(positions[begin] - positions[end], axis=1)
    return bool((lengths < LONGEST_BOND * (radii[begin] + radii[end])).all())


def place_by_connections(template: Chem.Mol, atoms: Chem.Mol) -> Chem.Mol | None:
    """Place the atoms of `template` at the equivalent atoms of `atoms`; return None if the connections differ."""
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
    """Return a copy with only elements and connections."""
    skeleton = Chem.RWMol()
    for number in list_atomic_numbers(mol):
        skeleton.AddAtom(Chem.Atom(number))
    for bond in mol.GetBonds():
        skeleton.AddBond(bond.GetBeginAtomIdx(), bond.GetEndAtomIdx(), Chem.BondType.SINGLE)
    return skeleton.GetMol()


def perceive_bonds(atoms: Chem.Mol, charge: int) -> Chem.Mol:
    """Return a copy of `atoms` with bonds and bond orders derived from distances and the total charge.

    Raises:
        PerceptionError: no bonds fit.
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
    """Replace the stereochemistry of `mol`, which has explicit hydrogens, by that of a conformer.

    Differs from RDKit's AssignStereochemistryFrom3D: the handedness of an atom with four neighbours is derived from
    these neighbours alone, as in ETKDGv3. RDKit looks at three of them from the atom, which gives another result if all
    four are on one side of it, as in strained cages.
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
