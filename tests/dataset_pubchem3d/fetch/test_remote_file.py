import numpy as np
import pytest

from dataset_pubchem3d.fetch import remote_file
from dataset_pubchem3d.fetch.client import FetchError
from dataset_pubchem3d.fetch.remote_file import RemoteFile

CONTENT = np.random.default_rng(0).bytes(1005)


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(remote_file, "BLOCK", 10)
    monkeypatch.setattr(remote_file, "KEPT_BLOCKS", 4)


def test_any_part_has_the_bytes_of_the_file(client, server):
    file, random = RemoteFile(client, server.add("/file", CONTENT)), np.random.default_rng(0)
    assert file.size == 1005
    for start, stop in np.sort(random.integers(0, 1100, (100, 2))):
        assert file.read(start, stop) == CONTENT[start:stop]
    assert file.num_requests == len(server.requests)


def test_blocks_are_requested_once_while_they_are_kept(client, server):
    file = RemoteFile(client, server.add("/file", CONTENT))
    file.read(5, 25)
    file.read(0, 30)
    file.read(20, 45)
    assert server.ranges() == ["bytes=0-9", "bytes=10-29", "bytes=30-49"]
    assert (file.num_requests, file.num_bytes) == (3, 50)
    file.read(0, 10)  # was dropped
    assert server.ranges()[3:] == ["bytes=0-9"]


@pytest.mark.parametrize("change", [{"etag": '"v2"'}, {"body": CONTENT + b"x"}])
def test_a_file_that_is_replaced_while_it_is_read_is_an_error(client, server, change):
    file = RemoteFile(client, server.add("/file", CONTENT))
    file.read(0, 10)
    for name, value in change.items():
        setattr(server.files["/file"], name, value)
    assert file.read(0, 10) == CONTENT[:10]
    with pytest.raises(FetchError, match=r"/file: the file was replaced while it was read .*fetch it again"):
        file.read(10, 20)


def test_the_target_of_a_redirection_is_used_until_it_expires(client, server):
    to = [{"status": 302, "headers": {"Location": server.url(path)}} for path in ("/first", "/second")]
    file = RemoteFile(client, server.add("/file", b"", *to))
    server.add("/first", CONTENT, {}, {}, {"status": 403})
    server.add("/second", CONTENT)
    assert [file.read(start, start + 10) for start in (0, 10, 20, 30)] == [CONTENT[i : i + 10] for i in (0, 10, 20, 30)]
    paths = [request["path"] for request in server.requests]
    assert paths == ["/file", "/first", "/first", "/first", "/file", "/second", "/second"]


def test_a_missing_file_is_an_error(client, server):
    with pytest.raises(FetchError, match="HTTP 404"):
        RemoteFile(client, server.url("/file")).read(0, 10)
    assert len(server.requests) == 1
