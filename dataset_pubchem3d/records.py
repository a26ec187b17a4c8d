"""The records that sources yield and stages pass on: texts, compounds, geometries, and errors of refused records."""

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

PARTICULARS = re.compile(r"'[^']*'|\(.*\)|\b\d[\d.]*")  # the parts of a rule that differ from molecule to molecule
POSITIONS = pa.list_(pa.list_(pa.float32(), 3))


class RecordError(ValueError):
    """A record that cannot be used. The build puts it into the quarantine and continues.

    Attributes:
        record_id: id of the record in its source.
        reason: the fault, in the same words for all records that have it, so that reasons can be counted.
        detail: particulars of this record.
    """

    def __init__(self, record_id: str, reason: str, detail: str = ""):
        super().__init__(f"{record_id}: {reason}" + (f" ({detail})" if detail else ""))
        self.record_id, self.reason, self.detail = record_id, reason, detail

    @classmethod
    def of_molecule(cls, record_id: str, error: "MoleculeError") -> "RecordError":
        """Make the error of a molecule that `modeling_geomclip` refuses; particulars move from the rule to `detail`."""
        reason = PARTICULARS.sub("…", error.rule)
        told = "; ".join(part for part in (error.value, error.remedy) if part) if reason == error.rule else str(error)
        return cls(record_id, reason, told)

    def __reduce__(self):  # makes the error picklable, so that a worker process can return it
        return RecordError, (self.record_id, self.reason, self.detail)


@dataclass(frozen=True, slots=True)
class Compound:
    """A described molecule. Its identifiers come from its record, never from a geometry.

    Attributes:
        title: preferred name; "" if there is none.
        synonyms: other names.
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
        """Compute the identifiers from a SMILES with RDKit.

        Args:
            names: `cid`, `title` and `synonyms`, if known.
        Raises:
            RecordError: RDKit cannot read the SMILES or cannot compute an InChI.
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
    """A description of one molecule, identified by `compound` or, if that is still to be looked up, by `cid`.

    Attributes:
        text: text as the source gives it, with paragraphs joined by line breaks.
        name: name of the molecule in the source.
        raw: what the text was made from, if it is not the source's own text.
        kind: kind of text; None if it is to be determined from the text.
        is_composed: whether we made the text from facts. The names in it are content and are not replaced.
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
    """Identifiers by which a geometry can be joined. `inchikey` may be a first block alone."""

    cid: int | None = None
    inchikey: str | None = None


@dataclass(frozen=True, slots=True)
class Geometry:
    """The conformers of one molecule in one atom order, with the hydrogens that the source gives.

    Attributes:
        atomic_numbers: (atoms,) uint8.
        positions: (conformers, atoms, 3) float32, Å; the conformer of lowest energy comes first.
        energies: (conformers,) float64, eV, ascending; None if the source does not give them.
        method, license: of this geometry; None if they are those of the source.
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
    """Check a geometry and return it with the correct types and shapes and its conformers sorted by energy.

    Args:
        atomic_numbers: (atoms,).
        positions: (atoms, 3) or (conformers, atoms, 3), Å.
        energies: (conformers,), eV, in any order.
        rest: `method` and `license` of this record.
    Raises:
        RecordError: there are no atoms, shapes do not match, an atomic number is not one of 1 to 118, a coordinate or
            an energy is not finite, or distances between atoms are impossible (see
            `modeling_geomclip.molecule_checks_geomclip.check_distances`).
    """
    # Imported here because it loads transformers, except in workers.
    from modeling_geomclip.molecule_checks_geomclip import MoleculeError, check_distances

    with np.errstate(over="ignore"):  # values too large for float32 become infinite and are refused below
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
            raise RecordError(record_id, "energies are not one finite number per conformer")
        order = np.argsort(energies, kind="stable")
        energies, positions = energies[order], positions[order]
    return Geometry(record_id, atomic_numbers.astype(np.uint8), positions, energies, **rest)


def make_geometry_columns(geometries: list[Geometry], num_conformers: int) -> dict[str, pa.Array]:
    """Return the columns of `schema.py` that come from geometries, with one row per geometry.

    Args:
        num_conformers: maximum number of conformers to keep, lowest energy first; `n_conformers` counts all of them.
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
    """Return a row of `TEXT_SCHEMA`. The identity columns are missing if the compound is still to be looked up."""
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
    """Return the identity columns of `TEXT_SCHEMA`."""
    columns = {name: getattr(compound, name) for name in compound.__slots__}  # `asdict` makes slow deep copies
    return {**columns, "synonyms": list(compound.synonyms), "inchikey14": take_first_block(compound.inchikey)}
