"""Geometries: PubChemQC B3LYP/6-31G*//PM6, 85,938,443 molecules with their CIDs, as JSON shards from Hugging Face.

Source: M. Nakata, T. Maeda, arXiv 2305.18454 (2023). Mirror: https://huggingface.co/datasets/molssiai-hub/pubchemqc-b3lyp,
`data/<config>/train/<first CID>-<last CID>.json`. A shard is one pretty-printed JSON array of several GB. Not verified:
the unit of `total-energy` and the base of `connection-indices`; energies and bonds are therefore not read.
"""

import gzip
import json
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, ClassVar

import numpy as np
from huggingface_hub import hf_hub_download
from rdkit import Chem
from rdkit.rdBase import BlockLogs

from ..fetch.client import Client
from ..records import Geometry, Identity, RecordError, check_geometry
from .base import GeometrySource

REPOSITORY = "molssiai-hub/pubchemqc-b3lyp"
SIZES = {  # TB of all shards of each config
    "b3lyp_pm6": 2.24,
    "b3lyp_pm6_chon300nosalt": 0.35,
    "b3lyp_pm6_chon500nosalt": 1.14,
    "b3lyp_pm6_chnopsfcl300nosalt": 0.59,
    "b3lyp_pm6_chnopsfcl500nosalt": 1.66,
    "b3lyp_pm6_chnopsfclnakmgca500": 1.70,
}
SHARD = re.compile(r"(\d+)-(\d+)\.json(?:\.gz)?")  # first and last CID
FIRST_KEYS = re.compile(
    r'\{\s*"cid"\s*:\s*([1-9]\d{0,17})\s*,\s*"state"\s*:\s*"(\w*)"\s*,\s*"pubchem-inchi"\s*:\s*"([^"\\]*)"', re.ASCII
)
CHUNK = 2**18  # bytes read at a time
LONGEST = 2**23  # bytes of a record; records of the mirror have up to 50 kB


@dataclass(frozen=True)
class PubChemQC(GeometrySource):
    """PubChemQC with PM6 geometries. A raw record is the text of one JSON object.

    Args:
        config: selection of molecules, which is the folder of the mirror to fetch from.
        shards: names of the files to fetch and read. If empty, fetching is refused and all files are read.
    """

    name: ClassVar[str] = "pubchemqc"
    about: ClassVar[str] = (
        "PubChemQC B3LYP/6-31G*//PM6 (Nakata and Maeda, arXiv:2305.18454), from the Hub dataset "
        "`molssiai-hub/pubchemqc-b3lyp`. Its geometries are PM6 ground states; only its energies, which are not used, "
        "are DFT. If the stereochemistry of a molecule is unspecified, its geometry is one of the possible "
        "stereoisomers."
    )
    method: ClassVar[str] = "PM6 (PubChemQC B3LYP/6-31G*//PM6)"
    license: ClassVar[str] = "CC BY 4.0 by the card of the mirror"
    is_redistributable: ClassVar[bool] = True
    config: str = "b3lyp_pm6"
    shards: tuple[str, ...] = ()

    def __post_init__(self):
        if self.config not in SIZES:
            raise ValueError(f"source {self.name}: unknown config {self.config!r}; choose one of {list(SIZES)}")
        if not all(SHARD.fullmatch(name) for name in self.shards):
            raise ValueError(f"source {self.name}: shards={self.shards!r}; give a list of names <first>-<last>.json")

    def fetch(self, client: Client, folder: Path) -> None:
        """Download the missing shards, unless `path` is set.

        Raises:
            ValueError: `shards` is empty.
        """
        if self.path:
            return
        if not self.shards:
            raise ValueError(
                f"source {self.name}: shards is empty, and all of {self.config} would be {SIZES[self.config]} TB; name "
                f"the shards of {REPOSITORY} to fetch, or set path to files on disk"
            )
        for shard in self.shards:
            shard = f"data/{self.config}/train/{shard}"
            if not (folder / shard).exists():  # it appears there only when it is complete
                hf_hub_download(REPOSITORY, shard, repo_type="dataset", local_dir=folder)

    def list_files(self, folder: Path) -> list[Path]:
        """List the shards, ascending by their first CID; a single file may have any name.

        Raises:
            FileNotFoundError: there are no shards, or one of `shards` is missing.
        """
        if folder.is_file():
            return [folder]
        if (mirrored := folder / "data" / self.config / "train").is_dir():
            folder = mirrored
        found = [file for file in super().list_files(folder) if SHARD.fullmatch(file.name)]
        if missing := [name for name in self.shards if name not in {file.name for file in found}]:
            raise FileNotFoundError(f"source {self.name}: {folder} lacks {', '.join(missing)}; run the stage fetch")
        if not found:
            raise FileNotFoundError(f"source {self.name}: {folder} has no files <first>-<last>.json or .json.gz")
        read = [file for file in found if not self.shards or file.name in self.shards]
        return sorted(read, key=lambda file: int(SHARD.fullmatch(file.name)[1]))

    def read_records(self, folder: Path) -> Iterator[str]:
        """Yield the text of the records, one shard after another.

        Raises:
            ValueError: a file is truncated, broken or not a JSON array; the message names the file. Its complete
                records are yielded first.
        """
        for file in self.list_files(folder):
            yield from _read_shard(file)

    def identify(self, raw: str) -> Identity:
        """Return the CID, and the InChIKey of the deposited structure, not of the one perceived from the geometry."""
        cid, inchi = _read_ground_state(raw)
        if inchi is None:
            return Identity(cid)
        with BlockLogs():
            inchikey = Chem.InchiToInchiKey(inchi) if isinstance(inchi, str) and inchi.isascii() else ""
        if not inchikey:
            raise RecordError(str(cid), "not an InChI", repr(inchi)[:80])
        return Identity(cid, inchikey)

    def parse_geometry(self, raw: str) -> Geometry:
        """Parse the conformer, without an energy."""
        record_id, record = str(_read_ground_state(raw)[0]), _parse(raw)
        try:
            atomic_numbers = np.asarray(record["atomic-numbers"])
            coordinates = np.asarray(record["coordinates"], dtype=np.float64)  # x, y, z of the first atom, and so on
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise RecordError(record_id, "its atoms or coordinates cannot be read", repr(error)[:80]) from error
        if atomic_numbers.ndim != 1 or coordinates.shape != (3 * len(atomic_numbers),):
            detail = f"{atomic_numbers.shape} atoms, {coordinates.shape} coordinates"
            raise RecordError(record_id, "its coordinates are not three per atom", detail)
        return check_geometry(record_id, atomic_numbers, coordinates.reshape(-1, 3))


# ------------------------------------------------------------------------------------------------------- one record


def _read_ground_state(raw: str) -> tuple[int, Any]:
    """Read the CID and the InChI from the beginning of a record, or parse all of it if its keys have another order.

    Raises:
        RecordError: the record cannot be read, has no CID, or is not a ground state.
    """
    if first := FIRST_KEYS.match(raw):
        cid, state, inchi = int(first[1]), first[2], first[3]
    else:
        record = _parse(raw)
        cid, state, inchi = (record.get(key) for key in ("cid", "state", "pubchem-inchi"))
    if type(cid) is not int or not 0 < cid < 2**63:
        raise RecordError(_quote_beginning(raw), "its CID is not a positive whole number", repr(cid)[:40])
    if state != "S0":
        raise RecordError(str(cid), "state is not S0", repr(state)[:40])
    return cid, inchi


def _parse(raw: str) -> dict:
    try:
        return json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise RecordError(_quote_beginning(raw), "it is not JSON", str(error)) from error


def _quote_beginning(raw: str) -> str:
    first = FIRST_KEYS.match(raw)
    return first[1] if first else " ".join(raw[:80].split())


# ------------------------------------------------------------------------------------------------- one shard of many

CLOSING_LINE = re.compile(rb"\n    \}")
NEXT_BRACE = re.compile(rb'[^{}"]*+(?:"(?:[^"\\]|\\.)*+"[^{}"]*+)*+([{}])')  # skips strings


def _read_shard(file: Path) -> Iterator[str]:
    opened, count = gzip.open if file.suffix == ".gz" else open, 0
    with opened(file, "rb") as stream:
        try:
            for record in _split_array(stream):
                yield record.decode("utf-8")
                count += 1
        except (OSError, EOFError, ValueError, zlib.error) as error:
            remedy = "delete it and fetch it again"
            raise ValueError(f"{file}: truncated or broken after {count} records ({error}); {remedy}") from error


def _split_array(stream: BinaryIO) -> Iterator[bytes]:
    """Yield the objects of a JSON array of objects, in constant memory.

    Anything else before an object is yielded with it, so that parsing the object fails.
    """
    buffer, start = _read(stream), 0
    if not buffer.lstrip().startswith(b"["):
        raise ValueError("it does not begin with [")
    end_of = _find_end_by_line if re.match(rb"\[\r?\n    \{\r?\n", buffer) else _find_end_by_depth
    while True:
        while (end := end_of(buffer, start)) is not None:
            yield buffer[start:end].lstrip(b"[, \t\r\n")
            start = end
        if len(buffer) - start > LONGEST:
            raise ValueError(f"a record is longer than {LONGEST} bytes")
        if not (chunk := _read(stream)):
            break
        buffer, start = buffer[start:] + chunk, 0
    if buffer[start:].strip(b"[ \t\r\n") != b"]":
        raise ValueError("it does not end with ]")


def _read(stream: BinaryIO) -> bytes:
    return stream.read1(CHUNK)  # unlike `read`, it does not lose data when a gzip file is truncated


def _find_end_by_line(buffer: bytes, start: int) -> int | None:
    """Find the end of the next record in the format of the mirror's shards: a line of four spaces and `}`.

    This is safe and ten times as fast: nested objects are indented more, and JSON strings have no raw line breaks.
    """
    closing = CLOSING_LINE.search(buffer, start)
    return closing and closing.end()


def _find_end_by_depth(buffer: bytes, start: int) -> int | None:
    """Find the end of the next record in any format of the array."""
    depth = 0
    while brace := NEXT_BRACE.match(buffer, start):
        start, depth = brace.end(), depth + (1 if brace[1] == b"{" else -1)
        if depth <= 0:
            return start
    return None
