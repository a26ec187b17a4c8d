"""`geomclip embed`: embed molecules or texts."""

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
    PAIR_BUDGET_HELP,
    check_output,
    count_things,
    list_given,
    read_given,
    write_rejected,
    write_table,
)
from .parsing import parse_flags

EXAMPLE = "geomclip embed --model release/geomclip-mini --molecules molecules.csv --output embeddings.npz"
DTYPES = {"float32": None, "bfloat16": torch.bfloat16}  # autocast types


@dataclass(frozen=True, kw_only=True)
class EmbedSettings:
    """Settings of `geomclip embed`."""

    model: str = field(metadata={"help": "GeomCLIP: checkpoint folder or Hub id"})
    output: str = field(
        metadata={"help": "output file: .npz with embeddings, rows and ids, or .parquet with embedding, row and id"}
    )
    molecules: list[str] = field(default_factory=list, metadata={"help": MOLECULES_HELP})
    texts: list[str] = field(
        default_factory=list,
        metadata={"help": "texts, or files: .txt with a text per line; .csv, .tsv, .parquet or .sdf with column text"},
    )
    encoding: str = field(default="utf-8", metadata={"help": ENCODING_HELP})
    pair_budget: int | None = field(default=None, metadata={"help": PAIR_BUDGET_HELP})
    dtype: str = field(default="float32", metadata={"help": f"dtype for computation: {' or '.join(DTYPES)}"})

    def __post_init__(self):
        if bool(self.molecules) == bool(self.texts):
            raise ValueError("pass either --molecules or --texts")
        if self.dtype not in DTYPES:
            raise ValueError(f"--dtype is {self.dtype!r}; it must be one of {', '.join(DTYPES)}")
        check_output(self.output, (".npz", ".parquet"))


def main(argv: Sequence[str], command: Sequence[str] = ("geomclip", "embed")) -> None:
    """Embed molecules or texts and write the L2-normalised embeddings to a file."""
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
    """An input text and the reason why it cannot be used, or an empty string."""

    text: str
    fault: str = ""


def list_texts(inputs: Sequence[str], encoding: str = "utf-8") -> list[GivenText]:
    """List the texts given directly or in files, in input order.

    Args:
        inputs: texts and paths of files.
        encoding: encoding of text files.
    Raises:
        ValueError: if there is no text, a text is empty, a file cannot be read, or a table lacks the text column.
    """
    texts = [text for item in inputs for text in _expand(item, encoding)]
    if not texts:
        raise ValueError(f"there is no text in {', '.join(inputs)}; pass at least one")
    if empty := [row for row, (text, fault) in enumerate(texts) if not (fault or text.strip())]:
        found = f"{len(empty)} of {count_things(len(texts), 'text')} {'is' if len(empty) == 1 else 'are'} empty"
        raise ValueError(f"{found}, the first in row {empty[0]}; remove empty texts")
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
    """Return the row numbers and texts that can be used; write the others to a file, as `read_given` does.

    Raises:
        ValueError: if no text can be used.
    """
    listing = Path(output).with_suffix(".rejected.jsonl")
    listing.unlink(missing_ok=True)  # left by an earlier run
    rejected = [{"row": row, "reason": fault} for row, (_, fault) in enumerate(texts) if fault]
    if rejected:
        write_rejected(listing, rejected, len(texts), "text")
    if len(rejected) == len(texts):
        raise ValueError(f"no text of {len(texts)} can be read: {rejected[0]['reason']}")
    kept = [row for row, (_, fault) in enumerate(texts) if not fault]
    return kept, [texts[row].text for row in kept]


def write_embeddings(output: str, ids: list[str], rows: list[int], embeds: np.ndarray) -> None:
    """Write ids, row numbers (int64) and embeddings, (rows, size) float32, to a .npz or .parquet file."""
    if Path(output).suffix == ".parquet":
        write_table(output, {"id": ids, "row": rows, "embedding": list(embeds)})
        return
    Path(output).parent.mkdir(parents=True, exist_ok=True)
    np.savez(output, ids=np.array(ids), rows=np.array(rows, dtype=np.int64), embeddings=embeds)
