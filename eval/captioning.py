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
from transformers import AutoTokenizer, HfArgumentParser

if not __package__:  # run as a script: the clone is not on the path
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from dataset_pubchem3d.pairs import first_block, load_pairs
from eval.bootstrap import interval, resampled_ratio
from eval.caption_baselines import most_frequent, nearest_by_embedding, nearest_by_fingerprint
from eval.caption_facts import fact_scores
from eval.caption_generation import compare_geometries, generate_captions
from eval.caption_retrieval import expected_pool_hits
from eval.caption_table import SCORES, format_losses, format_scores
from eval.conformers import Record, read_molecules_of
from eval.retrieval import ROOT, load_checkpoint, print_failures, write_results
from modeling_geomclip import embed_molecules, embed_texts

METRIC = ROOT / "eval" / "metrics" / "molecule_captioning"
TRUE = "true captions"
BASELINES = ("nearest by GeomCLIP", "nearest by ECFP4", "most frequent")
ORIGIN = ("inchikey", "smiles", "text_source", "text_kind")
RESERVED = {TRUE, *BASELINES, "reference", *ORIGIN}  # rows of the table, keys beside the captions


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
    compare: list[str] = field(default_factory=list, metadata={"help": "further captioners, name=folder each"})
    dataset_config: str | None = field(default=None, metadata={"help": "config of the data set, such as captioning"})
    split: str = field(default="test", metadata={"help": "split of the data set"})
    train_split: str = field(default="train", metadata={"help": "split of which the baselines take captions"})
    tokenizer: str = field(
        default="allenai/scibert_scivocab_uncased", metadata={"help": "pieces of BLEU and METEOR: folder or Hub id"}
    )
    batch_size: int = field(default=32, metadata={"help": "rows at once"})
    num_beams: int = field(default=1, metadata={"help": "beams; 1 is greedy"})
    max_new_tokens: int = field(default=128, metadata={"help": "longest caption"})
    repetition_penalty: float = field(default=1.0, metadata={"help": "above 1, what was said becomes less likely"})
    pool_size: int = field(default=64, metadata={"help": "molecules among which the judge looks"})
    seed: int = field(default=0, metadata={"help": "of the bootstrap"})
    num_bootstrap: int = field(default=1000, metadata={"help": "resamples for the intervals"})


def main() -> None:
    settings = HfArgumentParser(CaptioningSettings).parse_args_into_dataclasses()[0]
    captioners = name_captioners(settings)
    AutoTokenizer.from_pretrained(settings.tokenizer)  # needed last: what is wrong with it shows now
    given, training = (load_filled(settings, split) for split in (settings.split, settings.train_split))
    # Every step loads the model that it needs and lets it go, so that no two are in memory.
    pairs, failures = keep_readable(load_checkpoint(settings.model, "auto")[1], given)
    baselines, training_failures = baseline_captions(settings, pairs, training)
    sampling = {"batch_size": settings.batch_size, "num_bootstrap": settings.num_bootstrap, "seed": settings.seed}
    losses = compare_geometries(*load_checkpoint(settings.model, "auto"), pairs, **sampling)
    search = {"max_new_tokens": settings.max_new_tokens, "num_beams": settings.num_beams, "do_sample": False}
    search |= {"repetition_penalty": settings.repetition_penalty}
    systems = {
        name: generate_captions(*load_checkpoint(folder, "auto"), pairs, settings.batch_size, **search)
        for name, folder in captioners.items()
    }
    systems |= baselines
    write_captions(Path(settings.output).with_suffix(".jsonl"), pairs, systems)
    results = score_systems(settings, pairs, systems)
    print(format_scores(results))
    print(format_losses(losses))
    print_failures(failures)
    results |= {"geometry_losses": losses, "num_rows": len(pairs)}
    results |= {"failures": failures, "training_failures": training_failures}
    write_results(settings, given, {"task": "captioning", **results})


def name_captioners(settings: CaptioningSettings) -> dict[str, str]:
    """{name: folder or Hub id} of the captioners, the model first."""
    captioners = {"model": settings.model}
    for item in settings.compare:
        name, _, folder = item.partition("=")
        if not (name and folder):
            raise ValueError(f"--compare {item!r} is not name=folder; give the captioner a name, such as blind={item}")
        if name in captioners or name in RESERVED:
            raise ValueError(f"--compare {item!r}: the name {name!r} is taken; choose another")
        captioners[name] = folder
    return captioners


def load_filled(settings: CaptioningSettings, split: str) -> datasets.Dataset:
    """Rows of the split; each has a text and, for fingerprints and facts, SMILES."""
    pairs = load_pairs(settings.dataset, split, settings.dataset_config)
    for column in ("text", "smiles"):
        values = pairs[column] if column in pairs.column_names else [None] * len(pairs)
        empty = [row for row, value in enumerate(values) if not (value and value.strip())]
        if empty:
            raise ValueError(
                f"{len(empty)} rows of the split {split!r} of {settings.dataset} have no {column}, first row "
                f"{empty[0]}; fill them or filter them out"
            )
    return pairs


def keep_readable(processor: Any, pairs: datasets.Dataset) -> tuple[datasets.Dataset, list[dict[str, Any]]]:
    """The rows whose molecules the processor takes, and the failures."""
    records, failures = read_molecules_of(processor, pairs)
    return pairs.select([record["index"] for record in records]), failures


def baseline_captions(
    settings: CaptioningSettings, pairs: datasets.Dataset, training: datasets.Dataset
) -> tuple[dict[str, list[str]], list[dict[str, Any]]]:
    """What can be said without a language model, a training caption; and the training molecules left out."""
    geomclip, processor = load_checkpoint(settings.geomclip)
    candidates, failures = read_molecules_of(processor, training)
    training = training.select([record["index"] for record in candidates])
    queries, candidates = (
        embed_molecules(geomclip, processor, records).numpy()
        for records in (read_all(processor, pairs, settings.geomclip), candidates)
    )
    by_embedding = nearest_by_embedding(queries, candidates)
    by_fingerprint = nearest_by_fingerprint(list(pairs["smiles"]), list(training["smiles"]))
    captions = list(training["text"])
    said = (
        [captions[index] for index in by_embedding],
        [captions[index] for index in by_fingerprint],
        [most_frequent(captions)] * len(pairs),
    )
    return dict(zip(BASELINES, said, strict=True)), failures


def read_all(processor: Any, pairs: datasets.Dataset, checkpoint: str) -> list[Record]:
    records, failures = read_molecules_of(processor, pairs)
    if failures:
        raise ValueError(
            f"{checkpoint} reads {len(records)} of the {len(pairs)} molecules that the captioner reads, not row "
            f"{failures[0]['row']}: {failures[0]['reason']}; take a checkpoint that reads what the captioner reads"
        )
    return records


def judge_hits(settings: CaptioningSettings, pairs: datasets.Dataset, systems: dict[str, list[str]]) -> dict:
    """Probability that the judge finds a caption's own molecule first in a random pool: (rows,) for each system."""
    judge, processor = load_checkpoint(settings.judge)
    molecules = read_all(processor, pairs, settings.judge)
    geometry = embed_molecules(judge, processor, molecules).double().numpy()
    ids = [first_block(row) for row in pairs]
    hits = {}
    for name, captions in systems.items():
        text = embed_texts(judge, processor, captions).double().numpy()
        hits[name] = expected_pool_hits(text @ geometry.T, ids, settings.pool_size)
    return hits


def score_systems(settings: CaptioningSettings, pairs: datasets.Dataset, systems: dict[str, list[str]]) -> dict:
    """`scores`: {system: flat scores with intervals}; `differences`: {system: the model's scores minus its}."""
    metric, references = evaluate.load(str(METRIC)), list(pairs["text"])
    shared = {"references": references, "tokenizer": settings.tokenizer}
    shared |= {"num_bootstrap": settings.num_bootstrap, "seed": settings.seed}
    others = {name: captions for name, captions in systems.items() if name != "model"}
    # The metric's keys end in a system's name. By numbers, no name can be taken for another, or for an end of one.
    numbered = {str(number): captions for number, captions in enumerate(others.values())}
    model = metric.compute(predictions=systems["model"], compared_with=numbered, **shared)
    scores = {"model": {key: value for key, value in model.items() if "_minus_" not in key}}
    scores |= {name: metric.compute(predictions=captions, **shared) for name, captions in others.items()}
    scores[TRUE] = {}
    differences = {}
    for number, name in enumerate(others):
        keys = {f"{key}{end}": f"{key}_minus_{number}{end}" for key in SCORES for end in ("", "_low", "_high")}
        differences[name] = {key: model[long] for key, long in keys.items() if long in model}
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
            origin = {key: row[key] for key in ORIGIN if row.get(key)}
            captions = {name: captions[index] for name, captions in systems.items()}
            file.write(json.dumps({**origin, "reference": row["text"], **captions}, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
