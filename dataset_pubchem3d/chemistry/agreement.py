"""Check that a geometry can belong to a molecule: the same atoms and, if distances are unambiguous, the same bonds."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
from rdkit import Chem
from rdkit.Chem import rdDetermineBonds
from rdkit.rdBase import BlockLogs

from .elements import SYMBOLS, count_elements, list_atomic_numbers
from .identity import take_first_block
from .perception import (
    PERCEPTIONS,
    PerceptionError,
    has_near_bonds,
    perceive_bonds,
    place_atoms,
    place_by_connections,
)

HYDROGEN = 1
ORGANIC = {1, 6, 7, 8, 9, 14, 15, 16, 17, 35, 53}  # elements whose covalent bonds can be found from distances
MOST_NEIGHBOURS = {1: 1, 6: 4, 7: 4, 8: 2, 9: 1, 14: 4, 15: 5, 16: 6, 17: 4, 35: 4, 53: 6}  # of these elements


def find_disagreement(
    mol: Chem.Mol, atomic_numbers: Sequence[int], positions: np.ndarray, has_all_hydrogens: bool = False
) -> str:
    """Describe how a geometry differs from a molecule; "" if they agree or if this cannot be decided.

    Bonds are compared only for complete geometries of neutral organic molecules of one fragment.

    Args:
        mol: the molecule, with implicit hydrogens.
        atomic_numbers: (atoms,).
        positions: (atoms, 3), Å.
        has_all_hydrogens: whether the geometry must have all hydrogens, or else some or all of them may be missing.
    """
    expected, found = count_elements(mol), Counter(map(int, atomic_numbers))
    expected[HYDROGEN] += sum(atom.GetTotalNumHs() for atom in mol.GetAtoms())
    if 0 in expected:  # dummy atoms match anything
        return ""
    num_missing = 0 if has_all_hydrogens else max(0, expected[HYDROGEN] - found[HYDROGEN])
    if found + Counter({HYDROGEN: num_missing}) != +expected:
        return f"they have {_write_formula(found)}, the structure has {_write_formula(expected)}"
    if num_missing or not _is_plain(mol):
        return ""
    with BlockLogs():
        return _compare_bonds(Chem.AddHs(mol), atomic_numbers, positions)


def _compare_bonds(template: Chem.Mol, atomic_numbers: Sequence[int], positions: np.ndarray) -> str:
    if [*map(int, atomic_numbers)] == list_atomic_numbers(template) and has_near_bonds(template, positions):
        return ""
    atoms = place_atoms(atomic_numbers, positions)
    if place_by_connections(template, atoms) is not None or not _has_plain_bonds(atoms):
        return ""
    try:
        shown = Chem.MolToInchiKey(perceive_bonds(atoms, charge=0))
    except PerceptionError:
        return ""
    own = Chem.MolToInchiKey(Chem.RemoveHs(template))  # does not distinguish tautomers
    differs = shown and own and take_first_block(shown) != take_first_block(own)
    return f"they show the bonds of {shown}, not of {own}" if differs else ""


def _is_plain(mol: Chem.Mol) -> bool:
    """Return whether a molecule is one neutral organic fragment without radicals."""
    atoms = list(mol.GetAtoms())
    is_organic = all(atom.GetAtomicNum() in ORGANIC and atom.GetNumRadicalElectrons() == 0 for atom in atoms)
    return is_organic and not any(atom.GetFormalCharge() for atom in atoms) and len(Chem.GetMolFrags(mol)) == 1


def _has_plain_bonds(atoms: Chem.Mol) -> bool:
    """Return whether all ways to perceive connections agree on one fragment with possible numbers of neighbours."""
    found = []
    for perception in PERCEPTIONS:
        mol = Chem.Mol(atoms)
        rdDetermineBonds.DetermineConnectivity(mol, **perception)
        found.append({tuple(sorted((bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()))) for bond in mol.GetBonds()})
    is_possible = all(0 < atom.GetDegree() <= MOST_NEIGHBOURS[atom.GetAtomicNum()] for atom in mol.GetAtoms())
    return found.count(found[0]) == len(found) and is_possible and len(Chem.GetMolFrags(mol)) == 1


def _write_formula(counts: Counter[int]) -> str:
    """Return the formula, with carbon and hydrogen first."""
    order = sorted(
        (number for number, count in counts.items() if count), key=lambda n: ({6: 0, 1: 1}.get(n, 2), SYMBOLS[n])
    )
    return "".join(f"{SYMBOLS[number]}{counts[number] if counts[number] > 1 else ''}" for number in order)
