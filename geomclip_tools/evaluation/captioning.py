"""Evaluate the captions of held-out molecules and compare systems."""

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import datasets
import numpy as np
from torch import Tensor

from dataset_pubchem3d.pairs import find_first_block
from modeling_geomclip import GeomCLIPReferences, Neighbour, embed_molecules, embed_texts
from modeling_geomclip.embedding_geomclip import embed_records
from modeling_geomclip.references_geomclip import hash_geometry_side

from .bootstrap import interval, resample_ratio
from .caption_baselines import find_commonest, find_nearest_by_fingerprint, rank_by_embedding
from .caption_consensus import NUM_CONSULTED
from .caption_facts import KINDS, count_facts
from .caption_reranking import (
    Weights,
    choose_candidates,
    collect_candidates,
    embed_different,
    measure_candidates,
    measure_similarities,
)
from .caption_retrieval import expect_pool_hits
from .caption_table import SCORES
from .conformers import Record, read_molecules_of

TRUE = "true captions"
RERANKED = "neighbours reranked"
BASELINES = ("nearest by GeomCLIP", "nearest by ECFP4", RERANKED, "most frequent")


def keep_readable(processor: Any, pairs: datasets.Dataset) -> tuple[datasets.Dataset, list[dict[str, Any]]]:
    """Return the rows whose molecules the processor accepts, and the failures."""
    records, failures = read_molecules_of(processor, pairs)
    return pairs.select([record["index"] for record in records]), failures


def read_all(processor: Any, pairs: datasets.Dataset, name: str) -> list[Record]:
    """Read all molecules with the processor of the checkpoint `name`.

    Raises:
        ValueError: if the processor rejects a molecule.
    """
    records, failures = read_molecules_of(processor, pairs)
    if failures:
        raise ValueError(
            f"{name} reads {len(records)} of the {len(pairs)} molecules that the captioner reads, but not row "
            f"{failures[0]['row']}: {failures[0]['reason']}; use a checkpoint that reads all of them"
        )
    return records


@dataclass(frozen=True)
class Captioned:
    """Captions that a GeomCLIP takes from training molecules or chooses among candidates.

    Args:
        baselines: the captions of each of `BASELINES`, one per row.
        chosen: the captions that are chosen among the drafts of each captioner and the captions of similar molecules.
        candidates: those of each captioner, and of the reranked neighbours.
        measured: the terms of the scores of these candidates, see `measure_candidates`.
        failures: the failures among the training molecules as [{"row", "reason"}].
    """

    baselines: dict[str, list[str]]
    chosen: dict[str, list[str]]
    candidates: dict[str, list[list[str]]]
    measured: dict[str, list[np.ndarray]]
    failures: list[dict[str, Any]]


def caption_by_geomclip(
    geomclip: Any,
    processor: Any,
    pairs: datasets.Dataset,
    training: datasets.Dataset,
    drafts: Mapping[str, list[list[str]]],
    weights: Weights,
    name: str = "the GeomCLIP",
) -> Captioned:
    """Caption molecules with training captions, without a language model, and choose among the drafts of captioners.

    The candidates of a captioner are its drafts and the captions of the `NUM_CONSULTED` nearest molecules, the reranked
    neighbours are the latter alone, with the same score; see `find_neighbours` for what is left out.

    Args:
        geomclip, processor: the GeomCLIP that finds the nearest training molecules, and its processor.
        pairs, training: rows with a molecule, `smiles` and `text`.
        drafts: of each captioner, captions of each of the `pairs`.
        weights: of the scores by which candidates are chosen.
        name: name of the GeomCLIP in error messages.
    Raises:
        ValueError: if the processor rejects a molecule of `pairs` or all of `training`.
    """
    trained, failures = read_molecules_of(processor, training)
    training = training.select([record["index"] for record in trained])
    records = read_all(processor, pairs, name)
    queries, references = (embed_records(geomclip, processor, part) for part in (records, trained))
    captions = list(training["text"])
    nearest = rank_by_embedding(queries.numpy(), references.numpy(), 1)[:, 0]
    by_fingerprint = find_nearest_by_fingerprint(list(pairs["smiles"]), list(training["smiles"]))
    neighbours = find_neighbours(queries, pairs, references, training, hash_geometry_side(geomclip))
    given = {**drafts, RERANKED: [[]] * len(pairs)}
    candidates = {system: collect_candidates(written, neighbours) for system, written in given.items()}
    texts = embed_different(geomclip, processor, itertools.chain.from_iterable(candidates.values()))
    measured = {
        system: measure_candidates(
            records, found, given[system], neighbours, measure_similarities(queries.double().numpy(), texts, found)
        )
        for system, found in candidates.items()
    }
    chosen = {system: choose_candidates(found, measured[system], weights) for system, found in candidates.items()}
    baselines = (
        [captions[index] for index in nearest],
        [captions[index] for index in by_fingerprint],
        chosen.pop(RERANKED),
        [find_commonest(captions)] * len(pairs),
    )
    return Captioned(dict(zip(BASELINES, baselines, strict=True)), chosen, candidates, measured, failures)


def find_neighbours(
    queries: Tensor,
    pairs: datasets.Dataset,
    references: Tensor,
    training: datasets.Dataset,
    geometry_hash: str,
    number: int = NUM_CONSULTED,
) -> list[list[Neighbour]]:
    """Find the nearest training molecules of each row of `pairs`.

    None has the first InChIKey block or the text of the row. Training molecules without an InChIKey are nobody's
    neighbours, and rows without one have none.

    Args:
        queries, references: geometry embeddings of `pairs` and of `training`.
        geometry_hash: of the geometry side that made them.
        number: neighbours per row.
    """
    blocks, own = ([find_first_block(row) for row in rows] for rows in (training, pairs))
    named = [place for place, block in enumerate(blocks) if block]
    if not named:
        return [[]] * len(pairs)
    captions = training["text"][:]
    chosen = ([captions[place] for place in named], [blocks[place] for place in named])
    index = GeomCLIPReferences(references[named], *chosen, geometry_hash)
    found = index.find(queries, number, own, pairs["text"][:])
    return [near if block else [] for near, block in zip(found, own, strict=True)]


def judge_captions(
    judge: Any,
    processor: Any,
    pairs: datasets.Dataset,
    systems: dict[str, list[str]],
    pool_size: int,
    name: str = "the judge",
) -> dict[str, np.ndarray]:
    """Compute the probability that a GeomCLIP ranks a caption's own molecule first in a random pool.

    Args:
        judge, processor: the GeomCLIP and its processor.
        pairs: rows with a molecule each.
        systems: captions of each system, one per row.
        pool_size: number of candidates in a pool.
        name: name of the judge in error messages.
    Returns:
        (rows,) float64 for each system.
    Raises:
        ValueError: if the judge rejects a molecule, or as for `expect_pool_hits`.
    """
    geometry = embed_molecules(judge, processor, read_all(processor, pairs, name)).double().numpy()
    ids = [find_first_block(row) for row in pairs]
    hits = {}
    for system, captions in systems.items():
        text = embed_texts(judge, processor, captions).double().numpy()
        hits[system] = expect_pool_hits(text @ geometry.T, ids, pool_size)
    return hits


def score_systems(
    pairs: datasets.Dataset,
    systems: dict[str, list[str]],
    hits: dict[str, np.ndarray],
    tokenizer: str | Callable[[str], list[str]],
    num_bootstrap: int = 1000,
    seed: int = 0,
) -> dict[str, dict[str, dict[str, float | None]]]:
    """Score the captions of every system, with confidence intervals.

    Args:
        pairs: rows with `smiles` and `text`, the true captions.
        systems: captions of each system; the key "model" comes first.
        hits: as `judge_captions` returns them, for all systems and for `TRUE`.
        tokenizer: as for `MoleculeCaptioning`.
        num_bootstrap: number of bootstrap resamples for the intervals.
        seed: random seed of the bootstrap.
    Returns:
        `scores` as {system: flat scores}; `differences` as {system: scores of the model minus scores of the system}.
    """
    from .metrics.molecule_captioning import MoleculeCaptioning  # needs optional packages

    metric, references = MoleculeCaptioning(), list(pairs["text"])
    shared = {"references": references, "tokenizer": tokenizer, "num_bootstrap": num_bootstrap, "seed": seed}
    others = {name: captions for name, captions in systems.items() if name != "model"}
    # The metric's keys end in the name of a system. Numbers avoid ambiguous keys for names that contain each other.
    numbered = {str(number): captions for number, captions in enumerate(others.values())}
    model = metric.compute(predictions=systems["model"], compared_with=numbered, **shared)
    scores = {"model": {key: value for key, value in model.items() if "_minus_" not in key}}
    scores |= {name: metric.compute(predictions=captions, **shared) for name, captions in others.items()}
    scores[TRUE] = {}
    differences = {}
    for number, name in enumerate(others):
        keys = {f"{key}{end}": f"{key}_minus_{number}{end}" for key in SCORES for end in ("", "_low", "_high")}
        differences[name] = {key: model[long] for key, long in keys.items() if long in model}
    captions = {**systems, TRUE: references}
    samples = resample_scores(list(pairs["smiles"]), captions, hits, num_bootstrap=num_bootstrap, seed=seed)
    for name, values in samples.items():
        add_intervals(scores[name], values)
        if name in differences:
            add_intervals(
                differences[name], {key: samples["model"][key] - values[key] for key in values if key in SCORES}
            )
    return {"scores": scores, "differences": differences}


def resample_scores(
    molecules: list[str], systems: dict[str, list[str]], hits: dict[str, np.ndarray], **drawn: int
) -> dict[str, dict[str, np.ndarray]]:
    """Resample consistency, fact precision and recall, and false statements of each system with `resample_ratio`."""
    samples = {}
    for name, captions in systems.items():
        facts = count_facts(captions, molecules)
        samples[name] = {
            "consistency": resample_ratio(hits[name], **drawn),
            "fact_precision": resample_ratio(facts["true"], facts["stated"], **drawn),
            "fact_recall": resample_ratio(facts["true"], facts["present"], **drawn),
            **{f"false_{kind}": resample_ratio(facts[f"false_{kind}"], **drawn) for kind in KINDS},
        }
    return samples


def add_intervals(scores: dict[str, float | None], samples: dict[str, np.ndarray]) -> None:
    """Add the value and the interval bounds of each of the samples to `scores`."""
    for key, values in samples.items():
        scores |= dict(zip((key, f"{key}_low", f"{key}_high"), interval(values)))
