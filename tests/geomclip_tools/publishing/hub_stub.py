"""A Hub on the loopback interface, to which huggingface_hub uploads as it does to the real one.

It answers the requests of `create_repo`, `repo_info` and `upload_folder`, and keeps repositories in memory. Small files
arrive in commits. Large files go through hf_xet to a store that the Hub names: here a folder, an address that hf_xet
itself supports. What this shows is what our client sends; limits and checks of the real Hub are not imitated.
"""

import base64
import json
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from huggingface_hub.utils.sha import git_hash

TOKEN = "hf_of_the_test"
LARGE = (".parquet", ".safetensors")  # by the .gitattributes that the Hub gives to a new repository


@dataclass
class Repository:
    """A repository. `files`: by path, the content of a small file, or the SHA-256 of a large one as text."""

    is_private: bool
    files: dict[str, bytes | str] = field(default_factory=dict)
    commits: list[list[str]] = field(default_factory=list)  # paths that each commit adds, changes or deletes

    def find_oid(self, path: str) -> str | None:
        content = self.files.get(path)
        return git_hash(content) if isinstance(content, bytes) else content

    def commit(self, operations: list[dict]) -> None:
        for operation in operations:
            value = operation["value"]
            match operation["key"]:
                case "file":
                    self.files[value["path"]] = base64.b64decode(value["content"], validate=True)
                case "lfsFile":
                    self.files[value["path"]] = value["oid"]
                case "deletedFile":
                    del self.files[value["path"]]
                case other:
                    raise NotImplementedError(other)
        self.commits.append([operation["value"]["path"] for operation in operations])


class StubHub(ThreadingHTTPServer):
    """Serves `repositories`, by type and id, and records `requests`. `refused`: numbers of commits to refuse."""

    daemon_threads = True

    def __init__(self, folder: Path):
        super().__init__(("127.0.0.1", 0), Handler)
        self.store, self.repositories, self.requests = folder / "store", {}, []
        self.refused, self.num_commits = set(), 0
        self.store.mkdir()
        threading.Thread(target=self.serve_forever, args=(0.005,), daemon=True).start()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def list_stored(self) -> set[str]:
        """Names of the blocks of data in the store."""
        return {path.name for path in self.store.rglob("default.*") if path.suffix != ".tagset"}

    def fetch(self, like: Path, target: Path) -> bytes:
        """Return the content that the store has under the address of a file's content."""
        import hf_xet  # not before `hub` has set the place of its log

        (found,) = hf_xet.hash_files([str(like)])
        group = hf_xet.XetSession().new_file_download_group(endpoint=f"local://{self.store}")
        group.start_download_file(hf_xet.XetFileInfo(found.hash, found.file_size), str(target))
        group.wait_to_finish()
        return target.read_bytes()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self):
        self.handle_request()

    def do_POST(self):
        self.handle_request()

    def log_message(self, *args):
        pass

    def handle_request(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        path = urlsplit(self.path).path
        self.server.requests.append(path)
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            self.answer({"error": "Invalid credentials"}, 401)
        elif path == "/api/repos/create":
            self.create(json.loads(body))
        elif path == "/api/validate-yaml":
            self.answer({"errors": [], "warnings": []})
        else:
            _, _, kind, owner, name, *rest = path.split("/")
            repository = self.server.repositories.get((kind.removesuffix("s"), f"{owner}/{name}"))
            self.answer_for(repository, f"{owner}/{name}", rest, body)

    def create(self, given):
        kind, name = given.get("type") or "model", f"{given['organization']}/{given['name']}"
        url = f"{self.server.address}/{'datasets/' if kind == 'dataset' else ''}{name}"
        if (kind, name) in self.server.repositories:
            self.answer({"error": "You already created this repo", "url": url}, 409)
            return
        self.server.repositories[kind, name] = Repository(given.get("visibility") == "private")
        self.answer({"url": url})

    def answer_for(self, repository, name, rest, body):
        match rest:
            case [] | ["revision", "main"]:
                self.answer({"id": name, "private": repository.is_private, "sha": "0" * 40})
            case ["tree", "main"]:
                files = [{"type": "file", "path": path, "oid": "0", "size": 0} for path in repository.files]
                self.answer(files)
            case ["preupload", "main"]:
                files = [
                    {
                        "path": file["path"],
                        "uploadMode": "lfs" if file["path"].endswith(LARGE) else "regular",
                        "shouldIgnore": False,
                        "oid": repository.find_oid(file["path"]),
                    }
                    for file in json.loads(body)["files"]
                ]
                self.answer({"files": files})
            case ["xet-write-token", "main"]:
                expiry = int(time.time()) + 3600
                self.answer({"accessToken": "t", "exp": expiry, "casUrl": f"local://{self.server.store}"})
            case ["commit", "main"]:
                self.server.num_commits += 1
                if self.server.num_commits in self.server.refused:
                    self.answer({"error": "try again later"}, 403)
                    return
                _header, *operations = map(json.loads, body.splitlines())
                repository.commit(operations)
                self.answer({"commitUrl": f"{self.server.address}/{name}/commit/{'0' * 40}", "commitOid": "0" * 40})
            case _:
                raise NotImplementedError(rest)

    def answer(self, content, status=200):
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A running stub, which huggingface_hub uses, with a token."""
    (tmp_path / "hub").mkdir()
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", False)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setenv("HF_XET_LOG_DEST", f"{tmp_path / 'hub' / 'logs'}/")
    with StubHub(tmp_path / "hub") as server:
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", server.address)
        yield server
        server.shutdown()
