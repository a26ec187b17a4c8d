"""Profile a table as given, before rows are refused or joined: its contents and repetitions."""

import hashlib
from collections import Counter
from collections.abc import Iterable
from typing import Any

import numpy as np

from ..chemistry.elements import IN_DICTIONARY
from ..chemistry.identity import take_first_block
from .table_files import Row, read_number_list, undouble_backslashes

DISTINCT = {  # values that are counted without repetitions, stored as 8 bytes per row
    "inchikeys": lambda cells: cells.get("inchikey", ""),
    "first_blocks": lambda cells: take_first_block(cells.get("inchikey", "")),
    "texts": lambda cells: cells.get("text", "").strip(),
}


def profile_table(rows: Iterable[Row]) -> dict[str, int]:
    """Count the contents of a table's rows; a missing InChIKey or text counts as one more value.

    Returns:
        `rows`; the numbers of distinct InChIKeys and first blocks (from the table's own column, if it has one) and of
        distinct texts; and the numbers of rows that share their text with another row, or that have a SMILES of several
        fragments, a SMILES with doubled backslashes, or a geometry with an element for which Uni-Mol lacks a token.
    """
    counts: Counter = Counter(rows=0, multi_fragment_smiles=0, doubled_backslashes=0, element_outside_dictionary=0)
    hashes: dict[str, list[int]] = {name: [] for name in DISTINCT}
    for row in rows:
        smiles = row.cells.get("smiles", "")
        counts["rows"] += 1
        counts["multi_fragment_smiles"] += "." in smiles
        counts["doubled_backslashes"] += undouble_backslashes(smiles) != smiles
        counts["element_outside_dictionary"] += _is_outside_dictionary(row.cells.get("atomic_numbers", []))
        for name, value in DISTINCT.items():
            hashes[name].append(_hash(value(row.cells)))
    rows_of_text = np.unique(np.array(hashes["texts"], dtype=np.uint64), return_counts=True)[1]
    return {
        **counts,
        **{f"distinct_{name}": len(np.unique(np.array(found, dtype=np.uint64))) for name, found in hashes.items()},
        "rows_sharing_their_text": int(rows_of_text[rows_of_text > 1].sum()),
    }


def _is_outside_dictionary(cell: Any) -> bool:
    """Return whether an element is outside the dictionary; False for an invalid cell, which is refused elsewhere."""
    try:
        numbers = np.array(read_number_list(cell), dtype=np.float64)
    except (ValueError, TypeError):
        return False
    is_readable = ((numbers >= 0) & (numbers < len(IN_DICTIONARY)) & (numbers % 1 == 0)).all()
    return bool(is_readable) and not IN_DICTIONARY[numbers.astype(int)].all()


def _hash(value: str) -> int:
    return int.from_bytes(hashlib.blake2b(value.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big")
