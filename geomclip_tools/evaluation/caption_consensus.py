"""Consensus of a caption with the captions of similar molecules.

It is the expected overlap with the true caption, if that were the caption of a neighbour, the more likely the more
similar the neighbour is. To choose the caption with the highest one is minimum Bayes risk decoding (Kumar and Byrne,
2004, N04-1022); to take the consensus of the captions of neighbours is the idea of Devlin et al. (2015,
arXiv 1505.04467).
"""

import itertools
import re
from collections import Counter
from collections.abc import Sequence

import numpy as np

from modeling_geomclip import Neighbour

NUM_CONSULTED = 30  # neighbours
TEMPERATURE = 0.1  # of the softmax over their cosines; both chosen on validation
WORD = re.compile(r"\w+|[^\w\s]")


def measure_consensus(captions: Sequence[str], neighbours: Sequence[Neighbour]) -> np.ndarray:
    """Measure the consensus of captions of one molecule with those of its neighbours.

    Args:
        captions: of the molecule.
        neighbours: at most `NUM_CONSULTED` are useful; the consensus is 0 if there are none.
    Returns:
        From 0 to 1, (captions,) float64.
    """
    if not neighbours:
        return np.zeros(len(captions))
    cosines = np.array([neighbour.similarity for neighbour in neighbours])
    chances = np.exp((cosines - cosines.max()) / TEMPERATURE)
    counted = [count_words(neighbour.caption) for neighbour in neighbours]
    overlaps = [[measure_overlap(count_words(caption), other) for other in counted] for caption in captions]
    return np.array(overlaps, dtype=np.float64).reshape(len(captions), len(counted)) @ (chances / chances.sum())


def count_words(caption: str) -> tuple[Counter, Counter]:
    """Count the words, punctuation marks and pairs of them in a caption, in lower case."""
    words = WORD.findall(caption.lower())
    return Counter(words), Counter(itertools.pairwise(words))


def measure_overlap(one: tuple[Counter, Counter], other: tuple[Counter, Counter]) -> float:
    """Return the mean F1 of the words and of the pairs of words of two captions."""
    shared = [2 * (mine & theirs).total() for mine, theirs in zip(one, other)]
    totals = [mine.total() + theirs.total() for mine, theirs in zip(one, other)]
    return float(np.mean([part / total if total else 0.0 for part, total in zip(shared, totals)]))
