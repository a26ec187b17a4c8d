"""Split texts into sentences and sample from them."""

from collections import Counter

import pytest

from geomclip_tools.training.text_sampling import sample_sentences, split_sentences

TEXT = "The molecule is an acid. It is made by S. pyogenes at 37.5 °C. It has a role as a drug. 2 rings."


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            TEXT,
            [
                "The molecule is an acid.",
                "It is made by S. pyogenes at 37.5 °C.",
                "It has a role as a drug.",
                "2 rings.",
            ],
        ),
        ("it is a base. it dissolves.", ["it is a base.", "it dissolves."]),
        ("isolated from Streptomyces sp. It acts.", ["isolated from Streptomyces sp. It acts."]),
        ("Found in e.g. Rosa and i.e. Malus. Or not?  Yes!", ["Found in e.g. Rosa and i.e. Malus.", "Or not?", "Yes!"]),
        ("no end", ["no end"]),
        ("  It ends.\n", ["It ends."]),
        ("", [""]),
        ("A methyl at position 5. Made in the U. S. of A.", ["A methyl at position 5.", "Made in the U. S. of A."]),
        ("N-methyl-2,3-dihydro. (1R)-alcohol.", ["N-methyl-2,3-dihydro.", "(1R)-alcohol."]),
    ],
)
def test_sentences(text, expected):
    assert split_sentences(text) == expected


def test_what_is_drawn_are_whole_sentences_once_each_in_any_order():
    sentences = split_sentences(TEXT)
    numbers, orders = Counter(), set()
    for seed in range(400):
        drawn = split_sentences(sample_sentences(TEXT, 1.0, seed))
        assert len(set(drawn)) == len(drawn)
        assert set(drawn) <= set(sentences)
        numbers[len(drawn)] += 1
        orders.add(tuple(drawn))
    assert sorted(numbers) == [1, 2, 3, 4]
    assert min(numbers.values()) > 70  # of 400; all subset sizes are equally likely
    assert sum(len(order) == 4 for order in orders) == 24  # all orders of all four


def test_the_probability_and_the_seed():
    changed = [sample_sentences(TEXT, 0.25, seed) != TEXT for seed in range(400)]
    assert 0.15 < sum(changed) / 400 < 0.3  # a few draws give the text itself
    assert all(sample_sentences(TEXT, 0.0, seed) == TEXT for seed in range(20))
    assert [sample_sentences(TEXT, 1.0, seed) for seed in range(9)] == [
        sample_sentences(TEXT, 1.0, s) for s in range(9)
    ]
    assert sample_sentences("One sentence.", 1.0, 3) == "One sentence."
