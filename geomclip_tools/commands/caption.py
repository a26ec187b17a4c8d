"""`geomclip caption`: caption molecules with a captioner, or with the captions of similar molecules."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from torch import Tensor

from dataset_pubchem3d.pairs import get_molecule_input
from modeling_geomclip import Neighbour, embed_molecules
from modeling_geomclip.embedding_geomclip import embed_records
from modeling_geomclip.processing_captioning_geomclip import UNLIKE

from ..evaluation.caption_consensus import NUM_CONSULTED
from ..evaluation.caption_drafts import Drafts
from ..evaluation.caption_generation import (
    choose_length,
    choose_rows,
    compute_caption_losses,
    generate_drafts,
    list_prompt_inputs,
)
from ..evaluation.caption_reranking import (
    DEFAULT_WEIGHTS,
    Weights,
    choose_candidates,
    collect_candidates,
    embed_different,
    measure_candidates,
    measure_similarities,
    space_evenly,
)
from ..loading import load_captioner, load_geomclip, read_config
from .molecules import (
    ENCODING_HELP,
    MOLECULES_HELP,
    Given,
    check_output,
    count_things,
    list_given,
    read_given,
    write_table,
)
from .parsing import parse_flags
from .references import build_references

EXAMPLE = "geomclip caption --model captioner --molecules molecules.sdf --output captions.csv"
NUM_TOLD = 5  # neighbours in the output, if no prompt contains any
OF_CAPTIONERS = ("geomclip", "num_drafts", "draft_weight", "num_beams", "max_new_tokens", "batch_size")


@dataclass(frozen=True, kw_only=True)
class CaptionSettings:
    """Settings of `geomclip caption`."""

    model: str = field(
        metadata={
            "help": "captioner: checkpoint folder, adapter folder or Hub id; or a GeomCLIP, which copies the best of "
            "the captions of the 30 most similar --references"
        }
    )
    molecules: list[str] = field(metadata={"help": MOLECULES_HELP})
    output: str = field(metadata={"help": "output file: .csv, .parquet or .jsonl"})
    references: str | None = field(
        default=None,
        metadata={
            "help": "table, dataset folder or Hub id with molecules and texts; those of a captioner are its own if "
            "omitted"
        },
    )
    geomclip: str | None = field(
        default=None,
        metadata={"help": "GeomCLIP for --similarity_weight, besides a captioner: checkpoint folder or Hub id"},
    )
    num_drafts: int | None = field(
        default=None,
        metadata={
            "help": "number of captions that the captioner drafts, the best beams if more than one; the best of them "
            "and of the captions of the 30 most similar references is taken. If omitted, the first draft is taken"
        },
    )
    draft_weight: float = field(
        default=DEFAULT_WEIGHTS.drafts,
        metadata={"help": "weight of a caption's overlap with the drafts, beside 1 for that with the references"},
    )
    similarity_weight: float = field(
        default=DEFAULT_WEIGHTS.similarity,
        metadata={"help": "weight of a caption's similarity to the geometry by the GeomCLIP, if there is one"},
    )
    agreement_weight: float = field(
        default=DEFAULT_WEIGHTS.agreement,
        metadata={"help": "weight, subtracted, of each contradiction of a caption to elements or rings"},
    )
    encoding: str = field(default="utf-8", metadata={"help": ENCODING_HELP})
    batch_size: int = field(default=32, metadata={"help": "molecules per batch"})
    num_beams: int = field(default=1, metadata={"help": "number of beams; 1 is greedy decoding"})
    max_new_tokens: int | None = field(
        default=None, metadata={"help": "maximum length of a caption in tokens; if omitted, that of the captioner"}
    )

    def __post_init__(self):
        check_output(self.output, (".csv", ".parquet", ".jsonl"))
        for name in ("num_drafts", "num_beams", "batch_size"):
            if (number := getattr(self, name)) is not None and number < 1:
                raise ValueError(f"--{name} is {number}; it must be at least 1")

    @property
    def weights(self) -> Weights:
        """Weights of the scores by which candidates are chosen."""
        return Weights(1.0, self.draft_weight, self.similarity_weight, self.agreement_weight)


@dataclass(frozen=True)
class Captioned:
    """The caption of a molecule.

    Args:
        name: of the molecule.
        row: number of the molecule in the input.
        caption: None if the molecule is unlike the references.
        score: mean log-probability of the tokens of the caption, nats, if a captioner wrote or read it.
        consulted: the references among whose captions it was chosen.
        told: the references for the output.
    """

    name: str
    row: int
    caption: str | None
    score: float | None
    consulted: Sequence[Neighbour]
    told: Sequence[Neighbour]


def main(argv: Sequence[str], command: Sequence[str] = ("geomclip", "caption")) -> None:
    """Caption molecules and write the captions to a file."""
    settings = parse_flags(CaptionSettings, argv, " ".join(command), EXAMPLE)
    copies = read_config(settings.model).model_type == "geomclip"
    (check_copying if copies else check_choosing)(settings)
    given = list_given(settings.molecules, settings.encoding)
    captioned = (copy_captions if copies else write_captions)(settings, given)
    columns = {
        "id": [one.name for one in captioned],
        "row": [one.row for one in captioned],
        "caption": [UNLIKE if one.caption is None else one.caption for one in captioned],
        "score": [one.score for one in captioned],
        "copied_from": [find_source(one.caption, one.consulted) for one in captioned],
        "neighbours": [[neighbour._asdict() for neighbour in one.told] for one in captioned],
    }
    if settings.output.endswith(".csv"):
        columns["neighbours"] = [json.dumps(found, ensure_ascii=False) for found in columns["neighbours"]]
    write_table(settings.output, columns)
    num_unlike = sum(one.caption is None for one in captioned)
    told = f"; {count_things(num_unlike, 'molecule')} unlike the references" if num_unlike else ""
    print(f"wrote {count_things(len(captioned) - num_unlike, 'caption')} to {settings.output}{told}")


def check_choosing(settings: CaptionSettings) -> None:
    """Check the settings for a captioner.

    Raises:
        ValueError: weights are given by which nothing is chosen.
    """
    if settings.num_drafts is None and (settings.weights != DEFAULT_WEIGHTS or settings.geomclip is not None):
        raise ValueError("without --num_drafts, no caption is chosen by weights; pass --num_drafts")
    if settings.geomclip is None and settings.similarity_weight != DEFAULT_WEIGHTS.similarity:
        raise ValueError("--similarity_weight needs a GeomCLIP that measures the similarity; pass --geomclip")


def check_copying(settings: CaptionSettings) -> None:
    """Check the settings for a GeomCLIP.

    Raises:
        ValueError: there are no references, or settings of captioners are given.
    """
    if settings.references is None:
        raise ValueError(
            f"{settings.model} is a GeomCLIP, which copies captions; pass --references, a table of molecules and texts"
        )
    defaults = {item.name: item.default for item in fields(CaptionSettings)}
    if unused := [f"--{name}" for name in OF_CAPTIONERS if getattr(settings, name) != defaults[name]]:
        raise ValueError(f"{settings.model} is a GeomCLIP, which does not use {', '.join(unused)}; pass a captioner")


def copy_captions(settings: CaptionSettings, given: Sequence[Given]) -> list[Captioned]:
    """Copy the best of the captions of the most similar references for each molecule."""
    geomclip, processor = load_geomclip(settings.model)
    records = read_given(processor.feature_extractor, given, settings.output)
    references = build_references(geomclip, processor, settings.references, settings.encoding)
    geometry = embed_records(geomclip, processor, records)
    found = references.find(geometry, NUM_CONSULTED)
    captions = choose(settings, records, [[]] * len(records), found, (geomclip, processor, geometry))
    is_unlike = [not near or near[0].similarity < references.min_similarity for near in found]
    return [
        Captioned(given[row].name, row, None if unlike else caption, None, near, near[:NUM_TOLD])
        for row, caption, unlike, near in zip(
            (record["index"] for record in records), captions, is_unlike, found, strict=True
        )
    ]


def write_captions(settings: CaptionSettings, given: Sequence[Given]) -> list[Captioned]:
    """Generate captions of molecules with a captioner."""
    model, processor = load_captioner(settings.model)
    records = read_given(processor.feature_extractor, given, settings.output)
    rows = [
        {name: values.tolist() for name, values in record.items() if name != "index"}
        | {"index": record["index"], "smiles": given[record["index"]].smiles}
        for record in records
    ]
    if "{smiles}" in processor.prompt and (nameless := [row["index"] for row in rows if not row["smiles"]]):
        bare = f"{count_things(len(nameless), 'molecule')}, the first in row {nameless[0]}"
        raise ValueError(
            f"the captioner's prompt contains the SMILES, which is missing for {bare}; pass SMILES, or a table with a "
            "column smiles"
        )
    if settings.references is not None:
        if not processor.num_neighbours:
            raise ValueError(
                f"{settings.model} was trained with num_neighbours=0 and reads no references; omit --references"
            )
        processor.references = build_references(model, processor, settings.references, settings.encoding)
    prompt_inputs = list_prompt_inputs(model, processor, rows)
    length = settings.max_new_tokens or choose_length(model)
    search = {"max_new_tokens": length, "num_beams": settings.num_beams, "do_sample": False}
    drafts = generate_drafts(
        model, processor, rows, settings.batch_size, prompt_inputs, settings.num_drafts or 1, **search
    )
    shown = prompt_inputs.get("neighbours", [[]] * len(rows))
    consulted, captions = shown, [written[0] for written in drafts.captions]
    if settings.num_drafts is not None:
        geometries = [get_molecule_input(row) for row in rows]
        consulted = processor.find_neighbours(model, geometries, NUM_CONSULTED) or shown
        molecules = [given[row["index"]].molecule for row in rows]
        judge = None
        if settings.geomclip is not None:
            geomclip = load_geomclip(settings.geomclip)
            judge = (*geomclip, embed_molecules(*geomclip, molecules))
        captions = choose(settings, records, drafts.captions, consulted, judge)
    scores = score(model, processor, rows, captions, drafts, settings.batch_size, prompt_inputs)
    return [
        Captioned(
            given[row["index"]].name,
            row["index"],
            *((None, None) if processor.is_unlike(found) else (caption, likelihood)),
            near,
            found,
        )
        for row, caption, likelihood, near, found in zip(rows, captions, scores, consulted, shown, strict=True)
    ]


def choose(
    settings: CaptionSettings,
    records: Sequence[Mapping[str, Any]],
    drafts: Sequence[Sequence[str]],
    neighbours: Sequence[Sequence[Neighbour]],
    judge: tuple[Any, Any, Tensor] | None,
) -> list[str]:
    """Return the best caption of each molecule, a draft or the caption of a neighbour.

    Args:
        settings: with the weights.
        records, drafts, neighbours: one of each per molecule.
        judge: a GeomCLIP that measures similarities, its processor, and its embeddings of the geometries.
    """
    candidates = collect_candidates(drafts, neighbours)
    similarities = [[0.0] * len(captions) for captions in candidates]
    if judge is not None:
        geomclip, processor, geometry = judge
        texts = embed_different(geomclip, processor, candidates)
        similarities = measure_similarities(geometry.double().numpy(), texts, candidates)
    measured = measure_candidates(records, candidates, drafts, neighbours, similarities)
    return choose_candidates(candidates, measured, settings.weights)


def find_source(caption: str | None, neighbours: Sequence[Neighbour]) -> str | None:
    """Return the InChIKey of the nearest neighbour with the same caption, if there is one."""
    return next((near.inchikey for near in neighbours if space_evenly(near.caption) == caption), None)


def score(
    model: Any,
    processor: Any,
    rows: Sequence[dict],
    captions: Sequence[str],
    drafts: Drafts,
    batch_size: int,
    prompt_inputs: dict[str, Any],
) -> list[float]:
    """Return the mean log-probability of the tokens of each caption, nats.

    Of a caption that is not a draft, only the tokens that a caption may have at most are scored.
    """
    scores = [
        likelihoods[written.index(caption)] if caption in written else None
        for caption, written, likelihoods in zip(captions, drafts.captions, drafts.likelihoods, strict=True)
    ]
    copied = [index for index, likelihood in enumerate(scores) if likelihood is None]
    texts = [captions[index] for index in copied]
    given = ([rows[index] for index in copied], texts, batch_size, choose_rows(prompt_inputs, copied))
    totals, counts = compute_caption_losses(model, processor, *given)
    for index, total, count in zip(copied, totals.tolist(), counts.tolist(), strict=True):
        scores[index] = -total / count
    return scores
