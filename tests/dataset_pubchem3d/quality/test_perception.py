import numpy as np
import pytest
from rdkit import Chem

from dataset_pubchem3d.quality.geometry_comparison import embed_conformers
from dataset_pubchem3d.quality.perception import assign_stereo, perceive_molecule


@pytest.mark.parametrize("smiles", ["C[C@@H]1C[C@H]1O", "C[C@H]1C[C@H]1O", r"C/C=C\CO", "C/C=C/CO"])
def test_a_record_without_stereo_is_compared_as_the_isomer_of_its_geometry(smiles, embedded, row_of):
    mol = embedded(smiles)
    flat = Chem.MolToSmiles(Chem.RemoveHs(mol), isomericSmiles=False)
    order = np.random.default_rng(3).permutation(mol.GetNumAtoms())
    stored = perceive_molecule(row_of(mol, flat, order), "x")
    assert Chem.MolToSmiles(Chem.RemoveHs(stored)) == Chem.CanonSmiles(smiles)
    many = embed_conformers(stored, 5, 42, "x")
    for conformer in many.GetConformers():
        shown = Chem.Mol(many)
        Chem.AssignStereochemistryFrom3D(shown, conformer.GetId())
        assert Chem.MolToSmiles(Chem.RemoveHs(shown)) == Chem.CanonSmiles(smiles)


def test_stereo_is_rdkits_for_ordinary_molecules_and_follows_the_mirror(embedded, mirrored):
    mol = embedded("C[C@H](O)[C@@H](N)/C=C/[C@H]1CO1")
    expected, mirror = Chem.Mol(mol), mirrored(mol)
    Chem.AssignStereochemistryFrom3D(expected)
    assign_stereo(mol)
    assert Chem.MolToSmiles(mol) == Chem.MolToSmiles(expected)
    assign_stereo(mirror)
    labels = [dict(Chem.FindMolChiralCenters(m, useLegacyImplementation=False)) for m in (mol, mirror)]
    assert len(labels[0]) == 3
    assert labels[1] == {atom: {"R": "S", "S": "R"}[label] for atom, label in labels[0].items()}


def test_atoms_of_strained_cages_keep_their_handedness():
    mol = Chem.AddHs(Chem.MolFromSmiles("CC1(C)C(=O)[C@]2(O)C[C@H]12"))  # an atom has all four neighbours on one side
    many = embed_conformers(mol, 5, 42, "x")
    for conformer in many.GetConformers():
        shown = Chem.Mol(many)
        assign_stereo(shown, conformer.GetId())
        assert Chem.MolToSmiles(shown) == Chem.MolToSmiles(mol)


def test_charges_and_bond_orders_are_those_of_the_record(embedded, row_of):
    mol = embedded("C[N+](C)(C)CC(=O)[O-]")
    stored = perceive_molecule(row_of(mol), "x")
    assert Chem.MolToSmiles(Chem.RemoveHs(stored)) == Chem.MolToSmiles(Chem.RemoveHs(mol))
    assert np.allclose(stored.GetConformer().GetPositions(), mol.GetConformer().GetPositions(), atol=1e-5)
