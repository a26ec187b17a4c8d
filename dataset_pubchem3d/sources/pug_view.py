"""What the answers of PUG View share: headings, paragraphs, and whence a text is; read with checks of their form.

Source of the format: https://pubchem.ncbi.nlm.nih.gov/docs/pug-view. Licences belong to the depositors, text by text.
Markup (which part of a paragraph is a link) is not read.
"""

import gzip
import json
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..records import RecordError, Text

HEADING = "Record Description"
NO_TEXT = "no text under the heading"


def get_heading(block: dict) -> str | None:
    """The heading of a section or of a block of data, which is a string or an object."""
    heading = block.get("TOCHeading")
    return heading.get("#TOCHeading") if isinstance(heading, dict) else heading


def get_paragraphs(block: dict) -> list[str]:
    """The paragraphs of a block of data, without blank ones."""
    strings = [part.get("String", "") for part in block.get("Value", {}).get("StringWithMarkup", [])]
    return [string for string in strings if string.strip()]


def get_origin_id(origin: dict) -> str:
    """The ANID of an annotation or reference, or else its source and id or name."""
    return str(origin.get("ANID") or f"{origin.get('SourceName')}:{origin.get('SourceID') or origin.get('Name')}")


def make_text(origin: dict, paragraphs: list[str], cid: int, title: str | None = None) -> Text:
    """The text of a compound.

    Args:
        origin: the annotation or reference; both say by the same keys where the text is from.
        title: name of the compound where the origin gives none.
    """
    return Text(
        record_id=f"{get_origin_id(origin)}:{cid}",
        text="\n".join(paragraphs),
        source=origin["SourceName"],
        cid=cid,
        name=origin.get("Name") or title,
        source_id=origin.get("SourceID"),
        url=origin.get("URL"),
        license_url=origin.get("LicenseURL"),
        anid=origin.get("ANID"),
    )


@contextmanager
def expect_documented_form(record_id: str, record: dict) -> Iterator[None]:
    """Where a record is parsed: what the parser does not find as it is documented is a `RecordError`."""
    try:
        json.dumps(record, ensure_ascii=False).encode("utf-8")  # half a surrogate pair passes JSON, but no Parquet file
        yield
    except RecordError:
        raise
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        detail = f"{type(error).__name__}: {error}"
        raise RecordError(record_id, "the record has not the documented form", detail) from error


def read_json(file: Path) -> dict:
    """The JSON object of a file, which may be packed by gzip.

    Raises:
        ValueError: it cannot be read.
    """
    try:
        content = file.read_bytes()
        return dict(json.loads(gzip.decompress(content) if file.suffix == ".gz" else content))
    except (OSError, EOFError, zlib.error, TypeError, ValueError) as error:
        raise ValueError(f"{file} cannot be read ({error}); remove it and run the stage fetch again") from error


def get_value(content: Any, place: Path | str, *path: str | int) -> Any:
    """What lies at `path` in `content`, which the file or address `place` gave.

    Raises:
        ValueError: nothing lies there.
    """
    found = content
    for key in path:
        try:
            found = found[key]
        except (IndexError, KeyError, TypeError):
            raise ValueError(f"{place} has no {path}, but: {str(content)[:200]}; remove it, fetch it again") from None
    return found
