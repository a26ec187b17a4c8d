"""The client against a real HTTP server on loopback, whose answers are disturbed by a script."""

import gzip
import hashlib
import json
import threading
import time
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs

import numpy as np
import pytest

from dataset_pubchem3d import fetch
from dataset_pubchem3d.fetch import Client, FetchError, cached_json

BUSY = {"Fault": {"Code": "PUGVIEW.ServerBusy", "Message": "Too many requests or server too busy"}}
HTML = b"<html><body>Service unavailable</body></html>"
THROTTLING = "Request Count status: {} (1%), Request Time status: {} (2%), Service status: {} (3%)"
MEGABYTE = np.random.default_rng(0).bytes(1_000_000)


@dataclass
class File:
    """What the server has at a path."""

    body: bytes
    etag: str | None = '"v1"'
    headers: dict = field(default_factory=dict)
    has_ranges: bool = True
    heeds_if_range: bool = True


@dataclass
class Disturbance:
    """How one answer differs from the undisturbed one. `cut_after`: bytes of the body before the connection drops."""

    status: int | None = None
    body: bytes | None = None
    headers: dict = field(default_factory=dict)
    cut_after: int | None = None
    stall: float = 0.0
    is_mute: bool = False
    before: object = None  # called first, with the server


class ScriptedServer(ThreadingHTTPServer):
    """Serves `files` by path; the first requests to a path meet its `script`, one entry each. Keeps all `requests`."""

    daemon_threads = True

    def __init__(self, clock):
        super().__init__(("127.0.0.1", 0), Handler)
        self.clock, self.files, self.script, self.requests = clock, {}, {}, []
        threading.Thread(target=self.serve_forever, args=(0.005,), daemon=True).start()

    def url(self, path):
        return f"http://127.0.0.1:{self.server_port}{path}"

    def add(self, path, body, *disturbances, **options):
        body = body if isinstance(body, bytes) else json.dumps(body, ensure_ascii=False).encode()
        self.files[path], self.script[path] = File(body, **options), list(disturbances)
        return self.url(path)

    def gaps(self):
        """Seconds between the arrivals of consecutive requests."""
        return np.diff([request["time"] for request in self.requests])

    def ranges(self):
        return [request["headers"].get("Range") for request in self.requests]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self):
        arrived = self.server.clock()
        data = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.requests.append(
            {"time": arrived, "method": self.command, "path": self.path, "headers": dict(self.headers), "data": data}
        )
        script = self.server.script.get(self.path)
        self.answer(script.pop(0) if script else Disturbance())

    do_POST = do_GET  # noqa: N815

    def answer(self, disturbance):
        if disturbance.before:
            disturbance.before(self.server)
        time.sleep(disturbance.stall)
        status, headers, body = self.undisturbed()
        if disturbance.status is not None or disturbance.body is not None:
            status, headers, body = disturbance.status or 200, {}, disturbance.body or b""
        headers = {"Date": self.date_time_string(), "Content-Length": len(body)} | headers | disturbance.headers
        if disturbance.is_mute or disturbance.cut_after is not None or str(headers["Content-Length"]) != str(len(body)):
            self.close_connection = True
        if disturbance.is_mute:
            return
        self.send_response_only(status)
        for name, value in headers.items():
            if value is not None:
                self.send_header(name, str(value))
        self.end_headers()
        self.wfile.write(body[: disturbance.cut_after])

    def undisturbed(self):
        file = self.server.files.get(self.path)
        if file is None:
            return 404, {"Content-Type": "text/plain"}, b"no such page"
        headers = ({"ETag": file.etag} if file.etag else {}) | file.headers
        wanted, size = self.headers.get("Range"), len(file.body)
        is_same = not file.heeds_if_range or self.headers.get("If-Range") in (file.etag, headers.get("Last-Modified"))
        if not (wanted and file.has_ranges and is_same):
            return 200, headers, file.body
        start = int(wanted.removeprefix("bytes=").removesuffix("-"))
        if start >= size:
            return 416, headers | {"Content-Range": f"bytes */{size}"}, b""
        return 206, headers | {"Content-Range": f"bytes {start}-{size - 1}/{size}"}, file.body[start:]

    def log_message(self, *args):
        pass


class FakeClock:
    """Time that passes only in `sleep`."""

    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def server(clock):
    server = ScriptedServer(clock)
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def new_client(clock):
    """Clients whose waits take no time and, unless `jitter` is given, are not jittered."""
    clients = []

    def new(**options):
        defaults = {"clock": clock, "sleep": clock.sleep, "jitter": lambda: 0.0, "timeout": 5.0}
        clients.append(Client(**(defaults | options)))
        return clients[-1]

    yield new
    for client in clients:
        client.session.close()


@pytest.fixture
def client(new_client):
    return new_client()


def busy(status=503, **options):
    return Disturbance(status, json.dumps(BUSY).encode(), **options)


def fault(code):
    return json.dumps({"Fault": {"Code": code, "Message": "No such thing"}}).encode()


def html(status=503):
    return Disturbance(status, HTML, {"Content-Type": "text/html; charset=utf-8"})


# Pages of JSON


def annotation_page(number):
    text = f"β-examplamine {number} is 2′-deoxy. " * 200
    return {"Annotations": {"Annotation": [{"ANID": number, "String": text}], "Page": number, "TotalPages": 3}}


def fetch_pages(client, server, folder):
    """As a source does: page after page until `TotalPages`."""
    number = total = 1
    while number <= total:
        path = folder / f"{number:04d}.json.gz"
        page = cached_json(path, lambda n=number: client.get_json(server.url(f"/page/{n}")))
        number, total = number + 1, page["Annotations"]["TotalPages"]
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_disturbed_pages_are_the_same_bytes_as_undisturbed_ones(client, server, tmp_path):
    for number in (1, 2, 3):
        server.add(f"/page/{number}", annotation_page(number))
    calm = fetch_pages(client, server, tmp_path / "calm")
    assert [request["path"] for request in server.requests] == ["/page/1", "/page/2", "/page/3"]
    server.requests.clear()
    whole = server.files["/page/2"].body
    script = {
        1: [html(), Disturbance(429, b"slow down", {"Retry-After": "7"}), busy(), Disturbance(is_mute=True)],
        2: [Disturbance(cut_after=1000), Disturbance(body=whole[:1000]), busy(200), busy(404), Disturbance(502)],
        3: [html(200), Disturbance(504), Disturbance(500), Disturbance(body=b"[]"), Disturbance(cut_after=0)],
    }
    for number, disturbances in script.items():
        server.script[f"/page/{number}"] = list(disturbances)
    assert fetch_pages(client, server, tmp_path / "disturbed") == calm
    assert list(calm) == ["0001.json.gz", "0002.json.gz", "0003.json.gz"]
    assert len(server.requests) == 3 + sum(map(len, script.values()))
    assert {request["path"] for request in server.requests} == {"/page/1", "/page/2", "/page/3"}


@pytest.mark.parametrize(
    "disturbance",
    [
        Disturbance(body=fault("PUGREST.Timeout")),
        Disturbance(body=fault("PUGREST.ServerError")),
        Disturbance(body=b'{"a": 1}', headers={"Content-Encoding": "gzip"}),
    ],
)
def test_rarer_disturbances_are_overcome_too(client, server, disturbance):
    assert client.get_json(server.add("/page", {"a": 1}, disturbance)) == {"a": 1}
    assert len(server.requests) == 2


def test_an_interrupted_fetch_of_pages_asks_only_for_those_that_lack(client, new_client, server, tmp_path):
    for number in (1, 2, 3):
        server.add(f"/page/{number}", annotation_page(number))
    server.script["/page/3"] = [busy()]
    with pytest.raises(FetchError, match="1 attempts"):
        fetch_pages(new_client(attempts=1), server, tmp_path)
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["0001.json.gz", "0002.json.gz"]
    server.requests.clear()
    assert len(fetch_pages(client, server, tmp_path)) == 3
    assert [request["path"] for request in server.requests] == ["/page/3"]


def test_a_form_is_posted_and_posted_again(client, server):
    url = server.add("/property", {"PropertyTable": 1}, busy())
    assert client.get_json(url, {"cid": "1,2,3"}) == {"PropertyTable": 1}
    assert [request["method"] for request in server.requests] == ["POST", "POST"]
    assert [parse_qs(request["data"].decode()) for request in server.requests] == [{"cid": ["1,2,3"]}] * 2


def test_the_user_agent_names_geomclip(client, server):
    client.get_json(server.add("/page", {"a": 1}))
    assert "geomclip" in server.requests[0]["headers"]["User-Agent"]


# Errors


@pytest.mark.parametrize(
    ("status", "body", "meaning"),
    [
        (404, b"No such thing", 404),
        (403, b"No such thing", 403),
        (501, b"No such thing", 501),
        (404, fault("PUGVIEW.NotFound"), 404),
        (400, fault("PUGREST.BadRequest"), 400),
        (200, fault("PUGVIEW.NotFound"), 404),
        (500, fault("PUGVIEW.NotFound"), 404),
        (200, b'{"Fault": "No such thing"}', 400),
    ],
)
def test_a_refusal_is_an_error_at_once(client, server, status, body, meaning):
    url = server.add("/page", {}, Disturbance(status, body))
    with pytest.raises(FetchError, match=f"{url}: HTTP {status} .*No such thing.*browser") as caught:
        client.get_json(url)
    assert isinstance(caught.value, OSError)
    assert (caught.value.url, caught.value.status) == (url, meaning)
    assert len(server.requests) == 1


def test_a_file_that_does_not_exist_is_asked_for_once(client, server, tmp_path):
    with pytest.raises(FetchError, match="HTTP 404 Not Found, 'no such page'"):
        client.download(server.url("/file"), tmp_path / "file")
    assert len(server.requests) == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("body", [b"oops", HTML, fault("PUGVIEW.ServerError")])
def test_an_internal_error_that_stays_is_asked_for_three_times(client, server, body):
    url = server.add("/page", {}, *[Disturbance(500, body)] * 9)
    with pytest.raises(FetchError, match=f"{url}: no success in 3 attempts.* HTTP 500 Internal Server Error") as caught:
        client.get_json(url)
    assert caught.value.status == 500
    assert len(server.requests) == 3


@pytest.mark.parametrize(
    ("disturbance", "answer"),
    [
        (busy(), "HTTP 503 Service Unavailable.*server too busy"),
        (html(200), "HTTP 200 OK.*Service unavailable"),
        (Disturbance(body=b'{"Annotations": {"Anno'), "no JSON object but .*Anno"),
        (Disturbance(is_mute=True), "Connection aborted"),
        (Disturbance(cut_after=1), "IncompleteRead|Connection broken"),
    ],
)
def test_after_the_last_attempt_the_error_names_the_last_answer(new_client, server, disturbance, answer):
    url = server.add("/page", {"a": 1}, *[disturbance] * 9)
    with pytest.raises(FetchError, match=f"{url}: no success in 4 attempts in a row, the last answer: .*({answer})"):
        new_client(attempts=4).get_json(url)
    assert len(server.requests) == 4


def test_a_stalled_answer_is_asked_for_again(new_client, server, tmp_path):
    client = new_client(timeout=0.15)
    assert client.get_json(server.add("/page", {"a": 1}, Disturbance(stall=0.4))) == {"a": 1}
    client.download(server.add("/file", b"bytes", Disturbance(stall=0.4)), tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == b"bytes"
    assert len(server.requests) == 4


@pytest.mark.parametrize("options", [{"requests_per_second": 0}, {"attempts": 0}])
def test_settings_must_be_positive(options):
    with pytest.raises(ValueError, match="must be positive"):
        Client(**options)


# Rate and waits


def test_requests_of_all_kinds_start_no_closer_than_the_rate_allows(client, server, tmp_path):
    for i in range(3):
        client.get_json(server.add(f"/page/{i}", {}))
        client.get_json(server.url(f"/page/{i}"), {"cid": "1"})
        client.download(server.add(f"/file/{i}", b"bytes"), tmp_path / f"{i}")
    assert server.gaps() == pytest.approx([0.2] * 8, abs=1e-9)


def test_the_rate_holds_during_retries_and_redirects(new_client, server, tmp_path):
    client = new_client(requests_per_second=0.01)
    server.add("/page", {"a": 1}, busy(), Disturbance(is_mute=True), Disturbance(cut_after=2))
    moved = Disturbance(302, headers={"Location": "/page"})
    assert client.get_json(server.add("/old", {}, *[moved] * 4)) == {"a": 1}
    client.download(server.add("/file", MEGABYTE, Disturbance(cut_after=10)), tmp_path / "file")
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
def test_the_worst_of_the_three_throttling_states_counts(client, server, states, gap):
    url = server.add("/page", {}, Disturbance(headers={"X-Throttling-Control": THROTTLING.format(*states)}))
    for _ in range(3):
        client.get_json(url)
    assert server.gaps() == pytest.approx([gap, 0.2])


def test_throttling_is_heeded_on_failures_too(client, server):
    url = server.add("/page", {}, busy(headers={"X-Throttling-Control": THROTTLING.format("Black", "Green", "Green")}))
    client.get_json(url)
    assert server.gaps() == pytest.approx([60.0])


def test_waits_double_up_to_a_bound_and_are_jittered(new_client, server):
    url = server.add("/page", {}, *[busy()] * 9)
    new_client(attempts=10).get_json(url)
    assert server.gaps() == pytest.approx([1, 2, 4, 8, 16, 32, 64, 120, 120])
    server.requests.clear()
    server.script["/page"] = [busy()] * 3
    jitters = iter([0.5, 0.0, 0.25])
    new_client(jitter=lambda: next(jitters)).get_json(url)
    assert server.gaps() == pytest.approx([1.5, 2, 5])


@pytest.mark.parametrize(
    ("headers", "gap", "tolerance"),
    [
        ({"Retry-After": "30"}, 30, 1e-6),
        ({"Retry-After": "0"}, 1, 1e-6),
        ({"Retry-After": "soon"}, 1, 1e-6),
        ({"Date": "Tue, 01 Jul 2025 12:00:00 GMT", "Retry-After": "Tue, 01 Jul 2025 12:00:45 GMT"}, 45, 1e-6),
        ({"Date": None, "Retry-After": formatdate(time.time() + 600, usegmt=True)}, 600, 120),
        ({"Retry-After": "Tue, 01 Jul 2025 12:00:45 GMT"}, 1, 1e-6),
    ],
)
@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_is_obeyed_in_seconds_and_as_a_date(client, server, status, headers, gap, tolerance):
    client.get_json(server.add("/page", {}, Disturbance(status, headers=headers)))
    assert server.gaps() == pytest.approx([gap], abs=tolerance)


def test_a_retry_after_of_hours_is_not_waited_for(client, server):
    url = server.add("/page", {}, Disturbance(429, headers={"Retry-After": "86400"}))
    with pytest.raises(FetchError, match="run it again in 86400 s"):
        client.get_json(url)
    assert len(server.requests) == 1


def test_waits_are_logged_with_their_reason(client, server, caplog):
    url = server.add("/page", {}, busy())
    client.get_json(url)
    assert url in caplog.text
    assert "server too busy" in caplog.text
    assert "next attempt in 1.0 s" in caplog.text


# Downloads


def test_a_download_with_drops_is_the_same_bytes_and_never_starts_again(new_client, server, tmp_path):
    cuts = [1, 65_536, 100_000, 333_333, 499_999]
    client = new_client(attempts=2)  # each drop has brought bytes, so that none is a second failure in a row
    url = server.add("/file.gz", MEGABYTE, *[Disturbance(cut_after=cut) for cut in cuts])
    digest = client.download(url, tmp_path / "disturbed" / "file.gz")
    assert digest == client.download(server.add("/calm.gz", MEGABYTE), tmp_path / "calm.gz")
    assert digest == hashlib.sha256(MEGABYTE).hexdigest()
    assert (tmp_path / "disturbed" / "file.gz").read_bytes() == (tmp_path / "calm.gz").read_bytes() == MEGABYTE
    assert server.ranges() == [None, *[f"bytes={offset}-" for offset in np.cumsum(cuts)], None]
    assert {request["headers"].get("If-Range") for request in server.requests[1:-1]} == {'"v1"'}
    assert {request["headers"]["Accept-Encoding"] for request in server.requests} == {"identity"}
    assert [path.name for path in (tmp_path / "disturbed").iterdir()] == ["file.gz"]


def test_an_interrupted_download_is_resumed_by_the_next_call(new_client, server, tmp_path):
    url = server.add("/file", MEGABYTE, Disturbance(cut_after=400_000))
    with pytest.raises(FetchError, match=r"1 attempts in a row.*what has arrived is kept"):
        new_client(attempts=1).download(url, tmp_path / "file")
    assert not (tmp_path / "file").exists()
    assert (tmp_path / "file.part").read_bytes() == MEGABYTE[:400_000]
    new_client(attempts=1).download(url, tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == MEGABYTE
    assert server.ranges() == [None, "bytes=400000-"]


def test_a_file_that_is_there_is_not_asked_for(client, server, tmp_path):
    url = server.add("/file", b"bytes")
    first = client.download(url, tmp_path / "file")
    assert client.download(url, tmp_path / "file") == first == hashlib.sha256(b"bytes").hexdigest()
    assert len(server.requests) == 1


def test_a_server_without_ranges_makes_the_download_start_again(client, server, tmp_path):
    cuts = [Disturbance(cut_after=cut) for cut in (300_000, 200_000)]
    client.download(server.add("/file", MEGABYTE, *cuts, has_ranges=False), tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == MEGABYTE
    assert server.ranges() == [None, "bytes=300000-", "bytes=200000-"]


def test_bytes_that_are_lost_again_do_not_count_as_progress(new_client, server, tmp_path):
    cuts = [Disturbance(cut_after=cut) for cut in (300_000, 200_000) * 5]
    with pytest.raises(FetchError, match="no success in 3 attempts"):
        new_client(attempts=3).download(server.add("/file", MEGABYTE, *cuts, has_ranges=False), tmp_path / "file")
    assert len(server.requests) == 3


@pytest.mark.parametrize("heeds_if_range", [True, False])
def test_two_versions_of_a_file_are_never_spliced(client, server, tmp_path, heeds_if_range):
    new = MEGABYTE[::-1]

    def change(server):
        server.files["/file"] = File(new, '"v2"', heeds_if_range=heeds_if_range)

    url = server.add("/file", MEGABYTE, Disturbance(cut_after=500_000), Disturbance(before=change))
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
def test_only_a_part_of_a_known_version_is_continued(client, server, tmp_path, etag, headers, validator):
    url = server.add("/file", MEGABYTE, Disturbance(cut_after=500_000), etag=etag, headers=headers)
    client.download(url, tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == MEGABYTE
    assert server.requests[1]["headers"].get("If-Range") == validator
    assert server.ranges()[1] == ("bytes=500000-" if validator else None)


def leave_part(path, content, version='"v1"'):
    path.with_name(path.name + ".part").write_bytes(content)
    path.with_name(path.name + ".part.version").write_text(version)


@pytest.mark.parametrize("content_type", ["application/gzip", "text/html"])  # nginx sends a page with its 416
def test_a_part_that_is_already_whole_is_accepted(client, server, tmp_path, content_type):
    leave_part(tmp_path / "file", MEGABYTE)
    headers = {"Content-Range": "bytes */1000000", "Content-Type": content_type}
    client.download(server.add("/file", MEGABYTE, Disturbance(416, HTML, headers)), tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == MEGABYTE
    assert server.ranges() == ["bytes=1000000-"]
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_part_that_is_too_long_is_replaced(client, server, tmp_path):
    leave_part(tmp_path / "file", MEGABYTE + b"more")
    client.download(server.add("/file", MEGABYTE), tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == MEGABYTE
    assert server.ranges() == ["bytes=1000004-", None]


@pytest.mark.parametrize("content_range", ["bytes 7-999999/1000000", "bytes 500000-999999/*", "pages 1-2/3", None])
def test_a_range_that_does_not_continue_the_part_makes_it_start_again(client, server, tmp_path, content_range):
    leave_part(tmp_path / "file", MEGABYTE[:500_000])
    wrong = Disturbance(206, MEGABYTE[7:], {"Content-Range": content_range, "ETag": '"v1"'})
    client.download(server.add("/file", MEGABYTE, wrong), tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == MEGABYTE
    assert server.ranges() == ["bytes=500000-", None]


def test_a_range_that_ends_early_is_continued(client, server, tmp_path):
    leave_part(tmp_path / "file", MEGABYTE[:500_000])
    some = Disturbance(206, MEGABYTE[500_000:700_000], {"Content-Range": "bytes 500000-699999/1000000"})
    client.download(server.add("/file", MEGABYTE, some), tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == MEGABYTE
    assert server.ranges() == ["bytes=500000-", "bytes=700000-"]


def test_a_content_length_that_is_too_long_is_noticed(new_client, server, tmp_path):
    client, length = new_client(attempts=3), {"Content-Length": "1000010"}
    client.download(server.add("/once", MEGABYTE, Disturbance(headers=length)), tmp_path / "once")
    assert (tmp_path / "once").read_bytes() == MEGABYTE
    url = server.add("/always", MEGABYTE, headers=length, has_ranges=False)
    server.requests.clear()
    with pytest.raises(FetchError, match="no success in 3 attempts"):
        client.download(url, tmp_path / "always")
    assert not (tmp_path / "always").exists()
    assert len(server.requests) == 3


@pytest.mark.parametrize("body", [b"", b"bytes"])
def test_files_without_a_length_or_without_bytes_are_written(client, server, tmp_path, body):
    client.download(server.add("/file", body), tmp_path / "file")
    client.download(server.add("/endless", body, headers={"Content-Length": None}), tmp_path / "endless")
    assert (tmp_path / "file").read_bytes() == (tmp_path / "endless").read_bytes() == body


def test_a_page_of_html_is_not_taken_for_the_file(client, server, tmp_path):
    client.download(server.add("/file", MEGABYTE, html(200), html(503)), tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == MEGABYTE


def test_a_gzip_file_stays_compressed_even_if_the_server_calls_that_an_encoding(client, server, tmp_path):
    body = gzip.compress(b"1\tCC\n", mtime=0)
    client.download(server.add("/CID-SMILES.gz", body, headers={"Content-Encoding": "gzip"}), tmp_path / "smiles.gz")
    assert (tmp_path / "smiles.gz").read_bytes() == body


@pytest.mark.parametrize("name", ["md5", "sha256"])
def test_a_wrong_digest_deletes_the_part_and_is_an_error(client, server, tmp_path, name):
    path, url, right = tmp_path / "file", server.add("/file", MEGABYTE), hashlib.new(name, MEGABYTE).hexdigest()
    wrong = hashlib.new(name, b"other").hexdigest()
    with pytest.raises(FetchError, match=f"{path}.* has {name} {right} instead of {wrong}; delete it"):
        client.download(url, path, **{name: wrong})
    assert list(tmp_path.iterdir()) == []
    client.download(url, path, **{name: right.upper()})
    assert path.read_bytes() == MEGABYTE
    with pytest.raises(FetchError, match=f"{path} has {name} {right} instead of {wrong}; delete it"):
        client.download(url, path, **{name: wrong})
    assert path.read_bytes() == MEGABYTE
    assert len(server.requests) == 2


def test_the_progress_bar_counts_bytes_of_the_whole_file(client, server, tmp_path, monkeypatch):
    bars = []

    class Bar(fetch.tqdm):
        def __init__(self, **options):
            super().__init__(**options | {"disable": False, "file": (tmp_path / "bar").open("w")})
            bars.append(self)

        def close(self):
            super().close()
            self.fp.close()

    monkeypatch.setattr(fetch, "tqdm", Bar)
    client.download(server.add("/file", MEGABYTE, Disturbance(cut_after=250_000)), tmp_path / "file.sdf.gz")
    assert [(bar.initial, bar.n) for bar in bars] == [(0, 250_000), (250_000, 1_000_000)]
    assert {bar.total for bar in bars} == {1_000_000}
    assert {(bar.desc, bar.unit) for bar in bars} == {("file.sdf.gz", "B")}


# The cache of pages


def test_a_page_is_fetched_once_and_written_as_the_same_utf8_gzip_bytes(tmp_path):
    page = {"b": "β-carotene", "a": [1.5, None, "\ud800"]}
    assert cached_json(tmp_path / "new" / "1.json.gz", lambda: page) == page
    assert cached_json(tmp_path / "new" / "1.json.gz", lambda: pytest.fail("fetched again")) == page
    assert cached_json(tmp_path / "2.json.gz", lambda: page) == page
    written = (tmp_path / "new" / "1.json.gz").read_bytes()
    assert written == (tmp_path / "2.json.gz").read_bytes()
    assert written[4:8] == bytes(4)  # RFC 1952: the time of modification
    assert "β-carotene".encode() in gzip.decompress(written)


def test_a_failed_fetch_leaves_no_page(tmp_path):
    def fail():
        raise FetchError("http://example.org", "no")

    with pytest.raises(FetchError):
        cached_json(tmp_path / "1.json.gz", fail)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "content", [b"", gzip.compress(b'{"a": 1}')[:-9], b'{"a": 1}', gzip.compress(b'{"a": '), gzip.compress(b"\xff{}")]
)
def test_a_damaged_page_is_an_error_that_names_it(tmp_path, content):
    path = tmp_path / "1.json.gz"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=f"{path} is damaged .*delete it"):
        cached_json(path, lambda: {"a": 1})
    assert path.read_bytes() == content
