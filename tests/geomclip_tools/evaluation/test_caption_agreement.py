"""Captions are compared with elements and rings of a geometry, which are counted without a SMILES."""

import pytest
from rdkit import Chem

from geomclip_tools.evaluation.caption_agreement import Composition, count_contradictions, read_composition
from modeling_geomclip import read_molecule

MOLECULES = [
    "C",
    "CCO",
    "c1ccccc1Cl",
    "CC(=O)Oc1ccccc1C(=O)O",
    "C1CC2CCC1C2",
    "CS(=O)(=O)NCCBr",
    "O.C1CC1",
    "[Na+].[Cl-]",
]


@pytest.mark.parametrize("smiles", MOLECULES)
@pytest.mark.parametrize("with_hydrogens", [True, False])
def test_elements_and_rings_are_those_of_the_molecule(smiles, with_hydrogens):
    mol = Chem.MolFromSmiles(smiles)
    composition = read_composition(read_molecule(smiles, remove_hydrogens=not with_hydrogens))
    assert composition.elements == {atom.GetAtomicNum() for atom in mol.GetAtoms()}
    assert composition.num_rings == mol.GetRingInfo().NumRings()


ETHANOL, CHLOROBENZENE = Composition(frozenset({6, 8}), 0), Composition(frozenset({6, 17}), 1)


@pytest.mark.parametrize(
    ("caption", "composition", "expected"),
    [
        ("The molecule is a primary alcohol.", ETHANOL, 0),
        ("The molecule is an acyclic alcohol.", ETHANOL, 0),
        ("The molecule is a chlorobenzene.", ETHANOL, 2),  # chlorine and a ring
        ("The molecule is a chlorobenzene.", CHLOROBENZENE, 0),
        ("The molecule is an arene.", CHLOROBENZENE, 1),  # chlorine is not named
        ("It is a sulfonamide of phosphoric acid.", ETHANOL, 3),
        ("It is an alcohol. It derives from a hydride of a benzene.", ETHANOL, 0),
        ("It has a role as an EC 3.1.3 phosphatase inhibitor. It is an alcohol.", ETHANOL, 0),
        ("It is a fluorene with a period.", Composition(frozenset({6}), None), 0),
        ("A cyclic thioether.", Composition(frozenset({6, 16}), None), 0),
        ("", ETHANOL, 0),
        ("It derives from a 4-chlorobenzoic acid.", CHLOROBENZENE, 0),  # the element is named
        ("It derives from a 4-chlorobenzoic acid.", ETHANOL, 0),
        ("It is a chlorogenic acid of Forsythia with a vitamin, a cyclooxygenase inhibitor.", ETHANOL, 0),
        ("It is an ether and a potassium channel blocker.", ETHANOL, 0),
        ("It is a phospholipase substrate.", ETHANOL, 0),
    ],
)
def test_contradictions_by_hand(caption, composition, expected):
    assert count_contradictions(caption, composition) == expected
