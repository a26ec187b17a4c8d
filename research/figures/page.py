"""Take the screenshots of the page for the README and the documentation, in Debian's chromium.

geomclip app --demo --open_browser False &
python research/figures/page.py --url http://127.0.0.1:7860/ --output docs/images
"""

import argparse
import shutil
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, expect, sync_playwright

QUERY = "an alkaloid"
FLAGS = [
    "--no-sandbox",
    "--use-gl=angle",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
]  # WebGL in software
SIZE = {"width": 1180, "height": 820}  # pixels


def take_screenshots(page: Page, folder: Path) -> None:
    """Search, open the first molecule, show the map, and save a screenshot of each."""
    page.fill("#text", QUERY)
    page.press("#text", "Enter")
    expect(page.locator("article").last).to_have_attribute("data-explained", "yes")
    save(page, folder / "app-search.png")
    page.locator("article .open").first.click()
    expect(page.locator("#viewer")).to_have_attribute(
        "data-shown", page.locator("article").first.get_attribute("data-inchikey")
    )
    page.wait_for_timeout(1000)  # until the geometry is drawn
    save(page, folder / "app-molecule.png")
    page.keyboard.press("Escape")
    page.locator("#tab-map").click()
    expect(page.locator("#status")).to_contain_text("on the map")
    page.locator("#map").scroll_into_view_if_needed()
    save(page, folder / "app-map.png")


def save(page: Page, path: Path) -> None:
    """Save a screenshot in 256 colours, which take a third of the space."""
    page.screenshot(path=path)
    with Image.open(path) as image:
        image.convert("RGB").quantize(256).save(path, optimize=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", default="http://127.0.0.1:7860/", help="address of the page")
    parser.add_argument("--output", type=Path, required=True, help="folder for the images")
    args = parser.parse_args()
    expect.set_options(timeout=120_000)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        page = browser.new_page(viewport=SIZE)
        page.goto(args.url)
        expect(page.locator("#library")).to_contain_text("molecules")
        take_screenshots(page, args.output)
        browser.close()


if __name__ == "__main__":
    main()
