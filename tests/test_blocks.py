"""Every code block of the documentation runs as it stands.

Each page runs in a process of its own, in a working directory that looks like the root of a clone after some use: it
also holds tables, a built dataset, and a captioner and a predictor with random weights (`build_clone`). The blocks of a
page run from top to bottom. Its Python blocks share one namespace. `geomclip` and `python -m dataset_pubchem3d` run in
the process of the page, which imports torch once; other commands are processes of their own. Numbers in comments
directly below a `print` are compared with what it prints.

A block that cannot run in a test has a mark in the line before it: `<!-- not run: network -->`, `<!-- not run: GPU -->`
or `<!-- not run: minutes -->`. Such a Python block is compiled, and what it imports from our packages must exist. Such
a command is parsed by its own parser; of other programs, the program, the script or the target must exist.
"""

import ast
import contextlib
import importlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
import textwrap
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import pytest
import yaml
from filelock import FileLock

from tests.working_clone import build_clone, copy_folder

ROOT = Path(__file__).resolve().parents[1]
EXCLUDED = ("docs/STATUS.md",)
FOLDERS = ("README.md", "docs/**/*.md", "configs/README.md", "research/README.md", "release/*/README.md")
PAGES = sorted({file.relative_to(ROOT).as_posix() for path in FOLDERS for file in ROOT.glob(path)} - {*EXCLUDED})
PACKAGES = ("modeling_geomclip", "dataset_pubchem3d", "geomclip_tools")
REASONS = ("network", "GPU", "minutes")
PARSERS = {"yaml": yaml.safe_load, "json": json.loads, "text": str, "bibtex": str, "": str}
MARK = r"<!-- not run: (?P<reason>[^\n>]*) -->\n"
BLOCK = re.compile(rf"(?:^{MARK})?^(?P<indent> *)```(?P<language>\w*)\n(?P<code>.*?)^ *```$", re.MULTILINE | re.DOTALL)
NUMBER = re.compile(r"-?\d+\.(\d+)")
PATHS = {"PATH": Path(sys.executable).parent, "PYTHONPATH": ROOT}  # put before those of the environment
SECONDS = 600  # for one page, on a busy machine


# ----------------------------------------------------------------------------------------------------------- the blocks


class Block(NamedTuple):
    """A fenced block, the line of its first line of code, and why it is not run, if it is not."""

    language: str
    code: str
    line: int
    reason: str | None

    def list_commands(self) -> list[str]:
        lines = re.sub(r"\\\n\s*", "", self.code).splitlines()
        return [line for line in lines if line and not line.startswith("#")]


def read_blocks(text: str) -> list[Block]:
    return [
        Block(
            found["language"],
            textwrap.dedent(found["code"]),
            text.count("\n", 0, found.start("code")) + 1,
            found["reason"],
        )
        for found in BLOCK.finditer(text)
    ]


def read_page(page: str) -> list[Block]:
    return read_blocks((ROOT / page).read_text(encoding="utf-8"))


def list_claims(block: Block) -> dict[int, list[str]]:
    """Return the numbers in comments directly below a `print`, by the last line of the `print`."""
    lines, claims = block.code.splitlines(), {}
    for statement in ast.parse(block.code).body:
        if re.match(r"print\(", lines[statement.lineno - 1]):
            below = "\n".join(lines[statement.end_lineno :])
            comment = re.match(r"(#.*\n?)*", below)[0]
            claims[statement.end_lineno] = [number[0] for number in NUMBER.finditer(comment)]
    return {line: numbers for line, numbers in claims.items() if numbers}


def count_blocks(blocks: list[Block]) -> Counter:
    """Count what is run and what is only checked, and the claims."""
    counts = Counter()
    for block in blocks:
        if block.language == "python":
            counts["python blocks", block.reason or "run"] += 1
            counts["prints with numbers", "compared"] += 0 if block.reason else len(list_claims(block))
        elif block.language == "sh":
            counts["commands", block.reason or "run"] += len(block.list_commands())
        else:
            counts["other blocks", block.language or "without language"] += 1
    return counts


# ----------------------------------------------------------------------------------------------------- Python in a page


def run_python(block: Block, page: str, namespace: dict[str, Any]) -> None:
    """Run the statements of a block and compare what they print with the claims below them."""
    claims = list_claims(block)
    for statement in ast.parse("\n" * (block.line - 1) + block.code, page).body:
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(ast.Module([statement], []), page, "exec"), namespace)
        print(printed.getvalue(), end="")
        if told := claims.get(statement.end_lineno - block.line + 1):
            compare(told, [number[0] for number in NUMBER.finditer(printed.getvalue())])


def compare(told: list[str], printed: list[str]) -> None:
    """Compare numbers to the digits told; the last digit may be rounded in either direction."""
    digits = [len(number.partition(".")[2]) for number in told]
    wrong = [(a, b) for a, b, n in zip(told, printed, digits) if abs(float(a) - float(b)) > 0.6 * 10**-n]
    assert len(told) == len(printed), f"{told} is on the page, {printed} is printed"
    assert not wrong, f"numbers on the page and printed differ: {wrong}"


def check_python(block: Block, page: str) -> None:
    """Compile a block, and import what it imports from our packages."""
    tree = ast.parse(block.code, page)
    compile(tree, page, "exec")
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names if alias.name.split(".")[0] in PACKAGES]
            assert all(importlib.import_module(module) for module in modules)
        elif isinstance(node, ast.ImportFrom) and node.module.split(".")[0] in PACKAGES:
            module = importlib.import_module(node.module)
            assert not [alias.name for alias in node.names if not hasattr(module, alias.name)], node.module


# --------------------------------------------------------------------------------------------------- commands in a page


class Parsed(Exception):  # noqa: N818
    """Raised when a command has parsed its arguments."""


STOPS = {  # functions that commands call once their arguments are parsed; others call only `parse_flags`
    "build": ["dataset_pubchem3d.build.build"],
    "validate": ["dataset_pubchem3d.command.run_validate"],
    "overlap": ["dataset_pubchem3d.command.run_overlap"],
    "study": ["geomclip_tools.commands.study.read_study"],
    "convert": [
        f"modeling_geomclip.convert_geomclip.{name}" for name in ("build_feature_extractor", "load_trained_tower")
    ],
}


def expand(command: str) -> tuple[dict[str, str], list[str]]:
    """Return the environment variables that a command sets, and its words as the shell expands them."""
    code = re.sub(r"\s#.*", "", command)
    bare = re.sub(r"""'[^']*'|"[^"$`]*\"""", "", code)  # without quoted words
    assert not re.search(r"[|;&<>$`]", bare), f"{command}: one program, without pipes, redirections and variables"
    printed = subprocess.run(["bash", "-c", f"printf '%s\\0' {code}"], check=True, capture_output=True, text=True)
    words = printed.stdout.split("\0")[:-1]
    given = [word.partition("=") for word in words[: next(i for i, word in enumerate(words) if "=" not in word)]]
    return {name: value for name, _, value in given}, words[len(given) :]


def run_command(command: str) -> None:
    variables, words = expand(command)
    print(f"$ {command}", flush=True)
    match words:
        case ["geomclip", *words]:
            call_geomclip(words)
        case ["python", "-m", "dataset_pubchem3d", *words]:
            call_dataset(words)
        case _:
            subprocess.run(words, check=True, env=os.environ | variables)


def call_geomclip(words: list[str]) -> None:
    from geomclip_tools.cli import main

    call(main, words)


def call_dataset(words: list[str]) -> None:
    from dataset_pubchem3d.command import main

    call(main, words)


def call(main: Callable[[list[str]], None], words: list[str]) -> None:
    """Call the main function of a command, in one process: for a few rows, starting workers takes longest."""
    try:
        with mock.patch("dataset_pubchem3d.command.NUM_PROC", 1):
            main(words)
    except SystemExit as end:
        if end.code:
            raise RuntimeError(f"the exit status is {end.code}") from end


def check_command(command: str) -> None:
    """Parse the arguments of a command of ours; else check that the program, script or target exists."""
    match expand(command)[1]:
        case ["geomclip", *words]:
            parse_geomclip(words)
        case ["accelerate", "launch", *words]:
            parse_launch(words)
        case ["python", "-m", "dataset_pubchem3d", *words]:
            stop(STOPS[words[0]], Parsed, lambda: call_dataset(words))
        case ["python" | "bash", script, *_]:
            assert Path(script).is_file(), script
        case ["make", target]:
            assert re.search(rf"^{target}:", Path("Makefile").read_text(), re.MULTILINE), target
        case [program, *_]:
            assert shutil.which(program), program


def parse_launch(words: list[str]) -> None:
    from accelerate.commands.launch import launch_command_parser

    settings = launch_command_parser().parse_args(words)
    assert settings.config_file is None or Path(settings.config_file).is_file()
    assert settings.training_script == ("geomclip_tools" if settings.module else "train_accelerate.py")
    parse_geomclip([*([] if settings.module else ["train"]), *settings.training_script_args])


def parse_geomclip(words: list[str]) -> None:
    """Run a command of `geomclip` until its arguments are parsed."""
    if words[0] in STOPS:
        stop(STOPS[words[0]], Parsed, lambda: call_geomclip(words))
        return
    module = f"geomclip_tools.commands.{'_'.join(words[:2] if words[0] == 'evaluate' else words[:1])}"
    parse_flags = importlib.import_module(module).parse_flags

    def parse_and_stop(*args) -> None:
        parse_flags(*args)
        raise Parsed

    stop([f"{module}.parse_flags"], parse_and_stop, lambda: call_geomclip(words))


def stop(names: list[str], instead: Callable | type[Parsed], run: Callable[[], None]) -> None:
    """Run a command that has to end in one of the named functions; `instead` is called in its place."""
    with contextlib.ExitStack() as stack:
        for name in names:
            stack.enter_context(mock.patch(name, side_effect=instead))
        try:
            run()
        except Parsed:
            return
    raise AssertionError(f"none of {names} was called")


# -------------------------------------------------------------------------------------------------- a page in a process


def run_page(page: str) -> None:
    """Run or check all blocks of a page, in the current directory, and print how many there were."""
    namespace, blocks = {"__name__": "__main__"}, read_page(page)
    for block in blocks:
        try:
            if block.language == "python":
                check_python(block, page) if block.reason else run_python(block, page, namespace)
            elif block.language == "sh":
                for command in block.list_commands():
                    check_command(command) if block.reason else run_command(command)
            else:
                PARSERS[block.language](block.code)
        except BaseException as error:
            error.add_note(f"in the block in line {block.line} of {page}")
            raise
    print(f"\n{len(blocks)} blocks")


# ------------------------------------------------------------------------------------------------------------ the tests


@pytest.fixture(scope="session")
def clone(tmp_path_factory) -> Path:
    """The working directory from which each page gets a copy; workers share it."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "clone"
    finished = Path(f"{folder}.finished")
    with FileLock(f"{folder}.lock"):
        if not finished.exists():
            shutil.rmtree(folder, ignore_errors=True)  # of a worker that failed
            folder.mkdir()
            build_clone(folder)
            finished.touch()
    return folder


@pytest.mark.parametrize("page", [page for page in PAGES if read_page(page)])
def test_the_blocks_of_a_page_run(page, clone, tmp_path):
    copy_folder(clone, tmp_path / "clone")
    paths = {name: os.pathsep.join([str(first), os.environ.get(name, "")]) for name, first in PATHS.items()}
    caches = {"HF_MODULES_CACHE": str(tmp_path / "modules"), "HF_DATASETS_CACHE": str(tmp_path / "datasets")}
    done = subprocess.run(
        [sys.executable, "-P", __file__, page],  # -P: without this folder on the path of imports
        cwd=tmp_path / "clone",
        env=os.environ | paths | caches | {"HF_HUB_OFFLINE": "1", "GEOMCLIP_TRACEBACK": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
        timeout=SECONDS,
    )
    assert done.returncode == 0, done.stdout[-6000:]
    assert done.stdout.splitlines()[-1] == f"{len(read_page(page))} blocks"


@pytest.mark.parametrize("page", PAGES)
def test_a_page_is_read_as_it_is_meant(page):
    text, blocks = (ROOT / page).read_text(encoding="utf-8"), read_page(page)
    assert len(re.findall(r"^ *```", text, re.MULTILINE)) == 2 * len(blocks)
    assert {block.language for block in blocks} <= {"python", "sh", *PARSERS}
    marks = re.findall(r"^<!-- not run.*", text, re.MULTILINE)
    found = [f"<!-- not run: {block.reason} -->" for block in blocks if block.reason is not None]
    assert marks == found, "a mark belongs in the line before a block"
    assert {block.reason for block in blocks} <= {None, *REASONS}
    assert not re.search(r"\.\./shared|(?<![\w.])/(work|tmp)\b", text)


def test_many_blocks_run(capsys):
    counts = sum((count_blocks(read_page(page)) for page in PAGES), Counter())
    with capsys.disabled():
        print(*(f"\n{number:4} {kind}: {how}" for (kind, how), number in sorted(counts.items())))
    assert counts["python blocks", "run"] >= 15
    assert counts["commands", "run"] >= 40
    assert counts["prints with numbers", "compared"] >= 2
    assert sum(counts["python blocks", reason] for reason in REASONS) >= 4
    assert sum(counts["commands", reason] for reason in REASONS) >= 40
    assert len([page for page in PAGES if read_page(page)]) >= 25


def python(code: str) -> Block:
    return Block("python", code, 1, None)


@pytest.mark.parametrize("claim", ["0.51", "[0.5, 1.25]", "-0.5"])
def test_wrong_numbers_are_found(claim):
    run_python(python("print(0.5)\n# [[0.50]]\nprint(0.25)"), "page.md", {})
    with pytest.raises(AssertionError, match="printed"):
        run_python(python(f"print(0.5)\n# {claim}"), "page.md", {})


def test_missing_names_are_found():
    check_python(python("import nowhere\nfrom modeling_geomclip import embed_texts"), "page.md")
    with pytest.raises(AssertionError, match="modeling_geomclip"):
        check_python(python("from modeling_geomclip import nothing"), "page.md")


@pytest.mark.parametrize(
    "command",
    [
        "geomclip train pretrain --dataset pubchem3d --output_dir geomclip --no_such_flag 1",
        "geomclip train pretrain --dataset pubchem3d --output_dir geomclip --config train/none",
        "geomclip build --source qm9 --outs pubchem3d",
        "geomclip study runs my_study.yaml",
        "geomclip convert one.pt other.pt",
        "python -m dataset_pubchem3d validate",
        "accelerate launch train_accelerate.py pretrain --dataset pubchem3d",
        "accelerate launch --config_file configs/none.yaml train_accelerate.py pretrain --dataset d --output_dir o",
        "bash research/experiments/none.sh",
        "make none",
        "no-such-program --help",
    ],
)
def test_wrong_commands_are_found(command, monkeypatch):
    monkeypatch.chdir(ROOT)
    with pytest.raises((AssertionError, RuntimeError, SystemExit)):
        check_command(command)


@pytest.mark.parametrize("command", ["make quickstart | tee log", "make test > log", "make format && make test"])
def test_a_command_is_one_program(command):
    with pytest.raises(AssertionError, match="one program"):
        expand(command)


if __name__ == "__main__":
    run_page(sys.argv[1])
