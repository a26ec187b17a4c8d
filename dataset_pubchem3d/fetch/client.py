"""A polite download client: it limits its request rate, respects busy servers, retries, and resumes downloads.

Source of PubChem's policy: https://pubchem.ncbi.nlm.nih.gov/docs/dynamic-request-throttling.
"""

import gzip
import json
import logging
import random
import re
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import requests
from requests.adapters import HTTPAdapter
from urllib3.exceptions import HTTPError

from .answers import FetchError, TransientError, check, parse_json_object, quote_beginning
from .download import Part, publish, verify
from .ranges import Range, make_range_headers, read_range

Answer = TypeVar("Answer")
logger = logging.getLogger(__name__)

REQUESTS_PER_SECOND = 5.0  # the most that PubChem allows
_LONGEST_BACKOFF = 120.0  # s
_LONGEST_RETRY_AFTER = 3600.0  # s
_ATTEMPTS_ON_500 = 3  # PubChem also answers 500 to requests that can never succeed, such as a page after the last
_THROTTLING_PAUSES = {"yellow": 1.0, "red": 5.0, "black": 60.0}  # s from the response to the next request

# urllib3's Retry is not enough: it ignores Fault bodies and X-Throttling-Control and cannot resume a body.
_TRANSIENT_ERRORS = (
    TransientError,
    requests.ConnectionError,
    requests.Timeout,
    requests.exceptions.ChunkedEncodingError,
    HTTPError,
)


class Client:
    """GET and POST requests within the rules of the servers; not thread-safe.

    Args:
        requests_per_second: maximum rate at which requests start, redirects included.
        attempts: number of failures in a row after which a request fails. A download that has grown since the last
            failure starts a new count.
        timeout: seconds without a byte after which an attempt fails.
        clock: returns monotonic seconds.
        sleep: waits for a number of seconds.
        jitter: returns random numbers in [0, 1).
    Raises:
        ValueError: `requests_per_second` or `attempts` is not positive.
    """

    def __init__(
        self,
        requests_per_second: float = REQUESTS_PER_SECOND,
        attempts: int = 8,
        timeout: float = 60.0,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        jitter: Callable[[], float] = random.random,
    ):
        if requests_per_second <= 0 or attempts < 1:
            raise ValueError(f"{requests_per_second=} and {attempts=}; both must be positive")
        self.attempts, self.timeout, self.sleep, self.jitter = attempts, timeout, sleep, jitter
        self.session = requests.Session()
        self.session.headers["User-Agent"] = f"geomclip {requests.utils.default_user_agent()}"
        adapter = _PacedAdapter(1 / requests_per_second, clock, sleep)
        for scheme in ("https://", "http://"):
            self.session.mount(scheme, adapter)

    def get_json(self, url: str, data: dict[str, str] | None = None) -> dict:
        """Return the JSON object at `url`; `data`, if given, is posted as a form.

        Raises:
            FetchError: the server refuses the request, or all attempts fail.
        """

        def request() -> dict:
            method = "GET" if data is None else "POST"
            response = self.session.request(method, url, data=data, timeout=self.timeout)
            body = parse_json_object(response)
            check(response, body)
            if body is None:
                raise TransientError(f"not a JSON object: {quote_beginning(response)!r}", response.status_code)
            return body

        return self._persist(url, request)

    def download(self, url: str, path: Path, md5: str | None = None) -> None:
        """Download the file at `url` to `path`, resuming an earlier attempt. An existing file is not downloaded again.

        Args:
            md5: expected MD5 digest, in hexadecimal.
        Raises:
            FetchError: the server refuses the request, all attempts fail, or the digest differs.
        """
        part = Part(path)
        if path.exists():
            verify(path, url, md5)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._persist(url, lambda: self._continue(url, part), part.measure_size)
            try:
                verify(part.bytes, url, md5)
            except FetchError:
                part.discard()
                raise
            publish(part.bytes, path)
        part.discard()

    def get_range(self, url: str, start: int, stop: int) -> Range:
        """Return the bytes from `start` to before `stop` of the file at `url`; fewer if the file ends earlier.

        Raises:
            FetchError: the server refuses the request or ignores the range, or all attempts fail.
        """

        def request() -> Range:
            headers = make_range_headers(start, stop)
            with self.session.get(url, headers=headers, stream=True, timeout=self.timeout) as response:
                return read_range(response, start, stop)

        return self._persist(url, request)

    def _continue(self, url: str, part: Part) -> None:
        """Request the bytes that `part` lacks, once."""
        with self.session.get(url, headers=part.make_request_headers(), stream=True, timeout=self.timeout) as response:
            part.add(response)

    def _persist(self, url: str, request: Callable[[], Answer], progress: Callable[[], int] = lambda: 0) -> Answer:
        """Call `request` until it succeeds, waiting between attempts, and return its result.

        Raises:
            FetchError: too many attempts failed, or the server asks for too long a wait.
        """
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
                    remedy = f"run it again {f'in {asked:.0f} s' if asked else 'later'}; downloaded data is kept"
                    problem = f"failed {failures} times in a row, last with: {error}; {remedy}"
                    raise FetchError(url, problem, status) from error
                wait = max(asked, min(2 ** (failures - 1) * (1 + self.jitter()), _LONGEST_BACKOFF))
                logger.warning("%s: %s; next attempt in %.1f s", url, error, wait)
                self.sleep(wait)


class _PacedAdapter(HTTPAdapter):
    """Spaces the starts of requests and pauses as X-Throttling-Control demands."""

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


def cache_json(path: Path, fetch: Callable[[], dict]) -> dict:
    """Return the content of the gzipped JSON file `path`; if it does not exist, call `fetch` and write its result.

    Raises:
        ValueError: the file is damaged.
    """
    if path.exists():
        try:
            return json.loads(gzip.decompress(path.read_bytes()))
        except (gzip.BadGzipFile, EOFError, zlib.error, ValueError) as error:
            raise ValueError(f"{path} is damaged ({error}); delete it and run the command again") from error
    body, part = fetch(), Path(f"{path}.part")
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(body, ensure_ascii=False).encode("utf-8", "surrogatepass")  # json.loads decodes the same way
    part.write_bytes(gzip.compress(text, mtime=0))
    publish(part, path)
    return body
