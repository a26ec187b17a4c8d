"""What a source will download, known before any server is asked."""

from pathlib import Path
from typing import NamedTuple


class Download(NamedTuple):
    """A file, or a number of requests of one kind, that a source fetches.

    Attributes:
        name: name of the file, or what the requests answer.
        num_bytes: size of the whole file or of all answers; None if unknown.
        requests: number of requests of `Client` that are still to be sent; None if it depends on data that are not
            there yet. Files of the Hugging Face Hub come by its own client and count as 0.
        note: where the size or the number comes from.
        bytes_there: bytes of it that an earlier build fetched.
        is_there: whether nothing of it is missing.
    """

    name: str
    num_bytes: int | None = None
    requests: int | None = 0
    note: str = ""
    bytes_there: int = 0
    is_there: bool = False

    @property
    def missing_bytes(self) -> int | None:
        """Bytes that are still to be fetched; None if unknown."""
        if self.is_there:
            return 0
        return None if self.num_bytes is None else max(self.num_bytes - self.bytes_there, 0)


def expect_file(file: Path, num_bytes: int | None, note: str, requests: int = 1) -> Download:
    """Return the download of a file, of which all or a part may be there; see `download.Part`.

    Args:
        file: path of the finished file.
        num_bytes: size of the whole file; None if unknown.
        note: where the size comes from.
        requests: number of requests of `Client` for the file.
    """
    part = Path(f"{file}.part")
    if file.is_file():
        return Download(file.name, num_bytes, 0, note, file.stat().st_size, is_there=True)
    return Download(file.name, num_bytes, requests, note, part.stat().st_size if part.is_file() else 0)
