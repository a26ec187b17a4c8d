"""The search for records, on a shard of 1 GB that a server computes as it is read, and on small ones with traps."""

import json

import numpy as np
import pytest

from dataset_pubchem3d.fetch.remote_file import BLOCK, RemoteFile
from dataset_pubchem3d.sources.record_search import RecordSearch

from ..fetch.scripted_server import File
from .lazy_shard import SHORTEST, LazyShard, make_gigabyte

MEGABYTE = 10**6


@pytest.fixture(scope="module")
def gigabyte():
    return make_gigabyte()


@pytest.fixture
def search(client, server):
    """Start a search of a shard, or of the bytes of one."""

    def start(shard, first=1, last=None):
        server.files["/shard"] = File(shard)
        return RecordSearch(RemoteFile(client, server.url("/shard")), first, last or int(shard.cids[-1]))

    return start


def find_all(search, cids):
    """The records, and the bytes received for each."""
    records, received = [], [search.file.num_bytes]
    for cid in cids:
        records.append(search.find(int(cid)))
        received.append(search.file.num_bytes)
    return records, np.diff(received)


def test_the_shard_of_the_tests_is_valid():
    shard = LazyShard([3, 5, 900], [SHORTEST, 1000, 2001])
    content = shard[:]
    assert len(content) == len(shard)
    assert all(shard[a : a + 50] == content[a : a + 50] for a in range(0, len(content), 7))
    assert [(len(shard.record(i)), record["cid"]) for i, record in enumerate(json.loads(content))] == [
        *((SHORTEST, 3), (1000, 5), (2001, 900))
    ]
    assert content == shard.array(shard.cids)


def test_two_hundred_cids_of_a_gigabyte_cost_less_than_a_megabyte_each(search, gigabyte):
    assert len(gigabyte) > 10**9
    last = int(gigabyte.cids[-1])
    spread = np.linspace(1, last, 101, dtype=int)  # many are absent
    present = gigabyte.cids[np.linspace(0, len(gigabyte.cids) - 1, 100, dtype=int)]
    cids = np.union1d(spread, present)
    assert len(cids) == 200
    records, received = find_all(search(gigabyte), cids)
    assert records == [gigabyte.get(cid) for cid in cids]
    assert sum(record is None for record in records) > 50
    assert received.max() < MEGABYTE
    assert received.mean() < MEGABYTE / 4


def test_adjacent_cids_share_what_is_read(search, gigabyte):
    index = 20_000
    cids = np.arange(gigabyte.cids[index], gigabyte.cids[index + 100])
    records, received = find_all(search(gigabyte), cids)
    assert records == [gigabyte.get(cid) for cid in cids]
    span = gigabyte.offsets[index + 100] - gigabyte.offsets[index]
    assert received[1:].sum() < span + 3 * BLOCK
    records, received = find_all(search(gigabyte), cids[[0, 0, 1]])
    assert received[1] == 0


def test_the_order_of_cids_does_not_matter(search, gigabyte):
    cids = np.random.default_rng(1).choice(gigabyte.cids, 20)
    assert find_all(search(gigabyte), cids)[0] == [gigabyte.get(cid) for cid in cids]


def make_shard(cids, length=3000):
    return LazyShard(cids, np.broadcast_to(length, len(cids)))


UNEVEN = {
    "one record": make_shard([7]),
    "steps of one": make_shard(np.arange(1, 400)),
    "a dense end": make_shard([1, *range(10**9, 10**9 + 500)]),
    "a dense beginning": make_shard([*range(1, 500), 10**9]),
    "exponential": make_shard(2 ** np.arange(50)),
    "two islands": make_shard([*range(10, 200), *range(10**8, 10**8 + 200)]),
    "long records": make_shard(np.arange(2, 60, 2), 5 * BLOCK),
    "records of one block": make_shard(np.arange(2, 60, 2), BLOCK - len("\n    ,")),
    "short and long": LazyShard(np.arange(2, 200, 2), np.resize([SHORTEST] * 20 + [4 * BLOCK], 99)),
}


@pytest.mark.parametrize("name", UNEVEN)
def test_every_record_is_found_and_every_gap_is_noticed(search, name):
    shard = UNEVEN[name]
    cids = np.unique(np.concatenate([shard.cids - 1, shard.cids, shard.cids + 1]))
    cids = cids[cids > 0]
    cids = np.random.default_rng(0).choice(cids, min(len(cids), 80), replace=False)
    last = int(shard.cids[-1]) + 5
    for order in (np.sort(cids), cids):
        assert find_all(search(shard, last=last), order)[0] == [shard.get(cid) for cid in order]


def test_uneven_cids_cost_a_bounded_number_of_probes(search):
    cids = np.concatenate([[1], 10**9 + np.arange(100_000)])  # interpolation alone would take thousands
    shard = make_shard(cids, 20_000)
    searched = search(shard, last=2 * 10**9)
    assert searched.find(10**9 + 77_777) == shard.get(10**9 + 77_777)
    assert searched.file.num_requests < 50


def test_windows_line_ends_are_read(search):
    content = make_shard(np.arange(1, 9))[:].replace(b"\n", b"\r\n")
    found = search(content, last=9).find(5)
    assert json.loads(found)["cid"] == 5
    assert b"\r\n    " + found + b"," in content


def test_an_empty_shard_has_no_records(search):
    assert search(b"[]", last=9).find(5) is None
    assert search(b"[\n]", last=9).find(5) is None


SHARD = make_shard([2, 4, 6, 8])[:]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (json.dumps(json.loads(SHARD)).encode(), "does not begin with a record on lines of its own"),
        (b"<html>", "does not begin with a record"),
        (SHARD.replace(b'"cid": 4', b'"cid": 7'), "CID 6 at byte .* is out of order"),
        (SHARD.replace(b'"cid": 8', b'"cid": 18'), "CID 18 at byte .* is out of order or not in 1-9"),
        (SHARD.replace(b'{\n        "cid": 4,', b'{\n        "state": "S0",\n        "cid": 4,'), "with its CID"),
        (SHARD[: SHARD.rindex(b"\n    }")], "record at byte .* does not end"),
    ],
)
def test_another_format_is_refused(search, content, problem):
    with pytest.raises(ValueError, match=rf"/shard: not a shard that can be searched: .*{problem}.*fetch_by: shard"):
        search(content, last=9).find(8)
