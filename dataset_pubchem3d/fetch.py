"""A polite download client: it keeps a request rate, heeds busy servers, tries again and resumes what broke off.

Sources: https://pubchem.ncbi.nlm.nih.gov/docs/dynamic-request-throttling for the policy of PubChem; RFC 9110, sections
10.2.3 (Retry-After), 13.1.5 (If-Range) and 14 (ranges), for HTTP.
"""

import gzip
import hashlib
import json
import logging
import os
import random
import re
import time
import zlib
from collections.abc import Callable
from email.utils import mktime_tz, parsedate_tz
from pathlib import Path
from typing import TypeVar

import requests
from requests.adapters import HTTPAdapter
from tqdm import tqdm
from urllib3.exceptions import HTTPError

Answer = TypeVar("Answer")
logger = logging.getLogger(__name__)

_BLOCK = 1 << 16  # bytes
_LONGEST_BACKOFF = 120.0  # s
_LONGEST_RETRY_AFTER = 3600.0  # s
_ATTEMPTS_ON_500 = 3  # PubChem gives 500 also where no attempt will ever succeed, as past the last page
_TRANSIENT_STATUSES = {408, 429, 500, 502, 503, 504}
_FAULT_STATUSES = {"ServerBusy": 503, "Timeout": 504, "ServerError": 500, "Unknown": 500, "NotFound": 404}  # else 400
_THROTTLING_PAUSES = {"yellow": 1.0, "red": 5.0, "black": 60.0}  # s from the answer to the next request


class FetchError(OSError):
    """What was asked for cannot be had.

    Attributes: `status`, HTTP's for the last answer, or what its Fault stands for; None where there was no answer.
    """

    def __init__(self, url: str, problem: str, status: int | None = None):
        super().__init__(f"{url}: {problem}")
        self.url, self.status = url, status


class _TransientError(Exception):
    """A failure that may be over at the next attempt; `wait`: seconds that the server asks for."""

    def __init__(self, problem: str, status: int | None = None, wait: float = 0.0):
        super().__init__(problem)
        self.status, self.wait = status, wait


# urllib3's Retry would not do: it knows neither Fault bodies nor X-Throttling-Control, nor does it resume a body.
_TRANSIENT_ERRORS = (
    _TransientError,
    requests.ConnectionError,
    requests.Timeout,
    requests.exceptions.ChunkedEncodingError,
    HTTPError,
)


class Client:
    """GET and POST within the rules of the servers; for one thread.

    Args:
        requests_per_second: bounds the time between the starts of any two requests from below, redirects included.
        attempts: so many failures in a row end it; a download that has grown in between starts to count anew.
        timeout: seconds without a byte.
        clock, sleep, jitter: monotonic seconds, waiting for seconds, random numbers in [0, 1).
    """

    def __init__(
        self,
        requests_per_second: float = 5.0,
        attempts: int = 8,
        timeout: float = 60.0,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        jitter: Callable[[], float] = random.random,
    ):
        if requests_per_second <= 0 or attempts < 1:
            raise ValueError(f"{requests_per_second=} and {attempts=}: both must be positive")
        self.attempts, self.timeout, self.sleep, self.jitter = attempts, timeout, sleep, jitter
        self.session = requests.Session()
        self.session.headers["User-Agent"] = f"geomclip {requests.utils.default_user_agent()}"
        adapter = _PacedAdapter(1 / requests_per_second, clock, sleep)
        for scheme in ("https://", "http://"):
            self.session.mount(scheme, adapter)

    def get_json(self, url: str, data: dict[str, str] | None = None) -> dict:
        """The JSON object at `url`; `data` is posted as a form.

        Raises:
            FetchError: the server refuses, or does not give it in all attempts.
        """

        def request() -> dict:
            method = "GET" if data is None else "POST"
            response = self.session.request(method, url, data=data, timeout=self.timeout)
            body = _json_object(response)
            _check(response, body)
            if body is None:
                raise _TransientError(f"no JSON object but {_excerpt(response)!r}", response.status_code)
            return body

        return self._persist(url, request)

    def download(self, url: str, path: Path, md5: str | None = None, sha256: str | None = None) -> str:
        """Write the file at `url` to `path`, continuing what an earlier call left; a file that is there stays.

        What has arrived lies in `<path>.part`, the version of the file that it belongs to in `<path>.part.version`.

        Args:
            md5, sha256: hexadecimal digests that the file must have.
        Returns:
            Its SHA-256, hexadecimal.
        Raises:
            FetchError: the server refuses, or does not give it in all attempts, or a digest differs.
        """
        part = _Part(path)
        if path.exists():
            digest = _verified(path, url, md5, sha256)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._persist(url, lambda: self._continue(url, part), part.size)
            try:
                digest = _verified(part.bytes, url, md5, sha256)
            except FetchError:
                part.discard()
                raise
            _publish(part.bytes, path)
        part.discard()
        return digest

    def _continue(self, url: str, part: "_Part") -> None:
        """One request for what `part` still lacks."""
        offset, headers = part.offset(), {"Accept-Encoding": "identity"}
        if offset:
            headers |= {"Range": f"bytes={offset}-", "If-Range": part.version.read_text(encoding="latin-1")}
        with self.session.get(url, headers=headers, stream=True, timeout=self.timeout) as response:
            _check(response, None if response.ok else _json_object(response), (200, 206, 416) if offset else (200,))
            if response.status_code == 200:  # the first answer, another version, or a server without ranges
                part.begin(_version(response))
                total = int(response.headers["Content-Length"]) if "Content-Length" in response.headers else None
            else:
                total = _resumed_total(response, part)
            if response.ok:
                part.append(response, total)
        if total is not None and part.size() != total:
            raise _TransientError(f"the body ended at byte {part.size()} of {total}")

    def _persist(self, url: str, request: Callable[[], Answer], progress: Callable[[], int] = lambda: 0) -> Answer:
        """What `request` returns, after as many attempts as its failures are worth."""
        failures, internal_errors, reached = 0, 0, 0
        while True:
            try:
                return request()
            except _TRANSIENT_ERRORS as error:
                failures = 1 if progress() > reached else failures + 1
                reached = max(reached, progress())
                status, asked = getattr(error, "status", None), getattr(error, "wait", 0.0)
                internal_errors += status == 500
                if failures >= self.attempts or internal_errors >= _ATTEMPTS_ON_500 or asked > _LONGEST_RETRY_AFTER:
                    remedy = f"run it again {f'in {asked:.0f} s' if asked else 'later'}; what has arrived is kept"
                    problem = f"no success in {failures} attempts in a row, the last answer: {error}; {remedy}"
                    raise FetchError(url, problem, status) from error
                wait = max(asked, min(2 ** (failures - 1) * (1 + self.jitter()), _LONGEST_BACKOFF))
                logger.warning("%s: %s; next attempt in %.1f s", url, error, wait)
                self.sleep(wait)


class _PacedAdapter(HTTPAdapter):
    """Spaces the starts of requests and pauses as X-Throttling-Control tells."""

    def __init__(self, interval: float, clock: Callable[[], float], sleep: Callable[[float], None]):
        super().__init__()
        self.interval, self.clock, self.sleep = interval, clock, sleep
        self.next_start = clock()

    def send(self, request, **options):
        while (wait := self.next_start - self.clock()) > 0:
            self.sleep(wait)
        self.next_start = self.clock() + self.interval
        response = super().send(request, **options)
        states = re.findall("yellow|red|black", response.headers.get("X-Throttling-Control", "").lower())
        pause = max((_THROTTLING_PAUSES[state] for state in states), default=0.0)
        self.next_start = max(self.next_start, self.clock() + pause)
        return response


class _Part:
    """An unfinished download and the version of the file that it is a part of, where the server names versions."""

    def __init__(self, path: Path):
        self.bytes, self.version = Path(f"{path}.part"), Path(f"{path}.part.version")

    def size(self) -> int:
        return self.bytes.stat().st_size if self.bytes.exists() else 0

    def offset(self) -> int:
        """From which byte it can be continued."""
        return self.size() if self.version.exists() else 0

    def begin(self, version: str | None) -> None:
        self.discard()
        if version is not None:  # written before the bytes, so that no bytes ever stand beside the version of others
            self.version.write_text(version, encoding="latin-1")

    def append(self, response: requests.Response, total: int | None) -> None:
        title = self.bytes.name.removesuffix(".part")
        bar = tqdm(total=total, initial=self.size(), desc=title, unit="B", unit_scale=True, disable=None)
        with self.bytes.open("ab") as file, bar:
            for block in response.raw.stream(_BLOCK, decode_content=False):
                file.write(block)
                bar.update(len(block))

    def discard(self) -> None:
        self.bytes.unlink(missing_ok=True)
        self.version.unlink(missing_ok=True)


def cached_json(path: Path, fetch: Callable[[], dict]) -> dict:
    """What the gzip JSON file `path` holds; if there is none, what `fetch` returns, after writing it there.

    Raises:
        ValueError: the file is damaged.
    """
    if path.exists():
        try:
            return json.loads(gzip.decompress(path.read_bytes()))
        except (gzip.BadGzipFile, EOFError, zlib.error, ValueError) as error:
            raise ValueError(f"{path} is damaged ({error}); delete it and run it again to fetch it anew") from error
    body, part = fetch(), Path(f"{path}.part")
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(body, ensure_ascii=False).encode("utf-8", "surrogatepass")  # as json.loads decodes
    part.write_bytes(gzip.compress(text, mtime=0))
    _publish(part, path)
    return body


def _check(response: requests.Response, body: dict | None, accepted: tuple[int, ...] = (200,)) -> None:
    """Raise unless it is what was asked for. A Fault outranks the status: PubChem is busy with 200, 404 and 503."""
    status, fault = response.status_code, (body or {}).get("Fault")
    if fault is not None:
        code = str(fault.get("Code")) if isinstance(fault, dict) else ""
        status = _FAULT_STATUSES.get(code.rpartition(".")[2], 400)
    is_html = response.ok and "html" in response.headers.get("Content-Type", "")
    if status in accepted and not is_html:
        return
    problem = f"HTTP {response.status_code} {response.reason}, {_excerpt(response)!r}"
    if status in _TRANSIENT_STATUSES or status in accepted:
        raise _TransientError(problem, status, _retry_after(response))
    remedy = "open the address in a browser: it may have moved, ask for a login or be blocked for too many requests"
    raise FetchError(response.url, f"{problem}; {remedy}", status)


def _json_object(response: requests.Response) -> dict | None:
    try:
        body = json.loads(response.content)
    except ValueError:
        return None
    return body if isinstance(body, dict) else None


def _excerpt(response: requests.Response) -> str:
    return " ".join(response.content[:300].decode("utf-8", "replace").split())


def _retry_after(response: requests.Response) -> float:
    """Seconds, whether the server gives seconds or a date, which is compared with its own clock."""
    value = response.headers.get("Retry-After", "").strip()
    if value.isdecimal():
        return float(value)
    moment, now = parsedate_tz(value), parsedate_tz(response.headers.get("Date", ""))
    return mktime_tz(moment) - (mktime_tz(now) if now else time.time()) if moment else 0.0


def _version(response: requests.Response) -> str | None:
    """What If-Range accepts as the name of this version: a strong ETag or else a date."""
    etag = response.headers.get("ETag")
    return etag if etag and not etag.startswith("W/") else response.headers.get("Last-Modified")


def _resumed_total(response: requests.Response, part: _Part) -> int:
    """Size of the whole file by an answer to a range, 206 or 416, which must fit what is there."""
    content_range, size = response.headers.get("Content-Range", ""), part.size()
    span, _, total = content_range.partition("/")
    is_fitting = span.startswith(f"bytes {size}-") if response.ok else content_range == f"bytes */{size}"
    is_same = _version(response) in (None, part.version.read_text(encoding="latin-1"))
    if not (is_fitting and is_same and total.isdecimal()):
        part.discard()
        raise _TransientError(f"HTTP {response.status_code}, {content_range!r} does not continue what had arrived")
    return int(total)


def _verified(file: Path, url: str, md5: str | None, sha256: str | None) -> str:
    """SHA-256 of the file, whose digests must be those that are given."""
    for name, wanted in (("md5", md5), ("sha256", sha256)):
        if wanted is None and name == "md5":
            continue
        with file.open("rb") as stream:
            found = hashlib.file_digest(stream, name).hexdigest()
        if wanted is not None and wanted.lower() != found:
            remedy = "delete it if it is still there and run it again, or correct the digest"
            raise FetchError(url, f"{file} has {name} {found} instead of {wanted}; {remedy}")
    return found


def _publish(part: Path, path: Path) -> None:
    """Rename what is complete and on the disk, so that `path` is never half a file."""
    with part.open("r+b") as file:
        os.fsync(file.fileno())
    part.replace(path)
