"""Comparison of captioning systems."""

import numpy as np
import pytest
import torch
from datasets import Dataset

from geomclip_tools.evaluation.caption_table import SCORES, format_scores
from geomclip_tools.evaluation.captioning import find_neighbours, score_systems

TEST = {
    "CCO": "It is a primary alcohol.",
    "??": "It is unreadable.",
    "CCCN": "It is a primary amine with water.",
    "Cc1ccccc1": "It is a benzene with a methyl group.",
    "CCC#N": "It is a nitrile.",
}


def test_every_system_is_compared_under_its_own_name():
    """Names may contain each other, end like a key, or contain "minus"."""
    pairs = Dataset.from_dict({"smiles": list(TEST)[2:], "text": list(TEST.values())[2:]})
    systems = {
        "model": ["It is a primary amine.", "It is a ring.", "It is an amine."],
        "blind": ["It is a molecule.", "It is a benzene.", ""],
        "blind_low": ["It is a primary alcohol with water.", "", "It is a nitrile."],
        "blind 2": ["water"] * 3,
        "x_minus_blind": ["It is a primary amine.", "It is a ring.", "It is an amine."],
    }
    hits = {name: np.array([0.5, 1, 0]) * number for number, name in enumerate([*systems, "true captions"])}
    results = score_systems(pairs, systems, hits, str.split, num_bootstrap=50)
    scores, differences = results["scores"], results["differences"]
    assert list(scores) == [*systems, "true captions"]
    assert list(differences) == list(systems)[1:]
    assert {name: scores[name]["consistency"] for name in scores} == {name: hits[name].mean() for name in hits}
    for name, values in differences.items():
        for score in SCORES:
            if scores[name].get(score) is not None and scores["model"].get(score) is not None:
                assert values[score] == pytest.approx(scores["model"][score] - scores[name][score]), (name, score)
                assert values[f"{score}_low"] <= values[score] <= values[f"{score}_high"]
        assert name == "x_minus_blind" or values["rouge_1_low"] < values["rouge_1_high"]
        assert {key.removesuffix("_low").removesuffix("_high") for key in values} <= set(SCORES)
    assert len({round(values["rouge_1"], 6) for values in differences.values()}) == 4
    assert differences["x_minus_blind"]["bleu_2_low"] == differences["x_minus_blind"]["bleu_2_high"] == 0


def test_no_neighbour_has_the_first_block_or_the_text_of_the_row():
    blocks = ["A" * 14, "B" * 14, "C" * 14, "D" * 14]
    training = Dataset.from_dict({"inchikey14": blocks, "text": ["an acid", "a base", "an ether", "an alkane"]})
    pairs = Dataset.from_dict({"inchikey14": ["A" * 14, "E" * 14], "text": ["acidic", "a base"]})
    references = torch.tensor([[1.0, 0.0], [0.9, 0.1], [0.8, 0.2], [0.0, 1.0]])
    found = find_neighbours(torch.tensor([[1.0, 0.0]] * 2), pairs, references, training, "hash")
    assert [[near.caption for near in row] for row in found] == [
        ["a base", "an ether", "an alkane"],
        ["an acid", "an ether", "an alkane"],
    ]


def test_molecules_without_an_inchikey_neither_are_nor_have_neighbours():
    training = Dataset.from_dict({"inchikey14": ["A" * 14, None], "text": ["an acid", "a base"]})
    pairs = Dataset.from_dict({"inchikey14": [None, "E" * 14], "text": ["one", "two"]})
    found = find_neighbours(torch.eye(2), pairs, torch.eye(2), training, "hash")
    assert [[near.caption for near in row] for row in found] == [[], ["an acid"]]
    nobody = training.select([1])
    assert find_neighbours(torch.eye(2), pairs, torch.eye(2)[:1], nobody, "hash") == [[], []]


@pytest.mark.parametrize("num_bootstrap", [0, 20])
def test_facts_that_nobody_states_have_no_precision(num_bootstrap):
    pairs = Dataset.from_dict({"smiles": ["CO"] * 2, "text": ["It is an alcohol."] * 2})
    systems = {"model": ["It is."] * 2, "other": ["A benzene."] * 2}
    hits = dict.fromkeys((*systems, "true captions"), np.ones(2))
    results = score_systems(pairs, systems, hits, str.split, num_bootstrap)
    assert results["scores"]["model"]["fact_precision"] is None
    assert results["differences"]["other"]["fact_precision"] is None
    assert results["scores"]["other"]["fact_precision"] == 0
    assert "100.0" in format_scores(results)
