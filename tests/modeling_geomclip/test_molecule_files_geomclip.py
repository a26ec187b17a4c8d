"""Files of several molecules, intact and damaged, give the coordinates that RDKit wrote."""

import gzip
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from rdkit import Chem
from rdkit.Chem import rdDistGeom

from modeling_geomclip import MoleculeError, read_molecules
from modeling_geomclip.molecule_files_geomclip import Record, find_file_format, read_records, tell_format
from modeling_geomclip.molecules_geomclip import read_molecule
from modeling_geomclip.xyz_geomclip import is_count

SMILES = ("CO", "CC=O", "NC#N")
SYBYL = {"C": "C.3", "N": "N.3", "O": "O.3", "H": "H"}


def embed(smiles: str) -> Chem.Mol:
    mol = Chem.AddHs(Chem.MolFromSmiles(smiles))
    rdDistGeom.EmbedMolecule(mol, randomSeed=7)
    mol.SetProp("_Name", smiles)
    return mol


def write_sdf(mol: Chem.Mol) -> str:
    return f"{Chem.MolToMolBlock(mol)}>  <NAME>\n{mol.GetProp('_Name')}\n\n$$$$\n"


def write_mol2(mol: Chem.Mol) -> str:
    places = mol.GetConformer().GetPositions()
    atoms = [
        f"{i + 1:4} {atom.GetSymbol()}{i} {x:9.4f} {y:9.4f} {z:9.4f} {SYBYL[atom.GetSymbol()]} 1 UNL 0.0"
        for i, (atom, (x, y, z)) in enumerate(zip(mol.GetAtoms(), places))
    ]
    bonds = [
        f"{i + 1:4} {bond.GetBeginAtomIdx() + 1:4} {bond.GetEndAtomIdx() + 1:4} {int(bond.GetBondTypeAsDouble())}"
        for i, bond in enumerate(mol.GetBonds())
    ]
    counts = f"{len(atoms)} {len(bonds)} 1 0 0"
    start = ["@<TRIPOS>MOLECULE", mol.GetProp("_Name"), counts, "SMALL", "NO_CHARGES", "", "@<TRIPOS>ATOM"]
    return "\n".join([*start, *atoms, "@<TRIPOS>BOND", *bonds, ""])


def write_xyz(mol: Chem.Mol) -> str:
    lines = Chem.MolToXYZBlock(mol, precision=4).splitlines()
    return "\n".join([lines[0], mol.GetProp("_Name"), *lines[2:], ""])


WRITERS = {"SDF": write_sdf, "MOL2": write_mol2, "XYZ": write_xyz}
MOLECULES = [embed(smiles) for smiles in SMILES]
RECORDS = {name: [write(mol) for mol in MOLECULES] for name, write in WRITERS.items()}
EXPECTED = [(np.array([a.GetAtomicNum() for a in m.GetAtoms()]), m.GetConformer().GetPositions()) for m in MOLECULES]


def save(path: Path, content: bytes | str) -> Path:
    content = content.encode() if isinstance(content, str) else content
    path.write_bytes(gzip.compress(content) if path.suffix.lower() == ".gz" else content)
    return path


def is_equal(molecule: dict, place: int) -> bool:
    numbers, positions = EXPECTED[place]
    return np.array_equal(molecule["atomic_numbers"], numbers) and np.allclose(
        molecule["positions"], positions, atol=1e-4
    )


def read_all(path: Path, **options) -> list[dict | MoleculeError]:
    found = []
    for record in read_molecules(path, **options):
        try:
            found.append(read_molecule(record, max_atoms=50))
        except MoleculeError as error:
            found.append(error)
    return found


def list_faults(path: Path) -> list[tuple[int, int, str]]:
    return [(record.first_line, record.last_line, record.fault) for record in read_records(path)]


# ---------------------------------------------------------------------------------------------------------- whole files


@pytest.mark.parametrize(
    "ending", [".sdf", ".sd", ".MOL", ".mol2", ".MOL2", ".xyz", ".XYZ", ".sdf.gz", ".SDF.GZ", ".xyz.gz"]
)
@pytest.mark.parametrize("change", [{}, {"mark": "\ufeff"}, {"line_end": "\r\n"}, {"last": "\n\n"}])
def test_all_records_of_a_file_are_read(tmp_path, ending, change):
    text = "".join(RECORDS[find_file_format(f"a{ending}")]) + change.get("last", "")
    text = change.get("mark", "") + text.replace("\n", change.get("line_end", "\n"))
    molecules = read_all(save(tmp_path / f"a{ending}", text))
    assert [is_equal(molecule, place) for place, molecule in enumerate(molecules)] == [True] * 3


@pytest.mark.parametrize("name", RECORDS)
def test_a_record_has_its_lines_and_its_text(tmp_path, name):
    path = save(tmp_path / f"a.{name}", "".join(RECORDS[name]))
    lines = path.read_text().splitlines(keepends=True)
    start = 1
    for record, whole in zip(read_records(path), RECORDS[name], strict=True):
        assert isinstance(record, Record)
        assert (record.first_line, record.fault) == (start, "")
        assert record.text == "".join(lines[record.first_line - 1 : record.last_line])
        assert record.text == whole.removesuffix("$$$$\n")
        start += whole.count("\n")


NO_VERSION = RECORDS["SDF"][0].replace("999 V2000", "").replace("  0" * 9, "  0" * 4 + " " * 14 + "1", 1)
QM9 = (
    "3\ngdb 3\t799.58\nO\t0\t0\t0.117\t-0.5\nH\t0\t0.757\t-0.469\t0.2\nH\t0\t-0.757\t-4.69*^-1\t0.2\n"
    "1\t2\t3\nO\tO\nInChI\tInChI\n"
)
KINDS = {
    "record.sdf": RECORDS["SDF"][0],
    "block.mol": RECORDS["SDF"][1].partition(">")[0],
    "lowercase.mol": RECORDS["SDF"][2].replace("V2000", "v2000"),
    "no_version.sdf": NO_VERSION,
    "old.sd": RECORDS["SDF"][1],
    "a.mol2": RECORDS["MOL2"][0],
    "no_last_end.mol2": RECORDS["MOL2"][1].rstrip(),
    "comment.mol2": "# of a program\n\n" + RECORDS["MOL2"][2],
    "a.xyz": RECORDS["XYZ"][0],
    "qm9.xyz": QM9,
    "extended.xyz": RECORDS["XYZ"][1].replace("CC=O", "Properties=species:S:1:pos:R:3 energy=1.0"),
    "said_v2000.xyz": RECORDS["XYZ"][1].replace("CC=O", "from V2000"),
    "charge.xyz": RECORDS["XYZ"][2].replace("NC#N", "0 1"),
}


@pytest.mark.parametrize("name", KINDS)
def test_path_text_and_record_give_equal_molecules(tmp_path, name):
    assert "V2000" not in NO_VERSION
    path = save(tmp_path / name, KINDS[name])
    packed = save(tmp_path / f"{name.upper()}.GZ", KINDS[name])
    expected = read_molecule(path)
    for molecule in (str(path), packed, KINDS[name], *read_molecules(path), *read_molecules(packed)):
        found = read_molecule(molecule)
        np.testing.assert_array_equal(found["atomic_numbers"], expected["atomic_numbers"])
        np.testing.assert_array_equal(found["positions"], expected["positions"])
    if SMILES[0] in KINDS[name]:
        assert is_equal(expected, 0)


@pytest.mark.parametrize("name", RECORDS)
def test_a_file_of_several_records_is_refused_as_one_molecule_by_path_and_as_text(tmp_path, name):
    text = "".join(RECORDS[name])
    for molecule in (save(tmp_path / f"a.{name.lower()}", text), text):
        with pytest.raises(MoleculeError, match=rf"it holds several {name} records; pass read_molecules\(path\)"):
            read_molecule(molecule)


@pytest.mark.parametrize("name", ["a.sdf", "a.mol2", "a.xyz"])
def test_an_empty_file_has_no_records(tmp_path, name):
    assert read_all(save(tmp_path / name, "\n \n")) == []
    with pytest.raises(MoleculeError, match="the file holds no molecule"):
        read_molecule(tmp_path / name)


# -------------------------------------------------------------------------------------------------------------- formats


@pytest.mark.parametrize(
    ("name", "told"),
    [
        (
            "a.pdb",
            r"\.pdb files are not supported, only \.sdf, \.sd, \.mol, \.mol2, \.xyz, also with \.gz; .* bond orders",
        ),
        ("a.PDB", ".pdb files are not supported"),
        ("a.smi", ".smi files are not supported, .*; pass its SMILES one by one"),
        ("a.smi.gz", "unpack it"),
        ("a.csv", "pass its molecules one by one"),
        ("a.cif", "one molecule to SDF, without its unit cell"),
        ("a.rxn", "molecules of the reaction"),
        ("a.cdxml", "convert it to SDF"),
        ("a.zip", "unpack it"),
    ],
)
@pytest.mark.parametrize("kind", [Path, str])
def test_other_files_are_not_reported_as_bad_smiles(name, told, kind):
    with pytest.raises(MoleculeError, match=told) as caught:
        read_molecule(kind(name))
    assert "SMILES (" not in str(caught.value)
    with pytest.raises(MoleculeError, match=told):
        next(read_molecules(name))


@pytest.mark.parametrize("name", ["a.tmp", "a", "."])
def test_an_unknown_extension_is_refused_and_known_ones_are_listed(name):
    with pytest.raises(MoleculeError, match=r"the file's extension is unknown; use one of \.sdf, .*, also with \.gz"):
        next(read_molecules(name))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("$RXN\n\n\n\n  1  1\n" + RECORDS["SDF"][0], "it is a reaction"),
        (
            "HETATM    1  C1  UNL     1      -0.915   0.284   0.061\nEND\n",
            "it is PDB text, which is not supported; convert it to SDF",
        ),
        ("HEADER\nATOM      1  N   ALA A   1\n", "it is PDB text"),
        ("data_x\n_cell_length_a 5.0\n", "it is CIF text"),
        ("two\nlines\n", "it is neither SDF, MOL2 nor XYZ text"),
        ("CCO\nCCN\n", "it is neither SDF, MOL2 nor XYZ text"),
    ],
)
def test_texts_of_other_formats_are_refused_by_name(text, told):
    with pytest.raises(MoleculeError, match=told):
        tell_format(text)
    with pytest.raises(MoleculeError, match=told):
        read_molecule(text)


# -------------------------------------------------------------------------------------------------------------- damaged


def test_a_missing_end_of_an_sdf_record_affects_only_the_two_records_around_it(tmp_path):
    first, second, third = RECORDS["SDF"]
    path = save(tmp_path / "a.sdf", first + second.replace("$$$$\n", "") + third + first)
    assert [is_equal(molecule, 0) for molecule in read_all(path)[::2]] == [True, True]
    start, end = first.count("\n") + 1, (first + second + third).count("\n") - 2  # without both `$$$$`
    fault = f"lines {start} to {end}: 2 structures without a $$$$ line between them; add it"
    assert list_faults(path)[1] == (start, end, fault)
    with pytest.raises(MoleculeError, match=r"2 structures without a \$\$\$\$ line"):
        read_molecule(save(tmp_path / "b.sdf", second.replace("$$$$\n", "") + third))


def test_a_missing_start_of_a_mol2_record_affects_only_the_two_records_around_it(tmp_path):
    first, second, third = RECORDS["MOL2"]
    path = save(tmp_path / "a.mol2", first + second + third.replace("@<TRIPOS>MOLECULE\n", "") + first)
    assert [is_equal(molecule, 0) for molecule in read_all(path)[::2]] == [True, True]
    start, end = first.count("\n") + 1, (first + second + third).count("\n") - 1
    assert list_faults(path)[1][:2] == (start, end)
    assert "several molecules without a @<TRIPOS>MOLECULE line" in list_faults(path)[1][2]


@pytest.mark.parametrize("count", ["2", "9"])
def test_a_wrong_number_of_atoms_affects_only_its_xyz_record(tmp_path, count):
    first, second, third = RECORDS["XYZ"]
    path = save(tmp_path / "a.xyz", first + count + second[1:] + third)
    one, two, three = read_all(path)
    assert is_equal(one, 0)
    assert is_equal(three, 2)
    assert "the last atom" in str(two) or "9 atoms, but 7 lines" in str(two)


def test_a_missing_number_of_atoms_is_reported_with_its_lines(tmp_path):
    first, second, third = RECORDS["XYZ"]
    path = save(tmp_path / "a.xyz", first + second[2:] + third)
    assert [is_equal(molecule, place) for molecule, place in zip(read_all(path)[::2], (0, 2))] == [True, True]
    start = first.count("\n") + 1
    end = start + second.count("\n") - 2
    assert list_faults(path)[1] == (start, end, f"lines {start} to {end}: there is no atom count before it; add it")


@pytest.mark.parametrize(
    ("keep", "fault"),
    [
        ("M  END", "before M  END; fetch or write it again"),
        (">  <NAME>\nNC#", "within data items, before $$$$; fetch or write it again"),
    ],
)
def test_a_truncated_last_record_is_reported_with_its_lines(tmp_path, keep, fault):
    text = "".join(RECORDS["SDF"])
    text = text[: text.rindex(keep) + len(keep) - 2]
    path = save(tmp_path / "a.sdf", text)
    assert [is_equal(molecule, place) for place, molecule in enumerate(read_all(path)[:2])] == [True, True]
    start = "".join(RECORDS["SDF"][:2]).count("\n") + 1
    assert list_faults(path)[2][:2] == (start, text.count("\n") + 1)
    assert list_faults(path)[2][2].endswith(fault)


@pytest.mark.parametrize("name", RECORDS)
def test_a_byte_that_is_not_utf8_affects_only_its_record_or_is_read_in_the_given_encoding(tmp_path, name):
    first, second, third = (text.encode() for text in RECORDS[name])
    path = save(tmp_path / f"a.{name}", first + second.replace(b"CC=O", "éthanal".encode("cp1252"), 1) + third)
    one, two, three = read_all(path)
    assert is_equal(one, 0)
    assert is_equal(three, 2)
    line = path.read_bytes().partition(b"\xe9")[0].count(b"\n") + 1
    assert f"line {line} holds byte 0xe9, which is not valid utf-8; pass the encoding it was written in" in str(two)
    assert path.name in str(two)
    assert [is_equal(m, place) for place, m in enumerate(read_all(path, encoding="cp1252"))] == [True] * 3


def test_a_single_line_between_separators_is_not_a_smiles(tmp_path):
    path = save(tmp_path / "a.sdf", "C\n$$$$\n$$$$\n" + RECORDS["SDF"][0])
    nothing, empty, molecule = read_all(path)
    assert "line 1: there is no structure here" in str(nothing)
    assert isinstance(empty, MoleculeError)
    assert is_equal(molecule, 0)


@pytest.mark.parametrize("name", RECORDS)
def test_a_file_truncated_at_any_offset_keeps_the_records_before(tmp_path, name):
    text = "".join(RECORDS[name][:2])
    path = tmp_path / f"a.{name}"
    for offset in range(len(text)):
        molecules = read_all(save(path, text[:offset]))
        assert len(molecules) <= 2
        if offset > len(RECORDS[name][0]):
            assert is_equal(molecules[0], 0)
            if name != "XYZ":  # where a truncated number is still a number
                assert isinstance(molecules[-1], MoleculeError) or is_equal(molecules[-1], len(molecules) - 1)


NOISE = st.text("CHO0 .-\n\tx", max_size=20)


@pytest.mark.parametrize("name", RECORDS)
@settings(derandomize=True, max_examples=60, deadline=None)
@given(data=st.data())
def test_neighbours_of_a_damaged_record_are_read(tmp_path_factory, name, data):
    first, second, third = RECORDS[name]
    start = second.index("\n", second.index("\n") + 1) + 1 if name == "XYZ" else second.index("\n") + 1
    end = second.index("$$$$") if name == "SDF" else len(second)
    places = data.draw(st.tuples(*[st.integers(start if name != "SDF" else 0, end - 1)] * 2))
    damaged = second[: min(places)] + data.draw(NOISE) + second[max(places) : end - 1] + "\n" + second[end:]
    assume(name != "XYZ" or not any(is_count(line) for line in damaged.split("\n")[1:]))  # these would be separators
    path = save(tmp_path_factory.getbasetemp() / f"damaged.{name}", first + damaged + third)
    molecules = read_all(path)
    assert is_equal(molecules[0], 0)
    assert is_equal(molecules[-1], 2)
    assert name == "XYZ" or len(molecules) == 3


@settings(derandomize=True, max_examples=150, deadline=None)
@given(
    content=st.binary(max_size=80) | st.text(max_size=40).map(str.encode),
    ending=st.sampled_from(["sdf", "mol", "mol2", "xyz", "sdf.gz", "xyz.gz"]),
    is_packed=st.booleans(),
    encoding=st.sampled_from(["utf-8", "cp1252", "utf-16", "utf-16-le", "utf-32", "ascii", "shift_jis"]),
)
def test_arbitrary_bytes_raise_only_molecule_errors(tmp_path_factory, content, ending, is_packed, encoding):
    path = tmp_path_factory.getbasetemp() / f"any.{ending}"
    path.write_bytes(gzip.compress(content) if is_packed else content)
    for read in (lambda: read_all(path, encoding=encoding), lambda: [read_molecule(path, max_atoms=50)]):
        try:
            found = read()
        except MoleculeError:
            continue
        assert all(isinstance(item, MoleculeError) or len(item["atomic_numbers"]) for item in found)


@pytest.mark.parametrize("name", RECORDS)
@pytest.mark.parametrize("read_as", ["utf-8", "cp1252", "utf-16", "utf-16-be", "utf-32", "cp037"])
@pytest.mark.parametrize("written_as", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32", "cp037"])
def test_swapped_encodings_give_the_molecules_or_molecule_errors(tmp_path, name, written_as, read_as):
    path = save(tmp_path / f"a.{name}", "".join(RECORDS[name]).encode(written_as))
    try:
        molecules = read_all(path, encoding=read_as)
    except MoleculeError:
        molecules = []
    assert not molecules or all(isinstance(m, MoleculeError) or is_equal(m, place) for place, m in enumerate(molecules))
    if written_as == read_as:
        assert [is_equal(molecule, place) for place, molecule in enumerate(molecules)] == [True] * 3


@pytest.mark.parametrize("name", ["missing.sdf", "missing.mol2.gz", "folder.xyz", "null\0.sdf"])
def test_a_file_that_cannot_be_opened_is_named(tmp_path, name):
    (tmp_path / "folder.xyz").mkdir()
    for read in (lambda path: next(read_molecules(path)), read_molecule):
        with pytest.raises(MoleculeError, match="check the path"):
            read(tmp_path / name)


def test_a_truncated_gzip_file_gives_its_first_records_and_then_an_error(tmp_path):
    path = save(tmp_path / "a.sdf.gz", "".join(RECORDS["SDF"]) * 50)
    path.write_bytes(path.read_bytes()[:-200])
    records = read_molecules(path)
    assert is_equal(read_molecule(next(records)), 0)
    with pytest.raises(MoleculeError, match=r"a\.sdf\.gz is truncated or damaged"):
        list(records)
