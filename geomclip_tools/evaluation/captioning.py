"""Evaluate the captions of held-out molecules and compare systems."""

from collections.abc import Callable
from typing import Any

import datasets
import numpy as np

from dataset_pubchem3d.pairs import find_first_block
from modeling_geomclip import embed_molecules, embed_texts

from .bootstrap import interval, resample_ratio
from .caption_baselines import find_commonest, find_nearest_by_embedding, find_nearest_by_fingerprint
from .caption_facts import count_facts
from .caption_retrieval import expect_pool_hits
from .caption_table import SCORES
from .conformers import Record, read_molecules_of

TRUE = "true captions"
BASELINES = ("nearest by GeomCLIP", "nearest by ECFP4", "most frequent")


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


def caption_by_baselines(
    geomclip: Any, processor: Any, pairs: datasets.Dataset, training: datasets.Dataset, name: str = "the GeomCLIP"
) -> tuple[dict[str, list[str]], list[dict[str, Any]]]:
    """Caption molecules with training captions, without a language model.

    Args:
        geomclip, processor: the GeomCLIP that finds the nearest training molecule, and its processor.
        pairs, training: rows with a molecule, `smiles` and `text`.
        name: name of the GeomCLIP in error messages.
    Returns:
        The captions of each of `BASELINES`, and the failures among the training molecules as [{"row", "reason"}].
    Raises:
        ValueError: if the processor rejects a molecule of `pairs` or all of `training`.
    """
    candidates, failures = read_molecules_of(processor, training)
    training = training.select([record["index"] for record in candidates])
    queries, candidates = (
        embed_molecules(geomclip, processor, records).numpy()
        for records in (read_all(processor, pairs, name), candidates)
    )
    by_embedding = find_nearest_by_embedding(queries, candidates)
    by_fingerprint = find_nearest_by_fingerprint(list(pairs["smiles"]), list(training["smiles"]))
    captions = list(training["text"])
    said = (
        [captions[index] for index in by_embedding],
        [captions[index] for index in by_fingerprint],
        [find_commonest(captions)] * len(pairs),
    )
    return dict(zip(BASELINES, said, strict=True)), failures


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
            add_intervals(differences[name], {key: samples["model"][key] - values[key] for key in values})
    return {"scores": scores, "differences": differences}


def resample_scores(
    molecules: list[str], systems: dict[str, list[str]], hits: dict[str, np.ndarray], **drawn: int
) -> dict[str, dict[str, np.ndarray]]:
    """Resample retrieval consistency, fact precision and fact recall of each system with `resample_ratio`."""
    samples = {}
    for name, captions in systems.items():
        facts = count_facts(captions, molecules)
        samples[name] = {
            "consistency": resample_ratio(hits[name], **drawn),
            "fact_precision": resample_ratio(facts["true"], facts["stated"], **drawn),
            "fact_recall": resample_ratio(facts["true"], facts["present"], **drawn),
        }
    return samples


def add_intervals(scores: dict[str, float | None], samples: dict[str, np.ndarray]) -> None:
    """Add the value and the interval bounds of each of the samples to `scores`."""
    for key, values in samples.items():
        scores |= dict(zip((key, f"{key}_low", f"{key}_high"), interval(values)))
