"""The most similar molecules of a text."""

import numpy as np
import pytest
from datasets import Dataset
from drawing import save_svg
from found_molecules import draw_results, rank_molecules, search

from modeling_geomclip import embed_molecules, embed_texts

SMILES = ["CCO", "OCC", "CCCCN", "c1ccccc1", "nonsense", "CC(=O)O"]


def test_the_best_come_first_and_ties_keep_their_order():
    similarities = np.array([[0.1, 0.5, -0.2, 0.5], [-0.4, -0.3, -0.2, -0.1]])
    assert rank_molecules(similarities, 3).tolist() == [[1, 3, 0], [3, 2, 1]]
    assert rank_molecules(similarities, 9).shape == (2, 4)


@pytest.fixture
def checkpoint(model, processor, tmp_path) -> str:
    model.save_pretrained(tmp_path / "model")
    processor.save_pretrained(tmp_path / "model")
    return str(tmp_path / "model")


def test_each_molecule_is_searched_once(checkpoint, model, processor, capsys):
    found = search(checkpoint, Dataset.from_dict({"smiles": SMILES}), ["an alcohol", "it has ring"], 5)
    once = ["CCO", "CCCCN", "c1ccccc1", "CC(=O)O"]
    embeds = embed_molecules(model, processor, once)
    expected = (embed_texts(model, processor, ["an alcohol", "it has ring"]) @ embeds.T).numpy()
    for molecules, values in zip(found, expected):
        assert [smiles for smiles, _ in molecules] == [once[place] for place in np.argsort(-values)]
        np.testing.assert_allclose([value for _, value in molecules], np.sort(values)[::-1], atol=1e-5)
    assert "1 of 5 molecules cannot be read" in capsys.readouterr().out


def test_a_limit(checkpoint):
    (found,) = search(checkpoint, Dataset.from_dict({"smiles": SMILES}), ["an alcohol"], 5, limit=2)
    assert {smiles for smiles, _ in found} == {"CCO", "CCCCN"}


def test_a_picture_is_the_same_every_time(tmp_path):
    results = {"an alcohol": [("CCO", 0.5), ("CCCO", -0.25)], "a text of more than one line": [("c1ccccc1", 0.125)]}
    for name in ("first", "second"):
        save_svg(draw_results(results), tmp_path / f"{name}.svg")
    text = (tmp_path / "first.svg").read_text(encoding="utf-8")
    assert text == (tmp_path / "second.svg").read_text(encoding="utf-8")
    for label in ("an alcohol", "0.50", "−0.25", "0.12"):
        assert f">{label}</text>" in text
