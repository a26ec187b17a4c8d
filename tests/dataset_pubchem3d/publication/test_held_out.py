import json

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataset_pubchem3d.benchmarks import Benchmark
from dataset_pubchem3d.publication.held_out import HeldOut
from dataset_pubchem3d.same_texts import hash_texts, normalise_text

SCHEMA = pa.schema({"text": pa.string(), "split": pa.string(), "benchmarks": pa.list_(pa.string())})
TEXTS = ("One.", "one", "Two", "two.", "THREE", "Four", "It is five.")
SPLITS = ("train", "validation", "test")
ROW = st.tuples(st.sampled_from(TEXTS), st.sampled_from(SPLITS), st.sampled_from([[], [], ["mine"]]))


def hashes(*texts):
    return np.unique(hash_texts(texts))


def benchmark(*texts):
    return Benchmark(np.empty(0, "S14"), hashes(*texts))


def table(rows):
    return pa.Table.from_pylist([dict(zip(SCHEMA.names, row)) for row in rows], SCHEMA)


def of_splits(rows):
    return {split: hashes(*(text for text, named, _ in rows if named == split)) for split in SPLITS[1:]}


def test_the_report_of_known_rows():
    rows = [
        ("One", "train", []),  # of validation
        ("two", "train", []),  # in validation and test: counted for validation
        ("three", "train", []),  # of test
        ("four", "train", []),  # of a list
        ("four", "train", ["mine"]),  # also its molecule, which is counted
        ("five", "train", []),
        ("one.", "validation", []),
        ("Two.", "validation", []),  # of test
        ("Two.", "validation", ["mine"]),
        ("TWO", "test", ["mine"]),
        ("Three.", "test", []),
        ("Four", "test", []),  # in a list, but not in a split of pretrain
    ]
    held_out = HeldOut({"mine": benchmark("Four.", "six"), "plain": benchmark()}, of_splits(rows))
    left_out = [held_out.find(table(part)).tolist() for part in (rows[:7], rows[7:])]
    assert left_out == [[True] * 5 + [False] * 2, [True] * 2 + [False] * 3]
    assert held_out.report() == {
        "rows_of_benchmark_texts": {"mine": {"test": 1, "train": 2}},  # without the list that has no texts
        "left_out_of_pretrain": {
            "train": {
                "molecule of a benchmark": 1,
                "text of a benchmark": 1,
                "text of validation": 2,
                "text of test": 1,
            },
            "validation": {"molecule of a benchmark": 1, "text of a benchmark": 0, "text of test": 1},
        },
    }


@settings(derandomize=True, deadline=None)
@given(rows=st.lists(ROW, min_size=1, max_size=20), cut=st.integers(0, 20), listed=st.sets(st.sampled_from(TEXTS)))
def test_exactly_the_rows_to_hold_out_are_left_out(rows, cut, listed):
    held_out = HeldOut({"mine": benchmark(*listed)}, of_splits(rows))
    found = np.concatenate([held_out.find(table(part)) for part in (rows[:cut], rows[cut:])])
    texts = {split: {normalise_text(text) for text, named, _ in rows if named == split} for split in SPLITS}
    forbidden = {"train": texts["validation"] | texts["test"], "validation": texts["test"]}
    forbidden = {split: texts | {normalise_text(text) for text in listed} for split, texts in forbidden.items()}
    for (text, split, names), is_left_out in zip(rows, found):
        assert is_left_out == (split != "test" and (bool(names) or normalise_text(text) in forbidden[split]))
    report = held_out.report()
    assert sum(sum(reasons.values()) for reasons in report["left_out_of_pretrain"].values()) == found.sum()
    assert json.loads(json.dumps(report)) == report


@pytest.mark.parametrize("split", SPLITS)
def test_a_text_that_occurs_twice_in_a_split_stays(split):
    rows = [("One", split, []), ("one.", split, [])]
    assert not HeldOut({}, of_splits(rows)).find(table(rows)).any()
