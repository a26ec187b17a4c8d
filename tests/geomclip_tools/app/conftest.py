"""An index of the released model with a few molecules, and a server for it."""

import csv
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from geomclip_tools.app.answers import Answers
from geomclip_tools.library import MoleculeIndex
from geomclip_tools.library.processes import Processes
from tests.geomclip_tools.app.serve import caption
from tests.geomclip_tools.app.small_library import MOLECULES

ROOT = Path(__file__).resolve().parents[3]
RELEASE = str(ROOT / "release" / "geomclip-mini")


@pytest.fixture(scope="session")
def index(tmp_path_factory) -> MoleculeIndex:
    folder = tmp_path_factory.mktemp("secret_folder")
    with (folder / "library.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("name", "smiles", "text", "price"), *((*row, 7) for row in MOLECULES)])
    made = MoleculeIndex.create(folder / "index", RELEASE)
    assert made.add(str(folder / "library.csv"), num_proc=0)["added"] == len(MOLECULES)
    return made


@pytest.fixture(scope="session")
def answers(index) -> Answers:
    return Answers(index, Processes(0, 0), caption)


@pytest.fixture(scope="session")
def url(index) -> Iterator[str]:
    """Address of a server of the index."""
    with serve(index, 100) as address:
        yield address


@contextmanager
def serve(index: MoleculeIndex, longest_queue: int) -> Iterator[str]:
    """Serve an index in a process of its own."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = [sys.executable, "-m", "tests.geomclip_tools.app.serve", index.info()["index"], port, longest_queue]
    process = subprocess.Popen([*map(str, words)], cwd=ROOT)
    address = f"http://127.0.0.1:{port}/"
    try:
        wait_for(address, process)
        yield address
    finally:
        process.terminate()
        process.wait(30)


def wait_for(address: str, process: subprocess.Popen) -> None:
    for _ in range(1200):
        assert process.poll() is None, "the server has ended"
        try:
            requests.get(address, timeout=10)
            return
        except requests.ConnectionError:
            time.sleep(0.1)
    raise TimeoutError(address)
