"""Geometries and properties: the original archive of QM9 on figshare, with its list of uncharacterised molecules.

Source: R. Ramakrishnan, P. O. Dral, M. Rupp, O. A. von Lilienfeld, Scientific Data 1, 140022 (2014), table 2 for the
format of a member; https://doi.org/10.6084/m9.figshare.978904.
"""

import bz2
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np

from ..chemistry.units import EV_PER_HARTREE
from ..fetch.client import Client
from ..fetch.planned import Download, expect_file
from ..records import Compound, Geometry, Identity, RecordError, check_geometry
from ..schema import Column
from .base import PropertySource
from .qm9 import (
    METHOD,
    PROPERTIES,
    SCALARS,
    compute_atomisation_energies,
    find_atomic_numbers,
    make_gdb_compound,
    read_inchikey,
)

ARCHIVE = "dsgdb9nsd.xyz.tar.bz2"
UNCHARACTERISED = "uncharacterized.txt"
DOWNLOADS = {
    ARCHIVE: ("https://figshare.com/ndownloader/files/3195389", "ad1ebd51ee7f5b3a6e32e974e5d54012"),
    UNCHARACTERISED: ("https://figshare.com/ndownloader/files/3195404", "a361887bacb427b8a0ce7903d92a53b4"),
}
BYTES = {ARCHIVE: 86_144_227, UNCHARACTERISED: 486_752}
SIZES_FROM = "published; size by figshare, as others report it"


class Member(NamedTuple):
    """A file of the archive: its name, its text, and whether its geometry is known to match its SMILES."""

    name: str
    text: str
    is_characterised: bool


class Molecule(NamedTuple):
    """The lines of a member, split into fields of text."""

    index: str
    scalars: list[str]
    atoms: list[list[str]]
    frequencies: list[str]
    smiles: str
    inchi: str


@dataclass(frozen=True)
class QM9Archive(PropertySource):
    """QM9 from the original archive. Its 3,054 uncharacterised molecules are refused and counted.

    Args:
        path: folder with the archive and the list; "" for the files that `fetch` downloads.
    """

    name: ClassVar[str] = "qm9_archive"
    about: ClassVar[str] = (
        "QM9 (Ramakrishnan et al., Scientific Data 2014, doi:10.1038/sdata.2014.22), B3LYP/6-31G(2df,p) ground "
        "states from the original archive, without its 3,054 uncharacterised molecules. `conformer_energy` is U0."
    )
    method: ClassVar[str] = METHOD
    license: ClassVar[str] = "not verified (sources name CC0 or CC BY 4.0)"
    property_columns: ClassVar[tuple[Column, ...]] = PROPERTIES

    def plan(self, folder: Path) -> list[Download]:
        """See `Source.plan`."""
        return [expect_file(folder / name, num_bytes, SIZES_FROM) for name, num_bytes in BYTES.items()]

    def fetch(self, client: Client, folder: Path) -> None:
        """Download the archive and the list, unless `path` is set."""
        if not self.path:
            for name, (url, md5) in DOWNLOADS.items():
                client.download(url, folder / name, md5=md5)

    def list_files(self, folder: Path) -> list[Path]:
        """List the archive and the list of uncharacterised molecules.

        Raises:
            FileNotFoundError: one of them is missing.
        """
        files = [folder / name for name in DOWNLOADS]
        for file in files:
            if not file.is_file():
                raise FileNotFoundError(f"source {self.name}: {file} is missing; run the stage fetch or set its path")
        return files

    def read_records(self, folder: Path) -> Iterator[Member]:
        """Yield the members in the order of the archive, which is read as a stream.

        Raises:
            ValueError: a file is broken or truncated; the message names it.
        """
        archive, uncharacterised = self.list_files(folder)
        excluded = {f"dsgdb9nsd_{index:06}.xyz" for index in read_uncharacterised(uncharacterised)}
        for path, text in _read_members(archive):
            name = path.rpartition("/")[2]
            yield Member(name, text, name not in excluded)

    def identify(self, raw: Member) -> Identity:
        """Return the InChIKey of the first InChI (GDB molecule); the second was perceived from the coordinates."""
        molecule = _parse_molecule(raw)
        return Identity(inchikey=read_inchikey(molecule.index, molecule.inchi))

    def parse_geometry(self, raw: Member) -> Geometry:
        """Parse the conformer; its energy is U0, the internal energy at 0 K."""
        molecule = _parse_molecule(raw)
        energy = _read_scalars(molecule)["u0"] * EV_PER_HARTREE
        positions = _read_numbers(molecule.index, [field for atom in molecule.atoms for field in atom[1:4]])
        return check_geometry(molecule.index, _find_elements(molecule), positions.reshape(-1, 3), np.array([energy]))

    def parse_properties(self, raw: Member) -> dict[str, Any]:
        """Parse the values of `qm9.PROPERTIES`; the polarizability tensor is None.

        Raises:
            RecordError: the member is uncharacterised or cannot be read.
        """
        molecule = _parse_molecule(raw)
        scalars = _read_scalars(molecule)
        return {
            **scalars,
            **compute_atomisation_energies(scalars, _find_elements(molecule)),
            "polarizability_tensor": None,
            "mulliken_charges": _read_numbers(molecule.index, [atom[4] for atom in molecule.atoms]).tolist(),
            "frequencies": _read_numbers(molecule.index, molecule.frequencies).tolist(),
        }

    def parse_compound(self, raw: Member) -> Compound:
        """Return the GDB molecule; see `qm9.make_gdb_compound`."""
        molecule = _parse_molecule(raw)
        return make_gdb_compound(molecule.index, molecule.inchi, molecule.smiles)


def read_uncharacterised(file: Path) -> list[int]:
    """Read the indices in the first column of the list, between the rules (====) below its header and at its end.

    Raises:
        ValueError: the file is truncated or is not such a list; the message names it.
    """
    lines = file.read_text(encoding="utf-8").splitlines()
    rules = [number for number, line in enumerate(lines) if line.startswith("====")]
    if len(rules) != 3:
        raise ValueError(f"{file}: has {len(rules)} rules of ====, not 3; delete it and run the stage fetch again")
    try:
        return [int(line.split()[0]) for line in lines[rules[1] + 1 : rules[2]]]
    except (ValueError, IndexError) as error:
        raise ValueError(f"{file}: a line has no index ({error}); delete it and run the stage fetch again") from error


def _read_members(archive: Path) -> Iterator[tuple[str, str]]:
    with open(archive, "rb") as compressed:
        try:  # not mode r|bz2, which does not notice an archive that is truncated between two members
            with bz2.open(compressed) as stream, tarfile.open(fileobj=stream, mode="r|") as tar:
                while (member := tar.next()) is not None:
                    tar.members.clear()  # otherwise tarfile keeps all members in memory
                    if member.isfile():
                        yield member.name, tar.extractfile(member).read().decode("utf-8")
                while stream.read(2**20):  # read to the end, where the checksum is verified
                    pass
        except (EOFError, OSError, ValueError, tarfile.TarError) as error:
            raise ValueError(
                f"{archive}: broken or truncated ({error}); delete it and run the stage fetch again"
            ) from error


def _parse_molecule(raw: Member) -> Molecule:
    if not raw.is_characterised:
        raise RecordError(raw.name, "uncharacterised: the geometry does not belong to the SMILES")
    try:
        size, head, *lines = [line.split() for line in raw.text.rstrip().splitlines()]
        *atoms, frequencies, (smiles, *_), (inchi, *_) = lines
        (tag, index, *scalars), size = head, int(size[0])
        is_molecule = tag == "gdb" and raw.name == f"dsgdb9nsd_{int(index):06}.xyz"
    except (ValueError, IndexError) as error:
        raise RecordError(raw.name, "not a molecule in the format of QM9", str(error)) from error
    if not is_molecule or len(scalars) != len(SCALARS) or len(atoms) != size or {len(atom) for atom in atoms} != {5}:
        raise RecordError(raw.name, "not a molecule in the format of QM9", " ".join(head[:2]))
    return Molecule(index, scalars, atoms, frequencies, smiles, inchi)


def _find_elements(molecule: Molecule) -> list[int]:
    return find_atomic_numbers(molecule.index, [atom[0] for atom in molecule.atoms])


def _read_scalars(molecule: Molecule) -> dict[str, float]:
    return dict(zip([column.name for column in SCALARS], _read_numbers(molecule.index, molecule.scalars).tolist()))


def _read_numbers(index: str, fields: list[str]) -> np.ndarray:
    try:
        numbers = np.array([float(field.replace("*^", "e")) for field in fields])  # Mathematica's exponent
    except ValueError as error:
        raise RecordError(index, "a field is not a number", str(error)) from error
    if not np.isfinite(numbers).all():
        raise RecordError(index, "a number is not finite")
    return numbers
