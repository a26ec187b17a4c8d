"""A molecule as plain lists, for rules that walk from atom to atom; this is faster than calling RDKit for each atom."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from rdkit import Chem

AROMATIC = 1.5  # bond order
ROOT = 85  # placeholder element of a root atom
BOND_TYPES = {
    1.0: Chem.BondType.SINGLE,
    2.0: Chem.BondType.DOUBLE,
    3.0: Chem.BondType.TRIPLE,
    AROMATIC: Chem.BondType.AROMATIC,
}


@dataclass(frozen=True, slots=True)
class MolecularGraph:
    """Atoms, numbered from 0, and the bonds between them.

    Attributes:
        elements, charges, hydrogens, are_aromatic, in_ring: (atoms,).
        neighbours: neighbours of each atom, each with the bond order (`AROMATIC` for an aromatic bond).
        bonds: two atoms and the order of each bond.
        ring_bonds: pairs of atoms, the lower index first, that share a bond in a ring.
    """

    elements: list[int]
    charges: list[int]
    hydrogens: list[int]
    are_aromatic: list[bool]
    in_ring: list[bool]
    neighbours: list[list[tuple[int, float]]]
    bonds: list[tuple[int, int, float]]
    ring_bonds: set[tuple[int, int]]

    @classmethod
    def from_mol(cls, mol: Chem.Mol) -> "MolecularGraph":
        """Make the graph of a sanitised molecule."""
        atoms = list(mol.GetAtoms())
        neighbours: list[list[tuple[int, float]]] = [[] for _ in atoms]
        bonds, ring_bonds = [], set()
        for bond in mol.GetBonds():
            one, other, order = bond.GetBeginAtomIdx(), bond.GetEndAtomIdx(), bond.GetBondTypeAsDouble()
            order = order if order in BOND_TYPES else 1.0
            neighbours[one].append((other, order))
            neighbours[other].append((one, order))
            bonds.append((one, other, order))
            if bond.IsInRing():
                ring_bonds.add((one, other) if one < other else (other, one))
        return cls(
            elements=[atom.GetAtomicNum() for atom in atoms],
            charges=[atom.GetFormalCharge() for atom in atoms],
            hydrogens=[atom.GetTotalNumHs() for atom in atoms],
            are_aromatic=[atom.GetIsAromatic() for atom in atoms],
            in_ring=[atom.IsInRing() for atom in atoms],
            neighbours=neighbours,
            bonds=bonds,
            ring_bonds=ring_bonds,
        )

    def is_ring_bond(self, one: int, other: int) -> bool:
        """Return whether the bond between two atoms is in a ring."""
        return ((one, other) if one < other else (other, one)) in self.ring_bonds

    def make_key(self, atoms: Iterable[int], bonds: Iterable[int], root: int | None = None) -> str:
        """Return a string that identifies a substructure by its elements, aromaticity and bonds.

        Args:
            atoms: atoms of the substructure.
            bonds: indices of its bonds.
            root: an atom to distinguish from all others, whatever its element.
        """
        places = {atom: place for place, atom in enumerate(sorted(atoms))}
        kept_atoms = tuple((ROOT if atom == root else self.elements[atom], self.are_aromatic[atom]) for atom in places)
        kept_bonds = tuple(
            sorted(
                (places[one], places[other], order)
                if places[one] < places[other]
                else (places[other], places[one], order)
                for one, other, order in map(self.bonds.__getitem__, bonds)
            )
        )
        return _make_key(kept_atoms, kept_bonds)


@lru_cache(maxsize=100_000)
def _make_key(atoms: tuple[tuple[int, bool], ...], bonds: tuple[tuple[int, int, float], ...]) -> str:
    piece = Chem.RWMol()
    for element, is_aromatic in atoms:
        atom = Chem.Atom(element)
        atom.SetNoImplicit(True)
        atom.SetIsAromatic(is_aromatic)
        piece.AddAtom(atom)
    for one, other, order in bonds:
        number = piece.AddBond(one, other, BOND_TYPES[order])
        if order == AROMATIC:
            piece.GetBondWithIdx(number - 1).SetIsAromatic(True)
    return Chem.MolToSmiles(piece, isomericSmiles=False)
