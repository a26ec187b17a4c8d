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
TEMPERATURE = 0.1  # of the softmax over their cosines; both chosen on validation rows
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
    overlaps = measure_overlaps(captions, [neighbour.caption for neighbour in neighbours])
    return overlaps @ (chances / chances.sum())


def measure_overlaps(captions: Sequence[str], references: Sequence[str]) -> np.ndarray:
    """Measure the overlap of each caption with each reference, (captions, references) float64."""
    mine, theirs = ([count_words(text) for text in texts] for texts in (captions, references))
    overlaps = [[measure_overlap(one, other) for other in theirs] for one in mine]
    return np.array(overlaps, dtype=np.float64).reshape(len(captions), len(references))


def count_words(caption: str) -> tuple[Counter, Counter]:
    """Count the words, punctuation marks and pairs of them in a caption, in lower case."""
    words = WORD.findall(caption.lower())
    return Counter(words), Counter(itertools.pairwise(words))


def measure_overlap(one: tuple[Counter, Counter], other: tuple[Counter, Counter]) -> float:
    """Return the mean F1 of the words and of the pairs of words of two captions."""
    scores = []
    for mine, theirs in zip(one, other):
        total = mine.total() + theirs.total()
        scores.append(2 * (mine & theirs).total() / total if total else 0.0)
    return sum(scores) / len(scores)
