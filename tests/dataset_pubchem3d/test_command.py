import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from dataset_pubchem3d.command import main, make_parser, spell_with_dashes

ROOT = Path(__file__).parents[2]


def run(*arguments, cwd=ROOT):
    command = [sys.executable, "-m", "dataset_pubchem3d", *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("words", [["--help"], ["build", "--help"], ["validate", "--help"], ["overlap", "--help"]])
def test_help(words):
    result = run(*words)
    assert result.returncode == 0
    assert "build" in result.stdout or "folder" in result.stdout


@pytest.mark.parametrize("command", ["build", "validate", "overlap"])
def test_help_begins_with_an_example_that_can_be_parsed(command, capsys):
    with pytest.raises(SystemExit) as left:
        main([command, "--help"], prog="geomclip")
    assert left.value.code == 0
    words = capsys.readouterr().out.splitlines()[0].split()
    assert words[:2] == ["geomclip", command]
    assert make_parser("geomclip").parse_args(words[1:]).command == command


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["build", "--num_process", "1"], "geomclip build: error: unrecognized arguments"),
        (["build", "--num_proc", "x"], "geomclip build: error: argument --num-proc: invalid int value: 'x'"),
        (["build", "--split_by=mass_of"], "geomclip build: recipe: split_by is 'mass_of'"),
        (["overlap", "mine.csv", "--benchmark", "a_b"], "geomclip overlap: --benchmark 'a_b': write it as NAME=PATH"),
    ],
)
def test_errors_name_the_command_as_it_was_called(argv, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit):
        main(argv, prog="geomclip")
    assert message in capsys.readouterr().err


def test_flags_may_have_dashes_or_underscores_and_values_are_unchanged():
    argv = ["build", "--num_proc", "3", "--split-by=first_block", "--min_words=4", "--benchmark", "my_list=a_b.txt"]
    assert spell_with_dashes(argv) == [
        *("build", "--num-proc", "3", "--split-by=first_block"),
        *("--min-words=4", "--benchmark", "my_list=a_b.txt"),
    ]


def read_report(folder):
    return json.loads((folder / "build_report.json").read_text())


def test_a_recipe_is_built_and_summarised(world, tmp_path):
    result = run("build", "--config", world / "recipe.yaml", "--out", tmp_path / "out", "--num-proc", 1, "--seed", 5)
    assert result.returncode == 0, result.stderr
    report = read_report(tmp_path / "out")
    assert report["recipe"]["seed"] == 5
    first, *configs, last = result.stdout.splitlines()
    assert first.startswith(f"wrote {tmp_path / 'out'}; ")
    rows = {line.split()[0]: [int(word) for word in line.split() if word.isdigit()] for line in configs}
    assert rows == {name: list(splits.values()) for name, splits in report["configs"].items()}
    assert last == f'load it with datasets.load_dataset("{tmp_path / "out"}")'
    result = run("build", "--config", world / "recipe.yaml", "--out", tmp_path / "early", "--stage", "read")
    assert result.stdout == "stopped after the stage read; run the same command without --stage to resume\n"


def test_a_table_is_built(tmp_path):
    (tmp_path / "mine.csv").write_text("smiles,text\nCCO,The molecule is an alcohol.\nc1ccccc1,It is aromatic.\nX,Y\n")
    result = run("build", "--source", "table", "--path", tmp_path / "mine.csv", "--out", tmp_path / "out", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    report = read_report(tmp_path / "out")
    assert sum(report["configs"]["default"].values()) == 2
    assert report["rows_by"]["geometry_source"] == {"rdkit": 2}
    assert report["given"]["table"]["rows"] == 3
    assert report["counts"]["texts table"]["refused: RDKit cannot read the SMILES"] == 1


def test_a_table_with_another_encoding_is_built(tmp_path):
    (tmp_path / "mine.csv").write_text("smiles;text\nCCO;Ethanol boils at 78 °C.\n", encoding="cp1252")
    words = ["build", "--source", "table", "--path", tmp_path / "mine.csv", "--out", tmp_path / "out"]
    result = run(*words, "--split-sizes", 1, 0, 0, "--encoding", "cp1252", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert read_report(tmp_path / "out")["configs"]["default"]["train"] == 1
    result = run(*words[:-1], tmp_path / "other", cwd=tmp_path)
    assert result.returncode == 1
    assert "no row is left" in result.stderr
    assert "refused: the row is damaged" in result.stderr


def test_a_table_of_labels_is_built(tmp_path):
    (tmp_path / "mine.csv").write_text("smiles,gap\nCCO,1.5\nc1ccccc1,\nCC=O,2.5\nCN,high\n")
    words = ["build", "--source", "labels", "--path", tmp_path / "mine.csv", "--labels", "gap", "--units", "eV"]
    result = run(*words, "--out", tmp_path / "out", "--split-sizes", 7, 2, 1, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    report = read_report(tmp_path / "out")
    assert report["configs"] == {"labels": {"train": 1, "validation": 1, "test": 1}}
    assert report["units"] == {"gap": "eV"}
    assert result.stdout.splitlines()[-1] == f'load it with datasets.load_dataset("{tmp_path / "out"}", "labels")'
    assert report["counts"]["molecules labels"]["refused: a label is not a number"] == 1


def test_overlap_with_a_list_is_counted_and_exits_with_1(tmp_path):
    (tmp_path / "mine.csv").write_text("smiles,text\nCCO,an alcohol\nCCO,ethanol\nC,methane\n")
    (tmp_path / "ethanol.txt").write_text("LFQSCWFLJHTTHZ\n")
    (tmp_path / "benzene.csv").write_text("smiles\nc1ccccc1\n")
    words = ["overlap", "mine.csv", "--benchmark", "benzene=benzene.csv"]
    result = run(*words, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    report = json.loads(result.stdout)
    assert report["overlap"] == {"benzene": {"molecules": 0, "rows": 0, "first": []}}
    assert report["task"] == "overlap"
    assert report["command"] == "python -m dataset_pubchem3d overlap mine.csv --benchmark benzene=benzene.csv"
    assert report["settings"] == {"dataset": "mine.csv", "dataset_config": None, "split": "train"}
    result = run(*words, "--benchmark", "ethanol=ethanol.txt", cwd=tmp_path)
    assert result.returncode == 1
    assert json.loads(result.stdout)["overlap"]["ethanol"] == {"molecules": 1, "rows": 2, "first": ["LFQSCWFLJHTTHZ"]}


def test_overlap_of_only_a_text_exits_with_1(tmp_path):
    (tmp_path / "mine.csv").write_text("smiles,text\nCCO,It is an alcohol.\nC,methane\n")
    (tmp_path / "list.csv").write_text("smiles,text\nCO,it is an  alcohol\n")
    result = run("overlap", "mine.csv", "--benchmark", "mine=list.csv", cwd=tmp_path)
    assert result.returncode == 1
    found = {"molecules": 0, "rows": 0, "first": [], "texts": 1, "rows_with_text": 1}
    assert json.loads(result.stdout)["overlap"]["mine"] == {**found, "first_texts": ["It is an alcohol."]}
    (tmp_path / "list.csv").write_text("smiles,text\nCO,It is one.\n")
    assert run("overlap", "mine.csv", "--benchmark", "mine=list.csv", cwd=tmp_path).returncode == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--source", "table"], "--path goes with --source table or labels; give both or neither"),
        (["--path", "x.csv"], "--path goes with --source table or labels; give both or neither"),
        (["--source", "labels", "--path", "x.csv"], "--labels goes with --source labels; give both or neither"),
        (["--labels", "gap"], "--labels goes with --source labels; give both or neither"),
        (["--split-sizes", "0", "1", "1"], "the first, for train, must be greater than 0"),
        (["--stage", "reed"], "choose one of fetch, read, join"),
        (["--benchmark", "chebi20"], "write it as NAME=PATH"),
        (["--benchmark", "a=1.txt", "--benchmark", "a=2.txt"], "a already names 1.txt; use another name"),
        (["--config", "absent.yaml"], "absent.yaml"),
        (["--split-by", "mass"], "split_by is 'mass'; choose one of first_block, scaffold"),
        (["--min-words", "0"], "min_words is 0; give a whole number of at least 1"),
        (["--source", "table", "--path", "absent.csv"], "there is no file absent.csv; check the path"),
        (
            ["--source", "labels", "--labels", "a", "--path", "absent.csv"],
            "there is no file absent.csv; check the path",
        ),
        (["--encoding", "cp1252"], "--encoding goes with --path; in a recipe, set the option `encoding`"),
    ],
)
def test_a_mistake_of_the_user_is_named(tmp_path, arguments, message):
    result = run("build", *arguments, "--out", tmp_path / "out")
    assert result.returncode == 1
    assert message in result.stderr
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "out").exists()


def test_a_foreign_folder_is_refused_with_its_name(tmp_path):
    (tmp_path / "thesis.txt").touch()
    result = run("build", "--out", tmp_path)
    assert result.returncode == 1
    assert f"{tmp_path} exists and was not built" in result.stderr
    assert [file.name for file in tmp_path.iterdir()] == ["thesis.txt"]


def start(*arguments):
    """Start a command that reacts to Ctrl-C even if the shell's job ignores it."""
    return subprocess.Popen(
        [sys.executable, "-m", "dataset_pubchem3d", *map(str, arguments)],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        cwd=ROOT,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )


def test_ctrl_c_ends_a_build_and_publishes_nothing(tmp_path):
    texts = tmp_path / ".out.work" / "texts_chemicals"
    with start("build", "--out", tmp_path / "out", "--num-proc", 2) as process:
        while process.poll() is None and len(list(texts.glob("*.parquet"))) < 2:
            pass
        process.send_signal(signal.SIGINT)
        errors = process.stderr.read().decode()
    assert process.returncode == 130
    assert "Traceback" not in errors
    assert "interrupted; run the same command again" in errors
    assert [path.name for path in tmp_path.iterdir()] == [".out.work"]


def test_ctrl_c_ends_a_validation_and_writes_nothing(built):
    before = sorted(built.rglob("*"))
    with start("validate", built, "--num-proc", 2) as process:
        errors = b""
        while process.poll() is None and b"comparing geometries:   1%" not in errors:
            errors += process.stderr.read1()
        process.send_signal(signal.SIGINT)
        errors = (errors + process.stderr.read()).decode()
    assert process.returncode == 130
    assert "Traceback" not in errors
    assert "interrupted; nothing was written" in errors
    assert sorted(built.rglob("*")) == before
