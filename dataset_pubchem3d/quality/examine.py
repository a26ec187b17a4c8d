"""Examine the rows of a batch: count their values and find their faults."""

from collections import Counter, defaultdict

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from rdkit import Chem
from rdkit.rdBase import BlockLogs

from modeling_geomclip.molecule_checks_geomclip import LARGEST_ATOMIC_NUMBER, MoleculeError, check_distances

from ..chemistry.elements import IN_DICTIONARY, SYMBOLS, count_heavy_elements, list_atomic_numbers
from ..chemistry.identity import take_first_block
from ..chemistry.structure import find_scaffold
from .findings import Findings

GEOMETRY_LISTS = {"atomic_numbers": 1, "positions": 2, "further_positions": 3}  # and how deeply their lists are nested
REQUIRED = ("inchikey", "inchikey14", "inchi", "smiles", "n_heavy", "formal_charge", *GEOMETRY_LISTS, "n_conformers")
REQUIRED += ("geometry_source", "geometry_method", "geometry_id", "split", "split_group")
REQUIRED_WITH_TEXT = ("text", "text_kind", "text_source", "match_level")
COUNTED = ("text_kind", "text_source", "text_license_url", "geometry_method", "geometry_source")
COUNTED += ("geometry_license", "match_level")
SHAPE_FAULT = "atoms and positions differ in number"
NOT_FINITE_FAULT = "a coordinate is not finite"
DISTANCE_FAULT = "atoms coincide, are closer than any bond, or are not in Å"
ELEMENTS_FAULT = "the geometry and the SMILES have different heavy atoms"


def examine_batch(found: Findings, batch: pa.RecordBatch, ids: np.ndarray, split: str) -> None:
    """Count the rows of a batch and find their faults.

    Rows with a null in a required column are counted as rows and as faults, and left out of everything else.

    Args:
        found: findings to add to.
        batch: the rows.
        ids: (rows,) object, names of the rows in faults.
        split: split in the name of the file.
    """
    found.counts["rows"]["rows"] += batch.num_rows
    is_complete = _examine_nulls(found, batch, ids)
    batch, ids = batch.filter(pa.array(is_complete)), ids[is_complete]
    if not len(ids):
        return
    for name in set(COUNTED) & set(batch.schema.names):
        found.counts[name].update(str(value) for value in batch[name].to_pylist())
    _examine_identities(found, batch, ids, split)
    if "text" in batch.schema.names:
        _examine_texts(found, batch, ids)
    heavy_atoms = _count_heavy_atoms(batch)
    is_outside = _examine_structures(found, batch, ids, heavy_atoms) | _examine_atoms(found, batch, ids)
    found.counts["rows"]["outside_dictionary"] += int(is_outside.sum())
    _examine_conformers(found, batch, ids)


def _examine_nulls(found: Findings, batch: pa.RecordBatch, ids: np.ndarray) -> np.ndarray:
    """Return which rows have no null in a required column, (rows,) bool."""
    is_complete = np.ones(batch.num_rows, bool)
    for name in batch.schema.names:
        is_null = batch[name].is_null().to_numpy(zero_copy_only=False)
        if is_null.any():
            found.counts["nulls"][name] += int(is_null.sum())
        if name in REQUIRED + REQUIRED_WITH_TEXT:
            found.add_fault(f"{name} is null", ids[is_null])
            is_complete &= ~is_null
    return is_complete


def _examine_identities(found: Findings, batch: pa.RecordBatch, ids: np.ndarray, split: str) -> None:
    names = ("inchikey", "inchikey14", "split_group", "split")
    keys, blocks, groups, splits = (batch[name].to_pylist() for name in names)
    for name, values in (("inchikeys", keys), ("first_blocks", blocks), ("split_groups", groups)):
        found.add_hashes(name, (value.encode() for value in values))
    is_other = [take_first_block(key) != block for key, block in zip(keys, blocks)]
    found.add_fault("inchikey14 is not the first block of inchikey", ids[is_other])
    found.add_fault("split differs from the split of the file", ids[[value != split for value in splits]])


def _examine_texts(found: Findings, batch: pa.RecordBatch, ids: np.ndarray) -> None:
    texts = [text.strip() for text in batch["text"].to_pylist()]
    found.counts["words"].update(len(text.split()) for text in texts)
    found.add_fault("text is empty", ids[[not text for text in texts]])
    found.add_hashes("texts", (text.encode() for text in texts))
    described = zip(batch["inchikey"].to_pylist(), texts)
    found.add_hashes("described", (f"{key}\n{text}".encode() for key, text in described))


def _examine_structures(
    found: Findings, batch: pa.RecordBatch, ids: np.ndarray, heavy_atoms: list[Counter[int]]
) -> np.ndarray:
    """Return which SMILES have an element outside the dictionary, (rows,) bool.

    Args:
        heavy_atoms: heavy atoms of each row's geometry, by atomic number.
    """
    with BlockLogs():
        mols = [Chem.MolFromSmiles(smiles) for smiles in batch["smiles"].to_pylist()]
    found.add_fault("RDKit cannot read the SMILES", ids[[mol is None for mol in mols]])
    is_other = [mol is not None and count_heavy_elements(mol) != given for mol, given in zip(mols, heavy_atoms)]
    found.add_fault(ELEMENTS_FAULT, ids[is_other])
    mols = [mol or Chem.Mol() for mol in mols]
    found.counts["rows"]["multi_fragment"] += sum(len(Chem.GetMolFrags(mol)) > 1 for mol in mols)
    scaffolds = map(find_scaffold, mols)
    found.add_hashes("scaffolds", (scaffold.encode() for scaffold in scaffolds if scaffold))  # "" if it has no ring
    return np.array([not IN_DICTIONARY[list_atomic_numbers(mol)].all() for mol in mols], bool)


def _examine_atoms(found: Findings, batch: pa.RecordBatch, ids: np.ndarray) -> np.ndarray:
    """Return which geometries have an element outside the dictionary, (rows,) bool."""
    numbers, num_atoms = _read_numbers(batch), _measure_lengths(batch["atomic_numbers"])
    rows = np.repeat(np.arange(len(ids)), num_atoms)  # row of each atom
    num_heavy = np.bincount(rows[numbers > 1], minlength=len(ids))
    found.counts["atoms"].update(num_atoms.tolist())
    found.counts["heavy_atoms"].update(num_heavy.tolist())
    is_element = (numbers >= 1) & (numbers <= 118)
    found.add_fault("an atomic number is not one of 1 to 118", ids[np.unique(rows[~is_element])])
    is_miscounted = num_heavy != batch["n_heavy"].to_numpy()
    found.add_fault("n_heavy is not the geometry's number of heavy atoms", ids[is_miscounted])
    held = np.unique(np.stack([rows, numbers])[:, is_element], axis=1)[1]  # each element once per row
    for number, count in zip(*np.unique(held, return_counts=True)):
        found.counts["elements"][SYMBOLS[number]] += int(count)
    is_outside = ~IN_DICTIONARY[np.where(is_element, numbers, 0)]
    return np.bincount(rows[is_outside], minlength=len(ids)) > 0


def _examine_conformers(found: Findings, batch: pa.RecordBatch, ids: np.ndarray) -> None:
    """Check all conformers, and hash the first of each row."""
    num_atoms, num_further = _measure_lengths(batch["atomic_numbers"]), _measure_lengths(batch["further_positions"])
    found.counts["conformers"].update((1 + num_further).tolist())
    numbers = np.split(_read_numbers(batch).astype(np.uint8), np.cumsum(num_atoms)[:-1])
    rows = np.repeat(np.arange(len(ids)), num_further)  # row of each further conformer
    firsts = _split_positions(batch["positions"], num_atoms)
    further = _split_positions(batch["further_positions"].flatten(), num_atoms[rows])
    faulty: dict[str, set[int]] = defaultdict(set)
    for row, positions in (*enumerate(firsts), *zip(rows, further)):
        if fault := _find_conformer_fault(numbers[row], positions):
            faulty[fault].add(row)
    for fault, faulty_rows in faulty.items():
        found.add_fault(fault, ids[sorted(faulty_rows)])
    placed = (pair for pair in zip(numbers, firsts) if pair[1] is not None)
    found.add_hashes("geometries", (atoms.tobytes() + positions.tobytes() for atoms, positions in placed))


def _find_conformer_fault(numbers: np.ndarray, positions: np.ndarray | None) -> str | None:
    if positions is None:
        return SHAPE_FAULT
    if not np.isfinite(positions).all():
        return NOT_FINITE_FAULT
    if numbers.min() < 1 or numbers.max() > LARGEST_ATOMIC_NUMBER:
        return None  # already reported by `_examine_atoms`
    try:
        check_distances(numbers, positions)
    except MoleculeError:
        return DISTANCE_FAULT
    return None


def _count_heavy_atoms(batch: pa.RecordBatch) -> list[Counter[int]]:
    """Count the heavy atoms of each row's geometry by atomic number."""
    return [
        Counter(number for number in numbers or () if number is not None and number > 1)
        for numbers in batch["atomic_numbers"].to_pylist()
    ]


def _read_numbers(batch: pa.RecordBatch) -> np.ndarray:
    """Return the atomic numbers of all rows in sequence, (atoms,) int; 0 for null."""
    return pc.fill_null(batch["atomic_numbers"].flatten(), 0).to_numpy(zero_copy_only=False).astype(int)


def _measure_lengths(lists: pa.Array) -> np.ndarray:
    """Return the lengths of lists, (lists,) int; 0 for null."""
    return pc.fill_null(pc.list_value_length(lists), 0).to_numpy(zero_copy_only=False)


def _split_positions(conformers: pa.Array, num_atoms: np.ndarray) -> list[np.ndarray | None]:
    """Return the positions of each conformer, (atoms, 3) float32, Å, with NaN for a null coordinate.

    The result is None for a conformer without atoms, or without exactly one point of three coordinates per atom.
    """
    num_points, num_coordinates = _measure_lengths(conformers), _measure_lengths(conformers.flatten())
    has_shape = (num_points == num_atoms) & (num_atoms > 0)
    has_shape[np.repeat(np.arange(len(num_points)), num_points)[num_coordinates != 3]] = False
    coordinates = conformers.filter(pa.array(has_shape)).flatten().flatten().to_numpy(zero_copy_only=False)
    positions = coordinates.astype(np.float32).reshape(-1, 3)
    split = iter(np.split(positions, np.cumsum(num_points[has_shape])[:-1]))
    return [next(split) if fits else None for fits in has_shape]
