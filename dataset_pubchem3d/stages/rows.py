"""Process the joined rows of one window: clean them, remove duplicates, and assign split groups."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from ..records import RecordError
from ..text.clean import clean_text
from ..text.licenses import is_permissive
from .join import ROW_SCHEMA
from .splits import find_split_group
from .stage import Part

GROUPED_SCHEMA = ROW_SCHEMA.append(pa.field("split_group", pa.string()))


def clean_rows(min_words: int, permissive_only: bool, replace_names: bool, joined: Path) -> Part:
    """Clean the texts of a part; refuse short texts and, if asked, texts without a permissive licence.

    Args:
        min_words: minimum words of a text.
        permissive_only: whether to refuse texts whose licence is not known to be permissive.
        replace_names: whether to replace the molecule's name where it is the subject.
        joined: Parquet file of the part.
    """
    part, rows = Part(ROW_SCHEMA.empty_table()), []
    for row in pq.read_table(joined).to_pylist():
        part.counts["rows read"] += 1
        try:
            rows.append(_clean_row(row, min_words, permissive_only, replace_names))
        except RecordError as error:
            part.refuse(row["source"], error)
    part.counts["rows"] += len(rows)
    part.table = pa.Table.from_pylist(rows, ROW_SCHEMA)
    return part


def _clean_row(row: dict, min_words: int, permissive_only: bool, replace_names: bool) -> dict:
    if permissive_only and not is_permissive(row["text_license_url"]):
        reason = "the licence of its text is not known to be permissive"
        raise RecordError(row["record_id"], reason, row["text_license_url"] or "")
    cleaned = clean_text(
        row["record_id"],
        row["text"],
        filter(None, [row["name"], row["title"], *(row["synonyms"] or [])]) if replace_names else (),
        row["text_source"],
        row["text_kind"],
        row["is_composed"],
        min_words,
    )
    return {**row, "text": cleaned.text, "text_kind": cleaned.kind, "name": row["name"] or row["title"] or None}


def deduplicate_rows(cleaned: Path) -> Part:
    """Keep the first row of each pair of molecule (full InChIKey) and text, and sort the rows by InChIKey."""
    part, kept = Part(ROW_SCHEMA.empty_table()), {}
    for row in sorted(pq.read_table(cleaned).to_pylist(), key=lambda row: row["inchikey"]):
        part.counts["rows read"] += 1
        first = kept.setdefault((row["inchikey"], row["text"]), row)
        if first is not row:
            detail = f"{first['source']} {first['record_id']}"
            part.refuse(
                row["source"], RecordError(row["record_id"], "same molecule and text as another record", detail)
            )
    part.counts["rows"] += len(kept)
    part.table = pa.Table.from_pylist(list(kept.values()), ROW_SCHEMA)
    return part


def group_rows(split_by: str, deduplicated: Path) -> Part:
    """Add the split group of each row; rows of one group must stay in one split."""
    rows = pq.read_table(deduplicated).to_pylist()
    for row in rows:
        row["split_group"] = find_split_group(split_by, row["inchi"], row["inchikey14"])
    return Part(pa.Table.from_pylist(rows, GROUPED_SCHEMA))
