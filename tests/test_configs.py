"""Every shipped configuration states its purpose, and configs/README.md lists all of them."""

import json
from itertools import takewhile
from pathlib import Path

import pytest
import yaml

FOLDER = Path(__file__).parents[1] / "configs"
FILES = sorted(file for suffix in ("yaml", "json") for file in FOLDER.rglob(f"*.{suffix}"))
COMMANDS = {
    "data": "geomclip build --config",
    "train": "geomclip train",
    "accelerate": "accelerate launch --config_file",
}


def name_file(file: Path) -> str:
    return file.relative_to(FOLDER).as_posix()


def list_first_cells(page: str) -> set[str]:
    return {line.split(" | ")[0].removeprefix("| ") for line in page.splitlines() if line.startswith("| ")}


def test_the_page_lists_every_file():
    found = list_first_cells((FOLDER / "README.md").read_text(encoding="utf-8"))
    assert len(FILES) > 20
    assert [name_file(file) for file in FILES if not {f"`{name_file(file)}`", f"`{file.name}`"} & found] == []


@pytest.mark.parametrize("file", [file for file in FILES if file.suffix == ".yaml"], ids=name_file)
def test_its_first_line_has_its_purpose_and_its_command(file):
    text = file.read_text(encoding="utf-8")
    purpose, _, command = text.splitlines()[0].partition(": ")
    assert purpose.startswith("# ")
    assert COMMANDS[name_file(file).partition("/")[0]] in command
    comments = takewhile(lambda line: line.startswith("#"), text.splitlines())
    assert name_file(file).removesuffix(".yaml") in " ".join(comments)
    assert yaml.safe_load(text)


@pytest.mark.parametrize("file", [file for file in FILES if file.suffix == ".json"], ids=name_file)
def test_json_is_a_shape(file):
    assert json.loads(file.read_text(encoding="utf-8"))["num_hidden_layers"] > 0
