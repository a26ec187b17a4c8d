"""Structures and titles of PubChem's compounds from its web service PUG REST, for small builds.

Format: https://pubchem.ncbi.nlm.nih.gov/docs/pug-rest, "Compound Property Tables".
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from tqdm import tqdm

from ..fetch.client import Client, FetchError, cache_json
from ..fetch.planned import Download
from ..records import Compound
from .base import StructureSource
from .pubchem_structure import PubChemRecord, check_compound

URL = (
    "https://pubchem.ncbi.nlm.nih.gov/rest/pug/compound/cid/property/"
    "SMILES,ConnectivitySMILES,InChI,InChIKey,Title,IUPACName,MolecularFormula,MolecularWeight,Charge/JSON"
)
BATCH = 100  # CIDs per request
NUMBER_FROM = f"a request for {BATCH} CIDs; their number is known once the texts are read"
SMILES_KEYS = (
    "SMILES",
    "IsomericSMILES",
    "ConnectivitySMILES",
    "CanonicalSMILES",
)  # names of 2025 first, and SMILES with stereochemistry first


@dataclass(frozen=True)
class PubChemREST(StructureSource):
    """Compounds from the property table of PUG REST, which has no synonyms; one file per batch of CIDs."""

    name: ClassVar[str] = "pubchem_rest"
    about: ClassVar[str] = (
        "InChI, SMILES and title of PubChem's compounds, from PUG REST; NCBI itself places no restrictions on them."
    )

    def plan(self, folder: Path) -> list[Download]:
        """See `Source.plan`."""
        return [Download("batches of compounds", requests=None, note=NUMBER_FROM)]

    def fetch(self, client: Client, folder: Path, cids: np.ndarray) -> None:
        """Request the missing batches.

        Raises:
            FetchError: the service does not answer.
            ValueError: the answer is not a property table.
        """
        if self.path:
            return
        for batch in tqdm(_make_batches(cids), desc=self.name, unit=" batches", disable=None):
            cache_json(_name_batch_file(folder, batch), partial(_request, client, batch))

    def read_records(self, folder: Path, cids: np.ndarray) -> Iterator[dict[str, Any]]:
        """Yield the properties of the CIDs that the service knows.

        Args:
            folder: folder that `fetch` filled.
            cids: the same CIDs as for `fetch`, which determine the batches.
        Raises:
            FileNotFoundError: a batch was not fetched.
            ValueError: a file cannot be read or is not a property table.
        """
        for batch in _make_batches(cids):
            file = _name_batch_file(folder, batch)
            by_cid = {
                row["CID"]: row for row in _get_rows(cache_json(file, partial(_refuse_missing, file, batch)), str(file))
            }
            yield from (by_cid[cid] for cid in batch if len(by_cid.get(cid, {})) > 1)  # an unknown CID may have no data

    def parse_compound(self, raw: dict[str, Any]) -> Compound:
        """Return the compound, without synonyms; see `StructureSource.parse_compound`."""
        smiles = next((raw[key] for key in SMILES_KEYS if raw.get(key)), "")
        return check_compound(
            PubChemRecord(raw["CID"], smiles, raw.get("InChI", ""), raw.get("InChIKey", ""), raw.get("Title", ""))
        )


def _make_batches(cids: np.ndarray) -> list[list[int]]:
    return [cids[start : start + BATCH].tolist() for start in range(0, len(cids), BATCH)]


def _name_batch_file(folder: Path, batch: list[int]) -> Path:
    return folder / f"{hashlib.sha256(_join(batch).encode()).hexdigest()[:32]}.json.gz"


def _join(batch: list[int]) -> str:
    return ",".join(map(str, batch))  # one parameter, because the service reads only the first of repeated ones


def _request(client: Client, batch: list[int]) -> dict:
    try:
        answer = client.get_json(URL, data={"cid": _join(batch)})
    except FetchError as error:
        if "NotFound" not in str(error):  # the Fault if the service knows none of the CIDs
            raise
        return {"PropertyTable": {"Properties": []}}
    _get_rows(answer, f"{URL} for CIDs {batch[0]} to {batch[-1]}")
    return answer


def _refuse_missing(file: Path, batch: list[int]) -> dict:
    raise FileNotFoundError(
        f"source {PubChemREST.name}: {file} of CIDs {batch[0]} to {batch[-1]} is missing; run the stage fetch"
    )


def _get_rows(answer: dict, origin: str) -> list[dict[str, Any]]:
    try:
        return answer["PropertyTable"]["Properties"]
    except (KeyError, TypeError) as error:
        raise ValueError(f"{origin}: not a property table: {str(answer)[:200]}; delete it and fetch again") from error
