"""Geometries: conformers that RDKit makes from a SMILES; the last resort, and no ground states.

Source: S. Wang et al., J. Chem. Inf. Model. 60, 2044 (2020), ETKDGv3; P. Tosco et al., J. Cheminform. 6, 37 (2014),
MMFF94 in RDKit. The work is done by `modeling_geomclip.conformers_geomclip`, so that these are the conformers that the
model is given for a SMILES.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from ..records import Geometry, Identity, RecordError, check_geometry
from .base import GeometrySource

FORCE_FIELDS = {  # by the name that `make_conformer` gives them
    "MMFF94": "{} + MMFF94",
    "UFF": "{} + UFF for lack of MMFF94 parameters",
    "unrelaxed": "{}, unrelaxed for lack of force field parameters",
    "as embedded": "{}, unrelaxed",
}


@dataclass(frozen=True)
class RDKitConformers(GeometrySource):
    """Conformers of the compounds that no other source has; it reads no file.

    Args:
        seed: of the first conformer; further ones have the seeds after it.
        max_atoms: the most atoms a molecule may have, hydrogens included; None for any number.
        num_conformers: that are made of a molecule; a further one that cannot be made is left out. A recipe's
            `conformers` says how many are kept.
        relax: whether a force field relaxes them, which takes most of the time.
    """

    name: ClassVar[str] = "rdkit"
    about: ClassVar[str] = (
        "conformers that RDKit makes from the SMILES (ETKDGv3, then MMFF94 or UFF if it can): no ground states."
    )
    method: ClassVar[str] = "RDKit ETKDGv3 + MMFF94, not a ground state"
    license: ClassVar[str] = "none needed (computed by RDKit)"
    is_last_resort: ClassVar[bool] = True
    seed: int = 42
    max_atoms: int | None = None
    num_conformers: int = 1
    relax: bool = True

    def list_files(self, folder: Path) -> list[Path]:
        return []

    def read_records(self, folder: Path) -> Iterator[dict]:
        raise TypeError(f"source {self.name} reads no files; call make_records with the compounds that need it")

    def make_records(self, compounds: Iterable[tuple[str, str]]) -> Iterator[dict]:
        """Dicts of `inchikey` and `smiles`."""
        return ({"inchikey": inchikey, "smiles": smiles} for inchikey, smiles in compounds)

    def identify(self, raw: dict) -> Identity:
        return Identity(inchikey=raw["inchikey"])

    def parse_geometry(self, raw: dict) -> Geometry:
        # Here, as it imports transformers, which only the workers need that make conformers.
        from modeling_geomclip.molecule_checks_geomclip import check_distances
        from modeling_geomclip.molecules_geomclip import MoleculeError, embed_smiles

        conformers = []
        for seed in range(self.seed, self.seed + self.num_conformers):
            try:
                conformer = embed_smiles(raw["smiles"], seed, self.max_atoms, self.relax)
                check_distances(conformer.atomic_numbers, conformer.positions)
                conformers.append(conformer)
            except MoleculeError as error:
                if not conformers:
                    raise RecordError.of_molecule(raw["inchikey"], error) from error
        method = name_method(way for conformer in conformers for way in conformer.methods)
        positions = [conformer.positions for conformer in conformers]
        return check_geometry(raw["inchikey"], conformers[0].atomic_numbers, positions, method=method)


def name_method(methods: Iterable[tuple[str, str]]) -> str:
    """The level of theory of a conformer, of whose fragments each was embedded and relaxed in its own way."""
    ways = sorted({FORCE_FIELDS[relaxed].format(start) for start, relaxed in methods if relaxed})
    return f"RDKit {' and '.join(ways) or 'single atoms'}, not a ground state"
