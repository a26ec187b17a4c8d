"""Downloads from a server that drops connections, changes files or does not support ranges."""

import gzip
import hashlib

import numpy as np
import pytest

from dataset_pubchem3d.fetch import download
from dataset_pubchem3d.fetch.client import FetchError

HTML = {
    "status": 503,
    "body": b"<html><body>Service unavailable</body></html>",
    "headers": {"Content-Type": "text/html; charset=utf-8"},
}
MEGABYTE = np.random.default_rng(0).bytes(1_000_000)


def test_a_nonexistent_file_is_requested_once(client, server, tmp_path):
    with pytest.raises(FetchError, match="HTTP 404 Not Found, 'no such page'"):
        client.download(server.url("/file"), tmp_path / "file")
    assert len(server.requests) == 1
    assert list(tmp_path.iterdir()) == []


def test_a_download_with_drops_is_complete_and_never_restarts(new_client, server, tmp_path):
    cuts = [1, 65_536, 100_000, 333_333, 499_999]
    client = new_client(attempts=2)  # bytes arrived before each drop, so no drop is a second failure in a row
    url = server.add("/file.gz", MEGABYTE, *[{"cut_after": cut} for cut in cuts])
    client.download(url, tmp_path / "disturbed" / "file.gz")
    client.download(server.add("/calm.gz", MEGABYTE), tmp_path / "calm.gz")
    assert (tmp_path / "disturbed" / "file.gz").read_bytes() == (tmp_path / "calm.gz").read_bytes() == MEGABYTE
    assert server.ranges() == [None, *[f"bytes={offset}-" for offset in np.cumsum(cuts)], None]
    assert {request["headers"].get("If-Range") for request in server.requests[1:-1]} == {'"v1"'}
    assert {request["headers"]["Accept-Encoding"] for request in server.requests} == {"identity"}
    assert [path.name for path in (tmp_path / "disturbed").iterdir()] == ["file.gz"]


def test_an_interrupted_download_is_resumed_by_the_next_call(new_client, server, tmp_path):
    url = server.add("/file", MEGABYTE, {"cut_after": 400_000})
    with pytest.raises(FetchError, match=r"failed 1 times in a row.*downloaded data is kept"):
        new_client(attempts=1).download(url, tmp_path / "file")
    assert not (tmp_path / "file").exists()
    assert (tmp_path / "file.part").read_bytes() == MEGABYTE[:400_000]
    new_client(attempts=1).download(url, tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == MEGABYTE
    assert server.ranges() == [None, "bytes=400000-"]


def test_an_existing_file_is_not_requested(client, server, tmp_path):
    url = server.add("/file", b"bytes")
    for _ in range(2):
        client.download(url, tmp_path / "file")
        assert (tmp_path / "file").read_bytes() == b"bytes"
    assert len(server.requests) == 1


def test_without_ranges_the_download_restarts(client, server, tmp_path):
    cuts = [{"cut_after": cut} for cut in (300_000, 200_000)]
    client.download(server.add("/file", MEGABYTE, *cuts, has_ranges=False), tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == MEGABYTE
    assert server.ranges() == [None, "bytes=300000-", "bytes=200000-"]


def test_lost_bytes_do_not_count_as_progress(new_client, server, tmp_path):
    cuts = [{"cut_after": cut} for cut in (300_000, 200_000) * 5]
    with pytest.raises(FetchError, match="failed 3 times"):
        new_client(attempts=3).download(server.add("/file", MEGABYTE, *cuts, has_ranges=False), tmp_path / "file")
    assert len(server.requests) == 3


@pytest.mark.parametrize("heeds_if_range", [True, False])
def test_two_versions_of_a_file_are_never_spliced(client, server, tmp_path, heeds_if_range):
    new = MEGABYTE[::-1]

    def change(server):
        server.add("/file", new, etag='"v2"', heeds_if_range=heeds_if_range)

    url = server.add("/file", MEGABYTE, {"cut_after": 500_000}, {"before": change})
    client.download(url, tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == new
    assert server.ranges() == [None, "bytes=500000-"] + ([] if heeds_if_range else [None])


@pytest.mark.parametrize(
    ("etag", "headers", "validator"),
    [
        ('W/"v1"', {"Last-Modified": "Tue, 01 Jul 2025 00:00:00 GMT"}, "Tue, 01 Jul 2025 00:00:00 GMT"),
        ('W/"v1"', {}, None),
        (None, {}, None),
    ],
)
def test_only_a_part_with_a_known_version_is_resumed(client, server, tmp_path, etag, headers, validator):
    url = server.add("/file", MEGABYTE, {"cut_after": 500_000}, etag=etag, headers=headers)
    client.download(url, tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == MEGABYTE
    assert server.requests[1]["headers"].get("If-Range") == validator
    assert server.ranges()[1] == ("bytes=500000-" if validator else None)


def leave_part(path, content, version='"v1"'):
    path.with_name(path.name + ".part").write_bytes(content)
    path.with_name(path.name + ".part.version").write_text(version)


@pytest.mark.parametrize("content_type", ["application/gzip", "text/html"])  # nginx sends an HTML page with status 416
def test_a_part_that_is_already_complete_is_accepted(client, server, tmp_path, content_type):
    leave_part(tmp_path / "file", MEGABYTE)
    headers = {"Content-Range": "bytes */1000000", "Content-Type": content_type}
    client.download(
        server.add("/file", MEGABYTE, {"status": 416, "body": HTML["body"], "headers": headers}), tmp_path / "file"
    )
    assert (tmp_path / "file").read_bytes() == MEGABYTE
    assert server.ranges() == ["bytes=1000000-"]
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_part_that_is_too_long_is_replaced(client, server, tmp_path):
    leave_part(tmp_path / "file", MEGABYTE + b"more")
    client.download(server.add("/file", MEGABYTE), tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == MEGABYTE
    assert server.ranges() == ["bytes=1000004-", None]


@pytest.mark.parametrize("content_range", ["bytes 7-999999/1000000", "bytes 500000-999999/*", "pages 1-2/3", None])
def test_a_range_that_does_not_continue_the_part_restarts_the_download(client, server, tmp_path, content_range):
    leave_part(tmp_path / "file", MEGABYTE[:500_000])
    wrong = {"status": 206, "body": MEGABYTE[7:], "headers": {"Content-Range": content_range, "ETag": '"v1"'}}
    client.download(server.add("/file", MEGABYTE, wrong), tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == MEGABYTE
    assert server.ranges() == ["bytes=500000-", None]


def test_a_range_that_ends_early_is_resumed(client, server, tmp_path):
    leave_part(tmp_path / "file", MEGABYTE[:500_000])
    some = {
        "status": 206,
        "body": MEGABYTE[500_000:700_000],
        "headers": {"Content-Range": "bytes 500000-699999/1000000"},
    }
    client.download(server.add("/file", MEGABYTE, some), tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == MEGABYTE
    assert server.ranges() == ["bytes=500000-", "bytes=700000-"]


def test_a_content_length_that_is_too_long_is_noticed(new_client, server, tmp_path):
    client, length = new_client(attempts=3), {"Content-Length": "1000010"}
    client.download(server.add("/once", MEGABYTE, {"headers": length}), tmp_path / "once")
    assert (tmp_path / "once").read_bytes() == MEGABYTE
    url = server.add("/always", MEGABYTE, headers=length, has_ranges=False)
    server.requests.clear()
    with pytest.raises(FetchError, match="failed 3 times"):
        client.download(url, tmp_path / "always")
    assert not (tmp_path / "always").exists()
    assert len(server.requests) == 3


@pytest.mark.parametrize("body", [b"", b"bytes"])
def test_files_without_a_length_or_without_bytes_are_written(client, server, tmp_path, body):
    client.download(server.add("/file", body), tmp_path / "file")
    client.download(server.add("/endless", body, headers={"Content-Length": None}), tmp_path / "endless")
    assert (tmp_path / "file").read_bytes() == (tmp_path / "endless").read_bytes() == body


def test_an_html_page_is_not_mistaken_for_the_file(client, server, tmp_path):
    client.download(server.add("/file", MEGABYTE, HTML | {"status": 200}, HTML), tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == MEGABYTE


def test_a_gzip_file_stays_compressed_even_with_a_content_encoding(client, server, tmp_path):
    body = gzip.compress(b"1\tCC\n", mtime=0)
    client.download(server.add("/CID-SMILES.gz", body, headers={"Content-Encoding": "gzip"}), tmp_path / "smiles.gz")
    assert (tmp_path / "smiles.gz").read_bytes() == body


def test_a_wrong_digest_deletes_the_part_and_is_an_error(client, server, tmp_path):
    path, url, right = tmp_path / "file", server.add("/file", MEGABYTE), hashlib.md5(MEGABYTE).hexdigest()
    wrong = hashlib.md5(b"other").hexdigest()
    with pytest.raises(FetchError, match=f"{path}.* has MD5 {right} instead of {wrong}; delete the file"):
        client.download(url, path, md5=wrong)
    assert list(tmp_path.iterdir()) == []
    client.download(url, path, md5=right.upper())
    assert path.read_bytes() == MEGABYTE
    with pytest.raises(FetchError, match=f"{path} has MD5 {right} instead of {wrong}; delete the file"):
        client.download(url, path, md5=wrong)
    assert path.read_bytes() == MEGABYTE
    assert len(server.requests) == 2


def test_the_progress_bar_counts_the_bytes_of_the_whole_file(client, server, tmp_path, monkeypatch):
    bars = []

    class Bar(download.tqdm):
        def __init__(self, **options):
            super().__init__(**options | {"disable": False, "file": (tmp_path / "bar").open("w")})
            bars.append(self)

        def close(self):
            super().close()
            self.fp.close()

    monkeypatch.setattr(download, "tqdm", Bar)
    client.download(server.add("/file", MEGABYTE, {"cut_after": 250_000}), tmp_path / "file.sdf.gz")
    assert [(bar.initial, bar.n) for bar in bars] == [(0, 250_000), (250_000, 1_000_000)]
    assert {bar.total for bar in bars} == {1_000_000}
    assert {(bar.desc, bar.unit) for bar in bars} == {("file.sdf.gz", "B")}
