"""Add the entries of a library to a table, window by window.

While the rows of one window are embedded and written, worker processes already make the conformers of the next. The
memory needed is that of two windows, however large the library is.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future
from itertools import islice
from typing import Any, NamedTuple

from tqdm.auto import tqdm

from dataset_pubchem3d.records import RecordError

from .conformers import add_conformer, identify_entries
from .encoder import Encoder
from .entries import Entry
from .processes import ProcessEnded, Processes
from .quarantine import Quarantine
from .rows import KEY, unite
from .store import MoleculeStore

CHUNK = 16  # entries to identify in one task
BATCHES_BETWEEN_UPKEEP = 50  # small files slow down searches
ENDED, REMOVED = "the processing of the molecule was ended", "the molecule was removed from the index meanwhile"


def split_batches(things: Iterable[Any], size: int) -> Iterator[tuple[Any, ...]]:
    """Yield things in batches of `size`; the last may be smaller."""
    remaining = iter(things)
    while batch := tuple(islice(remaining, size)):
        yield batch


class Molecule(NamedTuple):
    """Entries of one molecule, the union of their rows, and a row with a geometry to come if the molecule is new."""

    entries: list[Entry]
    row: dict[str, Any]
    making: Future | None = None


class Addition:
    """An addition to a table.

    Args:
        store: the table.
        encoder: its model.
        processes: where molecules are read and conformers made.
        quarantine: where refused entries are listed.
        bar: progress bar, in entries.
        texts: whether to keep and embed the texts of entries.
    Attributes:
        counts: entries by what became of them: `added` as a new molecule, `united` with one, `skipped` because the
            molecule already had this source, or `refused`.
    """

    def __init__(
        self,
        store: MoleculeStore,
        encoder: Encoder,
        processes: Processes,
        quarantine: Quarantine,
        bar: tqdm,
        texts: bool = True,
    ):
        self._store, self._encoder, self._processes = store, encoder, processes
        self._quarantine, self._bar, self._texts = quarantine, bar, texts
        self.counts: Counter[str] = Counter(added=0, united=0, skipped=0, refused=0)

    def run(self, entries: Iterable[Entry], batch_size: int) -> None:
        """Add entries in windows of `batch_size`; each is written in one commit."""
        ahead: list[Molecule] = []
        for number, window in enumerate(split_batches(entries, batch_size), start=1):
            ahead, ready = self._start(window), ahead
            self._finish(ready)
            if number % BATCHES_BETWEEN_UPKEEP == 0:
                self._store.optimize()
        self._finish(ahead)

    def _start(self, window: Sequence[Entry]) -> list[Molecule]:
        """Identify the entries of a window and start to make the conformers of new molecules, largest first."""
        rows = [(entry, row) for entry, row in self._identify(window) if self._is_usable(entry, row)]
        found = self._store.find([row[KEY] for _, row in rows], (KEY, "sources", "text")).to_pylist()
        there = {row[KEY]: row for row in found}
        groups: dict[str, list[tuple[Entry, dict[str, Any]]]] = {}
        for entry, row in rows:
            if row[KEY] in there and entry.place in there[row[KEY]]["sources"]:
                self._count("skipped")
            else:
                groups.setdefault(row[KEY], []).append((entry, row))
        molecules = [self._start_molecule(*zip(*group), there.get(key)) for key, group in groups.items()]
        molecules.sort(key=lambda molecule: -molecule.row["heavy_atoms"])
        return [self._start_making(molecule) for molecule in molecules]

    def _is_usable(self, entry: Entry, row: dict[str, Any] | RecordError) -> bool:
        if isinstance(row, RecordError):
            self._refuse([entry], row)
        return not isinstance(row, RecordError)

    def _identify(self, window: Sequence[Entry]) -> Iterator[tuple[Entry, dict[str, Any] | RecordError]]:
        chunks = [*split_batches(window, CHUNK)]
        futures = [self._processes.submit(identify_entries, chunk, self._encoder.reading) for chunk in chunks]
        for chunk, future in zip(chunks, futures):
            try:
                yield from zip(chunk, future.result())
            except ProcessEnded as error:
                if len(chunk) == 1:
                    yield chunk[0], RecordError(chunk[0].place, ENDED, str(error))
                else:  # find out which one it was
                    for entry in chunk:
                        yield from self._identify([entry])

    def _start_molecule(
        self, entries: tuple[Entry, ...], rows: tuple[dict[str, Any], ...], there: dict[str, Any] | None
    ) -> Molecule:
        """Unite the rows of a molecule; a row with coordinates goes before those without."""
        row, *others = sorted(rows, key=lambda row: "positions" not in row)
        for other in others:
            row = unite(row, other)
        if not self._texts:
            row["text"] = None
        if there is not None:  # the table has its geometry, and perhaps a text
            row = {name: cell for name, cell in row.items() if name not in ("atomic_numbers", "positions")}
            row |= {"is_there": True, "text": row["text"] if there["text"] is None else None}
        return Molecule([*entries], row)

    def _start_making(self, molecule: Molecule) -> Molecule:
        if "positions" in molecule.row or "is_there" in molecule.row:
            return molecule
        return molecule._replace(making=self._processes.submit(add_conformer, molecule.row, self._encoder.making))

    def _finish(self, molecules: Sequence[Molecule]) -> None:
        """Wait for the conformers of a window, embed its rows, and write them."""
        kept: dict[str, Molecule] = {}
        for molecule in molecules:
            try:
                row = molecule.making.result() if molecule.making else molecule.row
                kept[row[KEY]] = molecule._replace(row=row)
            except RecordError as error:
                self._refuse(molecule.entries, error)
            except ProcessEnded as error:
                self._refuse(molecule.entries, RecordError(molecule.entries[0].place, ENDED, str(error)))
        rows = [molecule.row for molecule in kept.values()]
        if not rows:
            return
        self._encoder.embed_rows(rows)
        written = self._store.write(rows)
        for key, molecule in kept.items():
            if key in written.lost:
                self._refuse(molecule.entries, RecordError(molecule.entries[0].place, REMOVED, "add it again"))
            else:
                self._count("added", key in written.added)
                self._count("united", len(molecule.entries) - (key in written.added))

    def _refuse(self, entries: Sequence[Entry], error: RecordError) -> None:
        for entry in entries:
            self._quarantine.add(entry, error)
        self._count("refused", len(entries))

    def _count(self, what: str, number: int = 1) -> None:
        self.counts[what] += number
        self._bar.update(number)
