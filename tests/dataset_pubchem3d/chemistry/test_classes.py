import pytest
from rdkit import Chem

from dataset_pubchem3d.chemistry.class_names import BY_GROUPS, FIRST, IMPLIED
from dataset_pubchem3d.chemistry.classes import classify
from dataset_pubchem3d.chemistry.group_rules import read_rules


def find(smiles, **options):
    return classify(Chem.MolFromSmiles(smiles), **options)


def test_the_tables_name_existing_rules():
    groups, classes = ({rule.name for rule in rules} for rules in read_rules())
    assert set(BY_GROUPS.values()) <= groups
    assert set(FIRST) <= classes
    known = classes | set(BY_GROUPS) | {"acetylenic compound"}
    assert set(IMPLIED) <= known
    assert {broader for names in IMPLIED.values() for broader in names} <= known


def test_classification_of_a_molecule():
    found = find("CN(C)C(=O)c1ccnc(Cl)c1")
    assert found.rings == {"pyridine": 1}
    assert found.groups == {"amide group": 1, "N-methyl group": 2}
    assert {"tertiary carboxamide", "organochlorine compound", "pyridinecarboxamide"} <= set(found.classes)
    assert (found.elements, found.charge, found.num_rings) == ({7: 2, 8: 1, 17: 1}, 0, 1)
    assert {"pyridine", "tertiary carboxamide", "amide group", "heteroarene"} <= found.names


def test_a_narrower_class_replaces_a_broader_one():
    assert find("CC(C)=O").classes == ("methyl ketone",)
    assert find("CCC(=O)CC").classes == ("ketone",)
    assert "phenols" not in find("Oc1ccccc1O").classes


@pytest.mark.parametrize(
    ("smiles", "expected"),
    [
        ("OC(=O)C", "monocarboxylic acid"),
        ("OC(=O)CC(=O)O", "dicarboxylic acid"),
        ("[O-]C(=O)CC(=O)[O-]", "dicarboxylic acid dianion"),
        ("[O-]C(=O)CC(=O)O", "carboxylic acid anion"),
        ("Clc1ccccc1", "monochlorobenzenes"),
        ("Clc1ccc(Cl)cc1", "dichlorobenzenes"),
        ("COc1cc(OC)cc(OC)c1", "trimethoxybenzenes"),
        ("Oc1ccc(-c2ccc(O)cc2)cc1", "polyphenol"),
        ("CCC", "hydrocarbon"),
        ("C[Si](C)(C)C", "organosilicon compound"),
        ("C[Li]", "organometallic compound"),
        ("CO", "one-carbon compound"),
    ],
)
def test_classes_by_counts(smiles, expected):
    assert expected in find(smiles).classes


@pytest.mark.parametrize(
    ("smiles", "facts"),
    [
        ("CCO", {"acyclic compound"}),
        ("C1CCCCC1", {"alicyclic compound"}),
        ("c1ccc2ncccc2c1", {"organic heterobicyclic compound", "heteroarene", "organonitrogen heterocyclic compound"}),
        ("C1CC2CCC1C2", {"bridged compound", "carbobicyclic compound"}),
        ("C1CCC2(C1)CCCC2", {"spiro compound"}),
        ("O=C1CCCCCCCCCCCO1", {"macrocycle", "oxacycle"}),
        ("c1ccc(-c2ccccc2)cc1", {"ring assembly", "biaryl"}),
        ("c1ccc(C2CCCCC2)cc1", {"ring assembly"}),
    ],
)
def test_ring_facts(smiles, facts):
    found = set(find(smiles).ring_facts)
    assert facts <= found
    assert ("biaryl" in found) == ("biaryl" in facts)


def test_a_salt_is_described_by_its_main_part():
    found = find("CN(C)CCO.OC(=O)C=CC(=O)O")
    assert "dicarboxylic acid" in found.classes  # the larger part
    assert found.counterparts == ("",)


def test_stereo_is_counted_on_demand():
    assert find("C[C@H](O)/C=C/C").stereo == ()
    assert find("C[C@H](O)/C=C/C", with_stereo=True).stereo == ("1 S", "1 E")
    assert find("C[C@H](O)/C=C/C").smiles == "CC=CC(C)O"
