"""Geometries: PCQM4Mv2 of OGB-LSC, 3,378,606 training molecules of PubChemQC without their CIDs.

Source: W. Hu et al., OGB-LSC, NeurIPS 2021; https://ogb.stanford.edu/docs/lsc/pcqm4mv2/. Record i of the SDF belongs to
row i of `data.csv.gz` (`idx, smiles, homolumogap`), whose later rows have no geometry. The addresses and the MD5 come
from OGB's documentation and the readers built on it. Not verified: the licence.
"""

import csv
import gzip
import io
import tarfile
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import ClassVar

import numpy as np
from rdkit import Chem
from rdkit.rdBase import BlockLogs

from ..chemistry.elements import list_atomic_numbers
from ..fetch.client import Client
from ..fetch.planned import Download, expect_file
from ..records import Compound, Geometry, Identity, RecordError, check_geometry
from .base import GeometrySource
from .sdf import read_sdf, read_sdf_geometry

SDF_URL = "http://ogb-data.stanford.edu/data/lsc/pcqm4m-v2-train.sdf.tar.gz"
SDF_MD5 = "fd72bce606e7ddf36c2a832badeec6ab"
SDF_BYTES, SIZE_FROM = 1_559_712_928, "published; size as others report it for OGB's MD5"
TABLE_URL = "https://dgl-data.s3-accelerate.amazonaws.com/dataset/OGB-LSC/pcqm4m-v2.zip"
TABLE = "data.csv.gz"
TABLE_IN_ZIP = "pcqm4m-v2/raw/data.csv.gz"
SDF_ENDINGS = (".sdf", ".sdf.gz", ".sdf.tar.gz")
FIRST_RECORDS = 100  # compared with their rows before any record is used


@dataclass(frozen=True)
class PCQM4Mv2(GeometrySource):
    """PCQM4Mv2; `path` is a folder with `data.csv.gz` and one .sdf, .sdf.gz or .sdf.tar.gz file."""

    name: ClassVar[str] = "pcqm4mv2"
    about: ClassVar[str] = (
        "the training molecules of PCQM4Mv2 (Hu et al., OGB-LSC, arXiv:2103.09430), B3LYP/6-31G* ground states of "
        "PubChemQC. They have no CIDs and are joined by the InChIKey of their SMILES."
    )
    method: ClassVar[str] = "B3LYP/6-31G*"
    license: ClassVar[str] = "CC BY 4.0 (OGB-LSC, not verified)"

    def plan(self, folder: Path) -> list[Download]:
        """See `Source.plan`."""
        sdf = expect_file(folder / Path(SDF_URL).name, SDF_BYTES, SIZE_FROM)
        archive = expect_file(folder / Path(TABLE_URL).name, None, f"deleted once {TABLE} is extracted")
        if (folder / TABLE).exists():
            archive = archive._replace(requests=0, is_there=True)
        return [sdf, archive]

    def fetch(self, client: Client, folder: Path) -> None:
        """Download both files.

        Raises:
            FetchError: a download failed, or the SDF does not have OGB's checksum.
            ValueError: the archive does not contain the table.
        """
        client.download(SDF_URL, folder / Path(SDF_URL).name, md5=SDF_MD5)
        table = folder / TABLE
        if not table.exists():
            archive = folder / Path(TABLE_URL).name
            client.download(TABLE_URL, archive)
            _extract_table(archive, table)
            archive.unlink()

    def list_files(self, folder: Path) -> list[Path]:
        """List the SDF and the table.

        Raises:
            FileNotFoundError: one of them is missing.
            ValueError: there are several SDF files or several tables.
        """
        found = super().list_files(folder)
        return [_find_only(found, SDF_ENDINGS, folder), _find_only(found, (TABLE,), folder)]

    def read_records(self, folder: Path) -> Iterator[dict]:
        """Yield dicts of `idx`, `smiles` and `sdf`.

        Raises:
            ValueError: a file is broken, there are more records than rows, or the records do not match their rows.
        """
        sdf, table = self.list_files(folder)
        pairs = _pair_records(sdf, table)
        first = list(islice(pairs, FIRST_RECORDS))
        agreeing = sum(_is_same_molecule(raw) for raw in first)
        if agreeing < len(first) / 2:  # some may agree by chance, because neighbours can share a formula
            raise ValueError(
                f"{sdf}: only {agreeing} of its first {len(first)} records have the heavy atoms of their rows in "
                f"{table}; the files do not belong together, fetch both again"
            )
        yield from chain(first, pairs)

    def identify(self, raw: dict) -> Identity:
        """Return the InChIKey of the SMILES; see `GeometrySource.identify`."""
        return Identity(inchikey=Compound.from_smiles(raw["smiles"], raw["idx"]).inchikey)

    def parse_geometry(self, raw: dict) -> Geometry:
        """Parse the conformer, without an energy; see `GeometrySource.parse_geometry`."""
        numbers, positions = read_sdf_geometry(raw["idx"], raw["sdf"])
        _check_formula(raw, numbers)
        return check_geometry(raw["idx"], numbers, positions)


def _pair_records(sdf: Path, table: Path) -> Iterator[dict]:
    rows = _read_rows(table)
    for i, record in enumerate(_read_sdf_records(sdf)):
        row = next(rows, None)
        if row is None:
            raise ValueError(f"{table}: has only {i} rows, but {sdf} has more records; fetch both again")
        yield {"idx": row["idx"], "smiles": row["smiles"], "sdf": record}


def _read_sdf_records(file: Path) -> Iterator[str]:
    if not file.name.endswith(".tar.gz"):
        yield from read_sdf(file)
        return
    try:
        with tarfile.open(file, "r:gz") as archive:
            for member in archive:  # in archive order, so that it is decompressed only once
                if member.isfile() and member.name.endswith(".sdf"):
                    with io.TextIOWrapper(archive.extractfile(member), encoding="utf-8") as lines:
                        yield from read_sdf(lines)
    except (ValueError, OSError, EOFError, zlib.error, tarfile.TarError) as error:
        raise ValueError(f"{file}: truncated or broken archive ({error}); delete it and fetch it again") from error


def _read_rows(file: Path) -> Iterator[dict[str, str]]:
    try:
        with gzip.open(file, "rt", encoding="utf-8", newline="") as stream:
            rows = csv.DictReader(stream, strict=True)
            if missing := {"idx", "smiles"} - set(rows.fieldnames or ()):
                raise ValueError(f"no column {', '.join(sorted(missing))} among {rows.fieldnames}")
            yield from rows
    except (ValueError, OSError, EOFError, zlib.error, csv.Error) as error:
        raise ValueError(f"{file}: truncated or broken table ({error}); delete it and fetch it again") from error


def _check_formula(raw: dict, atomic_numbers: np.ndarray) -> None:
    with BlockLogs():
        mol = Chem.MolFromSmiles(raw["smiles"])
    if mol is None:
        raise RecordError(raw["idx"], "RDKit cannot read the SMILES", raw["smiles"])
    in_row = Counter(number for number in list_atomic_numbers(mol) if number > 1)
    in_record = Counter(atomic_numbers[atomic_numbers > 1].tolist())
    if in_row != in_record:
        raise RecordError(
            raw["idx"], "record and row differ in their heavy atoms", f"{raw['smiles']}, {dict(in_record)}"
        )


def _is_same_molecule(raw: dict) -> bool:
    try:
        _check_formula(raw, read_sdf_geometry(raw["idx"], raw["sdf"])[0])
    except RecordError:
        return False
    return True


def _find_only(files: list[Path], endings: tuple[str, ...], folder: Path) -> Path:
    found = [file for file in files if file.name.endswith(endings)]
    if not found:
        raise FileNotFoundError(f"source pcqm4mv2: {folder} has no {' or '.join(endings)}; run the stage fetch")
    if len(found) > 1:
        raise ValueError(f"source pcqm4mv2: found {', '.join(map(str, found))}; keep only one of them")
    return found[0]


def _extract_table(archive: Path, table: Path) -> None:
    try:
        with zipfile.ZipFile(archive) as members:
            content = members.read(TABLE_IN_ZIP)
    except (zipfile.BadZipFile, KeyError) as error:
        raise ValueError(f"{archive}: no readable {TABLE_IN_ZIP} ({error}); delete it and fetch it again") from error
    table.write_bytes(content)
