"""Texts made by rules from the structures of a table, or of a dataset that was built before."""

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import ClassVar

from ..records import RecordError, Text
from ..text.structure_sentences import describe_structure
from .base import TextSource
from .table import NO_STRUCTURE, STRUCTURE, TableSource, read_compound
from .table_files import Row, is_table, read_rows

BUILT = "data/default"  # where a dataset has all of its pairs
KIND = "structure"
LICENSE_URL = "https://creativecommons.org/publicdomain/zero/1.0/"  # rules wrote them: nobody has rights in them


@dataclass(frozen=True)
class Generated(TableSource, TextSource):
    """One text for every molecule of a table (Parquet, CSV, TSV or SDF), or of the config `default` of a built folder.

    A molecule that has several rows gets one text. `encoding`: of CSV, TSV and SDF files.

    Args:
        seed: of the wording.
        with_stereo: whether the texts tell the configurations of stereocentres and double bonds.
    """

    name: ClassVar[str] = "generated"
    about: ClassVar[str] = (
        "sentences that no person wrote: rules over the structure, which RDKit reads from the SMILES, tell classes, "
        "groups, rings, chains and charges of a molecule (`dataset_pubchem3d/chemistry/classes.py` finds them, "
        "`dataset_pubchem3d/text/structure_sentences.py` words them). They tell nothing of uses, origins or "
        "properties, and a rule may be wrong where chemists would argue. The molecules are those of a table, or of a "
        "dataset built before."
    )
    seed: int = 0
    with_stereo: bool = False

    def list_files(self, folder: Path) -> list[Path]:
        """The table itself, the Parquet files of a built dataset, or all tables of another folder."""
        built = folder / BUILT
        found = super().list_files(built if built.is_dir() else folder)
        tables = [file for file in found if is_table(file)]
        if not tables:
            raise FileNotFoundError(f"source {self.name}: {folder} holds no table; name one, or a dataset's folder")
        return tables

    def read_records(self, folder: Path) -> Iterator[Row]:
        """The first row of every molecule, as far as the table's own InChIKeys or else its structures tell.

        Raises:
            ValueError: naming the file; it has no structures, is broken, or is of a format that is not known.
        """
        seen: set[bytes] = set()
        for row in read_rows(self.list_files(folder), (STRUCTURE,), encoding=self.encoding):
            told = next((str(row.cells[key]) for key in ("inchikey", *STRUCTURE) if key in row.cells), row.record_id)
            digest = blake2b(told.encode(), digest_size=8).digest()
            if digest not in seen:
                seen.add(digest)
                yield row

    def parse_texts(self, raw: Row) -> list[Text]:
        """All sentences, one after another."""
        compound = read_compound(raw._replace(cells={key: cell for key, cell in raw.cells.items() if key != "name"}))
        if compound is None:
            raise RecordError(raw.record_id, NO_STRUCTURE)
        sentences = describe_structure(compound.smiles, draw_seed(self.seed, compound.inchikey), self.with_stereo)
        return [
            Text(
                raw.record_id,
                " ".join(sentences),
                self.name,
                cid=compound.cid,
                compound=compound,
                kind=KIND,
                license_url=LICENSE_URL,
                is_composed=True,
            )
        ]


def draw_seed(seed: int, inchikey: str) -> int:
    """The seed of a molecule's wording; isomers whose structures read alike have another, and so other texts."""
    return int.from_bytes(blake2b(f"{seed} {inchikey}".encode(), digest_size=7).digest(), "big")
