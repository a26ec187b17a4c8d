import pytest
from rdkit import Chem

from dataset_pubchem3d.chemistry.lipids import Chain, find_lipid, find_longest_chain
from dataset_pubchem3d.chemistry.molecular_graph import MolecularGraph

ACID = Chem.MolFromSmarts("C(=O)[OX2H1,OX1-]")


def find(smiles):
    mol = Chem.MolFromSmiles(smiles)
    return find_lipid(mol, MolecularGraph.from_mol(mol), len(mol.GetSubstructMatches(ACID)))


@pytest.mark.parametrize(
    ("smiles", "names"),
    [
        ("CCCCCCCCCCCCCCCC(=O)O", ["straight-chain saturated fatty acid", "long-chain fatty acid"]),
        ("CC(=O)O", []),
        ("CCCCCC(=O)[O-]", ["straight-chain saturated fatty acid anion", "medium-chain fatty acid anion"]),
        ("CCCC=CCCC(=O)O", ["monounsaturated fatty acid", "medium-chain fatty acid"]),
        ("CC(C)CCCCC(=O)O", ["branched-chain saturated fatty acid", "medium-chain fatty acid"]),
        ("OCCCCCC(=O)O", ["medium-chain fatty acid", "hydroxy fatty acid", "omega-hydroxy fatty acid"]),
        ("CC(=O)CCCC(=O)O", ["medium-chain fatty acid", "oxo fatty acid"]),
        ("OC(=O)CCCCC(=O)O", ["alpha,omega-dicarboxylic acid"]),
        ("OC(=O)CC(C)CC(=O)O", []),
        ("COCCCC(=O)O", []),
        ("CCCCCCCCCC(=O)OC", ["fatty acid ester"]),
        ("CCCCCCCCCC(=O)NC", ["fatty amide"]),
        ("CCCC(=O)OC", []),
        ("CC(=O)OCC(OC(C)=O)COC(C)=O", ["triglyceride", "glycerolipid"]),
        ("CC(=O)OCC(O)COP(=O)(O)O", ["lysophospholipid", "glycerophospholipid"]),
        ("OCC(O)COP(=O)(O)O", []),
        ("CCCCCCCCCCCCCCC(O)C(N)CO", ["sphingoid", "sphingolipid"]),
        ("CC(O)C(N)CO", []),
    ],
)
def test_names(smiles, names):
    assert list(find(smiles).names) == names


def test_an_ether_counts_as_a_chain():
    ether = "CCCCCCCCCCCCCCCCOCC(COP(=O)([O-])OCC[N+](C)(C)C)OC(C)=O"
    assert find(ether).names == ("glycerophosphocholine", "glycerophospholipid")


def test_chains():
    assert find("CCCCCCCCC=CCCCCCCCC(=O)OC").chains == (Chain(18, 1, True),)
    assert find("CCCCCCC(O)CC=CCCCCCCCC(=O)OC").chains == (Chain(18, 1, False),)
    assert find("CCCCCCCC(CC)CC(=O)OC").chains == ()


@pytest.mark.parametrize(
    ("smiles", "length"), [("CCCCC", 5), ("CC(C)(C)CC", 4), ("CCOCCC", 3), ("c1ccccc1CCC", 3), ("c1ccccc1", 0)]
)
def test_longest_chain(smiles, length):
    assert find_longest_chain(MolecularGraph.from_mol(Chem.MolFromSmiles(smiles))) == length
