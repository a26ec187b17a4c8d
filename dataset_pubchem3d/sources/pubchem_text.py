"""Descriptions that depositors gave to PubChem: all annotations of one heading, or the records of listed compounds.

Source of the formats: PUG View (https://pubchem.ncbi.nlm.nih.gov/docs/pug-view) and, for an `InformationList`, the
PUG REST operation `description` (https://pubchem.ncbi.nlm.nih.gov/docs/pug-rest). Licences belong to the depositors,
text by text. Markup (which part of a paragraph is a link) is not read.
"""

import gzip
import json
import zlib
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import urlencode

from tqdm import tqdm

from ..fetch import Client, FetchError, cached_json
from ..records import RecordError, Text
from .base import TextSource

ANNOTATIONS_URL = "https://pubchem.ncbi.nlm.nih.gov/rest/pug_view/annotations/heading/JSON"
COMPOUND_URL = "https://pubchem.ncbi.nlm.nih.gov/rest/pug_view/data/compound"
HEADING = "Record Description"
NO_TEXT = "no text under the heading"


@dataclass(frozen=True)
class PubChemAnnotations(TextSource):
    """All annotations of a heading, about a thousand a page; one gzip file a page.

    An annotation linked to several compounds tells of them together: a mixture, the salts of an acid, a group of
    isomers. Which sentence holds for which of them is not said, and neither a text nor a pair has a field to mark the
    doubt. So "refuse" is the honest default, as a pair claims that this text describes this molecule; what is refused
    is counted. With "keep" each compound gets the text; such pairs share their ANID.

    Args:
        heading: heading of PubChem's table of contents of compounds.
        annotation_source: only annotations of this depositor, such as "ChEBI"; "" for all.
        ambiguous: "refuse" or "keep" annotations linked to several compounds.
        url: address of the service.
    """

    name: ClassVar[str] = "pubchem_text"
    about: ClassVar[str] = (
        "descriptions that depositors gave to PubChem, one row an annotation, by PUG View. Each depositor has terms "
        "of its own, given in `text_license_url` as far as PubChem states them. Annotations of several compounds "
        "are refused, as no one knows which of them a sentence is about."
    )
    heading: str = HEADING
    annotation_source: str = ""
    ambiguous: str = "refuse"
    url: str = ANNOTATIONS_URL

    def __post_init__(self):
        if self.ambiguous not in ("refuse", "keep"):
            raise ValueError(f"source {self.name}: ambiguous={self.ambiguous!r} is neither 'refuse' nor 'keep'")

    def fetch(self, client: Client, folder: Path) -> None:
        """Download the pages that are not there yet, following their total number as it changes meanwhile."""
        if self.path:
            return
        number, total = 1, 1
        with tqdm(desc=self.name, unit=" pages", disable=None) as progress:
            while number <= total:
                file = _page_file(folder, number)
                try:
                    total = _page(cached_json(file, partial(self._request, client, number)), file)["TotalPages"]
                except FetchError as error:
                    if error.status is None or number == 1 or self._renewed_total(client, folder, number - 1) >= number:
                        raise
                    return
                number, progress.total = number + 1, total
                progress.update()

    def raw_records(self, folder: Path) -> Iterator[dict]:
        """The annotations, page by page.

        Raises:
            ValueError: a page cannot be read, does not follow the one before, or is the last but not of its number.
        """
        for number, file in enumerate(self.files(folder), start=1):
            page = _page(_read_json(file), file)
            if page["Page"] != number:
                raise ValueError(f"{file} is page {page['Page']} where page {number} follows; fetch what is missing")
            yield from page["Annotation"]
        if page["TotalPages"] > number:
            raise ValueError(f"{file} is the last file but page {number} of {page['TotalPages']}; fetch the rest")

    def texts(self, raw: dict) -> list[Text]:
        """One text a linked compound, all its paragraphs joined; see `TextSource`."""
        record_id = _origin_id(raw)
        with _documented_form(record_id, raw):
            if self.annotation_source and raw["SourceName"].casefold() != self.annotation_source.casefold():
                raise RecordError(record_id, "annotation of another source", raw["SourceName"])
            blocks = [block for block in raw.get("Data", []) if _heading(block) in (self.heading, None)]
            paragraphs = [paragraph for block in blocks for paragraph in _paragraphs(block)]
            if not paragraphs:
                raise RecordError(record_id, NO_TEXT, f"headings: {[_heading(block) for block in raw.get('Data', [])]}")
            return [_text(raw, paragraphs, cid) for cid in self._cids(record_id, raw)]

    def _cids(self, record_id: str, raw: dict) -> list[int]:
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
        if (came := _page(answer, url)["Page"]) != number:
            raise ValueError(f"{url} was answered with page {came}")
        return answer

    def _renewed_total(self, client: Client, folder: Path, number: int) -> int:
        """The number of pages by a page that is asked for again, since the next one could not be had."""
        page = self._request(client, number)
        _page_file(folder, number).unlink()
        return cached_json(_page_file(folder, number), lambda: page)["Annotations"]["TotalPages"]


@dataclass(frozen=True)
class PubChemCompoundTexts(TextSource):
    """The descriptions of listed compounds, one file each; for short lists, as every compound costs a request.

    PubChem cuts some long texts of these records, so `PubChemAnnotations` is to be preferred. A folder of one's own
    may also hold answers of the operation `description` (an `InformationList`), which know no licences.

    Args:
        cids: text file with one CID a line; blank lines and comments after # are allowed. "" reads all of `path`.
        heading: heading of PubChem's table of contents of compounds.
        url: address of the service.
    """

    name: ClassVar[str] = "pubchem_compound_text"
    about: ClassVar[str] = (
        "descriptions that depositors gave to PubChem, for a list of compounds, by PUG View. Each depositor has "
        "terms of its own, given in `text_license_url` as far as PubChem states them."
    )
    cids: str = ""
    heading: str = HEADING
    url: str = COMPOUND_URL

    def fetch(self, client: Client, folder: Path) -> None:
        """Download the records that are not there yet; a compound without a description gets an empty record."""
        if self.path:
            return
        if not self.cids:
            raise ValueError(f"source {self.name} has neither cids nor path; set cids to a file with one CID a line")
        for cid in tqdm(read_cids(Path(self.cids)), desc=self.name, unit=" compounds", disable=None):
            cached_json(_compound_file(folder, cid), partial(self._request, client, cid))

    def files(self, folder: Path) -> list[Path]:
        """The files of the listed compounds, or all where none are listed; see `TextSource`."""
        if not self.cids:
            return super().files(folder)
        files = [_compound_file(folder, cid) for cid in read_cids(Path(self.cids))]
        if missing := [file for file in files if not file.is_file()]:
            raise FileNotFoundError(f"{len(missing)} files are missing, the first is {missing[0]}; fetch them")
        return files

    def raw_records(self, folder: Path) -> Iterator[tuple[str, dict]]:
        """The CID and the content of each file.

        Raises:
            ValueError: a file cannot be read or is neither a `Record` nor an `InformationList`.
        """
        for file in self.files(folder):
            content = _read_json(file)
            where = ("InformationList", "Information", 0, "CID")
            yield str(_at(content, file, *where if where[0] in content else ("Record", "RecordNumber"))), content

    def texts(self, raw: tuple[str, dict]) -> list[Text]:
        """One text a reference, all its paragraphs joined; see `TextSource`."""
        record_id, content = raw
        with _documented_form(record_id, content):
            if "Record" in content:
                texts = self._record_texts(record_id, content["Record"])
            else:
                texts = _list_texts(content["InformationList"]["Information"])
        if not texts:
            raise RecordError(record_id, NO_TEXT)
        return texts

    def _request(self, client: Client, cid: int) -> dict:
        url = f"{self.url}/{cid}/JSON?{urlencode({'heading': self.heading})}"
        try:
            answer = client.get_json(url)
            _at(answer, url, "Record", "RecordNumber")
            return answer
        except FetchError as error:
            if "PUGVIEW.NotFound" not in str(error):
                raise
            return {"Record": {"RecordType": "CID", "RecordNumber": cid}}

    def _record_texts(self, record_id: str, record: dict) -> list[Text]:
        if (kind := record.get("RecordType", "CID")) != "CID":
            raise RecordError(record_id, "not the record of a compound", kind)
        paragraphs = defaultdict(list)
        for information in _information(record.get("Section", []), self.heading):
            paragraphs[information.get("ReferenceNumber")] += _paragraphs(information)
        described = {number: parts for number, parts in paragraphs.items() if parts}
        references = {reference["ReferenceNumber"]: reference for reference in record.get("Reference", [])}
        if lacking := [number for number in described if number not in references]:
            raise RecordError(record_id, "a text without its reference", f"reference numbers {lacking}")
        cid, title = int(record["RecordNumber"]), record.get("RecordTitle")
        return [_text(references[number], parts, cid, title) for number, parts in described.items()]


def read_cids(file: Path) -> list[int]:
    """The CIDs of a text file, ascending, each once.

    Raises:
        ValueError: a line is neither a CID, a comment after # nor blank, or there is no CID at all.
    """
    cids = set()
    for number, line in enumerate(file.read_text(encoding="utf-8-sig").splitlines(), start=1):
        if entry := line.partition("#")[0].strip():
            if not (entry.isascii() and entry.isdecimal() and int(entry) > 0):
                raise ValueError(f"{file}, line {number}: {entry!r} is not a CID; give one positive integer a line")
            cids.add(int(entry))
    if not cids:
        raise ValueError(f"{file} lists no CID; give one a line")
    return sorted(cids)


def _list_texts(elements: list[dict]) -> list[Text]:
    titles = {element["CID"]: element["Title"] for element in elements if "Title" in element}
    return [
        Text(
            record_id=f"{element['CID']}:{position}",
            text=element["Description"],
            source=element["DescriptionSourceName"],
            cid=int(element["CID"]),
            name=titles.get(element["CID"]),
            url=element.get("DescriptionURL"),
        )
        for position, element in enumerate(elements)
        if element.get("Description", "").strip()  # the first element has the title alone
    ]


def _text(origin: dict, paragraphs: list[str], cid: int, title: str | None = None) -> Text:
    """`origin`: the annotation or reference; both say by the same keys where the text is from."""
    return Text(
        record_id=f"{_origin_id(origin)}:{cid}",
        text="\n".join(paragraphs),
        source=origin["SourceName"],
        cid=cid,
        name=origin.get("Name") or title,
        source_id=origin.get("SourceID"),
        url=origin.get("URL"),
        license_url=origin.get("LicenseURL"),
        anid=origin.get("ANID"),
    )


def _origin_id(origin: dict) -> str:
    return str(origin.get("ANID") or f"{origin.get('SourceName')}:{origin.get('SourceID') or origin.get('Name')}")


def _information(sections: list[dict], heading: str) -> Iterator[dict]:
    for section in sections:
        if _heading(section) == heading:
            yield from section.get("Information", [])
        yield from _information(section.get("Section", []), heading)


def _heading(block: dict) -> str | None:
    heading = block.get("TOCHeading")  # a string or an object
    return heading.get("#TOCHeading") if isinstance(heading, dict) else heading


def _paragraphs(block: dict) -> list[str]:
    strings = [part.get("String", "") for part in block.get("Value", {}).get("StringWithMarkup", [])]
    return [string for string in strings if string.strip()]


@contextmanager
def _documented_form(record_id: str, record: dict) -> Iterator[None]:
    try:
        json.dumps(record, ensure_ascii=False).encode("utf-8")  # half a surrogate pair passes JSON, but no Parquet file
        yield
    except RecordError:
        raise
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        detail = f"{type(error).__name__}: {error}"
        raise RecordError(record_id, "the record has not the documented form", detail) from error


def _page_file(folder: Path, number: int) -> Path:
    return folder / f"page-{number:05}.json.gz"


def _compound_file(folder: Path, cid: int) -> Path:
    return folder / f"cid-{cid:09}.json.gz"


def _page(content: dict, place: Path | str) -> dict:
    for key in ("Annotation", "Page", "TotalPages"):
        _at(content, place, "Annotations", key)
    return content["Annotations"]


def _at(content: Any, place: Path | str, *path: str | int) -> Any:
    """What lies at `path` in `content`, which the file or address `place` gave."""
    found = content
    for key in path:
        try:
            found = found[key]
        except (IndexError, KeyError, TypeError):
            raise ValueError(f"{place} has no {path}, but: {str(content)[:200]}; remove it, fetch it again") from None
    return found


def _read_json(file: Path) -> dict:
    try:
        content = file.read_bytes()
        return dict(json.loads(gzip.decompress(content) if file.suffix == ".gz" else content))
    except (OSError, EOFError, zlib.error, TypeError, ValueError) as error:
        raise ValueError(f"{file} cannot be read ({error}); remove it and run the stage fetch again") from error
