import pytest
from rdkit import Chem

from dataset_pubchem3d.chemistry.structure import (
    BOND_ORDERS,
    FORMAL_CHARGES,
    FUNCTIONAL_GROUPS,
    HYBRIDIZATIONS,
    count_functional_groups,
    find_scaffold,
    keep_heavy_atoms,
    list_bonds,
    list_formal_charges,
    list_hybridizations,
    list_ring_membership,
)


def test_bonds_rings_and_charges_of_a_zwitterion():
    mol = Chem.MolFromSmiles("[NH3+]C1(CC1)C(=O)[O-]")
    assert [FORMAL_CHARGES[place] for place in list_formal_charges(mol)] == [
        *("positive", "neutral", "neutral", "neutral"),
        *("neutral", "neutral", "negative"),
    ]
    assert list_ring_membership(mol) == [0, 1, 1, 1, 0, 0, 0]
    assert [HYBRIDIZATIONS[place] for place in list_hybridizations(mol)] == [*["SP3"] * 4, "SP2", "SP2", "SP2"]
    orders = {(begin, end): BOND_ORDERS[order] for begin, end, order in list_bonds(mol)}
    assert (orders[0, 1], orders[4, 5], orders[4, 6]) == ("single", "double", "single")
    assert len(orders) == 7


def test_a_dative_bond_counts_as_single():
    (dative,) = list_bonds(Chem.MolFromSmiles("[NH3]->[Cu+2]"))
    assert BOND_ORDERS[dative[2]] == "single"


def test_functional_groups_are_counted():
    counts = dict(zip(FUNCTIONAL_GROUPS, count_functional_groups(Chem.MolFromSmiles("OCCCO"))))
    assert (counts["fr_Al_OH"], counts["fr_benzene"]) == (2, 0)


@pytest.mark.parametrize(("smiles", "scaffold"), [("CC1CC1C", "C1CC1"), ("CCO", ""), ("CC1CCC(=O)CC1", "O=C1CCCCC1")])
def test_the_scaffold_has_its_exocyclic_double_bonds(smiles, scaffold):
    assert find_scaffold(Chem.MolFromSmiles(smiles)) == scaffold


def test_heavy_atoms_keep_their_order():
    mol = Chem.AddHs(Chem.MolFromSmiles("OCC"))
    mol = Chem.RenumberAtoms(mol, [*range(3, 9), 0, 1, 2])
    assert [atom.GetSymbol() for atom in keep_heavy_atoms(mol).GetAtoms()] == ["O", "C", "C"]
