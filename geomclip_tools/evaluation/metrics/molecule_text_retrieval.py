"""Retrieval between molecular geometries and texts, with correct handling of duplicates and tied scores.

    metric = evaluate.load("eval/metrics/molecule_text_retrieval")
    metric.compute(predictions=geometry_embeds, references=text_embeds, molecule_ids=ids, text_ids=texts)

eval/metrics/molecule_text_retrieval/README.md defines each value.
"""

from collections.abc import Iterator, Sequence

import datasets
import evaluate
import numpy as np

TIE_TOLERANCE = 1e-6
RECALL_RANKS = (1, 5, 20)
SCOPES = ("geometry_to_text_full", "geometry_to_text_pool", "text_to_geometry_full", "text_to_geometry_pool")
FURTHER = "text_to_geometry_further"
NAMES = (*(f"recall_at_{rank}" for rank in RECALL_RANKS), "mean_reciprocal_rank", "median_rank")
BLOCK_SCORES = 2**22  # scores held in memory at once

_DESCRIPTION = "Recall at 1, 5 and 20, mean reciprocal rank and median rank between molecular geometries and texts."
_INPUTS = """
Args:
    predictions: (rows, width) geometry embeddings; the score of a geometry and a text is their cosine similarity.
    references: (rows, width) text embeddings; row i describes the molecule of row i of `predictions`.
    molecule_ids: int or string per row; rows with equal ids are the same molecule. None, for all rows or for one, means
        that the molecule is unique.
    text_ids: int or string per row; rows with equal ids have the same text. None, for all rows or for one, means that
        the text is unique.
    pool_size: number of candidates in a random pool, including the row itself; at most the number of rows.
    seed: random seed of the pools and of the bootstrap.
    num_bootstrap: number of bootstrap resamples for the 95 % intervals; 0 omits the intervals.
    further_predictions: (molecules, width) embeddings of molecules without texts, added as candidates in a separate
        text-to-geometry search.
    further_molecule_ids: ids of these molecules; an id that also occurs in `molecule_ids` is the same molecule and
        counts as a hit.
    return_ranks: whether to return the rank of every row too.
Returns:
    A flat dict of floats with the keys `{direction}_{scope}_{name}{suffix}`, where direction is geometry_to_text or
    text_to_geometry; scope is full, pool or, for text_to_geometry with further molecules, further; name is recall_at_1,
    recall_at_5, recall_at_20, mean_reciprocal_rank or median_rank; and suffix is empty, _chance, _ceiling, _low or
    _high. Also num_rows, num_molecules, num_texts, pool_size and, with further molecules, num_further. With
    return_ranks, also `{direction}_{scope}_ranks`: for every row the rank of its first hit, or the expected rank if
    candidates tie.
Raises:
    ValueError: if the input is empty, ragged, not finite or of unequal shape.
Examples:
    >>> metric = evaluate.load("eval/metrics/molecule_text_retrieval")
    >>> scores = metric.compute(predictions=[[1, 0], [0, 1]], references=[[2, 1], [1, 2]])
    >>> scores["geometry_to_text_full_recall_at_1"]
    1.0
"""


class MoleculeTextRetrieval(evaluate.Metric):
    """Recall and ranks of retrieval in both directions; see `inputs_description`.

    `evaluate` stores the embeddings as float64. The ids go to `compute` unchanged.
    """

    def _info(self) -> evaluate.MetricInfo:
        vector = datasets.Sequence(datasets.Value("float64"))
        return evaluate.MetricInfo(
            description=_DESCRIPTION,
            citation="",
            inputs_description=_INPUTS,
            features=datasets.Features({"predictions": vector, "references": vector}),
        )

    def _compute(
        self,
        predictions: Sequence,
        references: Sequence,
        molecule_ids: Sequence | None = None,
        text_ids: Sequence | None = None,
        pool_size: int = 64,
        seed: int = 0,
        num_bootstrap: int = 1000,
        further_predictions: Sequence | None = None,
        further_molecule_ids: Sequence | None = None,
        return_ranks: bool = False,
    ) -> dict[str, float | list[float]]:
        geometry, text = _unit_rows(predictions, "predictions"), _unit_rows(references, "references")
        if geometry.shape != text.shape:
            raise ValueError(
                f"predictions have shape {geometry.shape} and references {text.shape}; the shapes must be equal, "
                "and row i of both must belong together"
            )
        if pool_size < 1 or num_bootstrap < 0:
            raise ValueError(
                f"pool_size={pool_size} and num_bootstrap={num_bootstrap}; they must be at least 1 and at least 0"
            )
        listed = _list_ids(molecule_ids, len(geometry), "molecule_ids")
        molecules = _group_numbers(listed)
        texts = _group_numbers(_list_ids(text_ids, len(geometry), "text_ids"))
        pool_random, bootstrap_random = np.random.default_rng(seed).spawn(2)
        pools = _draw_pools(len(geometry), pool_size, pool_random)

        scopes = SCOPES
        placements = [
            *_place_hits(geometry, text, molecules, texts, pools),
            *_place_hits(text, geometry, molecules, texts, pools),
        ]
        num_further = 0 if further_predictions is None else len(further_predictions)
        if num_further:
            scopes = (*SCOPES, FURTHER)
            candidates = np.concatenate([geometry, _unit_rows(further_predictions, "further_predictions")])
            listed = listed + _list_ids(further_molecule_ids, num_further, "further_molecule_ids")
            placements.append(_place_among(text, candidates, _group_numbers(listed), texts))
        placements = np.stack(placements)
        above, tied, tied_hits, total, hits = np.moveaxis(placements, -1, 0)  # (scopes, rows) each
        outcomes = _expected_outcomes(above, tied, tied_hits)
        columns = {
            "": _summarise(outcomes),
            "_chance": _summarise(_expected_outcomes(np.zeros_like(hits), total, hits)),
            "_ceiling": _summarise(_expected_outcomes(np.zeros_like(hits), hits, np.ones_like(hits))),
        }
        if num_bootstrap:
            columns["_low"], columns["_high"] = _intervals(outcomes, molecules, num_bootstrap, bootstrap_random)
        results = {
            f"{scope}_{name}{suffix}": float(values[i, j])
            for suffix, values in columns.items()
            for i, scope in enumerate(scopes)
            for j, name in enumerate(NAMES)
        }
        counts = {"num_rows": len(geometry), "num_molecules": molecules.max() + 1, "num_texts": texts.max() + 1}
        counts |= {"pool_size": pools.shape[1]} | ({"num_further": num_further} if num_further else {})
        results |= {name: float(count) for name, count in counts.items()}
        ranks = {f"{scope}_ranks": rows.tolist() for scope, rows in zip(scopes, outcomes[..., -1])}
        return results | (ranks if return_ranks else {})


def _unit_rows(embeddings: Sequence, name: str) -> np.ndarray:
    """Normalise embeddings to length 1, (rows, width) float64; a zero vector stays zero and scores 0 with any other."""
    widths = {len(row) for row in embeddings}
    if not widths or 0 in widths:
        raise ValueError(f"{name} are empty; pass at least one embedding with at least one dimension")
    if len(widths) > 1:
        raise ValueError(f"{name} have rows of different lengths {sorted(widths)}; all embeddings must have one width")
    rows = np.asarray(embeddings, dtype=np.float64)
    bad = np.flatnonzero(~np.isfinite(rows).all(axis=1))
    if len(bad):
        raise ValueError(
            f"{name} contain NaN or infinity in {len(bad)} rows, first in row {bad[0]}; remove or correct them"
        )
    largest = np.abs(rows).max(axis=1, keepdims=True)
    rows = rows / np.where(largest == 0, 1, largest)  # keeps the squares below from overflow and underflow
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.where(norms == 0, 1, norms)


def _list_ids(ids: Sequence | None, num_rows: int, name: str) -> list:
    """Return one id, or None, per row."""
    ids = [None] * num_rows if ids is None else ids.tolist() if hasattr(ids, "tolist") else list(ids)
    if len(ids) != num_rows:
        raise ValueError(f"{name} has {len(ids)} entries for {num_rows} rows; pass one per row, or None")
    return ids


def _group_numbers(ids: list) -> np.ndarray:
    """Number the distinct ids from 0, (rows,) int64; every missing id forms its own group."""
    keys = [("missing", row) if value is None else ("id", value) for row, value in enumerate(ids)]
    numbers = {key: number for number, key in enumerate(dict.fromkeys(keys))}
    return np.array([numbers[key] for key in keys])


def _draw_pools(num_rows: int, pool_size: int, random: np.random.Generator) -> np.ndarray:
    """Draw a pool for every row, (rows, pool) row numbers: the row itself, then other rows without replacement."""
    size = min(pool_size, num_rows)
    others = np.stack([random.choice(num_rows - 1, size - 1, replace=False) for _ in range(num_rows)])
    own = np.arange(num_rows)[:, None]
    return np.concatenate([own, others + (others >= own)], axis=1)


def _place_hits(
    queries: np.ndarray, candidates: np.ndarray, molecules: np.ndarray, texts: np.ndarray, pools: np.ndarray
) -> np.ndarray:
    """Locate the best hit of each query among all candidates and in its pool, (2, rows, 5); see `_placement`."""
    full, pool = [], []
    for rows in _blocks(len(queries), len(candidates)):
        scores = queries[rows] @ candidates.T
        is_hit = (molecules[rows, None] == molecules) | (texts[rows, None] == texts)
        full.append(_placement(scores, is_hit))
        pool.append(_placement(*(np.take_along_axis(matrix, pools[rows], axis=1) for matrix in (scores, is_hit))))
    return np.stack([np.concatenate(full), np.concatenate(pool)])


def _place_among(queries: np.ndarray, candidates: np.ndarray, molecules: np.ndarray, texts: np.ndarray) -> np.ndarray:
    """Locate the best hit of each text, (rows, 5); the candidates are the molecules of the rows, then further ones."""
    num_rows, placements = len(queries), []
    for rows in _blocks(num_rows, len(candidates)):
        is_hit = molecules[:num_rows][rows, None] == molecules
        is_hit[:, :num_rows] |= texts[rows, None] == texts
        placements.append(_placement(queries[rows] @ candidates.T, is_hit))
    return np.concatenate(placements)


def _blocks(num_rows: int, num_candidates: int) -> Iterator[slice]:
    step = max(1, BLOCK_SCORES // num_candidates)
    return (slice(start, start + step) for start in range(0, num_rows, step))


def _placement(scores: np.ndarray, is_hit: np.ndarray) -> np.ndarray:
    """Count candidates above the best hit, tied with it, hits among the tied, all candidates, and hits, (rows, 5)."""
    level = scores - np.where(is_hit, scores, -np.inf).max(axis=1, keepdims=True)
    is_tied = np.abs(level) <= TIE_TOLERANCE
    counted = (level > TIE_TOLERANCE, is_tied, is_tied & is_hit, np.ones_like(is_hit), is_hit)
    return np.stack([mask.sum(axis=1) for mask in counted], axis=1)


def _expected_outcomes(above: np.ndarray, tied: np.ndarray, tied_hits: np.ndarray) -> np.ndarray:
    """Return the expected recalls, reciprocal rank and rank of the first hit, (..., 5).

    The expectation is over all orders of the tied candidates.
    """
    cases, which = np.unique(np.stack([above, tied, tied_hits], axis=-1).reshape(-1, 3), axis=0, return_inverse=True)
    return np.array([_expected_outcome(*case) for case in cases])[which.reshape(above.shape)]


def _expected_outcome(above: int, tied: int, tied_hits: int) -> list[float]:
    misses = tied - tied_hits
    drawn = np.arange(misses + 1)
    # Probabilities that the first 1, 2, ... tied candidates are all misses, that the 1st, 2nd, ... is the first hit.
    none_yet = np.cumprod((misses - drawn) / (tied - drawn))
    first_hit = -np.diff(none_yet, prepend=1.0)
    ranks = above + 1 + drawn
    recalls = [first_hit[ranks <= rank].sum() for rank in RECALL_RANKS]
    return [*recalls, (first_hit / ranks).sum(), above + (tied + 1) / (tied_hits + 1)]


def _summarise(outcomes: np.ndarray) -> np.ndarray:
    """Average over rows, (scopes, rows, 5) -> (scopes, 5), with the median for the rank."""
    return np.concatenate([outcomes[..., :-1].mean(axis=1), np.median(outcomes[..., -1:], axis=1)], axis=-1)


def _intervals(
    outcomes: np.ndarray, molecules: np.ndarray, num_bootstrap: int, random: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return the bounds of the 95 % percentile intervals, (scopes, 5) each.

    Molecules are drawn with replacement, each with all its rows.
    """
    num_molecules = molecules.max() + 1
    samples = []
    for _ in range(num_bootstrap):
        times = np.bincount(random.integers(num_molecules, size=num_molecules), minlength=num_molecules)
        samples.append(_summarise(np.repeat(outcomes, times[molecules], axis=1)))
    return tuple(np.percentile(samples, (2.5, 97.5), axis=0))
