"""Find the rows that may be redistributed, by the licences that they state."""

from collections import Counter
from collections.abc import Collection, Iterable
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pyarrow.parquet as pq

from ..sources.registry import GEOMETRY_SOURCES
from ..text.licenses import is_permissive, is_permissive_name
from .card import NOT_STATED

STATED = {"geometry": ("geometry_source", "geometry_license"), "text": ("text_source", "text_license_url")}


class Terms(NamedTuple):
    """What a row states about one of its parts.

    Args:
        part: "text" or "geometry".
        source: source of the part, or "not stated".
        license: its licence, as the row states it, or "not stated".
    """

    part: str
    source: str
    license: str

    def __str__(self) -> str:
        return f"{self.part} of {self.source}, licence {self.license!r}"


def count_terms(files: Iterable[Path]) -> Counter[tuple[Terms, ...]]:
    """Count the rows of Parquet files by the terms of their parts.

    Rows without a text have only the terms of their geometry.
    """
    counts = Counter()
    for file in files:
        with pq.ParquetFile(file) as parquet:
            found = parquet.schema_arrow.names
            parts = [part for part in STATED if part == "geometry" or part in found]
            columns = [column for part in parts for column in STATED[part] if column in found]
            groups = [{"count_all": parquet.metadata.num_rows}]
            if columns:
                groups = parquet.read(columns).group_by(columns).aggregate([([], "count_all")]).to_pylist()
        for group in groups:
            values = {part: [group.get(column) or NOT_STATED for column in STATED[part]] for part in parts}
            counts[tuple(Terms(part, *stated) for part, stated in values.items())] += group["count_all"]
    return counts


def may_be_redistributed(terms: Terms, allowed: Collection[str] = ()) -> bool:
    """Return whether the licence of a part is known to permit redistribution for any purpose.

    It is if it is the address or the name of a permissive licence, or the statement of a source of geometries that
    `is_redistributable`. Other statements, such as "CC0 1.0 (not verified)", are not known to.

    Args:
        allowed: further licences, as rows state them, that permit it.
    """
    stated = terms.license
    is_known = is_permissive(stated) or is_permissive_name(stated)
    return is_known or stated in allowed or (terms.part == "geometry" and stated in _list_redistributable())


@cache
def _list_redistributable() -> frozenset[str]:
    return frozenset(source.license for source in GEOMETRY_SOURCES.values() if source.is_redistributable)
