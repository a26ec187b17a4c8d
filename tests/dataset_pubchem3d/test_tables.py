"""A table as a dataset: columns, types of cells, faulty rows, splits and the cache."""

import csv
import json
import os

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import List, Value
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rdkit import Chem

from dataset_pubchem3d.pairs import get_molecule_input, load_molecules, load_pairs
from dataset_pubchem3d.sources.table import Table
from dataset_pubchem3d.tables import load_table
from modeling_geomclip import MoleculeError, read_molecule

ETHANOL = {"atomic_numbers": [6, 6, 8], "positions": [[0.0, 0.0, 0.0], [1.5, 0.0, 0.0], [2.0, 1.3, 0.0]]}


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")


def write(folder, name, content):
    file = folder / name
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return str(file)


def sdf_record(mol, **tags):
    items = "".join(f">  <{name}>\n{value}\n\n" for name, value in tags.items())
    return Chem.MolToMolBlock(mol) + items + "$$$$\n"


def test_columns_have_standard_names_or_their_own(tmp_path):
    head = "CID,Canonical_SMILES,Description,Title,source,gap,active,Conformer_Energy"
    rows = load_table(write(tmp_path, "a.csv", f"{head}\n7,CO,Wood alcohol. ,Methanol,me,1.5,1,-2\n"), "train")
    assert rows[0] == {
        "cid": 7,
        "smiles": "CO",
        "text": "Wood alcohol.",
        "name": "Methanol",
        "source": "me",
        "gap": 1.5,
        "active": 1,
        "Conformer_Energy": -2,
        "row_fault": None,
    }
    rows = load_table(str(tmp_path / "a.csv"), "train", ("CID", "Title", "Description"))
    assert {"CID": 7, "cid": 7, "Title": "Methanol", "name": "Methanol"}.items() <= rows[0].items()


@pytest.mark.parametrize(
    ("cells", "dtype", "values"),
    [
        (("1", "", "-3"), "int64", [1, None, -3]),
        (("1", "2.5", "NA"), "float64", [1.0, 2.5, None]),
        (("1e-3", "inf", "#N/A"), "float64", [0.001, float("inf"), None]),
        (("true", "False", "-"), "bool", [True, False, None]),
        (("007", "12", "null"), "string", ["007", "12", None]),
        (("1", "2", "high"), "string", ["1", "2", "high"]),
        (("12345678901234567890", "1", ""), "string", ["12345678901234567890", "1", None]),
        (("", "nan", "None"), "string", [None] * 3),
        (("1_000", "2", "3"), "string", ["1_000", "2", "3"]),
    ],
)
def test_the_type_of_a_column_fits_all_its_cells(tmp_path, cells, dtype, values):
    file = write(tmp_path, "a.csv", "smiles,mine\n" + "".join(f"C,{cell}\n" for cell in cells))
    rows = load_table(file, "train")
    assert rows.features["mine"] == Value(dtype)
    assert rows["mine"][:] == values


def test_texts_stay_texts_even_if_they_look_like_numbers(tmp_path):
    rows = load_pairs(write(tmp_path, "a.csv", "smiles,text\nC,12\nO,NA\n"), "train")
    assert rows["text"][:] == ["12", "NA"]


@pytest.mark.parametrize("name", ["a.csv", "a.tsv"])
def test_coordinates_in_json_are_lists(tmp_path, name):
    several = [np.add(ETHANOL["positions"], 5).tolist(), ETHANOL["positions"]]
    cells = [
        (ETHANOL["positions"], [-1.0]),
        (np.ravel(ETHANOL["positions"]).tolist(), -1.0),
        (several, [-1.0, -2.0]),  # the one of lowest energy is kept, as in a build
    ]
    with open(tmp_path / name, "w", newline="") as file:
        tsv = {"delimiter": "\t", "quoting": csv.QUOTE_NONE} if name == "a.tsv" else {}
        table = csv.writer(file, **tsv)
        table.writerow(["smiles", "atomic_numbers", "positions", "conformer_energy"])
        for positions, energies in cells:
            table.writerow(["CCO", *map(json.dumps, (ETHANOL["atomic_numbers"], positions, energies))])
    rows = load_molecules(str(tmp_path / name), "train", None, ())
    assert rows.features["positions"] == List(List(Value("float64")))
    for row in rows:
        assert get_molecule_input(row) == ETHANOL


def test_parquet_keeps_its_types(tmp_path):
    table = pa.table(
        {
            "SMILES": pa.array(["CCO", None]).dictionary_encode(),
            "atomic_numbers": pa.array([ETHANOL["atomic_numbers"]] * 2, pa.list_(pa.uint8())),
            "positions": pa.array([np.ravel(ETHANOL["positions"])] * 2, pa.list_(pa.float32())),
            "gap": pa.array([0.5, None], pa.float32()),
            "when": pa.array([1, 2], pa.timestamp("s")),
            "lists": [["a"], []],
        }
    )
    pq.write_table(table, tmp_path / "a.parquet")
    rows = load_table(str(tmp_path / "a.parquet"), "train")
    assert rows.features["atomic_numbers"] == List(Value("uint8"))
    assert rows.features["positions"] == List(Value("float32"))
    assert rows.features["gap"] == Value("float32")
    assert rows.column_names == ["smiles", "atomic_numbers", "positions", "gap", "when", "lists", "row_fault"]
    assert rows["smiles"][:] == ["CCO", None]
    assert np.allclose(get_molecule_input(rows[1])["positions"], ETHANOL["positions"])


def test_an_sdf_gives_geometries_labels_and_smiles(tmp_path, conformer_of):
    solid, flat = conformer_of("C[C@H](O)F"), Chem.MolFromSmiles("CCO")
    Chem.rdDepictor.Compute2DCoords(flat)
    text = sdf_record(solid, Description="A solid.", gap="1.5") + sdf_record(flat, Description="A drawing.", gap="2")
    rows = load_pairs(write(tmp_path, "a.sdf", text), "train")
    assert rows["gap"][:] == [1.5, 2.0]
    assert rows["smiles"][:] == ["C[C@H](O)F", "CCO"]
    given = read_molecule(get_molecule_input(rows[0]))
    assert given["positions"] == pytest.approx(solid.GetConformer().GetPositions(), abs=1e-4)
    assert get_molecule_input(rows[1]) == "CCO"


def test_an_inchi_may_replace_the_smiles(tmp_path):
    alanine = "InChI=1S/C3H7NO2/c1-2(4)3(5)6/h2H,4H2,1H3,(H,5,6)/t2-/m0/s1"
    row = f'"{alanine}",QNAYBMKLOCPYGJ-REOHCLBHSA-N'
    (only,) = load_molecules(write(tmp_path, "a.csv", f"inchi,inchikey\n{row}\n"), "train", None, ("smiles",))
    assert only["smiles"] == "C[C@H](N)C(=O)O"
    (both,) = load_table(write(tmp_path, "b.csv", f"smiles,inchi,inchikey\nNC(C)C(=O)O,{row}\n"), "train")
    assert both["smiles"] == "C[C@H](N)C(=O)O"  # the one that matches the key
    (first,) = load_table(write(tmp_path, "c.csv", f'smiles,inchi\nNC(C)C(=O)O,"{alanine}"\n'), "train")
    assert first["smiles"] == "NC(C)C(=O)O"


def test_escaped_backslashes_become_single(tmp_path):
    (row,) = load_table(write(tmp_path, "a.csv", "smiles\n C/C=C\\\\C \n"), "train")
    assert row["smiles"] == "C/C=C\\C"


def test_a_faulty_row_has_its_fault_and_is_null_elsewhere(tmp_path):
    file = write(tmp_path, "a.csv", b"smiles,text,gap\nC,Methane,1\nC1CC,A ring,2\nO,W\xe4sser,3\nN,,4\n")
    rows = load_pairs(file, "train")
    assert rows["gap"][:] == [1, None, None, None]
    assert rows["row_fault"][:] == [
        None,
        "RDKit cannot read the SMILES (C1CC)",
        "the row is damaged (a.csv: line 4 holds byte 0xe4, which is not valid utf-8; pass the encoding it was "
        "written in, such as cp1252)",
        "the text is empty",
    ]
    with pytest.raises(MoleculeError, match="the text is empty"):
        read_molecule(get_molecule_input(rows[3]))
    assert load_molecules(file, "train", None, ())["row_fault"][3] is None  # no text is needed here
    assert load_pairs(file, "train", encoding="cp1252")["text"][2] == "Wässer"


def test_a_row_with_only_a_cid_is_faulty(tmp_path):
    rows = load_table(write(tmp_path, "a.csv", "smiles,cid\n,962\n,\n"), "train")
    assert rows["row_fault"][:] == ["its molecule is given only by a CID", "neither a structure nor a CID"]


def test_slices_are_those_of_datasets(tmp_path):
    file = write(tmp_path, "a.csv", "smiles,number\n" + "".join(f"C,{number}\n" for number in range(11)))
    for split, expected in (
        ("train[:90%]", range(10)),
        ("train[90%:]", [10]),
        ("train[2:4]+train[-1:]", [2, 3, 10]),
        ("train[5:5]", []),
    ):
        assert load_table(file, split)["number"][:] == [*expected]
    for split in ("test", "validation", "train[:50%]+test", "train["):
        with pytest.raises(ValueError, match=r"a\.csv is a table, which has only the split 'train'.*validation_split"):
            load_table(file, split)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", b"smiles,text\n", "a.csv has no rows; give a table with at least one"),
        ("a.csv", b"", "a.csv has no rows"),
        ("a.sdf", b"", "a.sdf has no rows"),
        ("a.csv", b"smiles\nCCO\n", "has the columns .'smiles'.; it needs 'text'"),
        ("a.parquet", b"PAR1", "a.parquet: broken or truncated"),
        ("a.csv", b"\xff\xfea\x00", "begins as UTF-16 text"),
        ("a.txt", b"CCO\n", "is a .txt file; give a folder, a Hub id or"),
    ],
)
def test_a_broken_file_is_a_single_error(tmp_path, name, content, message):
    with pytest.raises(ValueError, match=message):
        load_pairs(write(tmp_path, name, content), "train")


@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.parquet", "a.sdf", "a.sdf.gz"])
def test_a_missing_file_is_named(tmp_path, name):
    with pytest.raises(ValueError, match=rf"there is no file .*{name}; check the path"):
        load_pairs(str(tmp_path / name), "train")


def test_a_changed_file_is_read_again(tmp_path):
    file = write(tmp_path, "a.csv", "smiles\nC\n")
    assert load_table(file, "train")["smiles"][:] == ["C"]
    write(tmp_path, "a.csv", "smiles\nN\n")
    os.utime(file, ns=(1, 1))
    assert load_table(file, "train")["smiles"][:] == ["N"]
    kept = len(list((tmp_path / "cache").rglob("*.arrow")))
    load_table(file, "train")
    assert len(list((tmp_path / "cache").rglob("*.arrow"))) == kept == 2


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=60))
def test_any_bytes_give_the_same_rows_as_a_build(tmp_path, content):
    file = write(tmp_path, "a.csv", b"smiles,text\nC,Methane\n" + content)
    try:
        raw = list(Table(path=file).read_records(tmp_path / "a.csv"))
    except ValueError:
        with pytest.raises(ValueError, match=r"a\.csv"):
            load_pairs(file, "train")
        return
    rows = load_pairs(file, "train")
    assert len(rows) == len(raw)
    assert all(fault for record, fault in zip(raw, rows["row_fault"], strict=True) if record.fault)
