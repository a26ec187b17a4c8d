"""House rules for all sources: imports, length of files, names and unsafe calls."""

import ast
from collections import defaultdict
from collections.abc import Iterable, Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("modeling_geomclip", "dataset_pubchem3d", "geomclip_tools")
SCRIPTS = ("docs", "eval", "examples", "research")  # run but never imported, like the files at the root
FOLDERS = (*PACKAGES, *SCRIPTS, "tests")
OWN = {*FOLDERS, *(file.stem for file in ROOT.glob("*.py"))}
READING = tuple(  # modules that read molecules: shipped with a model, and used to build datasets
    f"modeling_geomclip.{name}_geomclip"
    for name in ("text_files", "molecule_checks", "molecule_files", "xyz", "rdkit_log", "conformers", "molecules")
)
# From the lowest floor to the highest. A module imports only from its own floor and lower ones.
FLOORS = (
    READING,
    ("modeling_geomclip",),
    ("dataset_pubchem3d.chemistry",),
    ("dataset_pubchem3d",),
    (
        "geomclip_tools.records",
        "geomclip_tools.noise",
        "geomclip_tools.precision",
        "geomclip_tools.loading",
        "geomclip_tools.configurations",
        "geomclip_tools.drawing",
    ),
    ("geomclip_tools.library",),
    ("geomclip_tools.evaluation",),
    ("geomclip_tools.app",),
    ("geomclip_tools.cards",),
    ("geomclip_tools.training",),
    ("geomclip_tools.publishing",),
    ("geomclip_tools.studies",),
    ("geomclip_tools.commands",),
    ("geomclip_tools.cli", "geomclip_tools.__main__"),
)
LONGEST_FILE = 450  # lines
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
    """Return what a file imports from `packages`, as `package.module.name`."""
    names = set()
    for node in nodes(file):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            parent = ".".join(file.relative_to(ROOT).parts[: -node.level]) if node.level else ""
            module = ".".join(part for part in (parent, node.module) if part)
            names |= {f"{module}.{alias.name}" for alias in node.names}
    return {name for name in names if name.split(".")[0] in packages}


def module_of(file: Path) -> str:
    path = file.relative_to(ROOT).with_suffix("")
    return ".".join(path.parts[:-1] if path.name == "__init__" else path.parts)


def imported_modules(file: Path, modules: set[str]) -> set[str]:
    """Return the modules that a file imports; a name imported from a module counts as that module."""
    found = set()
    for name in imported(file, PACKAGES):
        parts = name.split(".")
        candidates = [".".join(parts[:length]) for length in range(len(parts), 0, -1)]
        found.add(next(candidate for candidate in candidates if candidate in modules))
    return found - {module_of(file)}


def floor_of(module: str) -> int:
    """Return the index in `FLOORS` of the longest name that is a prefix of a module."""
    fitting = [
        (len(name), place)
        for place, names in enumerate(FLOORS)
        for name in names
        if module == name or module.startswith(f"{name}.")
    ]
    return max(fitting)[1]


def is_safe(call: ast.Call) -> bool:
    """Return whether a call cannot execute code that it reads from a file."""
    name = ast.unparse(call.func)
    keywords = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
    if name == "torch.load":
        return keywords.get("weights_only") == "True"
    return name not in UNPICKLERS and keywords.get("allow_pickle", "False") == "False"


# -------------------------------------------------------------------------------------------------------------- imports


def test_no_package_imports_a_script_or_a_test():
    scripts = {*SCRIPTS, "tests", *(file.stem for file in ROOT.glob("*.py"))}
    for file in sources(*PACKAGES):
        assert imported(file, scripts) == set(), file.name


def test_nothing_changes_the_path_of_imports():
    for file in all_sources():
        for node in nodes(file):
            if isinstance(node, ast.Attribute):
                assert ast.unparse(node) not in ("sys.path", "site.addsitedir"), place(file, node)


def test_imports_go_down():
    files = sources(*PACKAGES)
    modules = {module_of(file) for file in files}
    for file in files:
        for module in imported_modules(file, modules):
            if module != "geomclip_tools":  # an empty package
                assert floor_of(module) <= floor_of(module_of(file)), f"{module_of(file)} imports {module}"


def test_no_imports_go_round():
    files = sources(*PACKAGES)
    modules = {module_of(file) for file in files}
    graph = defaultdict(set)
    for file in files:
        if file.name != "__init__.py":  # the names of a package are imported before its modules
            graph[module_of(file)] = {name for name in imported_modules(file, modules) if name in modules}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("from ..noise import draw_noise", {"geomclip_tools.noise"}),
        ("from .base import Task", {"geomclip_tools.training.base"}),
        ("from dataset_pubchem3d.pairs import find_first_block", {"dataset_pubchem3d.pairs"}),
        ("import numpy", set()),
    ],
)
def test_what_is_imported(tmp_path, monkeypatch, line, expected):
    file = tmp_path / "geomclip_tools" / "training" / "steps.py"
    file.parent.mkdir(parents=True)
    file.write_text(line)
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    names = {"geomclip_tools.noise", "geomclip_tools.training.base", "dataset_pubchem3d.pairs"}
    assert imported_modules(file, names) == expected


def test_the_model_folder_imports_no_sibling():
    for file in sources("modeling_geomclip"):
        assert imported(file, OWN - {"modeling_geomclip"}) == set(), file.name


def test_relative_imports_of_the_model_folder_are_flat():
    files = sources("modeling_geomclip")
    imports = [
        (file, node) for file in files for node in nodes(file) if isinstance(node, ast.ImportFrom) and node.level
    ]
    assert imports
    for file, node in imports:  # `from .file_geomclip import name`: remote code loading follows no other form
        assert node.level == 1, place(file, node)
        assert node.module in {file.stem for file in files}, place(file, node)


def test_rdkit_is_optional_and_used_in_the_model_folder_to_read_molecules_alone():
    users = [file for file in sources("modeling_geomclip") if imported(file, {"rdkit"})]
    assert {module_of(file) for file in users} <= {*READING}
    for file in users:
        tree = ast.parse(file.read_text(encoding="utf-8"))
        guarded = [inner for node in ast.walk(tree) if isinstance(node, ast.Try) for inner in node.body]
        for node in ast.walk(tree):
            if isinstance(node, ast.Import | ast.ImportFrom) and ast.unparse(node).startswith(
                ("from rdkit", "import rdkit")
            ):
                assert node in guarded, place(file, node)


def test_the_dataset_uses_of_the_model_folder_only_what_reads_molecules():
    for file in sources("dataset_pubchem3d"):
        for name in imported(file, set(OWN) - {"dataset_pubchem3d"}):
            assert name.startswith(READING) or name == "modeling_geomclip.MoleculeError", f"{file.name} imports {name}"


def test_evaluation_builds_models_by_the_auto_classes_alone():
    embedding = ("embed_molecules", "embed_texts")
    embedding += tuple(f"embedding_geomclip.{name}" for name in ("embed_records", "batches_by_size", "inference"))
    neighbours = ("GeomCLIPReferences", "Neighbour", "references_geomclip.hash_geometry_side")
    for file in sources("geomclip_tools/evaluation"):
        for name in imported(file, {"modeling_geomclip"}):
            assert name.removeprefix("modeling_geomclip.") in embedding + neighbours, f"{file.name} imports {name}"


def test_doors_are_short():
    doors = [ROOT / "train_accelerate.py", *sources("eval")]
    for file in doors:
        assert len(file.read_text(encoding="utf-8").splitlines()) <= 60, file.name


def test_nothing_but_doors_lies_at_the_root():
    assert {file.name for file in ROOT.glob("*.py")} == {"setup.py", "train_accelerate.py"}


# ------------------------------------------------------------------------------------------------------ names and calls


def test_no_file_is_longer_than_a_reader_keeps_in_mind():
    for file in all_sources():
        if "tests" not in file.parts:
            assert len(file.read_text(encoding="utf-8").splitlines()) <= LONGEST_FILE, file.name


def test_files_are_named_by_their_idea():
    for file in all_sources():
        path = file.relative_to(ROOT).with_suffix("")
        assert not BANNED_WORDS & {word for part in path.parts for word in part.split("_")}, path


def test_nothing_is_unpickled():
    calls = [(file, node) for file in all_sources() for node in nodes(file) if isinstance(node, ast.Call)]
    assert calls
    for file, call in calls:
        assert is_safe(call), f"{place(file, call)}: {ast.unparse(call)}"
    for file in all_sources():  # only as `module.name`, which `is_safe` recognises
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
