"""Check the response to a request for a range of bytes.

Source: RFC 9110, sections 14.4 (Content-Range) and 15.3.7 (206 Partial Content).
"""

import re
from typing import NamedTuple

import requests

from .answers import FetchError, TransientError, check, parse_json_object
from .download import read_version

_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+)")


class Range(NamedTuple):
    """Some bytes of a file.

    Attributes:
        body: the bytes.
        size: bytes of the whole file.
        version: strong ETag or date of the file, if the server names one.
        address: URL that sent the bytes, after redirects.
    """

    body: bytes
    size: int
    version: str | None
    address: str


def make_range_headers(start: int, stop: int) -> dict[str, str]:
    """Return the headers of a request for the bytes from `start` to before `stop`."""
    return {"Accept-Encoding": "identity", "Range": f"bytes={start}-{stop - 1}"}


def read_range(response: requests.Response, start: int, stop: int) -> Range:
    """Read the response to a request with `make_range_headers`, whose body has not been read yet.

    Raises:
        FetchError: the server refuses the request, or ignores the range.
        TransientError: the body is not the range, or it is incomplete.
    """
    check(response, None if response.ok else parse_json_object(response), accepted=(200, 206))
    if response.status_code == 200:
        raise FetchError(response.url, "the server ignores Range and sends the whole file; download it whole", 200)
    content_range = response.headers.get("Content-Range", "")
    span = _CONTENT_RANGE.fullmatch(content_range)
    if not span or (int(span[1]), int(span[2])) != (start, min(stop, int(span[3])) - 1):
        raise TransientError(f"HTTP 206, {content_range!r} is not the range {start}-{stop - 1}")
    if len(response.content) != int(span[2]) - start + 1:
        raise TransientError(f"the body has {len(response.content)} bytes instead of {content_range}")
    return Range(response.content, int(span[3]), read_version(response), response.url)
