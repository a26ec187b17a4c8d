import pytest
from rdkit import Chem

from dataset_pubchem3d.chemistry.molecular_graph import MolecularGraph
from dataset_pubchem3d.chemistry.ring_names import find_ring_systems
from dataset_pubchem3d.chemistry.sugars import find_sugars, name_nucleosides, name_saccharides


def read(smiles):
    mol = Chem.MolFromSmiles(smiles)
    graph = MolecularGraph.from_mol(mol)
    systems = find_ring_systems(mol, graph)
    return graph, systems, find_sugars(graph, systems)


@pytest.mark.parametrize(
    ("smiles", "kinds"),
    [
        ("OCC1OC(O)C(O)C(O)C1O", ["pyranose"]),
        ("OCC1OC(O)C(O)C1O", ["furanose"]),
        ("C1CCOCC1", []),
        ("OC1CCCCO1", []),
        ("C1COC(O1)", []),
        ("OC1CCCCC1O", []),
        ("O=C1OC(CO)C(O)C(O)C1O", []),  # a lactone
        ("OCC1OC(OC2(CO)OC(CO)C(O)C2O)C(O)C(O)C1O", ["furanose", "pyranose"]),
    ],
)
def test_sugar_rings(smiles, kinds):
    assert sorted(sugar.kind for sugar in read(smiles)[2]) == kinds


@pytest.mark.parametrize(
    ("smiles", "names"),
    [
        ("OCC1OC(O)C(O)C(O)C1O", ["monosaccharide"]),
        ("COC1OC(CO)C(O)C(O)C1O", ["glycoside", "monosaccharide derivative"]),
        ("CC1OC(O)C(O)C(O)C1O", ["monosaccharide", "deoxy sugar"]),
        ("CC(=O)OC1OC(CO)C(O)C(O)C1O", ["monosaccharide derivative"]),  # an ester is not a glycoside
        ("CSC1OC(CO)C(O)C(O)C1O", ["thioglycoside", "monosaccharide derivative"]),
        ("OCC1OC(c2ccccc2)C(O)C(O)C1O", ["C-glycosyl compound", "monosaccharide derivative"]),
        ("OCC1OC(OC2C(CO)OC(O)C(O)C2O)C(O)C(O)C1O", ["disaccharide"]),
        ("COC1OC(C(=O)O)C(O)C(O)C1O", ["glycoside", "monosaccharide derivative", "uronic acid derivative"]),
    ],
)
def test_saccharides(smiles, names):
    graph, _, sugars = read(smiles)
    assert name_saccharides(graph, sugars) == names


@pytest.mark.parametrize(
    ("smiles", "names"),
    [
        ("Nc1ncnc2n(cnc12)C1OC(CO)C(O)C1O", ["purine nucleoside", "nucleoside"]),
        ("O=c1ccn(C2OC(COP(=O)(O)O)C(O)C2O)c(=O)[nH]1", ["pyrimidine nucleotide", "nucleotide"]),
        ("COC1OC(CO)C(O)C1O", []),
        ("OCC1OC(n2cccc2)C(O)C1O", []),  # pyrrole is not a nucleobase
    ],
)
def test_nucleosides(smiles, names):
    graph, systems, sugars = read(smiles)
    assert name_nucleosides(graph, sugars, systems) == names
