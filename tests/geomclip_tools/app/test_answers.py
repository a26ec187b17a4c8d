"""The answers are those of the index, and say nothing about the server."""

import csv
import io
import json

import numpy as np
import pytest
from rdkit import Chem

from geomclip_tools.app.answers import Answers
from geomclip_tools.app.queries import QueryError
from geomclip_tools.library.processes import Processes
from modeling_geomclip import embed_molecules, explain, read_molecule
from tests.geomclip_tools.app.small_library import HOSTILE, MOLECULES

SMILES = {name: smiles for name, smiles, _ in MOLECULES}
KEYS = {name: Chem.MolToInchiKey(Chem.MolFromSmiles(smiles)) for name, smiles in SMILES.items()}


def names_of(answer) -> list[str]:
    return [hit["name"] for hit in answer["results"]]


def test_a_search_is_that_of_the_index(answers, index):
    found = answers.search({"text": "an alkaloid of tobacco", "top": 5})["results"]
    expected = index.search("an alkaloid of tobacco", top_k=5)
    assert [hit["inchikey"] for hit in found] == expected["inchikey"][:]
    assert [hit["score"] for hit in found] == expected["score"][:]
    assert found[0]["name"] == "nicotine"
    assert found[0]["drawing"].startswith("<svg")
    assert HOSTILE not in "".join(hit["drawing"] for hit in answers.search({"text": "x", "top": 20})["results"])
    assert names_of(answers.search({"text": "x", "ranges": {"mol_weight": [150, 165]}, "substructure": "n"})) == [
        "nicotine"
    ]
    assert answers.search({"text": "x", "ranges": {"rings": [9, None]}}) == {"results": []}


def test_molecules_are_given_as_text_or_by_their_key(answers):
    block = Chem.MolToMolBlock(Chem.AddHs(Chem.MolFromSmiles(SMILES["menthol"])))
    for given in ({"molecule": SMILES["menthol"]}, {"molecule": block}, {"similar": KEYS["menthol"]}):
        assert names_of(answers.search({**given, "top": 1})) == ["menthol"]
    both = {"text": "an alkaloid of tobacco", "molecule": SMILES["menthol"]}
    assert names_of(answers.search({**both, "weight": 1, "top": 1})) == ["menthol"]
    assert names_of(answers.search({**both, "weight": 0, "top": 1})) == ["nicotine"]
    water = "3\n\nO 0 0 0\nH 0.96 0 0\nH -0.24 0.93 0\n"
    assert len(answers.search({"molecule": water})["results"]) == 12
    assert answers.search({"molecule": SMILES[""], "top": 1})["results"][0]["name"] == KEYS[""]  # has no name


def test_an_explanation_is_that_of_the_model(answers, index):
    (found,) = answers.explain([KEYS["palmitic acid"]], "a carboxylic acid")
    encoder, row = index.encoder, index.get([KEYS["palmitic acid"]])[0]
    molecule = {name: np.array(row[name]) for name in ("atomic_numbers", "positions")}
    expected = explain(encoder.model, encoder.processor, molecule, "a carboxylic acid")
    assert [word for word, _ in found["words"]] == ["a", "carboxylic", "acid"]
    np.testing.assert_allclose([share for _, share in found["words"]], expected.word_contributions, atol=1e-4)
    assert "<ellipse" in found["drawing"]
    assert len(answers.explain([KEYS["benzene"]] * 99, "x")) == 24  # bounded


def test_all_about_a_molecule(answers, index):
    found = answers.show(KEYS["nicotine"], "an alkaloid")
    assert (found["name"], found["text"]) == ("nicotine", "an alkaloid of tobacco")
    assert found["descriptors"]["formula"] == "C10H14N2"
    assert found["columns"] == {"price": "7"}
    assert [word for word, _ in found["explanation"]["words"]] == ["an", "alkaloid"]
    mol = Chem.MolFromMolBlock(found["record"], removeHs=False)
    assert mol.GetConformer().Is3D()
    np.testing.assert_allclose(
        mol.GetConformer().GetPositions(), index.get([KEYS["nicotine"]])[0]["positions"], atol=1e-3
    )
    assert found["texts"][0]["name"] == "nicotine"
    scores = [hit["score"] for hit in found["texts"]]
    assert len(scores) == 5
    assert scores == sorted(scores, reverse=True)
    vector = embed_molecules(index.encoder.model, index.encoder.processor, read_molecule(SMILES["nicotine"]))[0].numpy()
    own = index.encoder.embed_texts(["an alkaloid of tobacco"])[0] @ vector
    assert scores[0] == pytest.approx(own, abs=2e-3)  # vectors are stored as float16
    assert answers.show(KEYS["nicotine"])["explanation"] is None


def test_results_are_exported(answers):
    query = {"text": "an alkaloid", "top": 4}
    rows = [*csv.DictReader(io.StringIO(answers.export(query, "csv")))]
    assert [row["name"] for row in rows] == names_of(answers.search(query))
    records = [mol for mol in Chem.ForwardSDMolSupplier(io.BytesIO(answers.export(query, "sdf").encode())) if mol]
    assert [mol.GetProp("_Name") for mol in records] == names_of(answers.search(query))
    with pytest.raises(QueryError, match="the format must be one of csv, sdf"):
        answers.export(query, "html")


def test_the_map_has_all_molecules(answers, index):
    found = answers.draw_map()
    assert len(found["x"]) == len(found["y"]) == len(MOLECULES)
    for values in found.values():
        assert (min(values), max(values)) == (0, 10_000)
    names = [answers.point_at(place)["name"] for place in range(len(MOLECULES))]
    assert sorted(names) == sorted(name or KEYS[""] for name in SMILES)
    colours = answers.colour_map("an alkaloid of tobacco")
    assert (min(colours), max(colours)) == (0, 255)
    assert names[int(np.argmax(colours))] == "nicotine"
    with pytest.raises(QueryError, match="no such molecule on the map"):
        answers.point_at(len(MOLECULES))


def test_nothing_is_said_about_the_server(answers, index):
    told = json.dumps(
        [
            answers.describe(),
            answers.search({"text": "x", "top": 99}),
            answers.show(KEYS["nicotine"], "x"),
            answers.export({"text": "x"}, "csv"),
            answers.export({"text": "x"}, "sdf"),
        ]
    )
    assert "secret_folder" in index.info()["index"]
    for secret in ("secret_folder", "/release/", "/tmp"):
        assert secret not in told
    assert "library.csv, line 2" in told


def test_captions_grow(answers, index):
    assert [*answers.caption(KEYS["benzene"])] == ["a", "a molecule", "a molecule: c1ccccc1"]
    with pytest.raises(QueryError, match="no captioner"):
        next(Answers(index, Processes(0, 0)).caption(KEYS["benzene"]))


def test_what_is_wrong_is_told(answers, index):
    for molecule, told in (
        ("C1CC", "RDKit cannot read"),
        ("C" * 300, "it has 300 atoms, more than max_atoms=256"),
        ("not a molecule", "white space"),
    ):
        with pytest.raises(QueryError, match=f"the molecule cannot be used: .*{told}"):
            answers.search({"molecule": molecule})
    with pytest.raises(QueryError, match="as SMARTS"):
        answers.search({"text": "x", "substructure": "C("})
    for ask in (answers.show, lambda key: answers.search({"similar": key}), lambda key: answers.explain([key], "x")):
        with pytest.raises(QueryError, match="no longer in the index"):
            ask("NOTTHEREATALLX-UHFFFAOYSA-N")
    with (
        Processes(1, 0.05) as processes,
        pytest.raises(QueryError, match=r"cannot be used: it needs more than 0\.05 s"),
    ):
        Answers(index, processes).search({"molecule": "C" * 200})
