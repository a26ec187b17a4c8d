"""Read parts of a file on a server, a few blocks at a time."""

from .answers import FetchError
from .client import Client
from .ranges import Range

BLOCK = 2**15  # bytes
KEPT_BLOCKS = 64


class RemoteFile:
    """A file on a server. Only whole blocks are requested, and the latest ones are kept.

    Args:
        client: client for the requests.
        url: address of the file. If it redirects, later requests go to the target directly until that refuses them,
            because the addresses to which hosts of large files redirect are valid only for a time.

    Attributes:
        num_requests: number of requests so far.
        num_bytes: bytes received so far.
    """

    def __init__(self, client: Client, url: str):
        self.client, self.url, self._address = client, url, url
        self.num_requests = self.num_bytes = 0
        self._known: tuple[int, str | None] | None = None  # size and version
        self._blocks: dict[int, bytes] = {}  # by index, the latest last

    @property
    def size(self) -> int:
        """Bytes of the file."""
        if self._known is None:
            self._fetch(0, 1)
        return self._known[0]

    def read(self, start: int, stop: int) -> bytes:
        """Return the bytes from `start` to before `stop`; fewer if the file ends earlier.

        Raises:
            FetchError: the server refuses a request or ignores the range, all attempts fail, or the file was replaced.
        """
        stop = min(stop, self.size)
        if start >= stop:
            return b""
        first, last = start // BLOCK, (stop - 1) // BLOCK
        missing = [index for index in range(first, last + 1) if index not in self._blocks]
        if missing:
            self._fetch(missing[0], missing[-1] + 1)
        content = b"".join(self._blocks[index] for index in range(first, last + 1))
        for index in list(self._blocks)[:-KEPT_BLOCKS]:
            del self._blocks[index]
        return content[start - first * BLOCK : stop - first * BLOCK]

    def _fetch(self, first: int, end: int) -> None:
        """Request the blocks from `first` to before `end`."""
        found = self._request(first * BLOCK, end * BLOCK)
        known = (found.size, found.version)
        if self._known not in (None, known):
            was, now = (f"{size} bytes, version {version}" for size, version in (self._known, known))
            raise FetchError(self.url, f"the file was replaced while it was read ({was}; now {now}); fetch it again")
        self._known, self._address = known, found.address
        self.num_requests += 1
        self.num_bytes += len(found.body)
        for index in range(first, end):
            self._blocks.pop(index, None)  # so that it is put last
            self._blocks[index] = found.body[(index - first) * BLOCK : (index - first + 1) * BLOCK]

    def _request(self, start: int, stop: int) -> Range:
        try:
            return self.client.get_range(self._address, start, stop)
        except FetchError as error:
            if self._address == self.url or error.status is None:
                raise
        self._address = self.url
        return self.client.get_range(self.url, start, stop)
