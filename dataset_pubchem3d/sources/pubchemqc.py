"""Geometries: PubChemQC B3LYP/6-31G*//PM6, 85,938,443 molecules with their CIDs, as JSON shards from Hugging Face.

Source: M. Nakata, T. Maeda, arXiv 2305.18454 (2023). Mirror: https://huggingface.co/datasets/molssiai-hub/pubchemqc-b3lyp,
`data/<config>/train/<first CID>-<last CID>.json`. A shard is one pretty-printed JSON array of several GB. Not verified:
the unit of `total-energy` and the base of `connection-indices`; energies and bonds are therefore not read.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from huggingface_hub import constants, hf_hub_download
from huggingface_hub.errors import RemoteEntryNotFoundError
from rdkit import Chem
from rdkit.rdBase import BlockLogs
from tqdm import tqdm

from ..chemistry.agreement import find_disagreement
from ..fetch.client import Client, cache_json
from ..fetch.hub import explain_failures
from ..fetch.planned import Download, expect_file
from ..records import Geometry, Identity, RecordError, check_geometry
from .base import GeometrySource
from .json_array import read_objects
from .record_fetch import fetch_records

REPOSITORY = "molssiai-hub/pubchemqc-b3lyp"
SIZES = {  # TB of all shards of each config
    "b3lyp_pm6": 2.24,
    "b3lyp_pm6_chon300nosalt": 0.35,
    "b3lyp_pm6_chon500nosalt": 1.14,
    "b3lyp_pm6_chnopsfcl300nosalt": 0.59,
    "b3lyp_pm6_chnopsfcl500nosalt": 1.66,
    "b3lyp_pm6_chnopsfclnakmgca500": 1.70,
}
SHARD_SIZES = "shards of b3lyp_pm6 have 3.5 to 9.9 GB"
FETCH_BY = ("shard", "cid")
SHARD = re.compile(r"(\d+)-(\d+)\.json(?:\.gz)?")  # first and last CID
FIRST_KEYS = re.compile(
    r'\{\s*"cid"\s*:\s*([1-9]\d{0,17})\s*,\s*"state"\s*:\s*"(\w*)"\s*,\s*"pubchem-inchi"\s*:\s*"([^"\\]*)"', re.ASCII
)


@dataclass(frozen=True)
class PubChemQC(GeometrySource):
    """PubChemQC with PM6 geometries. A raw record is the text of one JSON object.

    Args:
        config: selection of molecules, which is the folder of the mirror to fetch from.
        shards: names of the files to fetch and read. If empty, all files are read, and `fetch_by` must be "cid" to
            fetch.
        fetch_by: "shard" to download whole files, or "cid" to fetch only the records of the described CIDs, by ranges
            of the files.
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
    fetch_by: str = "shard"

    def __post_init__(self):
        if self.config not in SIZES:
            raise ValueError(f"source {self.name}: unknown config {self.config!r}; choose one of {list(SIZES)}")
        if not all(SHARD.fullmatch(name) for name in self.shards):
            raise ValueError(f"source {self.name}: shards={self.shards!r}; give a list of names <first>-<last>.json")
        if self.fetch_by not in FETCH_BY:
            raise ValueError(f"source {self.name}: unknown fetch_by {self.fetch_by!r}; choose one of {list(FETCH_BY)}")

    @property
    def raw_name(self) -> str:
        """Name of the folder for raw files; files with only some records have another than whole ones."""
        return f"{self.name}_by_cid" if self.fetch_by == "cid" else self.name

    @property
    def is_fetched_by_cid(self) -> bool:
        """Whether `fetch` needs the described CIDs."""
        return self.fetch_by == "cid"

    def plan(self, folder: Path) -> list[Download]:
        """See `Source.plan`."""
        if self.is_fetched_by_cid:
            note = "ranges of shards; the number of CIDs is known once the texts are read"
            return [Download("records of described CIDs", requests=None, note=note)]
        if not self.shards:
            return [Download("shards", note="`shards` is empty, so the stage fetch will refuse")]
        mirrored = folder / "data" / self.config / "train"
        return [expect_file(mirrored / shard, None, SHARD_SIZES, requests=0) for shard in self.shards]

    def fetch(self, client: Client, folder: Path, cids: np.ndarray | None = None) -> None:
        """Download the missing shards or records, unless `path` is set.

        Args:
            cids: described CIDs, ascending int64, if records are fetched by CID.
        Raises:
            FetchError: the server refuses a request or ignores ranges, or all attempts fail.
            OSError: the download of a whole shard failed.
            ValueError: `shards` is empty and whole shards are to be fetched; or no CID is in a shard, the mirror lacks
                one of `shards`, or a shard does not have the format of the mirror.
        """
        if self.path:
            return
        if self.is_fetched_by_cid:
            self._fetch_records(client, folder, cids)
            return
        if not self.shards:
            raise ValueError(
                f"source {self.name}: shards is empty, and all of {self.config} would be {SIZES[self.config]} TB; name "
                f"the shards of {REPOSITORY} to fetch, set fetch_by: cid to fetch only the records of described CIDs, "
                "or set path to files on disk"
            )
        for shard in self.shards:
            shard = f"data/{self.config}/train/{shard}"
            if not (folder / shard).exists():  # it appears there only when it is complete
                with explain_failures(REPOSITORY):
                    _download(shard, folder)

    def _fetch_records(self, client: Client, folder: Path, cids: np.ndarray) -> None:
        """Fetch the records of the CIDs from one commit of the mirror, noted in the folder's `mirror.json.gz`."""
        url = f"{constants.ENDPOINT}/api/datasets/{REPOSITORY}"
        mirror = cache_json(folder / "mirror.json.gz", lambda: client.get_json(url))
        prefix = f"data/{self.config}/train/"
        present = [file["rfilename"].removeprefix(prefix) for file in mirror["siblings"]]
        present = [name for name in present if SHARD.fullmatch(name) and name.endswith(".json")]
        if missing := set(self.shards) - set(present):
            names = ", ".join(sorted(missing))
            raise ValueError(f"source {self.name}: {REPOSITORY} has no {names} in {prefix}; correct shards")
        bounds = {name: tuple(map(int, SHARD.fullmatch(name).groups())) for name in self.shards or present}
        wanted = {name: cids[(first <= cids) & (cids <= last)] for name, (first, last) in bounds.items()}
        wanted = {name: wanted[name] for name in sorted(wanted, key=bounds.get) if len(wanted[name])}
        if not wanted:
            raise ValueError(
                f"source {self.name}: none of {len(cids)} described CIDs is in a shard of {self.config}; remove this "
                "source, or use texts that give CIDs of its range"
            )
        for name in tqdm(wanted, desc=self.name, unit=" shards", disable=None):
            address = f"{constants.ENDPOINT}/datasets/{REPOSITORY}/resolve/{mirror['sha']}/{prefix}{name}"
            fetch_records(client, address, folder / prefix / name, wanted[name], bounds[name])

    def list_files(self, folder: Path) -> list[Path]:
        """List the shards, ascending by their first CID; a single file may have any name.

        Raises:
            FileNotFoundError: there are no shards, or one of `shards` is missing though it was to be fetched whole.
        """
        if folder.is_file():
            return [folder]
        if (mirrored := folder / "data" / self.config / "train").is_dir():
            folder = mirrored
        found = [file for file in super().list_files(folder) if SHARD.fullmatch(file.name)]
        missing = [name for name in self.shards if name not in {file.name for file in found}]
        if missing and not self.is_fetched_by_cid:  # a shard without a described CID leaves no file
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
            yield from read_objects(file)

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
        geometry = check_geometry(record_id, atomic_numbers, coordinates.reshape(-1, 3))
        _check_structure(record_id, record.get("pubchem-inchi"), geometry)
        return geometry


def _download(shard: str, folder: Path) -> None:
    try:
        hf_hub_download(REPOSITORY, shard, repo_type="dataset", local_dir=folder)
    except RemoteEntryNotFoundError as error:
        raise ValueError(f"source pubchemqc: {REPOSITORY} has no {shard}; correct shards") from error


def _check_structure(record_id: str, inchi: Any, geometry: Geometry) -> None:
    """Check that a geometry is of the deposited structure: a molecule may have reacted in the optimisation.

    Raises:
        RecordError: it is not.
    """
    with BlockLogs():
        mol = Chem.MolFromInchi(inchi) if isinstance(inchi, str) and inchi.isascii() else None
    if mol is None:
        return
    if fault := find_disagreement(mol, geometry.atomic_numbers, geometry.positions[0], has_all_hydrogens=True):
        raise RecordError(record_id, "its geometry is of another molecule than its InChI", fault)


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
