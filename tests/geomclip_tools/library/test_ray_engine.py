"""On a Ray cluster of two nodes, which run on this machine, an index is what it is without one."""

import os
import signal
import threading

import numpy as np
import pandas as pd
import pytest

from dataset_pubchem3d.stages.ray_workers import connect_to_ray
from geomclip_tools.library import MoleculeIndex
from geomclip_tools.library.processes import ProcessEnded
from geomclip_tools.library.ray_processes import RayProcesses

pytest.importorskip("ray")
pytestmark = pytest.mark.slow
SMILES = [f"{'C' * length}{group}" for length in range(1, 13) for group in ("O", "N", "C(=O)O", "c1ccccc1")]
VECTORS = {"vector": "positions", "text_vector": "text"}


@pytest.fixture
def processes(ray_cluster):
    with connect_to_ray():
        yield RayProcesses


@pytest.fixture
def table(tmp_path):
    """Molecules, some with a text, and one line that is refused."""
    path = tmp_path / "library.csv"
    texts = [f"number {number}" if number % 5 == 0 else None for number in range(len(SMILES))]
    rows = pd.DataFrame({"smiles": SMILES, "text": texts})
    pd.concat([rows, pd.DataFrame({"smiles": ["C(C"], "text": [None]})]).to_csv(path, index=False)
    return str(path)


@pytest.fixture
def local(model, processor, table, tmp_path):
    index = MoleculeIndex.create(tmp_path / "local", (model, processor))
    return index, index.add(table, num_proc=0)


def read_rows(index, path):
    index.export(path)
    return pd.read_parquet(path).sort_values("inchikey").reset_index(drop=True)


def assert_same(index, other, tmp_path):
    """Assert that two indexes have the same columns, and embeddings that differ by 1e-3 at most."""
    rows, others = read_rows(index, tmp_path / "rows.parquet"), read_rows(other, tmp_path / "others.parquet")
    embeddings = [name for name in rows.columns if name in VECTORS]
    assert "vector" in embeddings
    for name in embeddings:
        pairs = [(a, b) for a, b in zip(rows[name], others[name]) if a is not None or b is not None]
        np.testing.assert_allclose(*map(np.stack, zip(*pairs)), atol=1e-3)
    pd.testing.assert_frame_equal(rows.drop(columns=embeddings), others.drop(columns=embeddings))


class Unreadable:
    def __reduce__(self):
        return refuse, ()


def refuse():
    raise RuntimeError("it cannot be sent")


def test_results_errors_and_ended_processes_return(processes):
    pool = processes(60)
    good, bad = pool.submit(pow, 2, 5), pool.submit(int, "x")
    assert good.result() == 32
    with pytest.raises(ValueError, match="invalid literal"):
        bad.result()
    with pytest.raises(ProcessEnded, match="ended with status -9"):
        pool.submit(os.kill, pool.submit(os.getpid).result(), signal.SIGKILL).result()


def compute_for_ever(marks):
    with open(marks, "a") as lines:
        lines.write("started\n")
    return sum(range(10**12))


def test_a_task_that_uses_up_its_processor_time_is_ended_once(processes, tmp_path):
    pool, marks = processes(1.5), tmp_path / "marks"
    long, short = pool.submit(compute_for_ever, marks), pool.submit(pow, 2, 3)
    with pytest.raises(ProcessEnded, match=r"more than 1\.5 s of processor time"):
        long.result()
    assert short.result() == 8
    assert marks.read_text() == "started\n"


def test_an_error_of_ray_s_task_is_no_fault_of_the_molecule(processes):
    with pytest.raises(OSError, match=r"Ray failed \(RaySystemError\): System error: it cannot be sent"):
        processes(60).submit(pow, Unreadable(), 2).result()


def test_an_index_is_that_of_the_local_engine(ray_cluster, model, processor, table, local, tmp_path):
    index = MoleculeIndex.create(tmp_path / "ray", (model, processor))
    assert index.add(table, batch_size=20, engine="ray") == local[1]
    assert local[1]["added"] == len(SMILES)
    assert local[1]["refused"] == 1
    assert_same(index, local[0], tmp_path)


def add_while(index, table, lose):
    """Add a table; call `lose` as soon as the index has 8 molecules, and return the counts and the molecules then."""
    is_over, lost = threading.Event(), []

    def watch():
        while len(index) < 8:
            if is_over.wait(0.05):
                return
        lose()
        lost.append(len(index))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        counts = index.add(table, batch_size=8, engine="ray")
    finally:
        is_over.set()
        watcher.join()
    return counts, lost


def test_a_lost_machine_costs_only_time(ray_cluster, model, processor, table, local, tmp_path):
    node = ray_cluster.add_node(num_cpus=4)  # it has an actor, and most tasks
    index = MoleculeIndex.create(tmp_path / "ray", (model, processor))
    counts, lost = add_while(index, table, lambda: ray_cluster.remove_node(node, allow_graceful=False))
    assert counts == local[1]
    assert lost[0] < len(SMILES)
    assert_same(index, local[0], tmp_path)


def test_a_lost_gpu_is_not_waited_for(ray_cluster, model, processor, table, local, tmp_path):
    """Ray counts GPUs that it is told of; the actors compute on the CPU."""
    nodes = [ray_cluster.add_node(num_cpus=1, num_gpus=1) for _ in range(2)]
    index = MoleculeIndex.create(tmp_path / "ray", (model, processor))
    counts, lost = add_while(index, table, lambda: ray_cluster.remove_node(nodes[0], allow_graceful=False))
    ray_cluster.remove_node(nodes[1])
    assert counts == local[1]
    assert lost[0] < len(SMILES)
    assert_same(index, local[0], tmp_path)


def test_without_a_copy_of_the_model_left_there_is_an_error(ray_cluster, model, processor, table, tmp_path):
    node = ray_cluster.add_node(num_cpus=1, num_gpus=1)
    index = MoleculeIndex.create(tmp_path / "ray", (model, processor))
    with pytest.raises(OSError, match="all copies of the model were lost; run the command again"):
        add_while(index, table, lambda: ray_cluster.remove_node(node, allow_graceful=False))
    assert 8 <= len(index) < len(SMILES)


def test_an_unknown_engine_is_refused_before_anything_is_read(model, processor, tmp_path):
    index = MoleculeIndex.create(tmp_path / "index", (model, processor))
    with pytest.raises(ValueError, match="engine is 'spark'; choose one of local, ray"):
        index.add("missing.csv", engine="spark")
