"""Texts: descriptions by PubChem's depositors, as the annotations of one heading, from the pages of PUG View.

Source of the format: https://pubchem.ncbi.nlm.nih.gov/docs/pug-view. A page after the last always answers HTTP 500.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar
from urllib.parse import urlencode

from tqdm import tqdm

from ..fetch.client import Client, FetchError, cache_json
from ..fetch.planned import Download
from ..records import RecordError, Text
from .base import TextSource
from .pug_view import (
    HEADING,
    NO_TEXT,
    expect_documented_form,
    get_heading,
    get_origin_id,
    get_paragraphs,
    get_value,
    make_text,
    read_json,
)

ANNOTATIONS_URL = "https://pubchem.ncbi.nlm.nih.gov/rest/pug_view/annotations/heading/JSON"
PAGES = 290  # of HEADING by all depositors, in step_01 of MoleculeSTM's scripts (Liu et al., arXiv 2212.10789)
PAGES_FROM = "estimate: number that MoleculeSTM found; PubChem's first answer has today's"


@dataclass(frozen=True)
class PubChemAnnotations(TextSource):
    """All annotations of a heading, about a thousand per page, with one gzip file per page.

    An annotation linked to several compounds describes them together, for example a mixture, the salts of an acid or a
    group of isomers. It does not say which sentence applies to which compound, and neither a text nor a pair has a
    field to mark the ambiguity. A pair, however, claims that its text describes its molecule. The default is therefore
    "refuse", and refused annotations are counted. With "keep", every compound gets the text, and these pairs share
    their ANID.

    Args:
        heading: heading in PubChem's table of contents of compounds.
        annotation_source: depositor whose annotations to use, such as "ChEBI"; "" for all depositors.
        ambiguous: whether to "refuse" or "keep" annotations linked to several compounds.
        url: address of the service.
    """

    name: ClassVar[str] = "pubchem_text"
    about: ClassVar[str] = (
        "descriptions by PubChem's depositors, one row per annotation, from PUG View. Each depositor has its own "
        "terms, given in `text_license_url` if PubChem states them. An annotation of several compounds does not say "
        "which sentence applies to which compound; it is refused unless the recipe keeps it."
    )
    heading: str = HEADING
    annotation_source: str = ""
    ambiguous: str = "refuse"
    url: str = ANNOTATIONS_URL

    @property
    def raw_name(self) -> str:
        """See `Source.raw_name`."""
        parts = filter(None, (self.name, self.heading, self.annotation_source))
        return "_".join(re.sub(r"\W+", "_", part) for part in parts)

    def __post_init__(self):
        if self.ambiguous not in ("refuse", "keep"):
            raise ValueError(f"source {self.name}: ambiguous={self.ambiguous!r}; choose 'refuse' or 'keep'")

    def plan(self, folder: Path) -> list[Download]:
        """See `Source.plan`. The number of pages is that of the last page that is there, or else an estimate."""
        there = sorted(folder.glob("page-*.json.gz"))
        if there:
            total = _check_page(read_json(there[-1]), there[-1])["TotalPages"]
            missing = max(total - len(there), 0)
            note = f"number of pages by {there[-1].name}"
            return [Download(f"{total} pages", requests=missing, note=note, is_there=missing == 0)]
        if self.heading == HEADING and not self.annotation_source:
            return [Download(f"about {PAGES} pages", requests=PAGES, note=PAGES_FROM)]
        return [Download("pages", requests=None, note="PubChem's first answer has the number of pages")]

    def fetch(self, client: Client, folder: Path) -> None:
        """Download the missing pages. Their total number may change meanwhile."""
        if self.path:
            return
        number, total = 1, 1
        with tqdm(desc=self.name, unit=" pages", disable=None) as progress:
            while number <= total:
                file = _name_page_file(folder, number)
                try:
                    total = _check_page(cache_json(file, partial(self._request, client, number)), file)["TotalPages"]
                except FetchError as error:
                    if error.status is None or number == 1 or self._renew_total(client, folder, number - 1) >= number:
                        raise
                    return
                number, progress.total = number + 1, total
                progress.update()

    def read_records(self, folder: Path) -> Iterator[dict]:
        """Yield the annotations, page by page.

        Raises:
            ValueError: a page cannot be read, or a page is missing in the middle or at the end.
        """
        for number, file in enumerate(self.list_files(folder), start=1):
            page = _check_page(read_json(file), file)
            if page["Page"] != number:
                raise ValueError(f"{file} is page {page['Page']}, not page {number}; fetch the missing pages")
            yield from page["Annotation"]
        if page["TotalPages"] > number:
            raise ValueError(f"{file}, the last file, is page {number} of {page['TotalPages']}; fetch the other pages")

    def parse_texts(self, raw: dict) -> list[Text]:
        """Return one text per linked compound, with all paragraphs joined; see `TextSource.parse_texts`."""
        record_id = get_origin_id(raw)
        with expect_documented_form(record_id, raw):
            if self.annotation_source and raw["SourceName"].casefold() != self.annotation_source.casefold():
                raise RecordError(record_id, "annotation of another source", raw["SourceName"])
            blocks = raw.get("Data", [])
            described = [block for block in blocks if get_heading(block) in (self.heading, None)]
            paragraphs = [paragraph for block in described for paragraph in get_paragraphs(block)]
            if not paragraphs:
                raise RecordError(record_id, NO_TEXT, f"headings: {[get_heading(block) for block in blocks]}")
            return [make_text(raw, paragraphs, cid) for cid in self._read_cids(record_id, raw)]

    def _read_cids(self, record_id: str, raw: dict) -> list[int]:
        cids = list(dict.fromkeys(int(cid) for cid in raw.get("LinkedRecords", {}).get("CID", [])))
        if not cids:
            raise RecordError(record_id, "no linked compound")
        if len(cids) > 1 and self.ambiguous == "refuse":
            raise RecordError(record_id, "linked to several compounds", f"{len(cids)} compounds")
        return cids

    def _request(self, client: Client, number: int) -> dict:
        query = {"heading_type": "Compound", "heading": self.heading, "page": number}
        source = {"source": self.annotation_source} if self.annotation_source else {}
        url = f"{self.url}?{urlencode(query | source)}"
        answer = client.get_json(url)
        if (came := _check_page(answer, url)["Page"]) != number:
            raise ValueError(f"{url} returned page {came}, not page {number}; try again later")
        return answer

    def _renew_total(self, client: Client, folder: Path, number: int) -> int:
        """Fetch a page again, because the next one is not available, and return the current number of pages."""
        page = self._request(client, number)
        _name_page_file(folder, number).unlink()
        return cache_json(_name_page_file(folder, number), lambda: page)["Annotations"]["TotalPages"]


def _name_page_file(folder: Path, number: int) -> Path:
    return folder / f"page-{number:05}.json.gz"


def _check_page(content: dict, place: Path | str) -> dict:
    for key in ("Annotation", "Page", "TotalPages"):
        get_value(content, place, "Annotations", key)
    return content["Annotations"]
