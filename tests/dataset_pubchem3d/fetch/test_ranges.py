"""Requests for ranges of bytes, against a server whose answers are disturbed by a script."""

import numpy as np
import pytest

from dataset_pubchem3d.fetch.client import FetchError

CONTENT = np.random.default_rng(0).bytes(100_000)


@pytest.mark.parametrize(("start", "stop"), [(0, 1), (0, 100_000), (500, 700), (99_999, 200_000)])
def test_a_range_has_the_bytes_of_the_file(client, server, start, stop):
    url = server.add("/file", CONTENT)
    found = client.get_range(url, start, stop)
    assert found == (CONTENT[start:stop], len(CONTENT), '"v1"', url)
    assert server.ranges() == [f"bytes={start}-{stop - 1}"]


def test_disturbances_do_not_change_a_range(client, server):
    wrong = {"Content-Range": "bytes 0-199/100000"}
    disturbances = [
        {"status": 503},
        {"cut_after": 50},
        {"is_mute": True},
        {"status": 206, "body": CONTENT[:200], "headers": wrong},  # another range than asked
        {"headers": {"Content-Range": "bytes 500-"}},
        {"status": 206, "body": CONTENT[500:600], "headers": {"Content-Range": "bytes 500-699/100000"}},
    ]
    url = server.add("/file", CONTENT, *disturbances)
    assert client.get_range(url, 500, 700).body == CONTENT[500:700]
    assert len(server.requests) == len(disturbances) + 1


def test_a_server_that_ignores_ranges_is_an_error_and_not_a_download(client, server):
    url = server.add("/file", CONTENT, has_ranges=False)
    with pytest.raises(FetchError, match=r"/file: the server ignores Range .*; download it whole"):
        client.get_range(url, 500, 700)
    assert len(server.requests) == 1


def test_a_refused_range_is_an_error(client, server):
    with pytest.raises(FetchError, match="HTTP 416"):
        client.get_range(server.add("/file", CONTENT), 100_000, 100_001)
    with pytest.raises(FetchError, match="HTTP 404"):
        client.get_range(server.url("/other"), 0, 1)
