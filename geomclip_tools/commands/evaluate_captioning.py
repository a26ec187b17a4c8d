"""`geomclip evaluate captioning`: evaluate the captions of held-out molecules."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import datasets
import numpy as np
import pandas as pd
from transformers import AutoTokenizer

from dataset_pubchem3d.pairs import load_molecules
from modeling_geomclip.references_geomclip import hash_modules

from ..evaluation.caption_drafts import DraftFile
from ..evaluation.caption_generation import choose_length, compare_geometries, generate_drafts, list_prompt_inputs
from ..evaluation.caption_reranking import DEFAULT_WEIGHTS, TERMS, Weights
from ..evaluation.caption_table import format_false_statements, format_losses, format_scores
from ..evaluation.captioning import (
    BASELINES,
    TRUE,
    Captioned,
    caption_by_geomclip,
    judge_captions,
    keep_readable,
    score_systems,
)
from ..evaluation.conformers import list_empty
from ..loading import check_kind, load_captioner, load_geomclip
from ..records import digest_rows, write_results
from .evaluation_settings import ENCODING_HELP, print_failures
from .parsing import parse_flags

EXAMPLE = (
    "geomclip evaluate captioning --model captioner --dataset pubchem3d --split test --geomclip geomclip "
    "--judge geomclip_1 --compare blind=captioner_blind --output results/captioning.json"
)
FIRST = ", first draft"  # end of the name of a captioner whose captions are not chosen
PROMPT_SETTINGS = ("prompt", "prompt_format", "neighbour_order", "max_neighbour_tokens")
ORIGIN = ("inchikey", "smiles", "text_source", "text_kind")
RESERVED = {TRUE, *BASELINES, "reference", *ORIGIN}  # table rows and keys of the captions file


@dataclass(frozen=True, kw_only=True)
class CaptioningSettings:
    """Settings of `geomclip evaluate captioning`."""

    model: str = field(metadata={"help": "captioner: checkpoint folder, adapter folder or Hub id"})
    dataset: str = field(
        metadata={"help": "folder, Hub id or table of pairs with smiles; a table has only the split train"}
    )
    output: str = field(metadata={"help": "results file to write (JSON)"})
    judge: str = field(metadata={"help": "GeomCLIP of another seed that retrieves the molecule of each caption"})
    geomclip: str = field(metadata={"help": "GeomCLIP that finds the nearest training molecules"})
    compare: list[str] = field(default_factory=list, metadata={"help": "other captioners, each as name=folder"})
    dataset_config: str | None = field(default=None, metadata={"help": "dataset configuration, such as captioning"})
    encoding: str = field(default="utf-8", metadata={"help": ENCODING_HELP})
    split: str = field(default="test", metadata={"help": "dataset split to evaluate"})
    train_split: str = field(default="train", metadata={"help": "split of the nearest training molecules"})
    tokenizer: str = field(
        default="allenai/scibert_scivocab_uncased",
        metadata={"help": "tokenizer for BLEU and METEOR: folder or Hub id"},
    )
    batch_size: int = field(default=32, metadata={"help": "molecules per batch"})
    num_beams: int = field(default=1, metadata={"help": "number of beams; 1 is greedy decoding"})
    num_drafts: int | None = field(
        default=None,
        metadata={
            "help": "number of captions that a captioner drafts, the best beams if more than one; the best of them and "
            "of the captions of the 30 nearest training molecules is taken. If omitted, the first draft is taken"
        },
    )
    draft_weight: float = field(
        default=DEFAULT_WEIGHTS.drafts,
        metadata={"help": "weight of a caption's overlap with the drafts, beside 1 for that with the neighbours'"},
    )
    similarity_weight: float = field(
        default=DEFAULT_WEIGHTS.similarity,
        metadata={"help": "weight of the cosine of the embeddings of caption and geometry, by --geomclip"},
    )
    agreement_weight: float = field(
        default=DEFAULT_WEIGHTS.agreement,
        metadata={"help": "weight, subtracted, of each contradiction of a caption to elements or rings"},
    )
    max_new_tokens: int | None = field(
        default=None, metadata={"help": "maximum length of a caption in tokens; if omitted, that of the captioner"}
    )
    repetition_penalty: float = field(default=1.0, metadata={"help": "values above 1 penalise repeated tokens"})
    pool_size: int = field(default=64, metadata={"help": "candidate molecules in each pool of the judge"})
    seed: int = field(default=0, metadata={"help": "random seed of the bootstrap"})
    num_bootstrap: int = field(default=1000, metadata={"help": "bootstrap resamples for the confidence intervals"})

    def __post_init__(self):
        for name in ("num_drafts", "num_beams", "batch_size", "max_new_tokens"):
            if (number := getattr(self, name)) is not None and number < 1:
                raise ValueError(f"--{name} is {number}; it must be at least 1")
        if self.num_drafts is None and self.draft_weight != DEFAULT_WEIGHTS.drafts:
            raise ValueError("without --num_drafts, no caption is chosen by --draft_weight; pass --num_drafts")

    @property
    def search(self) -> dict:
        """Arguments of `generate`."""
        search = {"num_beams": self.num_beams, "do_sample": False, "repetition_penalty": self.repetition_penalty}
        return search | ({} if self.max_new_tokens is None else {"max_new_tokens": self.max_new_tokens})

    @property
    def weights(self) -> Weights:
        """Weights of the scores by which candidates are chosen."""
        return Weights(1.0, self.draft_weight, self.similarity_weight, self.agreement_weight)


def main(argv: Sequence[str], command: Sequence[str] = ("geomclip", "evaluate", "captioning")) -> None:
    """Generate and score captions, print tables, and write the results and the captions."""
    settings = parse_flags(CaptioningSettings, argv, " ".join(command), EXAMPLE)
    captioners = name_captioners(settings)
    # Needed last, but loaded first: a missing package or tokenizer fails before the long computations.
    from ..evaluation.metrics import molecule_captioning  # noqa: F401

    AutoTokenizer.from_pretrained(settings.tokenizer)
    for folder in (settings.geomclip, settings.judge):
        check_kind(folder, "geomclip", "does not embed molecules and texts; pass a GeomCLIP")
    evaluated, training = (load_filled(settings, split) for split in (settings.split, settings.train_split))
    # Every step loads its own model and releases it; memory never holds two models.
    pairs, failures = keep_readable(load_captioner(settings.model)[1], evaluated)
    sampling = {"num_bootstrap": settings.num_bootstrap, "seed": settings.seed}
    losses = compare_losses(settings, pairs, **sampling)
    drafts = {name: write_drafts(settings, name, folder, pairs) for name, folder in captioners.items()}
    chosen_from = {} if settings.num_drafts is None else drafts
    given = (pairs, training, chosen_from, settings.weights, settings.geomclip)
    captioned = caption_by_geomclip(*load_geomclip(settings.geomclip), *given)
    systems = name_systems(drafts, captioned, settings.num_drafts)
    write_captions(Path(settings.output).with_suffix(".jsonl"), pairs, systems)
    if settings.num_drafts is not None:
        write_candidates(Path(settings.output).with_suffix(".candidates.parquet"), captioned)
    hits = judge_all(settings, pairs, {**systems, TRUE: list(pairs["text"])})
    results = score_systems(pairs, systems, hits, settings.tokenizer, **sampling)
    print(format_scores(results), format_false_statements(results), sep="\n\n")
    print(format_losses(losses))
    print_failures(failures)
    results |= {"geometry_losses": losses, "num_rows": len(pairs)}
    results |= {"failures": failures, "training_failures": captioned.failures}
    write_results(settings, evaluated, {"task": "captioning", **results}, [*command, *argv])


def compare_losses(settings: CaptioningSettings, pairs: datasets.Dataset, **sampling: int) -> dict[str, float | None]:
    """Compare the model's losses with the correct geometries and with those of other molecules."""
    captioner, rows = load_captioner(settings.model), list(pairs)
    prompt_inputs = list_prompt_inputs(*captioner, rows, leave_own_out=True)
    return compare_geometries(*captioner, rows, settings.batch_size, prompt_inputs, **sampling)


def write_drafts(settings: CaptioningSettings, name: str, folder: str, pairs: datasets.Dataset) -> list[list[str]]:
    """Generate the captions of a captioner, without the references of the molecules themselves.

    They are appended to a file beside the results, from which an interrupted evaluation continues.
    """
    (captioner, processor), rows = load_captioner(folder), list(pairs)
    prompt_inputs = list_prompt_inputs(captioner, processor, rows, leave_own_out=True)
    search, num_drafts = {"max_new_tokens": choose_length(captioner)} | settings.search, settings.num_drafts or 1
    neighbours = [[neighbour.caption for neighbour in found] for found in prompt_inputs.get("neighbours", [])]
    origin = {
        "captioner": hash_modules({"captioner": captioner}),
        "rows": digest_rows(rows),
        "neighbours": digest_rows({"captions": captions} for captions in neighbours),
        "prompt": {name: getattr(processor, name) for name in PROMPT_SETTINGS},
        "search": search | {"num_drafts": num_drafts, "dtype": str(captioner.decoder.dtype)},
    }
    file = DraftFile(Path(settings.output).with_suffix(f".{name}.drafts.jsonl"), origin)
    given = (rows, settings.batch_size, prompt_inputs, num_drafts, file)
    return generate_drafts(captioner, processor, *given, **search).captions


def name_systems(
    drafts: dict[str, list[list[str]]], captioned: Captioned, num_drafts: int | None
) -> dict[str, list[str]]:
    """Return the captions of all systems; if captions are chosen, also the first draft of each captioner."""
    first = {name: [captions[0] for captions in written] for name, written in drafts.items()}
    if num_drafts is None:
        return first | captioned.baselines
    return captioned.chosen | {f"{name}{FIRST}": found for name, found in first.items()} | captioned.baselines


def name_captioners(settings: CaptioningSettings) -> dict[str, str]:
    """Return the captioners as {name: folder or Hub id}, the model first.

    Raises:
        ValueError: if an item of `--compare` lacks the name or the folder, or if its name is taken.
    """
    captioners = {"model": settings.model}
    for item in settings.compare:
        name, _, folder = item.partition("=")
        if not (name and folder):
            raise ValueError(f"--compare {item!r} is not name=folder; name the captioner, for example blind={item}")
        if "/" in name or "\\" in name:
            raise ValueError(f"--compare {item!r}: the name {name!r} becomes part of a file name; omit / and \\")
        if name in captioners or name in RESERVED or name.endswith(FIRST):
            raise ValueError(f"--compare {item!r}: the name {name!r} is taken; choose another")
        captioners[name] = folder
    return captioners


def load_filled(settings: CaptioningSettings, split: str) -> datasets.Dataset:
    """Load a split whose rows all have text and SMILES; fingerprints and facts need the SMILES.

    Raises:
        ValueError: if a row lacks one of them; faulty rows of a table are exempt.
    """
    columns = ("text", "smiles")
    pairs = load_molecules(settings.dataset, split, settings.dataset_config, columns, settings.encoding)
    for column in columns:
        if empty := list_empty(pairs, column):
            raise ValueError(
                f"{len(empty)} rows of the split {split!r} of {settings.dataset} have no {column}, first row "
                f"{empty[0]}; fill them in or remove them"
            )
    return pairs


def judge_all(
    settings: CaptioningSettings, pairs: datasets.Dataset, systems: dict[str, list[str]]
) -> dict[str, np.ndarray]:
    """Call `judge_captions` with the judge of the settings."""
    return judge_captions(*load_geomclip(settings.judge), pairs, systems, settings.pool_size, settings.judge)


def write_captions(path: Path, pairs: datasets.Dataset, systems: dict[str, list[str]]) -> None:
    """Write one JSON object per row: the molecule, the source of its reference, and the captions of all systems."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8") as file:
        for index, row in enumerate(pairs):
            origin = {key: row[key] for key in ORIGIN if row.get(key)}
            captions = {name: captions[index] for name, captions in systems.items()}
            file.write(json.dumps({**origin, "reference": row["text"], **captions}, ensure_ascii=False) + "\n")


def write_candidates(path: Path, captioned: Captioned) -> None:
    """Write every candidate with the terms of its score: one table row per system, row and candidate."""
    lines = [
        {"system": system, "row": row, "caption": caption, **dict(zip(TERMS, terms.tolist(), strict=True))}
        for system, found in captioned.candidates.items()
        for row, (captions, measured) in enumerate(zip(found, captioned.measured[system], strict=True))
        for caption, terms in zip(captions, measured, strict=True)
    ]
    pd.DataFrame(lines).to_parquet(path, index=False)
