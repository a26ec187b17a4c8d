"""An addition survives its own death, a full disk, molecules that end their process, and another writer."""

import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from geomclip_tools.library import MoleculeIndex, adding
from geomclip_tools.library.processes import ProcessEnded, Processes

ROOT = Path(__file__).resolve().parents[3]
SMILES = [*("C" * length for length in range(1, 11)), "C1CC", "CO", "OC"]
KILLED_IN_THE_SECOND_BATCH = """
import os, signal, sys
from geomclip_tools.library import MoleculeIndex
from geomclip_tools.library.store import MoleculeStore
write, calls = MoleculeStore.write, []
def write_then_die(self, rows):
    calls.append(rows)
    written = write(self, rows)
    if len(calls) == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return written
MoleculeStore.write = write_then_die
path, model, library = sys.argv[1:]
MoleculeIndex.create(path, model).add(library, num_proc=0, batch_size=3)
"""
ADD = """
import sys
from geomclip_tools.library import MoleculeIndex
path, model, library = sys.argv[1:]
index = MoleculeIndex.create(path, model)
print("ready", flush=True)
index.add(library, num_proc=1, batch_size=5)
"""


@pytest.fixture
def library(tmp_path) -> str:
    path = tmp_path / "library.smi"
    path.write_text("".join(f"{smiles}\n" for smiles in SMILES))
    return str(path)


def list_sources(index):
    return sorted(
        source for batch in index._store.scan(["sources"]) for row in batch["sources"].to_pylist() for source in row
    )


def test_after_a_kill_the_same_addition_goes_on(model, processor, library, tmp_path):
    model.save_pretrained(tmp_path / "geomclip")
    processor.save_pretrained(tmp_path / "geomclip")
    path = str(tmp_path / "index")
    command = [sys.executable, "-c", KILLED_IN_THE_SECOND_BATCH, path, str(tmp_path / "geomclip"), library]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == -9, result.stderr
    index = MoleculeIndex.open(path, (model, processor))
    assert len(index) == 6
    counts = index.add(library, num_proc=0, batch_size=3)
    assert (counts["skipped"], counts["added"], counts["united"], counts["refused"]) == (6, 5, 1, 1)
    assert len(index) == 11
    good = [line for line, smiles in enumerate(SMILES, start=1) if smiles != "C1CC"]
    assert list_sources(index) == sorted(f"{library}, line {line}" for line in good)


@pytest.fixture
def saved(model, processor, tmp_path) -> str:
    """Folder of a checkpoint."""
    model.save_pretrained(tmp_path / "geomclip")
    processor.save_pretrained(tmp_path / "geomclip")
    return str(tmp_path / "geomclip")


def list_molecules(index) -> list[str]:
    return [key for batch in index._store.scan(["inchikey"]) for key in batch["inchikey"].to_pylist()]


@pytest.mark.slow
def test_twenty_kills_lose_nothing_and_add_nothing_twice(model, processor, saved, tmp_path):
    tails = ("", "O", "N", "Cl", "Br", "S", "F", "=O", "#N", "C(=O)O")
    smiles = ["C" * length + tail for length in range(2, 42) for tail in tails]
    library, path, rng, numbers = tmp_path / "library.smi", tmp_path / "index", random.Random(0), [0]
    library.write_text("".join(f"{each}\n" for each in smiles))
    for _ in range(20):
        command = [sys.executable, "-c", ADD, str(path), saved, str(library)]
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        assert process.stdout.readline() == "ready\n"
        before = numbers[-1]
        deadline = time.monotonic() + 60
        while len(MoleculeIndex.open(path)) == before and time.monotonic() < deadline:  # until it has done something
            time.sleep(0.05)
        time.sleep(rng.uniform(0, 0.2))
        process.kill()
        process.wait()
        process.stdout.close()
        found = list_molecules(MoleculeIndex.open(path, (model, processor)))
        assert len(found) == len(set(found))
        numbers.append(len(found))
    assert numbers == sorted(numbers)
    assert numbers[1] < len(smiles) / 2, "the first kill came too late to test anything"
    index = MoleculeIndex.open(path, (model, processor))
    counts = index.add(str(library), num_proc=0)
    found = list_molecules(index)
    assert counts["refused"] == 0
    assert len(found) == len(set(found)) == len(smiles)
    assert list_sources(index) == sorted(f"{library}, line {line}" for line in range(1, len(smiles) + 1))
    assert len(index.search("an acid", top_k=5)) == 5


@pytest.fixture
def small_disk(tmp_path):
    """A folder on a disk of 3 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(folder)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("only root may mount a small disk")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.mark.slow
def test_a_full_disk_keeps_what_was_written(model, processor, small_disk, tmp_path):
    library, path = tmp_path / "library.smi", small_disk / "index"
    library.write_text(
        "".join(
            f"{'C' * (1 + number % 20)}{'O' * (number // 20 % 2)} name {number} {'x' * 9000}\n" for number in range(600)
        )
    )
    index = MoleculeIndex.create(path, (model, processor))
    with pytest.raises(
        OSError, match=r"index cannot be written .*No space left on device.* all earlier batches are kept"
    ):
        index.add(str(library), num_proc=0, batch_size=50)
    index = MoleculeIndex.open(path, (model, processor))
    found = list_molecules(index)
    assert 0 < len(found) == len(set(found))
    assert len(index.search("an acid", top_k=5)) == 5


class FragileProcesses(Processes):
    """Processes that end on decane, as those in which RDKit crashes."""

    def submit(self, function, *arguments):
        future = super().submit(function, *arguments)
        if "CCCCCCCCCC" in str(arguments):
            future = type(future)()
            future.set_exception(ProcessEnded("its process ended with status -11"))
        return future


def test_a_molecule_that_ends_its_process_is_quarantined_alone(model, processor, library, tmp_path, monkeypatch):
    monkeypatch.setattr("geomclip_tools.library.index.Processes", FragileProcesses)
    index = MoleculeIndex.create(tmp_path / "index", (model, processor))
    counts = index.add(library, num_proc=0)
    assert (counts["added"], counts["united"], counts["refused"]) == (10, 1, 2)
    assert counts["reasons"][adding.ENDED] == 1


def test_two_indexes_at_once_take_turns(model, processor, library, tmp_path, monkeypatch):
    index = MoleculeIndex.create(tmp_path / "index", (model, processor))
    other = MoleculeIndex.open(tmp_path / "index", (model, processor))
    finish = adding.Addition._finish

    def add_elsewhere_first(addition, molecules):
        monkeypatch.setattr(adding.Addition, "_finish", finish)
        (tmp_path / "other.smi").write_text("CC ethane\nCS\n")
        assert other.add(str(tmp_path / "other.smi"), num_proc=0)["added"] == 2
        return finish(addition, molecules)

    monkeypatch.setattr(adding.Addition, "_finish", add_elsewhere_first)
    counts = index.add(library, num_proc=0)
    assert (counts["added"], counts["united"]) == (10, 2)
    assert len(index) == len(other) == 12
    (row,) = other.search("the ring", where="smiles = 'CC'")
    assert (row["names"], len(row["sources"])) == (["ethane"], 2)


@pytest.mark.slow
def test_processes_make_the_same_rows(model, processor, library, tmp_path):
    rows = []
    for num_proc in (0, 2):
        index = MoleculeIndex.create(tmp_path / f"index{num_proc}", (model, processor))
        index.add(library, num_proc=num_proc)
        rows.append(index.search("the ring").to_list())
    assert rows[0] == rows[1]
