"""`geomclip evaluate captioning`"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import datasets
import numpy as np
from transformers import AutoTokenizer

from dataset_pubchem3d.pairs import load_molecules

from ..evaluation.caption_generation import compare_geometries, generate_captions
from ..evaluation.caption_table import format_losses, format_scores
from ..evaluation.captioning import (
    BASELINES,
    TRUE,
    caption_by_baselines,
    judge_captions,
    keep_readable,
    score_systems,
)
from ..evaluation.conformers import list_empty
from ..loading import load_captioner, load_geomclip
from ..records import write_results
from .evaluation_settings import ENCODING_HELP, print_failures
from .parsing import parse_flags

EXAMPLE = (
    "geomclip evaluate captioning --model captioner --dataset pubchem3d --split test --geomclip geomclip "
    "--judge geomclip_1 --compare blind=captioner_blind --output results/captioning.json"
)
ORIGIN = ("inchikey", "smiles", "text_source", "text_kind")
RESERVED = {TRUE, *BASELINES, "reference", *ORIGIN}  # rows of the table, keys beside the captions


@dataclass(frozen=True, kw_only=True)
class CaptioningSettings:
    """Do a captioner's captions describe molecules that it has not seen?"""

    model: str = field(metadata={"help": "captioner: checkpoint or adapter folder, or Hub id"})
    dataset: str = field(
        metadata={"help": "folder, Hub id or table of pairs with smiles; a file has the one split train"}
    )
    output: str = field(metadata={"help": "results file to write (JSON)"})
    judge: str = field(metadata={"help": "GeomCLIP of another seed that looks for the molecule of each caption"})
    geomclip: str = field(metadata={"help": "GeomCLIP by which the nearest training molecule is found"})
    compare: list[str] = field(default_factory=list, metadata={"help": "further captioners, name=folder each"})
    dataset_config: str | None = field(default=None, metadata={"help": "config of the data set, such as captioning"})
    encoding: str = field(default="utf-8", metadata={"help": ENCODING_HELP})
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

    @property
    def search(self) -> dict:
        """How captions are generated."""
        search = {"max_new_tokens": self.max_new_tokens, "num_beams": self.num_beams, "do_sample": False}
        return search | {"repetition_penalty": self.repetition_penalty}


def main(argv: Sequence[str], command: Sequence[str] = ("geomclip", "evaluate", "captioning")) -> None:
    settings = parse_flags(CaptioningSettings, argv, " ".join(command), EXAMPLE)
    captioners = name_captioners(settings)
    # Needed last; what is missing or wrong shows now.
    from ..evaluation.metrics import molecule_captioning  # noqa: F401

    AutoTokenizer.from_pretrained(settings.tokenizer)
    given, training = (load_filled(settings, split) for split in (settings.split, settings.train_split))
    # Every step loads the model that it needs and lets it go, so that no two are in memory.
    pairs, failures = keep_readable(load_captioner(settings.model)[1], given)
    geomclip = load_geomclip(settings.geomclip)
    baselines, training_failures = caption_by_baselines(*geomclip, pairs, training, settings.geomclip)
    del geomclip
    sampling = {"num_bootstrap": settings.num_bootstrap, "seed": settings.seed}
    losses = compare_geometries(*load_captioner(settings.model), pairs, settings.batch_size, **sampling)
    systems = {
        name: generate_captions(*load_captioner(folder), pairs, settings.batch_size, **settings.search)
        for name, folder in captioners.items()
    }
    systems |= baselines
    write_captions(Path(settings.output).with_suffix(".jsonl"), pairs, systems)
    hits = judge_all(settings, pairs, {**systems, TRUE: list(pairs["text"])})
    results = score_systems(pairs, systems, hits, settings.tokenizer, **sampling)
    print(format_scores(results))
    print(format_losses(losses))
    print_failures(failures)
    results |= {"geometry_losses": losses, "num_rows": len(pairs)}
    results |= {"failures": failures, "training_failures": training_failures}
    write_results(settings, given, {"task": "captioning", **results}, [*command, *argv])


def name_captioners(settings: CaptioningSettings) -> dict[str, str]:
    """{name: folder or Hub id} of the captioners, the model first.

    Raises:
        ValueError: `--compare` gives no name, no folder, or a name that is taken.
    """
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
    """Rows of the split.

    Raises:
        ValueError: a row lacks its text or, for fingerprints and facts, its SMILES; a faulty row of a table does not
            count.
    """
    columns = ("text", "smiles")
    pairs = load_molecules(settings.dataset, split, settings.dataset_config, columns, settings.encoding)
    for column in columns:
        if empty := list_empty(pairs, column):
            raise ValueError(
                f"{len(empty)} rows of the split {split!r} of {settings.dataset} have no {column}, first row "
                f"{empty[0]}; fill them or filter them out"
            )
    return pairs


def judge_all(
    settings: CaptioningSettings, pairs: datasets.Dataset, systems: dict[str, list[str]]
) -> dict[str, np.ndarray]:
    """As `judge_captions`, by the judge of the settings."""
    return judge_captions(*load_geomclip(settings.judge), pairs, systems, settings.pool_size, settings.judge)


def write_captions(path: Path, pairs: datasets.Dataset, systems: dict[str, list[str]]) -> None:
    """One JSON object a row: the molecule, where its reference comes from, and the captions of all systems."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8") as file:
        for index, row in enumerate(pairs):
            origin = {key: row[key] for key in ORIGIN if row.get(key)}
            captions = {name: captions[index] for name, captions in systems.items()}
            file.write(json.dumps({**origin, "reference": row["text"], **captions}, ensure_ascii=False) + "\n")
