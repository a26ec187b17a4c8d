"""Compare texts: when two texts count as the same, so that training on one leaks the other."""

import unicodedata
from collections.abc import Iterable

import numpy as np

from .quality.findings import hash_values


def normalise_text(text: str) -> str:
    """Normalise a text for comparison: two texts are the same if their normalised forms are equal.

    Applies Unicode NFKC and case folding, collapses whitespace, and drops a final full stop. It does not touch names:
    texts that differ in a name, or that have "The molecule" or "It" in its place, differ.
    """
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split()).removesuffix(".").rstrip()


def hash_texts(texts: Iterable[str]) -> np.ndarray:
    """Hash texts so that the same texts (see `normalise_text`) have equal hashes.

    `quality.findings` gives the rate of collisions.

    Returns:
        (texts,) uint64.
    """
    return hash_values(normalise_text(text).encode() for text in texts)
