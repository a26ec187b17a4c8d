"""Find the record of a CID in a shard of PubChemQC on a server, by interpolation on the ascending CIDs.

Format of a shard: a JSON array of objects. Each opens with a line of four spaces and a brace, closes with such a line,
and begins with its `cid`. Everything within it is indented more, and JSON strings have no raw line breaks, so these
lines are found without parsing.

Source: I. F. D. Oliveira, R. H. C. Takahashi, ACM Trans. Math. Softw. 47, 5 (2020): interpolation projected to where it
cannot need many more steps than bisection.
"""

import re
from bisect import bisect_left

from ..fetch.remote_file import BLOCK, RemoteFile
from .json_array import CLOSING_LINE, LONGEST

OPENING = re.compile(rb'\n    \{(?:\r?\n        "cid": (\d{1,18})(?=[,\r\n]))?')  # of a record
HEADER = 48  # bytes in which the opening of a record with its CID is complete
BRACE = len(b"\n    ")  # bytes of an opening before the brace
WINDOW = 2 * BLOCK  # bytes of a probe
SPARE = 4  # probes that a search may need more than bisection


class RecordSearch:
    """Search of one shard. Openings that were seen narrow the later searches.

    Args:
        file: shard.
        first: lower bound of its CIDs.
        last: upper bound of its CIDs.
    Raises:
        FetchError: see `RemoteFile`.
        ValueError: the file does not have the format of the mirror's shards.
    """

    def __init__(self, file: RemoteFile, first: int, last: int):
        self.file = file
        if not re.match(rb"\[(\r?\n    \{\r?\n|\]|\r?\n\])", file.read(0, HEADER)):
            self._refuse("it does not begin with a record on lines of its own")
        self.cids, self.offsets = [first - 1, last + 1], [0, file.size]  # of the openings seen, and the two ends

    def find(self, cid: int) -> bytes | None:
        """Return the record of a CID, from brace to brace, or None if the shard lacks it.

        Args:
            cid: CID within the bounds. Ascending CIDs need the fewest bytes.
        Raises:
            FetchError: see `RemoteFile`.
            ValueError: the file does not have the format of the mirror's shards, or its CIDs do not ascend.
        """
        above = bisect_left(self.cids, cid)
        if self.cids[above] == cid:
            return self._read_record(self.offsets[above])
        below_cid, above_cid = self.cids[above - 1], self.cids[above]
        low, high = self.offsets[above - 1] + 1, self.offsets[above]  # its opening, if any, is in [low, high)
        widest = WINDOW << (((high - low) // WINDOW).bit_length() + SPARE)  # of what remains after the next probe
        while low < high:
            widest = max(widest // 2, WINDOW)
            expected = low + int((cid - below_cid) / (above_cid - below_cid) * (high - low))
            cids, offsets, start, end = self._probe(low, high, expected, widest)
            place = bisect_left(cids, cid)
            if place < len(cids) and cids[place] == cid:
                return self._read_record(offsets[place])
            if place == 0:
                high, above_cid = start, cids[0] if cids else above_cid
            elif place == len(cids):
                low, below_cid = end, cids[-1]
            else:
                return None
        return None

    def _probe(self, low: int, high: int, expected: int, widest: int) -> tuple[list[int], list[int], int, int]:
        """List the openings at about the byte `expected`, or so near that at most `widest` bytes remain to search.

        Returns:
            CIDs and offsets of all records that open between the start and the end of the probe, its start and its end.
        """
        if high - low <= WINDOW:
            start = low
        else:
            near = min(max(expected, high - widest), low + widest)
            start = min(max((near - BLOCK // 2) // BLOCK * BLOCK, low), high - 1)
        blocks = 2 if high - low <= WINDOW or near == expected else 1  # a projected probe rarely hits the record
        cids, offsets, end = self._list_openings(start, (start // BLOCK + blocks) * BLOCK, high)
        self._remember(cids, offsets)
        return cids, offsets, start, end

    def _list_openings(self, start: int, stop: int, high: int) -> tuple[list[int], list[int], int]:
        """List CIDs and offsets of the records that open between `start` and the returned end, at most `high`.

        The end is before `stop`, or where there is at least one opening, unless there is none before `high`.
        """
        while True:
            window = self.file.read(start, stop)
            end = high if stop >= self.file.size else min(stop - HEADER, high)
            found = [opening for opening in OPENING.finditer(window) if start + opening.start() < end]
            if found or end >= high:
                break
            if stop - start > LONGEST:
                self._refuse(f"no record begins between bytes {start} and {stop}")
            stop = _extend(start, stop)
        if not all(opening[1] for opening in found):
            self._refuse(f"a record near byte {start} does not begin with its CID")
        return [int(opening[1]) for opening in found], [start + opening.start() for opening in found], end

    def _remember(self, cids: list[int], offsets: list[int]) -> None:
        for cid, offset in zip(cids, offsets):
            place = bisect_left(self.cids, cid)
            if self.cids[place : place + 1] == [cid] and self.offsets[place] == offset:
                continue
            if not 0 < place < len(self.cids) or not self.offsets[place - 1] < offset < self.offsets[place]:
                self._refuse(
                    f"CID {cid} at byte {offset} is out of order or not in {self.cids[0] + 1}-{self.cids[-1] - 1}"
                )
            self.cids.insert(place, cid)
            self.offsets.insert(place, offset)

    def _read_record(self, offset: int) -> bytes:
        """Read the record that opens at `offset`."""
        start = offset + BRACE
        stop = (start // BLOCK + 1) * BLOCK
        while (closing := CLOSING_LINE.search(window := self.file.read(start, stop))) is None:
            if stop >= self.file.size or stop - start > LONGEST:
                self._refuse(f"the record at byte {start} does not end")
            stop = _extend(start, stop)
        return window[: closing.end()]

    def _refuse(self, problem: str) -> None:
        remedy = "fetch whole files, with fetch_by: shard"
        raise ValueError(f"{self.file.url}: not a shard that can be searched: {problem}; {remedy}")


def _extend(start: int, stop: int) -> int:
    """Return a later end for a window that is too short; it grows geometrically, by whole blocks."""
    return stop + max((stop - start) // BLOCK, 1) * BLOCK
