"""Every way to describe a molecule is checked against RDKit, ASE or numbers written down by hand."""

import pickle

import ase
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rdkit import Chem
from rdkit.Chem import AllChem, rdDetermineBonds

from modeling_geomclip import molecules_geomclip
from modeling_geomclip.molecules_geomclip import MoleculeError, read_molecule, read_molecules

WATER = {"atomic_numbers": [8, 1, 1], "positions": [[0.0, 0.0, 0.1], [0.0, 0.76, -0.47], [0.1, -0.76, -0.47]]}
WATER_XYZ = "3\nwater\nO 0 0 0.1\nH 0 0.76 -0.47\nH 0.1 -0.76 -0.47\n"
WATER_MOL2 = """@<TRIPOS>MOLECULE
water
 3 2 0 0 0
SMALL
NO_CHARGES

@<TRIPOS>ATOM
 1 O 0.0  0.00  0.10 O.3 1 HOH 0
 2 H 0.0  0.76 -0.47 H   1 HOH 0
 3 H 0.1 -0.76 -0.47 H   1 HOH 0
@<TRIPOS>BOND
 1 1 2 1
 2 1 3 1
"""


def water_mol() -> Chem.Mol:
    mol = Chem.AddHs(Chem.MolFromSmiles("O"))
    mol.AddConformer(Chem.Conformer(3))
    for atom, place in enumerate(WATER["positions"]):
        mol.GetConformer().SetAtomPosition(atom, place)
    return mol


WATER_SDF = Chem.MolToMolBlock(water_mol())


def assert_is_water(record: dict) -> None:
    assert record["atomic_numbers"].tolist() == WATER["atomic_numbers"]
    assert record["positions"].dtype == np.float64
    np.testing.assert_allclose(record["positions"], WATER["positions"], atol=1e-4)


def water_descriptions() -> dict:
    arrays = {name: np.array(values) for name, values in WATER.items()}
    return {
        "mapping": WATER,
        "arrays": arrays,
        "ase": ase.Atoms(numbers=WATER["atomic_numbers"], positions=WATER["positions"]),
        "mol": water_mol(),
        "sdf": WATER_SDF,
        "record": WATER_SDF + "> <NAME>\nwater\n\n$$$$\n",
        "mol2": WATER_MOL2,
        "xyz": WATER_XYZ,
        "windows": WATER_XYZ.replace("\n", "\r\n"),
    }


@pytest.mark.parametrize("form", water_descriptions())
def test_given_coordinates_are_used_as_they_are(form):
    assert_is_water(read_molecule(water_descriptions()[form]))


@pytest.mark.parametrize(
    ("name", "text"),
    [("a.sdf", WATER_SDF + "$$$$\n"), ("a.MOL", WATER_SDF), ("a.mol2", WATER_MOL2), ("a.xyz", WATER_XYZ)],
)
def test_files_by_path_and_by_string(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    assert_is_water(read_molecule(tmp_path / name))
    assert_is_water(read_molecule(str(tmp_path / name)))


def test_two_smiles_a_mol_an_inchi_and_a_2d_block_of_one_molecule_give_one_conformer():
    mol = Chem.MolFromSmiles("C[C@H](N)C(=O)O")
    shuffled = Chem.RenumberAtoms(mol, [5, 2, 0, 3, 1, 4])
    AllChem.Compute2DCoords(shuffled)
    numbered = "[CH3:7][C@H:1](N)C(=O)O"
    forms = ["OC(=O)[C@@H](N)C", "[H]OC(=O)[C@@H](N)C", numbered, shuffled, Chem.MolToMolBlock(shuffled)]
    first = read_molecule("C[C@H](N)C(=O)O")
    for form in [*forms, Chem.MolToInchi(mol)]:
        again = read_molecule(form)
        np.testing.assert_array_equal(first["atomic_numbers"], again["atomic_numbers"])
        np.testing.assert_array_equal(first["positions"], again["positions"])


def test_conformer_has_the_asked_chirality_and_is_mmff94_relaxed():
    record = read_molecule("C[C@H](N)C(=O)O")
    atoms = ase.Atoms(numbers=record["atomic_numbers"], positions=record["positions"])
    lines = [f"{atom.symbol} {atom.x:.8f} {atom.y:.8f} {atom.z:.8f}" for atom in atoms]
    built = Chem.MolFromXYZBlock("\n".join([str(len(lines)), "", *lines]))
    rdDetermineBonds.DetermineBonds(built)
    Chem.AssignStereochemistryFrom3D(built)
    assert Chem.MolToSmiles(Chem.RemoveHs(built)) == Chem.CanonSmiles("C[C@H](N)C(=O)O")
    field = AllChem.MMFFGetMoleculeForceField(built, AllChem.MMFFGetMoleculeProperties(built))
    assert np.abs(field.CalcGrad()).max() < 0.1


def test_another_seed_gives_another_conformer():
    one, two = (read_molecule("CCCCO", seed=seed)["positions"] for seed in (1, 2))
    assert np.abs(one - two).max() > 0.1


def test_hydrogens_are_left_out_on_request_unless_there_is_nothing_else():
    assert read_molecule(WATER, remove_hydrogens=True)["atomic_numbers"].tolist() == [8]
    assert read_molecule("CO", remove_hydrogens=True)["atomic_numbers"].tolist() == [6, 8]
    assert read_molecule("[HH]", remove_hydrogens=True)["atomic_numbers"].tolist() == [1, 1]
    assert read_molecule("[2H]C", remove_hydrogens=True)["atomic_numbers"].tolist() == [6]


@pytest.mark.parametrize("smiles", ["[Na+].[Cl-]", "c1ccccc1.c1ccccc1.O", "CC(=O)[O-].[NH4+]"])
def test_fragments_stand_four_angstroms_apart(smiles):
    record = read_molecule(smiles)
    fragments = [Chem.AddHs(m).GetNumAtoms() for m in Chem.GetMolFrags(Chem.MolFromSmiles(smiles), asMols=True)]
    assert len(record["atomic_numbers"]) == sum(fragments)
    x = np.sort(record["positions"][:, 0])
    gaps = np.diff(x)
    assert np.isclose(gaps, molecules_geomclip.FRAGMENT_GAP).sum() == len(fragments) - 1


def test_uff_takes_over_where_mmff94_has_no_parameters():
    assert not AllChem.MMFFHasAllMoleculeParams(Chem.AddHs(Chem.MolFromSmiles("CC[Hg]CC")))
    positions = read_molecule("CC[Hg]CC", remove_hydrogens=True)["positions"]
    assert np.isfinite(positions).all()


def test_large_molecules_that_need_random_starting_coordinates_embed():
    assert len(read_molecule("C" * 60, remove_hydrogens=True)["atomic_numbers"]) == 60


def test_overlapping_heavy_atoms_are_refused(monkeypatch):
    monkeypatch.setattr(molecules_geomclip, "FRAGMENT_GAP", -0.1)
    with pytest.raises(MoleculeError, match=r"heavy atoms 0\.10 Å apart, less than 0\.9 Å"):
        read_molecule("[Na+].[Cl-]")


def with_change(**change) -> dict:
    return {**WATER, **change}


def bond_unknown_to_rdkits_valence_model() -> Chem.Mol:
    mol = Chem.RWMol()
    mol.AddAtom(Chem.Atom(6))
    mol.AddAtom(Chem.Atom(7))
    mol.AddBond(0, 1, Chem.BondType.OTHER)
    return mol


MULTIPLE_SDF = (WATER_SDF + "$$$$\n") * 2
BAD_MOLECULES = [
    ("", "empty"),
    ("C1CC", "cannot read it as SMILES"),
    ("CCO ethanol", "no white space"),
    ("C(C)(C)(C)(C)C", r"valence for atom # 0 C, 5"),
    ("c1cccc1", "kekulize"),
    ("*CC", "dummy atom"),
    ("O=[Os](=O)(=O)=O", "neither MMFF94 nor UFF"),
    ("C[C@@H]1C[C@H]1[C@]12C[C@]1(C)C2", "no conformer was found"),
    ("InChI=1S/nonsense", "cannot read it as InChI"),
    ("C\ud800", "broken Unicode"),
    ("no_such_file.sdf", "cannot be read"),
    ("two\nlines", "nor XYZ"),
    ("2\n\nO 0 0 0\n", "nor XYZ"),
    ("1\n\nO 0 0 0\n1\n\nO 0 0 0\n", "nor XYZ"),
    ("0\nnothing\n", "no atoms"),
    (WATER_SDF[:120], "cannot read it as SDF|nor XYZ"),
    (MULTIPLE_SDF, r"several SDF records; pass read_molecules"),
    (WATER_MOL2 * 2, "several MOL2 records"),
    (WATER_MOL2.replace("0.76", "nan"), "atom 1 is at"),
    (Chem.Mol(), "no atoms"),
    (bond_unknown_to_rdkits_valence_model(), "RDKit refuses its chemistry"),
    (None, "NoneType is not a molecule"),
    (b"CCO", "bytes is not a molecule"),
    (6, "int is not a molecule"),
    ({"smiles": "C"}, "no atomic_numbers and no positions"),
    ({"atomic_numbers": [6]}, "no positions"),
    (with_change(atomic_numbers=[]), "no atoms"),
    (with_change(atomic_numbers=[8, 1]), r"shape \(3, 3\) and type float64 for 2 atomic numbers"),
    (with_change(atomic_numbers=[8, 1, 0]), "0 is no atomic number"),
    (with_change(atomic_numbers=[8, 1, 119]), "119 is no atomic number"),
    (with_change(atomic_numbers=[8, 1, -1]), "-1 is no atomic number"),
    (with_change(atomic_numbers=[8.0, 1.0, 1.0]), "float64; pass one list of integers"),
    (with_change(atomic_numbers=["O", "H", "H"]), "pass one list of integers"),
    (with_change(atomic_numbers=[10**30, 1, 1]), "pass one list of integers"),
    (with_change(atomic_numbers=8), r"shape \(\)"),
    (with_change(positions=[[0, 0], [0, 1], [1, 1]]), r"shape \(3, 2\)"),
    (with_change(positions=[[0, 0, 0], [0, 1]]), "no arrays"),
    (with_change(positions=[["0"] * 3] * 3), "pass real numbers"),
    (with_change(positions=[[0, 0, 0], [0, 0, 1], [-(2**63), 0, 0]]), "atom 2 is at"),
    (with_change(positions=None), "positions have shape"),
    (with_change(positions=[[0, 0, 0], [0, 0, float("nan")], [1, 0, 0]]), "atom 1 is at"),
    (with_change(positions=[[0, 0, 0], [0, 0, 1], [1e300, 0, 0]]), "atom 2 is at"),
    (with_change(positions=[[0, 0, 0], [0, 0, 1], [1, -float("inf"), 0]]), "atom 2 is at"),
    (ase.Atoms("Cu", pbc=True), "periodic"),
    (ase.Atoms(), "no atoms"),
]


@pytest.mark.parametrize(("molecule", "rule"), BAD_MOLECULES)
def test_bad_molecules_are_refused_with_rule_remedy_and_nothing_on_stderr(molecule, rule, capfd):
    with pytest.raises(MoleculeError, match=rule) as caught:
        read_molecule(molecule)
    assert caught.value.remedy
    assert caught.value.remedy in str(caught.value)
    assert caught.value.value in str(caught.value)
    assert len(str(caught.value)) < 500
    assert capfd.readouterr() == ("", "")


def test_a_conformer_that_cannot_be_found_is_not_sought_for_ever(monkeypatch):
    calls = []

    def embed(mol, parameters):
        calls.append((parameters.useRandomCoords, parameters.maxIterations))
        return -1

    monkeypatch.setattr(molecules_geomclip.rdDistGeom, "EmbedMolecule", embed)
    with pytest.raises(MoleculeError, match="no conformer was found"):
        read_molecule("CCO")
    assert calls == [(False, molecules_geomclip.CONFORMER_ATTEMPTS), (True, molecules_geomclip.CONFORMER_ATTEMPTS)]


def test_a_molecule_too_large_is_refused_before_it_is_embedded(monkeypatch):
    monkeypatch.setattr(molecules_geomclip, "_make_fragment_conformer", None)
    with pytest.raises(MoleculeError, match="it has 242 atoms, more than max_atoms=200; raise max_atoms or drop it"):
        read_molecule("C" * 80, max_atoms=200)
    with pytest.raises(MoleculeError, match="it has 80 atoms, more than max_atoms=79; raise max_atoms or drop it"):
        read_molecule("C" * 80, remove_hydrogens=True, max_atoms=79)


def test_max_atoms_counts_what_is_left():
    assert len(read_molecule(WATER, remove_hydrogens=True, max_atoms=1)["atomic_numbers"]) == 1
    with pytest.raises(MoleculeError, match="it has 3 atoms, more than max_atoms=2"):
        read_molecule(WATER, max_atoms=2)


def test_error_survives_pickling_and_being_raised_again_from_its_message():
    error = MoleculeError("rule", "remedy", "'C'", 3)
    assert str(error) == "molecule 3 ('C'): rule; remedy"
    copy = pickle.loads(pickle.dumps(error))
    assert (str(copy), copy.index, copy.rule) == (str(error), 3, "rule")
    assert str(MoleculeError(str(error))) == str(error)  # what a data loader's worker does


def test_sdf_records_are_read_one_by_one(tmp_path):
    path = tmp_path / "many.sdf"
    methane = Chem.MolToMolBlock(Chem.MolFromSmiles("C"))
    path.write_text(WATER_SDF + "$$$$\n" + "broken\n$$$$\n" + methane)
    records = read_molecules(path)
    assert_is_water(read_molecule(next(records)))
    with pytest.raises(MoleculeError):
        read_molecule(next(records))
    assert read_molecule(next(records), remove_hydrogens=True)["atomic_numbers"].tolist() == [6]
    assert list(records) == []
    with pytest.raises(MoleculeError, match="several SDF records"):
        read_molecule(path)


@pytest.mark.parametrize("name", ["missing.sdf", "."])
def test_unreadable_sdf_file(tmp_path, name):
    with pytest.raises(MoleculeError, match="cannot be read"):
        next(read_molecules(tmp_path / name))


def test_unknown_file_ending_and_undecodable_file(tmp_path):
    (tmp_path / "a.pdb").write_text("ATOM")
    with pytest.raises(MoleculeError, match=r"ending is unknown; use one of \.sdf, \.mol, \.mol2, \.xyz"):
        read_molecule(tmp_path / "a.pdb")
    (tmp_path / "a.xyz").write_bytes(b"\xff\xfe")
    with pytest.raises(MoleculeError, match="cannot be read"):
        read_molecule(tmp_path / "a.xyz")


def test_without_rdkit_coordinates_still_work_and_text_says_what_to_install(monkeypatch):
    monkeypatch.setattr(molecules_geomclip, "Chem", None)
    assert_is_water(read_molecule(WATER))
    assert_is_water(read_molecule(water_descriptions()["ase"]))
    with pytest.raises(MoleculeError, match="pip install rdkit"):
        read_molecule("CCO")


def cut(text: str) -> st.SearchStrategy[str]:
    """`text` with a random stretch removed."""
    places = st.integers(0, len(text))
    return st.tuples(places, places).map(lambda ends: text[: min(ends)] + text[max(ends) :])


WRONG_VALUES = st.none() | st.booleans() | st.integers() | st.floats() | st.binary() | st.text() | st.complex_numbers()
SMILES_LIKE = st.text("CNOSPHclnos[]()=#@/\\+-.123456789%*: \n", max_size=12)
ATOM = st.tuples(st.integers(-1, 120), st.tuples(*[st.floats()] * 3))
GARBLED_MAPPING = st.fixed_dictionaries(
    {},
    optional={
        "atomic_numbers": st.lists(st.integers(-1, 120), max_size=4)
        | st.lists(WRONG_VALUES, max_size=4)
        | WRONG_VALUES,
        "positions": st.lists(st.lists(WRONG_VALUES | st.floats(), min_size=2, max_size=4), max_size=4) | WRONG_VALUES,
    },
)
NEARLY_RIGHT_MAPPING = st.lists(ATOM, max_size=5).map(
    lambda atoms: {"atomic_numbers": [number for number, _ in atoms], "positions": [place for _, place in atoms]}
)
ANYTHING = st.one_of(
    st.text(),
    SMILES_LIKE,
    SMILES_LIKE.map("InChI=1S/{}".format),
    cut(WATER_SDF),
    cut(WATER_MOL2),
    cut(WATER_XYZ),
    cut(MULTIPLE_SDF),
    cut("InChI=1S/C3H7NO2/c1-2(4)3(5)6/h2H,4H2,1H3,(H,5,6)/t2-/m0/s1"),
    cut("C[C@H](N)C(=O)Oc1cc[nH]c1.[Na+].Cl"),
    GARBLED_MAPPING,
    NEARLY_RIGHT_MAPPING,
    WRONG_VALUES,
    st.lists(WRONG_VALUES),
)


@settings(derandomize=True, max_examples=300, deadline=None)
@given(ANYTHING)
def test_anything_gives_a_molecule_or_a_molecule_error(molecule):
    try:
        record = read_molecule(molecule, max_atoms=20)
    except MoleculeError:
        return
    assert len(record["atomic_numbers"]) >= 1
    assert record["positions"].shape == (len(record["atomic_numbers"]), 3)
    assert np.isfinite(record["positions"]).all()
