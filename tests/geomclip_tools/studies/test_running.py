"""Processes of stages and measurements: each runs once, resumes after a kill, and is alone in its folder."""

import fcntl
import json
import shutil
import subprocess
import sys

import pytest

from geomclip_tools.studies.running import (
    DONE,
    LOG,
    Bench,
    StageError,
    build_evaluation_command,
    build_training,
    list_flags,
    measure,
    open_log,
    read_inputs,
    run_stage,
)
from geomclip_tools.studies.runs import TEST, VALIDATION, Stage, list_measurements, list_runs
from geomclip_tools.studies.study import read_study
from tests.geomclip_tools.studies.conftest import SCRIPT


@pytest.fixture
def bench(tmp_path) -> Bench:
    (tmp_path / "pairs.csv").write_text("smiles,text\n")
    return Bench(tmp_path / "runs", {"pairs": str(tmp_path / "pairs.csv")})


def make_stage(**settings) -> Stage:
    return Stage("first", {"script": SCRIPT, **settings}, seed=0)


def test_a_stage_is_trained_once_and_recorded(bench):
    stage = make_stage(level=2)
    run_stage(stage, bench)
    folder = bench.folder / stage.folder
    record = json.loads((folder / DONE).read_text())
    assert (record["stage"], record["seed"], record["settings"]) == ("first", 0, stage.settings)
    assert record["hours"] >= 0
    assert record["hardware"]
    assert set(record) >= {"commit", "command", "date"}
    assert str(bench.folder) not in (folder / DONE).read_text()
    log, changed = (folder / LOG).read_text(), (folder / DONE).stat().st_mtime_ns
    run_stage(stage, bench)
    assert (folder / LOG).read_text() == log
    assert (folder / DONE).stat().st_mtime_ns == changed


def test_a_later_stage_is_given_the_folder_of_the_earlier_one(bench, study):
    run = list_runs(study.choose(["base"]))[0]
    for stage in run.stages:
        run_stage(stage, bench)
    steps = [(bench.folder / stage.folder / "steps.txt").read_text().split("\n") for stage in run.stages]
    assert steps[0][0] == "0 from None"
    assert steps[1][0] == "0 from True"


def test_a_killed_stage_goes_on(bench):
    stage = make_stage(die_at=1)
    with pytest.raises(StageError, match="exit code -9"):
        run_stage(stage, bench)
    folder = bench.folder / stage.folder
    assert not (folder / DONE).exists()
    run_stage(stage, bench)
    assert (folder / "steps.txt").read_text() == "0 from None\n1 from None\n2 from None\n"
    assert (folder / DONE).exists()
    assert (folder / LOG).read_text().count("fake_training.py") == 2


def test_an_error_shows_the_end_of_the_log(bench):
    stage = make_stage(error="out of luck")
    with pytest.raises(StageError) as caught:
        run_stage(stage, bench)
    lines = str(caught.value).splitlines()
    assert lines[-3:-1] == ["a line before", "out of luck"]
    assert lines[-1] == f"failed with exit code 3; the full log is {bench.folder / stage.folder / LOG}"


def test_the_training_s_own_record_tells_hours_and_hardware(bench):
    stage = make_stage()
    folder = bench.folder / stage.folder
    for place, seconds in ((folder, 3600), (folder / "last", 7200)):
        place.mkdir(parents=True)
        (place / "train_config.json").write_text(json.dumps({"seconds": seconds, "hardware": "2 abaci"}))
    run_stage(stage, bench)
    record = json.loads((folder / DONE).read_text())
    assert (record["hours"], record["hardware"]) == (2.0, "2 abaci")


def test_two_processes_never_work_in_one_folder(bench):
    stage = make_stage()
    folder = bench.folder / stage.folder
    folder.mkdir(parents=True)
    with (folder / LOG).open("ab") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(ValueError, match=r"another process is using .*; wait for it, or stop it"):
            run_stage(stage, bench)
    with open_log(folder):
        pass


def test_a_command_that_outlives_its_starter_keeps_the_folder(bench):
    with open_log(bench.folder) as log:
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], stdout=log)
    with pytest.raises(ValueError, match="another process is using"), open_log(bench.folder):
        pass
    child.kill()
    child.wait()
    with open_log(bench.folder):
        pass


def test_another_input_of_the_same_name_is_refused(bench, tmp_path):
    stage = make_stage(start="{pairs}")
    run_stage(stage, bench)
    (tmp_path / "pairs.csv").write_text("smiles,text\nC,methane\n")
    with pytest.raises(ValueError, match=r"with the input pairs of 1 files, 12 bytes, which now has 1 files, 22 bytes"):
        run_stage(stage, bench)
    run_stage(stage, Bench(bench.folder, {"pairs": "somebody/pairs"}))  # inputs on the Hub cannot be compared


def test_a_measurement_is_made_once_and_appears_complete(bench, study):
    run = list_runs(study.choose(["short"]))[0]
    (measurement,) = list_measurements(study, [run], VALIDATION)
    folder = bench.folder / measurement.folder
    partial = folder.with_name(f"{folder.name}.partial")
    partial.mkdir(parents=True)
    (partial / "results.json").write_text("{")  # left by a killed process
    run_stage(run.stages[0], bench)
    measure(measurement, bench)
    assert not partial.exists()
    assert json.loads((folder / "results.json").read_text())["data_sha256"] == "validation" * 8
    assert len((folder / "ranks.csv").read_text().splitlines()) == 11
    log = bench.folder / run.stages[0].folder / LOG
    before = log.read_text()
    measure(measurement, bench)
    assert log.read_text() == before
    shutil.rmtree(folder)
    measure(measurement, bench)
    assert log.read_text() != before


def test_a_script_that_measures_is_told_validation_unless_the_test_split_is_measured(bench, study):
    (run, *_) = list_runs(study.choose(["base"]))
    words = build_training(run.stages[-1], bench)
    assert "--split=validation" in words
    assert "--split=test" in build_training(run.stages[-1], bench, {"split": TEST})


def test_an_evaluation_may_depend_on_the_split(write_study, bench, tmp_path):
    evaluations = {"words": {"command": "word_queries", "dataset": "{pairs}", "molecules": "list_{split}.txt"}}
    stages = {"first": {"script": SCRIPT}}
    changes = {"inputs": ["pairs"], "stages": stages, "variants": {"base": {}}, "controls": []}
    study = read_study(write_study(evaluations=evaluations, **changes))
    runs = list_runs(study.variants.values(), [0])
    for split in (VALIDATION, TEST):
        (measurement,) = list_measurements(study, runs, split)
        words = build_evaluation_command(measurement, bench, tmp_path)
        assert words[2:5] == ["geomclip_tools", "evaluate", "word_queries"]
        assert words[5:] == [
            f"--model={bench.folder / runs[0].stages[0].folder}",
            f"--dataset={bench.inputs['pairs']}",
            f"--molecules=list_{split}.txt",
            f"--split={split}",
            f"--output={tmp_path / 'results.json'}",
        ]


def test_flags():
    assert list_flags({"rate": 5e-4, "targets": ["a", 1], "is_on": False}) == [
        "--rate=0.0005",
        "--targets",
        "a",
        "1",
        "--is_on=False",
    ]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "the input 'pairs' is missing; add --input pairs=PATH"),
        (["pears=x"], r"--input pears=x: use name=path; the inputs of levels are \['pairs', 'spare'\]"),
        (["pairs"], "use name=path"),
        (["pairs=/nowhere/at_all"], "there is no such file or folder"),
        (["pairs={folder}/test-00000.parquet"], "the name is that of a test split"),
    ],
)
def test_inputs_that_are_refused(write_study, tmp_path, words, message):
    (tmp_path / "test-00000.parquet").write_text("")
    study = read_study(write_study(inputs=["pairs", "spare"], evaluations={"retrieval": {"dataset": "{pairs}"}}))
    with pytest.raises(ValueError, match=message):
        read_inputs([word.format(folder=tmp_path) for word in words], study, list_runs(study.variants.values()))


def test_inputs(write_study, tmp_path):
    study = read_study(write_study(inputs=["pairs", "spare"], evaluations={"retrieval": {"dataset": "{pairs}"}}))
    assert read_inputs([f"pairs={tmp_path}"], study, []) == {"pairs": str(tmp_path)}
