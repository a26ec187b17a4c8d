"""What a source is: one file, one class, one line in the registry.

A source knows its raw format and nothing of the other sources or of the stages. It is a frozen dataclass whose fields
are its options in a recipe (`path` among them), so that it can be sent to worker processes. Its work is in two parts:
`read_records` splits the raw files lazily, in a fixed order and as cheaply as it can, for it runs in one process and
runs again after an interruption; the parsing methods do the costly rest, record by record, in several processes. They
raise `RecordError` for a record that cannot be used; a file that cannot be read, truncated ones included, is an
`OSError` or `ValueError` that names the file.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from ..fetch.client import Client
from ..records import Compound, Geometry, Identity, Text
from ..schema import Column

UNFINISHED = (".part", ".part.version")  # what an interrupted download leaves


@dataclass(frozen=True)
class Source:
    """What all sources share.

    Class attributes: `name` in recipes and rows; `about`, what the dataset card says of it: the data, whence they are,
    their terms and limits.

    Args:
        path: file or folder that holds the raw data; "" for what `fetch` has put into the build's own raw folder.
    """

    name: ClassVar[str]
    about: ClassVar[str]
    path: str = ""

    @property
    def raw_name(self) -> str:
        """Name of its folder of raw files: another one for options that make other files of equal names."""
        return self.name

    def fetch(self, client: Client, folder: Path) -> None:
        """Download what is not there yet into `folder`. Sources that come with a package or a path fetch nothing."""

    def list_files(self, folder: Path) -> list[Path]:
        """The raw files, in order; when one changes, what was read from them is read again.

        Args:
            folder: `path`, or else the folder that `fetch` filled.
        Raises:
            FileNotFoundError: there are none.
        """
        found = [folder] if folder.is_file() else sorted(file for file in folder.rglob("*") if file.is_file())
        found = [file for file in found if not file.name.endswith(UNFINISHED)]
        if not found:
            raise FileNotFoundError(f"source {self.name}: {folder} holds no file; run the stage fetch or set its path")
        return found

    def read_records(self, folder: Path) -> Iterator[Any]:
        """The records as they lie in the files, not yet parsed; each can be pickled."""
        raise NotImplementedError


@dataclass(frozen=True)
class TextSource(Source):
    """A source of descriptions."""

    def parse_texts(self, raw: Any) -> list[Text]:
        """The texts of one raw record: none, one or several, each with its own `record_id`.

        Raises:
            RecordError: it cannot be used.
        """
        raise NotImplementedError

    def profile(self, folder: Path) -> dict[str, int]:
        """What the report is to tell of the raw records as they were given."""
        return {}


@dataclass(frozen=True)
class StructureSource(Source):
    """A source that says which compound a PubChem CID is."""

    def fetch(self, client: Client, folder: Path, cids: np.ndarray) -> None:
        """Download what is not there yet. `cids`: ascending int64, those that will be asked for."""

    def read_records(self, folder: Path, cids: np.ndarray) -> Iterator[Any]:
        """Raw records of the CIDs among `cids` (ascending int64), ascending by CID."""
        raise NotImplementedError

    def parse_compound(self, raw: Any) -> Compound:
        """The compound, with its `cid`.

        Raises:
            RecordError: it cannot be used.
        """
        raise NotImplementedError


@dataclass(frozen=True)
class GeometrySource(Source):
    """A source of geometries.

    Class attributes: `method` (level of theory) and `license`, of all records that do not say otherwise;
    `is_last_resort`, whether it has no records of its own, but makes one of every molecule that the sources before it
    in a recipe lack.
    """

    method: ClassVar[str]
    license: ClassVar[str]
    is_last_resort: ClassVar[bool] = False

    def make_records(self, compounds: Iterable[tuple[str, str]]) -> Iterator[Any]:
        """Raw records of compounds, given as InChIKey and SMILES, one at a time; of a last resort only."""
        raise NotImplementedError

    def identify(self, raw: Any) -> Identity:
        """By what the record can be joined; as cheap as it can be, since most records are wanted by no text.

        Raises:
            RecordError: it cannot be used.
        """
        raise NotImplementedError

    def parse_geometry(self, raw: Any) -> Geometry:
        """The geometry of a record that is wanted.

        Raises:
            RecordError: it cannot be used.
        """
        raise NotImplementedError


@dataclass(frozen=True)
class PropertySource(GeometrySource):
    """A source whose molecules have computed or measured properties.

    Class attribute: `property_columns`, the columns that `properties` fills.
    """

    property_columns: ClassVar[tuple[Column, ...]]

    def parse_compound(self, raw: Any) -> Compound:
        """Who the molecule of a raw record is.

        Raises:
            RecordError: it cannot be used.
        """
        raise NotImplementedError

    def parse_properties(self, raw: Any) -> dict[str, Any]:
        """A value or None for each of `property_columns`.

        Raises:
            RecordError: it cannot be used.
        """
        raise NotImplementedError


def find_installed_folder(package: str) -> Path:
    """Folder of an installed package, found without importing it.

    Raises:
        ModuleNotFoundError: the package is not installed.
    """
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError(f"the data package {package!r} is not installed; pip install {package}")
    return Path(spec.submodule_search_locations[0])
