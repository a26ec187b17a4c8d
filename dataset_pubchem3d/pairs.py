"""Load rows from a folder, the Hub or a table, under the column names of `schema.py`."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from datasets import Dataset, load_dataset
from huggingface_hub import hf_hub_download
from huggingface_hub.errors import EntryNotFoundError

from .chemistry.identity import compute_inchikey, take_first_block
from .sources.table_files import MOL_BLOCK, READERS, is_table
from .tables import ROW_FAULT, load_table

if TYPE_CHECKING:
    from modeling_geomclip.molecule_checks_geomclip import MoleculeError

REPORT = "build_report.json"  # written by a build into its folder


def load_pairs(dataset: str, split: str, config: str | None = None, encoding: str = "utf-8") -> Dataset:
    """Load pairs of a molecule and a text, see `load_molecules`."""
    return load_molecules(dataset, split, config, ("text",), encoding)


def load_molecules(
    dataset: str, split: str, config: str | None, columns: Sequence[str], encoding: str = "utf-8"
) -> Dataset:
    """Load molecules that have coordinates or a SMILES.

    Args:
        dataset: folder or Hub id for `load_dataset`, or a table, see `tables.load_table`.
        split: split with optional slicing, for example "train[:90%]"; a table has only the split "train".
        config: config of a folder or Hub dataset, for example "pretrain"; its default config if None.
        columns: other required columns, such as "text".
        encoding: encoding of a table in a text file.
    Returns:
        The rows, with `columns` and either `atomic_numbers` (N) and `positions` (N, 3), Å, or `smiles`. Rows of a
        table also have `row_fault`: why a row cannot be used, or null.
    Raises:
        ValueError: a required column is missing, or a table cannot be read.
    """
    if is_table(dataset) and not Path(dataset).is_dir():
        rows = load_table(dataset, split, columns, encoding)
    elif Path(dataset).is_file():
        suffix = Path(dataset).suffix
        raise ValueError(f"dataset {dataset!r} is a {suffix} file; give a folder, a Hub id or {', '.join(READERS)}")
    else:
        rows = load_dataset(dataset, config, split=split)
    found = set(rows.column_names) - {ROW_FAULT}
    if not set(columns) <= found or not ({"atomic_numbers", "positions"} <= found or "smiles" in found):
        needed = [*map(repr, columns), "either 'atomic_numbers' and 'positions' or 'smiles'"]
        raise ValueError(
            f"dataset {dataset!r} has the columns {sorted(found)}; it needs {' and '.join(needed)}; rename its columns"
        )
    return rows


def read_label_units(dataset: str) -> dict[str, str]:
    """Return the units of the properties of a built dataset; empty for any other dataset."""
    if Path(dataset).is_file() or is_table(dataset):
        return {}
    folder = Path(dataset)
    if not folder.exists():
        try:
            folder = Path(hf_hub_download(dataset, REPORT, repo_type="dataset")).parent
        except EntryNotFoundError:
            return {}
    return read_report(folder).get("units", {})


def read_report(folder: Path) -> dict[str, Any]:
    """Return the build report of a folder; empty if the folder was not made by a build."""
    report = folder / REPORT
    return json.loads(report.read_text(encoding="utf-8")) if report.is_file() else {}


def get_molecule_input(row: dict) -> "dict | str | MoleculeError | None":
    """Return the molecule of a row as the processor takes it: its coordinates if it has them, else its SMILES, if any.

    Coordinates may be (atoms, 3), a flat list (3 atoms) as in many tables, JSON in a text cell, or an SDF record. For a
    faulty row of a table, the result is its fault as a `MoleculeError`, which the processor refuses.
    """
    if fault := row.get(ROW_FAULT):
        # Imported here because it loads transformers.
        from modeling_geomclip.molecule_checks_geomclip import MoleculeError

        return MoleculeError(fault, value="a faulty row")
    numbers, positions = (_read_number_list(row.get(name)) for name in ("atomic_numbers", "positions"))
    if positions is None or numbers is None:
        return row.get(MOL_BLOCK) or row.get("smiles")
    is_listed = not isinstance(positions, str) and len(positions) > 0
    if is_listed and np.isscalar(positions[0]) and len(positions) % 3 == 0:
        positions = np.reshape(positions, (-1, 3))
    return {"atomic_numbers": numbers, "positions": positions}


def _read_number_list(cell: Any) -> Any:
    """Parse a JSON list in a text cell; return any other cell unchanged, to be checked where it is used."""
    try:
        value = json.loads(cell) if isinstance(cell, str) else None
    except ValueError:
        value = None
    return value if isinstance(value, list) else cell


def find_first_block(row: dict) -> str | None:
    """Return the first block of the molecule's InChIKey, which ignores stereochemistry, isotopes and charge.

    It is read from `inchikey14` or `inchikey`, or computed from `smiles`; None if the row has none of them or the
    SMILES is invalid.
    """
    key = row.get("inchikey14") or row.get("inchikey")
    if not key and row.get("smiles"):
        key = compute_inchikey(row["smiles"])
    return take_first_block(key) if key else None
