"""Do a captioner's captions describe molecules that it has not seen?

    python eval/captioning.py --model captioner --dataset pubchem3d --split test --geomclip geomclip \\
        --judge geomclip_1 --compare blind=captioner_blind --output results/captioning.json

Writes the captions of every system beside the output, prints a table and writes it, with all that is needed to repeat
it, as JSON.
"""

import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import datasets
import evaluate
import numpy as np
import torch
from transformers import HfArgumentParser

if not __package__:  # run as a script: the clone is not on the path
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from dataset_pubchem3d.pairs import first_block, load_pairs, molecule_input
from eval.bootstrap import interval, resampled_ratio
from eval.caption_baselines import most_frequent, nearest_by_embedding, nearest_by_fingerprint
from eval.caption_facts import fact_scores
from eval.caption_generation import caption_losses, generate_captions, other_molecules
from eval.caption_retrieval import expected_pool_hits
from eval.retrieval import (
    ROOT,
    embed_molecules,
    embed_texts,
    load_checkpoint,
    prepare_molecules,
    print_failures,
    write_results,
)

METRIC = ROOT / "eval" / "metrics" / "molecule_captioning"
TRUE = "true captions"
SCORES = {"bleu_2": "BLEU-2", "bleu_4": "BLEU-4", "rouge_1": "ROUGE-1", "rouge_2": "ROUGE-2", "rouge_l": "ROUGE-L"}
SCORES |= {"meteor": "METEOR", "consistency": "consistency", "fact_precision": "fact precision"}
SCORES |= {"fact_recall": "fact recall"}


@dataclass(frozen=True)
class CaptioningSettings:
    """What to evaluate; the fields are the command's flags."""

    model: str = field(metadata={"help": "captioner: checkpoint or adapter folder, or Hub id"})
    dataset: str = field(
        metadata={"help": "folder, Hub id or table of pairs with smiles; a file has the one split train"}
    )
    output: str = field(metadata={"help": "results file to write (JSON)"})
    judge: str = field(metadata={"help": "GeomCLIP of another seed that looks for the molecule of each caption"})
    geomclip: str = field(metadata={"help": "GeomCLIP by which the nearest training molecule is found"})
    compare: list[str] = field(default_factory=list, metadata={"help": "further captioners, each name=folder"})
    dataset_config: str | None = field(default=None, metadata={"help": "config of the data set, such as captioning"})
    split: str = field(default="test", metadata={"help": "split of the data set"})
    train_split: str = field(default="train", metadata={"help": "split of which the baselines take captions"})
    tokenizer: str = field(
        default="allenai/scibert_scivocab_uncased", metadata={"help": "pieces of BLEU and METEOR: folder or Hub id"}
    )
    batch_size: int = field(default=32, metadata={"help": "rows at once"})
    num_beams: int = field(default=1, metadata={"help": "beams; 1 is greedy"})
    max_new_tokens: int = field(default=128, metadata={"help": "longest caption"})
    pool_size: int = field(default=64, metadata={"help": "molecules among which the judge looks"})
    seed: int = field(default=0, metadata={"help": "of the bootstrap"})
    num_bootstrap: int = field(default=1000, metadata={"help": "resamples for the intervals"})


def main() -> None:
    settings = HfArgumentParser(CaptioningSettings).parse_args_into_dataclasses()[0]
    model, processor = load_checkpoint(settings.model)
    given = load_pairs(settings.dataset, settings.split, settings.dataset_config)
    pairs, failures = keep_readable(processor, given)
    training = load_pairs(settings.dataset, settings.train_split, settings.dataset_config)
    search = {"max_new_tokens": settings.max_new_tokens, "num_beams": settings.num_beams, "do_sample": False}
    systems = {"model": generate_captions(model, processor, pairs, settings.batch_size, **search)}
    losses = compare_geometries(model, processor, pairs, settings)
    del model
    for name, folder in (item.split("=", 1) for item in settings.compare):
        systems[name] = generate_captions(*load_checkpoint(folder), pairs, settings.batch_size, **search)
    systems |= baseline_captions(settings, pairs, training)
    write_captions(Path(settings.output).with_suffix(".jsonl"), pairs, systems)
    results = score_systems(settings, pairs, systems)
    print(format_scores(results))
    print(format_losses(losses))
    print_failures(failures)
    record = {"task": "captioning", **results, "geometry_losses": losses, "num_rows": len(pairs), "failures": failures}
    write_results(settings, given, record)


def keep_readable(processor: Any, pairs: datasets.Dataset) -> tuple[datasets.Dataset, list[dict[str, Any]]]:
    """The rows whose molecules the processor takes, and the failures."""
    batch = processor.feature_extractor([molecule_input(row) for row in pairs], errors="report")
    failures = [{"row": failure["index"], "reason": failure["reason"]} for failure in batch["failures"]]
    return pairs.select(batch["kept"].tolist()), failures


def compare_geometries(model: Any, processor: Any, pairs: datasets.Dataset, settings: CaptioningSettings) -> dict:
    """Mean caption loss a token with the right geometry, and how much it grows with another molecule's.

    The other molecule is the next one in the order of size with another first InChIKey block, so that its size is no
    hint. The interval is that of the mean of the paired differences.
    """
    rows, captions = list(pairs), list(pairs["text"])
    others = other_molecules(rows)
    right, counts = caption_losses(model, processor, rows, captions, settings.batch_size)
    wrong, _ = caption_losses(model, processor, rows, captions, settings.batch_size, [rows[index] for index in others])
    gain = interval(resampled_ratio((wrong - right) / counts, None, settings.num_bootstrap, settings.seed))
    return {
        "right_geometry": float((right / counts).mean()),
        "other_geometry": float((wrong / counts).mean()),
        **dict(zip(("difference", "difference_low", "difference_high"), gain)),
        "share_of_rows_better": float((right < wrong).mean()),
    }


def baseline_captions(
    settings: CaptioningSettings, pairs: datasets.Dataset, training: datasets.Dataset
) -> dict[str, list[str]]:
    """What can be said without a language model: a training caption."""
    geomclip, processor = load_checkpoint(settings.geomclip)
    embeds = []
    for split in (pairs, training):
        molecules, rows, _ = prepare_molecules(processor, split)
        embeds.append((embed_no_grad(geomclip, molecules, settings.batch_size), rows))
    (queries, kept), (candidates, candidate_rows) = embeds
    if len(kept) != len(pairs):
        raise ValueError(
            f"{settings.geomclip} reads {len(kept)} of the {len(pairs)} molecules that the captioner reads"
        )
    by_embedding = [candidate_rows[index] for index in nearest_by_embedding(queries, candidates)]
    by_fingerprint = nearest_by_fingerprint(list(pairs["smiles"]), list(training["smiles"]))
    captions = list(training["text"])
    return {
        "nearest by GeomCLIP": [captions[index] for index in by_embedding],
        "nearest by ECFP4": [captions[index] for index in by_fingerprint],
        "most frequent": [most_frequent(captions)] * len(pairs),
    }


@torch.no_grad()
def embed_no_grad(model: Any, molecules: dict[str, torch.Tensor], batch_size: int) -> np.ndarray:
    return embed_molecules(model, molecules, batch_size).numpy()


@torch.no_grad()
def judge_hits(settings: CaptioningSettings, pairs: datasets.Dataset, systems: dict[str, list[str]]) -> dict:
    """Probability that the judge finds a caption's own molecule first in a random pool: (rows,) for each system."""
    judge, processor = load_checkpoint(settings.judge)
    molecules, rows, _ = prepare_molecules(processor, pairs)
    if len(rows) != len(pairs):
        raise ValueError(f"{settings.judge} reads {len(rows)} of the {len(pairs)} molecules that the captioner reads")
    geometry = embed_molecules(judge, molecules, settings.batch_size).double().numpy()
    ids = [first_block(row) for row in pairs]
    hits = {}
    for name, captions in systems.items():
        text = embed_texts(judge, processor, captions, settings.batch_size).double().numpy()
        hits[name] = expected_pool_hits(text @ geometry.T, ids, settings.pool_size)
    return hits


def score_systems(settings: CaptioningSettings, pairs: datasets.Dataset, systems: dict[str, list[str]]) -> dict:
    """`scores`: {system: flat scores with intervals}; `differences`: {system: the model's scores minus its}."""
    metric, references = evaluate.load(str(METRIC)), list(pairs["text"])
    shared = {"references": references, "tokenizer": settings.tokenizer}
    shared |= {"num_bootstrap": settings.num_bootstrap, "seed": settings.seed}
    others = {name: captions for name, captions in systems.items() if name != "model"}
    model = metric.compute(predictions=systems["model"], compared_with=others, **shared)
    scores = {"model": {key: value for key, value in model.items() if "_minus_" not in key}}
    scores |= {name: metric.compute(predictions=captions, **shared) for name, captions in others.items()}
    scores[TRUE] = {}
    differences = {
        name: {key.replace(f"_minus_{name}", ""): value for key, value in model.items() if f"_minus_{name}" in key}
        for name in others
    }
    samples = resampled_scores(settings, pairs, {**systems, TRUE: references})
    for name, values in samples.items():
        add_intervals(scores[name], values)
        if name in differences:
            add_intervals(differences[name], {key: samples["model"][key] - values[key] for key in values})
    return {"scores": scores, "differences": differences}


def resampled_scores(
    settings: CaptioningSettings, pairs: datasets.Dataset, systems: dict[str, list[str]]
) -> dict[str, dict[str, np.ndarray]]:
    """Retrieval consistency, precision and recall of facts as `resampled_ratio` gives them, for each system."""
    hits, molecules = judge_hits(settings, pairs, systems), list(pairs["smiles"])
    drawn = {"num_bootstrap": settings.num_bootstrap, "seed": settings.seed}
    samples = {}
    for name, captions in systems.items():
        facts = fact_scores(captions, molecules)
        samples[name] = {
            "consistency": resampled_ratio(hits[name], **drawn),
            "fact_precision": resampled_ratio(facts["true"], facts["stated"], **drawn),
            "fact_recall": resampled_ratio(facts["true"], facts["present"], **drawn),
        }
    return samples


def add_intervals(scores: dict[str, float | None], samples: dict[str, np.ndarray]) -> None:
    for key, values in samples.items():
        scores |= dict(zip((key, f"{key}_low", f"{key}_high"), interval(values)))


def write_captions(path: Path, pairs: datasets.Dataset, systems: dict[str, list[str]]) -> None:
    """One JSON object a row: the molecule, where its reference comes from, and the captions of all systems."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8") as file:
        for index, row in enumerate(pairs):
            origin = {key: row[key] for key in ("inchikey", "smiles", "text_source", "text_kind") if row.get(key)}
            captions = {name: captions[index] for name, captions in systems.items()}
            file.write(json.dumps({**origin, "reference": row["text"], **captions}, ensure_ascii=False) + "\n")


def format_scores(results: dict[str, Any]) -> str:
    """Markdown: the scores of every system in percent, and the model's lead over each other one."""
    tables = []
    for title, rows in (("system", results["scores"]), ("model minus", results["differences"])):
        lines = [f"| {title} | {' | '.join(SCORES.values())} |", "| --- |" + " --- |" * len(SCORES)]
        lines += [f"| {name} | {' | '.join(_cell(values, key) for key in SCORES)} |" for name, values in rows.items()]
        tables.append("\n".join(lines))
    return "\n\n".join(tables)


def _cell(values: dict[str, float], key: str) -> str:
    if values.get(key) is None:
        return "–"
    interval = (
        f" [{100 * values[f'{key}_low']:.1f}, {100 * values[f'{key}_high']:.1f}]" if f"{key}_low" in values else ""
    )
    return f"{100 * values[key]:.1f}{interval}"


def format_losses(losses: dict[str, float]) -> str:
    return (
        f"caption loss: {losses['right_geometry']:.4f} nats a token with the right geometry, "
        f"{losses['other_geometry']:.4f} with another molecule's; mean paired difference {losses['difference']:.4f} "
        f"[{losses['difference_low']:.4f}, {losses['difference_high']:.4f}], "
        f"the right one is better in {100 * losses['share_of_rows_better']:.1f} % of rows"
    )


if __name__ == "__main__":
    main()
