"""Every kind of library is streamed with places, names, texts and the user's own columns."""

import gzip

import pandas as pd
import pytest
from rdkit import Chem

from geomclip_tools.library.entries import count_entries, is_dataset, read_entries


def read(*libraries):
    return list(read_entries([str(library) for library in libraries]))


def test_a_list_of_smiles(tmp_path):
    with gzip.open(tmp_path / "a.smi.gz", "wt") as file:
        file.write("# mine\nCCO grain alcohol\n\nCN\n")
    ethanol, amine = read(tmp_path / "a.smi.gz")
    assert ethanol.row.cells == {"smiles": "CCO", "name": "grain alcohol"}
    assert (ethanol.place, ethanol.name) == (f"{tmp_path}/a.smi.gz, line 2", "grain alcohol")
    assert (amine.place, amine.name) == (f"{tmp_path}/a.smi.gz, line 4", "")
    assert count_entries([str(tmp_path / "a.smi.gz")]) == 4


def test_tables_keep_their_own_columns(tmp_path):
    (tmp_path / "a.csv").write_text("ID,SMILES,Description,Price,Stock\n7,CCO,an alcohol,1.5,yes\n8,CN,,2,\n")
    pd.DataFrame({"smiles": ["CO"], "tags": [["a", "b"]], "price": [3]}).to_parquet(tmp_path / "b.parquet")
    first, second, third = read(tmp_path)
    assert first.row.cells["text"] == "an alcohol"
    assert first.columns == {"ID": "7", "Price": "1.5", "Stock": "yes"}
    assert (first.name, first.place) == ("7", f"{tmp_path}/a.csv, line 2")
    assert second.columns == {"ID": "8", "Price": "2"}
    assert "text" not in second.row.cells
    assert third.columns == {"tags": ["a", "b"], "price": 3}
    assert third.place == f"{tmp_path}/b.parquet, row 1"
    assert count_entries([str(tmp_path)]) == 4


def test_records_of_an_sdf(tmp_path):
    block = Chem.MolToMolBlock(Chem.MolFromSmiles("CCO"))
    (tmp_path / "a.sdf").write_text(f"ethanol{block}> <price>\n3\n\n$$$$\nbroken\n$$$$\n")
    (tmp_path / "b.mol").write_text(block)
    good, broken, single = read(tmp_path)
    assert (good.name, good.columns, good.place) == ("ethanol", {"price": "3"}, f"{tmp_path}/a.sdf, record 1")
    assert broken.row.fault
    assert "line 15" in broken.row.fault.detail
    assert single.place == f"{tmp_path}/b.mol, record 1"
    assert count_entries([str(tmp_path / "a.sdf")]) == 2


def test_a_faulty_row_is_an_entry_with_its_fault(tmp_path):
    (tmp_path / "a.csv").write_bytes(b"smiles,price\nCCO,1\nCN\nCO,K\xf6ln\nC,2\n")
    (tmp_path / "b.smi").write_bytes(b"CCO K\xf6ln\nCN\n")
    entries = read(tmp_path)
    assert [bool(entry.row.fault) for entry in entries] == [False, True, True, False, True, False]
    assert entries[1].place.endswith("a.csv, line 3")
    assert "line 1 holds byte 0xf6" in entries[4].row.fault.detail


def test_the_folder_of_a_dataset(tmp_path):
    (tmp_path / "data").mkdir()
    pd.DataFrame({"smiles": ["CO"], "text": ["an alcohol"]}).to_parquet(tmp_path / "data" / "train-0.parquet")
    assert not is_dataset(str(tmp_path))
    (tmp_path / "README.md").write_text("---\nlicense: cc0-1.0\n---\n")
    assert is_dataset(str(tmp_path))
    assert is_dataset("owner/name")
    (entry,) = read(tmp_path)
    assert (entry.place, entry.row.cells["text"]) == (f"{tmp_path}, train, row 1", "an alcohol")
    assert count_entries([str(tmp_path)]) is None


def test_what_is_no_library_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"there is no file .*a\.smi; check the path"):
        read(tmp_path / "a.smi")
    with pytest.raises(ValueError, match=r"its ending is not one of .*convert the file"):
        read(tmp_path / "a.xlsx")
    with pytest.raises(ValueError, match=r"has no file that ends in \.csv"):
        read(tmp_path)
    (tmp_path / "a.csv").write_text("name\nethanol\n")
    with pytest.raises(ValueError, match="has the columns name and lacks smiles or"):
        read(tmp_path)


def test_ids_with_gaps_are_whole_numbers(tmp_path):
    pd.DataFrame({"cid": [702.0, None], "smiles": ["CCO", "CN"]}).to_parquet(tmp_path / "a.parquet")
    assert [entry.name for entry in read_entries([str(tmp_path / "a.parquet")])] == ["702", ""]


def test_a_truncated_gzip_file_is_named(tmp_path):
    content = gzip.compress("".join(f"{'C' * length} n{length}\n" for length in range(1, 300)).encode())
    (tmp_path / "a.smi.gz").write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match=r"a\.smi\.gz: truncated or broken gzip file .*; fetch it again"):
        count_entries([str(tmp_path / "a.smi.gz")])


def test_the_two_endings_of_sdf_are_read_alike(tmp_path):
    block = Chem.MolToMolBlock(Chem.MolFromSmiles("CCO"))
    content = f"ethanol{block}> <text>\nan alcohol\n\n> <price>\n5\n\n$$$$\n"
    for name in ("a.sdf", "b.sd"):
        (tmp_path / name).write_text(content)
    one, other = (next(iter(read_entries([str(tmp_path / name)]))) for name in ("a.sdf", "b.sd"))
    assert one.row.cells == other.row.cells
    assert one.row.cells["text"] == "an alcohol"
    assert one.columns == other.columns == {"price": "5"}


def test_nan_is_no_value(tmp_path):
    pd.DataFrame({"smiles": ["CCO", "CN"], "price": [1.5, float("nan")]}).to_parquet(tmp_path / "a.parquet")
    assert [entry.columns for entry in read_entries([str(tmp_path / "a.parquet")])] == [{"price": 1.5}, {}]
