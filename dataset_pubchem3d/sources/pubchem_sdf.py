"""Structures and IUPAC names of PubChem's compounds from its 2D SDF files, each of a fixed range of CIDs.

Format: https://ftp.ncbi.nlm.nih.gov/pubchem/specifications/pubchem_sdtags.pdf; the SMILES were renamed in 2025.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, NamedTuple

import numpy as np

from ..fetch.client import Client
from ..fetch.planned import Download
from ..records import Compound, RecordError
from .base import StructureSource
from .pubchem_structure import (
    PubChemRecord,
    check_compound,
    download_with_checksum,
    expect_with_checksum,
    select_further_names,
)
from .sdf import check_decoded, read_sdf, read_sdf_tags

URL = "https://ftp.ncbi.nlm.nih.gov/pubchem/Compound/CURRENT-Full/SDF/"
RANGE = re.compile(r"Compound_(\d+)_(\d+)\.sdf\.gz")  # first and last CID
CID_TAG = "PUBCHEM_COMPOUND_CID"
SMILES_TAGS = (  # SMILES with stereochemistry first
    "PUBCHEM_SMILES",
    "PUBCHEM_OPENEYE_ISO_SMILES",
    "PUBCHEM_CONNECTIVITY_SMILES",
    "PUBCHEM_OPENEYE_CAN_SMILES",
)
NAME_TAGS = (  # the first name found is the title
    "PUBCHEM_IUPAC_TRADITIONAL_NAME",
    "PUBCHEM_IUPAC_NAME",
    "PUBCHEM_IUPAC_CAS_NAME",
    "PUBCHEM_IUPAC_OPENEYE_NAME",
    "PUBCHEM_IUPAC_SYSTEMATIC_NAME",
)


class SDFRecord(NamedTuple):
    """A record of an SDF and its CID."""

    cid: int
    text: str


@dataclass(frozen=True)
class PubChemSDF(StructureSource):
    """Compounds from files `Compound_<first CID>_<last CID>.sdf.gz`.

    Args:
        downloads: names of the files to download.
    """

    name: ClassVar[str] = "pubchem_sdf"
    about: ClassVar[str] = (
        "InChI, SMILES and names of PubChem's compounds, from its SDF files; NCBI itself places no restrictions on "
        "them."
    )
    downloads: tuple[str, ...] = ()

    def plan(self, folder: Path) -> list[Download]:
        """See `Source.plan`."""
        return [expect_with_checksum(folder / file, None) for file in self._require_downloads()]

    def fetch(self, client: Client, folder: Path, cids: np.ndarray) -> None:
        """Download the missing files of `downloads`, whatever the CIDs.

        Raises:
            ValueError: neither `downloads` nor `path` is set.
            FetchError: a download failed.
        """
        if self.path:
            return
        for file in self._require_downloads():
            download_with_checksum(client, URL + file, folder / file)

    def _require_downloads(self) -> tuple[str, ...]:
        if not self.downloads:
            raise ValueError(f"source {self.name} has neither downloads nor path; list files of {URL} in downloads")
        return self.downloads

    def list_files(self, folder: Path) -> list[Path]:
        """List the SDF files, ascending by CID (their names have leading zeros).

        Raises:
            FileNotFoundError: there are no files.
        """
        found = [folder] if folder.is_file() else sorted(folder.glob("Compound_*.sdf.gz"))
        if not found:
            raise FileNotFoundError(
                f"source {self.name}: {folder} has no Compound_*.sdf.gz; run the stage fetch or set its path"
            )
        return found

    def read_records(self, folder: Path, cids: np.ndarray) -> Iterator[SDFRecord]:
        """Yield the records of the CIDs; files without any of them in their range are not opened.

        Raises:
            ValueError: a file is truncated, a record has no CID, or the CIDs do not ascend.
        """
        wanted, last = set(cids.tolist()), 0
        for file in self.list_files(folder):
            if not _may_hold(file, cids):
                continue
            for number, text in enumerate(read_sdf(file), 1):
                cid = _read_cid(text, f"{file}, record {number}")
                if cid <= last:
                    raise ValueError(f"{file}, record {number}: CID {cid} after {last}; CIDs must ascend")
                last = cid
                if cid in wanted:
                    yield SDFRecord(cid, text)

    def parse_compound(self, raw: SDFRecord) -> Compound:
        """Return the compound, with IUPAC names as title and synonyms; see `StructureSource.parse_compound`."""
        check_decoded(str(raw.cid), raw.text)
        tags = read_sdf_tags(raw.text)
        if int(tags.get(CID_TAG, raw.cid)) != raw.cid:
            raise RecordError(str(raw.cid), f"the title line and {CID_TAG} differ", tags[CID_TAG])
        smiles = next((tags[tag] for tag in SMILES_TAGS if tag in tags), "")
        names = [tags[tag] for tag in NAME_TAGS if tag in tags]
        title = names[0] if names else ""
        inchi, inchikey = tags.get("PUBCHEM_IUPAC_INCHI", ""), tags.get("PUBCHEM_IUPAC_INCHIKEY", "")
        return check_compound(
            PubChemRecord(raw.cid, smiles, inchi, inchikey, title, select_further_names(title, names))
        )


def _may_hold(file: Path, cids: np.ndarray) -> bool:
    """Return whether one of the CIDs is in the range of the file's name; True if the name has no range."""
    if (match := RANGE.fullmatch(file.name)) is None:
        return True
    first, last = map(int, match.groups())
    return bool(np.searchsorted(cids, first) < np.searchsorted(cids, last, side="right"))


def _read_cid(record: str, place: str) -> int:
    title = record.partition("\n")[0].strip()
    if title.isdecimal():
        return int(title)
    if (cid := read_sdf_tags(record).get(CID_TAG, "")).isdecimal():
        return int(cid)
    raise ValueError(f"{place}: neither its title line ({title[:40]!r}) nor {CID_TAG} is a CID")
