import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataset_pubchem3d.same_texts import hash_texts, normalise_text

STEROID = "The molecule is a steroid."


@pytest.mark.parametrize(
    "same",
    [
        "the molecule IS a Steroid",
        "  The molecule\tis\n a\u00a0steroid.  ",
        "The molecule is a steroid .",
        "The molecule is a ｓteroid．",  # full-width
        "The\u2003molecule is a s\u200bteroid.".replace("\u200b", ""),
    ],
)
def test_texts_that_differ_only_in_form_are_the_same(same):
    assert normalise_text(same) == normalise_text(STEROID) == "the molecule is a steroid"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("H₂O boils at 100 ℃", "H2O boils at 100 °C."),
        ("5 µg", "5 μg"),  # the micro sign and mu
        ("caf\u00e9", "cafe\u0301"),
        ("ﬁsh", "FISH"),
        ("Straße", "STRASSE"),
    ],
)
def test_unicode_has_several_ways_to_write_a_text(one, other):
    assert normalise_text(one) == normalise_text(other)


@pytest.mark.parametrize(
    "other",
    [
        "It is a steroid.",
        "Cortisol is a steroid.",
        "The molecule is a steroid..",
        "The molecule is a steroid!",
        "The molecule is a ster-oid.",
        "The molecule is asteroid.",
        '"The molecule is a steroid."',
        ".The molecule is a steroid",
        "",
    ],
)
def test_texts_with_other_names_or_words_differ(other):
    assert normalise_text(other) != normalise_text(STEROID)


def test_a_text_may_be_empty():
    assert {normalise_text(text) for text in ("", " \n", ".", " . ")} == {""}


@settings(derandomize=True, deadline=None)
@given(st.lists(st.text(max_size=4), max_size=12))
def test_same_texts_have_equal_hashes(texts):
    hashes, normalised = hash_texts(texts), [normalise_text(text) for text in texts]
    assert (hashes.dtype, hashes.shape) == (np.uint64, (len(texts),))
    assert [[a == b for a in hashes] for b in hashes] == [[a == b for a in normalised] for b in normalised]
