"""Draw a reproducible sample of geometries, independent of the order of files and rows."""

import hashlib
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa

from .files import read_batches

COLUMNS = ("inchikey", "smiles", "geometry_id", "geometry_method", "atomic_numbers", "positions")


def sample_rows(files: Iterable[Path], sample: int, seed: int) -> list[dict]:
    """Sample up to `sample` rows of each `geometry_method`.

    The rows with the lowest hash of seed, InChIKey and geometry id are chosen, so the order of files and rows does not
    matter. Rows with the same InChIKey and geometry id count once.

    Raises:
        ValueError: a file cannot be read.
    """
    kept: dict[str, dict[bytes, dict]] = defaultdict(dict)
    for file in files:
        for batch in read_batches(file, list(COLUMNS)):
            _keep_lowest(kept, batch, sample, seed)
    return [row for method in sorted(kept) for _, row in sorted(kept[method].items())]


def _keep_lowest(kept: dict[str, dict[bytes, dict]], batch: pa.RecordBatch, sample: int, seed: int) -> None:
    limits = {method: max(lowest, default=b"") for method, lowest in kept.items() if len(lowest) == sample}
    keys = [batch[name].to_pylist() for name in ("inchikey", "geometry_id", "geometry_method")]
    for index, (inchikey, geometry_id, method) in enumerate(zip(*keys)):
        rank = hashlib.sha256(f"{seed}:{inchikey}:{geometry_id}".encode()).digest()
        if str(method) not in limits or rank < limits[str(method)]:
            kept[str(method)][rank] = batch.slice(index, 1).to_pylist()[0]
    for method, lowest in kept.items():
        kept[method] = dict(sorted(lowest.items())[:sample])
