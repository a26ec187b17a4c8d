"""Input molecules and output tables of `geomclip embed`, `caption` and `predict`."""

import json
import os
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from tqdm import tqdm

from dataset_pubchem3d.pairs import get_molecule_input, load_molecules
from modeling_geomclip import MoleculeError, read_molecules
from modeling_geomclip.molecule_files_geomclip import find_file_format
from modeling_geomclip.text_files_geomclip import COMPRESSED, describe_undecoded, open_text

from ..library.entries import write_id

TABLE_ENDINGS = (".csv", ".csv.gz", ".tsv", ".tsv.gz", ".parquet")
LIST_ENDINGS = tuple(ending + packed for ending in (".smi", ".smiles", ".ism") for packed in ("", COMPRESSED))
TITLED_ENDINGS = (".sdf", ".sd", ".sdf.gz", ".sd.gz")  # file formats whose records have titles
NAME_COLUMNS = ("id", "cid", "name", "inchikey", "smiles")  # the first non-empty one names a row
MOLECULES_HELP = (
    "SMILES or InChI, or files: .csv, .tsv or .parquet with smiles or atomic_numbers and positions, .smi, .sdf, .mol, "
    ".mol2, .xyz"
)
ENCODING_HELP = "encoding of text files, such as cp1252"
PAIR_BUDGET_HELP = "limit on molecules * (atoms + 2)² per batch; affects only speed and memory"
REASONS_SHOWN = 10  # on stderr; the file lists all


@dataclass(frozen=True)
class Given:
    """An input molecule: its name, what `GeomCLIPFeatureExtractor.read` accepts for it, and its SMILES if known."""

    name: str
    molecule: Any
    smiles: str | None = None


def list_given(inputs: Sequence[str], encoding: str = "utf-8") -> list[Given]:
    """List the molecules given as SMILES, InChI or files, in input order.

    A damaged record of a file is listed as a `MoleculeError`.

    Args:
        inputs: SMILES, InChI and paths of files.
        encoding: encoding of text files.
    Raises:
        ValueError: if there is no molecule, a table lacks a column, or a file is missing, cannot be read or has an
            unknown format.
    """
    given = [molecule for item in inputs for molecule in _expand(item, encoding)]
    if not given:
        raise ValueError(f"there is no molecule in {', '.join(inputs)}; pass at least one")
    return given


def _expand(item: str, encoding: str) -> Iterator[Given]:
    path, name = Path(item), Path(item).name.lower()
    if name.endswith(TABLE_ENDINGS):
        for number, row in enumerate(load_molecules(item, "train", None, (), encoding)):
            # The extractor rejects an empty string, and so a row without a molecule.
            yield Given(_name_row(row) or f"{path.name}:{number}", get_molecule_input(row) or "", row.get("smiles"))
    elif name.endswith(LIST_ENDINGS):
        yield from _read_list(path, encoding)
    elif find_file_format(path) and "\n" not in item:
        yield from _read_structures(path, encoding)
    elif path.suffix and os.path.isfile(item):  # unlike Path.is_file, it takes a SMILES of any length
        raise ValueError(f"{item} has the unknown file type {path.suffix.lower()}; pass {MOLECULES_HELP}")
    else:
        yield Given(item, item, None if item.startswith("InChI=") else item)


def _read_list(path: Path, encoding: str) -> Iterator[Given]:
    """Yield the SMILES of a file, one per line and optionally followed by a name."""
    with open_text(path, encoding) as lines:
        for number, line in enumerate(lines, start=1):
            smiles, name = [*line.split(maxsplit=1), "", ""][:2]
            if not smiles or smiles.startswith("#"):
                continue
            if damage := describe_undecoded(line, number, encoding):
                yield Given(f"{path.name}:{number}", MoleculeError(damage))
            else:
                yield Given(name.strip() or smiles, smiles, smiles)


def _read_structures(path: Path, encoding: str) -> Iterator[Given]:
    """Yield the records of a file, named by title, by number or, if the file has one record, by file name."""
    records = list(read_molecules(path, encoding)) or [MoleculeError("the file contains no molecule", "remove it")]
    is_titled = path.name.lower().endswith(TITLED_ENDINGS)
    for number, record in enumerate(records):
        title = record.partition("\n")[0].strip() if is_titled and isinstance(record, str) else ""
        name = path.name if len(records) == 1 and not is_titled else f"{path.name}:{number}"
        yield Given(title or name, record)


def _name_row(row: Mapping[str, Any]) -> str:
    cells = [(name.lower(), write_id(cell)) for name, cell in row.items() if name.lower() in NAME_COLUMNS]
    return next((cell for column in NAME_COLUMNS for name, cell in cells if name == column and cell), "")


def read_given(extractor: Any, given: Sequence[Given], output: str) -> list[dict[str, Any]]:
    """Read the molecules and return the records of those that can be read; `index` is the place in `given`.

    The others are written with their reasons to a .rejected.jsonl file next to the output and counted on stderr.

    Raises:
        ValueError: if no molecule can be read.
    """
    molecules = tqdm([item.molecule for item in given], desc="reading molecules", leave=False)
    records, failures = extractor.read(molecules, errors="report")
    listing = Path(output).with_suffix(".rejected.jsonl")
    listing.unlink(missing_ok=True)  # left by an earlier run
    if failures:
        lines = [
            {
                "row": (row := item["index"]),
                "id": given[row].name,
                "molecule": item["molecule"],
                "reason": item["reason"],
            }
            for item in failures
        ]
        write_rejected(listing, lines, len(given), "molecule")
    if not records:
        raise ValueError(f"no molecule of {len(given)} can be read: {failures[0]['reason']}")
    return records


def write_rejected(listing: Path, lines: Sequence[Mapping[str, Any]], num_given: int, noun: str) -> None:
    """Write the skipped items, one JSON object with a `reason` per line, and count them by reason on stderr."""
    listing.parent.mkdir(parents=True, exist_ok=True)
    text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    # Bytes that could not be decoded are written as escapes.
    listing.write_text(text, encoding="utf-8", errors="backslashreplace")
    report_reasons(Counter(line["reason"] for line in lines), num_given, noun, f"{noun}s", listing)


def report_reasons(reasons: Counter[str], num_given: int, noun: str, plural: str, listing: Path) -> None:
    """Print the numbers of skipped items by reason, and the file that lists them, on stderr."""
    for reason, count in reasons.most_common(REASONS_SHOWN):
        print(f"skipped: {count_things(count, noun, plural)}: {reason}", file=sys.stderr)
    if len(reasons) > REASONS_SHOWN:
        others = count_things(len(reasons) - REASONS_SHOWN, "more reason")
        print(f"skipped: others, for {others}", file=sys.stderr)
    verb = "was" if reasons.total() == 1 else "were"
    given = count_things(num_given, noun, plural)
    print(f"{reasons.total()} of {given} {verb} skipped; see {listing}", file=sys.stderr)


def count_things(number: int, noun: str, plural: str = "") -> str:
    """Format a number with its noun, such as "1 molecule"."""
    return f"{number} {noun if number == 1 else plural or f'{noun}s'}"


def write_table(output: str, columns: Mapping[str, Any]) -> None:
    """Write columns to a .csv, .parquet or .jsonl file."""
    table, path = pd.DataFrame(dict(columns)), Path(output)
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".csv":
        table.to_csv(path, index=False)
    elif path.suffix == ".parquet":
        table.to_parquet(path, index=False)
    else:
        table.to_json(path, orient="records", lines=True, force_ascii=False)


def check_output(output: str, suffixes: Sequence[str]) -> None:
    """Check the suffix of the output file before anything is computed.

    Raises:
        ValueError: if the suffix is not allowed.
    """
    if Path(output).suffix not in suffixes:
        raise ValueError(f"--output {output} has the wrong suffix; it must be one of {', '.join(suffixes)}")
