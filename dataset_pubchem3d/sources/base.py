"""Base classes of sources. A source is one file, one class and one line in the registry.

A source knows only its raw format, not the other sources or the stages. It is a frozen dataclass that can be pickled
for worker processes; its fields, such as `path`, are its options in a recipe. Its work has two parts. `read_records`
splits the raw files into records: lazily, in a fixed order and as cheaply as possible, because it runs in a single
process and runs again after an interruption. The parsing methods do the expensive work, record by record, in several
processes. They raise `RecordError` for a record that cannot be used. A file that cannot be read, for example because
it is truncated, raises an `OSError` or `ValueError` that names the file.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from ..fetch.client import Client
from ..fetch.planned import Download
from ..records import Compound, Geometry, Identity, Text
from ..schema import Column

UNFINISHED = (".part", ".part.version")  # endings of files left by an interrupted download


@dataclass(frozen=True)
class Source:
    """Base class of all sources.

    Class attributes: `name`, in recipes and rows; `about`, the description for the dataset card: contents, origin,
    licence, limitations.

    Args:
        path: file or folder with the raw data; "" for the build's own raw folder, which `fetch` fills.
    """

    name: ClassVar[str]
    about: ClassVar[str]
    path: str = ""

    @property
    def raw_name(self) -> str:
        """Name of the folder for raw files; it differs between options that give different files the same names."""
        return self.name

    def find_folder(self, work: Path) -> Path:
        """Return the folder or file with the raw data: `path`, or the folder below a build's `work` for `fetch`."""
        return Path(self.path) if self.path else work / "raw" / self.raw_name

    def plan(self, folder: Path) -> list[Download]:
        """List what `fetch` downloads into `folder`, with what is there, without asking a server or writing.

        Sources that read a package return nothing. Never called if `path` is set.

        Raises:
            ValueError: an option that `fetch` needs is not set, or a file in `folder` is damaged.
        """
        return []

    def fetch(self, client: Client, folder: Path) -> None:
        """Download the missing files into `folder`. Sources that read a package or a `path` do nothing."""

    def list_files(self, folder: Path) -> list[Path]:
        """List the raw files in order. When one of them changes, a build reads them again.

        Args:
            folder: `path`, or the folder that `fetch` filled.
        Raises:
            FileNotFoundError: there are no files.
        """
        found = [folder] if folder.is_file() else sorted(file for file in folder.rglob("*") if file.is_file())
        found = [file for file in found if not file.name.endswith(UNFINISHED)]
        if not found:
            raise FileNotFoundError(f"source {self.name}: {folder} has no files; run the stage fetch or set its path")
        return found

    def read_records(self, folder: Path) -> Iterator[Any]:
        """Yield the unparsed records of the files; each can be pickled."""
        raise NotImplementedError


@dataclass(frozen=True)
class TextSource(Source):
    """A source of descriptions."""

    def parse_texts(self, raw: Any) -> list[Text]:
        """Parse the texts of a raw record: none, one or several, each with its own `record_id`.

        Raises:
            RecordError: the record cannot be used.
        """
        raise NotImplementedError

    def profile(self, folder: Path) -> dict[str, int]:
        """Return statistics of the raw records for the report."""
        return {}


@dataclass(frozen=True)
class StructureSource(Source):
    """A source that identifies the compounds of PubChem CIDs."""

    def fetch(self, client: Client, folder: Path, cids: np.ndarray) -> None:
        """Download the missing files. `cids` are the CIDs to be read, ascending int64."""

    def read_records(self, folder: Path, cids: np.ndarray) -> Iterator[Any]:
        """Yield the raw records of `cids` (ascending int64) that the source has, ascending by CID."""
        raise NotImplementedError

    def parse_compound(self, raw: Any) -> Compound:
        """Parse the compound of a raw record, with its `cid`.

        Raises:
            RecordError: the record cannot be used.
        """
        raise NotImplementedError


@dataclass(frozen=True)
class GeometrySource(Source):
    """A source of geometries.

    Class attributes: `method` (level of theory) and `license`, of all records without their own; `is_redistributable`,
    whether this licence is known to permit redistribution for any purpose; `is_last_resort`, whether the source has no
    records of its own but makes one for every molecule that the sources before it lack.
    """

    method: ClassVar[str]
    license: ClassVar[str]
    is_redistributable: ClassVar[bool] = False
    is_last_resort: ClassVar[bool] = False

    @property
    def is_fetched_by_cid(self) -> bool:
        """Whether `fetch` also needs `cids`, the PubChem CIDs of the described molecules, ascending int64."""
        return False

    def make_records(self, compounds: Iterable[tuple[str, str]]) -> Iterator[Any]:
        """Yield raw records of compounds, given as InChIKey and SMILES; only for a last resort."""
        raise NotImplementedError

    def identify(self, raw: Any) -> Identity:
        """Return the identifiers to join a raw record by. This must be cheap, because most records are not wanted.

        Raises:
            RecordError: the record cannot be used.
        """
        raise NotImplementedError

    def parse_geometry(self, raw: Any) -> Geometry:
        """Parse the geometry of a wanted raw record.

        Raises:
            RecordError: the record cannot be used.
        """
        raise NotImplementedError


@dataclass(frozen=True)
class PropertySource(GeometrySource):
    """A source whose molecules have computed or measured properties.

    Class attribute: `property_columns`, the columns that `parse_properties` fills.
    """

    property_columns: ClassVar[tuple[Column, ...]]

    def parse_compound(self, raw: Any) -> Compound:
        """Parse the compound of a raw record.

        Raises:
            RecordError: the record cannot be used.
        """
        raise NotImplementedError

    def parse_properties(self, raw: Any) -> dict[str, Any]:
        """Parse a value or None for each of `property_columns`.

        Raises:
            RecordError: the record cannot be used.
        """
        raise NotImplementedError


def find_installed_folder(package: str) -> Path:
    """Find the folder of an installed package without importing it.

    Raises:
        ModuleNotFoundError: the package is not installed.
    """
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError(f"the data package {package!r} is not installed; pip install {package}")
    return Path(spec.submodule_search_locations[0])
