"""A map of a library: a projection of the embeddings to two dimensions.

A sample is placed by t-SNE (van der Maaten & Hinton, JMLR 2008), all other molecules at the weighted mean of their
nearest neighbours in the sample, so that a large library takes little more time than a small one.
"""

import numpy as np
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE, trustworthiness

SAMPLE = 5000  # molecules that t-SNE places
NEIGHBOURS = 5  # of the sample, that place another molecule
PERPLEXITY = 30.0
CHUNK = 4096  # molecules that are compared with the sample at once


def project(vectors: np.ndarray, seed: int = 0) -> np.ndarray:
    """Project embeddings to a map.

    Args:
        vectors: (molecules, size) float32, L2-normalised.
        seed: random seed of the sample.
    Returns:
        (molecules, 2) float32; near molecules have similar embeddings, distances mean nothing.
    """
    number = len(vectors)
    if number < 5:
        return np.stack([np.arange(number), np.zeros(number)], axis=1).astype(np.float32)
    sample = np.sort(np.random.default_rng(seed).choice(number, min(SAMPLE, number), replace=False))
    perplexity = min(PERPLEXITY, (len(sample) - 1) / 3)
    tsne = TSNE(perplexity=perplexity, init="pca", metric="cosine", random_state=seed)
    placed = tsne.fit_transform(vectors[sample])
    positions = np.empty((number, 2), np.float32)
    others = np.setdiff1d(np.arange(number), sample)
    for rows in np.array_split(others, -(-len(others) // CHUNK) or 1):
        positions[rows] = _place(vectors[rows] @ vectors[sample].T, placed)
    positions[sample] = placed
    return positions


def _place(similarities: np.ndarray, placed: np.ndarray) -> np.ndarray:
    """Return the means of the places of the most similar members of the sample, weighted by similarity."""
    if not len(similarities):
        return np.zeros((0, 2), np.float32)
    nearest = np.argpartition(-similarities, NEIGHBOURS - 1)[:, :NEIGHBOURS]
    weights = np.exp(20 * np.take_along_axis(similarities, nearest, axis=1))
    return (placed[nearest] * weights[..., None]).sum(axis=1) / weights.sum(axis=1, keepdims=True)


def measure_preservation(
    vectors: np.ndarray, positions: np.ndarray, size: int = 2000, seed: int = 0
) -> dict[str, float]:
    """Measure how far neighbours on a map are neighbours in truth: trustworthiness, and that of a PCA.

    Source: Venna & Kaski, ICANN 2001.

    Args:
        vectors, positions: of the same molecules; see `project`.
        size: number of molecules of the random sample that is measured.
        seed: random seed of the sample.
    """
    sample = np.random.default_rng(seed).choice(len(vectors), min(size, len(vectors)), replace=False)
    flat = PCA(2, random_state=seed).fit_transform(vectors)
    return {
        name: float(trustworthiness(vectors[sample], found[sample], n_neighbors=10, metric="cosine"))
        for name, found in (("map", positions), ("pca", flat))
    }
