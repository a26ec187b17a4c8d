"""Chiral molecules, stereodescriptors in texts, and preferences."""

import numpy as np
import pytest
from enantiomers import STEREODESCRIPTOR, is_chiral, score_preference


@pytest.mark.parametrize(
    ("smiles", "expected"),
    [
        ("C[C@H](N)C(=O)O", True),
        ("CC(N)C(=O)O", False),  # no stereocentre is defined
        ("C[C@H](O)[C@H](C)O", True),
        ("C[C@H](O)[C@@H](C)O", False),  # meso
        ("OC(=O)[C@H](O)[C@@H](O)C(=O)O", True),  # tartaric acid
        ("C/C=C/C", False),
    ],
)
def test_chiral_is_what_differs_from_its_mirror_image(smiles, expected):
    assert is_chiral(smiles) is expected


@pytest.mark.parametrize(
    "text",
    [
        "(2S)-2-aminopropanoic acid",
        "It is a L-alpha-amino acid.",
        "the (R)-enantiomer",
        "It has (1R,2S)-configuration.",
        "(+)-camphor",
        "the D-glucose series",
        "has S-configuration at C-2",
    ],
)
def test_texts_with_a_stereodescriptor(text):
    assert STEREODESCRIPTOR.search(text)


@pytest.mark.parametrize("text", ["vitamin D", "(R&D)", "an N-acyl amino acid", "S-nitroso", "an alcohol (ethanol)"])
def test_texts_without_one(text):
    assert not STEREODESCRIPTOR.search(text)


def test_ties_count_as_half():
    scores = score_preference(np.array([0.5, 0.2, 0.3]), np.array([0.4, 0.3, 0.3]))
    assert scores.tolist() == [1, 0, 0.5]
