import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def run(*arguments, cwd=ROOT):
    command = [sys.executable, "-m", "dataset_pubchem3d", *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("words", [["--help"], ["build", "--help"]])
def test_help(words):
    result = run(*words)
    assert result.returncode == 0
    assert "build" in result.stdout


def test_a_foreign_folder_is_refused_with_its_name(tmp_path):
    (tmp_path / "thesis.txt").touch()
    result = run("build", "--out", tmp_path)
    assert result.returncode == 2
    assert f"{tmp_path} exists and was not built" in result.stderr
    assert [file.name for file in tmp_path.iterdir()] == ["thesis.txt"]
