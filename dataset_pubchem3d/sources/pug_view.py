"""Read the common parts of PUG View answers: headings, paragraphs and the origin of a text, with checks of the format.

Source of the format: https://pubchem.ncbi.nlm.nih.gov/docs/pug-view. Each text has the licence of its depositor.
Markup (such as links within a paragraph) is not read.
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
    """Return the heading of a section or data block, which is a string or an object."""
    heading = block.get("TOCHeading")
    return heading.get("#TOCHeading") if isinstance(heading, dict) else heading


def get_paragraphs(block: dict) -> list[str]:
    """Return the paragraphs of a data block, without blank ones."""
    strings = [part.get("String", "") for part in block.get("Value", {}).get("StringWithMarkup", [])]
    return [string for string in strings if string.strip()]


def get_origin_id(origin: dict) -> str:
    """Return the ANID of an annotation or reference, or else its source and id or name."""
    return str(origin.get("ANID") or f"{origin.get('SourceName')}:{origin.get('SourceID') or origin.get('Name')}")


def make_text(origin: dict, paragraphs: list[str], cid: int, title: str | None = None) -> Text:
    """Make the text of a compound.

    Args:
        origin: annotation or reference of the text; both have the same keys.
        paragraphs: paragraphs of the text.
        cid: CID of the compound.
        title: name of the compound if the origin does not give one.
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
    """Turn errors from parsing a record that is not in the documented format into a `RecordError`."""
    try:
        json.dumps(record, ensure_ascii=False).encode("utf-8")  # JSON allows a lone surrogate, Parquet does not
        yield
    except RecordError:
        raise
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        detail = f"{type(error).__name__}: {error}"
        raise RecordError(record_id, "the record is not in the documented format", detail) from error


def read_json(file: Path) -> dict:
    """Read the JSON object of a file, which may be gzipped.

    Raises:
        ValueError: the file cannot be read.
    """
    try:
        content = file.read_bytes()
        return dict(json.loads(gzip.decompress(content) if file.suffix == ".gz" else content))
    except (OSError, EOFError, zlib.error, TypeError, ValueError) as error:
        raise ValueError(f"{file} cannot be read ({error}); delete it and run the stage fetch again") from error


def get_value(content: Any, place: Path | str, *path: str | int) -> Any:
    """Return the value at `path` in `content`, which was read from the file or address `place`.

    Raises:
        ValueError: there is no such value.
    """
    found = content
    for key in path:
        try:
            found = found[key]
        except (IndexError, KeyError, TypeError):
            raise ValueError(f"{place} has no {path}: {str(content)[:200]}; delete it and fetch it again") from None
    return found
