"""Input molecules in all supported forms, and messages about those that cannot be read."""

import gzip
import json

import numpy as np
import pandas as pd
import pytest
from rdkit import Chem

from geomclip_tools.commands.molecules import check_output, list_given, read_given, write_table
from modeling_geomclip import GeomCLIPFeatureExtractor, read_molecule


def test_every_form_keeps_order_and_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.smi").write_text("# mine\nCCO ethanol\n\nCN\nCCN\tethylamine\n")
    pd.DataFrame({"cid": [7, 8], "smiles": ["CO", "CS"]}).to_csv("b.csv", index=False)
    arrays = {name: values.tolist() for name, values in read_molecule("CCl").items()}
    pd.DataFrame([{"name": "chloromethane", **arrays}]).to_parquet("c.parquet")
    (tmp_path / "d.xyz").write_text("3\nwater\nO 0 0 0\nH 0.96 0 0\nH -0.24 0.93 0\n")
    blocks = [Chem.MolToMolBlock(Chem.MolFromSmiles(smiles)) for smiles in ("CF", "CBr")]
    (tmp_path / "e.sdf").write_text("fluoromethane" + blocks[0] + "$$$$\n" + blocks[1] + "$$$$\n")
    files = ["a.smi", "b.csv", "c.parquet", "d.xyz", "e.sdf"]
    given = list_given(["CC", *files, "InChI=1S/CH4/h1H4"])
    names = ["CC", "ethanol", "CN", "ethylamine", "7", "8", "chloromethane", "d.xyz", "fluoromethane", "e.sdf:1"]
    assert [molecule.name for molecule in given] == [*names, "InChI=1S/CH4/h1H4"]
    smiles = ["CC", "CCO", "CN", "CCN", "CO", "CS", None, None, None, None, None]
    assert [molecule.smiles for molecule in given] == smiles
    records = read_given(GeomCLIPFeatureExtractor(), given, "out.csv")
    heavy = [sorted(record["atomic_numbers"].tolist()) for record in records]
    expected = [[6, 6], [6, 6, 8], [6, 7], [6, 6, 7], [6, 8], [6, 16], [6, 17], [8], [6, 9], [6, 35], [6]]
    assert heavy == expected
    np.testing.assert_allclose(records[6]["positions"], np.array(arrays["positions"])[:2])
    assert not (tmp_path / "out.rejected.jsonl").exists()


def test_names_are_kept_as_they_were_written(tmp_path):
    (tmp_path / "a.smi").write_text("CCN\tethyl amine\nCCO   ethanol \n")
    pd.DataFrame({"cid": [7, None], "smiles": ["CO", "CS"]}).to_csv(tmp_path / "b.csv", index=False)
    pd.DataFrame({"name": ["", "x"], "smiles": ["CO", None]}).to_parquet(tmp_path / "c.parquet")
    pd.DataFrame([{"atomic_numbers": [8], "positions": [[0.0, 0, 0]]}]).to_parquet(tmp_path / "d.parquet")
    given = list_given([str(tmp_path / name) for name in ("a.smi", "b.csv", "c.parquet", "d.parquet")])
    names = ["ethyl amine", "ethanol", "7", "CS", "CO", "c.parquet:1", "d.parquet:0"]
    assert [molecule.name for molecule in given] == names
    assert [molecule.smiles for molecule in given] == ["CCN", "CCO", "CO", "CS", "CO", None, None]


def test_ids_are_no_numbers(tmp_path):
    (tmp_path / "a.csv").write_text("ID,SMILES\n1.1,C\n1.10,CC\n1E2,CO\n007,CN\n12,CCl\n")
    assert [molecule.name for molecule in list_given([str(tmp_path / "a.csv")])] == ["1.1", "1.10", "1E2", "007", "12"]
    (tmp_path / "c.csv").write_text("id,ID,smiles\n 1,2,C\n,3,CC\n702.0,,CO\n")  # the last as pandas may write it
    assert [molecule.name for molecule in list_given([str(tmp_path / "c.csv")])] == ["1", "3", "702.0"]
    pd.DataFrame({"Id": [702.0, None], "smiles": ["CCO", "CN"]}).to_parquet(tmp_path / "b.parquet")
    assert [molecule.name for molecule in list_given([str(tmp_path / "b.parquet")])] == ["702", "CN"]


def test_a_smiles_may_be_longer_than_a_file_name():
    salt = "C" * 300 + ".Cl"
    assert [molecule.smiles for molecule in list_given([salt])] == [salt]


def test_another_kind_of_file_is_no_smiles(tmp_path):
    (tmp_path / "molecules.txt").write_text("CCO\n")
    with pytest.raises(ValueError, match=r"molecules\.txt has the unknown file type \.txt; pass SMILES"):
        list_given([str(tmp_path / "molecules.txt")])
    for name in ("missing.smi", "missing.csv", "missing.sdf", "missing.xyz", "missing.mol2"):
        with pytest.raises(ValueError, match=f"there is no file .*{name}; check the path"):
            list_given([str(tmp_path / name)])


def test_a_row_without_a_molecule_is_told(tmp_path):
    pd.DataFrame({"id": ["a", "b"], "smiles": ["CO", None]}).to_csv(tmp_path / "a.csv", index=False)
    given = list_given([str(tmp_path / "a.csv")])
    read_given(GeomCLIPFeatureExtractor(), given, str(tmp_path / "out.csv"))
    line = json.loads((tmp_path / "out.rejected.jsonl").read_text())
    reason = "neither a structure nor a CID"
    assert line == {"row": 1, "id": "a.csv:1", "molecule": "a faulty row", "reason": reason}


def test_what_is_damaged_in_a_file_costs_no_other_molecule(tmp_path, capsys):
    (tmp_path / "a.smi").write_bytes(b"CCO ethanol\nCN K\xf6ln\nCO\n")
    (tmp_path / "b.csv").write_bytes(b'smiles;name\nCC;ethane\nCF;"fluoro"methane\nCBr;K\xf6ln\n')
    block = Chem.MolToMolBlock(Chem.MolFromSmiles("CF"))
    (tmp_path / "c.sdf").write_bytes(f"one{block}$$$$\n".encode() + f"K\xf6ln{block}$$$$\n".encode("latin-1"))
    given = list_given([str(tmp_path / name) for name in ("a.smi", "b.csv", "c.sdf")])
    records = read_given(GeomCLIPFeatureExtractor(), given, str(tmp_path / "out.csv"))
    assert [record["index"] for record in records] == [0, 2, 3, 6]
    lines = [json.loads(line) for line in (tmp_path / "out.rejected.jsonl").read_text().splitlines()]
    assert [(line["row"], line["id"]) for line in lines] == [
        (1, "a.smi:2"),
        (4, "b.csv:1"),
        (5, "b.csv:2"),
        (7, "c.sdf:1"),
    ]
    assert all("line 2 holds byte 0xf6" in line["reason"] for line in lines[:1])
    assert "4 of 8 molecules were skipped" in capsys.readouterr().err
    names = [molecule.name for molecule in list_given([str(tmp_path / "a.smi")], "latin-1")]
    assert names == ["ethanol", "Köln", "CO"]


def test_files_of_several_structures_are_read_record_by_record(tmp_path):
    (tmp_path / "a.xyz").write_text("1\nwater\nO 0 0 0\n" * 2)
    (tmp_path / "b.smi.gz").write_bytes(gzip.compress(b"CO methanol\n"))
    (tmp_path / "c.mol").write_text("")
    given = list_given([str(tmp_path / name) for name in ("a.xyz", "b.smi.gz", "c.mol")])
    assert [molecule.name for molecule in given] == ["a.xyz:0", "a.xyz:1", "methanol", "c.mol"]
    records = read_given(GeomCLIPFeatureExtractor(), given, str(tmp_path / "out.csv"))
    assert [record["index"] for record in records] == [0, 1, 2]
    assert "the file contains no molecule" in (tmp_path / "out.rejected.jsonl").read_text()


def test_many_reasons_do_not_fill_the_terminal(tmp_path, capsys):
    given = list_given(["CCO", *("C" * size for size in range(5, 18))])
    read_given(GeomCLIPFeatureExtractor(max_atoms=4), given, str(tmp_path / "out.csv"))
    told = capsys.readouterr().err
    assert told.count("skipped: 1 molecule: it has") == 10
    assert "skipped: others, for 3 more reasons" in told
    assert len((tmp_path / "out.rejected.jsonl").read_text().splitlines()) == 13


def test_what_cannot_be_read_is_listed_and_counted(tmp_path, capsys):
    given = list_given(["CCO", "C1CC", "CN", "C1CC", "not a smiles"])
    records = read_given(GeomCLIPFeatureExtractor(), given, str(tmp_path / "out.csv"))
    assert [record["index"] for record in records] == [0, 2]
    lines = [json.loads(line) for line in (tmp_path / "out.rejected.jsonl").read_text().splitlines()]
    assert [(line["row"], line["id"]) for line in lines] == [(1, "C1CC"), (3, "C1CC"), (4, "not a smiles")]
    told = capsys.readouterr().err
    assert "skipped: 2 molecules: RDKit cannot read it as SMILES" in told
    assert "3 of 5 molecules were skipped; see" in told
    read_given(GeomCLIPFeatureExtractor(), given[:1], str(tmp_path / "out.csv"))
    assert not (tmp_path / "out.rejected.jsonl").exists()


def test_nothing_to_read_is_an_error(tmp_path):
    (tmp_path / "empty.smi").write_text("\n")
    with pytest.raises(ValueError, match=r"there is no molecule in .*empty\.smi; pass at least one"):
        list_given([str(tmp_path / "empty.smi")])
    with pytest.raises(ValueError, match="no molecule of 1 can be read"):
        read_given(GeomCLIPFeatureExtractor(), list_given(["??"]), str(tmp_path / "out.csv"))


@pytest.mark.parametrize("suffix", ["csv", "parquet", "jsonl"])
def test_tables_hold_what_they_are_given(tmp_path, suffix):
    path = tmp_path / "new" / f"out.{suffix}"
    write_table(str(path), {"id": ["a", "b"], "gap (eV)": [1.5, 2.25]})
    read = {"csv": pd.read_csv, "parquet": pd.read_parquet, "jsonl": lambda path: pd.read_json(path, lines=True)}
    assert read[suffix](path).to_dict("list") == {"id": ["a", "b"], "gap (eV)": [1.5, 2.25]}
    with pytest.raises(ValueError, match=r"--output out\.txt has the wrong suffix; it must be one of \.csv, \.npz"):
        check_output("out.txt", (".csv", ".npz"))


def test_gzipped_tables_are_read(tmp_path):
    path = tmp_path / "a.csv.gz"
    path.write_bytes(gzip.compress(b"id,smiles\nx,CO\n"))
    assert [(given.name, given.smiles) for given in list_given([str(path)])] == [("x", "CO")]
