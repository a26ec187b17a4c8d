"""How the client treats the answers of a server that is disturbed."""

import time
from email.utils import formatdate

import pytest

from dataset_pubchem3d.fetch.client import FetchError

BUSY = {"status": 503, "body": {"Fault": {"Code": "PUGVIEW.ServerBusy", "Message": "Request refused, server too busy"}}}
HTML = {
    "status": 503,
    "body": b"<html><body>Service unavailable</body></html>",
    "headers": {"Content-Type": "text/html; charset=utf-8"},
}


def fault(code):
    return {"Fault": {"Code": code, "Message": "No such thing"}}


@pytest.mark.parametrize(
    "disturbance",
    [
        {"body": fault("PUGREST.Timeout")},
        {"body": fault("PUGREST.ServerError")},
        {"body": b'{"a": 1}', "headers": {"Content-Encoding": "gzip"}},
    ],
)
def test_rarer_disturbances_are_overcome(client, server, disturbance):
    assert client.get_json(server.add("/page", {"a": 1}, disturbance)) == {"a": 1}
    assert len(server.requests) == 2


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
def test_a_refusal_is_an_immediate_error(client, server, status, body, meaning):
    url = server.add("/page", {}, {"status": status, "body": body})
    with pytest.raises(FetchError, match=f"{url}: HTTP {status} .*No such thing.*browser") as caught:
        client.get_json(url)
    assert isinstance(caught.value, OSError)
    assert (caught.value.url, caught.value.status) == (url, meaning)
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("disturbance", "answer"),
    [
        (BUSY, "HTTP 503 Service Unavailable.*server too busy"),
        (HTML | {"status": 200}, "HTTP 200 OK.*Service unavailable"),
        ({"body": b'{"Annotations": {"Anno'}, "not a JSON object: .*Anno"),
        ({"is_mute": True}, "Connection aborted"),
        ({"cut_after": 1}, "IncompleteRead|Connection broken"),
    ],
)
def test_after_the_last_attempt_the_error_names_the_last_answer(new_client, server, disturbance, answer):
    url = server.add("/page", {"a": 1}, *[disturbance] * 9)
    with pytest.raises(FetchError, match=f"{url}: failed 4 times in a row, last with: .*({answer})"):
        new_client(attempts=4).get_json(url)
    assert len(server.requests) == 4


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
    client.get_json(server.add("/page", {}, {"status": status, "headers": headers}))
    assert server.gaps() == pytest.approx([gap], abs=tolerance)


def test_a_retry_after_of_hours_is_not_waited_for(client, server):
    url = server.add("/page", {}, {"status": 429, "headers": {"Retry-After": "86400"}})
    with pytest.raises(FetchError, match="run it again in 86400 s"):
        client.get_json(url)
    assert len(server.requests) == 1
