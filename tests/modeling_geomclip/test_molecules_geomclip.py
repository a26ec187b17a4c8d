"""Compare every form of a molecule with RDKit, ASE or numbers written by hand."""

import pickle

import ase
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rdkit import Chem
from rdkit.Chem import AllChem, rdDetermineBonds

from modeling_geomclip import MoleculeError, molecules_geomclip, read_molecules
from modeling_geomclip.molecules_geomclip import embed_smiles, read_mol_block, read_molecule

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


def test_hydrogens_are_removed_on_request_unless_there_are_no_other_atoms():
    assert read_molecule(WATER, remove_hydrogens=True)["atomic_numbers"].tolist() == [8]
    assert read_molecule("CO", remove_hydrogens=True)["atomic_numbers"].tolist() == [6, 8]
    assert read_molecule("[HH]", remove_hydrogens=True)["atomic_numbers"].tolist() == [1, 1]
    assert read_molecule("[2H]C", remove_hydrogens=True)["atomic_numbers"].tolist() == [6]


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
    ("C1CC", r"cannot read it as SMILES \(unclosed ring\)"),
    ("CCO ethanol", "no white space"),
    ("C(C)(C)(C)(C)C", r"valence for atom # 0 C, 5"),
    ("c1cccc1", "kekulize"),
    ("*CC", "dummy atom"),
    ("CCO>>CC=O", "it is a reaction"),
    ("[CH3:1]Br>[OH-]>C[OH:1]", "it is a reaction"),
    ("{[$]CC[$]}", "it is BigSMILES, which describes a polymer"),
    ("CC{[>][<]OCC[>][<]}O", "it is BigSMILES"),
    ("[C][C][O]", "it is SELFIES; pass the SMILES that selfies.decoder returns for it"),
    ("[C][=C][Branch1][C][O][Ring1][Ring2]", "it is SELFIES"),
    ("[nop][C]", "it is SELFIES"),
    ("LFQSCWFLJHTTHZ-UHFFFAOYSA-N", "it is an InChIKey"),
    ("ligand.pdb", ".pdb files are not supported, .*bond orders"),
    ("molecules.smi", ".smi files are not supported"),
    ("HETATM    1  C1  UNL     1      -0.915   0.284   0.061\nEND\n", "it is PDB text"),
    ("data_x\n_cell_length_a 5.0\n", "it is CIF text"),
    ("$RXN\n\n\n\n  1  1\n", "it is a reaction"),
    ("\ufeff", "it is empty"),
    ("C[C@@H]1C[C@H]1[C@]12C[C@]1(C)C2", "no conformer was found"),
    ("InChI=1S/nonsense", "cannot read it as InChI"),
    ("C\ud800", "broken Unicode"),
    ("no_such_file.sdf", "there is no file no_such_file.sdf; check the path"),
    ("two\nlines", "nor XYZ"),
    ("2\n\nO 0 0 0\n", "line 1 says 2 atoms, but 1 lines follow the comment line"),
    ("1\n\nO 0 0 0\n1\n\nO 0 0 0\n", r"several XYZ records; pass read_molecules"),
    ("0\nnothing\n", "no atoms"),
    (WATER_SDF[:120], "cannot read it as SDF|nor XYZ"),
    (MULTIPLE_SDF, r"several SDF records; pass read_molecules"),
    (WATER_MOL2 * 2, "several MOL2 records; pass read_molecules"),
    (WATER_MOL2.replace("0.76", "nan"), "atom 1 is at"),
    (Chem.Mol(), "no atoms"),
    (bond_unknown_to_rdkits_valence_model(), "RDKit rejects its chemistry"),
    (None, "NoneType is not a molecule"),
    (b"CCO", "bytes is not a molecule"),
    (6, "int is not a molecule"),
    ({"smiles": "C"}, "no atomic_numbers and no positions"),
    ({"atomic_numbers": [6]}, "no positions"),
    (with_change(atomic_numbers=[]), "no atoms"),
    (with_change(atomic_numbers=[8, 1]), r"shape \(3, 3\) and type float64 for 2 atomic numbers"),
    (with_change(atomic_numbers=[8, 1, 0]), "0 is not an atomic number"),
    (with_change(atomic_numbers=[8, 1, 119]), "119 is not an atomic number"),
    (with_change(atomic_numbers=[8, 1, -1]), "-1 is not an atomic number"),
    (with_change(atomic_numbers=[8.0, 1.0, 1.0]), "float64; pass one list of integers"),
    (with_change(atomic_numbers=["O", "H", "H"]), "pass one list of integers"),
    (with_change(atomic_numbers=[10**30, 1, 1]), "pass one list of integers"),
    (with_change(atomic_numbers=8), r"shape \(\)"),
    (with_change(positions=[[0, 0], [0, 1], [1, 1]]), r"shape \(3, 2\)"),
    (with_change(positions=[[0, 0, 0], [0, 1]]), "not arrays"),
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


def test_max_atoms_counts_the_remaining_atoms():
    assert len(read_molecule(WATER, remove_hydrogens=True, max_atoms=1)["atomic_numbers"]) == 1
    with pytest.raises(MoleculeError, match="it has 3 atoms, more than max_atoms=2"):
        read_molecule(WATER, max_atoms=2)


def test_error_survives_pickling_and_being_raised_again_from_its_message():
    error = MoleculeError("rule", "remedy", "'C'", 3)
    assert str(error) == "molecule 3 ('C'): rule; remedy"
    copy = pickle.loads(pickle.dumps(error))
    assert (str(copy), copy.index, copy.rule) == (str(error), 3, "rule")
    assert str(MoleculeError(str(error))) == str(error)  # what a data loader's worker does


def test_without_rdkit_coordinates_still_work_and_text_raises_with_the_remedy(monkeypatch):
    monkeypatch.setattr(molecules_geomclip, "Chem", None)
    assert_is_water(read_molecule(WATER))
    assert_is_water(read_molecule(water_descriptions()["ase"]))
    assert_is_water(read_molecule(WATER_XYZ))
    with pytest.raises(MoleculeError, match="pip install rdkit"):
        read_molecule("CCO")


LOOK_ALIKES = "[C-]#[O+] [Na+].[Cl-] [Cl] [O][O] N->[Fe] [C] [CH3][CH3] C[N+](C)C"


@pytest.mark.parametrize("smiles", LOOK_ALIKES.split())
def test_smiles_that_look_like_something_else_are_smiles(smiles):
    assert len(read_molecule(smiles)["positions"]) == Chem.AddHs(Chem.MolFromSmiles(smiles)).GetNumAtoms()


# --------------------------------------------------------------------------------- kinds of files that people have

MOL_ATOM = " {:9.4f} {:9.4f} {:9.4f} {:<3} 0  0  0  0  0  0  0  0  0  0  0  0"


def write_mol(symbols: str, places: list, bonds: list, last: str = "", dimension: str = "3D") -> str:
    counts = f"{len(places):3}{len(bonds):3}  0  0  0  0  0  0  0  0999 V2000"
    atoms = [MOL_ATOM.format(*place, symbol) for symbol, place in zip(symbols.split(), places)]
    lines = ["", f"  by hand           {dimension}", "", counts, *atoms, *(f"{i:3}{j:3}{k:3}  0" for i, j, k in bonds)]
    return "\n".join([*lines, *([last] if last else []), "M  END", ""])


METHANE = [[0, 0, 0], [0.63, 0.63, 0.63], [-0.63, -0.63, 0.63], [-0.63, 0.63, -0.63], [0.63, -0.63, -0.63]]
METHANE_BONDS = [(1, i, 1) for i in range(2, 6)]
METHANE_MOL = write_mol("C H H H H", METHANE, METHANE_BONDS)
SQUARE = [[0, 0, 0], [1.5, 0, 0], [-1.5, 0, 0], [0, 1.5, 0], [0, -1.5, 0]]
PROPANOL = [[0, 0, 0], [1.299, 0.75, 0], [2.598, 0, 0], [3.897, 0.75, 0]]
CHAIN = [(1, 2, 1), (2, 3, 1), (3, 4, 1)]
REPEATED = "M  STY  1   1 SRU\nM  SAL   1  2   2   3\nM  SBL   1  2   1   3\nM  SMT   1 n"
NO_VERSION = METHANE_MOL.replace("  0  0  0  0  0  0  0  0999 V2000", "  0  0  0              1")
GAFF = WATER_MOL2.replace("O.3", "oh").replace("H   1", "ho  1")

READ = {  # text, and the expected coordinates, or the SMILES of the expected conformer
    "xyz with a byte order mark": ("\ufeff" + WATER_XYZ, WATER),
    "xyz with decimal commas": (WATER_XYZ.replace(".", ","), WATER),
    "extended xyz": (WATER_XYZ.replace("water", 'Properties=species:S:1:pos:R:3 pbc="F F F"'), WATER),
    "raw qm9": (WATER_XYZ.replace("water", "gdb 3\t799.6") + "1671.5\t3799.2\nO\tO\nInChI\tInChI\n", WATER),
    "mol with a byte order mark": ("\ufeff" + METHANE_MOL, METHANE),
    "mol2 with a byte order mark": ("\ufeff" + WATER_MOL2, WATER),
    "mol2 without the end of its last line": (WATER_MOL2.rstrip(), WATER),
    "v2000 in lower case": (METHANE_MOL.replace("V2000", "v2000"), METHANE),
    "no version": (NO_VERSION, METHANE),
    "drawing without hydrogens": (write_mol("C C C O", PROPANOL, CHAIN), "CCCO"),
    "drawing in another plane of one z": (write_mol("C C C O", np.add(PROPANOL, [0, 0, 2.5]), CHAIN), "CCCO"),
    "drawing with hydrogens": (write_mol("C H H H H", SQUARE, METHANE_BONDS), "C"),
    "drawing without any hydrogen": (write_mol("C F F F F", SQUARE, METHANE_BONDS), "FC(F)(F)F"),
    "drawing that says 2D": (write_mol("C C C O", PROPANOL, CHAIN, dimension="2D"), "CCCO"),
}


@pytest.mark.parametrize("kind", READ)
def test_kinds_of_text_that_are_read(kind):
    text, expected = READ[kind]
    record = read_molecule(text)
    if isinstance(expected, str):
        expected = read_molecule(expected)
    expected = expected if isinstance(expected, dict) else {"atomic_numbers": [6, 1, 1, 1, 1], "positions": expected}
    np.testing.assert_array_equal(record["atomic_numbers"], expected["atomic_numbers"])
    np.testing.assert_allclose(record["positions"], expected["positions"], atol=1e-9)


REFUSED = {
    "all zero": (write_mol("C H H H H", [[0, 0, 0]] * 5, METHANE_BONDS), "all of its atoms are at the same position"),
    "atoms twice": (write_mol("C H H H H C", [*METHANE, METHANE[0]], METHANE_BONDS), "atoms 0 and 5 coincide"),
    "nanometres": (write_mol("C H H H H", np.multiply(METHANE, 0.1), METHANE_BONDS), "nanometres; multiply them by 10"),
    "Bohr": (write_mol("C H H H H", np.divide(METHANE, 0.529177), METHANE_BONDS), "Bohr; multiply them by 0.529177"),
    "xyz in nanometres": ("2\n\nO 0 0 0\nH 0 0 0.096\n", "nanometres"),
    "mol2 in Bohr": (WATER_MOL2.replace("0.76", "1.44").replace("0.47", "0.98"), "Bohr"),
    "periodic xyz": (WATER_XYZ.replace("water", 'Lattice="9 0 0 0 9 0 0 0 9" pbc="T T T"'), "periodic"),
    "xyz of two": (WATER_XYZ + "1\n\nHe 0 0 0\n", "it holds several XYZ records"),
    "polymer": (write_mol("C C C O", PROPANOL, CHAIN, REPEATED, "2D"), "repeating unit, so it is a polymer"),
    "gaff types": (GAFF, r"MOL2 \(.*[Ee]lement 'oh' not found.*SYBYL atom types such as C\.3; oh is not one"),
    "an atom lost": (METHANE_MOL.replace("  5  4", "  6  4"), r"RDKit cannot read it as SDF \(.+\)"),
    "a bond lost": (METHANE_MOL.replace("  1  5  1  0\n", ""), r"RDKit cannot read it as SDF \(.+\)"),
    "no end": (METHANE_MOL.replace("M  END\n", ""), r"RDKit cannot read it as SDF \(.+\)"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_kinds_of_text_that_are_refused(kind, capfd):
    text, told = REFUSED[kind]
    with pytest.raises(MoleculeError, match=told):
        read_molecule(text)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("dimension", ["2D", "3D"])
def test_no_stereochemistry_is_seen_in_the_flat_centres_of_a_drawing(dimension):
    """RDKit perceives a sulfone that is drawn flat and labelled 3D as square planar."""
    sulfone = write_mol("S C C O O", SQUARE, [(1, 2, 1), (1, 3, 1), (1, 4, 2), (1, 5, 2)], dimension=dimension)
    np.testing.assert_array_equal(read_molecule(sulfone)["positions"], read_molecule("CS(C)(=O)=O")["positions"])


@pytest.mark.parametrize("factor", [0.0, 0.1, 1 / 0.529177])
@pytest.mark.parametrize("form", ["mapping", "ase", "mol"])
def test_coordinates_are_checked_in_every_form(form, factor):
    molecule = water_descriptions()[form]
    positions = np.multiply(WATER["positions"], factor)
    if form == "mapping":
        molecule = {**molecule, "positions": positions}
    elif form == "ase":
        molecule.positions = positions
    else:
        molecule.GetConformer().SetPositions(positions)
    with pytest.raises(MoleculeError, match=r"at the same position|nanometres|Bohr"):
        read_molecule(molecule)


def test_the_error_of_a_damaged_record_is_raised_unchanged():
    error = MoleculeError("lines 3 to 9: truncated", "correct or drop it", "'a.sdf'")
    with pytest.raises(MoleculeError, match=r"^molecule \('a\.sdf'\): lines 3 to 9: truncated; correct or drop it$"):
        read_molecule(error)


def test_embed_smiles_makes_the_conformer_of_read_molecule():
    conformer = embed_smiles("C[C@H](N)C(=O)O")
    np.testing.assert_array_equal(conformer.positions, read_molecule("C[C@H](N)C(=O)O")["positions"])
    with pytest.raises(MoleculeError, match=r"molecule \('C1CC'\): RDKit cannot read it as SMILES \(unclosed ring\)"):
        embed_smiles("C1CC")


def test_the_coordinates_of_a_mol_block_or_none():
    numbers, positions = read_mol_block(METHANE_MOL)
    assert numbers.tolist() == [6, 1, 1, 1, 1]
    np.testing.assert_array_equal(positions, METHANE)
    assert read_mol_block(write_mol("C C C O", PROPANOL, CHAIN)) is None
    for text, told in (REFUSED["all zero"], REFUSED["polymer"], REFUSED["Bohr"]):
        with pytest.raises(MoleculeError, match=told):
            read_mol_block(text)


# ------------------------------------------------------------------------------------------------------------ anything


def cut(text: str) -> st.SearchStrategy[str]:
    """Remove a random stretch of `text`."""
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


def test_decimal_commas_in_a_mol_block_are_refused():
    lines = WATER_SDF.splitlines(keepends=True)
    commas = "".join([*lines[:4], *(line.replace(".", ",") for line in lines[4:7]), *lines[7:]])
    with pytest.raises(MoleculeError, match="its coordinates have decimal commas"):
        read_molecule(commas)


def test_two_atoms_along_x_are_not_a_drawing():
    block = "\n     RDKit          3D\n\n  2  1  0  0  0  0  0  0  0  0999 V2000\n"
    block += "    0.0000    0.0000    0.0000 N   0  0\n    1.4500    0.0000    0.0000 N   0  0\n  1  2  3  0\nM  END\n"
    assert read_molecule(block)["positions"][1].tolist() == [1.45, 0.0, 0.0]


def test_carriage_returns_alone_end_lines():
    assert_is_water(read_molecule(WATER_SDF.replace("\n", "\r")))
    assert_is_water(read_molecule(WATER_XYZ.replace("\n", "\r")))


@pytest.mark.parametrize("scale", [100, 1000])
def test_picometres_are_refused(scale):
    far = {**WATER, "positions": (np.array(WATER["positions"]) * scale).tolist()}
    with pytest.raises(MoleculeError, match="its coordinates look like picometres"):
        read_molecule(far)


def test_extended_xyz_with_positions_first_is_not_sdf(tmp_path):
    text = '3\nProperties=pos:R:3:species:S:1 pbc="F F F"\n0.0 0.0 0.1 O\n0.0 0.76 -0.47 H\n0.1 -0.76 -0.47 H\n'
    assert_is_water(read_molecule(text))
    (tmp_path / "a.xyz").write_text(text * 2)
    records = list(read_molecules(tmp_path / "a.xyz"))
    assert len(records) == 2
    for record in records:
        assert_is_water(read_molecule(record))


def test_numbers_with_commas_in_a_data_item_are_not_coordinates():
    assert_is_water(read_molecule(WATER_SDF + "> <RANGES>\n 1,2 3,4 5,6 \n\n$$$$\n"))
