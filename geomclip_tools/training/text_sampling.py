"""Some of a text's sentences, in another order: other words for the same molecule in each epoch."""

import random
import re

# The end of a sentence, then space and what may begin another, but not after these abbreviations.
SENTENCE_END = re.compile(
    r"(?<=[.!?])(?<!\bsp\.)(?<!\bspp\.)(?<!\bcf\.)(?<!\bca\.)(?<!\bvar\.)(?<!\bsubsp\.)(?<!\bvs\.)(?<!\bU\.)"
    r"(?<!\be\.g\.)(?<!\bi\.e\.)\s+(?=[A-Z0-9(\[]|it\b)"
)


def split_sentences(text: str) -> list[str]:
    """The sentences of a text, at least one; joined by spaces they are the text, runs of white space aside."""
    return SENTENCE_END.split(text.strip())


def sample_sentences(text: str, probability: float, seed: int) -> str:
    """The text or, with a probability, some of its sentences in random order; any number of them is as likely.

    Args:
        seed: decides all.
    """
    generator = random.Random(seed)
    sentences = split_sentences(text)
    if len(sentences) == 1 or generator.random() >= probability:
        return text
    return " ".join(generator.sample(sentences, generator.randint(1, len(sentences))))
