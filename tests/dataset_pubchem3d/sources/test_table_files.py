import pytest

from dataset_pubchem3d.sources.table_files import read_table


def rows_of(file):
    rows = list(read_table(file, (("text",), ("smiles",))))
    assert all(fault == "" for _, fault in rows)
    return [cells for cells, _ in rows]


def test_quotes_are_characters_in_tsv_and_quoting_in_csv(tmp_path):
    tsv, csv = tmp_path / "a.tsv", tmp_path / "a.CSV"
    tsv.write_text('CID\tSMILES\tdescription\n1\tO\t"Water" is wet.\n2\tCCO\tThe "molecule\n')
    assert [cells["text"] for cells in rows_of(tsv)] == ['"Water" is wet.', 'The "molecule']
    csv.write_text('smiles,text\nO,"Water, ""wet"",\nin two lines"\n\nCCO,Ethanol\n')
    assert [cells["text"] for cells in rows_of(csv)] == ['Water, "wet",\nin two lines', "Ethanol"]


def test_the_first_known_name_of_a_column_counts(tmp_path):
    (tmp_path / "a.csv").write_text("Caption,canonical_smiles,SMILES,TEXT,other\nlater,OCC,CCO,Ethanol,1\n")
    assert rows_of(tmp_path / "a.csv") == [{"text": "Ethanol", "smiles": "CCO"}]


def test_missing_cells_are_left_out(tmp_path):
    (tmp_path / "a.csv").write_text("text,smiles,cid,name,inchi\nNaNO3 is a salt.,O,nan, ,NaN\n")
    assert rows_of(tmp_path / "a.csv") == [{"text": "NaNO3 is a salt.", "smiles": "O"}]


def test_a_byte_order_mark_is_no_part_of_a_column_name(tmp_path):
    (tmp_path / "a.csv").write_text("text,smiles\nWater,O\n", encoding="utf-8-sig")
    assert rows_of(tmp_path / "a.csv") == [{"text": "Water", "smiles": "O"}]


def test_greek_letters_and_long_cells_survive(tmp_path):
    text = "α-particle, 5 Å. " * 20_000
    (tmp_path / "a.tsv").write_bytes(f"text\tsmiles\r\n{text}\tO\r\n".encode())
    assert rows_of(tmp_path / "a.tsv") == [{"text": text, "smiles": "O"}]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.parquet", b"PAR1 is not all", "broken or truncated"),
        ("a.csv", b'smiles,text\nO,"Water', "broken or truncated"),
        ("a.tsv", b"smiles\ttext\nO\t\xff", "broken or truncated"),
        ("a.sdf", b"name\n\n\n  0  0\nM  END\n> <Description>\nWat", "truncated"),
        ("a.xlsx", b"", "not one of the formats .parquet, .csv, .tsv, .sdf"),
        ("a.csv", b"", "has the columns  and lacks text"),
    ],
)
def test_broken_files_are_named(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=rf"{name}: .*{message}"):
        rows_of(tmp_path / name)
