import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataset_pubchem3d.publication.tally import TOLD, Tally
from dataset_pubchem3d.schema import FEATURES

SPLITS = ("train", "validation", "test")
SCHEMA = pa.schema([FEATURES.arrow_schema.field(name) for name in (*TOLD, "benchmarks", "split", "atomic_numbers")])
LISTS = ("first", "second")
WORD = st.sampled_from(["a", "b", "µ", None])
ROW = st.fixed_dictionaries(
    {
        **dict.fromkeys(TOLD, WORD),
        "split": st.sampled_from(SPLITS),
        "atomic_numbers": st.lists(st.integers(1, 118), max_size=6),
        "words": st.integers(0, 9000),
        "benchmarks": st.lists(st.sampled_from(LISTS), unique=True),
    }
)


def add(tally, rows):
    """Add rows to the tally, with their numbers of words."""
    tally.add(pa.Table.from_pylist(rows, SCHEMA), np.array([row["words"] for row in rows]))


def row(**values):
    plain = {**dict.fromkeys(TOLD, "a"), "split": "train", "atomic_numbers": [8, 1, 1], "words": 1}
    return {**plain, "benchmarks": [], **values}


@settings(derandomize=True, deadline=None)
@given(rows=st.lists(ROW, min_size=1, max_size=30), cut=st.integers(0, 30))
def test_figures_agree_with_pandas(rows, cut):
    tally = Tally(LISTS)
    for part in (rows[:cut], rows[cut:]):  # one of them may be empty
        add(tally, part)
    report, frame = tally.report(), pd.DataFrame(rows)
    for column in TOLD:
        assert report["rows_by"][column] == frame[column].fillna("not stated").value_counts().to_dict()
    atoms = frame["atomic_numbers"].map(len)
    assert report["words"] == {"median": frame["words"].median(), "max": frame["words"].max()}
    assert report["atoms"] == {"median": atoms.median(), "max": atoms.max()}
    for name in LISTS:
        counts = (
            frame[frame["benchmarks"].map(lambda named, name=name: name in named)]["split"].value_counts().to_dict()
        )
        assert report["rows_of_benchmark_molecules"][name] == counts


def test_the_report_of_known_rows():
    tally = Tally(LISTS)
    add(tally, [row(words=3, text_kind=None, benchmarks=["first"]), row(words=4, atomic_numbers=[1, 1], split="test")])
    add(tally, [row(words=12, match_level="b", benchmarks=["first"], split="test"), row(words=5, benchmarks=["first"])])
    assert tally.report() == {
        "rows_by": {
            **{column: {"a": 4} for column in TOLD},
            "text_kind": {"a": 3, "not stated": 1},
            "match_level": {"a": 3, "b": 1},
        },
        "words": {"median": 4.5, "max": 12},
        "atoms": {"median": 3.0, "max": 3},
        "rows_of_benchmark_molecules": {"first": {"test": 1, "train": 2}, "second": {}},
    }


def test_the_most_frequent_value_comes_first_and_splits_are_in_name_order():
    tally = Tally(LISTS)
    add(tally, [row(text_source=source) for source in "cbbcbbc"])
    add(tally, [row(split=split, benchmarks=["first"]) for split in SPLITS])
    report = tally.report()
    assert list(report["rows_by"]["text_source"].items()) == [("b", 4), ("c", 3), ("a", 3)]
    assert list(report["rows_of_benchmark_molecules"]["first"]) == ["test", "train", "validation"]


def test_without_benchmarks_none_is_reported():
    tally = Tally()
    tally.add(pa.Table.from_pylist([row()], SCHEMA), np.array([3]))
    assert tally.report()["rows_of_benchmark_molecules"] == {}


def test_the_report_is_plain_json():
    tally = Tally(LISTS)
    add(tally, [row(benchmarks=["first"]), row(text_license_url=None)])
    assert json.loads(json.dumps(tally.report())) == tally.report()


@pytest.mark.parametrize("column", [*TOLD, "split", "atomic_numbers"])
def test_a_missing_column_is_named(column):
    rows = pa.Table.from_pylist([row()], SCHEMA).drop_columns([column])
    with pytest.raises(KeyError, match=column):
        Tally().add(rows, np.array([3]))
