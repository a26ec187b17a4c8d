"""Search the molecules of a dataset with short word queries."""

from collections.abc import Callable, Collection, Sequence
from typing import Any, NamedTuple

import datasets
import numpy as np
from rdkit import Chem
from rdkit.rdBase import BlockLogs
from torch import Tensor
from tqdm import tqdm

from dataset_pubchem3d.pairs import ROW_FAULT, find_first_block
from modeling_geomclip import embed_texts
from modeling_geomclip.embedding_geomclip import embed_records

from .bootstrap import interval, resample_ratio
from .conformers import Record, average_over_conformers
from .metrics.molecule_text_retrieval import TIE_TOLERANCE
from .word_queries import GROUPS, WORD_QUERIES, WordQuery

DEPTHS = (10, 50)
COLUMNS = {
    "prevalence": "prevalence %",
    **{f"precision_at_{depth}": f"P@{depth} %" for depth in DEPTHS},
    "average_precision": "average precision %",
}
SCORES = tuple(COLUMNS)[1:]  # depend on the model
IDENTIFIERS = ("inchikey14", "inchikey", "smiles")  # columns that identify a row's molecule


class Choice(NamedTuple):
    """The molecules to search, their row numbers in the dataset, and counts of what was skipped."""

    molecules: datasets.Dataset
    rows: list[int]
    num_repeated: int  # rows whose molecule occurs in an earlier row
    num_unknown: int  # requested blocks that occur in no row


def choose_molecules(rows: datasets.Dataset, blocks: Collection[str] | None = None) -> Choice:
    """Select the first row of every molecule.

    A row whose molecule cannot be identified counts as a unique molecule without a block.

    Args:
        rows: rows with any of `IDENTIFIERS`.
        blocks: first blocks of InChIKeys; only these molecules are selected. None selects all molecules.
    Raises:
        ValueError: if no row has any of the blocks.
    """
    wanted, first_rows, num_repeated = None if blocks is None else set(blocks), {}, 0
    keys = rows.select_columns([name for name in IDENTIFIERS if name in rows.column_names])
    for row, key in enumerate(keys):
        block = find_first_block(key)
        if wanted is not None and block not in wanted:
            continue
        num_repeated += block in first_rows
        first_rows.setdefault(block or ("unnamed", row), row)
    if not first_rows:
        raise ValueError(
            f"the dataset of {len(rows)} rows has none of the {len(wanted or ())} molecules to search; check the first "
            "blocks and the split"
        )
    chosen = [*first_rows.values()]
    return Choice(rows.select(chosen), chosen, num_repeated, 0 if wanted is None else len(wanted - first_rows.keys()))


def evaluate_word_queries(
    model: Any,
    processor: Any,
    molecules: datasets.Dataset,
    pair_budget: int | None = None,
    seed: int = 0,
    num_bootstrap: int = 1000,
    coordinates: str = "given",
    num_conformers: int = 1,
    encode_texts: Callable[[Any, Any, list[str]], Tensor] = embed_texts,
) -> dict[str, Any]:
    """Rank molecules by similarity to each of `WORD_QUERIES` and score the rankings.

    Args:
        model: a `GeomCLIPModel`; its training mode is restored.
        processor: its processor.
        molecules: rows with `smiles`, one per molecule, as `choose_molecules` returns them.
        pair_budget: as for `embed_molecules`.
        seed: random seed of the bootstrap.
        num_bootstrap: number of bootstrap resamples for the intervals; 0 omits the intervals.
        coordinates, num_conformers: as for `average_over_conformers`; embeddings are averaged.
        encode_texts: function of model, processor and texts that returns (texts, projection_dim) embeddings.
    Returns:
        `metrics` and `queries` as `score_word_queries` returns them; `num_molecules` judged; `failures` as [{"row",
        "reason"}]: molecules that could not be judged, which are skipped, and molecules that the processor rejected,
        which count as never found.
    Raises:
        ValueError: if no molecule is left, or if none is a correct answer.
    """
    relevance, judged, failures = judge_molecules(molecules)

    def embed(records: list[Record]) -> np.ndarray:
        return embed_records(model, processor, records, pair_budget).numpy()

    rows = molecules.select(judged)
    embeds, kept, refused = average_over_conformers(embed, processor, rows, coordinates, num_conformers)
    failures += [{"row": int(judged[failure["row"]]), "reason": failure["reason"]} for failure in refused]
    texts = encode_texts(model, processor, [query.text for query in WORD_QUERIES]).numpy()
    similarities = np.full(relevance.shape, -np.inf)
    similarities[:, kept] = _unit_rows(texts) @ _unit_rows(embeds).T
    scores = score_word_queries(similarities, relevance, seed, num_bootstrap)
    return {**scores, "num_molecules": len(rows), "failures": sorted(failures, key=lambda failure: failure["row"])}


def _unit_rows(embeds: np.ndarray) -> np.ndarray:
    return embeds / np.linalg.norm(embeds, axis=1, keepdims=True)


def judge_molecules(rows: datasets.Dataset) -> tuple[np.ndarray, np.ndarray, list[dict[str, Any]]]:
    """Decide from the column `smiles` which molecules are correct answers to which of `WORD_QUERIES`.

    Returns:
        The answers, (queries, judged) bool; the row numbers, (judged,) int64; the failures as [{"row", "reason"}].
    Raises:
        ValueError: if RDKit cannot read any molecule.
    """
    names = [name for name in ("smiles", ROW_FAULT) if name in rows.column_names]
    answers, judged, failures = [], [], []
    for number, row in enumerate(tqdm(rows.select_columns(names), desc="judging", leave=False)):
        with BlockLogs():
            molecule = Chem.MolFromSmiles(row["smiles"] or "")
        if row.get(ROW_FAULT) or molecule is None or not molecule.GetNumAtoms():
            reason = row.get(ROW_FAULT) or "RDKit cannot read its SMILES, so no rule can judge it"
            failures.append({"row": number, "reason": reason})
        else:
            answers.append([query.is_right(molecule) for query in WORD_QUERIES])
            judged.append(number)
    if not judged:
        raise ValueError(f"no molecule of {len(rows)} can be judged; failures: {failures[:3]}")
    return np.array(answers).T, np.array(judged), failures


def score_word_queries(
    similarities: np.ndarray,
    relevance: np.ndarray,
    seed: int = 0,
    num_bootstrap: int = 1000,
    queries: Sequence[WordQuery] = WORD_QUERIES,
) -> dict[str, Any]:
    """Score the ranking of molecules for every query. Scores are expectations over random orders of tied molecules.

    Args:
        similarities: (queries, molecules); minus infinity for a molecule that cannot be found.
        relevance: (queries, molecules) bool, True for correct answers.
        seed: random seed of the bootstrap.
        num_bootstrap: number of bootstrap resamples of the queries; 0 omits the intervals.
        queries: the queries of the rows of `similarities`.
    Returns:
        `queries`: {"text", "group", "num_right", "prevalence", "precision_at_10", "precision_at_50",
        "average_precision"} for each query. A precision at k is computed over the first k molecules or, if fewer than
        k are correct, over as many as are correct. Scores are None without a correct answer. `metrics`: for "all" and
        for each of `GROUPS`, `num_queries` with a correct answer and the means over these queries; scores also have
        95 % intervals `_low` and `_high` over resampled queries. Groups without such queries are absent.
    Raises:
        ValueError: if the shapes differ, a similarity is NaN or infinity, or no query has a correct answer.
    """
    similarities, relevance = np.asarray(similarities, dtype=np.float64), np.asarray(relevance, dtype=bool)
    if similarities.shape != relevance.shape or similarities.ndim != 2 or len(similarities) != len(queries):
        raise ValueError(
            f"similarities {similarities.shape} and relevance {relevance.shape} must be (queries, molecules), with one "
            f"row for each of {len(queries)} queries"
        )
    if np.isnan(similarities).any() or np.isposinf(similarities).any():
        raise ValueError("similarities contain NaN or infinity; use minus infinity for a molecule that cannot be found")
    if not relevance.any():
        raise ValueError(
            f"none of {relevance.shape[1]} molecules is a correct answer to any query; search more molecules"
        )
    scored = [
        {"text": query.text, "group": query.group} | score_ranking(scores, is_right)
        for query, scores, is_right in zip(queries, similarities, relevance, strict=True)
    ]
    answered = [query for query in scored if query["num_right"]]
    members = {group: [query for query in answered if query["group"] == group] for group in GROUPS} | {"all": answered}
    metrics = {group: _summarise(those, num_bootstrap, seed) for group, those in members.items() if those}
    return {"metrics": metrics, "queries": scored}


def score_ranking(scores: np.ndarray, is_right: np.ndarray) -> dict[str, float | None]:
    """Score the ranking for one query, as in `score_word_queries`; both arrays are (molecules,)."""
    num_right, found = int(is_right.sum()), np.isfinite(scores)
    result = {"num_right": num_right, "prevalence": num_right / len(is_right)}
    if not num_right:
        return result | dict.fromkeys(SCORES)
    sizes, rights = _count_tied(scores[found], is_right[found])
    ranks, right_until = np.cumsum([0, *sizes]), np.cumsum([0, *rights])
    depths = [min(depth, num_right) for depth in DEPTHS]
    precisions = [float(np.interp(depth, ranks, right_until)) / depth for depth in depths]  # linear within a tie
    gains = [
        _expected_gain(ranks[level], right_until[level], sizes[level], rights[level])
        for level in np.flatnonzero(rights)
    ]
    return result | dict(zip(SCORES, [*precisions, float(sum(gains)) / num_right], strict=True))


def _count_tied(scores: np.ndarray, is_right: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Count the molecules and the correct molecules of each group of tied scores, from the highest.

    A group extends at most the tolerance below its highest score. A chain of close scores does not form one group.
    """
    if not len(scores):
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
    order = np.argsort(-scores, kind="stable")
    starts, top = [], np.inf
    for rank, score in enumerate(scores[order].tolist()):
        if top - score > TIE_TOLERANCE:
            starts.append(rank)
            top = score
    return np.diff([*starts, len(scores)]), np.add.reduceat(is_right[order].astype(np.int64), starts)


def _expected_gain(above: int, right_above: int, tied: int, right: int) -> float:
    """Return what a group of ties adds to the sum of precisions at correct answers, over all orders of the group."""
    place = np.arange(tied)  # within the group
    others = place * (right - 1) / max(1, tied - 1)  # correct molecules before a correct one at this place
    return float((right / tied * (right_above + 1 + others) / (above + 1 + place)).sum())


def _summarise(queries: list[dict[str, Any]], num_bootstrap: int, seed: int) -> dict[str, float]:
    values = {"num_queries": len(queries), "prevalence": float(np.mean([query["prevalence"] for query in queries]))}
    for name in SCORES:
        samples = resample_ratio(np.array([query[name] for query in queries]), None, num_bootstrap, seed)
        mean, low, high = interval(samples)
        values |= {name: mean} | ({f"{name}_low": low, f"{name}_high": high} if num_bootstrap else {})
    return values


def format_table(metrics: dict[str, dict[str, float]]) -> str:
    """Format `metrics` of `score_word_queries` as a Markdown table."""
    lines = [["queries", *COLUMNS.values()], ["---"] * (1 + len(COLUMNS))]
    for group, values in metrics.items():
        lines.append([f"{group}, {values['num_queries']}", *(_format_cell(values, name) for name in COLUMNS)])
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    rows = [" | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in lines]
    return "\n".join(f"| {row} |" for row in rows)


def _format_cell(values: dict[str, float], name: str) -> str:
    ends = [f"{100 * values[f'{name}_{end}']:.1f}" for end in ("low", "high") if f"{name}_{end}" in values]
    return f"{100 * values[name]:.1f}" + (f" [{', '.join(ends)}]" if ends else "")
