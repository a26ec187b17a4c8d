"""The server gives its page and its answers, and nothing else."""

import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec

import pytest
import requests

from geomclip_tools.library import MoleculeIndex
from tests.geomclip_tools.app.conftest import serve
from tests.geomclip_tools.app.small_library import HOSTILE

pytestmark = pytest.mark.skipif(find_spec("gradio") is None, reason="needs Gradio: pip install '.[app]'")
LARGEST_REQUEST = 1_000_000  # bytes


def ask(url, name, *arguments) -> list[dict]:
    """Ask as the page does, and return all answers."""
    asked = requests.post(f"{url}api/gradio_api/call/{name}", json={"data": [list(arguments)]}, timeout=60)
    assert asked.status_code == 200, asked.text
    told = requests.get(f"{url}api/gradio_api/call/{name}/{asked.json()['event_id']}", timeout=60).text
    events = [message.removeprefix("event: ").split("\ndata: ") for message in told.strip().split("\n\n")]
    found = [json.loads(data) for event, data in events if event in ("generating", "complete")]
    return [each[0] for each in found if each]


def test_the_page_needs_nothing_from_elsewhere(url):
    page = requests.get(url, timeout=60)
    assert page.status_code == 200
    assert "default-src 'self'" in page.headers["content-security-policy"]
    assert page.headers["x-content-type-options"] == "nosniff"
    own = ("page.js", "page.css", "api.js", "map.js", "detail.js", "elements.js")
    for name in own:
        text = requests.get(f"{url}page/{name}", timeout=60).text
        assert "//" not in text.replace("// ", "").replace("/**", ""), name
    for name in ("icon.svg", "vendor/3Dmol-min.js", "vendor/openchemlib.js"):
        assert requests.get(f"{url}page/{name}", timeout=60).status_code == 200
    assert "http" not in page.text


def test_answers_and_errors(url, answers):
    query = {"text": "an alkaloid of tobacco", "top": 3}
    (found,) = ask(url, "search", query)
    assert found["result"] == json.loads(json.dumps(answers.search(query)))
    assert ask(url, "search", {})[0] == {"error": "enter a text or a molecule"}
    assert ask(url, "search") == [{"error": "the request has the wrong parts"}]
    assert ask(url, "search", query, query) == [{"error": "the request has the wrong parts"}]
    assert "no such molecule" in ask(url, "point_at", -1)[0]["error"]
    key = found["result"]["results"][0]["inchikey"]
    assert ask(url, "caption", key)[-1]["result"].startswith("a molecule: ")
    assert HOSTILE in [
        hit["name"] for hit in ask(url, "search", {"text": "x"})[0]["result"]["results"]
    ]  # text, not HTML


def test_faults_of_the_server_are_not_told(index, tmp_path):
    copy = shutil.copytree(index.info()["index"], tmp_path / "vanishing")
    with serve(MoleculeIndex.open(copy), 100) as url:
        shutil.rmtree(copy)
        asked = requests.post(f"{url}api/gradio_api/call/search", json={"data": [[{"text": "a base"}]]}, timeout=60)
        told = requests.get(f"{url}api/gradio_api/call/search/{asked.json()['event_id']}", timeout=60).text
    assert told.startswith("event: error")
    assert "vanishing" not in told


@pytest.mark.parametrize(
    "path",
    [
        "/etc/passwd",
        "/page/../server.py",
        "/page/%2e%2e/server.py",
        "/page/..%2fserver.py",
        "/page//etc/passwd",
        "/page/vendor/../../server.py",
        "/api/gradio_api/file=/etc/passwd",
        "/api/gradio_api/file/etc/passwd",
        "/api/gradio_api/proxy=http://localhost/",
        "/api/gradio_api/upload",
        "/api/",
        "/api/gradio_api/callx",
        "/docs",
        "/openapi.json",
        "/static/anything",
    ],
)
def test_nothing_else_is_reachable(url, path):
    asked = requests.Request("GET", url).prepare()
    asked.url = url.rstrip("/") + path  # as it is
    with requests.Session() as session:
        found = session.send(asked, timeout=60)
    assert found.status_code == 404
    assert "root:" not in found.text
    assert "def build_app" not in found.text


def test_files_cannot_be_uploaded(url):
    files = {"files": ("a.sdf", b"x")}
    assert requests.post(f"{url}api/gradio_api/upload", files=files, timeout=60).status_code == 404


def test_large_requests_are_refused(url):
    address = f"{url}api/gradio_api/call/search"
    large = json.dumps({"data": [[{"text": "x" * LARGEST_REQUEST}]]})
    assert requests.post(address, data=large, timeout=60).status_code == 413
    parts = (b" " * 100_000 for _ in range(3 + LARGEST_REQUEST // 100_000))  # the length is not told
    assert requests.post(address, data=parts, timeout=60).status_code == 413


def test_a_full_queue_refuses(index):
    with serve(index, 0) as url:
        asked = {"data": [[{"text": "x"}]]}
        refused = requests.post(f"{url}api/gradio_api/call/search", json=asked, timeout=60)
    assert refused.status_code == 503
    assert "Queue is full" in refused.text


def test_many_users_at_once(url):
    """None of 50 gets an error; how long they wait is on the results page."""
    texts = [f"an alkaloid {number}" for number in range(50)]
    with ThreadPoolExecutor(50) as pool:
        found = [*pool.map(lambda text: ask(url, "search", {"text": text, "top": 3}), texts)]
    assert all(len(answer["result"]["results"]) == 3 for (answer,) in found)
