"""Name datasets on cards: by their Hub id, or by a short name without a path."""

from pathlib import Path

from dataset_pubchem3d.sources.table_files import is_table

from ..records import find_hub_id


def find_dataset_id(dataset: str, is_local: bool = False) -> str | None:
    """Return the Hub id of a dataset, or None for a local folder or table.

    A name whose parent folder exists in the working directory counts as local. A card omits a Hub id rather than
    invent one.
    """
    is_local = is_local or is_table(dataset) or Path(dataset).parent.exists()
    return find_hub_id({"dataset": dataset, "local": ["dataset"] if is_local else []}, "dataset")


def name_dataset(dataset: str, is_local: bool = False) -> str:
    """Return the Hub id of a dataset, or the last part of its local path."""
    return find_dataset_id(dataset, is_local) or Path(dataset).name


def join_words(words: list[str]) -> str:
    """Join words as in a sentence: "a", "a and b", "a, b and c"."""
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else last
