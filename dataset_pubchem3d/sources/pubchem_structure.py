"""Shared code of the sources of PubChem structures: check a record's identifiers, and download files with checksums."""

from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from rdkit import Chem
from rdkit.rdBase import BlockLogs

from ..chemistry.identity import take_first_block
from ..fetch.client import Client, FetchError
from ..fetch.planned import Download, expect_file
from ..records import Compound, RecordError


class PubChemRecord(NamedTuple):
    """PubChem's record of a CID; "" for a missing value. `synonyms` start with the best known."""

    cid: int
    smiles: str
    inchi: str
    inchikey: str
    title: str = ""
    synonyms: tuple[str, ...] = ()


def check_compound(record: PubChemRecord) -> Compound:
    """Check a record and return its compound, with the record's InChI and InChIKey and RDKit's canonical SMILES.

    RDKit's InChIKey of the SMILES may differ from the record's in stereochemistry, isotopes and charge, but not in the
    first block, which encodes the connectivity.

    Raises:
        RecordError: an identifier is missing, RDKit cannot read the SMILES, or the identifiers contradict one another.
    """
    record_id = str(record.cid)
    for identifier in ("SMILES", "InChI", "InChIKey"):
        if not getattr(record, identifier.lower()):
            raise RecordError(record_id, f"the record has no {identifier}")
    with BlockLogs():
        inchikey = Chem.InchiToInchiKey(record.inchi)
    if inchikey != record.inchikey:
        raise RecordError(
            record_id, "the InChI and the InChIKey of the record differ", f"{record.inchi}, {record.inchikey}"
        )
    computed = Compound.from_smiles(
        record.smiles, record_id, cid=record.cid, title=record.title, synonyms=record.synonyms
    )
    if take_first_block(computed.inchikey) != take_first_block(record.inchikey):
        raise RecordError(
            record_id, "the SMILES and the InChIKey of the record differ", f"{record.smiles}, {record.inchikey}"
        )
    return replace(computed, inchi=record.inchi, inchikey=record.inchikey)


def select_further_names(title: str, names: list[str]) -> tuple[str, ...]:
    """Return the names in order, without duplicates, the title and empty names."""
    return tuple(name for name in dict.fromkeys(names) if name and name != title)


def expect_with_checksum(file: Path, num_bytes: int | None, note: str = "") -> Download:
    """Return the download of a file by `download_with_checksum`; see `planned.expect_file`."""
    return expect_file(file, num_bytes, note, requests=2)


def download_with_checksum(client: Client, url: str, path: Path) -> None:
    """Download a file from NCBI's FTP site unless it exists, and verify it with the MD5 file next to it, if any.

    Raises:
        FetchError: the download failed, or the checksum differs.
    """
    if path.exists():
        return
    checksum = path.with_name(f"{path.name}.md5")
    checksum.unlink(missing_ok=True)  # NCBI may have updated both files since an earlier attempt
    try:
        client.download(f"{url}.md5", checksum)
    except FetchError as error:
        if error.status != 404:
            raise
        client.download(url, path)
    else:
        client.download(url, path, md5=checksum.read_text(encoding="latin-1").partition(" ")[0].strip())
