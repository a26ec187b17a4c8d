"""Structure of a molecule according to RDKit: bonds, rings, charges, hybridization, functional groups, scaffold."""

import numpy as np
from rdkit import Chem
from rdkit.Chem import Fragments
from rdkit.Chem.Scaffolds.MurckoScaffold import MurckoScaffoldSmiles

BOND_ORDERS = ("none", "single", "double", "triple", "aromatic")
FORMAL_CHARGES = ("negative", "neutral", "positive")
HYBRIDIZATIONS = ("S", "SP", "SP2", "SP3", "SP3D", "SP3D2", "other")
FUNCTIONAL_GROUPS = tuple(sorted(name for name in dir(Fragments) if name.startswith("fr_")))


def list_bonds(mol: Chem.Mol) -> list[list[int]]:
    """Return the bonds, (bonds, 3): two atoms and the index of the bond order in `BOND_ORDERS`."""
    return [[bond.GetBeginAtomIdx(), bond.GetEndAtomIdx(), find_bond_order(bond)] for bond in mol.GetBonds()]


def find_bond_order(bond: Chem.Bond) -> int:
    """Return the index in `BOND_ORDERS`; other kinds of bonds, such as dative ones, count as single."""
    name = str(bond.GetBondType()).lower()
    return BOND_ORDERS.index(name) if name in BOND_ORDERS[1:] else 1


def list_ring_membership(mol: Chem.Mol) -> list[int]:
    """Return 1 for each atom in a ring and 0 for the others, (atoms,)."""
    return [int(atom.IsInRing()) for atom in mol.GetAtoms()]


def list_formal_charges(mol: Chem.Mol) -> list[int]:
    """Return the index in `FORMAL_CHARGES` of each atom, (atoms,)."""
    return [int(np.sign(atom.GetFormalCharge())) + 1 for atom in mol.GetAtoms()]


def list_hybridizations(mol: Chem.Mol) -> list[int]:
    """Return the index in `HYBRIDIZATIONS` of each atom, (atoms,)."""
    names = [str(atom.GetHybridization()) for atom in mol.GetAtoms()]
    return [HYBRIDIZATIONS.index(name if name in HYBRIDIZATIONS else "other") for name in names]


def count_functional_groups(mol: Chem.Mol) -> list[int]:
    """Count each of `FUNCTIONAL_GROUPS` in a molecule without explicit hydrogens."""
    return [getattr(Fragments, name)(mol) for name in FUNCTIONAL_GROUPS]


def find_scaffold(mol: Chem.Mol) -> str:
    """Return the SMILES of the Bemis-Murcko scaffold; "" for a molecule without rings.

    Source: Bemis & Murcko, J. Med. Chem. 1996, 39, 2887, in RDKit's version, which keeps exocyclic double bonds.
    Raises:
        ValueError, RuntimeError: the scaffold cannot be sanitised.
    """
    return MurckoScaffoldSmiles(mol=mol)


def keep_heavy_atoms(mol: Chem.Mol) -> Chem.Mol:
    """Return the molecule without its explicit hydrogens, otherwise unchanged and in the same atom order."""
    edited = Chem.RWMol(mol)
    edited.BeginBatchEdit()
    for atom in mol.GetAtoms():
        if atom.GetAtomicNum() == 1:
            edited.RemoveAtom(atom.GetIdx())
    edited.CommitBatchEdit()
    return edited.GetMol()
