"""Geometries of other molecules are detected; undecidable cases pass."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from rdkit import Chem

from dataset_pubchem3d.chemistry.agreement import find_disagreement

REAL = Path(__file__).resolve().parents[4] / "shared" / "data" / "text_pairs.parquet"


def compare(smiles, mol, order=None, is_kept=None):
    """The result for a conformer with its atoms reordered and some of them dropped."""
    numbers = np.array([atom.GetAtomicNum() for atom in mol.GetAtoms()])
    order = np.arange(len(numbers)) if order is None else order
    order = order if is_kept is None else order[is_kept(numbers[order])]
    return find_disagreement(Chem.MolFromSmiles(smiles), numbers[order], mol.GetConformer().GetPositions()[order])


@pytest.mark.parametrize(
    ("smiles", "other"),
    [("CCO", "CCN"), ("CCO", "CCCO"), ("CC=O", "CCO"), ("CCO", "CCO.O"), ("CC(=O)[O-]", "CC(=O)O"), ("C", "N")],
)
def test_other_atoms_are_another_molecule(smiles, other, conformer_of):
    found = compare(smiles, conformer_of(other) if "." not in other else side_by_side(other, conformer_of))
    assert ", the structure has " in found


def side_by_side(smiles, conformer_of):
    first, second = (conformer_of(part) for part in smiles.split("."))
    return Chem.CombineMols(first, second, Chem.rdGeometry.Point3D(9, 0, 0))


def test_both_formulas_are_stated(conformer_of):
    assert compare("CCO", conformer_of("CNCl")) == "they have CH4ClN, the structure has C2H6O"


@pytest.mark.parametrize(
    ("smiles", "other"),
    [
        ("CCCCO", "CCOCC"),
        ("C1CC1", "C=CC"),
        ("C=CCC", "CC=CC"),
        ("CC(=O)C", "C1CC1O"),
        ("OC(=O)c1ccccc1O", "OC(=O)c1cccc(O)c1"),
        ("C#CC", "C=C=C"),
    ],
)
def test_other_bonds_of_the_same_atoms_are_another_molecule(smiles, other, conformer_of):
    mol = conformer_of(other)
    shuffled = np.random.default_rng(1).permutation(mol.GetNumAtoms())
    assert "they show the bonds of" in compare(smiles, mol, shuffled)


@pytest.mark.parametrize(
    ("smiles", "other"),
    [
        ("CCO", "OCC"),
        ("C[C@H](N)O", "C[C@@H](N)O"),  # stereochemistry is compared elsewhere
        ("NCC(=O)O", "[NH3+]CC(=O)[O-]"),
        ("O=c1cccc[nH]1", "Oc1ccccn1"),  # tautomers have one key
        ("C[N+](C)(C)CC(=O)[O-]", "C[N+](C)(C)CC([O-])=O"),
        ("[2H]C([2H])([2H])O", "CO"),
        ("F[P-](F)(F)(F)(F)F", "F[P-](F)(F)(F)(F)F"),
        ("C12C3C4C1C5C2C3C45", "C12C3C4C1C5C2C3C45"),  # cubane
        ("C12(CC1)CC2", "C12(CC1)CC2"),
    ],
)
def test_other_spellings_of_a_molecule_agree(smiles, other, conformer_of):
    mol = conformer_of(other)
    shuffled = np.random.default_rng(1).permutation(mol.GetNumAtoms())
    assert compare(smiles, mol, shuffled) == ""


@pytest.mark.parametrize("kept", [lambda z: z > 1, lambda z: (z > 1) | (np.cumsum(z == 1) <= 2)], ids=["none", "some"])
def test_hydrogens_may_be_missing(kept, conformer_of):
    mol = conformer_of("CC(=O)Nc1ccc(O)cc1")
    assert compare("CC(=O)Nc1ccc(O)cc1", mol, is_kept=kept) == ""
    assert ", the structure has " in compare("CC(=O)Nc1ccccc1", mol, is_kept=kept)


def test_salts_and_dummy_atoms_pass(conformer_of):
    assert compare("[Na+].[Cl-]", side_by_side("[Na+].[Cl-]", conformer_of)) == ""
    assert compare("*C", conformer_of("CC")) == ""


def test_a_geometry_with_ambiguous_bonds_passes(conformer_of):
    stretched = conformer_of("CCOCC")
    stretched.GetConformer().SetPositions(1.5 * stretched.GetConformer().GetPositions())
    assert compare("CCCCO", stretched) == ""


@pytest.mark.skipif(not REAL.exists(), reason=f"{REAL} is absent")
def test_real_pairs_agree():
    for row in pq.read_table(REAL, columns=["smiles", "atomic_numbers", "positions"]).to_pylist()[::9]:
        mol = Chem.MolFromSmiles(row["smiles"].replace("\\\\", "\\"))
        assert find_disagreement(mol, row["atomic_numbers"], np.reshape(row["positions"], (-1, 3))) == ""
