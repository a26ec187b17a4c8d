"""`geomclip embed`"""

import csv
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from dataset_pubchem3d.pairs import TABLE_FORMATS
from modeling_geomclip import embed_molecules, embed_texts

from ..loading import load_geomclip
from .molecules import MOLECULES_HELP, check_output, list_given, read_given, write_table
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
        metadata={"help": "texts, or files: .txt with one a line; .csv, .tsv or .parquet with a column text"},
    )
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
        given = list_given(settings.molecules)
        model, processor = load_geomclip(settings.model)
        records = read_given(processor.feature_extractor, given, settings.output)
        rows, ids = [record["index"] for record in records], [given[record["index"]].name for record in records]
        embeds = embed_molecules(model, processor, records, settings.pair_budget, DTYPES[settings.dtype])
    else:
        ids = list_texts(settings.texts)
        model, processor = load_geomclip(settings.model)
        rows, embeds = list(range(len(ids))), embed_texts(model, processor, ids, dtype=DTYPES[settings.dtype])
    write_embeddings(settings.output, ids, rows, embeds.numpy())
    print(f"wrote {len(ids)} embeddings of size {embeds.shape[1]} to {settings.output}")


def list_texts(inputs: Sequence[str]) -> list[str]:
    """Texts of files and texts themselves, in their order.

    Raises:
        ValueError: there is none, a table lacks the column, or one is empty, with its place.
    """
    texts = []
    for item in inputs:
        suffix = Path(item).suffix.lower()
        if suffix == ".txt":
            texts += Path(item).read_text(encoding="utf-8").splitlines()
        elif suffix in TABLE_FORMATS:
            texts += read_column(item)
        else:
            texts.append(item)
    if not texts:
        raise ValueError(f"there is no text in {', '.join(inputs)}; give at least one")
    if empty := [row for row, text in enumerate(texts) if not (text and text.strip())]:
        raise ValueError(f"{len(empty)} of {len(texts)} texts are empty, the first in row {empty[0]}; leave them out")
    return texts


def read_column(path: str) -> list[str]:
    """The column `text` of a table, as it is written; in a TSV a quotation mark is a character."""
    if Path(path).suffix.lower() == ".parquet":
        table = pd.read_parquet(path)
    else:
        separator = {"sep": "\t", "quoting": csv.QUOTE_NONE} if Path(path).suffix.lower() == ".tsv" else {}
        table = pd.read_csv(path, dtype=str, keep_default_na=False, **separator)
    if "text" not in table:
        raise ValueError(f"{path} has the columns {sorted(table)}; it needs 'text'; rename its column")
    return ["" if pd.isna(text) else str(text) for text in table["text"]]


def write_embeddings(output: str, ids: list[str], rows: list[int], embeds: np.ndarray) -> None:
    """Ids (rows,), rows (rows,) int64 and embeddings (rows, size) float32."""
    if Path(output).suffix == ".parquet":
        write_table(output, {"id": ids, "row": rows, "embedding": list(embeds)})
        return
    Path(output).parent.mkdir(parents=True, exist_ok=True)
    np.savez(output, ids=np.array(ids), rows=np.array(rows, dtype=np.int64), embeddings=embeds)
