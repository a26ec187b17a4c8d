import pytest
from rdkit import Chem

from dataset_pubchem3d.chemistry.frames import find_frames
from dataset_pubchem3d.chemistry.group_rules import count_groups
from dataset_pubchem3d.chemistry.molecular_graph import MolecularGraph


def find(smiles):
    mol = Chem.MolFromSmiles(smiles)
    graph = MolecularGraph.from_mol(mol)
    return find_frames(mol, graph, count_groups(mol, frozenset(graph.elements)))


@pytest.mark.parametrize(
    ("smiles", "names"),
    [
        ("C1CCC2C(C1)CCC1C2CCC2CCCC21", ["steroid"]),
        ("C1CCC2C(C1)CCC1C2CCC2CCCCC21", []),  # four rings of six
        ("CC12CCCCC1CCC1C2CCC2(C)C1CCC2", ["steroid", "androstanoid"]),
        ("CC12CCC(=O)CC1CCC1C2CCC2(C)C1CCC2O", ["steroid", "3-oxo steroid", "17-hydroxy steroid", "androstanoid"]),
        ("O=c1cc(-c2ccccc2)oc2ccccc12", ["flavone", "flavonoid"]),
        ("O=c1cc(-c2ccc(O)cc2)oc2cc(OC)ccc12", ["flavone", "monohydroxyflavone", "monomethoxyflavone", "flavonoid"]),
        ("O=c1cc(-c2ccncc2)oc2ccccc12", []),
        ("O=C(C=Cc1ccccc1)c1ccccc1", []),
        ("Nc1ncnc2[nH]cnc12", ["adenine"]),
        ("O=c1cc(N)[nH]c(=O)[nH]1", []),
        ("CCO", []),
    ],
)
def test_frames(smiles, names):
    assert find(smiles) == names
