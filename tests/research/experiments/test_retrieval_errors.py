"""Retrieval errors of texts, and their summary."""

import numpy as np
import pytest
from datasets import Dataset

from research.experiments.retrieval_errors import list_errors, summarise

PAIRS = Dataset.from_dict(
    {
        "smiles": ["CCO", "CCCO", "c1ccccc1", "C1=CC=CC=C1", "CCCCCCCCCCCCCCO", "COC"],
        "text": ["ethanol", "propanol", "benzene", "an arene", "a fatty alcohol", "an ether"],
    }
)


def test_only_other_molecules_and_other_texts_are_errors():
    scores = np.eye(6)
    scores[0, [5, 4]] = 2, 1.5  # an isomer and the long molecule rank above the correct one
    scores[2, 3] = 2  # the same molecule in another notation
    scores[5, 4] = 3
    errors = list_errors(scores, PAIRS)
    assert errors["text"].tolist() == ["ethanol", "an ether"]
    assert errors["rank"].tolist() == [3, 2]
    assert errors["more_heavy_atoms"].tolist() == [0, 12]
    assert (errors["formula"] == errors["formula_first"]).tolist() == [True, False]
    assert errors["similarity"].between(0, 1, inclusive="left").all()
    summary = summarise(errors, 6)
    for line in (
        "| whose molecule is not first | 2 |",
        "| median rank of these | 2.5 |",
        "| of the same formula, % | 50 |",
    ):
        assert line in summary
    assert "| more than 10 heavy atoms apart, % | 50 |" in summary


def test_similarity_is_that_of_the_fingerprints():
    scores = np.eye(6)
    scores[0, 1] = 2
    (error,) = list_errors(scores, PAIRS).to_dict("records")
    # CCO has the environments CH3, CH2, OH, each alone and with its neighbours (6), CCCO has 8; alike are three alone,
    # CH3 with its neighbour and OH with its neighbour: 5 of 9.
    assert error["similarity"] == pytest.approx(5 / 9)
    assert error["smiles_first"] == "CCCO"
