"""An index finds what NumPy and RDKit find, takes each molecule once, and belongs to one model."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from datasets import Dataset
from rdkit import Chem
from rdkit.Chem import Descriptors, rdMolDescriptors

from geomclip_tools.library import MoleculeIndex
from geomclip_tools.library.store import MoleculeStore
from modeling_geomclip import GeomCLIPModel, MoleculeError, embed_molecules, embed_texts

SMILES = ["CCO", "CC(=O)Oc1ccccc1C(=O)O", "c1ccccc1", "CCN", "C1CCCCC1O", "CC(C)O", "c1ccncc1", "OCC(O)CO"]
NAMES = ["ethanol", "aspirin", "benzene", "ethylamine", "cyclohexanol", "isopropanol", "pyridine", "glycerol"]


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "library.csv"
    texts = ["an alcohol", None, "the ring", *[None] * 5]
    pd.DataFrame({"name": NAMES, "smiles": SMILES, "text": texts, "price": range(8)}).to_csv(path, index=False)
    return path


@pytest.fixture
def index(model, processor, table, tmp_path) -> MoleculeIndex:
    index = MoleculeIndex.create(tmp_path / "index", (model, processor))
    counts = index.add(str(table), num_proc=0, batch_size=3)
    assert counts == {"added": 8, "united": 0, "skipped": 0, "refused": 0, "reasons": {}}
    return index


@pytest.fixture
def vectors(model, processor) -> np.ndarray:
    return embed_molecules(model, processor, SMILES).numpy().astype(np.float64)


def test_a_text_finds_what_numpy_finds(index, model, processor, vectors):
    query = embed_texts(model, processor, ["an alcohol"]).numpy()[0]
    hits = index.search("an alcohol", top_k=5)
    assert isinstance(hits, Dataset)
    scores = vectors @ query
    best = np.argsort(-scores)[:5]
    assert [row[0] for row in hits["names"]] == [NAMES[place] for place in best]
    np.testing.assert_allclose(hits["score"], scores[best], atol=1e-3)
    np.testing.assert_allclose(hits["percentile"], 100 * (8 - np.arange(5)) / 8)
    assert json.loads(hits["columns"][0]) == {"price": str(best[0])}
    assert hits["sources"][0][0].endswith(f"library.csv, line {best[0] + 2}")


def test_a_molecule_and_both_kinds_of_query(index, model, processor, vectors):
    hits = index.search(molecule="CCO", top_k=3)
    scores = vectors @ vectors[0]
    assert [row[0] for row in hits["names"]] == [NAMES[place] for place in np.argsort(-scores)[:3]]
    assert hits["score"][0] == pytest.approx(1, abs=1e-3)
    text = embed_texts(model, processor, ["the ring"]).numpy()[0]
    both = 0.7 * text + 0.3 * vectors[0]
    scores = vectors @ both / np.linalg.norm(both)
    hits = index.search("the ring", molecule="CCO", weight=0.3, top_k=8)
    assert [row[0] for row in hits["names"]] == [NAMES[place] for place in np.argsort(-scores)]
    np.testing.assert_allclose(hits["score"], np.sort(scores)[::-1], atol=1e-3)


def test_filters(index, monkeypatch):
    mols = [Chem.MolFromSmiles(smiles) for smiles in SMILES]
    is_light = [Descriptors.MolWt(mol) < 100 and rdMolDescriptors.CalcNumRings(mol) >= 1 for mol in mols]
    light = {name for name, is_kept in zip(NAMES, is_light) if is_kept}
    assert light == {"benzene", "pyridine"}
    hits = index.search("an alcohol", where="mol_weight < 100 and rings >= 1")
    assert {row[0] for row in hits["names"]} == light
    pattern = Chem.MolFromSmarts("[OX2H][CX4]")
    alcohols = {name for name, mol in zip(NAMES, mols) if mol.HasSubstructMatch(pattern)}
    assert len(alcohols) == 4
    every = index.search("an alcohol", substructure="[OX2H][CX4]")
    assert {row[0] for row in every["names"]} == alcohols
    assert every["score"] == sorted(every["score"], reverse=True)
    hits = index.search("an alcohol", substructure="[OX2H][CX4]", where="rings = 0", top_k=2)
    assert {row[0] for row in hits["names"]} <= alcohols - {"cyclohexanol"}
    assert len(index.search("an alcohol", where="rings = 9")) == 0
    assert len(index.search("an alcohol", substructure="[Xe]")) == 0
    for name in ("FEW_CANDIDATES", "FEWEST_SCREENED", "GROWTH"):  # the ranking of all molecules, a part at a time
        monkeypatch.setattr(f"geomclip_tools.library.searching.{name}", 2)
    hits = index.search("an alcohol", substructure="[OX2H][CX4]", top_k=3)
    assert hits["names"] == every["names"][:3]


def test_rows_have_the_geometry_that_was_embedded(index, model, processor, vectors):
    hits = index.search("an alcohol", where="formula = 'C9H8O4'")
    assert sorted(hits["atomic_numbers"][0]) == [6] * 9 + [8] * 4
    again = embed_molecules(model, processor, hits).numpy()[0]
    np.testing.assert_allclose(again, vectors[1], atol=1e-5)


def test_sources_and_names_of_a_molecule_are_united(index, tmp_path):
    (tmp_path / "more.smi").write_text("OCC alcohol\nCCO ethanol\nCCCC butane\nC(C)O\n")
    counts = index.add(str(tmp_path / "more.smi"), num_proc=0)
    assert (counts["added"], counts["united"], len(index)) == (1, 3, 9)
    (row,) = index.search("the ring", where="inchikey = 'LFQSCWFLJHTTHZ-UHFFFAOYSA-N'")
    assert row["names"] == ["ethanol", "alcohol"]
    assert [source.rpartition("/")[2] for source in row["sources"]] == [
        "library.csv, line 2",
        *(f"more.smi, line {line}" for line in (1, 2, 4)),
    ]
    assert (row["text"], json.loads(row["columns"])) == ("an alcohol", {"price": "0"})


def test_an_addition_goes_on_where_it_ended(index, table, model, processor, monkeypatch):
    monkeypatch.setattr("geomclip_tools.library.adding.add_conformer", None)  # no conformer is made again
    counts = index.add(str(table), num_proc=0)
    assert (counts["added"], counts["skipped"], len(index)) == (0, 8, 8)


def test_texts_are_embedded_too(index, model, processor, tmp_path):
    assert index.export(tmp_path / "all.parquet") == 8
    rows = pd.read_parquet(tmp_path / "all.parquet").set_index("smiles")
    expected = embed_texts(model, processor, ["an alcohol"]).numpy()[0]
    np.testing.assert_allclose(rows.loc["CCO", "text_vector"], expected, atol=1e-3)
    assert rows.loc["CCN", "text_vector"] is None
    assert index.info()["texts"] == 2


def test_texts_are_ranked_for_a_molecule(index, model, processor, vectors):
    texts = ["an alcohol", "the ring", "an amine"]
    embeds = embed_texts(model, processor, texts).numpy()
    scores = embeds @ vectors[0]
    ranked = index.rank_texts("CCO", texts)
    assert ranked["text"] == [texts[place] for place in np.argsort(-scores)]
    np.testing.assert_allclose(ranked["score"], np.sort(scores)[::-1], atol=1e-5)
    shares = [100 * np.mean(vectors @ embed <= score + 1e-3) for embed, score in zip(embeds, scores)]
    np.testing.assert_allclose([ranked["percentile"][ranked["row"].index(place)] for place in range(3)], shares)


def test_what_cannot_be_used_is_quarantined_with_its_place(index, tmp_path):
    block = Chem.MolToMolBlock(Chem.MolFromSmiles("CS"))
    (tmp_path / "a.sdf").write_text(f"{block}$$$$\nbroken\n$$$$\n{block.replace('M  END', '')}$$$$\n{block}$$$$\n")
    (tmp_path / "b.csv").write_text("name,smiles\nbad,C1CC\ngood,CF\n")
    listing = tmp_path / "refused.jsonl"
    counts = index.add([str(tmp_path / "a.sdf"), str(tmp_path / "b.csv")], quarantine=listing, num_proc=0)
    lines = [json.loads(line) for line in listing.read_text().splitlines()]
    assert [line["place"].rpartition("/")[2] for line in lines] == [
        "a.sdf, record 2",
        "a.sdf, record 3",
        "b.csv, line 2",
    ]
    assert (lines[2]["name"], lines[2]["molecule"], lines[2]["reason"]) == (
        "bad",
        "C1CC",
        "RDKit cannot read the SMILES",
    )
    assert (counts["added"], counts["united"], counts["refused"]) == (2, 1, 3)
    assert sum(counts["reasons"].values()) == 3


def test_a_conformer_that_fails_is_quarantined(model, processor, tmp_path):
    processor.feature_extractor.max_atoms = 5
    index = MoleculeIndex.create(tmp_path / "small", (model, processor))
    (tmp_path / "a.smi").write_text("CCCCCCCC octane\nCCO\n")
    counts = index.add(str(tmp_path / "a.smi"), num_proc=0, quarantine=tmp_path / "q.jsonl")
    assert (counts["added"], counts["refused"]) == (1, 1)
    line = json.loads((tmp_path / "q.jsonl").read_text())
    assert (line["name"], line["place"]) == ("octane", f"{tmp_path}/a.smi, line 1")
    assert "max_atoms" in line["reason"] + line["detail"]


def test_another_model_is_refused_and_the_wanted_one_named(index, config, processor, table, tmp_path):
    torch.manual_seed(1)
    other = GeomCLIPModel(config).eval()
    wanted = index.info()["weights_sha256"]
    with pytest.raises(ValueError, match=f"the index belongs to a model with weights of SHA-256 {wanted}"):
        MoleculeIndex.open(tmp_path / "index", (other, processor))
    with pytest.raises(ValueError, match=wanted):
        MoleculeIndex.create(tmp_path / "index", (other, processor))
    with pytest.raises(ValueError, match="pass this model"):
        MoleculeIndex.open(tmp_path / "index").search("an alcohol")
    assert len(index) == 8


def test_other_settings_of_the_processor_are_refused(index, model, processor, tmp_path):
    processor.feature_extractor.conformer_seed = 7
    with pytest.raises(ValueError, match="seed is 7, not 42"):
        MoleculeIndex.open(tmp_path / "index", (model, processor))


def test_the_named_model_is_loaded_when_it_is_needed(model, processor, table, tmp_path):
    model.save_pretrained(tmp_path / "geomclip")
    processor.save_pretrained(tmp_path / "geomclip")
    index = MoleculeIndex.create(tmp_path / "index", str(tmp_path / "geomclip"))
    index.add(str(table), num_proc=0)
    again = MoleculeIndex.open(tmp_path / "index")
    assert again.search("the ring", top_k=3)["inchikey"] == index.search("the ring", top_k=3)["inchikey"]
    (tmp_path / "geomclip").rename(tmp_path / "elsewhere")
    with pytest.raises(ValueError, match=r"the index belongs to the model .*geomclip with weights of SHA-256 .*; pass"):
        MoleculeIndex.open(tmp_path / "index").search("the ring")
    moved = MoleculeIndex.open(tmp_path / "index", str(tmp_path / "elsewhere"))
    assert moved.search("the ring", top_k=1)["inchikey"] == index.search("the ring", top_k=1)["inchikey"]


def test_removal(index):
    assert index.remove(where="rings = 0") == 4
    assert index.remove(inchikeys=["UHOVQNZJYSORNB-UHFFFAOYSA-N", "nothing'"]) == 1
    assert {row[0] for row in index.search("the ring")["names"]} == {"aspirin", "cyclohexanol", "pyridine"}
    for where in ("1/0 = 1", "cast(smiles as int) > 3"):
        with pytest.raises(ValueError, match=r"^the condition .* is not valid"):
            index.remove(where=where)
    with pytest.raises(ValueError, match="pass either a condition or InChIKeys"):
        index.remove()


def test_a_molecule_that_is_removed_during_a_search_is_not_found(index, monkeypatch):
    before, rank = index.search("an alcohol", top_k=3), MoleculeStore.rank

    def rank_and_remove(store, *given, **settings):
        found = rank(store, *given, **settings)
        index.remove(inchikeys=before["inchikey"][:1])
        return found

    monkeypatch.setattr(MoleculeStore, "rank", rank_and_remove)
    after = index.search("an alcohol", top_k=3)
    assert after["inchikey"] == before["inchikey"][1:]
    assert after["score"] == before["score"][1:]


def test_exports_are_read_back(index, tmp_path):
    for name in ("all.sdf", "all.csv", "all.jsonl", "all.smi"):
        assert index.export(tmp_path / name, where="rings >= 1") == 4
    (row,) = index.search("an alcohol", where="inchikey = 'JUJWROOIHBZHMG-UHFFFAOYSA-N'")
    mols = {mol.GetProp("_Name"): mol for mol in Chem.SDMolSupplier(str(tmp_path / "all.sdf"))}
    assert {name: Chem.MolToSmiles(mol) for name, mol in mols.items()} == {
        name: smiles
        for name, smiles in zip(NAMES, map(Chem.CanonSmiles, SMILES))
        if name in ("aspirin", "benzene", "cyclohexanol", "pyridine")
    }
    pyridine = mols["pyridine"]
    assert sorted(atom.GetAtomicNum() for atom in pyridine.GetAtoms()) == sorted(row["atomic_numbers"])
    found = {tuple(position) for position in np.round(pyridine.GetConformer().GetPositions(), 3)}
    assert found == {tuple(position) for position in np.round(np.array(row["positions"], np.float64), 3)}
    assert json.loads(pyridine.GetProp("columns")) == {"price": "6"}
    csv = pd.read_csv(tmp_path / "all.csv").set_index("name")
    assert csv.loc["benzene", "mol_weight"] == pytest.approx(78.114, abs=1e-3)
    records = [json.loads(line) for line in (tmp_path / "all.jsonl").read_text().splitlines()]
    assert {record["smiles"] for record in records} == {
        Chem.CanonSmiles(mol) for mol in map(Chem.MolToSmiles, mols.values())
    }
    assert len((tmp_path / "all.smi").read_text().splitlines()) == 4
    with pytest.raises(ValueError, match="has the wrong ending"):
        index.export(tmp_path / "all.xlsx")
    with pytest.raises(ValueError, match=r"no molecule that fulfils 'rings > 99', so .*none\.csv is not written"):
        index.export(tmp_path / "none.csv", where="rings > 99")
    for where in ("1/0 = 1", "cast(smiles as int) > 3", "colour = 1"):
        with pytest.raises(ValueError, match=r"^the condition '[^']*' is not valid: (?!the condition)"):
            index.export(tmp_path / "none.csv", where=where)


def test_what_makes_no_sense_is_refused(index, tmp_path):
    with pytest.raises(ValueError, match="needs a text, a molecule or both"):
        index.search()
    with pytest.raises(ValueError, match=r"weight is 1\.5; it must lie in \[0, 1\]"):
        index.search("x", weight=1.5)
    with pytest.raises(ValueError, match="top_k is 0"):
        index.search("x", top_k=0)
    with pytest.raises(ValueError, match=r"cannot read the substructure 'C\(' as SMARTS"):
        index.search("x", substructure="C(")
    with pytest.raises(ValueError, match="columns are inchikey, smiles, names"):
        index.search("x", where="weight < 3")
    with pytest.raises(MoleculeError, match="RDKit cannot read it"):
        index.search(molecule="C1CC")
