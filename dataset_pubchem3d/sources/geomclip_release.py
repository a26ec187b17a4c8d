"""Texts and geometries: the dataset of GeomCLIP as its authors published it, one folder per split.

Source: T. Xiao, C. Cui, H. Zhu, V. Honavar, arXiv 2411.10821 (2024), and the loaders of their code. A folder has
`text/<prefix>_<CID>.txt`, one file per molecule, and `unimol_mol.lmdb`, whose value at key i is the pickled record
{"smi": SMILES, "atoms": symbols, "coordinates": [(atoms, 3), ...]} of the i-th CID in numerical order. Nothing in a
record is executed. The release names neither depositors nor licences of the texts, nor the source of a geometry.
"""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from rdkit import Chem
from rdkit.rdBase import BlockLogs

from ..chemistry.elements import ATOMIC_NUMBERS, count_heavy_elements
from ..records import Compound, Geometry, Identity, RecordError, Text, check_geometry
from .base import GeometrySource, TextSource
from .plain_pickle import PlainPickleError, read_plain_pickle

LMDB = "unimol_mol.lmdb"
TEXT_FILE = re.compile(r"(?:.*_)?([1-9]\d*)\.txt")
NOT_PLAIN = "its pickled record is broken or holds more than plain data"
SPLITS = "pretrain, valid or test"
LIMITS = "The release names neither depositors nor licences of the texts, nor the origin of a geometry."


@dataclass(frozen=True)
class GeomCLIPTexts(TextSource):
    """The texts of one split; `path` is its folder."""

    name: ClassVar[str] = "geomclip_texts"
    about: ClassVar[str] = f"texts of the dataset that the authors of GeomCLIP published, by PubChem CID. {LIMITS}"

    def read_records(self, folder: Path) -> Iterator[dict]:
        """Yield dicts of `record_id`, `cid` and `content`, by CID; a file without a CID in its name comes last."""
        for file in list_text_files(folder, self.name):
            yield {"record_id": file.stem, "cid": find_cid(file), "content": file.read_bytes()}

    def parse_texts(self, raw: dict) -> list[Text]:
        """Return the text with its lines joined, as the loader of the paper's code joins them."""
        record_id = raw["record_id"]
        if raw["cid"] is None:
            raise RecordError(record_id, "its file name does not end in _<CID>.txt")
        try:
            lines = raw["content"].decode("utf-8-sig").splitlines()
        except UnicodeDecodeError as error:
            raise RecordError(record_id, "it is not text in UTF-8", str(error)) from error
        text = " ".join(line.strip() for line in lines if line.strip())
        if not text:
            raise RecordError(record_id, "its file is empty")
        return [Text(record_id=record_id, text=text, source="PubChem, from the release of GeomCLIP", cid=raw["cid"])]


@dataclass(frozen=True)
class GeomCLIPGeometries(GeometrySource):
    """The geometries of one split; `path` is its folder."""

    name: ClassVar[str] = "geomclip_lmdb"
    about: ClassVar[str] = f"geometries of the dataset that the authors of GeomCLIP published, by PubChem CID. {LIMITS}"
    method: ClassVar[str] = "not stated (PubChemQC or GEOM by the paper)"
    license: ClassVar[str] = "not stated"

    def list_files(self, folder: Path) -> list[Path]:
        """List the LMDB file and the text files, whose names say which CIDs it has.

        Raises:
            FileNotFoundError: there is no LMDB file, or there are no texts.
        """
        if not (folder / LMDB).is_file():
            raise FileNotFoundError(f"source {self.name}: {folder} has no {LMDB}; set path to the folder {SPLITS}")
        return [folder / LMDB, *list_text_files(folder, self.name)]

    def read_records(self, folder: Path) -> Iterator[dict]:
        """Yield dicts of `record_id`, `cid` and `content`, the pickled record or None, by CID.

        Raises:
            ModuleNotFoundError: the package lmdb is not installed.
            ValueError: the LMDB file is truncated or broken, or the numbers of records and of text files differ, so
                that it is unknown which record belongs to which CID.
        """
        file, *texts = self.list_files(folder)
        cids = [cid for cid in map(find_cid, texts) if cid is not None]
        with _open(file) as environment, environment.begin() as records:
            number = environment.stat()["entries"]
            if number != len(cids):
                raise ValueError(
                    f"{file} has {number} records, but {file.parent / 'text'} has {len(cids)} files with a CID; both "
                    "must have the same number, because the i-th record belongs to the i-th CID"
                )
            for place, cid in enumerate(cids):
                yield {"record_id": str(cid), "cid": cid, "content": _read_value(file, records, place)}

    def identify(self, raw: dict) -> Identity:
        """Return the CID, and the InChIKey of the record's own SMILES, since a CID is known by its place only.

        This reads the record, which takes a millisecond.
        """
        smiles, _, _ = _read_fields(raw)
        return Identity(raw["cid"], Compound.from_smiles(smiles, raw["record_id"]).inchikey)

    def parse_geometry(self, raw: dict) -> Geometry:
        """Parse the conformers, in their order; see `GeometrySource.parse_geometry`."""
        record_id = raw["record_id"]
        smiles, symbols, conformers = _read_fields(raw)
        unknown = [one for one in symbols if not isinstance(one, str) or one not in ATOMIC_NUMBERS]
        if unknown:
            raise RecordError(record_id, "an atom is not an element", repr(unknown[0])[:80])
        numbers = np.array([ATOMIC_NUMBERS[symbol] for symbol in symbols])
        _check_elements(record_id, smiles, numbers)
        return check_geometry(record_id, numbers, np.stack(conformers))


def list_text_files(folder: Path, name: str) -> list[Path]:
    """List the text files of a split by CID, and then those without one.

    Raises:
        FileNotFoundError: there are none.
        ValueError: two files have the same CID.
    """
    files = sorted((folder / "text").glob("*.txt"), key=lambda file: (find_cid(file) or float("inf"), file.name))
    if not files:
        raise FileNotFoundError(f"source {name}: {folder} has no text/*.txt; set path to the folder {SPLITS}")
    repeated = [cid for cid, number in Counter(map(find_cid, files)).items() if cid is not None and number > 1]
    if repeated:
        raise ValueError(f"{folder / 'text'} has several files of CID {repeated[0]}; remove all but one")
    return files


def find_cid(file: Path) -> int | None:
    """Return the CID at the end of a file name, or None if there is none below 10^18."""
    match = TEXT_FILE.fullmatch(file.name)
    return int(match[1]) if match and len(match[1]) < 19 else None


def _read_fields(raw: dict) -> tuple[str, list, list[np.ndarray]]:
    """Return SMILES, symbols and conformers of a record; an array of conformers is as good as a list of them."""
    record_id = raw["record_id"]
    if raw["content"] is None:
        raise RecordError(record_id, "the LMDB file has no record with its key")
    try:
        record = read_plain_pickle(raw["content"])
    except PlainPickleError as error:
        raise RecordError(record_id, NOT_PLAIN, str(error)) from error
    fields = record if isinstance(record, dict) else {}
    smiles, symbols, conformers = (fields.get(name) for name in ("smi", "atoms", "coordinates"))
    conformers = [*conformers] if isinstance(conformers, np.ndarray) and conformers.ndim == 3 else conformers
    are_lists = isinstance(symbols, list) and isinstance(conformers, list)
    if not isinstance(smiles, str) or not are_lists or not conformers:
        found = ", ".join(f"{name}: {type(value).__name__}" for name, value in fields.items())
        raise RecordError(record_id, "its record lacks smi, atoms or coordinates", found[:80])
    for conformer in conformers:
        if not isinstance(conformer, np.ndarray) or conformer.shape != (len(symbols), 3):
            found = getattr(conformer, "shape", type(conformer).__name__)
            raise RecordError(record_id, "numbers of atoms and positions differ", f"{len(symbols)} atoms, {found}")
    return smiles, symbols, conformers


def _check_elements(record_id: str, smiles: str, numbers: np.ndarray) -> None:
    """Check that the heavy atoms are those of the SMILES.

    Raises:
        RecordError: they are not, or RDKit cannot read the SMILES.
    """
    with BlockLogs():
        mol = Chem.MolFromSmiles(smiles)
    if mol is None:
        raise RecordError(record_id, "RDKit cannot read the SMILES", smiles)
    if count_heavy_elements(mol) != Counter(numbers[numbers > 1].tolist()):
        raise RecordError(record_id, "its atoms are not those of its SMILES", smiles)


def _open(file: Path) -> Any:
    try:
        import lmdb
    except ImportError as error:
        needed = 'the source geomclip_lmdb needs the package lmdb; pip install "geomclip[lmdb]"'
        raise ModuleNotFoundError(needed) from error
    try:
        environment = lmdb.open(str(file), subdir=False, readonly=True, lock=False, readahead=True, max_readers=1)
    except lmdb.Error as error:
        raise ValueError(f"{file}: broken LMDB file ({error}); fetch it again") from error
    # LMDB maps the file into memory: reading a page beyond its end would end the process.
    size = (environment.info()["last_pgno"] + 1) * environment.stat()["psize"]
    if (found := file.stat().st_size) < size:
        environment.close()
        raise ValueError(
            f"{file}: truncated LMDB file ({found:,} bytes; its header says {size:,}); copy or fetch it again, or "
            "rewrite it with mdb_copy -n -c if it is whole"
        )
    return environment


def _read_value(file: Path, records: Any, place: int) -> bytes | None:
    import lmdb

    try:
        return records.get(str(place).encode("ascii"))
    except lmdb.Error as error:
        raise ValueError(f"{file}: broken LMDB file at record {place} ({error}); fetch it again") from error
