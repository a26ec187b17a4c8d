import pytest
from rdkit import Chem

from geomclip_tools.evaluation.word_query_rules import (
    all_of,
    any_of,
    consists_of,
    has,
    has_part,
    has_rings,
    none_of,
    ring_with,
)

SALT = Chem.MolFromSmiles("CC(=O)[O-].CC(=O)[O-].[Ca+2]")


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (has("[CX3]"), True),
        (has("[CX3]", 2), True),
        (has("[CX3]", 3), False),
        (has("[CX3]", 0, 1), False),
        (has("[CX3]", 2, 2), True),
        (all_of("[CX3]", "[CX4]"), True),
        (all_of("[CX3]", "[#7]"), False),
        (any_of("[CX3]", "[#7]"), True),
        (none_of("[#7]", "[#16]"), True),
        (none_of("[#7]", "[CX3]"), False),
        (consists_of("C", "O", "Ca"), True),
        (consists_of("C", "O"), False),
        (has_part(consists_of("C", "O")), True),
        (has_part(has("[CX3]", 2)), False),
        (has_part("[CX3]", "[CX4]"), True),
        (has_rings(1), False),
    ],
)
def test_rules_of_a_salt(rule, expected):
    assert rule(SALT) is expected


@pytest.mark.parametrize(
    ("smiles", "expected"),
    [("Nc1ccccc1Cl", True), ("Nc1cccc(Cl)c1", True), ("Nc1ccc(Cl)cc1", True), ("Nc1ccc(CCl)cc1", False)],
)
def test_ring_with(smiles, expected):
    assert ring_with("[NH2]", "Cl")(Chem.MolFromSmiles(smiles)) is expected


def test_matches_are_of_different_atoms():
    assert has("c1ccccc1", 1, 1)(Chem.MolFromSmiles("c1ccccc1"))


def test_smarts_that_cannot_be_read():
    with pytest.raises(ValueError, match=r"'\[C' cannot be read"):
        has("[C")
