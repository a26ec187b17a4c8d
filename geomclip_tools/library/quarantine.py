"""List the entries that an addition refuses, in a file, as they come."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

from dataset_pubchem3d.records import RecordError

from .entries import STRUCTURES, Entry

LONGEST = 200  # characters of a molecule that are listed


class Quarantine:
    """A JSON Lines file with the place, name, molecule, reason and detail of each refused entry, as a context manager.

    Args:
        path: the file; a file of an earlier addition is replaced. If None, entries are only counted.
    Attributes:
        reasons: number of refused entries by reason.
    """

    def __init__(self, path: Path | None = None):
        self.path, self.reasons, self._file = path, Counter(), None

    def __enter__(self) -> "Quarantine":
        if self.path is not None:
            self.path.unlink(missing_ok=True)
        return self

    def __exit__(self, *exception) -> None:
        if self._file is not None:
            self._file.close()

    def add(self, entry: Entry, error: RecordError) -> None:
        """Count and list an entry."""
        self.reasons[error.reason] += 1
        if self.path is None:
            return
        if self._file is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            # Bytes that could not be decoded are written as escapes.
            self._file = self.path.open("w", encoding="utf-8", errors="backslashreplace")
        self._file.write(json.dumps(_describe(entry, error), ensure_ascii=False) + "\n")
        self._file.flush()


def _describe(entry: Entry, error: RecordError) -> dict[str, Any]:
    molecule = next((entry.row.cells[key] for key in STRUCTURES if key in entry.row.cells), "")
    found = {"name": entry.name, "molecule": molecule[:LONGEST], "reason": error.reason, "detail": error.detail}
    return {"place": entry.place, **{name: value for name, value in found.items() if value}}
