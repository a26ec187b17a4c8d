import pytest
from rdkit import Chem

from dataset_pubchem3d.chemistry.group_rules import count_groups
from dataset_pubchem3d.chemistry.molecular_graph import MolecularGraph
from dataset_pubchem3d.chemistry.salts import is_metal, name_charges, take_main_part


@pytest.mark.parametrize(
    ("smiles", "main", "others"),
    [
        ("CCN", "CCN", ()),
        ("CC(=O)[O-].[Na+]", "CC(=O)[O-]", ("sodium",)),
        ("CCN.Cl.O.O", "CCN", ("hydrate", "hydrochloride")),
        ("CC[NH3+].[O-]S(=O)(=O)O", "CC[NH3+]", ("sulfate",)),
        ("CCCCN.OC(=O)CC(O)(CC(=O)O)C(=O)O", "O=C(O)CC(O)(CC(=O)O)C(=O)O", ("",)),  # the larger one
        ("[Na+].[Cl-]", "[Cl-].[Na+]", ("chloride", "sodium")),
    ],
)
def test_parts(smiles, main, others):
    part, names = take_main_part(Chem.MolFromSmiles(smiles))
    assert (Chem.MolToSmiles(part), names) == (main, others)


@pytest.mark.parametrize(
    ("smiles", "names"),
    [
        ("CC(=O)[O-]", ["organic anion"]),
        ("C[NH3+]", ["organic cation", "ammonium ion derivative"]),
        ("[NH3+]CC(=O)[O-]", ["zwitterion"]),
        ("C[N+](=O)[O-]", []),
        ("C[N+](C)(C)[O-]", []),
        ("[Fe+2]", ["inorganic cation"]),
        ("[Na+].[Cl-]", ["inorganic salt"]),
        ("O", []),
    ],
)
def test_charges(smiles, names):
    mol = Chem.MolFromSmiles(smiles)
    graph = MolecularGraph.from_mol(mol)
    assert name_charges(graph, count_groups(mol, frozenset(graph.elements))) == names


def test_metals():
    assert [element for element in (1, 6, 14, 33, 17, 11, 26, 50, 80, 0) if is_metal(element)] == [11, 26, 50, 80]
