"""`geomclip embed`"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from dataset_pubchem3d.sources.table_files import is_table, read_rows
from modeling_geomclip import embed_texts
from modeling_geomclip.embedding_geomclip import embed_records
from modeling_geomclip.text_files_geomclip import describe_undecoded, open_text

from ..loading import load_geomclip
from .molecules import (
    ENCODING_HELP,
    MOLECULES_HELP,
    check_output,
    count_things,
    list_given,
    read_given,
    write_rejected,
    write_table,
)
from .parsing import parse_flags

EXAMPLE = "geomclip embed --model release/geomclip-mini --molecules molecules.csv --output embeddings.npz"
DTYPES = {"float32": None, "bfloat16": torch.bfloat16}  # to compute in


@dataclass(frozen=True, kw_only=True)
class EmbedSettings:
    """Embeddings of molecules or of texts, L2-normalised."""

    model: str = field(metadata={"help": "GeomCLIP: checkpoint folder or Hub id"})
    output: str = field(
        metadata={"help": ".npz file with embeddings, rows and ids, or .parquet with embedding, row and id"}
    )
    molecules: list[str] = field(default_factory=list, metadata={"help": MOLECULES_HELP})
    texts: list[str] = field(
        default_factory=list,
        metadata={"help": "texts, or files: .txt with one a line; .csv, .tsv, .parquet or .sdf with a column text"},
    )
    encoding: str = field(default="utf-8", metadata={"help": ENCODING_HELP})
    pair_budget: int | None = field(
        default=None, metadata={"help": "molecules * rows² that are encoded at once; changes speed and memory only"}
    )
    dtype: str = field(default="float32", metadata={"help": f"to compute in: {' or '.join(DTYPES)}"})

    def __post_init__(self):
        if bool(self.molecules) == bool(self.texts):
            raise ValueError("give --molecules or --texts, and not both")
        if self.dtype not in DTYPES:
            raise ValueError(f"--dtype is {self.dtype!r}; choose one of {', '.join(DTYPES)}")
        check_output(self.output, (".npz", ".parquet"))


def main(argv: Sequence[str], command: Sequence[str] = ("geomclip", "embed")) -> None:
    settings = parse_flags(EmbedSettings, argv, " ".join(command), EXAMPLE)
    if settings.molecules:
        given = list_given(settings.molecules, settings.encoding)
        model, processor = load_geomclip(settings.model)
        records = read_given(processor.feature_extractor, given, settings.output)
        rows, ids = [record["index"] for record in records], [given[record["index"]].name for record in records]
        embeds = embed_records(model, processor, records, settings.pair_budget, DTYPES[settings.dtype])
    else:
        rows, ids = keep_texts(list_texts(settings.texts, settings.encoding), settings.output)
        model, processor = load_geomclip(settings.model)
        embeds = embed_texts(model, processor, ids, dtype=DTYPES[settings.dtype])
    write_embeddings(settings.output, ids, rows, embeds.numpy())
    print(f"wrote {count_things(len(ids), 'embedding')} of size {embeds.shape[1]} to {settings.output}")


class GivenText(NamedTuple):
    """A text as it was given, and what of it or of its place in a file is damaged, "" if nothing is."""

    text: str
    fault: str = ""


def list_texts(inputs: Sequence[str], encoding: str = "utf-8") -> list[GivenText]:
    """Texts of files and texts themselves, in their order.

    Args:
        encoding: of files of text.
    Raises:
        ValueError: there is none, a file cannot be read, a table lacks the column, or one is empty, with its place.
    """
    texts = [text for item in inputs for text in _expand(item, encoding)]
    if not texts:
        raise ValueError(f"there is no text in {', '.join(inputs)}; give at least one")
    if empty := [row for row, (text, fault) in enumerate(texts) if not (fault or text.strip())]:
        found = f"{len(empty)} of {count_things(len(texts), 'text')} {'is' if len(empty) == 1 else 'are'} empty"
        raise ValueError(f"{found}, the first in row {empty[0]}; leave out what is empty")
    return texts


def _expand(item: str, encoding: str) -> Iterator[GivenText]:
    if is_table(item):
        for row in read_rows([Path(item)], (("text",),), encoding=encoding):
            fault = f"{row.fault.reason} ({row.fault.detail})" if row.fault else ""
            yield GivenText(row.cells.get("text", ""), fault)
    elif item.lower().endswith(".txt"):
        with open_text(item, encoding) as lines:
            for number, line in enumerate(lines, start=1):
                yield GivenText(line.rstrip("\n"), describe_undecoded(line, number, encoding))
    else:
        yield GivenText(item)


def keep_texts(texts: Sequence[GivenText], output: str) -> tuple[list[int], list[str]]:
    """Rows and texts of what is whole; the others are listed as `read_given` lists molecules.

    Raises:
        ValueError: there is none.
    """
    listing = Path(output).with_suffix(".rejected.jsonl")
    listing.unlink(missing_ok=True)  # of an earlier run
    rejected = [{"row": row, "reason": fault} for row, (_, fault) in enumerate(texts) if fault]
    if rejected:
        write_rejected(listing, rejected, len(texts), "text")
    if len(rejected) == len(texts):
        raise ValueError(f"no text of {len(texts)} can be read: {rejected[0]['reason']}")
    kept = [row for row, (_, fault) in enumerate(texts) if not fault]
    return kept, [texts[row].text for row in kept]


def write_embeddings(output: str, ids: list[str], rows: list[int], embeds: np.ndarray) -> None:
    """Ids (rows,), rows (rows,) int64 and embeddings (rows, size) float32."""
    if Path(output).suffix == ".parquet":
        write_table(output, {"id": ids, "row": rows, "embedding": list(embeds)})
        return
    Path(output).parent.mkdir(parents=True, exist_ok=True)
    np.savez(output, ids=np.array(ids), rows=np.array(rows, dtype=np.int64), embeddings=embeds)
