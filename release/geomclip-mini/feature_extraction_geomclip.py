"""Molecules -> padded atom ids, positions and atom mask."""

import os
import warnings
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from typing import Any, Literal

import numpy as np
import torch
from transformers import BatchFeature, FeatureExtractionMixin

from .molecule_checks_geomclip import ELEMENTS, MoleculeError
from .molecules_geomclip import read_molecule

# The lines of Uni-Mol's dictionary file, in its order, and the mask token that its code appends. A token's place is
# its id, to which the published weights are tied.
DICTIONARY = "[PAD] [CLS] [SEP] [UNK] C N O S H Cl F Br I Si P B Na K Al Ca Sn As Hg Fe Zn Cr Se Gd Au Li [MASK]"
VOCABULARY = DICTIONARY.split()
PAD_ID, CLS_ID, SEP_ID, UNK_ID = range(4)

# By atomic number; elements that the dictionary lacks are [UNK].
ID_OF_ATOMIC_NUMBER = np.array([UNK_ID, *(VOCABULARY.index(e) if e in VOCABULARY else UNK_ID for e in ELEMENTS)])

MOLECULES_AHEAD = 16  # that wait for each thread, so that a slow one does not stop the others


class GeomCLIPBatch(BatchFeature):
    """A batch whose `positions` keep at least float32, whatever dtype it is moved to.

    Half precision would move atoms by up to 0.03 Å at 10 Å from the centre.
    """

    def to(self, *args: Any, **kwargs: Any) -> "GeomCLIPBatch":
        """As for every `BatchFeature`, in place, except for `positions`."""
        positions = self.data.get("positions")
        super().to(*args, **kwargs)
        if torch.is_tensor(positions) and torch.finfo(self.data["positions"].dtype).bits < 32:
            self.data["positions"] = positions.to(self.data["positions"].device, torch.float32)
        return self


class GeomCLIPFeatureExtractor(FeatureExtractionMixin):
    """Turns molecules into the geometry tower's inputs.

    Args:
        remove_hydrogens: drop hydrogens, except from molecules that have nothing else.
        max_atoms: the most atoms that a molecule may have, after hydrogens were removed.
        conformer_seed: of the conformers made for molecules that come without coordinates; at least 0.
    """

    model_input_names = ["atom_ids", "positions", "atom_mask"]

    def __init__(
        self, remove_hydrogens: bool = True, max_atoms: int = 256, conformer_seed: int = 42, **kwargs: Any
    ) -> None:
        if "embedding_seed" in kwargs:
            raise ValueError("embedding_seed is now conformer_seed; rename it, also in (pre)processor_config.json")
        super().__init__(**kwargs)
        if max_atoms < 1:
            raise ValueError(f"max_atoms is {max_atoms}; it must be at least 1")
        if not 0 <= conformer_seed < 2**31:  # RDKit takes a negative one for a request to be random
            raise ValueError(f"conformer_seed is {conformer_seed}; it must lie in [0, 2**31)")
        self.remove_hydrogens = remove_hydrogens
        self.max_atoms = max_atoms
        self.conformer_seed = conformer_seed

    def __call__(
        self,
        molecules: Any,
        return_tensors: str | None = None,
        errors: Literal["raise", "report"] = "raise",
    ) -> GeomCLIPBatch:
        """A batch of molecules, each row [CLS], its centred atoms, [SEP] and padding.

        Args:
            molecules: one molecule, or an iterable of them, in any of the forms that `read_molecule` takes.
            return_tensors: "pt" for torch; NumPy arrays otherwise.
            errors: "raise" stops at the first molecule that cannot be used. "report" leaves such molecules out and
                adds to the batch `kept` (rows,) int64, the places of the rows in `molecules`, and `failures`, a list
                of {"index", "molecule" (shortened), "reason"}; if all fail, the batch has no rows. Both are for the
                caller: pop them before the batch goes to the model.
        Returns:
            atom_ids: (molecules, atoms + 2) int64, places in Uni-Mol's dictionary.
            positions: (molecules, atoms + 2, 3) float32, Å, about each molecule's centroid; 0 but for atoms.
            atom_mask: (molecules, atoms + 2) bool, True on atoms only.
        Raises:
            MoleculeError: naming the molecule, its place, the rule it breaks and the remedy.
        """
        records, failures = self.read(molecules, errors)
        batch = self.pad(records, return_tensors)
        if errors == "report":
            batch["kept"] = np.array([record["index"] for record in records], dtype=np.int64)
            batch["failures"] = failures
            batch = GeomCLIPBatch(batch.data, tensor_type=return_tensors, skip_tensor_conversion=["failures"])
        return batch

    def read(
        self, molecules: Any, errors: Literal["raise", "report"] = "raise"
    ) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """What `__call__` puts into its rows, before they are padded; it may itself be given as molecules.

        Conformers are made in as many threads as torch uses (`torch.set_num_threads`).

        Args:
            molecules, errors: as for `__call__`.
        Returns:
            {"index", "atomic_numbers" (atoms,), "positions" (atoms, 3), Å} of each molecule that can be used, and
            {"index", "molecule" (shortened), "reason"} of each that cannot.
        Raises:
            MoleculeError: as for `__call__`.
        """
        if errors not in ("raise", "report"):
            raise ValueError(f"errors is {errors!r}; use 'raise' or 'report'")
        settings = {"remove_hydrogens": self.remove_hydrogens, "max_atoms": self.max_atoms}
        read = partial(read_molecule, seed=self.conformer_seed, **settings)
        records, failures = [], []
        with closing(_read_ahead(read, list_molecules(molecules), torch.get_num_threads())) as readings:
            for index, reading in enumerate(readings):
                try:
                    records.append({"index": index, **reading()})
                except MoleculeError as error:
                    error.index = index
                    if errors == "raise":
                        raise
                    failures.append({"index": index, "molecule": error.value, "reason": error.reason})
        _warn_of_unknown(records)
        return records, failures

    def pad(
        self,
        records: Sequence[Mapping[str, Any]],
        return_tensors: str | None = None,
        padding: bool | str = True,
        max_length: int | None = None,
        pad_to_multiple_of: int | None = None,
    ) -> GeomCLIPBatch:
        """A batch as that of `__call__`, of what `read` or `__call__` gave before; for `DataCollatorWithPadding` too.

        Args:
            records: what `read` gave; or rows of batches of `__call__`, padded or not, as a dataset that was mapped
                with it holds them. Further columns of such rows, such as labels, become tensors.
            return_tensors: as for `__call__`.
            padding, max_length: as tokenizers take them, and without effect: molecules are padded to the largest.
            pad_to_multiple_of: what the rows' length is to be a multiple of.
        Raises:
            ValueError: the rows are those of a dataset that the feature extractor was not mapped over.
        """
        pad = _pad_rows if records and "atom_ids" in records[0] else _pad_records
        return GeomCLIPBatch(pad(records, pad_to_multiple_of or 1), tensor_type=return_tensors)


def list_molecules(molecules: Any) -> Any:
    """The molecules as something that has a length: a single one in a list, an iterator listed."""
    if isinstance(molecules, (str, bytes, os.PathLike, Mapping)) or hasattr(molecules, "get_atomic_numbers"):
        return [molecules]
    if not hasattr(molecules, "__len__"):
        try:
            molecules = list(molecules)
        except TypeError:  # not iterable, as an RDKit Mol
            return [molecules]
    if len(molecules) == 0:
        raise MoleculeError("the list of molecules is empty", "pass at least one")
    return molecules


def _read_ahead(read: Callable[[Any], Any], molecules: Iterable[Any], num_threads: int) -> Iterator[Callable[[], Any]]:
    """Calls that return, or raise, what `read` does of each molecule in turn; the threads are some molecules ahead.

    RDKit lets go of Python's lock while it embeds and minimises, so that threads share the work. Atomic numbers with
    positions are no work that is worth handing over.
    """
    pool, ahead = ThreadPoolExecutor(num_threads), deque()
    try:
        for molecule in molecules:
            is_read_here = isinstance(molecule, Mapping)
            ahead.append(partial(read, molecule) if is_read_here else pool.submit(read, molecule).result)
            if len(ahead) > MOLECULES_AHEAD * num_threads:
                yield ahead.popleft()
        yield from ahead
    finally:
        pool.shutdown(cancel_futures=True)


def _empty_batch(counts: np.ndarray, multiple: int) -> dict[str, np.ndarray]:
    """Padding alone; the longest of `counts` rows, and no more than make up the multiple, fit in."""
    width = -(-counts.max(initial=2) // multiple) * multiple
    return {
        "atom_ids": np.full((len(counts), width), PAD_ID, dtype=np.int64),
        "positions": np.zeros((len(counts), width, 3), dtype=np.float32),
        "atom_mask": np.zeros((len(counts), width), dtype=bool),
    }


def _pad_rows(rows: Sequence[Mapping[str, Any]], multiple: int) -> dict[str, Any]:
    counts = np.array([np.count_nonzero(np.asarray(row["atom_ids"]) != PAD_ID) for row in rows], dtype=np.int64)
    batch = _empty_batch(counts, multiple)
    for index, (row, count) in enumerate(zip(rows, counts)):
        if np.ndim(row["atom_ids"]) != 1:
            raise ValueError(
                f"row {index} is a batch, its atom_ids of shape {tuple(np.shape(row['atom_ids']))}; map with "
                "batched=True, or take the batch's first row"
            )
        for name, values in batch.items():
            values[index, :count] = row[name][:count]
    return batch | {name: [row[name] for row in rows] for name in rows[0] if name not in batch}


def _pad_records(records: Sequence[Mapping[str, Any]], multiple: int) -> dict[str, np.ndarray]:
    """All atoms of the batch are one long array until they are put in their places."""
    for index, record in enumerate(records):
        if {"atomic_numbers", "positions"} != record.keys() - {"index"}:
            raise ValueError(
                f"row {index} has {', '.join(record)}: that is neither what `read` gave nor a row of what the feature "
                "extractor or the processor gave; map it over the dataset first, or collate by GeomCLIPDataCollator"
            )
    counts = np.array([len(record["atomic_numbers"]) for record in records], dtype=np.int64)
    batch = _empty_batch(counts + 2, multiple)
    if not records:
        return batch

    numbers = np.concatenate([record["atomic_numbers"] for record in records])
    positions = np.concatenate([record["positions"] for record in records])
    ids = ID_OF_ATOMIC_NUMBER[numbers]

    starts = np.cumsum(counts) - counts
    rows = np.repeat(np.arange(len(records)), counts)
    columns = np.arange(len(numbers)) - starts[rows] + 1
    centroids = np.add.reduceat(positions, starts) / counts[:, None]
    batch["atom_ids"][rows, columns] = ids
    batch["atom_ids"][:, 0] = CLS_ID
    batch["atom_ids"][np.arange(len(records)), counts + 1] = SEP_ID
    batch["positions"][rows, columns] = positions - centroids[rows]
    batch["atom_mask"][rows, columns] = True
    return batch


def _warn_of_unknown(records: list[dict[str, Any]]) -> None:
    if not records:
        return
    numbers = np.concatenate([record["atomic_numbers"] for record in records])
    numbers = numbers[ID_OF_ATOMIC_NUMBER[numbers] == UNK_ID]
    if len(numbers):
        counted = ", ".join(f"{ELEMENTS[number - 1]} {count}" for number, count in sorted(Counter(numbers).items()))
        warnings.warn(f"atoms of elements outside the dictionary became [UNK]: {counted}", stacklevel=4)
