"""Feature extractor: turn molecules into padded atom ids, positions and an atom mask."""

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

# The lines of Uni-Mol's dictionary file, in order, and the mask token that its code appends. The index of a token is
# its id, and the published weights depend on it.
DICTIONARY = "[PAD] [CLS] [SEP] [UNK] C N O S H Cl F Br I Si P B Na K Al Ca Sn As Hg Fe Zn Cr Se Gd Au Li [MASK]"
VOCABULARY = DICTIONARY.split()
PAD_ID, CLS_ID, SEP_ID, UNK_ID = range(4)

# Ids by atomic number; elements that the dictionary lacks are [UNK].
ID_OF_ATOMIC_NUMBER = np.array([UNK_ID, *(VOCABULARY.index(e) if e in VOCABULARY else UNK_ID for e in ELEMENTS)])

MOLECULES_AHEAD = 16  # queued per thread, so that a slow molecule does not block the others


class GeomCLIPBatch(BatchFeature):
    """A batch whose `positions` stay in at least float32, whatever dtype it is cast to.

    Half precision would shift atoms 10 Å from the centre by up to 0.03 Å.
    """

    def to(self, *args: Any, **kwargs: Any) -> "GeomCLIPBatch":
        """Move or cast the batch in place, but keep `positions` in at least float32."""
        positions = self.data.get("positions")
        super().to(*args, **kwargs)
        if torch.is_tensor(positions) and torch.finfo(self.data["positions"].dtype).bits < 32:
            self.data["positions"] = positions.to(self.data["positions"].device, torch.float32)
        return self


class GeomCLIPFeatureExtractor(FeatureExtractionMixin):
    """Turn molecules into inputs of the geometry tower.

    Args:
        remove_hydrogens: drop hydrogens, except from molecules that consist of hydrogen only.
        max_atoms: largest number of atoms of a molecule, counted after hydrogens are removed.
        conformer_seed: seed of the conformers made for molecules without coordinates; at least 0.
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
        if not 0 <= conformer_seed < 2**31:  # RDKit draws a random seed for a negative one
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
        """Build a batch of molecules; each row is [CLS], the centred atoms, [SEP] and padding.

        Args:
            molecules: one molecule or an iterable of them, in any of the forms that `read_molecule` takes.
            return_tensors: "pt" for torch tensors; otherwise NumPy arrays.
            errors: "raise" stops at the first molecule that cannot be used. "report" skips such molecules and adds two
                entries to the batch: `kept` (rows,) int64, the index of each row in `molecules`, and `failures`, a list
                of {"index", "molecule" (shortened), "reason"}. If all molecules fail, the batch has no rows. Pop both
                entries before you pass the batch to the model.
        Returns:
            atom_ids: (molecules, atoms + 2) int64, indices into Uni-Mol's dictionary.
            positions: (molecules, atoms + 2, 3) float32, Å, relative to each molecule's centroid; 0 on other rows than
                atoms.
            atom_mask: (molecules, atoms + 2) bool, True on atoms only.
        Raises:
            MoleculeError: a molecule cannot be used. Names the molecule, its index, the rule and the remedy.
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
        """Read molecules into records, which `pad` turns into a batch. Records are accepted as molecules, too.

        Conformers are made in as many threads as torch uses (`torch.set_num_threads`).

        Args:
            molecules, errors: as for `__call__`.
        Returns:
            {"index", "atomic_numbers" (atoms,), "positions" (atoms, 3), Å} for each molecule that can be used, and
            {"index", "molecule" (shortened), "reason"} for each that cannot.
        Raises:
            MoleculeError: as for `__call__`.
            ValueError: `errors` is another word.
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
        """Pad records from `read`, or rows from `__call__`, to a batch. `DataCollatorWithPadding` calls this method.

        Args:
            records: records from `read`, or rows from `__call__`, padded or not, as in a dataset that was mapped with
                it. Other columns of such rows, for example labels, become tensors.
            return_tensors: as for `__call__`.
            padding, max_length: ignored, and accepted because tokenizers take them; molecules are padded to the largest
                of the batch.
            pad_to_multiple_of: pad the rows to a multiple of this length.
        Raises:
            ValueError: the rows come from a dataset that was not mapped with the feature extractor.
        """
        pad = _pad_rows if records and "atom_ids" in records[0] else _pad_records
        return GeomCLIPBatch(pad(records, pad_to_multiple_of or 1), tensor_type=return_tensors)


def list_molecules(molecules: Any) -> Any:
    """Return the molecules as a collection with a length; a single molecule or an iterator becomes a list.

    Raises:
        MoleculeError: there are no molecules.
    """
    if isinstance(molecules, (str, bytes, os.PathLike, Mapping)) or hasattr(molecules, "get_atomic_numbers"):
        return [molecules]
    if not hasattr(molecules, "__len__"):
        try:
            molecules = list(molecules)
        except TypeError:  # not iterable, such as an RDKit Mol
            return [molecules]
    if len(molecules) == 0:
        raise MoleculeError("the list of molecules is empty", "pass at least one")
    return molecules


def _read_ahead(read: Callable[[Any], Any], molecules: Iterable[Any], num_threads: int) -> Iterator[Callable[[], Any]]:
    """Yield a function for each molecule in turn that returns, or raises, the result of `read`.

    Threads read some molecules ahead. RDKit releases the GIL while it embeds and minimises, so threads share this work.
    Molecules given as atomic numbers and positions are read by the caller, because they are too little work for a
    thread.
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
    """Return a batch of padding; its width is the largest of `counts`, rounded up to the multiple."""
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
                f"row {index} is a batch: its atom_ids have shape {tuple(np.shape(row['atom_ids']))}; map with "
                "batched=True, or take the first row of the batch"
            )
        for name, values in batch.items():
            values[index, :count] = row[name][:count]
    return batch | {name: [row[name] for row in rows] for name in rows[0] if name not in batch}


def _pad_records(records: Sequence[Mapping[str, Any]], multiple: int) -> dict[str, np.ndarray]:
    """Pad records; the atoms of the batch are concatenated, then assigned to their rows all at once."""
    for index, record in enumerate(records):
        if {"atomic_numbers", "positions"} != record.keys() - {"index"}:
            raise ValueError(
                f"row {index} has the columns {', '.join(record)}: it is neither a record from `read` nor a row from "
                "the feature extractor or processor; map the dataset with one of these first, or collate with "
                "GeomCLIPDataCollator"
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
