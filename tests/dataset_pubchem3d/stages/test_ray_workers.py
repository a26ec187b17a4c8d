"""Tasks on a Ray cluster of two nodes, which run on this machine."""

import os
import re
import socket
import time
from functools import partial
from pathlib import Path

import pyarrow as pa
import pytest

from dataset_pubchem3d.records import RecordError
from dataset_pubchem3d.stages import ray_workers
from dataset_pubchem3d.stages.ray_workers import RayWorkers, check_machines, connect_to_ray
from dataset_pubchem3d.stages.stage import Part, Task, run_stage
from dataset_pubchem3d.stages.workers import TASKS_IN_FLIGHT, Workers

pytest.importorskip("ray")
pytestmark = pytest.mark.slow


@pytest.fixture
def workers(ray_cluster, tmp_path):
    with RayWorkers(tmp_path) as workers:
        yield workers


def square(number):
    part = Part(pa.table({"number": [number], "square": [number**2]}))
    part.counts["odd"] += number % 2
    if number % 3 == 0:
        part.refuse("invented", RecordError(f"record {number}", "it can be divided by three", f"{number} is µ"))
    return part


def square_but(bad, error, number):
    if number == bad:
        raise error
    return square(number)


def die(number):
    os._exit(1)


def sleep_and_square(marks, number):
    (marks / f"{number}.{os.getpid()}").touch()
    time.sleep(0.5)
    return square(number)


def make_stage(folder, workers, function, number=8):
    tasks = [Task(f"{place:03d}", place) for place in range(number)]
    return run_stage(folder / "squares", {}, lambda: tasks, function, workers, "squares")


def read_bytes(folder):
    return {file.name: file.read_bytes() for file in sorted(folder.iterdir())}


def test_a_stage_has_the_bytes_of_the_local_engine(tmp_path, workers):
    make_stage(tmp_path / "ray", workers, square)
    make_stage(tmp_path / "local", Workers(1), square)
    assert read_bytes(tmp_path / "ray" / "squares") == read_bytes(tmp_path / "local" / "squares")


def test_arguments_are_consumed_only_as_fast_as_processors_are_free(workers):
    in_flight, highest = 0, 0

    def list_arguments():
        nonlocal in_flight, highest
        for number in range(20):
            in_flight += 1
            highest = max(highest, in_flight)
            yield -number

    results = []
    for result in workers.run(abs, list_arguments()):
        in_flight -= 1
        results.append(result)
    assert sorted(results) == [*range(20)]
    assert highest == TASKS_IN_FLIGHT * 2


@pytest.mark.parametrize("error", [RecordError("CID 7", "a reason", "a detail"), OSError(28, "no space")])
def test_an_error_in_a_task_is_raised_as_it_is_and_finished_parts_are_kept(tmp_path, workers, error):
    with pytest.raises(type(error)) as raised:
        make_stage(tmp_path, workers, partial(square_but, 5, error))
    assert str(raised.value) == str(error)
    assert vars(raised.value) == vars(error)
    assert len([*(tmp_path / "squares").glob("*.parquet")]) >= 2
    make_stage(tmp_path, workers, square)


def test_a_task_that_always_kills_its_process_is_an_error(workers):
    with pytest.raises(OSError, match=r"a task was lost 6 times \(WorkerCrashedError\); run the command again"):
        list(workers.run(die, [1]))


def test_a_folder_that_a_machine_does_not_see_is_named_with_the_machine(workers, tmp_path, monkeypatch):
    seen = tmp_path / "seen by the driver"
    seen.mkdir()
    monkeypatch.setattr(Path, "resolve", lambda path: seen if path == tmp_path else path)
    monkeypatch.setattr(Path, "touch", lambda path: None)
    monkeypatch.setattr(Path, "unlink", lambda path: None)
    message = rf"{re.escape(socket.gethostname())} does not see {tmp_path}; choose a --work that all machines share"
    with pytest.raises(OSError, match=message):
        check_machines(tmp_path)


def test_a_machine_with_another_version_is_named(workers, monkeypatch):
    monkeypatch.setattr(ray_workers, "version", lambda name: "0.0.0")
    with pytest.raises(OSError, match=rf"{re.escape(socket.gethostname())} has geomclip \S+; install 0\.0\.0 on every"):
        check_machines()


def test_the_session_of_the_caller_is_not_shut_down(ray_cluster):
    import ray

    with connect_to_ray():
        with connect_to_ray():
            pass
        assert ray.is_initialized()
    assert not ray.is_initialized()


def test_a_lost_machine_costs_only_time(tmp_path, ray_cluster):
    marks = tmp_path / "marks"
    marks.mkdir()
    node = ray_cluster.add_node(num_cpus=2)
    with RayWorkers(tmp_path) as workers:
        results = workers.run(partial(sleep_and_square, marks), range(16))
        squares = [next(results)]
        ray_cluster.remove_node(node, allow_graceful=False)
        squares += results
    assert sorted(part.table["number"][0].as_py() for part in squares) == [*range(16)]
    started = [mark.name.split(".")[0] for mark in marks.iterdir()]
    assert len(started) > len(set(started))  # some tasks ran twice


def test_without_a_cluster_at_the_address_there_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    with (
        pytest.raises(ConnectionError, match=r"no Ray cluster answers at RAY_ADDRESS=127\.0\.0\.1:1: "),
        RayWorkers(tmp_path),
    ):
        pass
