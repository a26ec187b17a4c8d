"""Sample the sentences of a text, so that a molecule has a different text in each epoch."""

import random
import re

# The end of a sentence, white space and the start of another, unless one of these abbreviations comes before.
SENTENCE_END = re.compile(
    r"(?<=[.!?])(?<!\bsp\.)(?<!\bspp\.)(?<!\bcf\.)(?<!\bca\.)(?<!\bvar\.)(?<!\bsubsp\.)(?<!\bvs\.)(?<!\bU\.)"
    r"(?<!\be\.g\.)(?<!\bi\.e\.)\s+(?=[A-Z0-9(\[]|it\b)"
)


def split_sentences(text: str) -> list[str]:
    """Split a text into one or more sentences. Joined by spaces, they give the text, except for runs of white space."""
    return SENTENCE_END.split(text.strip())


def sample_sentences(text: str, probability: float, seed: int) -> str:
    """With the given probability, return a random subset of the sentences in random order, else the text itself.

    All subset sizes from 1 to all sentences are equally likely.

    Args:
        seed: determines all random choices.
    """
    generator = random.Random(seed)
    sentences = split_sentences(text)
    if len(sentences) == 1 or generator.random() >= probability:
        return text
    return " ".join(generator.sample(sentences, generator.randint(1, len(sentences))))
