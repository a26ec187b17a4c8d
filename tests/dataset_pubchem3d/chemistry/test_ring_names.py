import pytest
from rdkit import Chem

from dataset_pubchem3d.chemistry.molecular_graph import MolecularGraph
from dataset_pubchem3d.chemistry.ring_names import OXO_NAMES, SILENT, WHOLE_NAMES, find_ring_systems


def find(smiles):
    mol = Chem.MolFromSmiles(smiles)
    return find_ring_systems(mol, MolecularGraph.from_mol(mol))


def list_entries(table):
    return [entry.strip() for line in table.splitlines() for entry in line.split(";") if entry.strip()]


@pytest.mark.parametrize("entry", list_entries(WHOLE_NAMES + OXO_NAMES))
def test_every_ring_of_the_tables_is_found_by_its_name(entry):
    smiles, name = entry.split(" ", 1)
    assert [system.name for system in find(smiles)] == [name]


def test_no_ring_is_listed_twice():
    smiles = [Chem.CanonSmiles(entry.split(" ")[0]) for entry in list_entries(WHOLE_NAMES + OXO_NAMES + SILENT)]
    assert len(set(smiles)) == len(smiles)


@pytest.mark.parametrize("smiles", list_entries(SILENT))
def test_held_out_ring_systems_have_no_name(smiles):
    assert all(system.name is None and set(system.parts) <= {"benzene"} for system in find(smiles))


@pytest.mark.parametrize(
    ("smiles", "names"),
    [
        ("Clc1ccnc(C)c1", ["pyridine"]),
        ("Cn1ccccc1=O", ["pyridone"]),
        ("O=c1[nH]c(=O)c2ccccc2[nH]1", ["quinazolinone"]),
        ("CC1CC(=O)N(C)C1", ["pyrrolidin-2-one"]),
        ("O=C1CCN(C)CC1", ["piperidin-4-one"]),
        ("O=c1ccc2ccccc2[nH]1", ["quinoline"]),
        ("C1CCC2(CC1)OCCO2", ["1,3-dioxolane", "cyclohexane"]),
        ("c1ccc(-c2ccccn2)cc1", ["benzene", "pyridine"]),
    ],
)
def test_substituents_except_oxo_groups_do_not_matter(smiles, names):
    assert sorted(system.name for system in find(smiles)) == names


@pytest.mark.parametrize(
    ("smiles", "parts"),
    [
        ("C1CCc2c(C1)ccc1ncccc21", ("quinoline",)),
        ("c1ccc2c(c1)C1CCC2c2ccccc21", ("benzene", "benzene")),
        ("C1CCC2C(C1)CCC1C2CCC2CCCC21", ()),  # only aromatic parts have names
    ],
)
def test_parts_of_a_system_without_a_name(smiles, parts):
    (system,) = find(smiles)
    assert (system.name, system.parts) == (None, parts)


def test_facts_of_a_system():
    (cage,) = find("C1C2CC3CC1CC(C2)C3")
    assert (cage.num_rings, cage.is_heterocyclic, cage.is_macrocyclic) == (3, False, False)
    (large,) = find("O=C1CCCCCCCCCCCO1")
    assert (large.is_macrocyclic, large.is_heterocyclic) == (True, True)
