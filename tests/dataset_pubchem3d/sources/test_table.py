import csv
import gzip
import json
import pickle
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rdkit import Chem
from rdkit.Chem import AllChem

from dataset_pubchem3d.records import Identity, RecordError
from dataset_pubchem3d.sources.table import Table, TableGeometry
from dataset_pubchem3d.sources.table_files import Row, undouble_backslashes

REAL = Path(__file__).parents[4] / "shared" / "data" / "text_pairs.parquet"
WATER = [[0, 0, 0.125], [0, 0.75, -0.5], [0, -0.75, -0.5]]
WATER_KEY, ETHANOL_KEY = "XLYOFNOQVPJJNP-UHFFFAOYSA-N", "LFQSCWFLJHTTHZ-UHFFFAOYSA-N"


def text_of(**cells):
    (text,) = Table().parse_texts(Row("row 0", cells))
    return text


def identify_and_parse(source, raw):
    return source.identify(raw), source.parse_geometry(raw)


def texts_of(file):
    return [text for raw in Table(path=str(file)).read_records(file) for text in Table().parse_texts(raw)]


def geometry_of(**cells):
    return TableGeometry().parse_geometry(Row("row 0", cells))


def write(folder, form, frame):
    """The table in a format, written by pandas."""
    file = folder / f"pairs.{form}"
    if form == "parquet":
        frame.to_parquet(file)
    else:
        lists = frame.map(lambda cell: json.dumps(cell) if isinstance(cell, list) else cell)
        lists.to_csv(file, index=False, sep="\t" if form == "tsv" else ",", quoting=3 if form == "tsv" else 0)
    return file


def sdf_record(smiles, is_3d, **tags):
    mol = Chem.AddHs(Chem.MolFromSmiles(smiles))
    if is_3d:
        AllChem.EmbedMolecule(mol, randomSeed=1)
    else:
        AllChem.Compute2DCoords(mol)
    items = "".join(f">  <{name}>  (1)\n{value}\n\n" for name, value in tags.items())
    return Chem.MolToMolBlock(mol) + items + "$$$$\n", mol


@pytest.mark.parametrize("form", ["parquet", "csv", "tsv"])
def test_all_formats_give_the_same(tmp_path, form):
    frame = pd.DataFrame(
        {
            "CID": [962.0, None],
            "Canonical_SMILES": ["O", "CCO"],
            "Description": ["Water, the solvent. ", "Ethanol is an alcohol."],
            "source": ["mine", None],
            "atomic_numbers": [[8, 1, 1], [6, 6, 8]],
            "positions": [sum(WATER, []), [0, 0, 0, 1.5, 0, 0, 2, 1.25, 0]],  # noqa: RUF017
            "conformer_energy": [-2078.5, None],
        }
    )
    file = write(tmp_path, form, frame)
    water, ethanol = texts_of(file)
    assert (water.record_id, water.text, water.raw) == ("row 0", "Water, the solvent.", "Water, the solvent. ")
    assert (water.cid, water.compound.cid, water.compound.inchikey, water.source) == (962, 962, WATER_KEY, "mine")
    assert (ethanol.record_id, ethanol.raw, ethanol.cid, ethanol.source) == ("row 1", None, None, "table")
    source = TableGeometry(path=str(file))
    raw = list(source.read_records(file))
    assert [(identity.cid, identity.inchikey) for identity in map(source.identify, raw)] == [
        (962, WATER_KEY),
        (None, ETHANOL_KEY),
    ]
    geometries = [source.parse_geometry(record) for record in raw]
    assert geometries[0].positions.tolist() == [WATER]
    assert (geometries[0].energies.tolist(), geometries[1].energies) == ([-2078.5], None)
    assert geometries[1].atomic_numbers.tolist() == [6, 6, 8]  # none were given, none are added
    assert (geometries[0].method, source.method, geometries[0].geometry_id) == (None, "not stated", "row 0")


ALANINE = {  # from PubChem
    "inchikey": "QNAYBMKLOCPYGJ-REOHCLBHSA-N",
    "inchi": "InChI=1S/C3H7NO2/c1-2(4)3(5)6/h2H,4H2,1H3,(H,5,6)/t2-/m0/s1",
    "flat": "CC(C(=O)O)N",
    "smiles": "C[C@@H](C(=O)O)N",
}


def test_the_structure_with_the_key_of_the_row_is_used():
    row = {"text": "It is L-alanine.", "smiles": ALANINE["flat"], "inchi": ALANINE["inchi"]}
    assert "@" in text_of(**row, inchikey=ALANINE["inchikey"]).compound.smiles
    assert "@" not in text_of(**row).compound.smiles  # without a key, the first structure is used
    broken = row | {"inchi": "InChI=1S/broken", "inchikey": ALANINE["inchikey"]}
    assert "@" not in text_of(**broken).compound.smiles


def test_a_smiles_with_stereo_is_preferred_to_one_without(tmp_path):
    frame = pd.DataFrame({"canonical_smiles": [ALANINE["flat"]], "isomeric_smiles": [ALANINE["smiles"]], "text": "It."})
    (text,) = texts_of(write(tmp_path, "csv", frame))
    assert text.compound.inchikey == ALANINE["inchikey"]


def test_whitespace_and_nonstandard_inchis():
    methane = {"text": "Gas.", "inchi": " InChI=1S/CH4/h1H4 ", "inchikey": " VNWKTOKETHGBQD-UHFFFAOYSA-N"}
    for inchi in (methane["inchi"], "InChI=1/CH4/h1H4"):
        compound = text_of(**methane | {"inchi": inchi}).compound
        assert (compound.inchi, compound.inchikey) == ("InChI=1S/CH4/h1H4", "VNWKTOKETHGBQD-UHFFFAOYSA-N")


def test_a_first_block_alone_does_not_hide_the_key_of_the_structure():
    row = Row("row 0", {"smiles": ALANINE["smiles"], "inchikey": ALANINE["inchikey"][:14]})
    assert TableGeometry().identify(row).inchikey == ALANINE["inchikey"]


@pytest.mark.parametrize("form", ["parquet", "csv", "tsv"])
def test_coordinates_are_found_for_any_spelling_of_the_header(tmp_path, form):
    frame = pd.DataFrame({"smiles": ["O"], "text": ["Wet."], "atomic_numbers": [[8, 1, 1]], "positions": [WATER]})
    file = write(tmp_path, form, frame)
    if form == "csv":
        frame.map(str).to_csv(file, index=False, quoting=csv.QUOTE_ALL)
    assert TableGeometry(path=str(file)).has_coordinates(file)
    bare = write(tmp_path, form, frame[["smiles", "text"]])
    assert not TableGeometry(path=str(bare)).has_coordinates(bare)


def test_words_for_missing_values_are_missing_cells_except_in_texts(tmp_path):
    file = tmp_path / "a.csv"
    file.write_text("smiles,cid,name,text\nO,NA,NA,None\nO,null,n/a,nan\n")
    first, second = Table().read_records(file)
    assert first.cells == {"smiles": "O", "name": "NA", "text": "None"}
    assert second.cells == {"smiles": "O", "name": "n/a"}


def test_a_list_in_place_of_a_text_is_refused(tmp_path):
    frame = pd.DataFrame({"smiles": ["O", "O"], "text": [["Wet."], ["Water."]]})
    raw = next(Table().read_records(write(tmp_path, "parquet", frame)))
    with pytest.raises(RecordError, match=r"row 0: the row does not fit the header of its table \(a list as text"):
        Table().parse_texts(raw)


def test_rows_of_the_wrong_length_are_refused_and_others_are_kept(tmp_path):
    (tmp_path / "a.tsv").write_text("smiles\ttext\nO\tWater\nO\nC\tMethane\tgas\nCCO\tEthanol\n")
    raw = list(Table().read_records(tmp_path / "a.tsv"))
    assert [record.record_id for record in raw] == ["row 0", "row 1", "row 2", "row 3"]
    assert [Table().parse_texts(raw[place])[0].text for place in (0, 3)] == ["Water", "Ethanol"]
    for place, detail in ((1, "a.tsv: 1 cell in line 3, 2 columns"), (2, "a.tsv: 3 cells in line 4")):
        with pytest.raises(RecordError, match=f"row {place}: the row does not fit the header of its table .{detail}"):
            Table().parse_texts(raw[place])


def test_sdf_gives_tags_structures_and_3d_geometries(tmp_path):
    solid, mol = sdf_record("C[C@H](O)F", True, Description="A chiral molecule.", CID="00123")
    flat, _ = sdf_record("CCO", False, SMILES="CCO", Description="Two\nlines.")
    bare, _ = sdf_record("C", True)
    file = tmp_path / "pairs.sdf"
    file.write_text(solid + flat + bare)
    first, second, third = Table().read_records(file)
    (text,) = Table().parse_texts(first)
    assert (text.text, text.cid, text.compound.smiles) == ("A chiral molecule.", 123, "C[C@H](O)F")
    assert Table().parse_texts(second)[0].text == "Two\nlines."
    with pytest.raises(RecordError, match="row 2: the text is empty"):
        Table().parse_texts(third)
    geometry = TableGeometry().parse_geometry(first)
    assert geometry.atomic_numbers.tolist() == [atom.GetAtomicNum() for atom in mol.GetAtoms()]
    assert geometry.positions[0] == pytest.approx(mol.GetConformer().GetPositions(), abs=1e-4)
    assert TableGeometry().identify(first).inchikey == Chem.MolToInchiKey(mol)
    with pytest.raises(RecordError, match="2D"):
        TableGeometry().parse_geometry(second)
    packed = tmp_path / "pairs.sdf.gz"
    packed.write_bytes(gzip.compress(file.read_bytes()))
    assert list(Table().read_records(packed)) == [first, second, third]


def test_an_sdf_without_any_text_is_an_error(tmp_path):
    file = tmp_path / "pairs.sdf"
    file.write_text(sdf_record("C", True, CID="297")[0])
    with pytest.raises(ValueError, match=r"pairs.sdf: .*CID.* lacks text or description or caption; rename"):
        list(Table().read_records(file))
    assert len(list(TableGeometry().read_records(file))) == 1


@pytest.mark.parametrize("form", ["parquet", "csv", "tsv"])
def test_missing_columns_are_named_before_the_first_row(tmp_path, form):
    file = write(tmp_path, form, pd.DataFrame({"text": ["Water"], "formula": ["H2O"]}))
    with pytest.raises(ValueError, match=rf"pairs.{form}: has the columns text, formula and lacks smiles or.*cid"):
        next(Table().read_records(file))
    with pytest.raises(ValueError, match=r"lacks inchikey or.*; atomic_numbers or mol_block; positions or mol_block"):
        next(TableGeometry().read_records(file))


def test_a_table_needs_no_text_to_give_geometries(tmp_path):
    frame = pd.DataFrame({"inchikey": [WATER_KEY], "atomic_numbers": [[8, 1, 1]], "positions": [WATER]})
    raw = next(TableGeometry().read_records(write(tmp_path, "parquet", frame)))
    assert TableGeometry().identify(raw).inchikey == WATER_KEY
    assert TableGeometry().parse_geometry(raw).positions.tolist() == [WATER]


def test_several_conformers_are_sorted_by_energy():
    geometry = geometry_of(atomic_numbers=[2], positions="[[[1,0,0]],[[2,0,0]]]", energy="[3.5, 1.5]")
    assert geometry.positions.tolist() == [[[2, 0, 0]], [[1, 0, 0]]]
    assert geometry.energies.tolist() == [1.5, 3.5]


def test_method_and_license_come_from_the_row_or_the_option():
    cells = {"atomic_numbers": "[2]", "positions": "[0, 0, 0]"}
    assert TableGeometry(method="PM7", license="CC0").method == "PM7"
    geometry = geometry_of(**cells, geometry_method="HF", geometry_license="MIT")
    assert (geometry.method, geometry.license) == ("HF", "MIT")


@pytest.mark.parametrize(
    ("cells", "reason"),
    [
        ({"positions": "[0,0,0]"}, "the geometry has no atoms"),
        ({"positions": "[0,0]", "atomic_numbers": "[1]"}, "numbers of atoms and positions differ"),
        ({"positions": [0.0, 0, 0, 1], "atomic_numbers": [1]}, "numbers of atoms and positions differ"),
        ({"positions": [0.0, 0, None], "atomic_numbers": [1]}, "a coordinate is not finite"),
        ({"positions": [[0.0, 0, 0], [1.0]], "atomic_numbers": [1, 1]}, "a cell is not a list of numbers"),
        ({"positions": "0 0 0", "atomic_numbers": "[1]"}, "a cell is not a list of numbers"),
        ({"positions": [0.0, 0, 0], "atomic_numbers": [0]}, "an atomic number is not one of 1 to 118"),
        ({"positions": [0.0, 0, 0], "atomic_numbers": "[1]", "energy": "low"}, "a cell is not a list of numbers"),
        ({"atomic_numbers": "[1]"}, "no positions"),
        (
            {"positions": [0.0, 0, 0], "atomic_numbers": "[1]", "smiles": "O", "inchikey": ETHANOL_KEY},
            "InChIKey and structure are of different molecules",
        ),
    ],
)
def test_bad_geometries_are_refused(cells, reason):
    with pytest.raises(RecordError, match="row 0") as caught:
        geometry_of(**cells)
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    ("cells", "reason"),
    [
        ({"smiles": "O"}, "the text is empty"),
        ({"smiles": "O", "text": " "}, "the text is empty"),
        ({"text": "Water"}, "neither a structure nor a CID"),
        ({"text": "Water", "smiles": "O("}, "RDKit cannot read the SMILES"),
        ({"text": "Water", "inchi": "H2O"}, "RDKit cannot read the InChI"),
        ({"text": "Water", "mol_block": "H2O"}, "RDKit cannot read the mol block"),
        ({"text": "Water", "smiles": "O", "cid": "9.5"}, "an id is not a positive integer"),
        ({"text": "Water", "smiles": "O", "cid": "CID962"}, "an id is not a positive integer"),
        ({"text": "Water", "smiles": "O", "inchikey": "water"}, "not an InChIKey"),
        (
            {"text": "Water", "smiles": "O", "inchikey": ETHANOL_KEY},
            "InChIKey and structure are of different molecules",
        ),
    ],
)
def test_bad_texts_are_refused(cells, reason):
    with pytest.raises(RecordError, match="row 0") as caught:
        text_of(**cells)
    assert caught.value.reason == reason


def test_the_key_of_the_column_is_used_if_it_has_the_first_block_of_the_structure():
    key = "QNAYBMKLOCPYGJ-REOHCLBHSA-N"  # L-alanine
    assert text_of(text="Alanine", smiles="CC(N)C(=O)O", inchikey=key).compound.inchikey == key
    compound = text_of(text="Alanine", smiles="CC(N)C(=O)O", inchikey=key[:14]).compound
    assert compound.inchikey == "QNAYBMKLOCPYGJ-UHFFFAOYSA-N"


def test_an_inchi_or_a_cid_can_replace_the_smiles():
    inchi = "InChI=1S/C4H8/c1-3-4-2/h3-4H,1-2H3/b4-3+"
    compound = text_of(text="Butene", inchi=inchi, name="but-2-ene").compound
    assert (compound.inchi, compound.inchikey) == (inchi, "IAQRGUVFOMOMEM-ONEGZZNKSA-N")
    assert (compound.smiles, compound.title) == ("C/C=C/C", "but-2-ene")
    text = text_of(text="Water", cid="962")
    assert (text.cid, text.compound) == (962, None)


OTHER_ATOMS = {"atomic_numbers": [6, 7, 8], "positions": [[0, 0, 0], [1.5, 0, 0], [2, 1.3, 0]]}
ETHANOL = {**OTHER_ATOMS, "atomic_numbers": [6, 6, 8]}


def test_coordinates_of_another_molecule_are_refused(conformer_of):
    reason = "the coordinates are of another molecule"
    with pytest.raises(RecordError, match=rf"{reason} \(they have CNO, the structure has C2H6O\)"):
        geometry_of(smiles="CCO", **OTHER_ATOMS)
    with pytest.raises(RecordError, match=reason):
        geometry_of(inchi="InChI=1S/C2H6O/c1-2-3/h3H,2H2,1H3", **OTHER_ATOMS)
    assert geometry_of(**OTHER_ATOMS).atomic_numbers.tolist() == [6, 7, 8]  # nothing to compare with
    isomer = conformer_of("COC")
    with pytest.raises(RecordError, match=reason):
        geometry_of(smiles="CCO", mol_block=Chem.MolToMolBlock(isomer))
    assert len(geometry_of(mol_block=Chem.MolToMolBlock(isomer)).atomic_numbers) == 9


@pytest.mark.parametrize(
    ("cells", "reason"),
    [
        (OTHER_ATOMS, "the coordinates are of another molecule"),
        ({"positions": "0 0 0", "atomic_numbers": "[6]"}, "a cell is not a list of numbers"),
        ({"atomic_numbers": "[6, 6, 8]"}, "no positions"),
        ({"positions": "[[0, 0, 0]]"}, "the geometry has no atoms"),
        ({"positions": "[" * 100_000, "atomic_numbers": "[6]"}, "a cell is not a list of numbers"),
        ({"positions": [[0, 0, 10**400]], "atomic_numbers": [6]}, "a cell is not a list of numbers"),
        ({"positions": [[0, 0, 0], [0, 0, 0.0]], "atomic_numbers": [6, 8]}, "all of its atoms are at the same"),
    ],
)
def test_a_faulty_geometry_is_refused_once(cells, reason):
    raw = Row("row 0", {"text": "Ethanol.", "smiles": "CCO", **cells})
    with pytest.raises(RecordError) as refused:
        Table(with_geometries=True).parse_texts(raw)
    assert refused.value.reason.startswith(reason)
    assert TableGeometry(with_texts=True).identify(raw) == Identity()  # matches no text
    assert Table().parse_texts(raw)[0].text == "Ethanol."  # in a recipe with geometries from elsewhere
    with pytest.raises(RecordError) as refused:
        TableGeometry().parse_geometry(raw)  # in a recipe with texts from elsewhere
    assert refused.value.reason.startswith(reason)


@pytest.mark.parametrize("cells", [{"smiles": "C1CC"}, {"smiles": "O", "inchikey": "water"}, {}, {"cid": "x"}])
def test_a_row_that_the_texts_refuse_is_not_refused_again_by_the_geometries(cells):
    raw = Row("row 0", {"text": "It.", **cells, **ETHANOL})
    assert TableGeometry(with_texts=True).identify(raw) == Identity()
    with pytest.raises(RecordError):
        identify_and_parse(TableGeometry(), raw)


def test_a_row_without_coordinates_is_not_a_fault():
    raw = Row("row 0", {"text": "Ethanol.", "smiles": "CCO"})
    assert Table(with_geometries=True).parse_texts(raw)
    assert TableGeometry(with_texts=True).identify(raw) == Identity()
    whole = Row("row 0", {"text": "Ethanol.", "smiles": "CCO", **ETHANOL})
    assert Table(with_geometries=True).parse_texts(whole)
    assert TableGeometry(with_texts=True).identify(whole) == Identity(None, ETHANOL_KEY)
    assert TableGeometry(with_texts=True).parse_geometry(whole).positions.shape == (1, 3, 3)


def test_the_original_text_is_kept_too(tmp_path):
    (tmp_path / "a.csv").write_text("smiles,text\nO,Boils at 100 &deg;C. \nC,A gas.\n")
    first, second = texts_of(tmp_path / "a.csv")
    assert (first.text, first.raw) == ("Boils at 100 °C.", "Boils at 100 &deg;C. ")
    assert second.raw is None


def test_another_encoding_is_an_option(tmp_path):
    (tmp_path / "a.csv").write_text("smiles;text\nO;Wässer\n", encoding="cp1252")
    source = Table(str(tmp_path / "a.csv"), encoding="cp1252")
    (raw,) = source.read_records(tmp_path / "a.csv")
    assert source.parse_texts(raw)[0].text == "Wässer"
    (raw,) = Table().read_records(tmp_path / "a.csv")
    with pytest.raises(RecordError, match=r"row 0: the row is damaged \(a\.csv: line 2 holds byte 0xe4"):
        Table().parse_texts(raw)


def test_a_table_that_is_not_there_is_named(tmp_path):
    file = tmp_path / "absent.csv"
    with pytest.raises(FileNotFoundError, match=f"there is no file {file}; check the path"):
        list(Table(str(file)).read_records(file))


def test_doubled_backslashes_are_undoubled():
    doubled = Row("row 0", {"text": "A salt.", "smiles": "C/C=C\\\\C.[Na+].[Cl-]"})
    assert undouble_backslashes(doubled.cells["smiles"]) == "C/C=C\\C.[Na+].[Cl-]"
    assert Table().parse_texts(doubled)[0].compound.smiles == Chem.CanonSmiles("C/C=C\\C.[Na+].[Cl-]")
    assert pickle.loads(pickle.dumps(doubled)) == doubled


def test_the_rows_of_a_folder_are_numbered_across_its_files(tmp_path):
    for name, smiles in (("a.csv", "O"), ("b.tsv", "CCO")):
        (tmp_path / name).write_text(("smiles,text\n" + smiles + ",x\n").replace(",", "\t" if "tsv" in name else ","))
    assert [(text.record_id, text.compound.smiles) for text in texts_of(tmp_path)] == [("row 0", "O"), ("row 1", "CCO")]


@pytest.mark.skipif(not REAL.exists(), reason=f"{REAL} is absent")
def test_real_pairs_are_read():
    rows = list(Table().read_records(REAL))
    assert len(rows) == 7334
    for raw in rows[::6]:
        if "inchikey" in raw.cells:
            (text,) = Table().parse_texts(raw)
            assert text.compound.inchikey == raw.cells["inchikey"]
            assert text.text == raw.cells["text"].strip()
    for raw in rows:
        if "inchikey" not in raw.cells:
            with pytest.raises(RecordError, match="RDKit finds no InChI"):
                Table().parse_texts(raw)


@pytest.mark.skipif(not REAL.exists(), reason=f"{REAL} is absent")
def test_real_positions_are_kept_as_given():
    frame = pd.read_parquet(REAL)
    source = TableGeometry(path=str(REAL))
    for number, raw in enumerate(source.read_records(REAL)):
        if number % 50 == 0:
            geometry = source.parse_geometry(raw)
            assert np.array_equal(geometry.atomic_numbers, frame.atomic_numbers[number])
            assert np.array_equal(geometry.positions.ravel(), frame.positions[number])
            assert source.identify(raw).inchikey == frame.inchikey[number]
    assert number == 7333
