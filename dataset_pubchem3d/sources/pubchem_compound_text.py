"""Texts: descriptions by PubChem's depositors, from the records of listed compounds.

Source of the formats: PUG View (https://pubchem.ncbi.nlm.nih.gov/docs/pug-view) and, for an `InformationList`, the
PUG REST operation `description` (https://pubchem.ncbi.nlm.nih.gov/docs/pug-rest).
"""

from collections import defaultdict
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
    get_paragraphs,
    get_value,
    make_text,
    read_json,
)

COMPOUND_URL = "https://pubchem.ncbi.nlm.nih.gov/rest/pug_view/data/compound"


@dataclass(frozen=True)
class PubChemCompoundTexts(TextSource):
    """The descriptions of listed compounds, one file each. Every compound costs a request, so keep the list short.

    PubChem truncates some long texts in these records; prefer `PubChemAnnotations`. The folder at `path` may also have
    answers of the operation `description` (an `InformationList`), which do not state licences.

    Args:
        cids: text file with one CID per line, blank lines and comments after #; "" reads all files at `path`.
        heading: heading in PubChem's table of contents of compounds.
        url: address of the service.
    """

    name: ClassVar[str] = "pubchem_compound_text"
    about: ClassVar[str] = (
        "descriptions by PubChem's depositors, for a list of compounds, from PUG View. Each depositor has its own "
        "terms, given in `text_license_url` if PubChem states them."
    )
    cids: str = ""
    heading: str = HEADING
    url: str = COMPOUND_URL

    def plan(self, folder: Path) -> list[Download]:
        """See `Source.plan`."""
        cids = self._require_cids()
        missing = sum(not _name_compound_file(folder, cid).exists() for cid in cids)
        name, note = f"records of {len(cids):,} compounds", f"a request for each CID of {self.cids}"
        return [Download(name, requests=missing, note=note, is_there=missing == 0)]

    def fetch(self, client: Client, folder: Path) -> None:
        """Download the missing records; a compound without a description gets an empty record."""
        if self.path:
            return
        for cid in tqdm(self._require_cids(), desc=self.name, unit=" compounds", disable=None):
            cache_json(_name_compound_file(folder, cid), partial(self._request, client, cid))

    def _require_cids(self) -> list[int]:
        if not self.cids:
            raise ValueError(f"source {self.name} has neither cids nor path; set cids to a file with one CID per line")
        return read_cids(Path(self.cids))

    def list_files(self, folder: Path) -> list[Path]:
        """List the files of the listed compounds, or all files if there is no list; see `Source.list_files`."""
        if not self.cids:
            return super().list_files(folder)
        files = [_name_compound_file(folder, cid) for cid in read_cids(Path(self.cids))]
        if missing := [file for file in files if not file.is_file()]:
            raise FileNotFoundError(f"{len(missing)} files are missing, first {missing[0]}; run the stage fetch")
        return files

    def read_records(self, folder: Path) -> Iterator[tuple[str, dict]]:
        """Yield the CID and the content of each file.

        Raises:
            ValueError: a file cannot be read or is neither a `Record` nor an `InformationList`.
        """
        for file in self.list_files(folder):
            content = read_json(file)
            is_list = "InformationList" in content
            path = ("InformationList", "Information", 0, "CID") if is_list else ("Record", "RecordNumber")
            yield str(get_value(content, file, *path)), content

    def parse_texts(self, raw: tuple[str, dict]) -> list[Text]:
        """Return one text per reference, with all paragraphs joined; see `TextSource.parse_texts`."""
        record_id, content = raw
        with expect_documented_form(record_id, content):
            if "Record" in content:
                texts = self._parse_record(record_id, content["Record"])
            else:
                texts = _parse_list(content["InformationList"]["Information"])
        if not texts:
            raise RecordError(record_id, NO_TEXT)
        return texts

    def _request(self, client: Client, cid: int) -> dict:
        url = f"{self.url}/{cid}/JSON?{urlencode({'heading': self.heading})}"
        try:
            answer = client.get_json(url)
            get_value(answer, url, "Record", "RecordNumber")
            return answer
        except FetchError as error:
            if "PUGVIEW.NotFound" not in str(error):
                raise
            return {"Record": {"RecordType": "CID", "RecordNumber": cid}}

    def _parse_record(self, record_id: str, record: dict) -> list[Text]:
        if (kind := record.get("RecordType", "CID")) != "CID":
            raise RecordError(record_id, "not the record of a compound", kind)
        paragraphs = defaultdict(list)
        for information in _read_information(record.get("Section", []), self.heading):
            paragraphs[information.get("ReferenceNumber")] += get_paragraphs(information)
        described = {number: parts for number, parts in paragraphs.items() if parts}
        references = {reference["ReferenceNumber"]: reference for reference in record.get("Reference", [])}
        if lacking := [number for number in described if number not in references]:
            raise RecordError(record_id, "a text without its reference", f"reference numbers {lacking}")
        cid, title = int(record["RecordNumber"]), record.get("RecordTitle")
        return [make_text(references[number], parts, cid, title) for number, parts in described.items()]


def _read_information(sections: list[dict], heading: str) -> Iterator[dict]:
    for section in sections:
        if get_heading(section) == heading:
            yield from section.get("Information", [])
        yield from _read_information(section.get("Section", []), heading)


def _parse_list(elements: list[dict]) -> list[Text]:
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
        if element.get("Description", "").strip()  # the first element has only the title
    ]


def _name_compound_file(folder: Path, cid: int) -> Path:
    return folder / f"cid-{cid:09}.json.gz"


def read_cids(file: Path) -> list[int]:
    """Read the CIDs of a text file, ascending and without duplicates.

    Raises:
        ValueError: a line is not a CID, a comment after # or blank, or the file has no CID.
    """
    cids = set()
    for number, line in enumerate(file.read_text(encoding="utf-8-sig").splitlines(), start=1):
        if entry := line.partition("#")[0].strip():
            if not (entry.isascii() and entry.isdecimal() and int(entry) > 0):
                raise ValueError(f"{file}, line {number}: {entry!r} is not a CID; give one positive integer per line")
            cids.add(int(entry))
    if not cids:
        raise ValueError(f"{file} has no CID; give one per line")
    return sorted(cids)
