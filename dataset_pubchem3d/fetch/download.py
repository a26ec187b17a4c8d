"""Download files: resume partial files, check digests, and rename finished files.

Source: RFC 9110, sections 13.1.5 (If-Range) and 14 (ranges).
"""

import hashlib
import os
from pathlib import Path

import requests
from tqdm import tqdm

from .answers import FetchError, TransientError, check, parse_json_object

_BLOCK = 1 << 16  # bytes


class Part:
    """An unfinished download of `path`.

    The bytes received so far are in `<path>.part`. If the server names versions, the version of the file is in
    `<path>.part.version`.
    """

    def __init__(self, path: Path):
        self.bytes, self.version = Path(f"{path}.part"), Path(f"{path}.part.version")

    def measure_size(self) -> int:
        """Return the number of bytes received so far."""
        return self.bytes.stat().st_size if self.bytes.exists() else 0

    def make_request_headers(self) -> dict[str, str]:
        """Return the headers of a request for the missing bytes."""
        headers = {"Accept-Encoding": "identity"}
        if offset := self._find_offset():
            headers |= {"Range": f"bytes={offset}-", "If-Range": self._read_known_version()}
        return headers

    def add(self, response: requests.Response) -> None:
        """Write the response to a request with `make_request_headers`, whose body has not been read yet.

        Raises:
            FetchError: the server refuses the request.
            TransientError: the file is still incomplete, or the part does not match the response and was discarded.
        """
        accepted = (200, 206, 416) if self._find_offset() else (200,)
        check(response, None if response.ok else parse_json_object(response), accepted)
        if response.status_code == 200:  # the first response, a new version, or a server without ranges
            self._begin(read_version(response))
            total = int(response.headers["Content-Length"]) if "Content-Length" in response.headers else None
        else:
            total = self._check_resumed(response)
        if response.ok:
            self._append(response, total)
        if total is not None and self.measure_size() != total:
            raise TransientError(f"the body ended at byte {self.measure_size()} of {total}")

    def discard(self) -> None:
        """Delete the part."""
        self.bytes.unlink(missing_ok=True)
        self.version.unlink(missing_ok=True)

    def _find_offset(self) -> int:
        """Return the byte at which the download can resume."""
        return self.measure_size() if self.version.exists() else 0

    def _read_known_version(self) -> str:
        return self.version.read_text(encoding="latin-1")

    def _begin(self, version: str | None) -> None:
        self.discard()
        if version is not None:  # written before the bytes, so that a version file never belongs to other bytes
            self.version.write_text(version, encoding="latin-1")

    def _append(self, response: requests.Response, total: int | None) -> None:
        title = self.bytes.name.removesuffix(".part")
        bar = tqdm(total=total, initial=self.measure_size(), desc=title, unit="B", unit_scale=True, disable=None)
        with self.bytes.open("ab") as file, bar:
            for block in response.raw.stream(_BLOCK, decode_content=False):
                file.write(block)
                bar.update(len(block))

    def _check_resumed(self, response: requests.Response) -> int:
        """Check that a range response (206 or 416) continues the part, and return the size of the whole file."""
        content_range, size = response.headers.get("Content-Range", ""), self.measure_size()
        span, _, total = content_range.partition("/")
        is_fitting = span.startswith(f"bytes {size}-") if response.ok else content_range == f"bytes */{size}"
        is_same = read_version(response) in (None, self._read_known_version())
        if not (is_fitting and is_same and total.isdecimal()):
            self.discard()
            raise TransientError(f"HTTP {response.status_code}, {content_range!r} does not continue the partial file")
        return int(total)


def verify(file: Path, url: str, md5: str | None) -> None:
    """Check a file against its published MD5 digest, if there is one.

    Raises:
        FetchError: the digest differs.
    """
    if md5 is None:
        return
    with file.open("rb") as stream:
        found = hashlib.file_digest(stream, "md5").hexdigest()
    if md5.lower() != found:
        remedy = "delete the file if it still exists and run the command again, or correct the digest"
        raise FetchError(url, f"{file} has MD5 {found} instead of {md5}; {remedy}")


def publish(part: Path, path: Path) -> None:
    """Flush a finished file to disk and rename it to `path`, which is therefore never incomplete."""
    with part.open("r+b") as file:
        os.fsync(file.fileno())
    part.replace(path)


def read_version(response: requests.Response) -> str | None:
    """Return the version for If-Range: a strong ETag, else the Last-Modified date."""
    etag = response.headers.get("ETag")
    return etag if etag and not etag.startswith("W/") else response.headers.get("Last-Modified")
