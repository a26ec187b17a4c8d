"""The page in a real browser: what a person does, and what she sees.

Needs Debian's chromium (`apt-get install chromium`) and Playwright (`pip install playwright`), which drives it.
"""

import csv
import io
import shutil
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from rdkit import Chem

from tests.geomclip_tools.app.small_library import HOSTILE, MOLECULES

CHROMIUM = shutil.which("chromium")
pytestmark = pytest.mark.skipif(
    CHROMIUM is None or find_spec("playwright") is None or find_spec("gradio") is None,
    reason="needs a browser: apt-get install chromium; pip install playwright, and '.[app]'",
)
FLAGS = [
    "--no-sandbox",
    "--use-gl=angle",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
]  # WebGL in software
PATIENCE = 120_000  # ms; the machine may be busy
SMILES = {name: smiles for name, smiles, _ in MOLECULES}


@pytest.fixture(scope="module")
def browser() -> Iterator:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def page(browser, url) -> Iterator:
    """A page in a fresh profile; the test fails if it asks for anything beyond the server, or has an error."""
    from playwright.sync_api import expect

    expect.set_options(timeout=PATIENCE)
    context = browser.new_context(viewport={"width": 1280, "height": 900}, accept_downloads=True)
    page, asked, errors = context.new_page(), [], []
    page.set_default_timeout(PATIENCE)
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda message: message.type == "error" and errors.append(message.text))
    page.on("dialog", lambda dialog: errors.append(f"dialog {dialog.message}"))
    page.goto(url)
    expect(page.locator("#library")).to_contain_text(f"{len(MOLECULES)} molecules")
    yield page
    foreign = [address for address in asked if not address.startswith((url, "blob:", "data:"))]
    context.close()
    assert not foreign
    assert not errors


def search(page, text: str) -> list[str]:
    """Search by a text, and return the names of the cards."""
    from playwright.sync_api import expect

    page.fill("#text", text)
    page.press("#text", "Enter")
    expect(page.locator("#status")).to_contain_text("best first")
    return page.locator(".card h3").all_text_contents()


def open_filters(page) -> None:
    page.locator("summary").click()


def test_search_shows_molecules_and_why_they_match(page, answers):
    from playwright.sync_api import expect

    names = search(page, "an alkaloid of tobacco")
    assert names[0] == "nicotine"
    assert len(names) == 12
    first = page.locator(".card").first
    expect(first).to_contain_text("percentile 100.0")
    expect(first).to_contain_text("C10H14N2 · 162.2 g/mol")
    assert first.locator(".drawing").get_attribute("aria-label") == "Structure of nicotine"
    expect(first).to_have_attribute("data-explained", "yes")
    assert first.locator("ellipse").count() > 5  # a spot for each atom
    page.uncheck("#why")
    expect(first.locator("ellipse")).to_have_count(0)
    assert "q=an+alkaloid" in page.url  # can be shared


def test_an_example_is_a_search(page):
    from playwright.sync_api import expect

    page.get_by_role("button", name="a sulfonamide").click()
    expect(page.locator(".card h3").first).to_have_text("sulfanilamide")


def test_filters_and_an_empty_result(page):
    from playwright.sync_api import expect

    open_filters(page)
    page.fill("#mol_weight-high", "165")
    page.fill("#substructure", "n")
    assert search(page, "an alkaloid") == ["nicotine"]
    page.fill("#rings-low", "40")
    page.press("#rings-low", "Enter")
    expect(page.locator("#status")).to_have_text("No molecule matches the filters. Relax or remove them.")
    assert page.locator("article").count() == 0
    assert page.locator(".download").first.is_disabled()
    page.click("#reset")
    expect(page.locator("#status")).to_contain_text("12 molecules, best first")


def test_a_molecule_opens_in_three_dimensions(page, index):
    from playwright.sync_api import expect

    search(page, "an alkaloid of tobacco")
    page.get_by_role("button", name="3D and details of nicotine").click()
    dialog = page.locator("#detail")
    expect(dialog.locator("h2")).to_have_text("nicotine")
    expect(dialog.locator("#viewer")).to_have_attribute("data-shown", "SNICXCGAKADSCV-UHFFFAOYSA-N")
    for told in ("C10H14N2", "162.236", "price", "an alkaloid of tobacco", "library.csv, line 2"):
        expect(dialog).to_contain_text(told)
    expect(dialog.locator(".word").nth(1)).to_have_text("alkaloid")
    drawn = read_pixels(dialog.locator("#viewer canvas").screenshot())
    assert (drawn != drawn[0, 0]).any(axis=-1).mean() > 0.01  # more than the background
    with page.expect_download() as download:
        dialog.get_by_role("button", name="Download SDF").click()
    mol = Chem.MolFromMolFile(str(download.value.path()))
    np.testing.assert_allclose(
        mol.GetConformer().GetPositions(), index.get(["SNICXCGAKADSCV-UHFFFAOYSA-N"])[0]["positions"], atol=1e-3
    )
    dialog.get_by_role("button", name="Generate a description").click()
    expect(dialog.locator("#caption")).to_have_text(f"a molecule: {SMILES['nicotine']}")
    dialog.get_by_role("button", name="Find similar molecules").click()
    expect(dialog).to_be_hidden()
    expect(page.locator("#similar b")).to_have_text("nicotine")
    expect(page.locator(".card h3").first).to_have_text("nicotine")


def read_pixels(png: bytes) -> np.ndarray:
    from PIL import Image

    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))


def test_a_molecule_is_pasted_opened_and_drawn(page, tmp_path):
    from playwright.sync_api import expect

    first = page.locator(".card h3").first
    page.fill("#molecule", SMILES["menthol"])
    page.get_by_role("button", name="Search").click()
    expect(first).to_have_text("menthol")
    Chem.MolToMolFile(Chem.AddHs(Chem.MolFromSmiles(SMILES["caffeine"])), str(tmp_path / "mine.sdf"))
    page.set_input_files("#file", tmp_path / "mine.sdf")
    expect(first).to_have_text("caffeine")
    page.fill("#molecule", "C")
    page.get_by_role("button", name="Draw").click()
    canvas = page.locator("#editor")
    expect(canvas.locator("div").first).to_be_visible()
    toolbar = canvas.bounding_box()
    page.mouse.click(toolbar["x"] + 34, toolbar["y"] + 202)  # the ring with double bonds
    page.mouse.click(toolbar["x"] + toolbar["width"] / 2 + 90, toolbar["y"] + toolbar["height"] / 2 + 90)
    page.get_by_role("button", name="Use this molecule").click()
    expect(page.locator("#sketcher")).to_be_hidden()
    expect(page.locator("#status")).to_contain_text("best first")
    drawn = Chem.MolFromSmiles(page.input_value("#molecule"))
    assert drawn.HasSubstructMatch(Chem.MolFromSmiles("c1ccccc1"))


def test_a_text_and_a_molecule_are_weighed(page):
    from playwright.sync_api import expect

    expect(page.locator("#weighting")).to_be_hidden()
    page.fill("#molecule", SMILES["menthol"])
    page.fill("#text", "an alkaloid of tobacco")
    expect(page.locator("#weighting")).to_be_visible()
    page.locator("#weight").fill("1")
    page.press("#text", "Enter")
    expect(page.locator(".card h3").first).to_have_text("menthol")
    page.locator("#weight").fill("0")
    page.press("#text", "Enter")
    expect(page.locator(".card h3").first).to_have_text("nicotine")


@pytest.mark.parametrize(
    ("field", "given", "told"),
    [
        ("#molecule", "C1CC", "the molecule cannot be used: RDKit cannot read it as SMILES (unclosed ring)"),
        ("#molecule", "/etc/passwd.sdf", "this is the name of a file; choose the file itself, or paste its content"),
        ("#molecule", "C" * 2000, "the molecule cannot be used: it has 2000 atoms, more than max_atoms=256"),
        ("#text", "very " * 3000, "the text has 15,000 characters; at most 10,000 are accepted"),
        ("#text", "", "enter a text or a molecule"),
    ],
)
def test_what_is_wrong_is_told(page, field, given, told):
    from playwright.sync_api import expect

    page.fill(field, given)
    page.get_by_role("button", name="Search").click()
    expect(page.locator("#status")).to_have_class("error")
    expect(page.locator("#status")).to_contain_text(told)


def test_a_large_file_is_refused(page, tmp_path):
    from playwright.sync_api import expect

    (tmp_path / "large.xyz").write_text("C 0 0 0\n" * 50_000)
    page.set_input_files("#file", tmp_path / "large.xyz")
    expect(page.locator("#status")).to_contain_text("large.xyz has 400 kB; at most 200 kB are accepted")


def test_a_long_text_is_searched(page):
    assert len(search(page, "an alkaloid of tobacco, " * 200)) == 12


def test_names_and_texts_are_no_html(page):
    from playwright.sync_api import expect

    assert HOSTILE in search(page, "an alcohol")
    assert page.locator(".card img").count() == 0
    page.get_by_role("button", name=f"3D and details of {HOSTILE}").click()
    dialog = page.locator("#detail")
    expect(dialog.locator("h2")).to_have_text(HOSTILE)
    expect(dialog.locator("#detail-text p")).to_have_text("an <b>alcohol</b>")
    assert dialog.locator("img").count() == 0


def test_results_are_downloaded(page):
    names = search(page, "an alkaloid")
    with page.expect_download() as download:
        page.get_by_role("button", name="Download CSV").click()
    table = Path(download.value.path()).read_text()
    assert [row["name"] or row["inchikey"] for row in csv.DictReader(io.StringIO(table))] == names
    with page.expect_download() as download:
        page.get_by_role("button", name="Download SDF").click()
    assert [mol.GetProp("_Name") for mol in Chem.SDMolSupplier(str(download.value.path()))] == names


def test_the_map_is_coloured_hovered_and_opened(page, answers):
    from playwright.sync_api import expect

    search(page, "an alkaloid of tobacco")
    page.get_by_role("tab", name="Map of the library").click()
    expect(page.locator("#status")).to_have_text(f"{len(MOLECULES)} molecules on the map.")
    canvas = page.locator("#map")
    canvas.scroll_into_view_if_needed()
    pixels = read_pixels(canvas.screenshot()).astype(int)
    bright = np.argwhere(pixels[12:-12, 12:-12].sum(axis=-1) > 450)  # the most similar molecule; not the round corners
    assert len(bright)
    top, left = np.median(bright, axis=0) + 12
    box = canvas.bounding_box()
    page.mouse.move(box["x"] + left, box["y"] + top)
    expect(page.locator("#hover h3")).to_have_text("nicotine")
    page.mouse.click(box["x"] + left, box["y"] + top)
    expect(page.locator("#detail h2")).to_have_text("nicotine")
    page.keyboard.press("Escape")
    expect(page.locator("#detail")).to_be_hidden()
    page.mouse.wheel(0, -400)
    assert (read_pixels(canvas.screenshot()).astype(int) != pixels).any()  # zoomed


def test_the_keyboard_is_enough(page):
    from playwright.sync_api import expect

    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the results"
    page.keyboard.press("Tab")
    page.keyboard.type("an alkaloid of tobacco")
    page.keyboard.press("Enter")
    expect(page.locator(".card h3").first).to_have_text("nicotine")
    page.locator("#tab-list").focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator("#map-view")).to_be_visible()
    page.keyboard.press("ArrowLeft")
    page.get_by_role("button", name="3D and details of nicotine").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#detail")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("#detail")).to_be_hidden()


@pytest.mark.parametrize("width", [320, 768])
def test_narrow_screens_need_no_scrolling_sideways(page, width):
    page.set_viewport_size({"width": width, "height": 700})
    search(page, "an alkaloid")
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_everything_has_a_name_and_contrast(page):
    """Every control and drawing has a name for screen readers; text has a contrast of 4.5 or more (WCAG 1.4.3)."""
    search(page, "an alkaloid")
    open_filters(page)
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        assert page.evaluate(FIND_UNNAMED) == []
        assert page.evaluate(FIND_FAINT) == []


FIND_UNNAMED = """() => [...document.querySelectorAll('button, input, textarea, [role=img], a')]
  .filter((e) => e.checkVisibility())
  .filter((e) => !(e.ariaLabel || e.textContent.trim()))
  .filter((e) => ![...(e.labels || [])].some((label) => label.textContent.trim()))
  .map((e) => e.outerHTML)"""
FIND_FAINT = """() => {
  const parse = (colour) => colour.match(/[0-9.]+/g).map(Number);
  const luminance = (colour) => parse(colour).slice(0, 3).map((part) => part / 255)
    .map((part) => (part <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4))
    .reduce((sum, part, place) => sum + part * [0.2126, 0.7152, 0.0722][place], 0);
  const background = (element) => {
    for (let e = element; e; e = e.parentElement) {
      const colour = getComputedStyle(e).backgroundColor;
      if ((parse(colour)[3] ?? 1) > 0.5) return colour;
    }
    return 'rgb(255, 255, 255)';
  };
  return [...document.querySelectorAll('h1, h3, p, label, legend, summary, button:enabled, input')]
    .filter((e) => e.checkVisibility() && (e.textContent.trim() || e.value))
    .map((e) => {
      const [high, low] = [luminance(getComputedStyle(e).color), luminance(background(e))].sort((a, b) => b - a);
      return [(high + 0.05) / (low + 0.05), e.outerHTML.slice(0, 80)];
    }).filter(([contrast]) => contrast < 4.5);
}"""
