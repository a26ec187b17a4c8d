"""Geometries: Molecule3D (PubChemQC of 2017), 3,899,647 molecules with their CIDs, as Parquet from Hugging Face or SDF.

Source: Z. Xu et al., arXiv 2110.01717 (2021); M. Nakata, T. Shimazaki, J. Chem. Inf. Model. 57, 1300 (2017). Mirror:
https://huggingface.co/datasets/maomlab/Molecule3D, columns `index, SMILES, sdf, cid, dipole x, ..., scf energy`. Not
verified: the types of its columns and whether `sdf` has a title line (all known variants are accepted), its licence,
and the unit of its energies, which are therefore not read.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pyarrow as pa
import pyarrow.parquet as pq
from huggingface_hub import snapshot_download

from ..fetch.client import Client
from ..fetch.hub import explain_failures
from ..fetch.planned import Download
from ..records import Compound, Geometry, Identity, RecordError, check_geometry
from .base import GeometrySource
from .sdf import read_sdf, read_sdf_geometry

REPOSITORY = "maomlab/Molecule3D"
COLUMNS = ("cid", "smiles", "sdf")  # in lower case
ENDINGS = (".parquet", ".sdf", ".sdf.gz")
BATCH_SIZE = 256  # rows
SHARDS = "13 shards, as others report"
TITLE = re.compile(r"PUBCHEM +(\d+) +B3LYP")  # "PUBCHEM 000000123 B3LYP 6-31G(d) gamess geometry optimization"


@dataclass(frozen=True)
class Molecule3D(GeometrySource):
    """Molecule3D, as Parquet shards of the mirror or as SDF files of MoleculeX.

    Args:
        config: split of Molecule3D, which is the folder of the mirror to fetch; each split has all molecules.
    """

    name: ClassVar[str] = "molecule3d"
    about: ClassVar[str] = (
        "the Molecule3D set (Xu et al., arXiv:2110.01717), B3LYP/6-31G* ground states of PubChemQC (Nakata and "
        "Shimazaki, J. Chem. Inf. Model. 2017, doi:10.1021/acs.jcim.7b00083), from the Hub dataset "
        "`maomlab/Molecule3D`, whose licence was not verified."
    )
    method: ClassVar[str] = "B3LYP/6-31G*"
    license: ClassVar[str] = "public domain by the paper of PubChemQC; terms of the mirror not verified"
    config: str = "Molecule3D_random_split"

    def plan(self, folder: Path) -> list[Download]:
        """See `Source.plan`."""
        return [Download(f"{self.config}/*.parquet", note=SHARDS, is_there=self._find_mark(folder).exists())]

    def fetch(self, client: Client, folder: Path) -> None:
        """Download the shards of `config` once. Delete `<config>.fetched` to check for newer shards.

        Raises:
            OSError: the download failed.
        """
        done = self._find_mark(folder)
        if not done.exists():
            folder.mkdir(parents=True, exist_ok=True)
            shards = f"{self.config}/*.parquet"
            with explain_failures(REPOSITORY):
                snapshot_download(REPOSITORY, repo_type="dataset", allow_patterns=shards, local_dir=folder)
            done.touch()

    def _find_mark(self, folder: Path) -> Path:
        """Return the empty file that says that all shards are there."""
        return folder / f"{self.config}.fetched"

    def list_files(self, folder: Path) -> list[Path]:
        """List the Parquet or SDF files; see `Source.list_files`."""
        if (folder / self.config).is_dir():
            folder = folder / self.config
        found = [file for file in super().list_files(folder) if file.name.endswith(ENDINGS)]
        if not found:
            raise FileNotFoundError(f"source {self.name}: {folder} has no files in {', '.join(ENDINGS)}")
        return found

    def read_records(self, folder: Path) -> Iterator[dict]:
        """Yield dicts of `record_id` (file and row), `cid`, `smiles` and `sdf`; an SDF file has only the last."""
        for file in self.list_files(folder):
            rows = _read_parquet_rows(file) if file.suffix == ".parquet" else _read_sdf_rows(file)
            for i, row in enumerate(rows):
                yield {"record_id": f"{file.name}:{i}", **row}

    def identify(self, raw: dict) -> Identity:
        """Return the CID and the InChIKey of the SMILES; see `GeometrySource.identify`."""
        cid, smiles = _read_cid(raw), raw["smiles"]
        if cid is None and not smiles:
            raise RecordError(raw["record_id"], "it has neither a CID nor a SMILES")
        return Identity(cid, Compound.from_smiles(smiles, raw["record_id"]).inchikey if smiles else None)

    def parse_geometry(self, raw: dict) -> Geometry:
        """Parse the conformer, without an energy; see `GeometrySource.parse_geometry`."""
        if not raw["sdf"]:
            raise RecordError(raw["record_id"], "it has no mol block")
        cid = _read_cid(raw)
        record_id = raw["record_id"] if cid is None else str(cid)
        return check_geometry(record_id, *read_sdf_geometry(record_id, _add_title(raw["sdf"])))


def _read_parquet_rows(file: Path) -> Iterator[dict]:
    try:
        with pq.ParquetFile(file) as parquet:
            columns = _find_columns(parquet.schema_arrow.names, file)
            for batch in parquet.iter_batches(BATCH_SIZE, columns=list(columns)):
                yield from batch.rename_columns([columns[name] for name in batch.schema.names]).to_pylist()
    except (pa.ArrowException, OSError) as error:
        raise ValueError(f"{file}: truncated or broken Parquet file ({error}); delete it and fetch it again") from error


def _find_columns(found: list[str], file: Path) -> dict[str, str]:
    """Return the columns to read: their names in the file and in `COLUMNS`.

    Raises:
        ValueError: a column is missing or occurs twice.
    """
    columns = {name: name.lower() for name in found if name.lower() in COLUMNS}
    if sorted(columns.values()) != sorted(COLUMNS):
        raise ValueError(
            f"{file}: has the columns {', '.join(found)}; it needs each of {', '.join(COLUMNS)} once, in upper or "
            f"lower case; fetch it from {REPOSITORY} again or rename its columns"
        )
    return columns


def _read_sdf_rows(file: Path) -> Iterator[dict]:
    return ({"cid": None, "smiles": None, "sdf": record} for record in read_sdf(file))


def _read_cid(raw: dict) -> int | None:
    """Return the CID from the column or else from the title line; None if neither has one.

    Raises:
        RecordError: the value in the column is not a CID, or it differs from the title.
    """
    title = TITLE.match((raw["sdf"] or "").lstrip())
    in_title, in_column = title and int(title[1]), raw["cid"]
    if in_column is None or in_column != in_column or in_column == "":  # NaN differs from itself
        return in_title
    try:
        cid = int(in_column)
    except (ValueError, OverflowError):
        cid = 0
    if cid < 1 or (isinstance(in_column, float) and cid != in_column):
        raise RecordError(raw["record_id"], "its CID is not a positive whole number", repr(in_column))
    if in_title not in (None, cid):
        raise RecordError(raw["record_id"], "the CIDs of its column and its title differ", f"{cid} and {in_title}")
    return cid


def _add_title(block: str) -> str:
    """Return the mol block with its counts line moved to the fourth line, if the title line is missing."""
    lines = block.splitlines()
    has_no_title = len(lines) > 2 and lines[2].rstrip().endswith(("V2000", "V3000"))
    return "\n" + block if has_no_title else block
