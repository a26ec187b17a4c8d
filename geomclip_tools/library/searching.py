"""Rank the molecules of a table by a query, and say what a score means in this library."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from datasets import Dataset
from rdkit import Chem

from .rows import HIDDEN, KEY
from .store import MoleculeStore, list_keys
from .substructures import has_substructure, make_pattern_bits, parse_smarts

BACKGROUND = 10_000  # molecules of the sample that a score is compared with
FEW_CANDIDATES = 2000  # molecules that may contain a substructure; so few are ranked by themselves
FEWEST_SCREENED, GROWTH = 200, 4  # candidates of the first and of each further round of a search by substructure


def search_table(
    store: MoleculeStore,
    query: np.ndarray,
    top_k: int,
    where: str | None = None,
    substructure: str | None = None,
    exact: bool = False,
) -> Dataset:
    """Return the rows nearest to a vector, best first, with `score` and `percentile` before all other columns.

    Args:
        query: (size,) float32, L2-normalised.
        top_k: largest number of rows.
        where: condition in SQL.
        substructure: SMARTS that the molecules must contain.
        exact: compare all vectors, even if there is an approximate index.
    """
    if substructure is None:
        found = store.rank(query, top_k, (KEY,), where, exact)
    else:
        found = _screen(store, query, top_k, where, parse_smarts(substructure))
    keys, scores = found[KEY].to_pylist(), found["score"].to_numpy()
    names = [name for name in store.schema.names if name not in HIDDEN]
    rows = store.find(keys, names)
    places = {key: place for place, key in enumerate(rows[KEY].to_pylist())}
    kept = [rank for rank, key in enumerate(keys) if key in places]  # another process may have removed rows
    rows, scores = rows.take(pa.array([places[keys[rank]] for rank in kept], pa.int64())), scores[kept]
    columns = {"score": pa.array(scores, pa.float32()), "percentile": rank_scores(store, query, scores)}
    return Dataset(pa.table({**columns, **{name: rows[name] for name in names}}))


def _screen(store: MoleculeStore, query: np.ndarray, wanted: int, where: str | None, pattern: Chem.Mol) -> pa.Table:
    """Return the nearest rows that contain a substructure: look at more and more of the ranking until there are enough.

    The ranking is exact, because an approximate one ends after the partitions that it searches.
    """
    candidates = store.screen(make_pattern_bits(pattern), where)
    if len(candidates) <= FEW_CANDIDATES:
        where = list_keys(candidates)
    matches = dict.fromkeys(candidates)  # None if not looked at yet
    limit = max(FEWEST_SCREENED, GROWTH * wanted)
    while True:
        found = store.rank(query, limit, (KEY, "smiles"), where, exact=True)
        keys = found[KEY].to_pylist()
        for key, smiles in zip(keys, found["smiles"].to_pylist()):
            if matches.get(key, False) is None:
                matches[key] = has_substructure(smiles, pattern)
        places = [place for place, key in enumerate(keys) if matches.get(key)]
        if len(places) >= wanted or len(found) < limit:
            return found.take(pa.array(places[:wanted], pa.int64()))
        limit *= GROWTH


def rank_scores(store: MoleculeStore, query: np.ndarray, scores: Sequence[float] | np.ndarray) -> pa.Array:
    """Return the percentiles of scores among those of a fixed random sample of the table's molecules for a query.

    A raw cosine means little: how high it is depends on the query. The percentile is the share of the sample that
    scores no higher.

    Args:
        query: (size,) float32, L2-normalised.
        scores: (scores,), cosines.
    """
    background = np.sort(store.sample_vectors(BACKGROUND) @ query.astype(np.float32))
    tolerance = 1e-6  # products of the same vectors may differ in the last bit
    ranks = np.searchsorted(background, np.asarray(scores) + tolerance, side="right")
    return pa.array(100 * ranks / max(len(background), 1), pa.float32())


def combine(text: np.ndarray | None, molecule: np.ndarray | None, weight: float) -> np.ndarray:
    """Return the query vector of a text, a molecule or both, (size,) float32, L2-normalised.

    Args:
        text, molecule: embeddings, (size,), L2-normalised; at least one.
        weight: weight of the molecule, if both are given.
    """
    if text is None or molecule is None:
        return molecule if text is None else text
    vector = (1 - weight) * text + weight * molecule
    return vector / np.linalg.norm(vector)


def check_query(text: Any, molecule: Any, weight: float, top_k: int) -> None:
    """Check the arguments of a search.

    Raises:
        ValueError: there is neither a text nor a molecule, or a number is out of range.
    """
    if text is None and molecule is None:
        raise ValueError("a search needs a text, a molecule or both; pass at least one")
    if not 0 <= weight <= 1:
        raise ValueError(f"weight is {weight}; it must lie in [0, 1]")
    if top_k < 1:
        raise ValueError(f"top_k is {top_k}; it must be at least 1")
