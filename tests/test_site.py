"""The documentation site: every page in its navigation, nothing from another host, and how a page begins."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
DOCS, RESULTS = ROOT / "docs", ROOT / "research" / "results"
CONFIG = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
EXCLUDED = CONFIG["exclude_docs"].split()
PAGES = sorted(page for page in DOCS.rglob("*.md") if page.name not in EXCLUDED)
OPENING = re.compile(
    r"# [^\n]+\n\n(?P<sentence>[^\n#`].*?\.)\n\n```(?P<language>\w+)\n(?P<code>.*?)^```", re.DOTALL | re.MULTILINE
)
IMAGES = sorted(file for folder in DOCS.rglob("images") for file in folder.iterdir())
LARGEST_IMAGE = 150_000  # bytes
MOST_LINES = 5  # of code before a reader has seen something happen, imports not counted


def leaves(value: Any) -> Iterator[Any]:
    """What a nested configuration holds."""
    if isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            yield from leaves(part)
    else:
        yield value


def name_of(page: Path) -> str:
    return page.relative_to(DOCS).as_posix()


def test_every_page_is_in_the_navigation_once():
    listed = list(leaves(CONFIG["nav"]))
    assert sorted(listed) == [name_of(page) for page in PAGES]
    assert "STATUS.md" in EXCLUDED
    assert {DOCS / name for name in EXCLUDED} <= {*DOCS.iterdir()}


def test_the_site_loads_nothing_from_another_host():
    assert CONFIG["theme"]["font"] is False  # else Google's
    assert not {"extra_css", "extra_javascript", "repo_url"} & CONFIG.keys()
    assert "analytics" not in CONFIG["extra"]
    assert not [value for value in leaves(CONFIG) if re.search(r"https?:|^//", str(value))]
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        assert not re.search(r"!\[[^\]]*\]\((\w+:|//)|<(script|link|img|iframe)\b|^```mermaid", text, re.M), page


def test_a_finding_fails_the_build():
    checks = [value for kind in ("nav", "links") for value in CONFIG["validation"][kind].values()]
    assert len(checks) == 7
    assert set(checks) == {"warn"}  # which --strict makes an error
    assert "mkdocs build --strict" in (ROOT / "Makefile").read_text(encoding="utf-8")


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_a_page_begins_with_what_it_is_for_and_something_to_run(page):
    found = OPENING.match(page.read_text(encoding="utf-8"))
    assert found, "a title, a sentence or two, and a block of code"
    if found["language"] == "python":
        body = [node for node in ast.parse(found["code"]).body if not isinstance(node, ast.Import | ast.ImportFrom)]
        assert len(body) <= MOST_LINES
    else:
        assert found["language"] == "sh"
        commands = found["code"].replace("\\\n", "").strip().splitlines()
        assert len(commands) <= MOST_LINES


def test_the_first_code_is_that_of_the_readme_which_is_tested():
    block = re.search(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)[0]
    assert block in (DOCS / "index.md").read_text(encoding="utf-8")


def test_images_are_copies_of_results_or_made_by_make_figures():
    figures = "".join(file.read_text(encoding="utf-8") for file in (ROOT / "research" / "figures").glob("*.py"))
    figures += (ROOT / "Makefile").read_text(encoding="utf-8")
    assert IMAGES
    for image in IMAGES:
        originals = [*RESULTS.rglob(image.name)]
        if image.name in figures:
            assert originals == [], "a figure is made into docs/ and has no copy"
        else:
            (original,) = originals
            assert image.read_bytes() == original.read_bytes(), f"copy {original} anew"


@pytest.mark.parametrize("image", IMAGES, ids=name_of)
def test_an_image_is_small_and_a_page_describes_it(image):
    assert image.stat().st_size < LARGEST_IMAGE
    descriptions = [
        description
        for page in [*PAGES, ROOT / "README.md"]
        for description, target in re.findall(r"!\[([^\]]*)\]\(([^)\s]+)\)", page.read_text(encoding="utf-8"))
        if (page.parent / target).resolve() == image
    ]
    assert descriptions
    assert all(len(description.split()) >= 5 for description in descriptions)
