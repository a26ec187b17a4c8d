"""When two texts are the same, so that a model which has read one has seen the other."""

import unicodedata
from collections.abc import Iterable

import numpy as np

from .quality.findings import hash_values


def normalise_text(text: str) -> str:
    """What a text is compared by: texts are the same if this is.

    Unicode NFKC, case folded, each run of whitespace one space, none at the ends, a full stop at the end ignored;
    nothing more. So texts that differ in a name, or of which one has "The molecule" or "It" in its place, differ.
    """
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split()).removesuffix(".").rstrip()


def hash_texts(texts: Iterable[str]) -> np.ndarray:
    """Hashes that are equal where texts are the same, see `normalise_text` and, for wrong hits, `quality.findings`.

    Returns:
        (texts,) uint64.
    """
    return hash_values(normalise_text(text).encode() for text in texts)
