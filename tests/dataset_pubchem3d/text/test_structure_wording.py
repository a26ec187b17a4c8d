from random import Random

import pytest

from dataset_pubchem3d.text.structure_wording import (
    BROADER,
    capitalise,
    count,
    count_noun,
    count_ring,
    enumerate_words,
    name_as_class,
    name_as_ring,
    name_element,
    with_article,
)


@pytest.mark.parametrize(
    ("noun", "article"),
    [
        ("alcohol", "an"),
        ("ketone", "a"),
        ("urea", "a"),
        ("uracil base", "a"),
        ("unsaturated acid", "an"),
        ("one-carbon compound", "a"),
        ("N-methyl group", "an"),
        ("S-methyl group", "an"),
        ("11-oxo steroid", "an"),
        ("1,3-thiazole", "a"),
        ("omega-hydroxy acid", "an"),
        ("hydroxy group", "a"),
    ],
)
def test_articles_follow_pronunciation(noun, article):
    assert with_article(noun) == f"{article} {noun}"


def test_lists_and_numbers():
    assert enumerate_words(["a", "b", "c"]) == "a, b and c"
    assert enumerate_words(["a"]) == "a"
    assert [count(number) for number in (1, 12, 13)] == ["one", "twelve", "13"]
    assert capitalise("1,3-thiazole") == "1,3-thiazole"
    assert capitalise("an acid") == "An acid"


def test_plurals_and_synonyms_of_nouns():
    words = {count_noun("carboxy group", 2, Random(seed)) for seed in range(20)}
    assert words == {"two carboxy groups", "two carboxylic acid groups"}
    assert {count_ring("oxolane", 1, Random(seed)) for seed in range(40)} == {
        "an oxolane ring",
        "one oxolane ring",
        "a tetrahydrofuran ring",
        "one tetrahydrofuran ring",
    }


def test_classes():
    words = {name_as_class("phenols", Random(seed)) for seed in range(20)}
    assert words == {"a member of phenols", "a member of the class of phenols"}
    assert {name_as_class("enone", Random(seed)) for seed in range(20)} == {"an enone"}
    assert {name_as_class("diaryl ether", Random(seed)) for seed in range(40)} == {
        "a diaryl ether",
        "an aromatic ether",
    }
    assert "a pyridine derivative" in {name_as_ring("pyridine", Random(seed)) for seed in range(20)}


def test_broader_words_have_no_cycles():
    for name, words in BROADER.items():
        assert name not in words


def test_elements():
    assert [name_element(element) for element in (16, 13, 26)] == ["sulfur", "aluminium", "iron"]
