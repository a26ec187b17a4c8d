"""The command `geomclip`: its help, its errors, and the scripts that run it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from geomclip_tools.cli import COMMANDS, EVALUATIONS, main, with_errors_in_a_line
from geomclip_tools.training.tasks import TASKS

ROOT = Path(__file__).resolve().parents[2]
CALLS = [
    *([name] for name in COMMANDS),
    *(["evaluate", name] for name in EVALUATIONS),
    *(["train", name] for name in TASKS),
]


@pytest.mark.parametrize("call", [[], *CALLS], ids=" ".join)
def test_every_help_begins_with_an_example(call, capsys):
    with pytest.raises(SystemExit) as end:
        main([*call, "--help"])
    assert end.value.code == 0
    first = capsys.readouterr().out.splitlines()[0].removeprefix("usage: ")
    assert first.startswith(" ".join(["geomclip", *call]))
    assert "[" not in first
    assert "--" in first or call == ["convert"]


def test_help_loads_no_torch():
    code = "import sys; from geomclip_tools.cli import describe_commands; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["evaluate", "retrieval", "--model=m", "--dataset=d", "--output=o", "--num-conformers=0"],
            "at least 1",
        ),
        (["train", "pretrain", "--dataset=d", "--output-dir=o", "--config=train/none"], "nor a shipped configuration"),
        (["card", "--model", "nowhere"], "nowhere has no config.json"),
        (
            ["embed", "--model=m", "--output=o.npz", "--molecule", "C"],
            "no setting --molecule C; `geomclip embed --help`",
        ),
        (["build", "--config", "data/none"], "nor a shipped configuration"),
    ],
)
def test_what_a_user_can_cause_is_told_in_one_line(words, message, capsys):
    with pytest.raises(SystemExit) as end:
        main(words)
    assert end.value.code == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"geomclip {words[0]}")
    assert message in line


@pytest.mark.parametrize(
    ("error", "status", "line"),
    [
        (OSError("no such\n  file"), 1, "geomclip x: no such file"),
        (ImportError("pip install it"), 1, "geomclip x: pip install it"),
        (KeyboardInterrupt(), 130, "geomclip x: interrupted"),
    ],
)
def test_errors_take_one_line(error, status, line, capsys):
    def fail():
        raise error

    with pytest.raises(SystemExit) as end:
        with_errors_in_a_line(fail, ("geomclip", "x"))
    assert end.value.code == status
    assert capsys.readouterr().err == f"{line}\n"


def test_faults_of_the_program_keep_their_traceback():
    with pytest.raises(KeyError):
        with_errors_in_a_line(lambda: {}["x"], ("geomclip", "x"))


def test_an_unknown_command_is_refused_with_those_that_there_are():
    with pytest.raises(SystemExit, match="no command 'trian'; choose one of build, train"):
        main(["trian"])


@pytest.mark.parametrize("script", ["train_accelerate.py", *(f"eval/{name}.py" for name in EVALUATIONS)])
def test_doors_open_from_anywhere(script, tmp_path):
    command = [sys.executable, str(ROOT / script), "--help"]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert f"python {script}" in result.stdout or "train_accelerate.py pretrain" in result.stdout


def test_a_door_writes_results_with_its_own_command(model, processor, tmp_path):
    model.save_pretrained(tmp_path / "tiny")
    processor.save_pretrained(tmp_path / "tiny")
    (tmp_path / "pairs.csv").write_text("smiles,text\nCCO,ethanol\nCN,an amine\n")
    words = ["--model", tmp_path / "tiny", "--dataset", tmp_path / "pairs.csv", "--split", "train"]
    command = [sys.executable, ROOT / "eval" / "retrieval.py", *words, "--output", "out.json", "--num_bootstrap", "5"]
    result = subprocess.run(list(map(str, command)), cwd=tmp_path, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    record = json.loads((tmp_path / "out.json").read_text())
    assert record["command"].startswith("python eval/retrieval.py --model tiny --dataset pairs.csv --split train")
    assert "random positions" in result.stdout


def test_errors_can_be_traced(monkeypatch):
    monkeypatch.setenv("GEOMCLIP_TRACEBACK", "1")
    with pytest.raises(ValueError, match="nowhere has no config"):
        main(["card", "--model", "nowhere"])
