"""`geomclip caption`: caption molecules with the captions of similar molecules, or with a captioner."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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
    choose_candidates,
    collect_candidates,
    embed_different,
    measure_candidates,
    measure_similarities,
    space_evenly,
)
from ..loading import load_captioner, load_geomclip
from .caption_settings import CaptionSettings, is_geomclip
from .molecules import Given, count_things, list_given, read_given, write_table
from .parsing import parse_flags
from .references import build_references

EXAMPLE = (
    "geomclip caption --model release/geomclip-mini --references my_pairs.csv --molecules molecules.sdf "
    "--output captions.csv"
)
NUM_SHOWN = 5  # most similar references in the output of a GeomCLIP


@dataclass(frozen=True)
class Captioned:
    """A captioned molecule.

    Args:
        row: number of the molecule in the input.
        caption: its caption.
        score: mean log-probability of the caption's tokens, nats; nan without a captioner.
        source: InChIKey of the reference whose caption it is word for word.
        neighbours: the references in the prompt of a captioner; with a GeomCLIP, the most similar ones and the source.
        is_unlike: whether the molecule is unlike the references, so that its caption is not to be told.
    """

    row: int
    caption: str
    score: float
    source: str | None
    neighbours: Sequence[Neighbour]
    is_unlike: bool


def main(argv: Sequence[str], command: Sequence[str] = ("geomclip", "caption")) -> None:
    """Caption molecules and write the captions to a file."""
    settings = parse_flags(CaptionSettings, argv, " ".join(command), EXAMPLE)
    copies = is_geomclip(settings)
    given = list_given(settings.molecules, settings.encoding)
    captioned = copy_captions(settings, given) if copies else write_captions(settings, given)
    columns = {
        "id": [given[one.row].name for one in captioned],
        "row": [one.row for one in captioned],
        "caption": [UNLIKE if one.is_unlike else one.caption for one in captioned],
        "score": [math.nan if one.is_unlike else one.score for one in captioned],
        "copied_from": ["" if one.is_unlike else one.source or "" for one in captioned],
        "neighbours": [[neighbour._asdict() for neighbour in one.neighbours] for one in captioned],
    }
    if settings.output.endswith(".csv"):
        columns["neighbours"] = [json.dumps(found, ensure_ascii=False) for found in columns["neighbours"]]
    write_table(settings.output, columns)
    num_unlike = sum(one.is_unlike for one in captioned)
    told = f"; {count_things(num_unlike, 'molecule')} unlike the references" if num_unlike else ""
    print(f"wrote {count_things(len(captioned) - num_unlike, 'caption')} to {settings.output}{told}")


# ------------------------------------------------------------------------------------------------------ with a GeomCLIP


def copy_captions(settings: CaptionSettings, given: Sequence[Given]) -> list[Captioned]:
    """Copy the best of the captions of the most similar references for each molecule."""
    geomclip, processor = load_geomclip(settings.model)
    references = build_references(geomclip, processor, settings.references, settings.encoding)
    records = read_given(processor.feature_extractor, given, settings.output)
    geometry = embed_records(geomclip, processor, records)
    neighbours = references.find(geometry, NUM_CONSULTED)
    captions = choose(settings, records, [[]] * len(records), neighbours, (geomclip, processor, geometry))
    captioned = []
    for record, caption, near in zip(records, captions, neighbours, strict=True):
        source = find_source(caption, near)
        shown = [one for rank, one in enumerate(near) if rank < NUM_SHOWN or one.inchikey == source]
        captioned.append(Captioned(record["index"], caption, math.nan, source, shown, references.is_unlike(near)))
    return captioned


# ----------------------------------------------------------------------------------------------------- with a captioner


def write_captions(settings: CaptionSettings, given: Sequence[Given]) -> list[Captioned]:
    """Generate captions of molecules.

    Raises:
        MoleculeError: the GeomCLIP cannot read a molecule that the captioner reads.
    """
    model, processor = load_captioner(settings.model)
    if settings.references is not None:
        if not processor.num_neighbours:
            raise ValueError(
                f"{settings.model} was trained with num_neighbours=0 and reads no references; omit --references"
            )
        processor.references = build_references(model, processor, settings.references, settings.encoding)
    records = read_given(processor.feature_extractor, given, settings.output)
    rows = list_rows(processor, records, given)
    prompt_inputs = list_prompt_inputs(model, processor, rows)
    judge = load_judge(settings.geomclip, [given[row["index"]].molecule for row in rows])  # before the long computation
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
        captions = choose(settings, records, drafts.captions, consulted, judge)
    scores = score(model, processor, rows, captions, drafts, settings.batch_size, prompt_inputs)
    return [
        Captioned(row["index"], caption, likelihood, find_source(caption, near), found, processor.is_unlike(found))
        for row, caption, likelihood, near, found in zip(rows, captions, scores, consulted, shown, strict=True)
    ]


def list_rows(processor: Any, records: Sequence[Mapping[str, Any]], given: Sequence[Given]) -> list[dict[str, Any]]:
    """Return the records with the SMILES of their molecules.

    Raises:
        ValueError: the prompt contains the SMILES, and a molecule has none.
    """
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
    return rows


def load_judge(folder: str | None, molecules: Sequence[Any]) -> tuple[Any, Any, Tensor] | None:
    """Load a GeomCLIP and its processor, and embed the molecules; None without a folder."""
    if folder is None:
        return None
    geomclip, processor = load_geomclip(folder)
    return geomclip, processor, embed_molecules(geomclip, processor, molecules)


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


# ------------------------------------------------------------------------------------------------------------ with both


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


def find_source(caption: str, neighbours: Sequence[Neighbour]) -> str | None:
    """Return the InChIKey of the nearest neighbour with the same caption, if there is one."""
    return next((near.inchikey for near in neighbours if space_evenly(near.caption) == caption), None)
