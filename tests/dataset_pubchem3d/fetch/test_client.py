"""The client against an HTTP server on the loopback interface whose answers are disturbed by a script."""

import gzip
import time
from urllib.parse import parse_qs

import numpy as np
import pytest

from dataset_pubchem3d.fetch.client import Client, FetchError, cache_json

BUSY = {"status": 503, "body": {"Fault": {"Code": "PUGVIEW.ServerBusy", "Message": "Request refused, server too busy"}}}
HTML = {
    "status": 503,
    "body": b"<html><body>Service unavailable</body></html>",
    "headers": {"Content-Type": "text/html; charset=utf-8"},
}
THROTTLING = "Request Count status: {} (1%), Request Time status: {} (2%), Service status: {} (3%)"
MEGABYTE = np.random.default_rng(0).bytes(1_000_000)


# Pages of JSON


def annotation_page(number):
    text = f"β-examplamine {number} is 2′-deoxy. " * 200
    return {"Annotations": {"Annotation": [{"ANID": number, "String": text}], "Page": number, "TotalPages": 3}}


def fetch_pages(client, server, folder):
    """Fetch page after page until `TotalPages`, as a source does."""
    number = total = 1
    while number <= total:
        path = folder / f"{number:04d}.json.gz"
        page = cache_json(path, lambda n=number: client.get_json(server.url(f"/page/{n}")))
        number, total = number + 1, page["Annotations"]["TotalPages"]
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_disturbances_do_not_change_the_bytes_of_pages(client, server, tmp_path):
    for number in (1, 2, 3):
        server.add(f"/page/{number}", annotation_page(number))
    calm = fetch_pages(client, server, tmp_path / "calm")
    assert [request["path"] for request in server.requests] == ["/page/1", "/page/2", "/page/3"]
    server.requests.clear()
    whole = server.files["/page/2"].body
    script = {
        1: [HTML, {"status": 429, "body": b"slow down", "headers": {"Retry-After": "7"}}, BUSY, {"is_mute": True}],
        2: [
            {"cut_after": 1000},
            {"body": whole[:1000]},
            BUSY | {"status": 200},
            BUSY | {"status": 404},
            {"status": 502},
        ],
        3: [HTML | {"status": 200}, {"status": 504}, {"status": 500}, {"body": b"[]"}, {"cut_after": 0}],
    }
    for number, disturbances in script.items():
        server.disturb(f"/page/{number}", *disturbances)
    assert fetch_pages(client, server, tmp_path / "disturbed") == calm
    assert list(calm) == ["0001.json.gz", "0002.json.gz", "0003.json.gz"]
    assert len(server.requests) == 3 + sum(map(len, script.values()))
    assert {request["path"] for request in server.requests} == {"/page/1", "/page/2", "/page/3"}


def test_an_interrupted_fetch_requests_only_the_missing_pages(client, new_client, server, tmp_path):
    for number in (1, 2, 3):
        server.add(f"/page/{number}", annotation_page(number))
    server.disturb("/page/3", BUSY)
    with pytest.raises(FetchError, match="failed 1 times"):
        fetch_pages(new_client(attempts=1), server, tmp_path)
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["0001.json.gz", "0002.json.gz"]
    server.requests.clear()
    assert len(fetch_pages(client, server, tmp_path)) == 3
    assert [request["path"] for request in server.requests] == ["/page/3"]


def test_a_form_is_posted_and_posted_again(client, server):
    url = server.add("/property", {"PropertyTable": 1}, BUSY)
    assert client.get_json(url, {"cid": "1,2,3"}) == {"PropertyTable": 1}
    assert [request["method"] for request in server.requests] == ["POST", "POST"]
    assert [parse_qs(request["data"].decode()) for request in server.requests] == [{"cid": ["1,2,3"]}] * 2


def test_the_user_agent_names_geomclip(client, server):
    client.get_json(server.add("/page", {"a": 1}))
    assert "geomclip" in server.requests[0]["headers"]["User-Agent"]


@pytest.mark.parametrize("body", [b"oops", HTML["body"], {"Fault": {"Code": "PUGVIEW.ServerError"}}])
def test_a_persistent_internal_error_is_tried_three_times(client, server, body):
    url = server.add("/page", {}, *[{"status": 500, "body": body}] * 9)
    with pytest.raises(FetchError, match=f"{url}: failed 3 times.* HTTP 500 Internal Server Error") as caught:
        client.get_json(url)
    assert caught.value.status == 500
    assert len(server.requests) == 3


def test_a_stalled_request_is_repeated(new_client, server, tmp_path):
    client = new_client(timeout=0.15)
    assert client.get_json(server.add("/page", {"a": 1}, {"stall": 0.4})) == {"a": 1}
    client.download(server.add("/file", b"bytes", {"stall": 0.4}), tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == b"bytes"
    assert len(server.requests) == 4


@pytest.mark.parametrize("options", [{"requests_per_second": 0}, {"attempts": 0}])
def test_settings_must_be_positive(options):
    with pytest.raises(ValueError, match="must be positive"):
        Client(**options)


# Rate and waits


def test_requests_of_all_kinds_keep_the_rate(client, server, tmp_path):
    for i in range(3):
        client.get_json(server.add(f"/page/{i}", {}))
        client.get_json(server.url(f"/page/{i}"), {"cid": "1"})
        client.download(server.add(f"/file/{i}", b"bytes"), tmp_path / f"{i}")
    assert server.gaps() == pytest.approx([0.2] * 8, abs=1e-9)


def test_the_rate_holds_during_retries_and_redirects(new_client, server, tmp_path):
    client = new_client(requests_per_second=0.01)
    server.add("/page", {"a": 1}, BUSY, {"is_mute": True}, {"cut_after": 2})
    moved = {"status": 302, "headers": {"Location": "/page"}}
    assert client.get_json(server.add("/old", {}, *[moved] * 4)) == {"a": 1}
    client.download(server.add("/file", MEGABYTE, {"cut_after": 10}), tmp_path / "file")
    assert server.gaps() == pytest.approx([100.0] * 9)
    assert [request["path"] for request in server.requests] == ["/old", "/page"] * 4 + ["/file"] * 2


def test_the_rate_holds_in_real_time(new_client, server, tmp_path):
    server.clock = time.monotonic
    started = time.monotonic()
    client = new_client(requests_per_second=50, clock=time.monotonic, sleep=time.sleep)
    for i in range(5):
        client.get_json(server.add(f"/page/{i}", {}))
        client.download(server.add(f"/file/{i}", b"bytes"), tmp_path / f"{i}")
    arrivals = np.array([request["time"] for request in server.requests])
    assert len(arrivals) == 10
    assert (arrivals - started >= np.arange(10) / 50).all()


@pytest.mark.parametrize(
    ("states", "gap"),
    [
        (("Green", "Green", "Green"), 0.2),
        (("Green", "Green", "Yellow"), 1.0),
        (("Yellow", "Red", "Green"), 5.0),
        (("Black", "Red", "Yellow"), 60.0),
    ],
)
def test_the_worst_of_the_three_throttling_states_applies(client, server, states, gap):
    url = server.add("/page", {}, {"headers": {"X-Throttling-Control": THROTTLING.format(*states)}})
    for _ in range(3):
        client.get_json(url)
    assert server.gaps() == pytest.approx([gap, 0.2])


def test_throttling_is_respected_after_failures(client, server):
    url = server.add(
        "/page", {}, BUSY | {"headers": {"X-Throttling-Control": THROTTLING.format("Black", "Green", "Green")}}
    )
    client.get_json(url)
    assert server.gaps() == pytest.approx([60.0])


def test_waits_double_up_to_a_bound_and_are_jittered(new_client, server):
    url = server.add("/page", {}, *[BUSY] * 9)
    new_client(attempts=10).get_json(url)
    assert server.gaps() == pytest.approx([1, 2, 4, 8, 16, 32, 64, 120, 120])
    server.requests.clear()
    server.disturb("/page", *[BUSY] * 3)
    jitters = iter([0.5, 0.0, 0.25])
    new_client(jitter=lambda: next(jitters)).get_json(url)
    assert server.gaps() == pytest.approx([1.5, 2, 5])


def test_waits_are_logged_with_their_reason(client, server, caplog):
    url = server.add("/page", {}, BUSY)
    client.get_json(url)
    assert url in caplog.text
    assert "server too busy" in caplog.text
    assert "next attempt in 1.0 s" in caplog.text


# The cache of pages


def test_a_page_is_fetched_once_and_written_as_the_same_utf8_gzip_bytes(tmp_path):
    page = {"b": "β-carotene", "a": [1.5, None, "\ud800"]}
    assert cache_json(tmp_path / "new" / "1.json.gz", lambda: page) == page
    assert cache_json(tmp_path / "new" / "1.json.gz", lambda: pytest.fail("fetched again")) == page
    assert cache_json(tmp_path / "2.json.gz", lambda: page) == page
    written = (tmp_path / "new" / "1.json.gz").read_bytes()
    assert written == (tmp_path / "2.json.gz").read_bytes()
    assert written[4:8] == bytes(4)  # RFC 1952: modification time
    assert "β-carotene".encode() in gzip.decompress(written)


def test_a_failed_fetch_leaves_no_page(tmp_path):
    def fail():
        raise FetchError("http://example.org", "no")

    with pytest.raises(FetchError):
        cache_json(tmp_path / "1.json.gz", fail)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "content",
    [
        b"",
        gzip.compress(b'{"a": 1}', mtime=0)[:-9],
        b'{"a": 1}',
        gzip.compress(b'{"a": ', mtime=0),
        gzip.compress(b"\xff{}", mtime=0),
    ],
)
def test_a_damaged_page_is_an_error_that_names_it(tmp_path, content):
    path = tmp_path / "1.json.gz"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=f"{path} is damaged .*delete it"):
        cache_json(path, lambda: {"a": 1})
    assert path.read_bytes() == content
