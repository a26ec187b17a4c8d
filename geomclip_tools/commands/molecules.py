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

from dataset_pubchem3d.pairs import TABLE_FORMATS, get_molecule_input, load_molecules
from modeling_geomclip import read_molecules

STRUCTURE_SUFFIXES = (".mol", ".mol2", ".xyz")  # files of one structure
NAME_COLUMNS = ("id", "cid", "name", "inchikey", "smiles")  # by the first of which a row is called
MOLECULES_HELP = (
    "SMILES or InChI, or files: .csv, .tsv or .parquet with smiles or atomic_numbers and positions, .smi, .sdf, .mol, "
    ".mol2, .xyz"
)
REASONS_SHOWN = 10  # on stderr; the listing has them all


@dataclass(frozen=True)
class Given:
    """One molecule as it was given: what it is called, and what `GeomCLIPFeatureExtractor.read` takes; a mapping may
    hold its `smiles` besides.
    """

    name: str
    molecule: Any
    smiles: str | None = None


def list_given(inputs: Sequence[str]) -> list[Given]:
    """All molecules of files and of SMILES or InChI, in their order.

    Raises:
        ValueError: there is none, a table lacks a column, or a file is of another kind.
        OSError: a file is missing.
        MoleculeError: a file cannot be read.
    """
    given = [molecule for item in inputs for molecule in _expand(item)]
    if not given:
        raise ValueError(f"there is no molecule in {', '.join(inputs)}; give at least one")
    return given


def _expand(item: str) -> Iterator[Given]:
    path, suffix = Path(item), Path(item).suffix.lower()
    if suffix in TABLE_FORMATS:
        for number, row in enumerate(load_molecules(item, "train", None, ())):
            # A row without a molecule is refused as an empty one.
            yield Given(_name_row(row) or f"{path.name}:{number}", get_molecule_input(row) or "", row.get("smiles"))
    elif suffix == ".smi":
        for line in path.read_text(encoding="utf-8").splitlines():
            smiles, name = [*line.split(maxsplit=1), "", ""][:2]
            if smiles and not smiles.startswith("#"):
                yield Given(name.strip() or smiles, smiles, smiles)
    elif suffix == ".sdf":
        for number, record in enumerate(read_molecules(path)):
            yield Given(record.partition("\n")[0].strip() or f"{path.name}:{number}", record)
    elif suffix in STRUCTURE_SUFFIXES:
        yield Given(path.name, path)
    elif suffix and path.is_file():
        raise ValueError(f"the kind of {item} is told by its ending, and {suffix} is unknown; give {MOLECULES_HELP}")
    else:
        yield Given(item, item, None if item.startswith("InChI=") else item)


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
        listing.parent.mkdir(parents=True, exist_ok=True)
        listing.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), encoding="utf-8")
        reasons = Counter(line["reason"] for line in lines)
        for reason, count in reasons.most_common(REASONS_SHOWN):
            print(f"left out: {count} molecules: {reason}", file=sys.stderr)
        if len(reasons) > REASONS_SHOWN:
            print(f"left out: others, for {len(reasons) - REASONS_SHOWN} more reasons", file=sys.stderr)
        print(f"{len(failures)} of {len(given)} molecules are left out, see {listing}", file=sys.stderr)
    if not records:
        raise ValueError(f"no molecule of {len(given)} can be read: {failures[0]['reason']}")
    return records


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
