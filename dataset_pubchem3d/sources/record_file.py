"""Keep the records of some CIDs in a JSON array, to which records of further CIDs can be added."""

import re
from collections.abc import Iterable, Iterator
from heapq import merge
from pathlib import Path

import numpy as np

from ..fetch.download import publish
from .json_array import split_array

CID = re.compile(rb'\{\s*"cid"\s*:\s*(\d+)')
ABSENT = re.compile(rb'\{\n        "cid": (\d+)\n    \}')  # in a part, instead of a record


class RecordFile:
    """A JSON array of records, ascending by their CIDs, without those CIDs that turned out to have no record.

    `path` is always complete and valid. New entries go to `<path>.part`, which is merged into `path` when all are there
    or, after an interruption, when the file is used again. `<path>.cids` lists the CIDs of all entries, with or without
    a record. Delete `path` to start anew.
    """

    def __init__(self, path: Path):
        self.path, self.part, self.listed = path, Path(f"{path}.part"), Path(f"{path}.cids")

    def list_missing(self, cids: np.ndarray) -> np.ndarray:
        """Return those of the CIDs (int64) that have no entry yet, ascending.

        Raises:
            ValueError: `path` is damaged.
        """
        if self.part.exists():
            self._merge_part()
        return np.setdiff1d(cids, self._read_listed())

    def extend(self, entries: Iterable[tuple[int, bytes | None]]) -> None:
        """Add a record, or None if there is none, for each of some CIDs, ascending, that are missing.

        Raises:
            ValueError: `path` is damaged.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        texts = (_make_absent(cid) if record is None else record for cid, record in entries)
        _write_array(self.part, texts)
        self._merge_part()

    def _merge_part(self) -> None:
        """Merge the part, which may be truncated, into `path`. After an interruption, this can be done again."""
        if not self.path.exists():  # deleted to start anew: what was listed is no longer there
            self.listed.unlink(missing_ok=True)
        part, merged, listed = list(_list_cids(self.part)), Path(f"{self.path}.new.part"), Path(f"{self.listed}.part")
        cids = np.union1d(self._read_listed(), np.array(part, np.int64))
        _write_array(merged, self._merge_records())
        publish(merged, self.path)
        listed.write_text("".join(f"{cid}\n" for cid in cids))
        publish(listed, self.listed)
        self.part.unlink()

    def _merge_records(self) -> Iterator[bytes]:
        old = _read_records(self.path) if self.path.exists() else ()
        new = (record for record in _read_part(self.part) if not ABSENT.fullmatch(record))
        last = None
        for record in merge(old, new, key=_read_cid):
            if (cid := _read_cid(record)) != last:  # the part may have been merged before
                yield record
            last = cid

    def _read_listed(self) -> np.ndarray:
        is_valid = self.path.exists() and self.listed.exists()
        return np.array(self.listed.read_text().split() if is_valid else [], np.int64)


def _read_cid(record: bytes) -> int:
    return int(CID.match(record)[1])


def _make_absent(cid: int) -> bytes:
    return b'{\n        "cid": %d\n    }' % cid


def _list_cids(part: Path) -> Iterator[int]:
    return map(_read_cid, _read_part(part))


def _write_array(path: Path, records: Iterable[bytes]) -> None:
    """Write an array in the layout of `json.dumps(..., indent=4)`; a kill loses at most the record being written."""
    with path.open("wb") as file:
        opening = b"[\n    "
        for record in records:
            file.write(opening + record)
            file.flush()
            opening = b",\n    "
        file.write(b"[]" if opening.startswith(b"[") else b"\n]")


def _read_records(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        try:
            yield from split_array(file)
        except ValueError as error:
            raise ValueError(f"{path}: truncated or broken ({error}); delete it and fetch again") from error


def _read_part(path: Path) -> Iterator[bytes]:
    """Yield the complete records of an array that may end anywhere."""
    with path.open("rb") as file:
        try:
            yield from split_array(file)
        except ValueError:  # an interruption; what is lost was not noted and is fetched again
            return
