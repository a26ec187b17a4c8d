import gzip

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dataset_pubchem3d.sources.table_files import GIVEN_TEXT, is_table, list_column_keys, read_rows


def all_rows_of(file, encoding="utf-8"):
    return list(read_rows([file], (("text",), ("smiles",)), encoding=encoding))


def rows_of(file, encoding="utf-8"):
    rows = all_rows_of(file, encoding)
    assert all(row.fault is None for row in rows)
    return [row.cells for row in rows]


def test_quotes_are_characters_in_tsv_and_delimit_cells_in_csv(tmp_path):
    tsv, csv = tmp_path / "a.tsv", tmp_path / "a.CSV"
    tsv.write_text('CID\tSMILES\tdescription\n1\tO\t"Water" is wet.\n2\tCCO\tThe "molecule\n')
    assert [cells["text"] for cells in rows_of(tsv)] == ['"Water" is wet.', 'The "molecule']
    csv.write_text('smiles,text\nO,"Water, ""wet"",\nin two lines"\n\nCCO,Ethanol\n')
    assert [cells["text"] for cells in rows_of(csv)] == ['Water, "wet",\nin two lines', "Ethanol"]


def test_the_first_known_name_of_a_column_is_used(tmp_path):
    (tmp_path / "a.csv").write_text("Caption,canonical_smiles,SMILES,TEXT,other\nlater,OCC,CCO,Ethanol,1\n")
    assert rows_of(tmp_path / "a.csv") == [{"text": "Ethanol", "smiles": "CCO"}]


def test_missing_cells_are_left_out(tmp_path):
    (tmp_path / "a.csv").write_text("text,smiles,cid,name,inchi\nNaNO3 is a salt.,O,nan, ,NaN\n")
    assert rows_of(tmp_path / "a.csv") == [{"text": "NaNO3 is a salt.", "smiles": "O"}]


def test_a_byte_order_mark_is_not_part_of_a_column_name(tmp_path):
    (tmp_path / "a.csv").write_text("text,smiles\nWater,O\n", encoding="utf-8-sig")
    assert rows_of(tmp_path / "a.csv") == [{"text": "Water", "smiles": "O"}]


def test_greek_letters_and_long_cells_are_preserved(tmp_path):
    text = "α-particle, 5 Å. " * 20_000
    (tmp_path / "a.tsv").write_bytes(f"text\tsmiles\r\n{text}\tO\r\n".encode())
    assert rows_of(tmp_path / "a.tsv") == [{"text": text, "smiles": "O"}]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.parquet", b"PAR1 is not all", "broken or truncated"),
        ("a.sdf.gz", b"no archive", "cannot be read"),
        ("a.sdf.gz", gzip.compress(b"name\n" * 99, mtime=0)[:-9], "is truncated or damaged"),
        ("a.csv", b"\xff\xfes\x00m\x00", "begins as UTF-16 text; pass the encoding utf-16"),
        ("a.csv", b"s\x00m\x00i\x00", "contains NUL characters; if it is UTF-16, pass the encoding utf-16"),
        ("a.csv", b'smiles,"text" x\nO,Water', "its header is broken .a quotation mark in line 1"),
        ("a.xlsx", b"", "not one of the formats .parquet, .csv, .csv.gz, .tsv"),
        ("a.csv", b"", "has the columns  and lacks text"),
    ],
)
def test_broken_files_are_named(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=rf"{name}.*{message}"):
        rows_of(tmp_path / name)


@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.parquet", "a.sdf"])
def test_a_missing_file_is_named(tmp_path, name):
    with pytest.raises(ValueError, match=rf"there is no file .*{name}; check the path"):
        rows_of(tmp_path / name)


@pytest.mark.parametrize(
    ("name", "content", "detail"),
    [
        ("a.csv", b'smiles,text\nO,"Water', "the quotation mark that opens in line 2 is still open"),
        ("a.tsv", b"smiles\ttext\nO\t\xff", "line 2 holds byte 0xff, which is not valid utf-8"),
        ("a.csv", b"smiles,text\nO,a\x00b", "line 2 contains a NUL character"),
    ],
)
def test_damage_costs_its_row(tmp_path, name, content, detail):
    comma = b"\t" if name == "a.tsv" else b","
    (tmp_path / name).write_bytes(content + b"\nCCO" + comma + b"Ethanol\n")
    damaged, whole = all_rows_of(tmp_path / name)
    assert (damaged.record_id, damaged.cells, damaged.place) == ("row 0", {}, "line 2")
    assert damaged.fault.reason == "the row is damaged"
    assert damaged.fault.detail.startswith(f"{name}: {detail}")
    assert (whole.record_id, whole.cells) == ("row 1", {"smiles": "CCO", "text": "Ethanol"})


MOL = "name\n\n\n  1  0  0  0  0  0  0  0  0  0999 V2000\n    0.0       0.0       0.0    C   0  0\nM  END\n"


def test_a_damaged_byte_of_an_sdf_costs_its_record(tmp_path):
    records = [f"{MOL}> <smiles>\nC\n\n> <text>\n{text}\n\n$$$$\n" for text in ("First.", "K\xf6ln.", "Third.")]
    (tmp_path / "a.sdf").write_text("".join(records), encoding="latin-1")
    first, damaged, third = all_rows_of(tmp_path / "a.sdf")
    assert [row.cells["text"] for row in (first, third)] == ["First.", "Third."]
    assert damaged.place == "record 2"
    assert damaged.fault.detail.startswith("a.sdf: line 24 holds byte 0xf6")
    assert [cells["text"] for cells in rows_of(tmp_path / "a.sdf", "latin-1")] == ["First.", "Köln.", "Third."]


def test_a_truncated_record_of_an_sdf_is_reported_with_its_lines(tmp_path):
    record = f"{MOL}> <smiles>\nC\n\n> <text>\nA gas.\n\n$$$$\n"
    (tmp_path / "a.sdf").write_text(record + record[:60])
    whole, cut = all_rows_of(tmp_path / "a.sdf")
    assert (whole.cells["text"], whole.fault) == ("A gas.", None)
    assert cut.fault.detail.startswith("a.sdf: lines 14 to 1")
    assert "write it again" in cut.fault.detail


def test_texts_of_parquet_that_are_not_utf8_cost_their_row(tmp_path):
    texts = pa.array([b"Water.", b"K\xf6ln.", None]).view(pa.string())
    pq.write_table(pa.table({"smiles": ["O", "C", "CC"], "text": texts}), tmp_path / "a.parquet")
    first, damaged, third = all_rows_of(tmp_path / "a.parquet")
    assert (first.cells, third.cells) == ({"smiles": "O", "text": "Water."}, {"smiles": "CC"})
    assert damaged.fault == (
        "the row is damaged",
        "a.parquet: text of row 2 has bytes that are not UTF-8; write it again",
    )


@pytest.mark.parametrize("nothing", ["#N/A", "#VALUE!", "#name?", "#REF!", "#DIV/0!", "#SPILL!", "-", " -- ", "nan"])
def test_excel_errors_and_dashes_are_missing_cells(tmp_path, nothing):
    (tmp_path / "a.csv").write_text(f"smiles,text,name\nO,{nothing},{nothing}\n{nothing},Water.,None\n")
    assert rows_of(tmp_path / "a.csv") == [{"smiles": "O"}, {"text": "Water.", "name": "None"}]


def test_html_entities_with_a_semicolon_are_resolved_once(tmp_path):
    (tmp_path / "a.csv").write_text(
        "smiles,text,name\nO,25 &#176;C &alpha; &#x3b2; A&B AT&T; &amp;lt;,R&amp;D\nC,A & B,x\n"
    )
    first, second = rows_of(tmp_path / "a.csv")
    assert first["text"] == "25 °C α β A&B AT&T; &lt;"
    assert first["name"] == "R&D"
    assert first[GIVEN_TEXT] == "25 &#176;C &alpha; &#x3b2; A&B AT&T; &amp;lt;"
    assert second == {"smiles": "C", "text": "A & B", "name": "x"}


def test_an_undecodable_column_name_costs_nothing(tmp_path):
    (tmp_path / "a.csv").write_bytes(b"smiles,text,T (\xb0C)\nO,Water.,100\n")
    assert rows_of(tmp_path / "a.csv") == [{"smiles": "O", "text": "Water."}]


def test_other_encodings_are_read_if_named(tmp_path):
    for encoding in ("cp1252", "utf-16", "utf-16-le"):
        (tmp_path / "a.csv").write_text("smiles;text\nO;Köln, 25 °C\n", encoding=encoding)
        assert rows_of(tmp_path / "a.csv", encoding) == [{"smiles": "O", "text": "Köln, 25 °C"}]
        assert list_column_keys(tmp_path / "a.csv", encoding) == {"smiles", "text"}
    with pytest.raises(ValueError, match="there is no encoding 'cp99999'"):
        rows_of(tmp_path / "a.csv", "cp99999")


def test_a_table_is_recognised_by_its_ending():
    assert all(map(is_table, ("a.csv", "b/c.TSV", "a.parquet", "a.sdf", "a.sdf.gz")))
    assert not any(map(is_table, ("csv", "a.csv/part", "a.sdf.bz2", "a.txt")))
