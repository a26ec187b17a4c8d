"""What a user gives to `geomclip embed`, `caption` and `predict`, and the table that they get back."""

import json
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

TABLE_ENDINGS = (".csv", ".csv.gz", ".tsv", ".tsv.gz", ".parquet")
LIST_ENDINGS = tuple(ending + packed for ending in (".smi", ".smiles", ".ism") for packed in ("", COMPRESSED))
TITLED_ENDINGS = (".sdf", ".sd", ".sdf.gz", ".sd.gz")  # of files whose records are called by their titles
NAME_COLUMNS = ("id", "cid", "name", "inchikey", "smiles")  # by the first of which a row is called
MOLECULES_HELP = (
    "SMILES or InChI, or files: .csv, .tsv or .parquet with smiles or atomic_numbers and positions, .smi, .sdf, .mol, "
    ".mol2, .xyz"
)
ENCODING_HELP = "encoding of files of text, such as cp1252"
REASONS_SHOWN = 10  # on stderr; the listing has them all


@dataclass(frozen=True)
class Given:
    """One molecule as it was given: what it is called, and what `GeomCLIPFeatureExtractor.read` takes; a mapping may
    hold its `smiles` besides.
    """

    name: str
    molecule: Any
    smiles: str | None = None


def list_given(inputs: Sequence[str], encoding: str = "utf-8") -> list[Given]:
    """All molecules of files and of SMILES or InChI, in their order.

    What is damaged in a file stands as its `MoleculeError` among the others.

    Args:
        encoding: of files of text.
    Raises:
        ValueError: there is none, a table lacks a column, or a file is missing, cannot be read or is of another kind.
    """
    given = [molecule for item in inputs for molecule in _expand(item, encoding)]
    if not given:
        raise ValueError(f"there is no molecule in {', '.join(inputs)}; give at least one")
    return given


def _expand(item: str, encoding: str) -> Iterator[Given]:
    path, name = Path(item), Path(item).name.lower()
    if name.endswith(TABLE_ENDINGS):
        for number, row in enumerate(load_molecules(item, "train", None, (), encoding)):
            # A row without a molecule is refused as an empty one.
            yield Given(_name_row(row) or f"{path.name}:{number}", get_molecule_input(row) or "", row.get("smiles"))
    elif name.endswith(LIST_ENDINGS):
        yield from _read_list(path, encoding)
    elif find_file_format(path) and "\n" not in item:
        yield from _read_structures(path, encoding)
    elif path.suffix and path.is_file():
        known = f"and {path.suffix.lower()} is unknown; give {MOLECULES_HELP}"
        raise ValueError(f"the kind of {item} is told by its ending, {known}")
    else:
        yield Given(item, item, None if item.startswith("InChI=") else item)


def _read_list(path: Path, encoding: str) -> Iterator[Given]:
    """SMILES, one a line, each with its name, if it has one."""
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
    """Records of a file, called by their titles or, if it is not a file of one, by their numbers."""
    records = list(read_molecules(path, encoding)) or [MoleculeError("the file holds no molecule", "leave it out")]
    is_titled = path.name.lower().endswith(TITLED_ENDINGS)
    for number, record in enumerate(records):
        title = record.partition("\n")[0].strip() if is_titled and isinstance(record, str) else ""
        name = path.name if len(records) == 1 and not is_titled else f"{path.name}:{number}"
        yield Given(title or name, record)


def _name_row(row: Mapping[str, Any]) -> str:
    cell = next((row[column] for column in NAME_COLUMNS if row.get(column) not in (None, "")), "")
    # Numbers of a column with gaps are read as floats.
    return str(int(cell) if isinstance(cell, float) and cell.is_integer() else cell)


def read_given(extractor: Any, given: Sequence[Given], output: str) -> list[dict[str, Any]]:
    """Records of the molecules that can be read, `index` being their places in `given`.

    The others are listed with their reasons in a .rejected.jsonl file beside the output, and counted on stderr.

    Raises:
        ValueError: none can be read.
    """
    molecules = tqdm([item.molecule for item in given], desc="reading molecules", leave=False)
    records, failures = extractor.read(molecules, errors="report")
    listing = Path(output).with_suffix(".rejected.jsonl")
    listing.unlink(missing_ok=True)  # of an earlier run
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
    """List what is left out, a JSON object a line with its `reason` and more, and count it on stderr by reason."""
    listing.parent.mkdir(parents=True, exist_ok=True)
    text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    # What could not be decoded is told by JSON's own escapes.
    listing.write_text(text, encoding="utf-8", errors="backslashreplace")
    reasons = Counter(line["reason"] for line in lines)
    for reason, count in reasons.most_common(REASONS_SHOWN):
        print(f"left out: {count_things(count, noun)}: {reason}", file=sys.stderr)
    if len(reasons) > REASONS_SHOWN:
        others = count_things(len(reasons) - REASONS_SHOWN, "more reason")
        print(f"left out: others, for {others}", file=sys.stderr)
    verb = "is" if len(lines) == 1 else "are"
    print(f"{len(lines)} of {count_things(num_given, noun)} {verb} left out, see {listing}", file=sys.stderr)


def count_things(number: int, noun: str, plural: str = "") -> str:
    """A number of things in words, such as "1 molecule"."""
    return f"{number} {noun if number == 1 else plural or f'{noun}s'}"


def write_table(output: str, columns: Mapping[str, Any]) -> None:
    """A .csv, .parquet or .jsonl file, as `check_output` allows them, with a row for each molecule."""
    table, path = pd.DataFrame(dict(columns)), Path(output)
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".csv":
        table.to_csv(path, index=False)
    elif path.suffix == ".parquet":
        table.to_parquet(path, index=False)
    else:
        table.to_json(path, orient="records", lines=True, force_ascii=False)


def check_output(output: str, suffixes: Sequence[str]) -> None:
    """Refuse, before anything is computed, a file that cannot be written.

    Raises:
        ValueError: its suffix is none of these.
    """
    if Path(output).suffix not in suffixes:
        raise ValueError(f"--output {output} ends in none of {', '.join(suffixes)}; name one of these formats")
