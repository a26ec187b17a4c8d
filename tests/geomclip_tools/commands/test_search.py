"""`geomclip search` prints and writes what the index finds, for one query or several."""

import csv
import io
import json

import pytest
from rdkit import Chem

from geomclip_tools.commands.search import SearchSettings, main
from geomclip_tools.library import MoleculeIndex


@pytest.fixture
def index(model, processor, tmp_path) -> MoleculeIndex:
    model.save_pretrained(tmp_path / "geomclip")
    processor.save_pretrained(tmp_path / "geomclip")
    (tmp_path / "library.smi").write_text("CCO ethanol\nc1ccccc1O phenol\nCCN ethylamine\nc1ccncc1 pyridine\n")
    index = MoleculeIndex.create(tmp_path / "index", str(tmp_path / "geomclip"))
    index.add(str(tmp_path / "library.smi"), num_proc=0)
    return index


@pytest.fixture
def search(index, tmp_path, capsys):
    def run(*words):
        capsys.readouterr()
        main([*words, "--index", str(tmp_path / "index")])
        return capsys.readouterr().out

    return run


def list_names(hits):
    return [row[0] for row in hits["names"]]


def test_one_query(search, index, tmp_path):
    lines = search("an alcohol", "--top", "2").splitlines()
    assert [line.split()[2] for line in lines[1:]] == list_names(index.search("an alcohol", top_k=2))
    rows = json.loads(search("an alcohol", "--molecule", "CO", "--weight", "0.2", "--format", "json"))
    expected = index.search("an alcohol", molecule="CO", weight=0.2)
    assert [row["inchikey"] for row in rows] == expected["inchikey"]
    assert [row["score"] for row in rows] == pytest.approx(expected["score"], abs=1e-6)
    rows = json.loads(search("an alcohol", "--where", "rings = 1", "--substructure", "[OX2H]", "--format", "json"))
    assert [row["names"] for row in rows] == [["phenol"]]
    assert "no molecule fulfils the conditions" in search("an alcohol", "--where", "rings = 7", "--exact")
    told = search("an alcohol", "--format", "sdf", "--output", str(tmp_path / "new" / "hits.sdf"))
    assert told.startswith("wrote 4 results of 1 query to")
    supplier = Chem.SDMolSupplier(str(tmp_path / "new" / "hits.sdf"))
    assert [mol.GetProp("_Name") for mol in supplier] == list_names(index.search("an alcohol"))


def test_several_queries(search, index, tmp_path):
    (tmp_path / "queries.txt").write_text("an alcohol\nthe ring\n")
    rows = [*csv.DictReader(io.StringIO(search(str(tmp_path / "queries.txt"), "--top", "1", "--format", "csv")))]
    assert [row["query"] for row in rows] == ["an alcohol", "the ring"]
    assert [row["name"] for row in rows] == [
        list_names(index.search(text, top_k=1))[0] for text in ("an alcohol", "the ring")
    ]
    rows = json.loads(search("the ring", "--molecule", str(tmp_path / "library.smi"), "--top", "1", "--format", "json"))
    assert [row["query"] for row in rows] == [
        f"the ring + {name}" for name in ("ethanol", "phenol", "ethylamine", "pyridine")
    ]


def test_texts_for_a_molecule(search, index, tmp_path):
    (tmp_path / "texts.txt").write_text("an alcohol\nthe ring\nan acid\n")
    rows = json.loads(
        search("--molecule", "CO", "--texts", str(tmp_path / "texts.txt"), "--top", "2", "--format", "json")
    )
    expected = index.rank_texts("CO", ["an alcohol", "the ring", "an acid"])
    assert [row["text"] for row in rows] == expected["text"][:2]
    assert [row["percentile"] for row in rows] == expected["percentile"][:2]


@pytest.mark.parametrize(
    ("output", "kind"), [("a.sdf", "sdf"), ("a.CSV", "csv"), ("a.json", "json"), ("a.txt", "table"), (None, "table")]
)
def test_the_ending_of_the_output_is_its_format(output, kind):
    assert SearchSettings(index="i", query=["x"], output=output).chosen_format == kind
    assert SearchSettings(index="i", query=["x"], output="a.txt", format=kind).chosen_format == kind


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "pass a text to search for, --molecule, or both"),
        (["x", "--texts", "y"], "--texts ranks texts for --molecule"),
        (["x", "--format", "pdf"], "--format is 'pdf'; it must be one of table, csv, sdf, json, html"),
        (["--molecule", "C", "--texts", "y", "--format", "sdf"], "--format sdf is for molecules"),
        (["--molecule", "C", "--texts", "y", "--output", "a.sdf"], "--format sdf is for molecules"),
        (
            ["--molecule", "C", "--texts", "y", "--where", "a=1", "--exact", "true"],
            "does not use --where, --exact; omit these flags",
        ),
        (["x", "--output", "a.parquet"], r"--output ends in \.parquet; it must be one of \.csv, \.sdf, .* or \.txt"),
        (["x", "--weight", "0.9"], "--weight has an effect only with both a text and --molecule"),
        (["x", "--format", "csv", "--output", "a.SDF"], "--format is csv, but --output ends in .sdf"),
        (["a", "b", "--molecule", "C", "N", "O"], "there are 2 texts and 3 molecules; pass one of either"),
    ],
)
def test_what_makes_no_sense_is_refused_before_an_index_is_opened(words, message):
    with pytest.raises(ValueError, match=message):
        main([*words, "--index", "nowhere"])


def test_a_molecule_that_cannot_be_read_is_named(search):
    with pytest.raises(ValueError, match="the molecule C1CC: RDKit cannot read it as SMILES"):
        search("--molecule", "C1CC")
