"""Structures and names of PubChem's compounds from the gzipped tables of `Compound/Extras`, one line per CID or name.

Format: https://ftp.ncbi.nlm.nih.gov/pubchem/Compound/Extras/README-Extras; tab-separated, no header, ascending by CID.
"""

import gzip
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from heapq import merge
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import ClassVar

import numpy as np

from ..fetch.client import Client
from ..fetch.planned import Download
from ..records import Compound
from .base import StructureSource
from .pubchem_structure import (
    PubChemRecord,
    check_compound,
    download_with_checksum,
    expect_with_checksum,
    select_further_names,
)

URL = "https://ftp.ncbi.nlm.nih.gov/pubchem/Compound/Extras/"
INCHIKEYS, SMILES, TITLES = "CID-InChI-Key.gz", "CID-SMILES.gz", "CID-Title.gz"
SYNONYMS = "CID-Synonym-filtered.gz"  # the only table with several lines per CID
BYTES = {  # in the snapshot of 1 September 2026, as others report them; not verified
    INCHIKEYS: 7_361_682_757,
    SMILES: 1_485_327_323,
    TITLES: 1_888_458_761,
    SYNONYMS: 968_608_795,
}
SIZES_FROM = "estimate: size of September 2026, and the table grows"
BLOCK = 1 << 20  # bytes
MAX_DIGITS = 12  # of a CID
NEWLINE, TAB, ZERO = np.frombuffer(b"\n\t0", np.uint8)


@dataclass(frozen=True)
class PubChemExtras(StructureSource):
    """All compounds of PubChem, read in one forward merge of the tables.

    Args:
        titles: whether to read the table of titles.
        max_synonyms: maximum number of synonyms per compound, in the order of the table; 0 skips the table.
    """

    name: ClassVar[str] = "pubchem_extras"
    about: ClassVar[str] = (
        "InChI, SMILES, title and synonyms of PubChem's compounds, from tables of its FTP site; NCBI itself places "
        "no restrictions on them."
    )
    titles: bool = True
    max_synonyms: int = 100

    def plan(self, folder: Path) -> list[Download]:
        """See `Source.plan`."""
        return [expect_with_checksum(folder / table, BYTES[table], SIZES_FROM) for table in self._list_tables()]

    def fetch(self, client: Client, folder: Path, cids: np.ndarray) -> None:
        """Download the missing tables, completely, whatever the CIDs.

        Raises:
            FetchError: a download failed.
        """
        if self.path:
            return
        for table in self._list_tables():
            download_with_checksum(client, URL + table, folder / table)

    def list_files(self, folder: Path) -> list[Path]:
        """List the tables to read.

        Raises:
            FileNotFoundError: one of them is missing.
        """
        files = [folder / table for table in self._list_tables()]
        if missing := [file.name for file in files if not file.is_file()]:
            raise FileNotFoundError(
                f"source {self.name}: {folder} lacks {', '.join(missing)}; run the stage fetch or set its path, or "
                "skip tables with titles=false and max_synonyms=0 (InChIKeys and SMILES are always needed)"
            )
        return files

    def read_records(self, folder: Path, cids: np.ndarray) -> Iterator[PubChemRecord]:
        """Yield the records of the CIDs that have a line in the table of InChIKeys.

        Raises:
            ValueError: a table is truncated or broken, or does not ascend by CID.
        """
        lines = merge(*(_tag_lines(file, cids) for file in self.list_files(folder)), key=itemgetter(0))
        for cid, group in groupby(lines, key=itemgetter(0)):
            values = {table: [] for table in (INCHIKEYS, SMILES, TITLES, SYNONYMS)}
            for _, table, value in group:
                values[table].append(value)
            if values[INCHIKEYS]:
                yield self._make_record(cid, values)

    def parse_compound(self, raw: PubChemRecord) -> Compound:
        """Return the checked compound; see `StructureSource.parse_compound`."""
        return check_compound(raw)

    def _list_tables(self) -> list[str]:
        return [INCHIKEYS, SMILES] + [TITLES] * self.titles + [SYNONYMS] * (self.max_synonyms > 0)

    def _make_record(self, cid: int, values: dict[str, list[str]]) -> PubChemRecord:
        inchi, _, inchikey = values[INCHIKEYS][0].partition("\t")
        title = "".join(values[TITLES])
        synonyms = select_further_names(title, values[SYNONYMS])[: self.max_synonyms]
        return PubChemRecord(cid, "".join(values[SMILES]), inchi, inchikey, title, synonyms)


def _tag_lines(file: Path, cids: np.ndarray) -> Iterator[tuple[int, str, str]]:
    return ((cid, file.name, value) for cid, value in read_wanted_lines(file, cids, repeated=file.name == SYNONYMS))


def read_wanted_lines(file: Path, cids: np.ndarray, repeated: bool = False) -> Iterator[tuple[int, str]]:
    """Yield the CID and the rest of the line for each line of these CIDs; reading stops after the last of them.

    Bytes that are not UTF-8 are replaced, because some names have other encodings.

    Args:
        file: gzipped table.
        cids: ascending int64.
        repeated: whether a CID may have several lines.
    Raises:
        OSError: the file cannot be opened.
        ValueError: the file is empty, truncated or broken, or a line has no CID or breaks the ascending order; the
            message names the file.
    """
    last, num_lines = 0, 0
    for block in _read_blocks(file):
        characters = np.frombuffer(block, np.uint8)
        ends = np.flatnonzero(characters == NEWLINE)
        starts = np.append(0, ends[:-1] + 1)
        found = _parse_leading_cids(characters, starts)
        wrong = np.diff(found, prepend=last) < (0 if repeated else 1)
        if wrong.any():
            first = int(wrong.argmax())
            line, before = block[starts[first] : ends[first]], found[first - 1] if first else last
            raise ValueError(
                f"{file}, line {num_lines + first + 1}: {line[:60]!r} after CID {before}; a line must be a CID, a tab "
                "and a value, and lines must ascend by CID; delete the file and fetch it again"
            )
        within = slice(*np.searchsorted(cids, [found[0], found[-1] + 1]))
        for i in np.flatnonzero(np.isin(found, cids[within])):
            value = block[starts[i] : ends[i]].partition(b"\t")[2]
            yield int(found[i]), value.decode(errors="replace").strip()
        last, num_lines = found[-1], num_lines + len(found)
        if not len(cids) or last > cids[-1]:
            return
    if not num_lines:
        raise ValueError(f"{file}: has no lines; delete it and fetch it again")


def _read_blocks(file: Path) -> Iterator[bytes]:
    """Yield the decompressed file in blocks of whole lines."""
    rest = b""
    with gzip.open(file) as unzipped:
        try:
            while data := unzipped.read(BLOCK):
                lines, newline, rest = (rest + data).rpartition(b"\n")
                if newline:
                    yield lines + newline
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise ValueError(f"{file}: truncated or broken ({error}); delete it and fetch it again") from error
    if rest:
        yield rest + b"\n"


def _parse_leading_cids(characters: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """Parse the numbers between the start of each line and its first tab, (lines,) int64; -1 if there is no number."""
    cids, lengths = np.zeros(len(starts), np.int64), np.zeros(len(starts), np.int64)
    is_number = np.ones(len(starts), bool)
    for place in range(MAX_DIGITS):
        digits = characters.take(starts + place, mode="clip") - ZERO  # uint8: characters below "0" become large
        is_number &= digits < 10
        if not is_number.any():
            break
        cids = np.where(is_number, 10 * cids + digits, cids)
        lengths += is_number
    return np.where((lengths > 0) & (characters.take(starts + lengths, mode="clip") == TAB), cids, -1)
