import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import Features, List, Value, load_dataset
from hypothesis import given, settings
from hypothesis import strategies as st

from dataset_pubchem3d.publication import shards
from dataset_pubchem3d.publication.shards import ShardWriter

NUMBERS = Features({"number": Value("int64")})
MOLECULES = Features(
    {
        "name": Value("string"),
        "atomic_numbers": List(Value("uint8")),
        "positions": List(List(Value("float32"), length=3)),
    }
)
ROW = {"name": "water", "atomic_numbers": [8, 1, 1], "positions": [[0, 0, 0.125], [0, 0.75, -0.5], [0, -0.75, -0.5]]}


@pytest.fixture
def ten_rows(monkeypatch):
    """Make row groups of ten rows."""
    monkeypatch.setattr(shards, "ROW_GROUP", 10)


def numbers(start, end):
    return pa.table({"number": pa.array(range(start, end), pa.int64())})


def write_numbers(folder, sizes, splits=("train",)):
    """Write ascending numbers to the first split, in tables of these sizes."""
    writer = ShardWriter(folder, {"default": splits}, {"default": NUMBERS})
    for start, size in zip(np.cumsum([0, *sizes]), sizes):
        writer.write("default", splits[0], numbers(start, start + size))
    return writer.close().get("default", {})


def files_below(folder):
    return sorted(str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file())


def row_groups(file):
    with pq.ParquetFile(file) as opened:
        return [opened.metadata.row_group(index).num_rows for index in range(opened.metadata.num_row_groups)]


def read(folder):
    """All numbers, file by file in name order."""
    return [n for file in sorted(folder.rglob("*.parquet")) for n in pq.ParquetFile(file).read()["number"].to_pylist()]


def test_every_split_with_rows_of_every_config_has_its_file(tmp_path):
    splits = {"default": ("train", "test"), "pretrain": ("train",), "captioning": ("train", "test")}
    writer = ShardWriter(tmp_path / "data", splits, dict.fromkeys(splits, NUMBERS))
    writer.write("default", "test", numbers(0, 3))
    writer.write("pretrain", "train", numbers(3, 5))
    writer.write("captioning", "test", numbers(0, 0))
    infos = writer.close()
    assert files_below(tmp_path) == [
        "data/default/test-00000-of-00001.parquet",
        "data/pretrain/train-00000-of-00001.parquet",
    ]
    assert read(tmp_path / "data" / "default") == [0, 1, 2]
    assert read(tmp_path / "data" / "pretrain") == [3, 4]
    found = {config: [(name, info.num_examples) for name, info in split.items()] for config, split in infos.items()}
    assert found == {"default": [("test", 3)], "pretrain": [("train", 2)]}


def test_an_unknown_split_or_config_cannot_be_written(tmp_path):
    writer = ShardWriter(tmp_path, {"default": ("train",)}, {"default": NUMBERS})
    with pytest.raises(KeyError, match="test"):
        writer.write("default", "test", numbers(0, 1))


def test_row_groups_are_of_a_thousand_rows_or_more_except_the_last(tmp_path):
    sizes = [400, 700, 1, 999, 2500, 30]
    write_numbers(tmp_path, sizes)
    (file,) = tmp_path.rglob("*.parquet")
    assert row_groups(file) == [1100, 1000, 2500, 30]
    assert read(tmp_path) == list(range(sum(sizes)))


@settings(derandomize=True, deadline=None, max_examples=40)
@given(sizes=st.lists(st.integers(0, 25), max_size=12), shard_rows=st.integers(1, 60))
def test_no_row_is_lost_and_only_the_last_row_group_is_small(tmp_path_factory, sizes, shard_rows):
    folder = tmp_path_factory.mktemp("shards")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shards, "ROW_GROUP", 10)
        patch.setattr(shards, "SHARD_BYTES", 8 * shard_rows)
        infos = write_numbers(folder, sizes)
    files = sorted(folder.rglob("*.parquet"))
    assert [file.name for file in files] == [f"train-{i:05d}-of-{len(files):05d}.parquet" for i in range(len(files))]
    assert read(folder) == list(range(sum(sizes)))
    groups = [row_groups(file) for file in files]
    sizes_of_groups = [size for group in groups for size in group]
    assert all(10 <= size < 10 + 25 for size in sizes_of_groups[:-1])
    assert all(size > 0 for size in sizes_of_groups)
    assert all(sum(group) >= shard_rows for group in groups[:-1])
    assert all(sum(group[:-1]) < shard_rows for group in groups)  # otherwise the file would have ended earlier
    found = {name: (info.num_examples, info.num_bytes) for name, info in infos.items()}
    assert found == ({"train": (sum(sizes), 8 * sum(sizes))} if sum(sizes) else {})


@pytest.mark.usefixtures("ten_rows")
def test_a_file_ends_when_it_is_large_enough(tmp_path, monkeypatch):
    monkeypatch.setattr(shards, "SHARD_BYTES", 8 * 20)
    write_numbers(tmp_path, [10] * 5)
    files = sorted((tmp_path / "default").iterdir())
    assert {file.name: row_groups(file) for file in files} == {
        "train-00000-of-00003.parquet": [10, 10],
        "train-00001-of-00003.parquet": [10, 10],
        "train-00002-of-00003.parquet": [10],
    }


@pytest.mark.usefixtures("ten_rows")
@pytest.mark.parametrize(("shard_rows", "expected"), [(10, [[10]]), (1000, [[10]])])
def test_empty_tables_add_neither_row_groups_nor_files(tmp_path, monkeypatch, shard_rows, expected):
    monkeypatch.setattr(shards, "SHARD_BYTES", 8 * shard_rows)
    write_numbers(tmp_path, [0, 10, 0, 0])
    assert [row_groups(file) for file in tmp_path.rglob("*.parquet")] == expected


def test_sizes_are_those_that_datasets_finds(tmp_path):
    writer = ShardWriter(tmp_path / "data", {"default": ("train",)}, {"default": MOLECULES})
    table = pa.Table.from_pylist([{**ROW, "name": "x" * n} for n in range(100)], MOLECULES.arrow_schema)
    writer.write("default", "train", table.slice(10, 20))
    writer.write("default", "train", table.slice(90))
    info = writer.close()["default"]["train"]
    found = load_dataset(str(tmp_path / "data" / "default"), split="train", cache_dir=str(tmp_path / "cache"))
    assert info.num_examples == len(found) == 30
    assert info.num_bytes == pytest.approx(found.info.splits["train"].num_bytes, rel=0.05)  # except for null bitmaps


@pytest.mark.parametrize("streaming", [False, True])
def test_a_config_can_be_loaded_although_one_of_its_splits_has_no_rows(tmp_path, streaming):
    writer = ShardWriter(tmp_path / "data", {"default": ("train", "test")}, {"default": MOLECULES})
    writer.write("default", "train", pa.Table.from_pylist([ROW], MOLECULES.arrow_schema))
    writer.write("default", "test", MOLECULES.arrow_schema.empty_table())
    assert list(writer.close()["default"]) == ["train"]
    folder, cache = str(tmp_path / "data" / "default"), str(tmp_path / "cache")
    found = load_dataset(folder, cache_dir=cache, streaming=streaming)
    assert list(found) == ["train"]
    assert list(found["train"]) == [ROW]
    assert found["train"].features == MOLECULES


def test_columns_are_reordered_and_other_columns_dropped(tmp_path):
    writer = ShardWriter(tmp_path, {"default": ("train",)}, {"default": MOLECULES})
    table = pa.Table.from_pylist([ROW], MOLECULES.arrow_schema).select(["positions", "name", "atomic_numbers"])
    writer.write("default", "train", table.append_column("place", pa.array([7])))
    writer.close()
    (file,) = tmp_path.rglob("*.parquet")
    found = pq.ParquetFile(file).read()
    assert found.column_names == list(MOLECULES)
    assert found.to_pylist() == [ROW]
    assert Features.from_arrow_schema(found.schema) == MOLECULES


def test_types_become_those_of_the_config(tmp_path):
    writer = ShardWriter(tmp_path, {"default": ("train",)}, {"default": NUMBERS})
    writer.write("default", "train", pa.table({"number": pa.array([1, 2], pa.int32())}))
    writer.write("default", "train", pa.table({"number": pa.chunked_array([[3], [None]], pa.int64())}))
    writer.close()
    assert read(tmp_path) == [1, 2, 3, None]


def test_a_missing_column_is_named(tmp_path):
    writer = ShardWriter(tmp_path, {"default": ("train",)}, {"default": MOLECULES})
    with pytest.raises(KeyError, match="positions"):
        writer.write("default", "train", pa.table({"name": ["water"], "atomic_numbers": [[8]]}))


@pytest.mark.usefixtures("ten_rows")
def test_the_bytes_depend_on_the_rows_and_not_on_their_memory_layout(tmp_path):
    schema = MOLECULES.arrow_schema
    rows = pa.Table.from_pylist([{**ROW, "name": f"molecule {n}"} for n in range(40)], schema)
    copy = pa.Table.from_pylist(rows.to_pylist(), schema)
    chunked = pa.concat_tables([rows.slice(i, 5) for i in range(0, 40, 5)])
    written = set()
    for index, table in enumerate((rows, copy, chunked)):
        writer = ShardWriter(tmp_path / str(index), {"default": ("train",)}, {"default": MOLECULES})
        for start in range(0, 40, 8):
            writer.write("default", "train", table.slice(start, 8))
        writer.close()
        (file,) = (tmp_path / str(index)).rglob("*.parquet")
        written.add(file.read_bytes())
    assert len(written) == 1
