"""Structure labels: compared with RDKit on the SMILES, computed by hand, and in any atom order."""

import numpy as np
import pytest
import torch
from rdkit import Chem
from rdkit.Chem import Fragments, rdMolDescriptors

from dataset_pubchem3d.chemistry.structure import BOND_ORDERS, FUNCTIONAL_GROUPS, HYBRIDIZATIONS
from geomclip_tools.training.structure_labels import LABELS, collate_labels, label_structure
from modeling_geomclip import read_molecule

SMILES = ("CC(=O)Oc1ccccc1C(=O)O", "C[N+](C)(C)CC(=O)[O-]", "N#Cc1ccncc1", "C1C2CC12", "CS(C)(=O)=O", "C[C@H](N)O")


def labels_of(smiles: str, remove_hydrogens: bool = False, order: np.ndarray | None = None) -> tuple[dict, dict]:
    molecule = read_molecule(smiles, remove_hydrogens=remove_hydrogens)
    if order is not None:
        molecule = {name: values[order] for name, values in molecule.items()}
    return molecule, label_structure(smiles, molecule["atomic_numbers"], molecule["positions"])


@pytest.mark.parametrize("remove_hydrogens", [True, False])
@pytest.mark.parametrize("smiles", SMILES)
def test_labels_are_those_of_the_smiles(smiles, remove_hydrogens):
    molecule, labels = labels_of(smiles, remove_hydrogens)
    mol = Chem.MolFromSmiles(smiles)
    mol = mol if remove_hydrogens else Chem.AddHs(mol)
    Chem.SanitizeMol(mol)
    assert molecule["atomic_numbers"].tolist() == [atom.GetAtomicNum() for atom in mol.GetAtoms()]
    assert labels.keys() == set(LABELS)
    adjacency = np.zeros((mol.GetNumAtoms(),) * 2)
    for begin, end, order in labels["bonds"]:
        adjacency[begin, end] = adjacency[end, begin] = {"aromatic": 1.5, "single": 1, "double": 2, "triple": 3}[
            BOND_ORDERS[order]
        ]
    assert np.array_equal(adjacency, Chem.GetAdjacencyMatrix(mol, useBO=True))
    assert labels["formal_charge"] == [1 + np.sign(atom.GetFormalCharge()) for atom in mol.GetAtoms()]
    assert np.flatnonzero(labels["is_in_ring"]).tolist() == [a.GetIdx() for a in mol.GetAtoms() if a.IsInRing()]
    assert [HYBRIDIZATIONS[label] for label in labels["hybridization"]] == [
        str(atom.GetHybridization()) for atom in mol.GetAtoms()
    ]


@pytest.mark.parametrize("smiles", [smiles for smiles in SMILES if "[O-]" not in smiles])
def test_atoms_in_another_order_have_the_same_labels(smiles):
    """Carboxylates are excluded: which of their oxygens has the charge is a convention."""
    molecule, straight = labels_of(smiles)
    order = np.random.default_rng(0).permutation(len(molecule["atomic_numbers"]))
    _, permuted = labels_of(smiles, order=order)
    for name in ("is_in_ring", "formal_charge", "hybridization"):
        assert permuted[name] == [straight[name][place] for place in order], name
    assert permuted["fingerprint"] == straight["fingerprint"]
    assert permuted["functional_groups"] == straight["functional_groups"]
    bonds = {(*sorted((int(order[begin]), int(order[end]))), kind) for begin, end, kind in permuted["bonds"]}
    assert bonds == {(*sorted(bond[:2]), bond[2]) for bond in straight["bonds"]}


def test_salts_have_the_charges_and_no_bond_of_their_ions():
    molecule, labels = labels_of("[Na+].CC(=O)[O-]", remove_hydrogens=True)
    charges = dict(zip(molecule["atomic_numbers"].tolist(), labels["formal_charge"]))
    sodium = molecule["atomic_numbers"].tolist().index(11)
    assert (charges[11], charges[6], labels["formal_charge"].count(0)) == (2, 1, 1)
    assert sorted(kind for _, _, kind in labels["bonds"]) == [1, 1, 2]
    assert sodium not in {atom for begin, end, _ in labels["bonds"] for atom in (begin, end)}


def test_hydrogens_tell_the_oxygens_of_an_acid_apart_before_they_are_left_out():
    molecule, _ = labels_of("CC(=O)O")
    order = np.random.default_rng(1).permutation(8)
    numbers, positions = molecule["atomic_numbers"][order], molecule["positions"][order]
    labels = label_structure("CC(=O)O", numbers, positions, remove_hydrogens=True)
    heavy, heavy_positions = numbers[numbers > 1], positions[numbers > 1]
    for begin, end, kind in labels["bonds"]:
        length = np.linalg.norm(heavy_positions[begin] - heavy_positions[end])
        if {heavy[begin], heavy[end]} == {6, 8}:
            assert (BOND_ORDERS[kind] == "double") == (length < 1.28)
    assert len(labels["bonds"]) == 3
    assert len(labels["hybridization"]) == 4


def test_of_the_molecule_as_a_whole():
    _, labels = labels_of("CC(=O)Oc1ccccc1C(=O)O")
    fingerprint = rdMolDescriptors.GetMorganFingerprintAsBitVect(Chem.MolFromSmiles("CC(=O)Oc1ccccc1C(=O)O"), 2, 2048)
    assert labels["fingerprint"] == list(fingerprint.GetOnBits())
    counts = dict(zip(FUNCTIONAL_GROUPS, labels["functional_groups"]))
    assert (counts["fr_ester"], counts["fr_COO"], counts["fr_benzene"], counts["fr_NH2"]) == (1, 1, 1, 0)
    assert len(FUNCTIONAL_GROUPS) == len(Fragments.fns)


@pytest.mark.parametrize(
    ("smiles", "rule"),
    [
        (None, "RDKit cannot read the SMILES None"),
        ("C1CC", "RDKit cannot read the SMILES 'C1CC'"),
        ("CCN", "the geometry does not have the atoms of its SMILES 'CCN'"),
        ("COC", "bonded atoms are too far apart"),
    ],
)
def test_what_is_not_of_the_geometry_is_refused(smiles, rule):
    molecule = read_molecule("CCO")
    with pytest.raises(ValueError, match=rule):
        label_structure(smiles, molecule["atomic_numbers"], molecule["positions"])


def test_batches_hold_minus_one_where_there_is_no_atom():
    rows = [labels_of(smiles, remove_hydrogens=True)[1] for smiles in ("C=O", "[Cl-].[Na+]", "C")]
    batch = collate_labels(rows, num_columns=5)
    assert batch["bond_order"].shape == (3, 5, 5)
    first, salt, single = batch["bond_order"]
    assert first.tolist()[1:3] == [[-1, -1, 2, -1, -1], [-1, 2, -1, -1, -1]]
    assert salt.tolist()[1] == [-1, -1, 0, -1, -1]
    for row in (*first[[0, 3, 4]], *single):
        assert row.tolist() == [-1] * 5
    assert batch["formal_charge"].tolist() == [[-1, 1, 1, -1, -1], [-1, 0, 2, -1, -1], [-1, 1, -1, -1, -1]]
    assert batch["fingerprint"].sum(dim=1).tolist() == [len(row["fingerprint"]) for row in rows]
    assert batch["functional_groups"].dtype == torch.float32
