import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import Dataset
from rdkit import Chem

from dataset_pubchem3d.benchmarks import Benchmark, count_overlap, read_benchmark
from dataset_pubchem3d.same_texts import hash_texts

KEYS = {  # according to PubChem
    "O": "XLYOFNOQVPJJNP-UHFFFAOYSA-N",
    "CCO": "LFQSCWFLJHTTHZ-UHFFFAOYSA-N",
    "c1ccccc1": "UHOVQNZJYSORNB-UHFFFAOYSA-N",
    "C[C@H](N)C(=O)O": "QNAYBMKLOCPYGJ-REOHCLBHSA-N",
}
BLOCKS = sorted(key[:14].encode() for key in KEYS.values())


def write(folder, name, text):
    file = folder / name
    file.write_text(text, encoding="utf-8")
    return file


def make_list(blocks, texts=()):
    return Benchmark(np.array(blocks, "S14"), np.unique(hash_texts(texts)))


def refusal(file):
    with pytest.raises(ValueError) as raised:  # noqa: PT011, the callers check the message
        read_benchmark(file)
    return str(raised.value)


@pytest.mark.parametrize(
    "values",
    [KEYS.values(), [key[:14] for key in KEYS.values()], KEYS, ["O", "LFQSCWFLJHTTHZ", KEYS["c1ccccc1"], [*KEYS][3]]],
    ids=["inchikeys", "first blocks", "smiles", "mixed"],
)
@pytest.mark.parametrize("name", ["list.txt", "list.smi", "list"])
def test_a_text_file_has_one_molecule_of_any_kind_per_line(tmp_path, name, values):
    found = read_benchmark(write(tmp_path, name, "\n".join(values)))
    assert found.blocks.dtype == np.dtype("S14")
    assert found.blocks.tolist() == BLOCKS
    assert (found.texts.dtype, len(found.texts)) == (np.uint64, 0)


@pytest.mark.parametrize("form", ["csv", "tsv", "parquet", "CSV", "Parquet"])
@pytest.mark.parametrize("column", ["inchikey14", "inchikey", "smiles", "InChIKey", "SMILES", "Smiles", "INCHIKEY14"])
def test_a_table_may_have_any_of_the_columns_in_upper_or_lower_case(tmp_path, form, column):
    kinds = {"smiles": [*KEYS], "inchikey": [*KEYS.values()], "inchikey14": [key[:14] for key in KEYS.values()]}
    frame = pd.DataFrame({"number": range(4), column: kinds[column.lower()], "note": ['a "quoted", note'] * 4})
    file = tmp_path / f"list.{form}"
    if form.lower() == "parquet":
        frame.to_parquet(file)
    else:
        frame.to_csv(file, index=False, sep="\t" if form == "tsv" else ",", quoting=3 if form == "tsv" else 0)
    assert read_benchmark(file).blocks.tolist() == BLOCKS


def test_the_most_specific_column_is_used(tmp_path):
    text = "SMILES,InChIKey\nnot looked at,XLYOFNOQVPJJNP-UHFFFAOYSA-N\n"
    assert read_benchmark(write(tmp_path, "list.csv", text)).blocks.tolist() == [b"XLYOFNOQVPJJNP"]


def test_quotes_are_ordinary_characters_in_a_tsv(tmp_path):
    text = 'name\tsmiles\n"5\'-end\tO\n2" tube\tCCO\n'
    assert read_benchmark(write(tmp_path, "list.tsv", text)).blocks.tolist() == [b"LFQSCWFLJHTTHZ", b"XLYOFNOQVPJJNP"]


@pytest.mark.parametrize(
    "smiles", ["C[C@@H](N)C(=O)O", "[Na+].[Cl-]", "OC=C", "[2H]O[2H]", "C/C=C\\C", "[O-][N+](=O)c1ccccc1"]
)
def test_first_blocks_of_smiles_are_those_of_rdkit(tmp_path, smiles):
    block = Chem.MolToInchiKey(Chem.MolFromSmiles(smiles))[:14]
    assert read_benchmark(write(tmp_path, "list.txt", smiles)).blocks.tolist() == [block.encode()]


@pytest.mark.parametrize(
    ("smiles", "block"),
    [("C" * 14, b"BGHCVCJVXZWKCC"), ("C" * 13 + "O", b"XFRVVPUIAFSTFO")],  # PubChem CIDs 12389, 8207
)
@pytest.mark.parametrize("text", ["{}\n", "# SMILES\n{}\n"])
def test_a_chain_of_fourteen_atoms_is_read_as_a_smiles(tmp_path, smiles, block, text):
    assert read_benchmark(write(tmp_path, "list.txt", text.format(smiles))).blocks.tolist() == [block]


def test_stereoisomers_repetitions_and_other_spellings_are_one_molecule(tmp_path):
    text = "C[C@H](N)C(=O)O\nC[C@@H](N)C(=O)O\nOC(=O)C(N)C\nQNAYBMKLOCPYGJ\nQNAYBMKLOCPYGJ-UWTATZPHSA-N\n"
    assert read_benchmark(write(tmp_path, "list.txt", text)).blocks.tolist() == [b"QNAYBMKLOCPYGJ"]


@pytest.mark.parametrize("text", ["# title\n\n  O  \r\n\t\n#CCO\nc1ccccc1 benzene\n", "\ufeffO\nc1ccccc1\n"])
def test_comments_blank_lines_names_and_a_byte_order_mark_are_ignored(tmp_path, text):
    file = tmp_path / "list.txt"
    file.write_bytes(text.encode())
    assert read_benchmark(file).blocks.tolist() == [b"UHOVQNZJYSORNB", b"XLYOFNOQVPJJNP"]


def test_a_byte_order_mark_before_the_columns_is_ignored(tmp_path):
    assert read_benchmark(write(tmp_path, "list.csv", "\ufeffsmiles,n\r\nO,1\r\n")).blocks.tolist() == [
        b"XLYOFNOQVPJJNP"
    ]


@pytest.mark.parametrize(
    "wrong",
    ["nonsense", "C1CC", "C(C)(C)(C)(C)C", "*", "LFQSCWFLJHTTHZ-UHFFFAOYSA", "lfqscwfljhtthz", "InChI=1S/H2O/h1H2"],
)
def test_a_line_without_a_molecule_is_named_by_its_number(tmp_path, wrong, capfd):
    file = write(tmp_path, "list.txt", f"# a comment\n\nO\n{wrong}\nCCO\n")
    assert refusal(file) == (
        f"{file}, line 4: {wrong!r} is neither an InChIKey nor a SMILES that RDKit can read; correct it"
    )
    assert capfd.readouterr().err == ""  # RDKit prints nothing


@pytest.mark.parametrize(
    ("text", "line"),
    [("name,smiles\na,O\nb,nonsense\n", 3), ('name,smiles\n"a\nb",O\nc,nonsense\n', 4), ("name,smiles\na,O\n\nb\n", 4)],
    ids=["wrong", "wrong after a quoted line break", "cut off"],
)
def test_a_line_of_a_csv_file_is_named_by_its_number(tmp_path, text, line):
    file = write(tmp_path, "list.csv", text)
    assert refusal(file).startswith(f"{file}, line {line}: ")


@pytest.mark.parametrize("wrong", ["nonsense", "", None])
def test_a_row_of_a_parquet_file_is_named_by_its_number(tmp_path, wrong):
    file = tmp_path / "list.parquet"
    pq.write_table(pa.table({"smiles": ["O", "CCO", wrong]}), file, row_group_size=1)
    assert refusal(file).startswith(f"{file}, row 3: {wrong or ''!r} is neither ")


@pytest.mark.parametrize("name", ["list.txt", "list.csv", "list.tsv"])
@pytest.mark.parametrize("text", ["", "# smiles\n", "smiles\n"])
def test_a_list_without_molecules_is_refused(tmp_path, name, text):
    file = write(tmp_path, name, text)
    assert str(file) in refusal(file)


def test_an_empty_table_is_refused(tmp_path):
    file = tmp_path / "list.parquet"
    pq.write_table(pa.table({"smiles": pa.array([], pa.string())}), file)
    assert refusal(file) == f"{file} names no molecule; a benchmark list needs at least one"


@pytest.mark.parametrize("form", ["csv", "tsv", "parquet"])
def test_a_table_without_such_a_column_is_refused(tmp_path, form):
    file = tmp_path / f"list.{form}"
    if form == "parquet":
        pq.write_table(pa.table({"cid": ["962"], "name": ["water"]}), file)
    else:
        file.write_text({"csv": "cid,name\n962,water\n", "tsv": "cid\tname\n962\twater\n"}[form])
    assert refusal(file).startswith(f"{file}: has the columns cid, name and lacks inchikey14 or inchikey or smiles or ")


def test_a_missing_file_is_an_error(tmp_path):
    for name in ("list.txt", "list.csv", "list.parquet"):
        assert refusal(tmp_path / name) == f"there is no file {tmp_path / name}; check the path"


@pytest.mark.parametrize(
    ("name", "head"), [("list.txt", ""), ("list.csv", "smiles;name\n"), ("list.tsv", "name\tsmiles\n")]
)
def test_an_undecodable_line_is_named_and_is_read_with_its_encoding(tmp_path, name, head):
    lines = {"list.txt": "# Köln\nO Wässer\n", "list.csv": "O;Wässer\n", "list.tsv": "Wässer\tO\n"}
    (tmp_path / name).write_bytes((head + lines[name]).encode("cp1252"))
    assert "line 2 holds byte 0xe4, which is not valid utf-8; pass the encoding" in refusal(tmp_path / name)
    assert read_benchmark(tmp_path / name, "cp1252").blocks.tolist() == [b"XLYOFNOQVPJJNP"]


def test_a_damaged_row_of_a_list_is_named(tmp_path):
    file = write(tmp_path, "list.csv", 'smiles,name\nO,water\nCCO,"eth"anol\n')
    assert refusal(file).startswith(f"{file}, line 3: the row is damaged (list.csv: a quotation mark in line 3")


def test_a_row_without_a_key_is_identified_by_its_smiles(tmp_path):
    text = "inchikey,smiles\n,c1ccccc1\nXLYOFNOQVPJJNP-UHFFFAOYSA-N,CCO\n"
    assert read_benchmark(write(tmp_path, "list.csv", text)).blocks.tolist() == [b"UHOVQNZJYSORNB", b"XLYOFNOQVPJJNP"]


def test_single_and_doubled_backslashes_are_one_molecule(tmp_path):
    file = write(tmp_path, "list.csv", "smiles\nC/C=C\\\\C\n")
    assert read_benchmark(file).blocks.tolist() == [Chem.MolToInchiKey(Chem.MolFromSmiles("C/C=C\\C"))[:14].encode()]


@pytest.mark.parametrize("form", ["csv", "tsv", "parquet"])
@pytest.mark.parametrize("column", ["text", "Text", "description"])
def test_texts_of_a_table_are_read(tmp_path, form, column):
    frame = pd.DataFrame({"smiles": [*KEYS], column: ["A solvent.", "a  SOLVENT", None, "It is &alpha;."]})
    file = tmp_path / f"list.{form}"
    frame.to_parquet(file) if form == "parquet" else frame.to_csv(file, index=False, sep="\t" if form == "tsv" else ",")
    found = read_benchmark(file)
    assert found.blocks.tolist() == BLOCKS
    assert found.texts.tolist() == sorted(hash_texts(["a solvent", "It is α"]).tolist())


def test_texts_of_sdf_records_are_read(tmp_path):
    record = Chem.MolToMolBlock(Chem.MolFromSmiles("O")) + ">  <smiles>\nO\n\n>  <text>\nA solvent.\n\n$$$$\n"
    found = read_benchmark(write(tmp_path, "list.sdf", record))
    assert (found.blocks.tolist(), found.texts.tolist()) == ([b"XLYOFNOQVPJJNP"], hash_texts(["A solvent"]).tolist())


@pytest.mark.parametrize("nothing", ["", " ", ".", "nan", "-"])
def test_a_cell_without_words_is_not_a_text(tmp_path, nothing):
    file = tmp_path / "list.parquet"
    pq.write_table(pa.table({"smiles": ["O"], "text": [nothing]}), file)
    assert len(read_benchmark(file).texts) == 0


def test_a_table_with_only_texts_is_refused(tmp_path):
    assert "lacks inchikey14 or inchikey or smiles" in refusal(write(tmp_path, "list.csv", "text\nA solvent.\n"))


@pytest.mark.parametrize("column", ["smiles", "inchikey", "inchikey14"])
def test_overlap_counts_molecules_and_rows(column):
    mirror_image = {"smiles": "C[C@@H](N)C(=O)O", "inchikey": "QNAYBMKLOCPYGJ-UWTATZPHSA-N"}
    of_smiles = {"smiles": lambda smiles: smiles, "inchikey": KEYS.get, "inchikey14": lambda smiles: KEYS[smiles][:14]}
    values = [of_smiles[column](smiles) for smiles in ["O", "CCO", "CCO", "C[C@H](N)C(=O)O"]]
    values[-1] = mirror_image.get(column, values[-1])
    rows = Dataset.from_dict({column: [*values, None], "text": ["some"] * 5})
    lists = {"some": make_list(BLOCKS), "none": make_list([KEYS["c1ccccc1"][:14]])}
    report = count_overlap(rows, lists)
    assert (report["num_rows"], report["molecules"], report["rows_without_molecule"]) == (5, 3, 1)
    shared = sorted(KEYS[smiles][:14] for smiles in KEYS if smiles != "c1ccccc1")
    assert report["overlap"] == {
        "some": {"molecules": 3, "rows": 4, "first": shared},
        "none": {"molecules": 0, "rows": 0, "first": []},
    }


def test_overlap_needs_a_molecule_column():
    with pytest.raises(ValueError, match="needs one of inchikey14, inchikey, smiles"):
        count_overlap(Dataset.from_dict({"text": ["some"]}), {})


def test_overlap_counts_texts_whatever_their_molecule():
    texts = ["A solvent.", "a solvent", None, "It is  an acid", "Another.", "", "A solvent"]
    rows = Dataset.from_dict({"smiles": ["O", "CCO", "CCO", "CC(=O)O", "C", "CC", "O"], "text": texts})
    lists = {
        "texts": make_list([KEYS["O"][:14]], ["it is an acid", "A SOLVENT", "not there"]),
        "other": make_list([KEYS["c1ccccc1"][:14]], ["not there"]),
        "plain": make_list([KEYS["CCO"][:14]]),
    }
    found = count_overlap(rows, lists)["overlap"]
    of_molecules = {
        "texts": {"molecules": 1, "rows": 2, "first": [KEYS["O"][:14]]},
        "other": {"molecules": 0, "rows": 0, "first": []},
        "plain": {"molecules": 1, "rows": 2, "first": [KEYS["CCO"][:14]]},
    }
    of_texts = {
        "texts": {"texts": 2, "rows_with_text": 4, "first_texts": ["A solvent.", "It is an acid"]},
        "other": {"texts": 0, "rows_with_text": 0, "first_texts": []},
        "plain": {},  # a list without texts
    }
    assert found == {name: of_molecules[name] | of_texts[name] for name in lists}


def test_overlap_shows_the_first_texts_shortened():
    texts = [f"{number} is " + "a number " * 20 for number in range(12)]
    rows = Dataset.from_dict({"smiles": ["O"] * 24, "text": [*texts, *texts]})
    found = count_overlap(rows, {"mine": make_list([], texts)})["overlap"]["mine"]
    assert (found["texts"], found["rows_with_text"]) == (12, 24)
    assert [text.split()[0] for text in found["first_texts"]] == [str(number) for number in range(10)]
    assert max(map(len, found["first_texts"])) <= 80


def test_a_dataset_without_texts_shares_no_texts():
    found = count_overlap(Dataset.from_dict({"smiles": ["O"]}), {"mine": make_list([], ["A solvent"])})
    assert found["overlap"]["mine"]["rows_with_text"] == 0
