"""Structure labels from RDKit, for a tower to predict from the geometry or the text of a molecule.

RDKit reads the structure from the SMILES of the row. Its atoms are matched to those of the geometry: one to one if the
geometry has the atom order of the SMILES, as RDKit's conformers do, and otherwise by bonding distances.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from datasets import List, Value
from rdkit import Chem
from torch import Tensor

from dataset_pubchem3d.chemistry.fingerprints import FINGERPRINT_SIZE, make_ecfp4
from dataset_pubchem3d.chemistry.perception import arrange_molecule
from dataset_pubchem3d.chemistry.structure import (
    count_functional_groups,
    keep_heavy_atoms,
    list_bonds,
    list_formal_charges,
    list_hybridizations,
    list_ring_membership,
)
from modeling_geomclip.rdkit_log_geomclip import silence_rdkit

INTEGERS = List(Value("int64"))
OF_MOLECULES = {"fingerprint": INTEGERS, "functional_groups": INTEGERS}
TEXT_TARGETS = OF_MOLECULES | {"elements": INTEGERS}
NUM_ELEMENTS = 119  # atomic numbers from 0
LABELS = {
    "bonds": List(INTEGERS),
    "is_in_ring": INTEGERS,
    "formal_charge": INTEGERS,
    "hybridization": INTEGERS,
    **OF_MOLECULES,
}


def label_structure(
    smiles: str | None, atomic_numbers: Sequence[int], positions: np.ndarray, remove_hydrogens: bool = False
) -> dict[str, list]:
    """Label the structure of one molecule, with the columns `LABELS`.

    Args:
        smiles: SMILES of the molecule; its hydrogens may be implicit.
        atomic_numbers: (atoms,), of all atoms or only of the heavy atoms. Hydrogens help to tell a hydroxyl oxygen from
            a carbonyl oxygen.
        positions: (atoms, 3), Å.
        remove_hydrogens: whether to label only the heavy atoms, as in `read_molecule`.
    Returns:
        `bonds`: (bonds, 3), two atom indices and the index of the order in `BOND_ORDERS`; `is_in_ring`: (atoms,);
        `formal_charge` and `hybridization`: (atoms,), indices in `FORMAL_CHARGES` and `HYBRIDIZATIONS`; `fingerprint`:
        set bits of ECFP4; `functional_groups`: (groups,), counts.
    Raises:
        ValueError: RDKit cannot read the SMILES, or it does not have the atoms and bonds of the geometry.
    """
    mol = arrange_molecule(smiles, atomic_numbers, positions)
    Chem.SetHybridization(mol)  # added hydrogens have none yet
    heavy = Chem.RemoveHs(mol)
    if remove_hydrogens and mol.GetNumHeavyAtoms():
        mol = keep_heavy_atoms(mol)
    return {
        "bonds": list_bonds(mol),
        "is_in_ring": list_ring_membership(mol),
        "formal_charge": list_formal_charges(mol),
        "hybridization": list_hybridizations(mol),
        "fingerprint": list(make_ecfp4().GetFingerprint(heavy).GetOnBits()),
        "functional_groups": count_functional_groups(heavy),
    }


def label_text_targets(smiles: str | None) -> dict[str, list]:
    """Label what the heads of the text embedding predict, with the columns `TEXT_TARGETS`.

    Returns:
        `fingerprint`: set bits of ECFP4; `functional_groups`: (groups,), counts; `elements`: atomic numbers of the
        atoms, without implicit hydrogens.
    Raises:
        ValueError: RDKit cannot read the SMILES.
    """
    with silence_rdkit():
        mol = Chem.MolFromSmiles(smiles or "")
    if mol is None or not smiles:
        raise ValueError(f"RDKit cannot read {smiles!r} as SMILES; correct it or remove its row")
    return {
        "fingerprint": list(make_ecfp4().GetFingerprint(mol).GetOnBits()),
        "functional_groups": count_functional_groups(mol),
        "elements": [atom.GetAtomicNum() for atom in mol.GetAtoms()],
    }


def collate_text_targets(rows: Sequence[Mapping]) -> dict[str, Tensor]:
    """Collate the labels of `label_text_targets` into float32 tensors.

    Returns:
        `fingerprint` (batch, `FINGERPRINT_SIZE`), 0 or 1; `functional_groups` (batch, groups) and `elements` (batch,
        `NUM_ELEMENTS`), counts.
    """
    elements = [torch.tensor(row["elements"]).bincount(minlength=NUM_ELEMENTS) for row in rows]
    return {**collate_molecule_labels(rows), "elements": torch.stack(elements).float()}


def collate_molecule_labels(rows: Sequence[Mapping]) -> dict[str, Tensor]:
    """Return `fingerprint` (batch, `FINGERPRINT_SIZE`) and `functional_groups` (batch, groups), float32."""
    fingerprints = torch.zeros(len(rows), FINGERPRINT_SIZE)
    for place, row in enumerate(rows):
        fingerprints[place, row["fingerprint"]] = 1
    groups = torch.tensor([row["functional_groups"] for row in rows], dtype=torch.float32)
    return {"fingerprint": fingerprints, "functional_groups": groups}


def collate_labels(rows: Sequence[Mapping], num_columns: int) -> dict[str, Tensor]:
    """Collate the structure labels of several molecules. Positions without an atom are labelled -1.

    Args:
        rows: with the columns `LABELS`.
        num_columns: width of the padded geometry batch; atoms start at column 1, after [CLS].
    Returns:
        `bond_order` (batch, columns, columns), `is_in_ring`, `formal_charge`, `hybridization` (batch, columns) int64;
        `fingerprint` (batch, `FINGERPRINT_SIZE`), `functional_groups` (batch, groups) float32.
    """
    shape = (len(rows), num_columns)
    batch = {name: torch.full(shape, -1) for name in ("is_in_ring", "formal_charge", "hybridization")}
    batch["bond_order"] = torch.full((*shape, num_columns), -1)
    batch |= collate_molecule_labels(rows)
    for place, row in enumerate(rows):
        atoms = slice(1, 1 + len(row["is_in_ring"]))
        for name in ("is_in_ring", "formal_charge", "hybridization"):
            batch[name][place, atoms] = torch.tensor(row[name])
        batch["bond_order"][place, atoms, atoms] = 0
        begin, end, order = (torch.tensor(row["bonds"], dtype=torch.int64).reshape(-1, 3) + torch.tensor([1, 1, 0])).T
        batch["bond_order"][place, begin, end] = batch["bond_order"][place, end, begin] = order
        batch["bond_order"][place].fill_diagonal_(-1)
    return batch
