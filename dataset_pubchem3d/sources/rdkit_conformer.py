"""Geometries: conformers that RDKit makes from a SMILES; a last resort, not ground states.

Source: S. Wang et al., J. Chem. Inf. Model. 60, 2044 (2020), ETKDGv3; P. Tosco et al., J. Cheminform. 6, 37 (2014),
MMFF94 in RDKit. They are made by `modeling_geomclip.conformers_geomclip`, as for a SMILES that is given to the model.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from ..records import Geometry, Identity, RecordError, check_geometry
from .base import GeometrySource

FORCE_FIELDS = {  # by their name in `make_conformer`
    "MMFF94": "{} + MMFF94",
    "UFF": "{} + UFF for lack of MMFF94 parameters",
    "unrelaxed": "{}, unrelaxed for lack of force field parameters",
    "as embedded": "{}, unrelaxed",
}


@dataclass(frozen=True)
class RDKitConformers(GeometrySource):
    """Conformers of the compounds that no other source has; it does not read files.

    Args:
        seed: seed of the first conformer; the others use the seeds after it.
        max_atoms: maximum number of atoms of a molecule, hydrogens included; None for no limit.
        num_conformers: number of conformers to make per molecule. Failures after the first are skipped. The recipe's
            `conformers` sets how many are kept.
        relax: whether to relax the conformers with a force field, which takes most of the time.
    """

    name: ClassVar[str] = "rdkit"
    about: ClassVar[str] = (
        "conformers that RDKit makes from the SMILES (ETKDGv3, then MMFF94 or UFF if possible), not ground states."
    )
    method: ClassVar[str] = "RDKit ETKDGv3 + MMFF94, not a ground state"
    license: ClassVar[str] = "none needed (computed by RDKit)"
    is_redistributable: ClassVar[bool] = True
    is_last_resort: ClassVar[bool] = True
    seed: int = 42
    max_atoms: int | None = None
    num_conformers: int = 1
    relax: bool = True

    def list_files(self, folder: Path) -> list[Path]:
        """Return no files."""
        return []

    def read_records(self, folder: Path) -> Iterator[dict]:
        """Raise a TypeError, because this source has no files; use `make_records`."""
        raise TypeError(f"source {self.name} has no files; call make_records with the compounds")

    def make_records(self, compounds: Iterable[tuple[str, str]]) -> Iterator[dict]:
        """Yield dicts of `inchikey` and `smiles`."""
        return ({"inchikey": inchikey, "smiles": smiles} for inchikey, smiles in compounds)

    def identify(self, raw: dict) -> Identity:
        """Return the InChIKey of the compound."""
        return Identity(inchikey=raw["inchikey"])

    def parse_geometry(self, raw: dict) -> Geometry:
        """Make the conformers.

        Raises:
            RecordError: the SMILES is refused, or the first conformer cannot be made.
        """
        # Imported here because it loads transformers, except in workers.
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
    """Return the level of theory of a conformer, given how each of its fragments was embedded and relaxed."""
    ways = sorted({FORCE_FIELDS[relaxed].format(start) for start, relaxed in methods if relaxed})
    return f"RDKit {' and '.join(ways) or 'single atoms'}, not a ground state"
