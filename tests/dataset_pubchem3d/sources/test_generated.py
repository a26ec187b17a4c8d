import json

import pandas as pd
import pyarrow.parquet as pq
import pytest

from dataset_pubchem3d.build import build
from dataset_pubchem3d.pubchem3d import list_split_files
from dataset_pubchem3d.recipe import Recipe, make_source
from dataset_pubchem3d.records import RecordError
from dataset_pubchem3d.sources.generated import Generated, draw_seed
from dataset_pubchem3d.sources.rdkit_conformer import RDKitConformers
from dataset_pubchem3d.sources.registry import TEXT_SOURCES
from dataset_pubchem3d.sources.table import Table
from dataset_pubchem3d.sources.table_files import Row
from dataset_pubchem3d.text.clean import clean_text
from dataset_pubchem3d.text.licenses import is_permissive
from dataset_pubchem3d.text.structure_sentences import describe_structure

ETHANOL, PYRIDINE = "LFQSCWFLJHTTHZ-UHFFFAOYSA-N", "JUJWROOIHBZHMG-UHFFFAOYSA-N"
MOLECULES = {"ethanol": "CCO", "pyridine": "c1ccncc1", "aspirin": "CC(=O)Oc1ccccc1C(=O)O", "glycine": "NCC(=O)O"}


@pytest.fixture
def table(tmp_path):
    file = tmp_path / "mine.csv"
    frame = pd.DataFrame({"name": [*MOLECULES], "smiles": [*MOLECULES.values()], "text": "A text of mine."})
    frame.to_csv(file, index=False)
    return file


def read(out):
    files = [file for split in list_split_files(out, "default").values() for file in split]
    return [row for file in files for row in pq.read_table(file).to_pylist()]


def test_a_row_gives_one_text_that_is_marked_as_generated(table):
    source = Generated(path=str(table))
    texts = [text for raw in source.read_records(table) for text in source.parse_texts(raw)]
    assert [text.compound.inchikey for text in texts][:2] == [ETHANOL, PYRIDINE]
    for text, smiles in zip(texts, MOLECULES.values(), strict=True):
        assert text.text == " ".join(describe_structure(smiles, draw_seed(0, text.compound.inchikey)))
        assert (text.source, text.kind, text.is_composed) == ("generated", "structure", True)
        assert is_permissive(text.license_url)
        assert (text.name, text.compound.title) == (None, "")


def test_options(table):
    (first, *_) = Generated(path=str(table)).read_records(table)
    texts = {Generated(seed=seed).parse_texts(first)[0].text for seed in range(5)}
    assert len(texts) > 1
    alanine = Row("row 0", {"smiles": "C[C@H](N)C(=O)O"})
    assert "of S configuration" in Generated(with_stereo=True).parse_texts(alanine)[0].text
    assert "configuration" not in Generated().parse_texts(alanine)[0].text


def test_isomers_with_the_same_description_have_other_wordings():
    left, right = (Generated().parse_texts(Row("row", {"smiles": f"C[C@{at}H](N)C(=O)O"}))[0] for at in ("", "@"))
    assert left.text != right.text
    assert left.compound.inchikey != right.compound.inchikey


def test_a_molecule_has_one_text_for_any_number_of_rows(tmp_path):
    file = tmp_path / "mine.parquet"
    frame = {"smiles": ["CCO", "OCC", "CCO", "CCC"], "inchikey": [ETHANOL, ETHANOL, None, None], "text": [*"abcd"]}
    pd.DataFrame(frame).to_parquet(file)
    assert [raw.record_id for raw in Generated().read_records(file)] == ["row 0", "row 2", "row 3"]


def test_a_row_without_a_structure_is_refused():
    with pytest.raises(RecordError, match="neither a structure"):
        Generated().parse_texts(Row("row 0", {"cid": "702"}))
    with pytest.raises(RecordError, match="RDKit cannot read the SMILES"):
        Generated().parse_texts(Row("row 0", {"smiles": "C1CC"}))


def test_a_folder_without_tables_is_refused(tmp_path):
    (tmp_path / "README.md").write_text("nothing")
    with pytest.raises(FileNotFoundError, match="has no table"):
        Generated().list_files(tmp_path)
    with pytest.raises(FileNotFoundError, match="there is no file"):
        Generated(path="nowhere").list_files(tmp_path / "nowhere")


def test_cleaning_does_not_change_the_text(table):
    for raw in Generated().read_records(table):
        (text,) = Generated().parse_texts(raw)
        names = ["it", "the molecule", *MOLECULES]
        cleaned = clean_text("", text.text, names, text.source, text.kind, text.is_composed, min_words=1)
        assert cleaned == (text.text, "structure")


def test_a_build_with_other_texts_and_a_build_from_its_folder(table, tmp_path):
    assert TEXT_SOURCES["generated"] is Generated
    generated = make_source(TEXT_SOURCES, {"source": "generated", "path": str(table)})
    recipe = Recipe(texts=(Table(path=str(table)), generated), geometries=(RDKitConformers(),), match="inchikey")
    report = build(recipe, tmp_path / "out")
    rows = read(tmp_path / "out")
    assert sorted(row["text_source"] for row in rows) == ["generated"] * 4 + ["table"] * 4
    of_ethanol = {row["text_source"]: row for row in rows if row["inchikey"] == ETHANOL}
    assert of_ethanol["generated"]["positions"] == of_ethanol["table"]["positions"]
    assert of_ethanol["generated"]["split"] == of_ethanol["table"]["split"]
    assert of_ethanol["generated"]["text"] == " ".join(describe_structure("CCO", draw_seed(0, ETHANOL)))
    assert of_ethanol["generated"]["text_kind"] == "structure"
    assert json.dumps(report)
    assert "not written by people" in (tmp_path / "out" / "README.md").read_text(encoding="utf-8")

    again = Recipe(texts=(Generated(path=str(tmp_path / "out")),), geometries=(RDKitConformers(),), match="inchikey")
    build(again, tmp_path / "again")
    assert sorted(row["smiles"] for row in read(tmp_path / "again")) == sorted(row["smiles"] for row in rows)[::2]
