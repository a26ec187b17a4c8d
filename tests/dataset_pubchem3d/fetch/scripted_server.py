"""An HTTP server on the loopback interface whose answers are disturbed by a script, and a clock without real waits."""

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np


@dataclass
class File:
    """A file of the server. `body`: bytes, or an object with a length whose slices are bytes."""

    body: bytes
    etag: str | None = '"v1"'
    headers: dict = field(default_factory=dict)
    has_ranges: bool = True
    heeds_if_range: bool = True


@dataclass
class Disturbance:
    """Changes to one answer. `cut_after`: bytes of the body before the connection drops."""

    status: int | None = None
    body: bytes | dict | None = None
    headers: dict = field(default_factory=dict)
    cut_after: int | None = None
    stall: float = 0.0
    is_mute: bool = False
    before: Callable | None = None  # called first, with the server as argument


class ScriptedServer(ThreadingHTTPServer):
    """Serves `files` by path and records `requests`. A path's `script` disturbs its first requests, one per entry."""

    daemon_threads = True

    def __init__(self, clock):
        super().__init__(("127.0.0.1", 0), Handler)
        self.clock, self.files, self.script, self.requests = clock, {}, {}, []
        threading.Thread(target=self.serve_forever, args=(0.005,), daemon=True).start()

    def url(self, path):
        return f"http://127.0.0.1:{self.server_port}{path}"

    def add(self, path, body, *disturbances, **options):
        """Serve bytes, or an object as JSON, with the options of `File`, and return the address."""
        self.files[path] = File(as_bytes(body), **options)
        self.disturb(path, *disturbances)
        return self.url(path)

    def disturb(self, path, *disturbances):
        """Disturb the next answers at a path, each by a dictionary of `Disturbance` fields."""
        self.script[path] = [Disturbance(**disturbance) for disturbance in disturbances]

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
            status, headers, body = disturbance.status or 200, {}, as_bytes(disturbance.body or b"")
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
        validator = self.headers.get("If-Range")
        is_same = not (file.heeds_if_range and validator) or validator in (file.etag, headers.get("Last-Modified"))
        if not (wanted and file.has_ranges and is_same):
            return 200, headers, file.body
        start, _, last = wanted.removeprefix("bytes=").partition("-")
        start, stop = int(start), min(int(last or size) + 1, size)
        if start >= size:
            return 416, headers | {"Content-Range": f"bytes */{size}"}, b""
        return 206, headers | {"Content-Range": f"bytes {start}-{stop - 1}/{size}"}, file.body[start:stop]

    def log_message(self, *args):
        pass


def as_bytes(body):
    return body if isinstance(body, bytes) else json.dumps(body, ensure_ascii=False).encode()


class FakeClock:
    """Time that passes only in `sleep`."""

    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds
