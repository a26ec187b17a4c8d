"""An addition survives its own death, molecules that end their process, and another writer."""

import subprocess
import sys
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
