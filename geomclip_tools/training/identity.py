"""Hash molecules, texts and rows to integers, for ids and random seeds."""

import hashlib

from modeling_geomclip import MISSING_ID


def hash_id(value: str | None) -> int:
    """Return 63 bits of the SHA-256 of a string, or `MISSING_ID` for None."""
    if value is None:
        return MISSING_ID
    return int.from_bytes(hashlib.sha256(value.encode()).digest()[:8], "big") >> 1
