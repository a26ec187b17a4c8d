"""Captions that need no model of the molecule's text: the commonest one, and that of the nearest training molecule."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
from rdkit import Chem
from rdkit.DataStructs import BulkTanimotoSimilarity, ExplicitBitVect

from dataset_pubchem3d.chemistry.fingerprints import make_ecfp4

BLOCK_COSINES = 2**22  # cosines held in memory at once
TIE_TOLERANCE = 1e-12  # the product of matrices rounds equal rows differently


def find_commonest(captions: Sequence[str]) -> str:
    """The commonest caption; of several, the one that comes first.

    Raises:
        ValueError: without a caption.
    """
    if not captions:
        raise ValueError("captions are empty; give at least one training caption")
    return Counter(captions).most_common(1)[0][0]


def find_nearest_by_embedding(queries: np.ndarray, training: np.ndarray) -> np.ndarray:
    """Training row of highest cosine with each query; of equal ones, the first.

    Args:
        queries: (rows, width).
        training: (training rows, width).
    Returns:
        (rows,) int64.
    Raises:
        ValueError: matrices of different width, training without a row, a row that is zero or not finite.
    """
    queries, training = _normalise_rows(queries, "queries"), _normalise_rows(training, "training")
    if queries.shape[1] != training.shape[1] or not len(training):
        raise ValueError(
            f"queries have shape {queries.shape} and training {training.shape}; they must be equally wide, "
            "and training must have a row"
        )
    step = max(1, BLOCK_COSINES // len(training))
    nearest = np.empty(len(queries), dtype=np.int64)
    for start in range(0, len(queries), step):
        cosines = queries[start : start + step] @ training.T
        is_nearest = cosines >= cosines.max(axis=1, keepdims=True) - TIE_TOLERANCE
        nearest[start : start + step] = is_nearest.argmax(axis=1)
    return nearest


def _normalise_rows(embeddings: np.ndarray, name: str) -> np.ndarray:
    """(rows, width) float64 of length 1."""
    rows = np.asarray(embeddings, dtype=np.float64)
    if rows.ndim != 2:
        raise ValueError(f"{name} have shape {rows.shape}; they must be (rows, width)")
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    bad = np.flatnonzero(~np.isfinite(norms) | (norms == 0))
    if len(bad):
        raise ValueError(f"{name} have no direction in {len(bad)} rows (zero, NaN or infinity), first in row {bad[0]}")
    return rows / norms


def find_nearest_by_fingerprint(query_smiles: Sequence[str], training_smiles: Sequence[str]) -> np.ndarray:
    """Training row of highest Tanimoto similarity with each query; of equal ones, the first.

    Fingerprints are ECFP4, see `make_ecfp4`.

    Returns:
        (rows,) int64.
    Raises:
        ValueError: an unreadable SMILES, with its row, or training without a row.
    """
    if not training_smiles:
        raise ValueError("training_smiles are empty; give at least one training molecule")
    queries = _make_fingerprints(query_smiles, "query_smiles")
    training = _make_fingerprints(training_smiles, "training_smiles")
    nearest = [np.argmax(BulkTanimotoSimilarity(query, training)) for query in queries]
    return np.array(nearest, dtype=np.int64)


def _make_fingerprints(smiles: Sequence[str], name: str) -> list[ExplicitBitVect]:
    mols = [Chem.MolFromSmiles(line) for line in smiles]
    if None in mols:
        row = mols.index(None)
        raise ValueError(f"{name} row {row}: RDKit cannot read SMILES {smiles[row]!r}; repair it or drop its row")
    return [make_ecfp4().GetFingerprint(mol) for mol in mols]
