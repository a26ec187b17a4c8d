from bisect import bisect_right
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dataset_pubchem3d.stages import windows
from dataset_pubchem3d.stages.windows import make_window_bounds, name_window, read_column, read_window, write_windows

POINTS = pa.list_(pa.list_(pa.float32(), 3))
KEYS = {"int": (pa.int64(), np.int64), "string": (pa.string(), np.dtype("S14"))}
NUMBERS = st.integers(-20, 20) | st.sampled_from([-(2**63), 2**63 - 1])
BLOCKS = st.text("ABZ", min_size=14, max_size=14) | st.sampled_from(["A" * 14, "Z" * 14])
TABLES = st.lists(st.integers(0, 12), max_size=5)  # given by their numbers of rows


def schema_of(kind):
    nested = {"positions": POINTS, "further_positions": pa.list_(POINTS)}
    columns = {"name": pa.string(), "synonyms": pa.list_(pa.string()), **nested, "energy": pa.float64()}
    return pa.schema({"row": pa.int32(), "key": KEYS[kind][0], **columns, "is_composed": pa.bool_()})


def row_of(number, key):
    """A row whose other columns are filled, empty or null in turn."""
    points = [[number, -number, 0.5]] * (number % 3)
    return {
        "row": number,
        "key": key,
        "name": None if number % 4 == 1 else "µ" * (number % 5),
        "synonyms": [None, [], ["one", None], ["a", "b", ""]][number % 4],
        "positions": None if number % 5 == 4 else points,
        "further_positions": [[], [points], [points, []], None, [None]][number % 5],
        "energy": None if number % 2 else number / 4,
        "is_composed": [True, None, False][number % 3],
    }


def dealt(tables, bounds, schema):
    """The rows of every window, and the number of files with rows."""
    with TemporaryDirectory() as folder:
        write_windows(tables, "key", bounds, Path(folder))
        found = [read_window(Path(folder), index, schema) for index in range(len(bounds) + 1)]
        assert all(table.schema == schema for table in found)
        return [table.to_pylist() for table in found], sum(file.stat().st_size > 0 for file in Path(folder).iterdir())


def tables_of(keys, sizes, schema):
    """Tables of these sizes and one of the rest, as slices of one table, so that they start anywhere in its memory."""
    rows = pa.Table.from_pylist([row_of(number, key) for number, key in enumerate(keys)], schema)
    starts = np.cumsum([0, *sizes])
    return rows, [rows.slice(start, size) for start, size in zip(starts, [*sizes, len(rows)])]


@pytest.mark.parametrize("kind", KEYS)
@settings(derandomize=True, deadline=None, max_examples=60)
@given(data=st.data(), sizes=TABLES, size=st.integers(1, 5))
def test_windows_agree_with_groups_of_pandas(kind, data, sizes, size):
    keys = data.draw(st.lists(NUMBERS if kind == "int" else BLOCKS, max_size=40))
    schema = schema_of(kind)
    rows, tables = tables_of(keys, sizes, schema)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(windows, "WINDOW", size)
        bounds = make_window_bounds(np.array(sorted(set(keys)), KEYS[kind][1]))
    found, num_files = dealt(tables, bounds, schema)

    rank = pd.Series(keys, dtype="object" if kind == "string" else "int64").rank(method="dense").astype(int) - 1
    groups = {window: group.index.tolist() for window, group in rank.groupby(rank // size)}
    plain = rows.to_pylist()
    assert found == [[plain[row] for row in groups.get(window, [])] for window in range(len(bounds) + 1)]
    assert num_files == len(groups)


@pytest.mark.parametrize("kind", KEYS)
@settings(derandomize=True, deadline=None, max_examples=60)
@given(data=st.data(), sizes=TABLES)
def test_keys_that_are_not_bounds_fall_between_them(kind, data, sizes):
    values = NUMBERS if kind == "int" else BLOCKS
    keys, chosen = data.draw(st.lists(values, max_size=30)), sorted(data.draw(st.sets(values, max_size=5)))
    schema = schema_of(kind)
    rows, tables = tables_of(keys, sizes, schema)
    found, _ = dealt(tables, np.array(chosen, KEYS[kind][1]), schema)
    plain = rows.to_pylist()
    expected = [[row for row in plain if bisect_right(chosen, row["key"]) == i] for i in range(len(chosen) + 1)]
    assert found == expected


@pytest.mark.parametrize(
    ("kind", "keys", "expected"),
    [
        ("int", [9, 10, 11, 19, 20, 21], [[9], [10, 11, 19], [20, 21]]),
        (
            "string",
            ["B" * 13 + "A", "B" * 14, "B" * 13 + "C", "X"],
            [["B" * 13 + "A"], ["B" * 14, "B" * 13 + "C"], ["X"]],
        ),
    ],
)
def test_a_value_at_a_bound_belongs_to_the_window_that_starts_there(kind, keys, expected):
    bounds = np.array([10, 20] if kind == "int" else ["B" * 14, "C" * 14], KEYS[kind][1])
    _, tables = tables_of(keys, [], schema_of(kind))
    found, _ = dealt(tables, bounds, schema_of(kind))
    assert [[row["key"] for row in rows] for rows in found] == expected


@pytest.mark.parametrize("num_values", [0, 1, 999, 1000, 1001, 2000, 2001])
def test_bounds_are_the_first_values_of_all_windows_except_the_first(num_values):
    values = np.arange(num_values) * 3
    bounds = make_window_bounds(values)
    assert bounds.tolist() == [3 * start for start in range(1000, num_values, 1000)]
    assert bounds.dtype == values.dtype


def test_rows_keep_their_order_over_many_tables(tmp_path):
    schema = pa.schema({"key": pa.int64(), "row": pa.int64()})
    keys = np.random.default_rng(0).integers(0, 50, 3000)
    tables = [pa.table({"key": keys[i : i + 100], "row": range(i, i + 100)}, schema) for i in range(0, 3000, 100)]
    write_windows(iter(tables), "key", np.array([10, 30]), tmp_path)
    rows = [read_window(tmp_path, index, schema)["row"].to_pylist() for index in range(3)]
    assert rows == [np.flatnonzero(np.digitize(keys, [10, 30]) == index).tolist() for index in range(3)]


def test_a_written_window_can_be_appended_to(tmp_path):
    schema = schema_of("int")
    rows, tables = tables_of([5, 15, 6, 16], [2], schema)
    for table in tables:
        write_windows([table], "key", np.array([10]), tmp_path)
    assert read_window(tmp_path, 0, schema).to_pylist() == rows.take([0, 2]).to_pylist()
    assert read_window(tmp_path, 1, schema).to_pylist() == rows.take([1, 3]).to_pylist()


def test_tables_of_many_chunks_are_written_completely(tmp_path):
    schema = schema_of("string")
    rows, tables = tables_of(["A", "C", "B", "D", "A", "C"], [1, 2, 0], schema)
    write_windows([pa.concat_tables(tables)], "key", np.array(["B"], "S14"), tmp_path)
    assert read_window(tmp_path, 0, schema).to_pylist() == rows.take([0, 4]).to_pylist()
    assert read_window(tmp_path, 1, schema).to_pylist() == rows.take([1, 2, 3, 5]).to_pylist()


def test_one_table_at_a_time_is_consumed(tmp_path):
    schema = pa.schema({"key": pa.int64()})

    def tables():
        for key in range(3):
            assert sum(file.stat().st_size > 0 for file in tmp_path.iterdir()) == key
            yield pa.table({"key": [key]}, schema)

    write_windows(tables(), "key", np.array([1, 2]), tmp_path)
    assert all(file.stat().st_size for file in tmp_path.iterdir())


@pytest.mark.parametrize("tables", [[], [schema_of("int").empty_table()]])
def test_without_rows_every_window_is_empty(tmp_path, tables):
    write_windows(tables, "key", np.array([10]), tmp_path)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["000000", "000001"]
    assert read_window(tmp_path, 1, schema_of("int")) == schema_of("int").empty_table()


def test_a_window_without_rows_is_empty_with_the_schema(tmp_path):
    _, tables = tables_of([25], [], schema_of("int"))
    write_windows(tables, "key", np.array([10, 20]), tmp_path)
    assert [file.name for file in tmp_path.iterdir() if file.stat().st_size] == ["000002"]
    missing = read_window(tmp_path, 1, schema_of("int"))
    assert missing.schema == schema_of("int")
    assert len(missing) == 0


def test_a_missing_file_is_not_an_empty_window(tmp_path):
    write_windows([], "key", np.array([10]), tmp_path)
    (tmp_path / "000001").unlink()
    with pytest.raises(FileNotFoundError, match="000001"):
        read_window(tmp_path, 1, schema_of("int"))


def test_a_window_is_read_as_one_chunk(tmp_path):
    schema = schema_of("int")
    _, tables = tables_of(range(12), [3, 3, 3], schema)
    write_windows(tables, "key", np.array([], np.int64), tmp_path)
    window = read_window(tmp_path, 0, schema)
    assert {column.num_chunks for column in window.columns} == {1}
    assert window.take([11, 0, 11])["row"].to_pylist() == [11, 0, 11]


def test_a_truncated_file_is_an_error(tmp_path):
    schema = schema_of("int")
    _, tables = tables_of(range(12), [6], schema)
    write_windows(tables, "key", np.array([], np.int64), tmp_path)
    file = tmp_path / name_window(0)
    file.write_bytes(file.read_bytes()[:-8])
    with pytest.raises((OSError, pa.ArrowInvalid)):
        read_window(tmp_path, 0, schema)


def test_names_sort_like_their_numbers():
    numbers = [0, 9, 10, 99_999, 100_000, 999_999]
    assert sorted(map(name_window, reversed(numbers))) == [name_window(number) for number in numbers]


@settings(derandomize=True, deadline=None)
@given(keys=st.lists(BLOCKS), start=st.integers(0, 3))
@example(keys=["A"], start=1)
def test_strings_become_fixed_width_bytes_in_the_same_order(keys, start):
    values = read_column(pa.table({"key": pa.array(keys, pa.string())}).slice(start), "key", np.dtype("S14"))
    assert values.dtype == np.dtype("S14")
    assert [value.decode() for value in values.tolist()] == keys[start:]
    assert [keys[start:][i] for i in np.argsort(values, kind="stable")] == sorted(keys[start:])


def test_integers_get_the_type_of_the_bounds():
    table = pa.table({"key": pa.chunked_array([[1, 2], [], [3]], pa.int32())})
    values = read_column(table, "key", np.dtype(np.int64))
    assert values.dtype == np.int64
    assert values.tolist() == [1, 2, 3]
