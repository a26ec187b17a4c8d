"""House rules that hold for every source: who imports whom, what files are called, what is never called."""

import ast
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = (
    "modeling_geomclip",
    "dataset_pubchem3d",
    "eval",
    "examples",
    "experiments",
    "benchmarks",
    "training",
    "tests",
)
OWN = {*FOLDERS, *(file.stem for file in ROOT.glob("*.py"))}
BANNED_WORDS = {"utils", "helpers", "misc", "common", "legacy"}
UNPICKLERS = {"pickle.load", "pickle.Unpickler", "joblib.load", "dill.load", "pd.read_pickle", "pandas.read_pickle"}


def sources(*folders: str) -> list[Path]:
    files = [file for folder in folders for file in sorted((ROOT / folder).rglob("*.py"))]
    assert files, f"there is nothing to check in {folders}"
    return files


def all_sources() -> list[Path]:
    return [*ROOT.glob("*.py"), *sources(*FOLDERS)]


def nodes(file: Path) -> Iterator[ast.AST]:
    return ast.walk(ast.parse(file.read_text(encoding="utf-8"), file.name))


def place(file: Path, node: ast.AST) -> str:
    return f"{file.relative_to(ROOT)}, line {node.lineno}"


def imported(file: Path, packages: Iterable[str]) -> set[str]:
    """What a file imports of `packages`, relative imports aside, as `package.module.name`."""
    names = set()
    for node in nodes(file):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {name for name in names if name.split(".")[0] in packages}


def is_safe(call: ast.Call) -> bool:
    """Whether a call executes no code that it reads from a file."""
    name = ast.unparse(call.func)
    keywords = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
    if name == "torch.load":
        return keywords.get("weights_only") == "True"
    return name not in UNPICKLERS and keywords.get("allow_pickle", "False") == "False"


# ----------------------------------------------------------------------------------------------------- who imports whom


def test_the_model_folder_imports_no_sibling():
    for file in sources("modeling_geomclip"):
        assert imported(file, OWN) == set(), file.name


def test_relative_imports_of_the_model_folder_are_flat():
    files = sources("modeling_geomclip")
    imports = [
        (file, node) for file in files for node in nodes(file) if isinstance(node, ast.ImportFrom) and node.level
    ]
    assert imports
    for file, node in imports:  # `from .file_geomclip import name`: loading as remote code follows nothing else
        assert node.level == 1, place(file, node)
        assert node.module in {file.stem for file in files}, place(file, node)


def test_rdkit_is_optional_and_used_in_one_file_of_the_model_folder():
    users = [file for file in sources("modeling_geomclip") if imported(file, {"rdkit"})]
    assert [file.name for file in users] == ["molecules_geomclip.py"]
    top_level = ast.parse(users[0].read_text(encoding="utf-8"))
    guarded = [inner for node in ast.walk(top_level) if isinstance(node, ast.Try) for inner in node.body]
    imports = [node for node in ast.walk(top_level) if isinstance(node, ast.Import | ast.ImportFrom)]
    for node in imports:
        assert "rdkit" not in ast.unparse(node) or node in guarded, place(users[0], node)


def test_the_dataset_uses_only_the_molecules_of_the_model_folder():
    for file in sources("dataset_pubchem3d"):
        for name in imported(file, OWN - {"dataset_pubchem3d"}):
            assert name.startswith("modeling_geomclip.molecules_geomclip"), f"{file.name} imports {name}"


def test_evaluation_builds_models_by_the_auto_classes_alone():
    embedding = ("embed_molecules", "embed_texts", "embedding_geomclip.batches_by_size", "embedding_geomclip.inference")
    for file in sources("eval"):
        assert imported(file, {"train_accelerate", "training"}) == set(), file.name
        for name in imported(file, {"modeling_geomclip"}):
            assert name.removeprefix("modeling_geomclip.") in embedding, f"{file.name} imports {name}"


# ------------------------------------------------------------------------------------------------------ names and calls


def test_files_are_named_by_their_idea():
    for file in all_sources():
        path = file.relative_to(ROOT).with_suffix("")
        assert not BANNED_WORDS & {word for part in path.parts for word in part.split("_")}, path


def test_nothing_is_unpickled():
    calls = [(file, node) for file in all_sources() for node in nodes(file) if isinstance(node, ast.Call)]
    assert calls
    for file, call in calls:
        assert is_safe(call), f"{place(file, call)}: {ast.unparse(call)}"
    for file in all_sources():  # by `module.name`, as `is_safe` knows them
        assert imported(file, {"pickle", "torch", "joblib", "dill"}).isdisjoint({*UNPICKLERS, "torch.load"}), file.name


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("torch.load(path, weights_only=True)", True),
        ("torch.load(path)", False),
        ("torch.load(path, weights_only=False)", False),
        ("torch.load(path, weights_only=flag)", False),
        ("pickle.load(file)", False),
        ("np.load(path)", True),
        ("np.load(path, allow_pickle=True)", False),
    ],
)
def test_what_is_safe(line, expected):
    assert is_safe(ast.parse(line).body[0].value) is expected
