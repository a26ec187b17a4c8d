"""Classify the response of a server: success, a transient failure, or a permanent one.

Sources: RFC 9110, section 10.2.3, for Retry-After; https://pubchem.ncbi.nlm.nih.gov/docs/pug-rest for Faults.
"""

import json
import time
from email.utils import mktime_tz, parsedate_tz

import requests

_TRANSIENT_STATUSES = {408, 429, 500, 502, 503, 504}
_FAULT_STATUSES = {"ServerBusy": 503, "Timeout": 504, "ServerError": 500, "Unknown": 500, "NotFound": 404}  # else 400


class FetchError(OSError):
    """A request that failed for good.

    Attributes:
        url: address of the request.
        status: HTTP status of the last response, or the status its Fault stands for; None without a response.
    """

    def __init__(self, url: str, problem: str, status: int | None = None):
        super().__init__(f"{url}: {problem}")
        self.url, self.status = url, status


class TransientError(Exception):
    """A failure that may not recur at the next attempt.

    Attributes:
        status: HTTP status of the response, if any.
        wait: seconds that the server asks to wait.
    """

    def __init__(self, problem: str, status: int | None = None, wait: float = 0.0):
        super().__init__(problem)
        self.status, self.wait = status, wait


def check(response: requests.Response, body: dict | None, accepted: tuple[int, ...] = (200,)) -> None:
    """Raise an error unless the response is a success.

    A Fault in the body takes precedence over the HTTP status: PubChem reports that it is busy with 200, 404 and 503.

    Args:
        body: JSON object of the response, if it is one.
        accepted: statuses of a success.
    Raises:
        FetchError: another attempt will not help.
        TransientError: another attempt may help.
    """
    status, fault = response.status_code, (body or {}).get("Fault")
    if fault is not None:
        code = str(fault.get("Code")) if isinstance(fault, dict) else ""
        status = _FAULT_STATUSES.get(code.rpartition(".")[2], 400)
    is_html = response.ok and "html" in response.headers.get("Content-Type", "")
    if status in accepted and not is_html:
        return
    problem = f"HTTP {response.status_code} {response.reason}, {quote_beginning(response)!r}"
    if status in _TRANSIENT_STATUSES or status in accepted:
        raise TransientError(problem, status, _read_wait(response))
    remedy = "open the address in a browser: it may have moved, ask for a login or be blocked for too many requests"
    raise FetchError(response.url, f"{problem}; {remedy}", status)


def parse_json_object(response: requests.Response) -> dict | None:
    """Return the JSON object in the response, or None if it is not one."""
    try:
        body = json.loads(response.content)
    except ValueError:
        return None
    return body if isinstance(body, dict) else None


def quote_beginning(response: requests.Response) -> str:
    """Return the beginning of the response on one line."""
    return " ".join(response.content[:300].decode("utf-8", "replace").split())


def _read_wait(response: requests.Response) -> float:
    """Read Retry-After in seconds; a date is compared with the server's own clock."""
    value = response.headers.get("Retry-After", "").strip()
    if value.isdecimal():
        return float(value)
    moment, now = parsedate_tz(value), parsedate_tz(response.headers.get("Date", ""))
    return mktime_tz(moment) - (mktime_tz(now) if now else time.time()) if moment else 0.0
