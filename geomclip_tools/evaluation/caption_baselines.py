"""Baseline captions without a language model: the most common one, and that of the nearest training molecule."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
from rdkit import Chem
from rdkit.DataStructs import BulkTanimotoSimilarity, ExplicitBitVect

from dataset_pubchem3d.chemistry.fingerprints import make_ecfp4

BLOCK_COSINES = 2**22  # cosines held in memory at once
TIE_DIGITS = 12  # cosines that agree in so many digits are equal


def find_commonest(captions: Sequence[str]) -> str:
    """Return the most common caption; of equally common ones, the first.

    Raises:
        ValueError: if there are no captions.
    """
    if not captions:
        raise ValueError("captions are empty; pass at least one training caption")
    return Counter(captions).most_common(1)[0][0]


def rank_by_embedding(queries: np.ndarray, training: np.ndarray, num_nearest: int) -> np.ndarray:
    """Rank the training rows by cosine similarity to each query; of equal ones, the first.

    Args:
        queries: (rows, width) embeddings.
        training: (training rows, width) embeddings.
        num_nearest: number of training rows to return, if there are as many.
    Returns:
        Training row numbers, (rows, num_nearest) int64, the nearest first.
    Raises:
        ValueError: if the widths differ, training has no rows, or a row is zero or not finite.
    """
    queries, training = _normalise_rows(queries, "queries"), _normalise_rows(training, "training")
    if queries.shape[1] != training.shape[1] or not len(training):
        raise ValueError(
            f"queries have shape {queries.shape} and training {training.shape}; both must have the same width, "
            "and training must have at least one row"
        )
    step = max(1, BLOCK_COSINES // len(training))
    blocks = [queries[start : start + step] @ training.T for start in range(0, len(queries), step)]
    # Rounded, because matrix products may round equal rows differently.
    ranked = [np.argsort(-cosines.round(TIE_DIGITS), axis=1, kind="stable")[:, :num_nearest] for cosines in blocks]
    return np.concatenate(ranked) if ranked else np.empty((0, min(num_nearest, len(training))), dtype=np.int64)


def _normalise_rows(embeddings: np.ndarray, name: str) -> np.ndarray:
    """Normalise the rows to length 1, (rows, width) float64."""
    rows = np.asarray(embeddings, dtype=np.float64)
    if rows.ndim != 2:
        raise ValueError(f"{name} have shape {rows.shape}; they must be (rows, width)")
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    bad = np.flatnonzero(~np.isfinite(norms) | (norms == 0))
    if len(bad):
        raise ValueError(f"{name} are zero, NaN or infinite in {len(bad)} rows, first in row {bad[0]}; remove them")
    return rows / norms


def find_nearest_by_fingerprint(query_smiles: Sequence[str], training_smiles: Sequence[str]) -> np.ndarray:
    """Find the training molecule with the highest Tanimoto similarity to each query; of equal ones, the first.

    Fingerprints are ECFP4; see `make_ecfp4`.

    Returns:
        Training row numbers, (rows,) int64.
    Raises:
        ValueError: if training has no rows or RDKit cannot read a SMILES; the message names its row.
    """
    if not training_smiles:
        raise ValueError("training_smiles are empty; pass at least one training molecule")
    queries = _make_fingerprints(query_smiles, "query_smiles")
    training = _make_fingerprints(training_smiles, "training_smiles")
    nearest = [np.argmax(BulkTanimotoSimilarity(query, training)) for query in queries]
    return np.array(nearest, dtype=np.int64)


def _make_fingerprints(smiles: Sequence[str], name: str) -> list[ExplicitBitVect]:
    mols = [Chem.MolFromSmiles(line) for line in smiles]
    if None in mols:
        row = mols.index(None)
        raise ValueError(f"{name} row {row}: RDKit cannot read SMILES {smiles[row]!r}; correct it or remove its row")
    return [make_ecfp4().GetFingerprint(mol) for mol in mols]
