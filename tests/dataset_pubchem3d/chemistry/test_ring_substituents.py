import pytest
from rdkit import Chem

from dataset_pubchem3d.chemistry.molecular_graph import MolecularGraph
from dataset_pubchem3d.chemistry.ring_names import find_ring_systems
from dataset_pubchem3d.chemistry.ring_substituents import SUBSTITUENTS, decorate, find_joints, name_radical


def read(smiles):
    mol = Chem.MolFromSmiles(smiles)
    graph = MolecularGraph.from_mol(mol)
    systems = find_ring_systems(mol, graph)
    return graph, systems, {system.atoms: system.name for system in systems if system.name}


def find(smiles):
    return {one.ring: (dict(one.names), one.num_other) for one in decorate(*read(smiles))}


@pytest.mark.parametrize("entry", [e.strip() for e in SUBSTITUENTS.replace("\n", ";").split(";") if e.strip()])
def test_every_substituent_is_named_at_a_ring(entry):
    smiles, name = entry.split(" ", 1)
    assert find(f"C1CC1{smiles}")["cyclopropane"] == ({name: 1}, 0)


@pytest.mark.parametrize(
    ("smiles", "ring", "names", "num_other"),
    [
        ("Clc1cc(C)nc(C)c1", "pyridine", {"chloro": 1, "methyl": 2}, 0),
        ("O=C1CCCC1Br", "cyclopentanone", {"bromo": 1}, 0),  # the name of the ring includes the oxo group
        ("O=C1CCC(=O)CC1", "cyclohexane", {"oxo": 2}, 0),
        ("CCCCCCCCCCCCc1ccccc1", "benzene", {}, 1),
        ("c1ccc(-c2ccccn2)cc1", "pyridine", {"phenyl": 1}, 0),
        ("Clc1ccc(-c2ccccn2)cc1", "pyridine", {"substituted phenyl": 1}, 0),
        ("Clc1ccc(Cc2ccoc2)cc1", "furan", {}, 1),  # not a benzyl group, which has no chlorine
    ],
)
def test_substituents(smiles, ring, names, num_other):
    assert find(smiles)[ring] == (names, num_other)


@pytest.mark.parametrize(
    ("smiles", "pattern", "pairs"),
    [
        ("Clc1ccccc1", "1", ()),
        ("Clc1ccccc1Br", "1,2", (("bromo", "chloro", "ortho"),)),
        ("Clc1cccc(Cl)c1", "1,3", (("chloro", "chloro", "meta"),)),
        ("Oc1ccc(C)cc1", "1,4", (("hydroxy", "methyl", "para"),)),
        ("Clc1ccc(Cl)c(Cl)c1", "1,2,4", ()),
        ("Clc1cc(Cl)cc(Cl)c1", "1,3,5", ()),
        ("c1ccccc1", "", ()),
    ],
)
def test_positions_on_a_benzene_ring(smiles, pattern, pairs):
    (benzene,) = decorate(*read(smiles))
    assert (benzene.pattern, benzene.pairs) == (pattern, pairs)


@pytest.mark.parametrize(
    ("smiles", "expected"),
    [
        ("c1ccc(-c2ccccn2)cc1", [("benzene", "pyridine", "")]),
        ("O=C(c1ccccc1)N1CCCCC1", [("benzene", "piperidine", "a carbonyl group")]),
        ("O=S(=O)(c1ccccc1)N1CCNCC1", [("benzene", "piperazine", "a sulfonyl group")]),
        ("c1ccc(Oc2ccccc2)cc1", [("benzene", "benzene", "an ether oxygen")]),
        ("c1ccc(CCc2ccccc2)cc1", []),
        ("CC(c1ccccc1)c1ccccc1", []),  # the carbon bears more than hydrogen
    ],
)
def test_joints(smiles, expected):
    graph, _, names = read(smiles)
    assert [(joint.one, joint.other, joint.linker) for joint in find_joints(graph, names)] == expected


@pytest.mark.parametrize(
    ("ring", "radical"),
    [("benzene", "phenyl"), ("pyridine", "pyridinyl"), ("cyclohexane", "cyclohexyl"), ("piperidin-2-one", None)],
)
def test_radicals(ring, radical):
    assert name_radical(ring) == radical
