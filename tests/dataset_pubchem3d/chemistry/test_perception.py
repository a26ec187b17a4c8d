import numpy as np
import pytest
from rdkit import Chem

from dataset_pubchem3d.chemistry.perception import (
    PerceptionError,
    arrange_molecule,
    assign_stereo,
    perceive_bonds,
    perceive_molecule,
    place_atoms,
)
from dataset_pubchem3d.quality.geometry_comparison import make_conformers


def perceive(row):
    template = Chem.AddHs(Chem.MolFromSmiles(row["smiles"]))
    return perceive_molecule(template, row["inchikey"], row["atomic_numbers"], np.array(row["positions"]))


@pytest.mark.parametrize("smiles", ["C[C@@H]1C[C@H]1O", "C[C@H]1C[C@H]1O", r"C/C=C\CO", "C/C=C/CO"])
def test_a_record_without_stereo_gets_the_stereo_of_its_geometry(smiles, conformer_of, row_of):
    mol = conformer_of(smiles)
    flat = Chem.MolToSmiles(Chem.RemoveHs(mol), isomericSmiles=False)
    order = np.random.default_rng(3).permutation(mol.GetNumAtoms())
    stored = perceive(row_of(mol, flat, order))
    assert Chem.MolToSmiles(Chem.RemoveHs(stored)) == Chem.CanonSmiles(smiles)
    many = make_conformers(stored, 5, 42, "x")
    for conformer in many.GetConformers():
        shown = Chem.Mol(many)
        Chem.AssignStereochemistryFrom3D(shown, conformer.GetId())
        assert Chem.MolToSmiles(Chem.RemoveHs(shown)) == Chem.CanonSmiles(smiles)


def test_stereo_equals_rdkits_for_ordinary_molecules_and_is_inverted_by_a_mirror(conformer_of, mirrored):
    mol = conformer_of("C[C@H](O)[C@@H](N)/C=C/[C@H]1CO1")
    expected, mirror = Chem.Mol(mol), mirrored(mol)
    Chem.AssignStereochemistryFrom3D(expected)
    assign_stereo(mol)
    assert Chem.MolToSmiles(mol) == Chem.MolToSmiles(expected)
    assign_stereo(mirror)
    labels = [dict(Chem.FindMolChiralCenters(m, useLegacyImplementation=False)) for m in (mol, mirror)]
    assert len(labels[0]) == 3
    assert labels[1] == {atom: {"R": "S", "S": "R"}[label] for atom, label in labels[0].items()}


def test_atoms_of_strained_cages_keep_their_handedness():
    mol = Chem.AddHs(Chem.MolFromSmiles("CC1(C)C(=O)[C@]2(O)C[C@H]12"))  # one atom has all four neighbours on one side
    many = make_conformers(mol, 5, 42, "x")
    for conformer in many.GetConformers():
        shown = Chem.Mol(many)
        assign_stereo(shown, conformer.GetId())
        assert Chem.MolToSmiles(shown) == Chem.MolToSmiles(mol)


def test_charges_and_bond_orders_come_from_the_record(conformer_of, row_of):
    mol = conformer_of("C[N+](C)(C)CC(=O)[O-]")
    stored = perceive(row_of(mol))
    assert Chem.MolToSmiles(Chem.RemoveHs(stored)) == Chem.MolToSmiles(Chem.RemoveHs(mol))
    assert np.allclose(stored.GetConformer().GetPositions(), mol.GetConformer().GetPositions(), atol=1e-5)


@pytest.mark.parametrize("smiles", ["CC(=O)Oc1ccccc1C(=O)O", "C[N+](=O)[O-]", "CC#N"])
def test_bonds_and_their_orders_follow_from_distances_and_charge(smiles, conformer_of):
    mol = conformer_of(smiles)
    numbers = [atom.GetAtomicNum() for atom in mol.GetAtoms()]
    found = perceive_bonds(place_atoms(numbers, mol.GetConformer().GetPositions()), charge=0)
    assert Chem.MolToSmiles(Chem.RemoveHs(found)) == Chem.CanonSmiles(smiles)


def test_a_geometry_of_another_molecule_is_refused_by_a_reason_that_can_be_counted(conformer_of, row_of):
    row, other = row_of(conformer_of("CCCCO")), row_of(conformer_of("CCOCC"))
    with pytest.raises(PerceptionError) as refused:
        perceive({**other, "smiles": row["smiles"], "inchikey": row["inchikey"]})
    assert refused.value.reason == "the geometry shows another molecule than its record"
    assert refused.value.detail == other["inchikey"]
    with pytest.raises(PerceptionError, match="the geometry does not have the atoms of its record"):
        perceive({**row, "smiles": "CCCCN"})


def test_a_molecule_gets_the_atom_order_of_its_geometry(conformer_of, row_of):
    mol = conformer_of("OCC#CN")
    order = np.random.default_rng(1).permutation(mol.GetNumAtoms())
    row = row_of(mol, order=order)
    arranged = arrange_molecule(row["smiles"], row["atomic_numbers"], row["positions"])
    assert [atom.GetAtomicNum() for atom in arranged.GetAtoms()] == row["atomic_numbers"]
    for bond in mol.GetBonds():
        ends = (int(np.flatnonzero(order == index)[0]) for index in (bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()))
        assert arranged.GetBondBetweenAtoms(*ends).GetBondType() == bond.GetBondType()
