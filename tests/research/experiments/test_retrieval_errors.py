"""What texts find first where it is not their molecule."""

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
    scores[0, [5, 4]] = 2, 1.5  # an isomer before the right one, and the long one too
    scores[2, 3] = 2  # the same molecule, written in another way
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
    # CCO and CCCO share the environments CH3, CH2-O(H) and OH of radius 0 and those of larger radius that are alike.
    assert error["similarity"] == pytest.approx(0.5, abs=0.2)
    assert error["smiles_first"] == "CCCO"
