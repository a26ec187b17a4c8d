"""Everything that a page names exists: relative links, and paths in code spans and shell blocks."""

import itertools
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGES = [
    ROOT / "README.md",
    ROOT / "configs" / "README.md",
    ROOT / "eval" / "README.md",
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "research").rglob("*.md")),
    *sorted((ROOT / "eval" / "metrics").rglob("*.md")),
]
BASES = (  # besides the folder of the page
    ".",
    "configs",
    "modeling_geomclip",
    "research/results",
    "research/experiments",
    "research/benchmarks",
    "research/figures",
)
SUFFIXES = ("", ".yaml")  # a configuration may be named without its suffix
OUTPUTS = (  # folders that commands create
    "results",
    "runs",
    "geomclip",
    "pubchem3d",
    ".pubchem3d.work",
    ".pubchem3d_full.work",
    "captioner",
    "quarantine",
    "last",
    "site",
    ".venv",
)
HUB = (
    "allenai",
    "HuggingFaceTB",
    "sentence-transformers",
    "your-name",
)  # owners of models and datasets that pages name
SOURCES = (".py", ".sh", ".md", ".cff")  # a file of this kind is in the repository, even if named without a folder
MADE = ("QUALITY.md",)  # files that commands create
BLOCKS = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
SPANS = re.compile(r"`([^`]+)`")


def read(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def links(text: str) -> list[str]:
    """Return the targets of relative links, with their anchors."""
    prose = SPANS.sub("", BLOCKS.sub("", text))  # a SMILES may look like a link
    return [target for target in re.findall(r"\]\(([^)\s]+)\)", prose) if not re.match(r"\w+:", target)]


def headings(text: str) -> set[str]:
    """Return the anchors of the headings of a page, as GitHub names them."""
    titles = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def code(text: str) -> Iterator[str]:
    """Yield shell blocks, then code spans, also over two lines. Files that `git show` reads are in the history."""
    yield from (block.replace("\\\n", " ") for language, block in BLOCKS.findall(text) if language == "sh")
    spans = SPANS.findall(BLOCKS.sub("", text))
    yield from (re.sub(r"\s+", " ", span) for span in spans if not span.startswith("git show"))


def paths(text: str) -> list[str]:
    """Return the words of the code that name a file or folder, with braces expanded."""
    words = (re.sub(r" #.*", "", line).split() for part in code(text) for line in part.split("\n"))
    words = (word.partition("=")[2] if "=" in word else word for word in itertools.chain.from_iterable(words))
    words = (path for word in words for path in expand_braces(word.strip("\"'(),;|")))
    return [word for word in words if is_path(word)]


def expand_braces(word: str) -> list[str]:
    """Expand braces as a shell does: a{b,c} -> ab, ac."""
    found = re.fullmatch(r"(.*?)\{([^{}]*,[^{}]*)\}(.*)", word)
    if not found:
        return [word]
    return [path for part in found[2].split(",") for path in expand_braces(found[1] + part + found[3])]


def is_path(word: str) -> bool:
    if not re.fullmatch(r"[\w.*+/-]+", word) or word.startswith(("-", "/", "*")):
        return False
    first, is_folder, _ = word.partition("/")
    if first in OUTPUTS or first in HUB or word in MADE:
        return False
    return bool(is_folder) or word.endswith(SOURCES)


def exists(page: Path, path: str) -> bool:
    """Return whether a path exists, relative to the page or to one of `BASES`."""
    folders = [page.parent, *(ROOT / base for base in BASES)]
    return any(any(folder.glob(path.rstrip("/") + suffix)) for folder in folders for suffix in SUFFIXES)


def find_missing(page: Path, text: str) -> list[str]:
    """Return the links and paths of a text on `page` that do not exist."""
    missing = [path for path in paths(text) if not exists(page, path)]
    for target in links(text):
        path, _, anchor = target.partition("#")
        file = (page.parent / path) if path else page
        if not file.exists() or (anchor and anchor not in headings(text if file == page else read(file))):
            missing.append(target)
    return missing


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_what_a_page_names_exists(page):
    assert find_missing(page, read(page)) == []


def test_many_things_are_checked():
    assert len(PAGES) > 10
    assert sum(len(links(read(page))) for page in PAGES) > 40
    assert sum(len(paths(read(page))) for page in PAGES) > 150


@pytest.mark.parametrize(
    "text",
    [
        "[gone](docs/gone.md)",
        "[gone](docs/training.md#no-such-heading)",
        "`experiments/retrieval.sh`",
        "```sh\npython model_card.py --model geomclip\n```",
        "```sh\ngeomclip build --config data/gone \\\n    --out pubchem3d\n```",
        "```sh\naccelerate launch --config_file=accelerate_configs/cpu.yaml train_accelerate.py pretrain\n```",
        "`python research/experiments/compare_retrieval.py\nresearch/results/retrieval/{ecfp4,gone}.csv`",
        "`retrieval/gone_*.json`",
    ],
)
def test_what_leads_nowhere_is_found(text):
    assert len(find_missing(ROOT / "README.md", text)) == 1


@pytest.mark.parametrize(
    "text",
    [
        "[there](docs/training.md), [there](configs/README.md#accelerate), [out](https://arxiv.org/abs/2411.10821)",
        "`geomclip train pretrain --config train/quickstart --dataset my_pairs.csv --text_model allenai/scibert`",
        "`retrieval/{ecfp4,smiles}.json`, `seeds/`, `git show e10e03d:results/retrieval/ecfp4.json`",
        "```sh\npython eval/retrieval.py --output results/retrieval.json  # into docs/gone.md\n```",
    ],
)
def test_what_is_there_is_not_missed(text):
    assert find_missing(ROOT / "README.md", text) == []
