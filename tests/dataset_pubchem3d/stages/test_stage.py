import json
import os
import pickle
import subprocess
import sys
import time
from collections import Counter
from functools import partial
from importlib import import_module
from pathlib import Path

import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dataset_pubchem3d.records import RecordError
from dataset_pubchem3d.stages import stage as stages
from dataset_pubchem3d.stages.stage import (
    Part,
    Task,
    make_folder,
    run_stage,
    write_json,
    write_whole,
)
from dataset_pubchem3d.stages.workers import TASKS_IN_FLIGHT, Workers

WORK = '''
import os
import signal
import time
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from dataset_pubchem3d.records import RecordError
from dataset_pubchem3d.stages.stage import Part, Task, run_stage
from dataset_pubchem3d.stages.workers import Workers


def square(calls, number):
    """A part of one row; every call leaves a line in the file `calls`."""
    with open(calls, "a") as lines:
        lines.write(f"{number}\\n")
    part = Part(pa.table({"number": [number], "square": [number**2]}), counts=Counter(rows=1, odd=number % 2))
    if number % 3 == 0:
        part.refuse("invented", RecordError(f"record {number}", "it can be divided by three", f"{number} is µ"))
    return part


def square_but(calls, bad, error, number):
    if number == bad:
        raise error
    return square(calls, number)


def square_or_die(calls, number):
    if number == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return square(calls, number)


def hang(number):
    time.sleep(300)


def square_or_hang(calls, number):
    """From number 2 on, the writing of the part stops half way and goes on never."""
    part = square(calls, number)
    if number >= 2:
        pq.write_table = lambda table, path, **options: (Path(path).write_bytes(b"PAR1 and then"), hang(number))
    return part


def tasks():
    return (Task(f"{number:03d}", number) for number in range(8))
'''


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """A module that worker processes can import too."""
    folder = tmp_path_factory.mktemp("importable")
    (folder / "work_of_stages.py").write_text(WORK, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        yield import_module("work_of_stages")
    del sys.modules["work_of_stages"]


@pytest.fixture(scope="module")
def two():
    with Workers(2) as workers:
        yield workers


@pytest.fixture(params=[1, 2])
def workers(request):
    """One process and two."""
    return Workers(1) if request.param == 1 else request.getfixturevalue("two")


def run_script(script, work, *arguments):
    """Run a Python script that can import the work module of these tests and the package."""
    paths = [os.path.dirname(work.__file__), str(Path(stages.__file__).parents[2])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    command = [sys.executable, "-c", script, *map(str, arguments)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def made(folder, work, workers, settings=("settings",), function=None, tasks=None):
    """A stage of squares below a folder, and the numbers processed since the last call, ascending."""
    calls = folder / "calls"
    calls.write_text("")
    function = function or partial(work.square, calls)
    stage = run_stage(folder / "squares", {"of": settings}, tasks or work.tasks, function, workers, "squares")
    return stage, called(folder)


def called(folder):
    return sorted(map(int, (folder / "calls").read_text().split()))


def left_in(folder):
    return sorted(file.name for file in folder.iterdir())


# ---------------------------------------------------------------------------------------------------------- stages


def test_parts_notes_and_counts_do_not_depend_on_the_number_of_processes(tmp_path, work, workers):
    stage, calls = made(tmp_path, work, workers)
    assert calls == list(range(8))
    assert stage.names == [f"{number:03d}" for number in range(8)]
    assert [table.to_pylist() for table in stage.read_tables()] == [[{"number": i, "square": i**2}] for i in range(8)]
    assert [table.to_pydict() for table in stage.read_tables(["square"])] == [{"square": [i**2]} for i in range(8)]
    reason = "it can be divided by three"
    assert [note["refused"] for note in stage.read_notes()][3] == [
        {"source": "invented", "id": "record 3", "reason": reason, "detail": "3 is µ"}
    ]
    assert stage.sum_counts() == {"rows": 8, "odd": 4, f"refused: {reason}": 3}
    files = [f"{name}.{form}" for name in stage.names for form in ("json", "parquet")]
    assert left_in(stage.folder) == sorted([*files, "stage.json"])


def test_the_bytes_of_a_stage_do_not_depend_on_the_number_of_processes(tmp_path, work, two):
    written = []
    for name, workers in (("one", Workers(1)), ("two", two)):
        (tmp_path / name).mkdir()
        stage, _ = made(tmp_path / name, work, workers)
        written.append({file.name: file.read_bytes() for file in stage.folder.iterdir()})
    assert written[0] == written[1]


def test_a_complete_stage_needs_neither_tasks_nor_work(tmp_path, work, workers):
    first, _ = made(tmp_path, work, workers)
    again, calls = made(tmp_path, work, workers, tasks=lambda: pytest.fail("tasks were asked for"))
    assert again == first
    assert calls == []


def test_an_existing_part_is_not_made_again(tmp_path, work, workers):
    with pytest.raises(OSError, match="no space"):
        made(tmp_path, work, Workers(1), function=partial(work.square_but, tmp_path / "calls", 3, OSError("no space")))
    assert called(tmp_path) == [0, 1, 2]
    before = (tmp_path / "squares" / "001.parquet").stat()
    stage, calls = made(tmp_path, work, workers)
    assert calls == [3, 4, 5, 6, 7]
    assert (tmp_path / "squares" / "001.parquet").stat().st_mtime_ns == before.st_mtime_ns
    assert [table["number"].to_pylist() for table in stage.read_tables()] == [[i] for i in range(8)]
    assert stage.sum_counts()["rows"] == 8


def test_other_settings_redo_everything(tmp_path, work):
    first, _ = made(tmp_path, work, Workers(1), settings=1)
    stray = first.folder / "of an older build.parquet"
    stray.touch()
    second, calls = made(tmp_path, work, Workers(1), settings=2)
    assert calls == list(range(8))
    assert first.key != second.key
    assert not stray.exists()


def test_other_settings_redo_the_parts_of_an_unfinished_stage(tmp_path, work):
    with pytest.raises(OSError, match="no space"):
        made(tmp_path, work, Workers(1), function=partial(work.square_but, tmp_path / "calls", 3, OSError("no space")))
    assert made(tmp_path, work, Workers(1), settings=2)[1] == list(range(8))


def test_another_format_of_parts_redoes_everything(tmp_path, work, monkeypatch):
    made(tmp_path, work, Workers(1))
    monkeypatch.setattr(stages, "FORMAT", stages.FORMAT + 1)
    assert made(tmp_path, work, Workers(1))[1] == list(range(8))


def test_the_key_depends_on_the_settings_and_not_on_their_order(tmp_path, work):
    keys = []
    for settings in ({"a": 1, "b": [2, None]}, {"b": (2, None), "a": 1}, {"a": 1, "b": [2, 0]}):
        keys.append(made(tmp_path, work, Workers(1), settings=settings)[0].key)
    assert keys[0] == keys[1] != keys[2]


def test_a_part_with_notes_but_without_a_table_is_made_again(tmp_path, work):
    stage, _ = made(tmp_path, work, Workers(1))
    write_json(stage.folder / "stage.json", {"key": stage.key, "parts": None})  # as after an interrupted build
    stage.files[2].unlink()
    (stage.folder / "002.json").write_text('{"counts": {"of another time": 9}, "refused": []}', encoding="utf-8")
    again, calls = made(tmp_path, work, Workers(1))
    assert calls == [2]
    assert again.sum_counts() == stage.sum_counts()


def test_a_part_missing_from_a_complete_stage_is_made_again(tmp_path, work):
    stage, _ = made(tmp_path, work, Workers(1))
    stage.files[2].unlink()
    again, calls = made(tmp_path, work, Workers(1))
    assert calls == [2]
    assert [table["number"].to_pylist() for table in again.read_tables()] == [[i] for i in range(8)]


def test_remains_of_a_killed_process_are_removed(tmp_path, work):
    with pytest.raises(OSError, match="no space"):
        made(tmp_path, work, Workers(1), function=partial(work.square_but, tmp_path / "calls", 3, OSError("no space")))
    for name in (".003.parquet.4242.tmp", ".003.json.4242.tmp"):
        (tmp_path / "squares" / name).write_bytes(b"PAR1")
    stage, calls = made(tmp_path, work, Workers(1))
    assert calls == [3, 4, 5, 6, 7]
    assert not list(stage.folder.glob(".*"))


def test_a_stage_without_tasks_is_complete_and_empty(tmp_path, work, workers):
    stage, _ = made(tmp_path, work, workers, tasks=list)
    assert (stage.names, list(stage.read_tables()), stage.sum_counts()) == ([], [], Counter())
    assert made(tmp_path, work, workers, tasks=lambda: pytest.fail("tasks were asked for"))[0] == stage


def test_tables_are_read_one_by_one(tmp_path, work):
    stage, _ = made(tmp_path, work, Workers(1))
    tables = stage.read_tables()
    next(tables)
    stage.files[1].unlink()
    with pytest.raises(FileNotFoundError, match=r"001\.parquet"):
        next(tables)


def test_nested_columns_nulls_and_empty_tables_round_trip(tmp_path):
    schema = pa.schema({"positions": pa.list_(pa.list_(pa.float32(), 3)), "name": pa.string(), "z": pa.uint8()})
    rows = [{"positions": [[0, 1, 2.5]], "name": None, "z": 8}, {"positions": [], "name": "µ", "z": None}]
    parts = {"filled": pa.Table.from_pylist(rows, schema), "empty": schema.empty_table()}
    tasks = [Task(name, name) for name in parts]
    stage = run_stage(tmp_path / "s", {}, lambda: tasks, lambda name: Part(parts[name]), Workers(1), "s")
    tables = list(stage.read_tables())
    assert [table.schema for table in tables] == [schema, schema]
    assert [table.to_pylist() for table in tables] == [rows, []]


# --------------------------------------------------------------------------------------------------------- workers


def test_tasks_are_consumed_only_as_fast_as_they_are_processed(workers):
    allowed = 1 if workers.num_proc == 1 else TASKS_IN_FLIGHT * workers.num_proc
    in_flight, highest = 0, 0

    def arguments():
        nonlocal in_flight, highest
        for number in range(40):
            in_flight += 1
            highest = max(highest, in_flight)
            yield -number

    results = []
    for result in workers.run(abs, arguments()):
        in_flight -= 1
        results.append(result)
    assert sorted(results) == list(range(40))
    assert highest == allowed


def test_endless_tasks_can_be_processed(workers):
    def arguments():
        number = 0
        while True:
            yield (number := number - 1)

    results = workers.run(abs, arguments())
    assert len({next(results) for _ in range(20)}) == 20
    results.close()


@pytest.mark.parametrize("num_proc", [1, 2])
@pytest.mark.parametrize("error", [RecordError("CID 7", "a reason", "a detail"), OSError(28, "no space")])
def test_an_error_in_a_worker_is_raised_and_finished_parts_are_kept(tmp_path, work, num_proc, error):
    with pytest.raises(type(error)) as raised, Workers(num_proc) as workers:
        made(tmp_path, work, workers, function=partial(work.square_but, tmp_path / "calls", 5, error))
    assert str(raised.value) == str(error)
    assert vars(raised.value) == vars(error)
    finished = called(tmp_path)
    assert finished[:5] == [0, 1, 2, 3, 4]
    stage, calls = made(tmp_path, work, Workers(1))
    assert calls == sorted(set(range(8)) - set(finished))
    assert calls[0] == 5
    assert stage.sum_counts()["rows"] == 8


@pytest.mark.parametrize("num_proc", [1, 2])
def test_an_error_in_the_tasks_is_raised_and_finished_parts_are_kept(tmp_path, work, num_proc):
    def tasks():
        yield from list(work.tasks())[:6]
        raise ValueError("the raw file is cut off")

    with pytest.raises(ValueError, match="cut off"), Workers(num_proc) as workers:
        made(tmp_path, work, workers, tasks=tasks)
    finished = called(tmp_path)
    assert finished == list(range(6)) if num_proc == 1 else len(finished) >= 3  # the others may have been cancelled
    assert json.loads((tmp_path / "squares" / "stage.json").read_text())["parts"] is None
    assert made(tmp_path, work, Workers(1))[1] == sorted(set(range(8)) - set(finished))


def test_a_killed_worker_is_an_error_and_finished_parts_are_kept(tmp_path, work):
    with Workers(2) as workers, pytest.raises(OSError, match="a worker process was killed; run the command again"):
        made(tmp_path, work, workers, function=partial(work.square_or_die, tmp_path / "calls"))
    stage, _ = made(tmp_path, work, Workers(1))
    assert stage.sum_counts()["rows"] == 8


@pytest.mark.parametrize("error", [RecordError("CID 7", "a reason", "a detail"), RecordError("CID 7", "a reason")])
def test_a_bad_record_survives_pickling(error):
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is RecordError
    assert (copy.record_id, copy.reason, copy.detail) == (error.record_id, error.reason, error.detail)
    assert (str(copy), copy.args) == (str(error), error.args)


KILLED = """
import sys
from functools import partial
from pathlib import Path
from work_of_stages import *

if __name__ == "__main__":
    folder = Path(sys.argv[1])
    with Workers(2) as workers:
        function = partial(square_or_hang, folder / "calls")
        run_stage(folder / "squares", {"of": ("settings",)}, tasks, function, workers, "squares")
"""


def test_a_killed_build_leaves_no_process_and_no_incomplete_part(tmp_path, work):
    script = tmp_path / "killed.py"
    script.write_text(KILLED, encoding="utf-8")
    parent = run_script(f"import runpy; runpy.run_path({str(script)!r}, run_name='__main__')", work, tmp_path)
    folder = tmp_path / "squares"
    wait_until(lambda: parent.poll() is not None or len(list(folder.glob(".*.parquet.*.tmp"))) == 2)
    family = psutil.Process(parent.pid).children(recursive=True)
    assert len(family) >= 2
    parent.kill()
    parent.wait()
    _, alive = psutil.wait_procs(family, timeout=20)
    for process in alive:
        process.kill()
    parent.communicate()
    assert not alive

    assert sorted(file.name for file in folder.glob("*.parquet")) == ["000.parquet", "001.parquet"]
    assert [pq.read_table(file)["number"].to_pylist() for file in sorted(folder.glob("*.parquet"))] == [[0], [1]]
    assert len(list(folder.glob(".*.tmp"))) == 2  # otherwise nothing was stopped halfway
    stage, calls = made(tmp_path, work, Workers(1))
    assert calls == [2, 3, 4, 5, 6, 7]
    assert not list(folder.glob(".*"))
    assert [table["square"].to_pylist() for table in stage.read_tables()] == [[i**2] for i in range(8)]


def wait_until(condition):
    for _ in range(600):
        if condition():
            return
        time.sleep(0.05)
    pytest.fail("waited in vain")


# ----------------------------------------------------------------------------------------------------- whole files


def test_a_file_is_written_atomically(tmp_path):
    file = tmp_path / "file"
    file.write_text("old")
    with write_whole(file) as partial_:
        partial_.write_text("new")
        assert partial_.parent == file.parent  # on the same disk, so that it can be renamed atomically
        assert file.read_text() == "old"
    assert file.read_text() == "new"
    assert left_in(tmp_path) == ["file"]


@pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt()])
def test_a_failure_leaves_only_the_old_file(tmp_path, error):
    file = tmp_path / "file"
    file.write_text("old")

    def write_half():
        with write_whole(file) as partial_:
            partial_.write_text("half")
            raise error

    with pytest.raises(type(error)):
        write_half()
    assert file.read_text() == "old"
    assert left_in(tmp_path) == ["file"]


def test_a_failure_before_the_first_byte_leaves_nothing(tmp_path):
    with pytest.raises(ValueError, match="no"), write_whole(tmp_path / "file"):
        raise ValueError("no")
    assert left_in(tmp_path) == []


def test_content_that_is_not_json_leaves_the_old_file(tmp_path):
    write_json(tmp_path / "file", {"name": "µ", "n": [1, None]})
    with pytest.raises(TypeError, match="set"):
        write_json(tmp_path / "file", {"name": {1}})
    assert (tmp_path / "file").read_text(encoding="utf-8").splitlines()[1] == ' "name": "µ",'
    assert json.loads((tmp_path / "file").read_bytes()) == {"name": "µ", "n": [1, None]}
    assert left_in(tmp_path) == ["file"]


FULL = """
import errno, resource, sys
from pathlib import Path
import numpy as np, pyarrow as pa
from dataset_pubchem3d.stages.stage import Part, Task, run_stage, write_json, write_whole
from dataset_pubchem3d.stages.workers import Workers

folder = Path(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))  # as on a full disk, no file grows beyond


def failed(write):
    try:
        write()
    except OSError as error:
        assert error.errno == errno.EFBIG, error
        return
    raise AssertionError("the disk was not full")


def write_bytes():
    with write_whole(folder / "file") as partial:
        partial.write_bytes(b"x" * 50_000)


def noise(rows):
    return Part(pa.table({"noise": np.random.default_rng(0).random(rows)}))


failed(write_bytes)
failed(lambda: write_json(folder / "file", "x" * 50_000))
tasks = [Task("small", 10), Task("large", 50_000), Task("never", 10)]
failed(lambda: run_stage(folder / "stage", {}, lambda: tasks, noise, Workers(1), "noise"))
"""


def test_a_full_disk_leaves_the_old_file_and_the_finished_parts(tmp_path, work):
    (tmp_path / "file").write_text("old")
    process = run_script(FULL, work, tmp_path)
    assert (process.communicate()[1], process.returncode) == ("", 0)
    assert left_in(tmp_path) == ["file", "stage"]
    assert (tmp_path / "file").read_text() == "old"
    assert left_in(tmp_path / "stage") == ["large.json", "small.json", "small.parquet", "stage.json"]
    assert len(pq.read_table(tmp_path / "stage" / "small.parquet")) == 10


# ----------------------------------------------------------------------------------------------------------- steps


def test_a_folder_is_made_once(tmp_path):
    calls = []

    def make(folder):
        calls.append(folder)
        (folder / "bounds").write_text(str(len(calls)))

    first, second = (make_folder(tmp_path / "windows", {"of": 1}, make) for _ in range(2))
    assert first == second
    assert calls == [tmp_path / "windows"]
    assert make_folder(tmp_path / "windows", {"of": 2}, make) != first
    assert (tmp_path / "windows" / "bounds").read_text() == "2"


def test_an_interrupted_folder_is_made_again_from_scratch(tmp_path):
    def add_to_file(folder, error=None):
        with open(folder / "file", "a") as file:
            file.write("row")
        if error:
            raise error

    with pytest.raises(KeyboardInterrupt):
        make_folder(tmp_path / "windows", {}, partial(add_to_file, error=KeyboardInterrupt()))
    make_folder(tmp_path / "windows", {}, add_to_file)
    assert (tmp_path / "windows" / "file").read_text() == "row"
