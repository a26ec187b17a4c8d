import pytest
from rdkit import Chem

from dataset_pubchem3d.chemistry.molecular_graph import MolecularGraph
from dataset_pubchem3d.chemistry.peptides import SIDE_CHAINS, find_amino_acid, find_peptide


def read(smiles):
    mol = Chem.MolFromSmiles(smiles)
    return mol, MolecularGraph.from_mol(mol)


@pytest.mark.parametrize(("name", "side_chain"), SIDE_CHAINS.items())
def test_every_amino_acid_is_known(name, side_chain):
    smiles = "OC(=O)C1CCCN1" if name == "proline" else f"N{side_chain[0]}(C(=O)O){side_chain[1:]}"
    assert find_amino_acid(*read(smiles)) == name


@pytest.mark.parametrize(
    ("smiles", "name", "residues"),
    [
        ("CC(N)C(=O)NCC(=O)O", "dipeptide", ("alanine", "glycine")),
        ("C[C@H]([NH3+])C(=O)NCC(=O)[O-]", "dipeptide", ("alanine", "glycine")),
        ("NCC(=O)N1CCCC1C(=O)O", "dipeptide", ("glycine", "proline")),
        ("CC(=O)NCC(=O)NCC(=O)O", "dipeptide derivative", ("glycine", "glycine")),
        ("NCC(=O)NCC(=O)NCC(=O)O", "tripeptide", ("glycine",) * 3),
        ("O=C1CNC(=O)CN1", "cyclic peptide", ("glycine", "glycine")),
        ("NCC(=O)NC(CCCCCCC)C(=O)O", "dipeptide derivative", ()),  # one residue is unknown
    ],
)
def test_peptides(smiles, name, residues):
    peptide = find_peptide(*read(smiles))
    assert (peptide.name, peptide.residues) == (name, residues)


@pytest.mark.parametrize(
    "smiles",
    [
        "NCC(=O)O",
        "CC(=O)NCC(=O)O",
        "CC1(C)SC2C(NC(=O)C)C(=O)N2C1C(=O)O",  # amide bonds in small rings do not make a peptide
        "CN1C(=O)CN=C(c2ccccc2)c2ccccc21",
        "O=C1CNC(=O)N1",
    ],
)
def test_molecules_that_are_not_peptides(smiles):
    assert find_peptide(*read(smiles)) is None


def test_an_amide_of_glycine_is_not_glycine():
    assert find_amino_acid(*read("CCN(CC)CC(=O)Nc1ccccc1")) is None
