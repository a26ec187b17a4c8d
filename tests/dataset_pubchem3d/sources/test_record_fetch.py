"""Fetching the records of a shard: by searches or whole, resumed, and against a server that fails."""

import logging

import numpy as np
import pytest

from dataset_pubchem3d.fetch.client import FetchError
from dataset_pubchem3d.sources import record_fetch
from dataset_pubchem3d.sources.record_fetch import fetch_records

from ..fetch.scripted_server import File
from .lazy_shard import LazyShard

COUNT = 400
SHARD = LazyShard(np.arange(1, COUNT + 1) * 10, np.resize([20_000, 30_000, 25_000], COUNT))  # 10 MB
BOUNDS = (1, 10 * COUNT)
FEW = [5, 10, 1000, 1010, 1015, 2000, 3330, 3999, 4000]  # CIDs
MANY = range(10, 4000, 30)


@pytest.fixture
def fetch(client, server, tmp_path):
    """Fetch records of the shard, and return the bytes of the file and the ranges that were requested."""
    server.files["/shard"] = File(SHARD)

    def run(cids, client=client, name="1-4000.json"):
        server.requests.clear()
        path = tmp_path / name
        fetch_records(client, server.url("/shard"), path, np.array(cids), BOUNDS)
        return path.read_bytes(), server.ranges()

    return run


def test_few_records_are_searched(fetch, caplog):
    caplog.set_level(logging.INFO)
    content, ranges = fetch(FEW)
    assert content == SHARD.array(FEW)
    assert all(wanted.startswith("bytes=") for wanted in ranges)
    assert f"9 CIDs, {caplog.records[-1].args[2]} bytes in {len(ranges)} requests" in caplog.text
    assert caplog.records[-1].args[2] < len(SHARD) / 5


def test_a_whole_shard_is_downloaded_where_searches_cost_more(fetch, caplog, tmp_path):
    caplog.set_level(logging.INFO)
    content, ranges = fetch(MANY)
    assert content == SHARD.array(MANY)
    assert ranges[1:] == [None]
    assert f"133 CIDs; searching them costs more than all {len(SHARD)} bytes" in caplog.text
    assert {path.name for path in tmp_path.iterdir()} == {"1-4000.json", "1-4000.json.cids"}
    assert fetch(MANY) == (content, [])


def test_many_cids_near_each_other_are_searched(fetch):
    cids = range(1000, 1800)  # a fifth of the shard
    content, ranges = fetch(cids)
    assert content == SHARD.array(cids)
    assert None not in ranges


def test_no_cid_is_looked_up_twice(fetch):
    fetch(FEW)
    assert fetch(FEW) == (SHARD.array(FEW), [])
    content, ranges = fetch([*FEW, 2005])
    assert content == SHARD.array(FEW)
    assert len(ranges) > 0
    assert fetch([2005])[1] == []


@pytest.mark.parametrize("share", [0, 0.1, 0.3, 0.5, 0.7, 0.9, 0.99])
def test_a_fetch_that_failed_resumes(fetch, server, new_client, share):
    undisturbed = len(fetch(FEW, name="undisturbed.json")[1])
    server.disturb("/shard", *[{}] * int(share * undisturbed), {"status": 503})
    with pytest.raises(FetchError, match="failed 1 times"):
        fetch(FEW, new_client(attempts=1))
    content, ranges = fetch(FEW)
    assert content == SHARD.array(FEW)
    assert len(ranges) < (1 - share) * undisturbed + 7  # and not the records before the failure


def test_disturbances_do_not_change_the_records(fetch, server):
    server.disturb("/shard", {"status": 503}, {}, {"cut_after": 999}, {"status": 500}, {}, {"is_mute": True})
    assert fetch(FEW)[0] == SHARD.array(FEW)


@pytest.mark.parametrize("after", ["download", "selection"])
def test_a_whole_download_resumes(fetch, monkeypatch, after):
    def stop(*args):
        raise KeyboardInterrupt

    def stop_after_some(whole, cids, select=record_fetch._select):
        for entry, _ in zip(select(whole, cids), range(50)):
            yield entry
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(record_fetch, "_select", stop if after == "download" else stop_after_some)
        with pytest.raises(KeyboardInterrupt):
            fetch(MANY)
    content, ranges = fetch(MANY)
    assert content == SHARD.array(MANY)
    assert None not in ranges  # not downloaded again


def test_a_replaced_shard_is_an_error(fetch, server):
    server.disturb("/shard", {}, {}, {"before": lambda server: setattr(server.files["/shard"], "etag", '"v2"')})
    with pytest.raises(FetchError, match="/shard: the file was replaced while it was read"):
        fetch(FEW)


def test_a_server_without_ranges_is_an_error(fetch, server):
    server.files["/shard"].has_ranges = False
    with pytest.raises(FetchError, match="/shard: the server ignores Range"):
        fetch(FEW)


def test_a_whole_shard_out_of_order_is_refused(tmp_path):
    content = LazyShard([10, 30, 20], [800, 800, 800])[:]
    (tmp_path / "whole").write_bytes(content)
    with pytest.raises(ValueError, match=r"whole: .*CIDs do not ascend after CID 30.*delete it"):
        list(record_fetch._select(tmp_path / "whole", np.array([10, 20, 30])))
    (tmp_path / "whole").write_bytes(LazyShard([10, 20], [800, 800])[:-1])
    with pytest.raises(ValueError, match="whole: truncated or broken"):
        list(record_fetch._select(tmp_path / "whole", np.array([10, 20, 30])))
