"""Differences of recall agree with hand calculations, and their intervals are paired."""

import numpy as np
import pandas as pd
import pytest
from compare_retrieval import differences, recalls

from geomclip_tools.evaluation.retrieval import SCOPES

COLUMN = "T→G R@20"


def table(molecules: list[str], ranks: list[float]) -> pd.DataFrame:
    return pd.DataFrame({"molecule": molecules} | dict.fromkeys(SCOPES, ranks))


def test_recall_of_the_first_minus_that_of_the_second():
    first, second = table([*"abcd"], [1, 2, 20, 21]), table([*"abcd"], [1, 1, 30, 40])
    columns = differences(first, second)
    assert len(columns) == 8
    assert columns[COLUMN][0] == 3 / 4 - 2 / 4
    assert columns["T→G R@1 of 64"][0] == 1 / 4 - 2 / 4
    assert [recalls(ranks)["G→T R@20"][0] for ranks in (first, second)] == [3 / 4, 2 / 4]


def test_the_interval_is_paired():
    ranks = np.random.default_rng(0).choice([1, 50], size=400)
    others = ranks.copy()
    others[np.flatnonzero(ranks == 1)[:20]] = 50  # all other rows are equal, so the interval is narrow
    first, second = (table([*map(str, range(400))], values) for values in (ranks, others))
    value, low, high = differences(first, second)[COLUMN]
    assert value == pytest.approx(0.05)
    assert 0.02 < low < value < high < 0.08  # unpaired bounds would be 0.07 away


def test_molecules_are_drawn_with_all_their_rows():
    alone = differences(table([*map(str, range(40))], [1, 50] * 20), table([*map(str, range(40))], [50] * 40))[COLUMN]
    molecules = [str(row // 20) for row in range(40)]
    two = differences(table(molecules, [1] * 20 + [50] * 20), table(molecules, [50] * 40))[COLUMN]
    assert alone[0] == two[0] == 0.5
    assert two[1:] == (0, 1)
    assert 0.3 < alone[1] < alone[2] < 0.7


def test_rows_without_a_molecule_stand_for_themselves():
    ranks = [1, 50] * 20
    named, unnamed = table([*map(str, range(40))], ranks), table([""] * 40, ranks)
    other = [50] * 40
    expected = differences(named, table([*map(str, range(40))], other))
    assert differences(unnamed, table([""] * 40, other)) == expected


def test_other_pairs_are_refused():
    with pytest.raises(ValueError, match="evaluate both on the same dataset and split"):
        differences(table(["a"], [1]), table(["b"], [1]))
