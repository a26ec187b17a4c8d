import pytest
from rdkit import Chem

from dataset_pubchem3d.chemistry.group_rules import CLASSES, GROUPS, count_groups, find_classes, read_rules


def count(smiles):
    mol = Chem.MolFromSmiles(smiles)
    return count_groups(mol, frozenset(atom.GetAtomicNum() for atom in mol.GetAtoms()))


def find(smiles):
    mol = Chem.MolFromSmiles(smiles)
    elements = frozenset(atom.GetAtomicNum() for atom in mol.GetAtoms())
    return find_classes(mol, elements, count_groups(mol, elements))


def test_every_line_is_a_distinct_rule():
    groups, classes = read_rules()
    for table, rules in ((GROUPS, groups), (CLASSES, classes)):
        assert len({rule.name for rule in rules}) == len(rules) == len(table.strip().splitlines())
    known = {rule.name for rule in groups}
    assert all(rule.groups <= known for rule in classes)
    assert len(groups) > 50
    assert len(classes) > 90


@pytest.mark.parametrize(
    ("smiles", "expected"),
    [
        ("OCC(O)CO", {"hydroxy group": 3, "hydroxymethyl group": 2}),
        ("OC(=O)CC(=O)O", {"carboxy group": 2}),
        ("OC(=O)O", {}),
        ("NC(=O)O", {}),
        ("CC(=O)OC", {"ester group": 1, "acetyl group": 1, "acetoxy group": 1}),
        ("COCOC", {"acetal group": 1, "methoxy group": 2}),
        ("CC=NC", {"imine group": 1, "N-methyl group": 1}),
        ("CC=NO", {}),
        ("CC=NN", {}),
        ("NC(N)=N", {}),
        ("CC(N)=N", {"amidine group": 1}),
        ("NC(N)=S", {}),
        ("CN=C=O", {"N-methyl group": 1}),
        ("CC(=O)Cl", {"acetyl group": 1}),
        ("CN(C)N=O", {"N-methyl group": 2}),
        ("COP(=S)(OC)OC", {}),
        ("C[N+](=O)[O-]", {"nitro group": 1}),
        ("CCCCC", {}),
        ("CC(C)(C)C(C)C", {"methyl group": 5, "tert-butyl group": 1, "isopropyl group": 1}),
    ],
)
def test_counts(smiles, expected):
    assert count(smiles) == expected


@pytest.mark.parametrize(
    ("smiles", "expected"),
    [
        ("CCO", {"primary alcohol"}),
        ("CC(C)O", {"secondary alcohol"}),
        ("CC(C)(C)O", {"tertiary alcohol"}),
        ("Oc1ccccc1", {"phenols"}),
        ("CNC(C)=O", {"secondary carboxamide", "acetamides"}),
        ("CN(C)C=O", {"tertiary carboxamide", "formamides"}),
        ("O=C1CCN1", {"secondary carboxamide", "lactam", "beta-lactam"}),
        ("O=C1CCCO1", {"lactone", "gamma-lactone"}),
        ("CN(C)C", {"tertiary amine"}),
        ("Nc1ccc2ccccc2c1", {"primary arylamine", "aromatic amine"}),  # an aniline has one benzene ring
        ("O=C(O)c1cccc2ccccc12", set()),
        ("CC(=O)CC(C)=O", {"methyl ketone", "beta-diketone"}),
        ("C#C", {"terminal acetylenic compound"}),
    ],
)
def test_classes(smiles, expected):
    assert find(smiles) == expected
