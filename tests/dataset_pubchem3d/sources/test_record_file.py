import json

import numpy as np
import pytest

from dataset_pubchem3d.sources import record_file
from dataset_pubchem3d.sources.record_file import RecordFile

from .lazy_shard import LazyShard

SHARD = LazyShard(range(2, 22, 2), [800, 900] * 5)  # even CIDs


def entries(cids):
    return [(int(cid), SHARD.get(cid)) for cid in cids]


def fill(file, cids):
    """Add what is missing of these CIDs, and return it."""
    missing = file.list_missing(np.array(cids, np.int64))
    if len(missing):
        file.extend(entries(missing))
    return missing.tolist()


@pytest.fixture
def file(tmp_path):
    return RecordFile(tmp_path / "shards" / "1-20.json")


def test_records_are_kept_in_order_byte_for_byte(file):
    assert fill(file, [2, 5, 6, 20]) == [2, 5, 6, 20]
    assert file.path.read_bytes() == SHARD.array([2, 6, 20])
    assert [record["cid"] for record in json.loads(file.path.read_bytes())] == [2, 6, 20]


def test_no_cid_is_missing_twice_with_or_without_a_record(file):
    fill(file, [2, 5, 6])
    before = file.path.stat().st_mtime_ns
    assert fill(file, [2, 5, 6]) == []
    assert file.path.stat().st_mtime_ns == before
    assert fill(file, [1, 2, 4, 5, 20]) == [1, 4, 20]
    assert file.path.read_bytes() == SHARD.array([2, 4, 6, 20])
    assert fill(file, range(1, 21)) == [3, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19]
    assert file.path.read_bytes() == SHARD.array(range(1, 21))
    assert {path.name for path in file.path.parent.iterdir()} == {"1-20.json", "1-20.json.cids"}


def test_cids_without_any_record_leave_an_empty_array(file):
    fill(file, [1, 3])
    assert json.loads(file.path.read_bytes()) == []
    assert fill(file, [1, 3]) == []


def test_a_deleted_file_is_filled_anew(file):
    fill(file, [2, 5, 6])
    file.path.unlink()
    assert fill(file, [2, 5]) == [2, 5]
    assert file.path.read_bytes() == SHARD.array([2])


def test_a_deleted_file_is_filled_anew_after_two_interruptions(file, monkeypatch):
    def fail():
        yield from entries([2])
        raise OSError("the server is gone")

    fill(file, [2, 4, 6])
    file.path.unlink()
    with pytest.raises(OSError, match="gone"):
        file.extend(fail())
    publish = record_file.publish

    def publish_once(written, path):
        publish(written, path)
        raise KeyboardInterrupt

    monkeypatch.setattr(record_file, "publish", publish_once)
    with pytest.raises(KeyboardInterrupt):
        file.list_missing(np.array([2, 4, 6]))
    monkeypatch.setattr(record_file, "publish", publish)
    fill(file, [2, 4, 6])
    assert file.path.read_bytes() == SHARD.array([2, 4, 6])


def test_an_interruption_loses_only_what_was_not_complete(file):
    def fail():
        yield from entries([3, 4, 8])
        raise OSError("the server is gone")

    fill(file, [2, 20])
    with pytest.raises(OSError, match="gone"):
        file.extend(fail())
    assert file.path.read_bytes() == SHARD.array([2, 20])
    assert fill(file, range(1, 11)) == [1, 5, 6, 7, 9, 10]
    assert file.path.read_bytes() == SHARD.array([2, 4, 6, 8, 10, 20])


@pytest.mark.parametrize("with_file", [False, True])
def test_a_part_that_ends_anywhere_is_completed(tmp_path, with_file):
    wanted, added = [2, 3, 4, 5, 6, 20], [3, 4, 6]
    part = tmp_path / "whole.json"
    record_file._write_array(part, [record or record_file._make_absent(cid) for cid, record in entries(added)])
    content = part.read_bytes()
    for cut in [0, 1, 2, 5, 6, 7, 30, *range(60, len(content), 350), len(content) - 2, len(content)]:
        file = RecordFile(tmp_path / str(cut) / "1-20.json")
        file.path.parent.mkdir()
        if with_file:
            fill(file, [2, 20])
        file.part.write_bytes(content[:cut])
        fill(file, wanted)
        assert file.path.read_bytes() == SHARD.array(wanted)
        assert fill(file, wanted) == []


@pytest.mark.parametrize(("step", "count"), [("publish", 0), ("publish", 1), ("unlink", 0)])
def test_a_merge_can_be_interrupted_after_any_step(file, monkeypatch, step, count):
    fill(file, [2, 20])
    owner = record_file if step == "publish" else record_file.Path
    original, calls = getattr(owner, step), []

    def interrupt(*args, **options):
        calls.append(args)
        if len(calls) > count:
            raise KeyboardInterrupt
        return original(*args, **options)

    with monkeypatch.context() as patch:
        patch.setattr(owner, step, interrupt)
        with pytest.raises(KeyboardInterrupt):
            fill(file, [4, 5])
    assert fill(file, [2, 4, 5, 6, 20]) == [6]
    assert file.path.read_bytes() == SHARD.array([2, 4, 6, 20])


def test_a_damaged_file_is_an_error_that_names_it(file):
    fill(file, [2, 4])
    file.path.write_bytes(file.path.read_bytes()[:-1])
    with pytest.raises(ValueError, match=r"1-20\.json: truncated or broken .*delete it and fetch again"):
        fill(file, [6])
