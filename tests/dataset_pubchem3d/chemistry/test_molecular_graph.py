import pytest
from rdkit import Chem

from dataset_pubchem3d.chemistry.molecular_graph import AROMATIC, MolecularGraph


def read(smiles):
    return MolecularGraph.from_mol(Chem.MolFromSmiles(smiles))


def test_atoms_and_bonds():
    graph = read("[NH3+]CC(=O)[O-]")
    assert graph.elements == [7, 6, 6, 8, 8]
    assert graph.charges == [1, 0, 0, 0, -1]
    assert graph.hydrogens == [3, 2, 0, 0, 0]
    assert sorted(graph.neighbours[2]) == [(1, 1.0), (3, 2.0), (4, 1.0)]
    assert not any(graph.in_ring)


def test_rings():
    graph = read("Cc1ccccc1")
    assert graph.in_ring == [False] + [True] * 6
    assert (graph.is_ring_bond(1, 2), graph.is_ring_bond(2, 1), graph.is_ring_bond(0, 1)) == (True, True, False)
    assert {order for one, other, order in graph.bonds if graph.is_ring_bond(one, other)} == {AROMATIC}


def make_key(smiles, root=None):
    graph = read(smiles)
    return graph.make_key(range(len(graph.elements)), range(len(graph.bonds)), root=root)


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        ("CCO", "OCC", True),
        ("c1cc[nH]c1", "c1ccc[nH]1", True),
        ("CC(=O)O", "CC(=O)[O-]", True),  # charges are ignored
        ("CCO", "CC=O", False),
        ("c1ccccc1", "C1CCCCC1", False),
        ("CCN", "CCO", False),
    ],
)
def test_keys_distinguish_elements_bonds_and_aromaticity(one, other, is_same):
    assert (make_key(one) == make_key(other)) == is_same


def test_a_root_is_distinguished_from_other_atoms():
    leucine, isoleucine = "CCC(C)C", "CC(C)CC"
    assert make_key(leucine) == make_key(isoleucine)
    assert make_key(leucine, root=0) != make_key(isoleucine, root=0)


def test_a_dative_bond_is_single():
    assert read("[NH3]->[Cu+2]").bonds[0][2] == 1.0
