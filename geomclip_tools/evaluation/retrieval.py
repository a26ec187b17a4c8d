"""Evaluate retrieval between texts and held-out molecules, in both directions."""

from collections.abc import Callable, Sequence
from typing import Any

import datasets
import numpy as np
from torch import Tensor

from dataset_pubchem3d.pairs import find_first_block
from modeling_geomclip import embed_texts
from modeling_geomclip.embedding_geomclip import embed_records

from .conformers import Record, average_over_conformers, list_empty
from .metrics.molecule_text_retrieval import MoleculeTextRetrieval

SCOPES = {
    "geometry_to_text_full": "geometry -> text, full set",
    "geometry_to_text_pool": "geometry -> text, random pools",
    "text_to_geometry_full": "text -> geometry, full set",
    "text_to_geometry_pool": "text -> geometry, random pools",
    "text_to_geometry_further": "text -> geometry, enlarged set",  # only if there are any
}
COLUMNS = {
    "recall_at_1": "R@1 %",
    "recall_at_5": "R@5 %",
    "recall_at_20": "R@20 %",
    "mean_reciprocal_rank": "MRR %",
    "median_rank": "median rank",
}


def evaluate_retrieval(
    model: Any,
    processor: Any,
    pairs: datasets.Dataset,
    pair_budget: int | None = None,
    seed: int = 0,
    num_bootstrap: int = 1000,
    with_random_positions: bool = False,
    coordinates: str = "given",
    num_conformers: int = 1,
    encode_texts: Callable[[Any, Any, list[str]], Tensor] = embed_texts,
    further: Sequence[datasets.Dataset] = (),
) -> dict[str, Any]:
    """Evaluate the retrieval of a model and, as a control, of the same model on random atom positions.

    Args:
        model: a `GeomCLIPModel`; its training mode is restored.
        processor: its processor.
        pairs: rows with `text` and a molecule, as `dataset_pubchem3d.pairs.load_pairs` returns them.
        pair_budget: as for `embed_molecules`.
        seed: random seed of the pools, the bootstrap and the random positions.
        num_bootstrap: number of bootstrap resamples for the intervals; 0 omits the intervals.
        with_random_positions: whether to add the control; requires given coordinates.
        coordinates, num_conformers: as for `average_over_conformers`; embeddings are averaged.
        encode_texts: function of model, processor and texts that returns (texts, projection_dim) embeddings.
        further: datasets of further candidate molecules for text-to-molecule retrieval. Duplicates, molecules of
            `pairs` and molecules that the processor rejects are dropped.
    Returns:
        `metrics` and `ranks` as `score_retrieval` returns them; `num_rows` evaluated; `failures` as [{"row",
        "reason"}]: molecules that the processor rejected, which are not evaluated.
    Raises:
        ValueError: if a row has no text, or if no molecule is left.
    """
    if empty := list_empty(pairs, "text"):
        raise ValueError(f"{len(empty)} rows have no text, first row {empty[0]}; fill them in or remove them")

    def embed(records: list[Record]) -> np.ndarray:
        return embed_records(model, processor, records, pair_budget).numpy()

    def embed_all(records: list[Record]) -> np.ndarray:
        controls = [embed(randomise_positions(records, seed))] if with_random_positions else []
        return np.hstack([embed(records), *controls])

    embeds, kept, failures = average_over_conformers(embed_all, processor, pairs, coordinates, num_conformers)
    names = ["model", *(["random positions"] if with_random_positions else [])]
    geometry_embeds = {
        name: part / np.linalg.norm(part, axis=1, keepdims=True)  # a mean of unit vectors is shorter than 1
        for name, part in zip(names, np.split(embeds, len(names), axis=1), strict=True)
    }
    pairs = pairs.select(kept)
    text_embeds = encode_texts(model, processor, list(pairs["text"])).numpy()
    settings = {"coordinates": coordinates, "num_conformers": num_conformers}
    among = embed_further(embed, processor, further, pairs, **settings) if further else {}
    metrics, ranks = score_retrieval(pairs, text_embeds, geometry_embeds, seed, num_bootstrap, **among)
    return {"metrics": metrics, "ranks": ranks, "num_rows": len(kept), "failures": failures}


def embed_further(
    embed: Callable[[list[Record]], np.ndarray],
    processor: Any,
    datasets_of_molecules: Sequence[datasets.Dataset],
    pairs: datasets.Dataset,
    **settings: Any,
) -> dict[str, Any]:
    """Embed the further molecules of `evaluate_retrieval`.

    Args:
        embed: function from records to embeddings.
        processor: as for `average_over_conformers`.
        datasets_of_molecules: datasets with a molecule per row.
        pairs: rows whose molecules are dropped.
        **settings: `coordinates` and `num_conformers` of `average_over_conformers`.
    Returns:
        `further_predictions` and `further_molecule_ids` for `molecule_text_retrieval`; empty without new molecules.
    """
    known, embeds, ids = {find_first_block(row) for row in pairs}, [], []
    for rows in datasets_of_molecules:
        chosen = rows.select(list_new_molecules(rows, known))
        if len(chosen):
            found, kept, _ = average_over_conformers(embed, processor, chosen, **settings)
            embeds.append(found)
            ids += [find_first_block(row) for row in chosen.select(kept)]
    return {"further_predictions": np.concatenate(embeds), "further_molecule_ids": ids} if embeds else {}


def list_new_molecules(rows: datasets.Dataset, known: set[str | None]) -> list[int]:
    """List the first row of each molecule whose first block is not in `known`, and add the blocks to `known`.

    A molecule without a block always counts as new.
    """
    places, names = [], [name for name in ("inchikey14", "inchikey", "smiles") if name in rows.column_names]
    for place, row in enumerate(rows.select_columns(names)):
        block = find_first_block(row)
        if block is None or block not in known:
            places.append(place)
            known.add(block)
    return places


def score_retrieval(
    pairs: datasets.Dataset,
    text_embeds: np.ndarray,
    geometry_embeds: dict[str, np.ndarray],
    seed: int,
    num_bootstrap: int,
    **further: Any,
) -> tuple[dict[str, dict[str, float]], dict[str, dict[str, list]]]:
    """Score the retrieval between text embeddings and each set of geometry embeddings.

    Args:
        pairs: rows with `text` and a molecule.
        text_embeds: (pairs, projection_dim).
        geometry_embeds: named sets of (pairs, projection_dim).
        seed: random seed of the pools and of the bootstrap.
        num_bootstrap: number of bootstrap resamples for the intervals; 0 omits the intervals.
        **further: `further_predictions` and `further_molecule_ids` of `molecule_text_retrieval`, for the first set.
    Returns:
        For each set, the flat metrics of `molecule_text_retrieval`; and for each set, columns with a value per pair:
        `molecule`, the first block of the InChIKey, and the ranks by `SCOPES`.
    """
    texts, molecules = list(pairs["text"]), [find_first_block(row) for row in pairs]
    metric = MoleculeTextRetrieval()
    shared = {"molecule_ids": molecules, "text_ids": texts, "seed": seed, "return_ranks": True}
    shared |= {"references": text_embeds, "num_bootstrap": num_bootstrap}
    metrics, ranks = {}, {}
    for number, (name, embeds) in enumerate(geometry_embeds.items()):
        metrics[name] = metric.compute(predictions=embeds, **shared, **(further if number == 0 else {}))
        scopes = [scope for scope in SCOPES if f"{scope}_ranks" in metrics[name]]
        ranks[name] = {"molecule": molecules} | {scope: metrics[name].pop(f"{scope}_ranks") for scope in scopes}
    return metrics, ranks


def randomise_positions(records: list[Record], seed: int) -> list[Record]:
    """Place every atom at random from an isotropic Gaussian; this keeps the composition and removes the geometry.

    All molecules share one standard deviation, which removes even their extent: the root mean square distance per axis
    of all atoms from the centres of their molecules. The draw of a row depends only on the seed and the row.
    """
    centred = [record["positions"] - record["positions"].mean(axis=0) for record in records]
    spread = np.sqrt(np.square(np.concatenate(centred)).mean())
    randoms = [np.random.default_rng([seed, record["index"]]) for record in records]
    return [
        record | {"positions": spread * random.standard_normal(record["positions"].shape)}
        for record, random in zip(records, randoms, strict=True)
    ]


def format_table(metrics: dict[str, dict[str, float]]) -> str:
    """Format {row name: flat metrics} as Markdown tables, followed by a comparison of the model with each control.

    The model comes first, then its controls.
    """
    model_row, *controls = metrics
    model = metrics[model_row]
    parts = []
    for scope, title in SCOPES.items():
        if f"{scope}_median_rank" not in model:
            continue
        size = int(model["pool_size" if scope.endswith("pool") else "num_rows"])
        size += int(model["num_further"]) if scope.endswith("further") else 0
        lines = [[f"{title} of {size}", *COLUMNS.values()], ["---"] * (1 + len(COLUMNS))]
        lines += [
            [name, *(_format_cell(values, f"{scope}_{column}") for column in COLUMNS)]
            for name, values in metrics.items()
            if f"{scope}_median_rank" in values
        ]
        lines += [
            [bound, *(_format_number(column, model[f"{scope}_{column}_{bound}"]) for column in COLUMNS)]
            for bound in ("chance", "ceiling")
        ]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        rows = [" | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in lines]
        parts.append("\n".join(f"| {row} |" for row in rows))
    return "\n\n".join(parts + [_judge(model_row, model, control, metrics[control]) for control in controls])


def _format_number(key: str, value: float) -> str:
    return f"{value:.1f}" if "median_rank" in key else f"{100 * value:.1f}"


def _format_cell(values: dict[str, float], key: str) -> str:
    interval = [_format_number(key, values[f"{key}_{end}"]) for end in ("low", "high") if f"{key}_{end}" in values]
    return _format_number(key, values[key]) + (f" [{', '.join(interval)}]" if interval else "")


def _judge(model_row: str, model: dict[str, float], control_row: str, control: dict[str, float]) -> str:
    scopes = [scope for scope in SCOPES if f"{scope}_median_rank" in control]
    lost = {scope: [] for scope in scopes}
    for scope in scopes:
        for column, label in COLUMNS.items():
            gain = model[f"{scope}_{column}"] - control[f"{scope}_{column}"]
            if (-gain if column == "median_rank" else gain) <= 0:
                lost[scope].append(label)
    total, count = len(scopes) * len(COLUMNS), sum(map(len, lost.values()))
    if count == 0:
        return f"The row '{model_row}' beats '{control_row}' in all {total} columns."
    details = [f"- {SCOPES[scope]}: {', '.join(labels)}" for scope, labels in lost.items() if labels]
    return "\n".join([f"The row '{model_row}' does NOT beat '{control_row}' in {count} of {total} columns:", *details])
