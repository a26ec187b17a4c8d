"""Check that files hold neither pickles, which execute code when they are read, nor paths of this machine."""

import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..records import read_json, redact_path
from .publication import MODEL, Publication

PICKLES = (".bin", ".ckpt", ".joblib", ".pickle", ".pkl", ".pt", ".pth")
WEIGHTS = ".safetensors"
TEXTS = (".csv", ".jinja", ".json", ".jsonl", ".md", ".py", ".tsv", ".txt", ".yaml", ".yml")
VOCABULARY = "tokenizer.json"  # its tokens may look like paths


def check_files(publication: Publication) -> None:
    """Check all files of a publication, and that a model has weights.

    Raises:
        ValueError: a file is a pickle or holds an absolute path, or a model has no weights in safetensors.
    """
    if publication.kind == MODEL and not publication.find(WEIGHTS):
        raise ValueError(f"{publication.folder} has no weights in {WEIGHTS}; save the model with save_pretrained")
    for file in publication.find():
        if is_pickle(file):
            raise ValueError(
                f"{file} is a pickle, which executes code when it is read; remove it, or save it as {WEIGHTS}"
            )
    places = _compile_places(publication.folder)
    for file in publication.find(*TEXTS):
        if (path := find_path(file, places)) is not None:
            raise ValueError(f"{file} holds a path of this machine, {path}; replace it by a name")


def is_pickle(file: Path) -> bool:
    """Return whether a file is a pickle by its name or content, or an archive that contains one, as of torch.save."""
    if file.name.endswith(PICKLES):
        return True
    with file.open("rb") as stream:
        head = stream.read(4)
    if file.name.endswith(WEIGHTS):  # begins with a length, which may equal the beginning of a pickle
        return False
    if head == b"PK\x03\x04" and zipfile.is_zipfile(file):
        with zipfile.ZipFile(file) as archive:
            return any(name.endswith(PICKLES) for name in archive.namelist())
    return re.match(rb"\x80[\x02-\x05]", head) is not None


def find_path(file: Path, places: re.Pattern[str]) -> str | None:
    """Return the first local path in a text file, if any: below one of the places or, in JSON, any absolute path."""
    if file.suffix == ".json" and file.name != VOCABULARY:
        for text in _list_strings(read_json(file)):
            if redact_path(text) != text:
                return text
    with file.open(encoding="utf-8", errors="replace") as lines:
        found = next(filter(None, map(places.search, lines)), None)
    return found and found[0]


def _compile_places(folder: Path) -> re.Pattern[str]:
    """Return a pattern of paths in the home folder, the working directory or the published folder."""
    places = {path.as_posix() for path in (Path.home(), Path.cwd(), folder.resolve())} - {"/"}
    return re.compile(rf"(?<![\w./:-])(?:{'|'.join(map(re.escape, sorted(places)))})(?![\w.-])[^\s\"'`)\]]*")


def _list_strings(value: Any) -> Iterator[str]:
    """Yield every string in a nested value."""
    if isinstance(value, str):
        yield value
    for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _list_strings(item)
