"""Geometry-text pairs from a folder, the Hub or a table, under the column names of `schema.py`."""

from pathlib import Path

from datasets import Dataset, load_dataset
from rdkit import Chem
from rdkit.rdBase import BlockLogs

TABLE_FORMATS = {".csv": "csv", ".tsv": "csv", ".parquet": "parquet"}


def load_pairs(dataset: str, split: str, config: str | None = None) -> Dataset:
    """Load pairs whose geometry is given by coordinates or by a SMILES.

    Args:
        dataset: a folder or Hub id that `load_dataset` takes, or a .csv, .tsv or .parquet file.
        split: split with optional slicing, for example "train[:90%]"; a file has the one split "train".
        config: of a folder or Hub dataset, for example "pretrain"; its default one if None.
    Returns:
        the rows with `text` and either `atomic_numbers` (N) and `positions` (N, 3), Å, or `smiles`.
    Raises:
        ValueError: a column that is needed is missing.
    """
    suffix = Path(dataset).suffix.lower()
    if Path(dataset).is_file() and suffix not in TABLE_FORMATS:
        raise ValueError(
            f"dataset {dataset!r} is a {suffix!r} file; give a folder, a Hub id or {sorted(TABLE_FORMATS)}"
        )
    if suffix in TABLE_FORMATS:
        separator = {"sep": "\t"} if suffix == ".tsv" else {}
        pairs = load_dataset(TABLE_FORMATS[suffix], data_files=dataset, split=split, **separator)
    else:
        pairs = load_dataset(dataset, config, split=split)
    columns = set(pairs.column_names)
    if "text" not in columns or not ({"atomic_numbers", "positions"} <= columns or "smiles" in columns):
        raise ValueError(
            f"dataset {dataset!r} has the columns {sorted(columns)}; it needs 'text' and either 'atomic_numbers' and "
            "'positions' or 'smiles'; rename its columns"
        )
    return pairs


def molecule_input(row: dict) -> dict | str:
    """What the processor takes for the molecule of a row: its coordinates if it has them, else its SMILES."""
    if row.get("positions") is not None and row.get("atomic_numbers") is not None:
        return {"atomic_numbers": row["atomic_numbers"], "positions": row["positions"]}
    return row["smiles"]


def first_block(row: dict) -> str | None:
    """First block of the molecule's InChIKey, which names it up to stereochemistry, isotopes and charge.

    Read from `inchikey14` or `inchikey`, else computed from `smiles`; None where none of them tells.
    """
    key = row.get("inchikey14") or row.get("inchikey")
    if not key and row.get("smiles"):
        with BlockLogs():
            molecule = Chem.MolFromSmiles(row["smiles"])
            key = Chem.MolToInchiKey(molecule) if molecule is not None else None
    return key[:14] if key else None
