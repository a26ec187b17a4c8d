"""What PubChem's structure sources share: the check of a record's identifiers, and downloads checked by NCBI's sums."""

from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from rdkit import Chem
from rdkit.rdBase import BlockLogs

from ..chemistry.identity import take_first_block
from ..fetch.client import Client, FetchError
from ..records import Compound, RecordError


class PubChemRecord(NamedTuple):
    """What PubChem says of one CID; "" where it says nothing. `synonyms` are the best known first."""

    cid: int
    smiles: str
    inchi: str
    inchikey: str
    title: str = ""
    synonyms: tuple[str, ...] = ()


def check_compound(record: PubChemRecord) -> Compound:
    """The compound with the record's own InChI and InChIKey and with RDKit's canonical SMILES.

    RDKit's InChIKey of the SMILES may differ from the record's in stereo, isotopes and charge, but not in the first
    block, which is the connectivity.

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
    """The names in their order, each once, without the title and empty ones."""
    return tuple(name for name in dict.fromkeys(names) if name and name != title)


def download_with_checksum(client: Client, url: str, path: Path) -> None:
    """Download a file of NCBI's FTP site, unless it is there, and check it by the MD5 sum beside it, if there is one.

    Raises:
        FetchError: the download failed or its sum differs.
    """
    if path.exists():
        return
    checksum = path.with_name(f"{path.name}.md5")
    checksum.unlink(missing_ok=True)  # NCBI may have renewed both since an earlier attempt
    try:
        client.download(f"{url}.md5", checksum)
    except FetchError as error:
        if error.status != 404:
            raise
        client.download(url, path)
    else:
        client.download(url, path, md5=checksum.read_text(encoding="latin-1").partition(" ")[0].strip())
