"""`geomclip study` from the first run to a reproduction of the test."""

import json
import os
import re
import signal
import threading
import time
from pathlib import Path

import pandas as pd
import pytest
import yaml

from geomclip_tools.commands.study import check_flags, main
from geomclip_tools.studies.running import RANKED, open_log
from geomclip_tools.studies.runs import list_runs
from geomclip_tools.studies.study import read_study

SCRIPT = str(Path(__file__).parents[1] / "studies" / "fake_training.py")
METRIC = "text_to_geometry_full_recall_at_1"
ROOT = Path(__file__).parents[3]
COMMANDS = ROOT / "geomclip_tools" / "commands"
STUDIES = sorted((ROOT / "research" / "studies").glob("*.yaml"))


@pytest.fixture
def folders(tmp_path) -> list[str]:
    return ["--results", str(tmp_path / "results"), "--runs", str(tmp_path / "runs")]


@pytest.fixture
def path(tmp_path) -> str:
    """Write a study with a script that finds level + seed of ten pairs."""
    second = {"script": SCRIPT, "measures": "retrieval", "start": "{first}", "level": 2}
    values = {
        "about": "how high is the level?",
        "metric": METRIC,
        "stages": {"first": {"script": SCRIPT}, "second": second},
        "variants": {"base": {}, "high": {"second.level": 4}, "short": {"first": None, "second.start": None}},
        "seeds": [0, 1],
        "controls": ["short"],
        "evaluations": {"retrieval": {}},
    }
    (tmp_path / "levels.yaml").write_text(yaml.safe_dump(values, sort_keys=False))
    return str(tmp_path / "levels.yaml")


def read_log(tmp_path) -> list[dict]:
    return [json.loads(line) for line in (tmp_path / "results" / "test_log.jsonl").read_text().splitlines()]


def test_from_the_first_run_to_a_reproduction(path, folders, tmp_path, capsys, monkeypatch):
    results = tmp_path / "results"
    with pytest.raises(ValueError, match="no choice is frozen"):
        main(["test", path, *folders])
    main(["run", path, *folders, "--seeds", "0"])
    with pytest.raises(ValueError, match="base, seed 1 is not measured on validation"):
        main(["freeze", path, *folders])
    main(["run", path, *folders])
    printed = capsys.readouterr().out
    assert "1 of 6: base, seed 0: first-" in printed
    assert " is finished" in printed
    assert "| high | 2 | 45.0 (40.0 to 50.0) |" in printed
    assert "| high | 2 | 20.0 [" in printed
    assert len([*(tmp_path / "runs").glob("first-*")]) == 2  # one for each seed
    assert len([*(tmp_path / "runs").glob("second-*")]) == 6

    main(["freeze", path, *folders])
    assert "high is frozen, chosen by the highest mean" in capsys.readouterr().out
    assert set(pd.read_parquet(results / "metrics.parquet")["split"]) == {"validation"}

    main(["test", path, *folders])
    assert "retrieval, test: how high" in capsys.readouterr().out
    assert [(entry["variant"], entry["seed"], entry["reading"]) for entry in read_log(tmp_path)] == [
        ("high", 0, 1),
        ("short", 0, 1),
        ("high", 1, 1),
        ("short", 1, 1),
    ]
    tested = (results / "metrics.parquet").read_bytes()

    main(["test", path, *folders])
    assert [entry["agreement"] for entry in read_log(tmp_path)[4:]] == ["equal"] * 4
    monkeypatch.setenv("FAKE_DRIFT", "1")
    with pytest.raises(SystemExit, match="the reproduction disagrees with the first reading"):
        main(["test", path, *folders])
    last = read_log(tmp_path)[-1]
    assert (last["reading"], last["agreement"]) == (3, "differs: equal figures were expected")
    assert last["differences"][f"model, {METRIC}"] == [0.3, 0.2]
    assert (results / "metrics.parquet").read_bytes() == tested


def test_results_outlive_the_runs(path, folders, tmp_path, capsys):
    main(["run", path, *folders, "--variants", "base", "--seeds", "0"])
    main(["run", path, *folders[:2], "--runs", str(tmp_path / "elsewhere"), "--variants", "high", "--seeds", "0"])
    capsys.readouterr()
    main(["table", path, *folders[:2]])
    assert "| high | 1 | 20.0 [" in capsys.readouterr().out


def test_the_table_is_drawn(path, folders, tmp_path):
    pytest.importorskip("matplotlib")
    main(["run", path, *folders, "--variants", "base", "high", "--seeds", "0"])
    main(["table", path, *folders, "--plot", str(tmp_path / "levels.png")])
    assert (tmp_path / "levels.png").stat().st_size > 1000


def test_a_failing_stage_does_not_stop_the_other_runs_and_its_log_is_shown(path, folders, tmp_path):
    Path(path).write_text(Path(path).read_text().replace("second.level: 4", "second.error: out of luck"))
    with pytest.raises(
        SystemExit, match=r"(?s)high, seed 0:.*out of luck\nfailed with exit code 3; the full log is .*"
    ):
        main(["run", path, *folders])
    metrics = pd.read_parquet(tmp_path / "results" / "metrics.parquet")
    measured = {*zip(metrics["variant"], metrics["seed"])}
    assert measured == {("base", 0), ("base", 1), ("short", 0), ("short", 1)}


def terminate_when(folder: Path, pattern: str) -> None:
    """Send SIGTERM to this process once a matching file exists, within 30 seconds."""
    for _ in range(600):
        time.sleep(0.05)
        if any(folder.glob(pattern)):
            os.kill(os.getpid(), signal.SIGTERM)
            return


def test_a_termination_ends_the_training_too(path, folders, tmp_path):
    Path(path).write_text(Path(path).read_text().replace("second.level: 4", "first.sleep: 60"))
    former = signal.getsignal(signal.SIGTERM)
    threading.Thread(target=terminate_when, args=(tmp_path / "runs", "first-*/steps.txt"), daemon=True).start()
    with pytest.raises(SystemExit) as end:
        main(["run", path, *folders, "--variants", "high"])
    assert end.value.code == 143
    assert signal.getsignal(signal.SIGTERM) is former
    (folder,) = (tmp_path / "runs").iterdir()
    assert not (folder / "stage.json").exists()
    with open_log(folder):  # nobody holds the lock
        pass


@pytest.mark.parametrize(
    ("stage", "evaluation", "message"),
    [
        ({"learning_rat": 1}, {}, "there is no setting --learning_rat=1"),
        ({}, {"num_boot": 1}, "there is no setting --num_boot=1"),
        ({}, {"command": "retrievel"}, "there is no command `geomclip evaluate retrievel`"),
    ],
)
def test_flags_are_read_before_hours_are_spent(folders, tmp_path, stage, evaluation, message):
    values = {"about": "?", "metric": METRIC, "inputs": ["pairs"], "seeds": [0], "variants": {"base": {}}}
    values["stages"] = {"texts": {"task": "pretrain", "dataset": "{pairs}", **stage}}
    values["evaluations"] = {"retrieval": {"dataset": "{pairs}", **evaluation}}
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(values))
    with pytest.raises(ValueError, match=message):
        main(["run", str(tmp_path / "study.yaml"), *folders, "--input", "pairs=x"])
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("name", ["README.md", *(file.name for file in STUDIES)])
def test_the_studies_that_are_kept_and_described_can_be_run(name, tmp_path):
    path = ROOT / "research" / "studies" / name
    if name == "README.md":
        (described,) = re.findall(
            r"```yaml\n(.*?)```", (ROOT / "research" / name).read_text(encoding="utf-8"), re.DOTALL
        )
        path = tmp_path / "described.yaml"
        path.write_text(described, encoding="utf-8")
    study = read_study(path)
    check_flags(study, list_runs(study.variants.values()))


def test_the_commands_that_write_ranks_are_known():
    sources = {file.stem.removeprefix("evaluate_"): file.read_text() for file in COMMANDS.glob("evaluate_*.py")}
    assert sorted(RANKED) == sorted(name for name, source in sources.items() if "    ranks: " in source)


def test_a_real_training(pretraining_model, processor, folders, tmp_path, capsys):
    pretraining_model.save_pretrained(tmp_path / "start")
    processor.save_pretrained(tmp_path / "start")
    smiles = ["CCO", "CO", "CCN", "CC(=O)O", "c1ccccc1", "CCCl", "CC#N", "OCC=O", "CCS", "CNC", "C1CC1", "CC=C"]
    (tmp_path / "pairs").mkdir()
    for split, chosen in (("train", smiles[:8]), ("validation", smiles[8:])):
        rows = {"smiles": chosen, "text": [f"it is an acid {number}" for number in range(len(chosen))]}
        pd.DataFrame(rows).to_csv(tmp_path / "pairs" / f"{split}.csv", index=False)
    texts = {"task": "pretrain", "dataset": "{pairs}", "model": "{start}", "batch_size": 8, "num_train_epochs": 1}
    values = {"about": "?", "metric": METRIC, "inputs": ["pairs", "start"], "seeds": [3], "variants": {"base": {}}}
    values |= {"stages": {"texts": texts}, "evaluations": {"retrieval": {"dataset": "{pairs}", "num_bootstrap": 5}}}
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(values))
    inputs = ["--input", f"pairs={tmp_path / 'pairs'}", "--input", f"start={tmp_path / 'start'}"]
    main(["run", str(tmp_path / "tiny.yaml"), *folders, *inputs])
    assert "| base | 1 | " in capsys.readouterr().out
    (record,) = (tmp_path / "runs").glob("texts-*/train_config.json")
    assert json.loads(record.read_text())["seed"] == 3
    metrics = pd.read_parquet(tmp_path / "results" / "metrics.parquet")
    assert set(metrics["row"]) == {"model", "random positions"}
    assert len(pd.read_parquet(tmp_path / "results" / "ranks.parquet")) == 4 * 4
