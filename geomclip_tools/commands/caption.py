"""`geomclip caption`: generate captions of molecules."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dataset_pubchem3d.pairs import get_molecule_input
from modeling_geomclip import Neighbour, embed_molecules
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
from ..loading import load_captioner, load_geomclip
from .molecules import (
    ENCODING_HELP,
    MOLECULES_HELP,
    check_output,
    count_things,
    list_given,
    read_given,
    write_table,
)
from .parsing import parse_flags
from .references import build_references

EXAMPLE = "geomclip caption --model captioner --molecules molecules.sdf --output captions.csv"


@dataclass(frozen=True, kw_only=True)
class CaptionSettings:
    """Settings of `geomclip caption`."""

    model: str = field(metadata={"help": "captioner: checkpoint folder, adapter folder or Hub id"})
    molecules: list[str] = field(metadata={"help": MOLECULES_HELP})
    output: str = field(metadata={"help": "output file: .csv, .parquet or .jsonl"})
    references: str | None = field(
        default=None,
        metadata={
            "help": "table, dataset folder or Hub id with molecules and texts, in place of the captioner's references"
        },
    )
    geomclip: str | None = field(
        default=None,
        metadata={"help": "GeomCLIP for --similarity_weight: checkpoint folder or Hub id"},
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
        metadata={"help": "weight of a caption's similarity to the geometry by --geomclip"},
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
        if (self.geomclip is not None) != (self.similarity_weight != 0):
            raise ValueError("--geomclip and --similarity_weight need each other; pass both or neither")
        if self.num_drafts is None and self.weights != DEFAULT_WEIGHTS:
            raise ValueError("without --num_drafts, no caption is chosen by weights; pass --num_drafts")

    @property
    def weights(self) -> Weights:
        """Weights of the scores by which candidates are chosen."""
        return Weights(1.0, self.draft_weight, self.similarity_weight, self.agreement_weight)


def main(argv: Sequence[str], command: Sequence[str] = ("geomclip", "caption")) -> None:
    """Generate captions of molecules and write them to a file."""
    settings = parse_flags(CaptionSettings, argv, " ".join(command), EXAMPLE)
    given = list_given(settings.molecules, settings.encoding)
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
        captions = choose(settings, records, molecules, drafts.captions, consulted)
    scores = score(model, processor, rows, captions, drafts, settings.batch_size, prompt_inputs)
    columns = {"id": [], "row": [], "caption": [], "score": [], "copied_from": [], "neighbours": []}
    for row, caption, likelihood, near, found in zip(rows, captions, scores, consulted, shown, strict=True):
        is_unlike = processor.is_unlike(found)
        values = (
            given[row["index"]].name,
            row["index"],
            UNLIKE if is_unlike else caption,
            None if is_unlike else likelihood,
            None if is_unlike else find_source(caption, near),
            [neighbour._asdict() for neighbour in found],
        )
        for column, value in zip(columns.values(), values, strict=True):
            column.append(value)
    if settings.output.endswith(".csv"):
        columns["neighbours"] = [json.dumps(found, ensure_ascii=False) for found in columns["neighbours"]]
    write_table(settings.output, columns)
    num_unlike = columns["caption"].count(UNLIKE)
    told = f"; {count_things(num_unlike, 'molecule')} unlike the references" if num_unlike else ""
    print(f"wrote {count_things(len(rows) - num_unlike, 'caption')} to {settings.output}{told}")


def choose(
    settings: CaptionSettings,
    records: Sequence[Mapping[str, Any]],
    molecules: Sequence[Any],
    drafts: Sequence[Sequence[str]],
    neighbours: Sequence[Sequence[Neighbour]],
) -> list[str]:
    """Return the best caption of each molecule, a draft or the caption of a neighbour.

    Raises:
        MoleculeError: if the GeomCLIP cannot read a molecule that the captioner reads.
    """
    candidates = collect_candidates(drafts, neighbours)
    similarities = [[0.0] * len(captions) for captions in candidates]
    if settings.geomclip is not None:
        geomclip, processor = load_geomclip(settings.geomclip)
        geometry = embed_molecules(geomclip, processor, molecules).double().numpy()
        similarities = measure_similarities(geometry, embed_different(geomclip, processor, candidates), candidates)
    measured = measure_candidates(records, candidates, drafts, neighbours, similarities)
    return choose_candidates(candidates, measured, settings.weights)


def find_source(caption: str, neighbours: Sequence[Neighbour]) -> str | None:
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
