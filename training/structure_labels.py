"""What RDKit tells of a molecule's structure, for a geometry tower to read off the geometry.

The molecule is that of the row's SMILES, its atoms those of the geometry: in their order if that is the SMILES's own,
as in RDKit's conformers, else matched by what lies within bonding distance.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from datasets import List, Value
from rdkit import Chem
from rdkit.Chem import Fragments, rdFingerprintGenerator
from rdkit.rdBase import BlockLogs
from torch import Tensor

from dataset_pubchem3d.quality.perception import bonds_are_near, elements, place_by_connections, placed_atoms

BOND_ORDERS = ("none", "single", "double", "triple", "aromatic")
FORMAL_CHARGES = ("negative", "neutral", "positive")
HYBRIDIZATIONS = ("S", "SP", "SP2", "SP3", "SP3D", "SP3D2", "other")
FUNCTIONAL_GROUPS = tuple(sorted(name for name in dir(Fragments) if name.startswith("fr_")))
FINGERPRINT_SIZE = 2048
INTEGERS = List(Value("int64"))
LABELS = {
    "bonds": List(INTEGERS),
    "is_in_ring": INTEGERS,
    "formal_charge": INTEGERS,
    "hybridization": INTEGERS,
    "fingerprint": INTEGERS,
    "functional_groups": INTEGERS,
}

ECFP4 = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=FINGERPRINT_SIZE)


def structure_labels(
    smiles: str | None, atomic_numbers: Sequence[int], positions: np.ndarray, remove_hydrogens: bool = False
) -> dict[str, list]:
    """Labels of one molecule, by the names of `LABELS`.

    Args:
        smiles: of the molecule, hydrogens aside.
        atomic_numbers: (atoms), all atoms or the heavy ones alone; hydrogens tell a hydroxyl from a carbonyl oxygen.
        positions: (atoms, 3), Å.
        remove_hydrogens: whether the labels are to be those of the heavy atoms, as in `read_molecule`.
    Returns:
        `bonds`: (bonds, 3), two atoms and the place in `BOND_ORDERS`; `is_in_ring`, `formal_charge` and
        `hybridization`: (atoms), the latter two by their places; `fingerprint`: the bits of ECFP4 that are on;
        `functional_groups`: (groups), how often the molecule has each.
    Raises:
        ValueError: the SMILES cannot be read, or is not of these atoms and bonds.
    """
    mol = molecule_of_geometry(smiles, atomic_numbers, positions)
    Chem.SetHybridization(mol)  # which hydrogens that were added have not
    heavy = Chem.RemoveHs(mol)
    if remove_hydrogens and mol.GetNumHeavyAtoms():
        mol = without_hydrogens(mol)
    hybridizations = [str(atom.GetHybridization()) for atom in mol.GetAtoms()]
    return {
        "bonds": [[bond.GetBeginAtomIdx(), bond.GetEndAtomIdx(), bond_order(bond)] for bond in mol.GetBonds()],
        "is_in_ring": [int(atom.IsInRing()) for atom in mol.GetAtoms()],
        "formal_charge": [int(np.sign(atom.GetFormalCharge())) + 1 for atom in mol.GetAtoms()],
        "hybridization": [HYBRIDIZATIONS.index(name if name in HYBRIDIZATIONS else "other") for name in hybridizations],
        "fingerprint": list(ECFP4.GetFingerprint(heavy).GetOnBits()),
        "functional_groups": [getattr(Fragments, name)(heavy) for name in FUNCTIONAL_GROUPS],
    }


def without_hydrogens(mol: Chem.Mol) -> Chem.Mol:
    """Its heavy atoms as they are, in their order."""
    edited = Chem.RWMol(mol)
    edited.BeginBatchEdit()
    for atom in mol.GetAtoms():
        if atom.GetAtomicNum() == 1:
            edited.RemoveAtom(atom.GetIdx())
    edited.CommitBatchEdit()
    return edited.GetMol()


def bond_order(bond: Chem.Bond) -> int:
    """Place in `BOND_ORDERS`; a bond of another kind, such as a dative one, counts as single."""
    name = str(bond.GetBondType()).lower()
    return BOND_ORDERS.index(name) if name in BOND_ORDERS[1:] else 1


def molecule_of_geometry(smiles: str | None, atomic_numbers: Sequence[int], positions: np.ndarray) -> Chem.Mol:
    """The molecule of the SMILES with its atoms in the order of the geometry."""
    positions = np.asarray(positions)
    with BlockLogs():
        template = Chem.MolFromSmiles(smiles or "")
        if template is None or template.GetNumAtoms() == 0:
            raise ValueError(f"RDKit cannot read the SMILES {smiles!r}, from which structure labels come")
        template = Chem.AddHs(template) if 1 in atomic_numbers else Chem.RemoveAllHs(template)
    atoms = placed_atoms(atomic_numbers, positions)
    if elements(template) != elements(atoms):
        raise ValueError(f"the atoms of the geometry are not those of its SMILES {smiles!r}; give all of its hydrogens")
    is_ordered = all(a.GetAtomicNum() == b for a, b in zip(template.GetAtoms(), atomic_numbers))
    mol = template if is_ordered and bonds_are_near(template, positions) else place_by_connections(template, atoms)
    if mol is None:
        raise ValueError(
            f"the bonds of its SMILES {smiles!r} do not join atoms of the geometry that are near each other"
        )
    return mol


def batch_of_labels(rows: Sequence[Mapping], num_columns: int) -> dict[str, Tensor]:
    """Labels of several molecules as tensors; -1 where there is no atom.

    Args:
        rows: with the columns `LABELS`.
        num_columns: of the batch of geometries; atoms start at column 1, after [CLS].
    Returns:
        `bond_order` (batch, columns, columns), `is_in_ring`, `formal_charge`, `hybridization` (batch, columns) int64;
        `fingerprint` (batch, `FINGERPRINT_SIZE`), `functional_groups` (batch, groups) float32.
    """
    shape = (len(rows), num_columns)
    batch = {name: torch.full(shape, -1) for name in ("is_in_ring", "formal_charge", "hybridization")}
    batch["bond_order"] = torch.full((*shape, num_columns), -1)
    batch["fingerprint"] = torch.zeros(len(rows), FINGERPRINT_SIZE)
    batch["functional_groups"] = torch.tensor([row["functional_groups"] for row in rows], dtype=torch.float32)
    for place, row in enumerate(rows):
        atoms = slice(1, 1 + len(row["is_in_ring"]))
        for name in ("is_in_ring", "formal_charge", "hybridization"):
            batch[name][place, atoms] = torch.tensor(row[name])
        batch["bond_order"][place, atoms, atoms] = 0
        begin, end, order = (torch.tensor(row["bonds"], dtype=torch.int64).reshape(-1, 3) + torch.tensor([1, 1, 0])).T
        batch["bond_order"][place, begin, end] = batch["bond_order"][place, end, begin] = order
        batch["bond_order"][place].fill_diagonal_(-1)
        batch["fingerprint"][place, row["fingerprint"]] = 1
    return batch
