"""Libraries of molecules that are found by words: an index on disk, additions and searches."""

from typing import Any

__all__ = ["MoleculeIndex"]


def __getattr__(name: str) -> Any:
    """Import the index when it is first used, so that worker processes, which read molecules, load no database."""
    if name != "MoleculeIndex":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from .index import MoleculeIndex

    return MoleculeIndex
