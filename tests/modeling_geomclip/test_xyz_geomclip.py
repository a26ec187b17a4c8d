"""Compare XYZ text written by hand with its numbers, and text written by ASE with the results of ASE's reader."""

import ase
import numpy as np
import pytest
from ase.build import molecule
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import read, write
from hypothesis import given, settings
from hypothesis import strategies as st

from modeling_geomclip import MoleculeError
from modeling_geomclip.molecules_geomclip import read_molecule
from modeling_geomclip.xyz_geomclip import count_lines, is_atom, is_count, read_xyz, starts_record

WATER = "3\nwater\nO 0 0 0.117\nH 0 0.757 -0.469\nH 0 -0.757 -0.469\n"
WATER_NUMBERS = [8, 1, 1]
WATER_POSITIONS = [[0, 0, 0.117], [0, 0.757, -0.469], [0, -0.757, -0.469]]
QM9 = (
    "5\ngdb 1\t157.7118\t157.70997\t157.70699\t0.\t13.21\t-0.3877\t0.1171\t0.5048\t35.3641\n"
    "C\t-0.0126981359\t 1.0858041578\t 0.0080009958\t-0.535689\n"
    "H\t 0.002150416\t-0.0060313176\t 1.9761204*^-3\t 0.133921\n"
    "H\t 1.0117308433\t 1.4637511618\t 2.765748*^-4\t 0.133922\n"
    "H\t-0.540815069\t 1.4475266138\t-0.8766437152\t 0.133923\n"
    "H\t-0.5238136345\t 1.4379326443\t 0.9063972942\t 0.133923\n"
    "1341.307\t1341.3284\t1341.365\t1562.6731\t1562.7453\t3038.3205\t3151.6034\t3151.6788\t3151.7078\n"
    "C\tC\t\nInChI=1S/CH4/h1H4\tInChI=1S/CH4/h1H4\n"
)
METHANE = [
    [-0.0126981359, 1.0858041578, 0.0080009958],
    [0.002150416, -0.0060313176, 0.0019761204],
    [1.0117308433, 1.4637511618, 0.0002765748],
    [-0.540815069, 1.4475266138, -0.8766437152],
    [-0.5238136345, 1.4379326443, 0.9063972942],
]


def record(*atoms: str, comment: str = "") -> str:
    return "\n".join([str(len(atoms)), comment, *atoms, ""])


def refuse(text: str) -> str:
    with pytest.raises(MoleculeError) as caught:
        read_xyz(text)
    assert caught.value.remedy
    return str(caught.value)


# ---------------------------------------------------------------------------------------------------------------- plain


@pytest.mark.parametrize(
    "text",
    [
        WATER,
        WATER.rstrip(),
        f"\n  \n{WATER}\n\n",
        WATER.replace("\n", "\r\n"),
        WATER.replace("\n", "\r"),
        WATER.replace("3\n", " +3 \n").replace(" ", "\t"),
        WATER.replace("water\n", "\n"),
        WATER.replace("water", "-5.07"),
        WATER.replace("water", "7"),
        WATER.replace("water", "3 atoms, V2000 \x85 of \u2028 it"),
        WATER.replace("3\n", "3 Angstrom\n"),
        WATER.replace("0.117", "0.117 17 # of 18"),
        WATER.replace("O", "8").replace("H", "1"),
        WATER.replace("O", "o").replace("H", "h"),
        WATER.replace("O", "O1").replace("H", "H12"),
        WATER.replace("H 0 0", "D 0 0").replace("H 0 -", "T 0 -"),
        WATER.replace("0.757", "7.57E-1").replace("0.117", "+.117"),
        WATER.replace("0.757", "7.57D-1").replace("0.117", "1.17d-01"),
        WATER.replace("0.757", "75.7*^-2").replace("0.117", "1.17*^-1"),
        WATER.replace("0.757", "0,757").replace("0.117", "0,117").replace("0.469", "0,469"),
    ],
)
def test_water_in_all_notations(text):
    numbers, positions = read_xyz(text)
    assert numbers.tolist() == WATER_NUMBERS
    np.testing.assert_allclose(positions, WATER_POSITIONS, atol=1e-12)
    if "\n" in text:  # a single line is read as a SMILES
        np.testing.assert_array_equal(read_molecule(text)["positions"], positions)


@pytest.mark.parametrize(
    ("symbol", "number"), [("CL", 17), ("cl", 17), ("Cl3", 17), ("BR", 35), ("OG", 118), ("118", 118)]
)
def test_symbols_in_any_case_and_atomic_numbers(symbol, number):
    assert read_xyz(record(f"{symbol} 0 0 0"))[0].tolist() == [number]


SYMBOLS = "X Xx XX1 Bq bq Bq2 Gh Gh(O) gh(he2) @O @He1 O: h1: H-Bq bqH Du DU Q LP lp *"


@pytest.mark.parametrize("symbol", SYMBOLS.split())
def test_ghost_atoms_are_refused_by_name(symbol):
    message = refuse(record("He 0 0 0", f"{symbol} 0 0 9"))
    assert message == f"line 4: {symbol!r} is a ghost atom, which has no nucleus; leave it out"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "of XYZ text must be the number of atoms, but it is missing"),
        ("water\n", "line 1 of XYZ text must be the number of atoms, but it is 'water'"),
        ("\n\nH 0 0 0\n", "line 3 of XYZ text must be the number of atoms"),
        ("-1\n\n", "line 1 of XYZ text"),
        ("3 atoms\n\n", "line 1 of XYZ text"),
        ("9" * 5000, "line 1 of XYZ text"),
        ("0\n\n", "it has no atoms"),
        ("3", "line 1 says 3 atoms, but 0 lines follow the comment line"),
        ("3\n\nO 0 0 0\nH 0 0 1", "line 1 says 3 atoms, but 2 lines follow"),
        ("1 Bohr\n\nHe 0 0 0\n", "line 1 says Bohr; multiply the coordinates by 0.529177"),
        ("1 au\n\nHe 0 0 0\n", "line 1 says Bohr"),
        (record("He 0 0 0", "He 0 0"), "line 4 ('He 0 0') is not an atom with three coordinates"),
        (record("He 0 0 0", "", "He 0 0 9"), "line 4 ('') is not an atom"),
        (record("He,0,0,0"), "line 3 ('He,0,0,0') is not an atom with three coordinates"),
        (record("He 0 0 0", "He 0 0 9,5,1"), "line 4: '9,5,1' is not a number (commas do not separate columns)"),
        (record("He 0.5, 0.5, 0"), "line 3: '0.5,' is not a number (commas do not separate columns)"),
        (record("He 0 0 1,234.5"), "line 3: '1,234.5' is not a number"),
        (record("He 0 0 nan"), "line 3: 'nan' is not a number"),
        (record("He 0 0 inf"), "line 3: 'inf' is not a number"),
        (record("He 0 0 1.0D"), "line 3: '1.0D' is not a number"),
        (record("He 0 0 1.5(3)"), "line 3: '1.5(3)' is not a number"),
        (record("He 0 0 ********"), "line 3: '********' is not a number"),
        (record("Zz 0 0 0"), "line 3: 'Zz' is not an element"),
        (record("C_3 0 0 0"), "line 3: 'C_3' is not an element"),
        (record("119 0 0 0"), "line 3: '119' is not an atomic number; use 1 to 118"),
        (record("0 0 0 0"), "line 3: '0' is not an atomic number"),
        (record("1" * 5000 + " 0 0 0"), "is not an atomic number"),
        (WATER.replace("3\n", "2\n", 1), "line 5 ('H 0 -0.757 -0.469') follows the last atom; correct the number"),
        (WATER + "1341.3 1341.4 3151.7\n", "line 6 ('1341.3 1341.4 3151.7') follows the last atom"),
        (WATER + WATER, "it holds several XYZ records; pass read_molecules(path)"),
        (WATER + "\n\n" + WATER, "it holds several XYZ records"),
    ],
)
def test_errors_name_the_line(text, told):
    assert told in refuse(text)


def test_which_lines_begin_a_record_or_are_atoms():
    assert [line for line in (" 12 ", "+3", "12 x", "-1", "1.0", "", "²", "1" * 10) if is_count(line)] == [" 12 ", "+3"]
    assert [line for line in ("3", "3 bohr", "3 C", "3 0 0 0", " ") if starts_record(line)] == ["3", "3 bohr"]
    assert [line for line in ("C 0 0 0", "6 0 0 0 1", "-5.07", "H 0 0", "3", "") if is_atom(line)] == [
        "C 0 0 0",
        "6 0 0 0 1",
    ]
    assert (count_lines("3", "water"), count_lines("5 angstrom", "gdb 1\t157.7")) == (5, 10)


# ------------------------------------------------------------------------------------------------------------------ QM9


@pytest.mark.parametrize("num_lines", [8, 9, 10])
def test_the_raw_form_of_qm9(num_lines):
    text = "".join(QM9.splitlines(keepends=True)[:num_lines])
    numbers, positions = read_xyz(text)
    assert numbers.tolist() == [6, 1, 1, 1, 1]
    np.testing.assert_array_equal(positions, METHANE)


def test_two_records_of_qm9_and_an_additional_line_are_refused():
    assert "several XYZ records" in refuse(QM9 + QM9)
    assert "follows the last atom" in refuse(QM9 + "more\n")


# ------------------------------------------------------------------------------------------------------------- extended


def write_extended(path, atoms: ase.Atoms, **settings) -> str:
    write(path, atoms, format="extxyz", **settings)
    return path.read_text()


def water_with_everything() -> ase.Atoms:
    atoms = molecule("H2O")
    atoms.calc = SinglePointCalculator(atoms, energy=-14.2, forces=np.arange(9.0).reshape(3, 3), magmoms=np.ones(3))
    atoms.info = {"name": 'it\'s "water"', "charge": 0, "list": np.arange(3)}
    atoms.set_tags([1, 2, 3])
    atoms.set_initial_charges([0.1, 0.2, 0.3])
    return atoms


EXTENDED = {
    "plain": (molecule("CH3CH2OH"), {}),
    "everything": (water_with_everything(), {}),
    "forces": (water_with_everything(), {"columns": ["symbols", "positions", "forces"]}),
    "order": (water_with_everything(), {"columns": ["forces", "tags", "positions", "symbols"]}),
    "numbers": (molecule("C6H6"), {"columns": ["symbols", "positions", "numbers"]}),
    "cell": (ase.Atoms("CO", [[0, 0, 0], [0, 0, 1.13]], cell=[9, 9, 9], pbc=False), {}),
}


@pytest.mark.parametrize("name", EXTENDED)
def test_extended_xyz_as_ase_writes_it_is_read_as_ase_reads_it(tmp_path, name):
    atoms, options = EXTENDED[name]
    text = write_extended(tmp_path / "a.xyz", atoms, **options)
    assert "Properties=" in text
    numbers, positions = read_xyz(text)
    authority = read(tmp_path / "a.xyz", format="extxyz")
    np.testing.assert_array_equal(numbers, authority.numbers)
    np.testing.assert_array_equal(positions, authority.positions)
    np.testing.assert_array_equal(numbers, atoms.numbers)


@pytest.mark.parametrize("name", ["CH3CH2OH", "C6H6", "SiCl4", "NaCl", "H2O2"])
def test_plain_xyz_as_ase_writes_it_is_read_as_ase_reads_it(tmp_path, name):
    write(tmp_path / "a.xyz", molecule(name), format="xyz", comment="of ASE")
    numbers, positions = read_xyz((tmp_path / "a.xyz").read_text())
    authority = read(tmp_path / "a.xyz", format="xyz")
    np.testing.assert_array_equal(numbers, authority.numbers)
    np.testing.assert_array_equal(positions, authority.positions)


@pytest.mark.parametrize("pbc", [True, [True, False, False], [False, False, True]])
def test_periodic_atoms_are_refused_as_text_and_as_objects(tmp_path, pbc):
    atoms = ase.Atoms("CO", [[0, 0, 0], [0, 0, 1.13]], cell=[9, 9, 9], pbc=pbc)
    told = "it is periodic, and distances across the cell would be lost"
    assert told in refuse(write_extended(tmp_path / "a.xyz", atoms))
    with pytest.raises(MoleculeError, match=told):
        read_molecule(atoms)


@pytest.mark.parametrize(
    ("comment", "told"),
    [
        ('Lattice="9 0 0 0 9 0 0 0 9"', "periodic"),
        ('Lattice="9 0 0 0 9 0 0 0 9" pbc="T F F"', "periodic"),
        ("lattice = [9,0,0,0,9,0,0,0,9] pbc=[1, 1, 1]", "periodic"),
        ('pbc="T T T"', "periodic"),
        ("Properties=species:S:1", "does not name pos"),
        ("Properties=pos:R:3", "does not name species"),
        ("Properties=species:S:1:pos:R", "does not have the form name:type:columns"),
        ("Properties=species:S:one:pos:R:3", "does not have the form name:type:columns"),
        ("Properties=species:S:1:charge:R:-1:pos:R:3", "does not have the form name:type:columns"),
        ("Properties=species:S:1:pos:R:2:charge:R:1", "gives pos 2 columns; give it 3"),
        ("Properties=species:S:1:pos:R:3:forces:R:3", ""),
        ('Lattice="9 0 0 0 9 0 0 0 9" pbc="F F F"', ""),
        ('pbc="F F F" energy=-1.0', ""),
        ('Properties=species:S:1:pos:R:3 Lattice="" pbc="F F F"', ""),
        ("energy=-1.0 pbcx=T source=lattice", ""),
    ],
)
def test_settings_of_the_comment_line(comment, told):
    text = record("He 0 0 0 1 2 3", "He 0 0 3 1 2 3", comment=comment)
    if told:
        assert told in refuse(text)
    else:
        np.testing.assert_array_equal(read_xyz(text)[1], [[0, 0, 0], [0, 0, 3]])


def test_columns_before_the_species_and_atomic_numbers_in_place_of_symbols():
    text = record("0.5 1 2 3 8", "0.5 1 2 5 6", comment="Properties=charge:R:1:pos:R:3:Z:I:1")
    numbers, positions = read_xyz(text)
    assert numbers.tolist() == [8, 6]
    np.testing.assert_array_equal(positions, [[1, 2, 3], [1, 2, 5]])
    assert "line 3" in refuse(text.replace("0.5 1 2 3 8", "0.5 1 2 3"))


# ------------------------------------------------------------------------------------------------------------- anything


@settings(derandomize=True, max_examples=200, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["C", "h", "CL", "D", "26", "O7"]), *[st.floats(-1e4, 1e4, allow_subnormal=False)] * 3
        ),
        min_size=1,
        max_size=6,
    ),
    st.text(st.characters(exclude_characters="\r\n="), max_size=20),
)
def test_any_atoms_with_any_comment_are_read_as_written(atoms, comment):
    numbers, positions = read_xyz(record(*(f"{s}\t{x!r} {y!r}  {z!r}" for s, x, y, z in atoms), comment=comment))
    assert numbers.tolist() == [{"C": 6, "h": 1, "CL": 17, "D": 1, "26": 26, "O7": 8}[symbol] for symbol, *_ in atoms]
    np.testing.assert_array_equal(positions, [place for _, *place in atoms])


@settings(derandomize=True, max_examples=300, deadline=None)
@given(st.text(max_size=60) | st.text("0123 .,-+eD*^\n\tCHO=:\"'[]", max_size=60).map("2\n{}".format))
def test_any_text_is_read_or_refused(text):
    try:
        numbers, positions = read_xyz(text)
    except MoleculeError:
        return
    assert positions.shape == (len(numbers), 3)


@pytest.mark.parametrize(
    "rows",
    [
        ["O 8.0 0.0 0.0 0.117", "H 1.0 0.0 0.757 -0.469", "H 1.0 0.0 -0.757 -0.469"],  # nuclear charges
        ["O 15.999 0.0 0.0 0.117", "H 1.008 0.0 0.757 -0.469", "H 1.008 0.0 -0.757 -0.469"],  # masses
        ["O 0 0.0 0.0 0.117", "H -1 0.0 0.757 -0.469", "H -1 0.0 -0.757 -0.469"],  # flags
        ["O 1 0.0 0.0 0.117", "H 2 0.0 0.757 -0.469", "H 3 0.0 -0.757 -0.469"],  # indices
        ["1 8 0.0 0.0 0.117", "2 1 0.0 0.757 -0.469", "3 1 0.0 -0.757 -0.469"],
    ],
)
def test_a_column_between_the_element_and_x_is_refused(rows):
    with pytest.raises(MoleculeError, match="line 3 and the lines after it have a column between the element and x"):
        read_xyz("\n".join(["3", "", *rows]))


def test_columns_after_the_coordinates_are_ignored():
    flat = ["O 0.0 0.0 0.117 0.1 0.2", "H 0.0 0.757 -0.469 0.1 0.2", "H 0.0 -0.757 -0.469 0.1 0.2"]
    numbers, positions = read_xyz("\n".join(["3", "", *flat]))
    assert numbers.tolist() == [8, 1, 1]
    assert positions[1].tolist() == [0.0, 0.757, -0.469]
