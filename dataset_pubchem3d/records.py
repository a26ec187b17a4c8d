"""What sources yield and stages pass on: texts, compounds and geometries of one molecule each, and refused records."""

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from rdkit import Chem
from rdkit.rdBase import BlockLogs

from .chemistry.identity import take_first_block

if TYPE_CHECKING:
    from modeling_geomclip import MoleculeError

PARTICULARS = re.compile(r"'[^']*'|\(.*\)|\b\d[\d.]*")  # what differs from molecule to molecule
POSITIONS = pa.list_(pa.list_(pa.float32(), 3))


class RecordError(ValueError):
    """A record that cannot be used; it goes to the quarantine and the build goes on.

    Attributes: `record_id` (its id in the source) and `reason` (the same words for the same fault, so that reasons can
    be counted; what differs from record to record belongs into `detail`).
    """

    def __init__(self, record_id: str, reason: str, detail: str = ""):
        super().__init__(f"{record_id}: {reason}" + (f" ({detail})" if detail else ""))
        self.record_id, self.reason, self.detail = record_id, reason, detail

    @classmethod
    def of_molecule(cls, record_id: str, error: "MoleculeError") -> "RecordError":
        """Of a molecule that `modeling_geomclip` refuses, whose rule names the particulars."""
        reason = PARTICULARS.sub("…", error.rule)
        told = "; ".join(part for part in (error.value, error.remedy) if part) if reason == error.rule else str(error)
        return cls(record_id, reason, told)

    def __reduce__(self):  # or it could not come back from a worker process
        return RecordError, (self.record_id, self.reason, self.detail)


@dataclass(frozen=True, slots=True)
class Compound:
    """A described molecule; the identifiers are those of its record, whatever a geometry may show besides.

    `synonyms` are further names; `title` is the preferred one, "" if there is none.
    """

    inchikey: str
    inchi: str
    smiles: str
    n_heavy: int
    formal_charge: int
    cid: int | None = None
    title: str = ""
    synonyms: tuple[str, ...] = ()

    @classmethod
    def from_smiles(cls, smiles: str, record_id: str, **names) -> "Compound":
        """Identifiers computed by RDKit from a SMILES.

        Args:
            names: `cid`, `title`, `synonyms`, as far as they are known.
        Raises:
            RecordError: RDKit cannot read the SMILES or finds no InChI.
        """
        with BlockLogs():
            mol = Chem.MolFromSmiles(smiles)
            if mol is None or mol.GetNumAtoms() == 0:
                raise RecordError(record_id, "RDKit cannot read the SMILES", smiles)
            inchi = Chem.MolToInchi(mol)
        if not inchi:
            raise RecordError(record_id, "RDKit finds no InChI", smiles)
        return cls(
            inchikey=Chem.InchiToInchiKey(inchi),
            inchi=inchi,
            smiles=Chem.MolToSmiles(mol),
            n_heavy=mol.GetNumHeavyAtoms(),
            formal_charge=Chem.GetFormalCharge(mol),
            **names,
        )


@dataclass(frozen=True, slots=True)
class Text:
    """A description of one molecule, whose identity is either `compound` or, to be looked up, `cid`.

    `text` has its paragraphs joined by line breaks and is otherwise as the source gives it; `raw` is what it was made
    from where that is something else. `name` is what the source calls the molecule. `is_composed` marks texts that we
    make from facts: their names are their content and stay. `kind` is None where the text itself is to tell it.
    """

    record_id: str
    text: str
    source: str
    cid: int | None = None
    compound: Compound | None = None
    name: str | None = None
    raw: str | None = None
    kind: str | None = None
    source_id: str | None = None
    url: str | None = None
    license_url: str | None = None
    anid: int | None = None
    is_composed: bool = False


@dataclass(frozen=True, slots=True)
class Identity:
    """By what a geometry can be joined; both where the source gives both. `inchikey` may be its first block alone."""

    cid: int | None = None
    inchikey: str | None = None


@dataclass(frozen=True, slots=True)
class Geometry:
    """The conformers of one molecule in one atom order, hydrogens included as far as the source has them.

    atomic_numbers: (atoms,) uint8.
    positions: (conformers, atoms, 3) float32, Å; the first is the lowest in energy.
    energies: (conformers,) float64, eV, ascending, or None where the source gives none.
    method, license: only where they differ from those of the source as a whole.
    """

    geometry_id: str
    atomic_numbers: np.ndarray
    positions: np.ndarray
    energies: np.ndarray | None = None
    method: str | None = None
    license: str | None = None


def check_geometry(
    record_id: str, atomic_numbers: np.ndarray, positions: np.ndarray, energies: np.ndarray | None = None, **rest
) -> Geometry:
    """A Geometry of correct types and shapes, its conformers in ascending order of energy.

    Args:
        atomic_numbers: (atoms,).
        positions: (atoms, 3) or (conformers, atoms, 3), Å.
        energies: (conformers,), eV, in any order.
        rest: `method` and `license` of this record.
    Raises:
        RecordError: no atoms, shapes that do not fit, an atomic number that is none, a coordinate that is not finite,
            distances that no molecule has, see `modeling_geomclip.molecule_checks_geomclip.check_distances`.
    """
    # Here, as it imports transformers, which only the workers need that read geometries.
    from modeling_geomclip.molecule_checks_geomclip import MoleculeError, check_distances

    with np.errstate(over="ignore"):  # what float32 cannot hold is refused as not finite
        atomic_numbers, positions = np.asarray(atomic_numbers), np.asarray(positions, dtype=np.float32)
    if positions.ndim == 2:
        positions = positions[None]
    if len(atomic_numbers) == 0:
        raise RecordError(record_id, "the geometry has no atoms")
    if positions.ndim != 3 or len(positions) == 0 or positions.shape[1:] != (*atomic_numbers.shape, 3):
        raise RecordError(
            record_id, "numbers of atoms and positions differ", f"{len(atomic_numbers)} atoms, {positions.shape}"
        )
    if atomic_numbers.dtype.kind not in "iu" or atomic_numbers.min() < 1 or atomic_numbers.max() > 118:
        raise RecordError(record_id, "an atomic number is not one of 1 to 118", str(atomic_numbers.tolist()[:8]))
    if not np.isfinite(positions).all():
        raise RecordError(record_id, "a coordinate is not finite")
    try:
        for conformer in positions:
            check_distances(atomic_numbers, conformer)
    except MoleculeError as error:
        raise RecordError.of_molecule(record_id, error) from error
    if energies is not None:
        energies = np.asarray(energies, dtype=np.float64)
        if energies.shape != (len(positions),) or not np.isfinite(energies).all():
            raise RecordError(record_id, "energies are not one finite number a conformer")
        order = np.argsort(energies, kind="stable")
        energies, positions = energies[order], positions[order]
    return Geometry(record_id, atomic_numbers.astype(np.uint8), positions, energies, **rest)


def make_geometry_columns(geometries: list[Geometry], num_conformers: int) -> dict[str, pa.Array]:
    """The columns of `schema.py` that a source's geometries fill, one row a geometry.

    Args:
        num_conformers: how many conformers of each are kept, the lowest first; `n_conformers` counts them all.
    """
    kept = [geometry.positions[:num_conformers] for geometry in geometries]
    further = [positions[1:] for positions in kept]
    return {
        "atomic_numbers": _make_lists([geometry.atomic_numbers for geometry in geometries], pa.uint8()),
        "positions": _make_points([positions[0] for positions in kept]),
        "further_positions": pa.ListArray.from_arrays(
            _make_offsets([len(positions) for positions in further]),
            _make_points([conformer for positions in further for conformer in positions]),
        ),
        "n_conformers": pa.array([len(geometry.positions) for geometry in geometries], pa.int32()),
        "conformer_energy": pa.array(
            [None if geometry.energies is None else float(geometry.energies[0]) for geometry in geometries],
            pa.float64(),
        ),
        "geometry_id": pa.array([geometry.geometry_id for geometry in geometries], pa.string()),
    }


def _make_offsets(lengths: list[int]) -> pa.Array:
    return pa.array(np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32))


def _make_lists(arrays: list[np.ndarray], dtype: pa.DataType) -> pa.ListArray:
    flat = np.concatenate(arrays) if arrays else np.empty(0)
    return pa.ListArray.from_arrays(_make_offsets([len(array) for array in arrays]), pa.array(flat, dtype))


def _make_points(arrays: list[np.ndarray]) -> pa.ListArray:
    flat = np.concatenate(arrays) if arrays else np.empty((0, 3))
    points = pa.FixedSizeListArray.from_arrays(pa.array(flat.reshape(-1), pa.float32()), 3)
    return pa.ListArray.from_arrays(_make_offsets([len(array) for array in arrays]), points)


TEXT_SCHEMA = pa.schema(
    {
        "source": pa.string(),
        "record_id": pa.string(),
        **dict.fromkeys(("inchikey", "inchikey14", "inchi", "smiles"), pa.string()),
        "n_heavy": pa.int32(),
        "formal_charge": pa.int32(),
        "cid": pa.int64(),
        "title": pa.string(),
        "synonyms": pa.list_(pa.string()),
        **dict.fromkeys(("name", "text", "text_raw", "text_kind"), pa.string()),
        **dict.fromkeys(("text_source", "text_source_id", "text_url", "text_license_url"), pa.string()),
        "anid": pa.int64(),
        "is_composed": pa.bool_(),
    }
)

GEOMETRY_SCHEMA = pa.schema(
    {
        "inchikey14": pa.string(),
        "inchikey": pa.string(),
        "cid": pa.int64(),
        **dict.fromkeys(("geometry_source", "geometry_method", "geometry_license"), pa.string()),
        "atomic_numbers": pa.list_(pa.uint8()),
        "positions": POSITIONS,
        "further_positions": pa.list_(POSITIONS),
        "n_conformers": pa.int32(),
        "conformer_energy": pa.float64(),
        "geometry_id": pa.string(),
    }
)


def make_text_row(source: str, text: Text) -> dict:
    """A row of `TEXT_SCHEMA`; the columns of the identity are null where it is still to be looked up."""
    return {
        "source": source,
        "record_id": text.record_id,
        "cid": text.cid,
        **(make_compound_row(text.compound) if text.compound else {}),
        "name": text.name,
        "text": text.text,
        "text_raw": text.text if text.raw is None else text.raw,
        "text_kind": text.kind,
        "text_source": text.source,
        "text_source_id": text.source_id,
        "text_url": text.url,
        "text_license_url": text.license_url,
        "anid": text.anid,
        "is_composed": text.is_composed,
    }


def make_compound_row(compound: Compound) -> dict:
    """The columns of `TEXT_SCHEMA` that tell the identity."""
    columns = {name: getattr(compound, name) for name in compound.__slots__}  # `asdict` would copy them, slowly
    return {**columns, "synonyms": list(compound.synonyms), "inchikey14": take_first_block(compound.inchikey)}
