"""Molecules, texts and rows as integers: ids to compare, seeds to draw by."""

import hashlib

from modeling_geomclip import MISSING_ID


def hash_id(value: str | None) -> int:
    """63 bits of SHA-256, or `MISSING_ID`."""
    if value is None:
        return MISSING_ID
    return int.from_bytes(hashlib.sha256(value.encode()).digest()[:8], "big") >> 1
