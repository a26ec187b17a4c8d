"""Fetch the records of some CIDs from a shard of PubChemQC: one by one, or from the whole shard if that is cheaper."""

import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from tqdm import tqdm

from ..fetch.client import Client
from ..fetch.remote_file import RemoteFile
from .json_array import split_array
from .record_file import CID, RecordFile
from .record_search import RecordSearch

logger = logging.getLogger(__name__)

SEARCH_COST = 2**18  # bytes received for a CID far from the CIDs before it
WHOLE_ABOVE = 0.5  # share of a shard; one download is faster than as many bytes in small ranges


def fetch_records(client: Client, url: str, path: Path, cids: np.ndarray, bounds: tuple[int, int]) -> None:
    """Write the records that the shard at `url` has of these CIDs to `path`, unless they are there.

    It can be interrupted at any time, and then resumes with the CIDs that are missing.

    Args:
        path: JSON array of records, see `RecordFile`.
        cids: int64 within `bounds`.
        bounds: first and last CID that the shard may have.
    Raises:
        FetchError: the server refuses a request or ignores ranges, all attempts fail, or the shard was replaced.
        ValueError: the shard does not have the format of the mirror, or a file on disk is damaged.
    """
    records, whole = RecordFile(path), Path(f"{path}.whole")
    missing = records.list_missing(cids)
    if len(missing) == 0:
        whole.unlink(missing_ok=True)
        return
    shard = RemoteFile(client, url)
    search = RecordSearch(shard, *bounds)
    if whole.exists() or _estimate_cost(missing, bounds, shard.size) > WHOLE_ABOVE * shard.size:
        logger.info("%s: %d CIDs; searching them costs more than all %d bytes", url, len(missing), shard.size)
        client.download(url, whole)
        records.extend(_select(whole, missing))
        whole.unlink()
        return
    bar = tqdm(missing.tolist(), desc=path.name, unit=" CIDs", leave=False, disable=None)
    records.extend((cid, search.find(cid)) for cid in bar)
    received = "%s: %d CIDs, %d bytes in %d requests"
    logger.info(received, url, len(missing), shard.num_bytes, shard.num_requests)


def _estimate_cost(cids: np.ndarray, bounds: tuple[int, int], size: int) -> float:
    """Estimate the bytes received in a search; CIDs near each other share them. The CIDs ascend."""
    first, last = bounds
    distances = np.diff(cids, prepend=first) * (size / (last - first + 1))  # bytes
    return float(np.minimum(distances, SEARCH_COST).sum())


def _select(whole: Path, cids: np.ndarray) -> Iterator[tuple[int, bytes | None]]:
    """Yield each CID, ascending, with its record in a whole shard or None."""
    wanted, last = iter(cids.tolist()), 0
    cid = next(wanted, None)
    with whole.open("rb") as file:
        try:
            for record in split_array(file):
                found = CID.match(record)
                if not found or int(found[1]) < last:
                    raise ValueError(f"CIDs do not ascend after CID {last}")
                last = int(found[1])
                while cid is not None and cid < last:
                    yield cid, None
                    cid = next(wanted, None)
                if cid == last:
                    yield cid, record
                    cid = next(wanted, None)
        except ValueError as error:
            raise ValueError(f"{whole}: truncated or broken ({error}); delete it and fetch again") from error
    while cid is not None:
        yield cid, None
        cid = next(wanted, None)
