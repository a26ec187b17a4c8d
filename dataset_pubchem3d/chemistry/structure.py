"""What RDKit tells of a molecule's structure: bonds, rings, charges, hybridization, functional groups, scaffold."""

import numpy as np
from rdkit import Chem
from rdkit.Chem import Fragments
from rdkit.Chem.Scaffolds.MurckoScaffold import MurckoScaffoldSmiles

BOND_ORDERS = ("none", "single", "double", "triple", "aromatic")
FORMAL_CHARGES = ("negative", "neutral", "positive")
HYBRIDIZATIONS = ("S", "SP", "SP2", "SP3", "SP3D", "SP3D2", "other")
FUNCTIONAL_GROUPS = tuple(sorted(name for name in dir(Fragments) if name.startswith("fr_")))


def list_bonds(mol: Chem.Mol) -> list[list[int]]:
    """(bonds, 3): two atoms and the place of the bond in `BOND_ORDERS`."""
    return [[bond.GetBeginAtomIdx(), bond.GetEndAtomIdx(), find_bond_order(bond)] for bond in mol.GetBonds()]


def find_bond_order(bond: Chem.Bond) -> int:
    """Place in `BOND_ORDERS`; a bond of another kind, such as a dative one, counts as single."""
    name = str(bond.GetBondType()).lower()
    return BOND_ORDERS.index(name) if name in BOND_ORDERS[1:] else 1


def list_ring_membership(mol: Chem.Mol) -> list[int]:
    """(atoms,), 1 of an atom in a ring and 0 of any other."""
    return [int(atom.IsInRing()) for atom in mol.GetAtoms()]


def list_formal_charges(mol: Chem.Mol) -> list[int]:
    """(atoms,), places in `FORMAL_CHARGES`."""
    return [int(np.sign(atom.GetFormalCharge())) + 1 for atom in mol.GetAtoms()]


def list_hybridizations(mol: Chem.Mol) -> list[int]:
    """(atoms,), places in `HYBRIDIZATIONS`."""
    names = [str(atom.GetHybridization()) for atom in mol.GetAtoms()]
    return [HYBRIDIZATIONS.index(name if name in HYBRIDIZATIONS else "other") for name in names]


def count_functional_groups(mol: Chem.Mol) -> list[int]:
    """How often a molecule, hydrogens aside, has each of `FUNCTIONAL_GROUPS`."""
    return [getattr(Fragments, name)(mol) for name in FUNCTIONAL_GROUPS]


def find_scaffold(mol: Chem.Mol) -> str:
    """SMILES of the scaffold; "" of a molecule without a ring.

    Source: Bemis & Murcko, J. Med. Chem. 1996, 39, 2887, as RDKit has it: with the exocyclic double bonds.
    Raises:
        ValueError, RuntimeError: a scaffold that cannot be sanitised.
    """
    return MurckoScaffoldSmiles(mol=mol)


def keep_heavy_atoms(mol: Chem.Mol) -> Chem.Mol:
    """The heavy atoms of a molecule as they are, in their order."""
    edited = Chem.RWMol(mol)
    edited.BeginBatchEdit()
    for atom in mol.GetAtoms():
        if atom.GetAtomicNum() == 1:
            edited.RemoveAtom(atom.GetIdx())
    edited.CommitBatchEdit()
    return edited.GetMol()
