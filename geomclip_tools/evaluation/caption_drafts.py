"""Captions that a captioner wrote, and a file of them from which an interrupted evaluation continues."""

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

logger = logging.getLogger("geomclip")


@dataclass(frozen=True)
class Drafts:
    """Captions that a captioner wrote for several molecules.

    Args:
        captions: of each molecule, at least one, in the order of the search.
        likelihoods: the mean log-probabilities of their tokens, nats.
    """

    captions: list[list[str]]
    likelihoods: list[list[float]]


class DraftFile:
    """JSON lines: what the drafts depend on, then the drafts of one row per line, in any order.

    Args:
        path: the file. It may exist.
        origin: what the drafts depend on: captioner, rows, prompts and search. A file of another origin is renamed.
    """

    def __init__(self, path: Path, origin: Mapping[str, Any]):
        self.path, self.origin = path, json.loads(json.dumps(origin))

    def resume(self) -> dict[int, tuple[list[str], list[float]]]:
        """Return the captions and likelihoods of the rows in the file, {row: (captions, likelihoods)}.

        The file is begun if it does not exist, and freed from a last line that was not written to its end.
        """
        lines = read_complete_lines(self.path) if self.path.is_file() else []
        if lines and lines[0] != self.origin:
            old = self.path.with_name(f"{self.path.name}.old")
            logger.warning("%s has drafts of another captioner, search or dataset; renaming it to %s", self.path, old)
            self.path.replace(old)
            lines = []
        lines = lines or [self.origin]
        self.path.parent.mkdir(parents=True, exist_ok=True)
        partial = self.path.with_name(f"{self.path.name}.partial")
        partial.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
        partial.replace(self.path)
        return {line["row"]: (line["captions"], line["likelihoods"]) for line in lines[1:]}

    def append(self, drafts: Mapping[int, tuple[list[str], list[float]]]) -> None:
        """Append the drafts of some rows, as `resume` returns them."""
        with self.path.open("a", encoding="utf-8") as file:
            for row, (captions, likelihoods) in drafts.items():
                file.write(json.dumps({"row": row, "captions": captions, "likelihoods": likelihoods}) + "\n")


def read_complete_lines(path: Path) -> list[Any]:
    """Read JSON lines; without the last one if it was not written to its end."""
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    return [json.loads(line) for line in lines if line.endswith("\n")]
