"""Geometries: NCBI's PubChem3D, force-field conformers by CID; a fallback, not ground states.

Source: https://ftp.ncbi.nlm.nih.gov/pubchem/Compound_3D/; E. E. Bolton et al., J. Cheminform. 3, 32 (2011). A record is
identified only by its CID. Available for molecules of up to 50 heavy atoms and 15 rotatable bonds with the elements H C
N O F Si P S Cl Br I. Not verified: the unit of `PUBCHEM_MMFF94_ENERGY`, which is therefore used only to sort the
conformers.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import ClassVar

import numpy as np
from rdkit import Chem
from rdkit.rdBase import BlockLogs

from ..fetch.client import Client
from ..fetch.planned import Download
from ..records import Geometry, Identity, RecordError, check_geometry
from .base import GeometrySource
from .pubchem_structure import download_with_checksum, expect_with_checksum
from .sdf import read_sdf, read_sdf_geometry, read_sdf_tags

FOLDER_URL = "https://ftp.ncbi.nlm.nih.gov/pubchem/Compound_3D"
ENDINGS = (".sdf", ".sdf.gz")
CID, ENERGY = "PUBCHEM_COMPOUND_CID", "PUBCHEM_MMFF94_ENERGY"


@dataclass(frozen=True)
class NCBI3D(GeometrySource):
    """PubChem's own conformers, one or ten per compound.

    Args:
        collection: `01_conf_per_cmpd` or `10_conf_per_cmpd`.
        sdf_files: names of the files to fetch, such as `00000001_00025000.sdf.gz`, which holds the CIDs 1 to 25,000.
    """

    name: ClassVar[str] = "ncbi_3d"
    about: ClassVar[str] = (
        "NCBI's PubChem3D (Bolton et al., J. Cheminform. 2011, doi:10.1186/1758-2946-3-32): MMFF94s force-field "
        "conformers, not ground states."
    )
    method: ClassVar[str] = "MMFF94s (PubChem3D)"
    license: ClassVar[str] = "no restrictions by NCBI, as its FTP README states; submitters may claim rights"
    collection: str = "01_conf_per_cmpd"
    sdf_files: tuple[str, ...] = ()

    @property
    def raw_name(self) -> str:
        """See `Source.raw_name`."""
        return f"{self.name}_{self.collection}"

    def plan(self, folder: Path) -> list[Download]:
        """See `Source.plan`."""
        return [expect_with_checksum(folder / file, None) for file in self._require_files()]

    def fetch(self, client: Client, folder: Path) -> None:
        """Download the missing files of `sdf_files`.

        Raises:
            ValueError: `sdf_files` is empty.
        """
        for file in self._require_files():
            download_with_checksum(client, f"{FOLDER_URL}/{self.collection}/SDF/{file}", folder / file)

    def _require_files(self) -> tuple[str, ...]:
        if not self.sdf_files:
            raise ValueError(
                f"source {self.name}: sdf_files is empty; name files of {FOLDER_URL}/{self.collection}/SDF/"
            )
        return self.sdf_files

    def list_files(self, folder: Path) -> list[Path]:
        """List the SDF files; see `Source.list_files`."""
        found = [file for file in super().list_files(folder) if file.name.endswith(ENDINGS)]
        if not found:
            raise FileNotFoundError(f"source {self.name}: {folder} has no files in {', '.join(ENDINGS)}")
        return found

    def read_records(self, folder: Path) -> Iterator[dict]:
        """Yield dicts of `record_id` (the CID) and `sdf`, the list of its conformers, which are consecutive records."""
        for record_id, conformers in groupby(_read_titled(self.list_files(folder)), key=itemgetter(0)):
            yield {"record_id": record_id, "sdf": [record for _, record in conformers]}

    def identify(self, raw: dict) -> Identity:
        """Return the CID and the InChIKey of the perceived structure; see `GeometrySource.identify`."""
        tagged = read_sdf_tags(raw["sdf"][0]).get(CID, raw["record_id"]).strip()
        if not raw["record_id"].isdecimal() or int(raw["record_id"]) < 1:
            raise RecordError(raw["record_id"], "neither its title nor its tag is a CID", f"tag {tagged}")
        if tagged.lstrip("0") != raw["record_id"].lstrip("0"):
            raise RecordError(raw["record_id"], "the CIDs of its title and its tag differ", f"tag {tagged}")
        return Identity(int(raw["record_id"]), _perceive_inchikey(raw["sdf"][0]))

    def parse_geometry(self, raw: dict) -> Geometry:
        """Parse the conformers, sorted by energy; see `GeometrySource.parse_geometry`."""
        record_id, conformers = raw["record_id"], raw["sdf"]
        if len(conformers) > 1:
            conformers = sorted(conformers, key=lambda record: _read_energy(record_id, record))
        geometries = [read_sdf_geometry(record_id, record) for record in conformers]
        numbers = geometries[0][0]
        if not all(np.array_equal(numbers, other) for other, _ in geometries):
            raise RecordError(record_id, "its conformers differ in their atoms or atom order")
        return check_geometry(record_id, numbers, np.stack([positions for _, positions in geometries]))


def _read_titled(files: list[Path]) -> Iterator[tuple[str, str]]:
    """Yield the records with their CID from title or tag; a record without one gets its file and index instead."""
    for file in files:
        for i, record in enumerate(read_sdf(file)):
            title = record.partition("\n")[0].strip()
            cid = title if title.isdecimal() else read_sdf_tags(record).get(CID, "").strip()
            yield cid or f"{file.name}:{i}", record


def _read_energy(record_id: str, record: str) -> float:
    """Read the force-field energy, in the unit of the source, to sort the conformers by."""
    value = read_sdf_tags(record).get(ENERGY, "")
    try:
        return float(value)
    except ValueError as error:
        raise RecordError(record_id, f"a conformer has no {ENERGY} to sort by", value) from error


def _perceive_inchikey(record: str) -> str | None:
    """Return the InChIKey of the structure, with the stereochemistry of its coordinates; None if RDKit refuses it."""
    try:
        with BlockLogs():
            mol = Chem.MolFromMolBlock(record)
            return Chem.MolToInchiKey(mol) or None if mol else None
    except RuntimeError:  # a violated invariant in RDKit
        return None
