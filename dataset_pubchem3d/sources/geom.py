"""Geometries: GEOM, CREST conformers of drug-like and QM9 molecules with their GFN2-xTB energies, by SMILES.

Source: S. Axelrod, R. Gomez-Bombarelli, Scientific Data 9, 185 (2022); Harvard Dataverse, doi:10.7910/DVN/JNGTDF. The
archive holds one file of MessagePack maps, {SMILES: {..., "conformers": [{"xyz": [[Z, x, y, z], ...], "totalenergy":
..., ...}]}}. A map can have hundreds of MB, so it is read entry by entry. Not verified: the licence; checksums, because
the published ones predate later versions of the files.
"""

import gzip
import math
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, ClassVar

import numpy as np
from rdkit import Chem

from ..chemistry.agreement import find_disagreement
from ..chemistry.units import EV_PER_HARTREE
from ..fetch.client import Client
from ..fetch.planned import Download, expect_file
from ..records import Compound, Geometry, Identity, RecordError, check_geometry
from .base import GeometrySource

URL = "https://dataverse.harvard.edu/api/access/datafile/{}"
FILES = {"drugs": (4360331, 42_687_717_910), "qm9": (4327190, 1_025_881_930)}  # id and bytes of each archive
SIZES_FROM = "published; size by Dataverse, as others report it"
MSGPACK, PACKED = ".msgpack", (".tar.gz", ".gz", "")
LARGEST = 2**31 - 1  # bytes of one entry
BROKEN = (ValueError, TypeError, OSError, EOFError, MemoryError, zlib.error, tarfile.TarError)  # what a file may raise


@dataclass(frozen=True)
class GEOM(GeometrySource):
    """GEOM; `path` is a .msgpack, .msgpack.gz or .msgpack.tar.gz file, or a folder of such files.

    Args:
        part: which molecules to fetch: "drugs" or "qm9".
        num_conformers: conformers of the lowest energies that are read of each molecule. The recipe's `conformers` sets
            how many are kept.
    """

    name: ClassVar[str] = "geom"
    about: ClassVar[str] = (
        "GEOM (Axelrod and Gomez-Bombarelli, Sci. Data 2022, doi:10.7910/DVN/JNGTDF): conformers that CREST found with "
        "GFN2-xTB, the lowest energies first. They have no CIDs and are joined by the InChIKey of their SMILES."
    )
    method: ClassVar[str] = "GFN2-xTB (CREST)"
    license: ClassVar[str] = "CC0 1.0 (Harvard Dataverse, not verified)"
    part: str = "drugs"
    num_conformers: int = 10

    def __post_init__(self):
        if self.part not in FILES:
            raise ValueError(f"source {self.name}: unknown part {self.part!r}; choose one of {list(FILES)}")
        if self.num_conformers < 1:
            raise ValueError(f"source {self.name}: num_conformers={self.num_conformers}; it must be at least 1")

    @property
    def raw_name(self) -> str:
        """Name of the folder for raw files."""
        return f"{self.name}_{self.part}"

    def plan(self, folder: Path) -> list[Download]:
        """See `Source.plan`."""
        return [expect_file(folder / self._archive, FILES[self.part][1], SIZES_FROM)]

    def fetch(self, client: Client, folder: Path) -> None:
        """Download the archive, unless `path` is set."""
        if not self.path:
            client.download(URL.format(FILES[self.part][0]), folder / self._archive)

    def list_files(self, folder: Path) -> list[Path]:
        """List the MessagePack files; see `Source.list_files`."""
        endings = tuple(MSGPACK + packed for packed in PACKED)
        found = [file for file in super().list_files(folder) if file.name.endswith(endings)]
        if not found:
            raise FileNotFoundError(f"source {self.name}: {folder} has no files in {', '.join(endings)}")
        return found

    def read_records(self, folder: Path) -> Iterator[dict]:
        """Yield dicts of `record_id` (file and entry), `smiles`, and `conformers`, those of the lowest energies.

        Raises:
            ModuleNotFoundError: the package msgpack is not installed.
            ValueError: a file is broken.
        """
        for file in self.list_files(folder):
            for place, (smiles, entry) in enumerate(_read_entries(file)):
                conformers = entry.get("conformers") if isinstance(entry, dict) else None
                chosen = _take_lowest(conformers, self.num_conformers) if isinstance(conformers, list) else None
                yield {"record_id": f"{file.name}:{place}", "smiles": smiles, "conformers": chosen}

    @property
    def _archive(self) -> str:
        return f"{self.part}_crude.msgpack.tar.gz"

    def identify(self, raw: dict) -> Identity:
        """Return the InChIKey of the SMILES; see `GeometrySource.identify`."""
        if not isinstance(raw["smiles"], str):
            raise RecordError(raw["record_id"], "its key is not a SMILES", repr(raw["smiles"])[:80])
        return Identity(inchikey=Compound.from_smiles(raw["smiles"], raw["record_id"]).inchikey)

    def parse_geometry(self, raw: dict) -> Geometry:
        """Parse the conformers with their energies; see `GeometrySource.parse_geometry`."""
        record_id, conformers = raw["record_id"], raw["conformers"]
        if not conformers:
            raise RecordError(record_id, "it has no conformers with an energy")
        try:
            tables = [np.asarray(conformer["xyz"], dtype=np.float64) for conformer in conformers]
            energies = np.array([conformer["totalenergy"] for conformer in conformers], dtype=np.float64)
        except (KeyError, TypeError, ValueError) as error:
            raise RecordError(record_id, "a conformer lacks numbers", str(error)[:80]) from error
        if any(table.ndim != 2 or table.shape[1] != 4 for table in tables):
            raise RecordError(record_id, "a conformer is not a table of Z, x, y and z")
        numbers = tables[0][:, 0]
        if any(not np.array_equal(table[:, 0], numbers) for table in tables):
            raise RecordError(record_id, "its conformers differ in their atoms or atom order")
        if not np.array_equal(numbers, numbers.round()):
            raise RecordError(record_id, "an atomic number is not whole")
        positions = np.stack([table[:, 1:] for table in tables])
        geometry = check_geometry(record_id, numbers.astype(np.int64), positions, energies * EV_PER_HARTREE)
        mol = Chem.MolFromSmiles(raw["smiles"])
        for place, conformer in enumerate(positions):
            # A molecule may have reacted in the simulation.
            if fault := find_disagreement(mol, numbers, conformer, has_all_hydrogens=True):
                raise RecordError(record_id, "a conformer is of another molecule than its SMILES", f"{place}: {fault}")
        return geometry


def _take_lowest(conformers: list[Any], number: int) -> list[Any]:
    """Return the conformers of the lowest energies; the file does not always sort them."""
    known = [one for one in conformers if isinstance(one, dict) and _is_energy(one.get("totalenergy"))]
    return sorted(known, key=lambda one: one["totalenergy"])[:number]


def _is_energy(value: Any) -> bool:
    return isinstance(value, float | int) and math.isfinite(value)


def _read_entries(file: Path) -> Iterator[tuple[Any, Any]]:
    """Yield the keys and values of all maps of a file, one by one."""
    try:
        import msgpack
    except ImportError as error:
        needed = 'the source geom needs the package msgpack; pip install "geomclip[geom]"'
        raise ModuleNotFoundError(needed) from error
    try:
        with _open(file) as stream:
            texts = {"raw": False, "unicode_errors": "replace"}  # a broken SMILES costs its entry only
            unpacker = msgpack.Unpacker(stream, **texts, strict_map_key=False, max_buffer_size=LARGEST)
            while True:
                try:
                    size = unpacker.read_map_header()
                except msgpack.OutOfData:
                    break
                for _ in range(size):
                    yield unpacker.unpack(), unpacker.unpack()
            if unpacker.read_bytes(1):  # less than the header of a map
                raise ValueError("its last map is incomplete")
    except (*BROKEN, msgpack.UnpackException) as error:
        raise ValueError(
            f"{file}: truncated or broken MessagePack file ({type(error).__name__}: {error}); delete it and fetch it "
            "again"
        ) from error


@contextmanager
def _open(file: Path) -> Iterator[BinaryIO]:
    """Open the MessagePack stream of a file; of an archive, the only such member."""
    if file.name.endswith(".tar.gz"):
        with tarfile.open(file, "r|gz") as archive:  # a stream, which is decompressed once
            for member in archive:
                if member.isfile() and member.name.endswith(MSGPACK):
                    yield archive.extractfile(member)
                    return
        raise ValueError(f"the archive has no file in {MSGPACK}")
    with (gzip.open if file.name.endswith(".gz") else open)(file, "rb") as stream:
        yield stream
