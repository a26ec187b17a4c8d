"""A folder to publish: what it is, and which of its files are published."""

from dataclasses import dataclass
from pathlib import Path

from dataset_pubchem3d.pairs import read_report
from dataset_pubchem3d.publication.folder import BUILDER

from ..cards.model_card import TASKS, find_kind
from ..records import read_json
from ..training.checkpoints import LAST, STATES

DATASET, MODEL = "dataset", "model"  # the Hub's types of repositories


@dataclass(frozen=True)
class Publication:
    """A folder to publish.

    Args:
        folder: built dataset or checkpoint.
        kind: `DATASET` or `MODEL`.
        files: paths of the published files in the folder, in order.
    """

    folder: Path
    kind: str
    files: tuple[str, ...]

    def find(self, *suffixes: str) -> list[Path]:
        """Return the paths of the published files with one of the suffixes, or of all files if none is given."""
        return [self.folder / file for file in self.files if not suffixes or file.endswith(suffixes)]


def open_folder(folder: str | Path) -> Publication:
    """Recognise a folder and list what is published of it.

    Hidden files are left out. Of a checkpoint, so are the states to resume from, the last checkpoint and logs.

    Raises:
        ValueError: the folder is neither a built dataset nor a checkpoint.
    """
    folder = Path(folder)
    if read_report(folder).get("builder") == BUILDER:
        return Publication(folder, DATASET, tuple(_list_files(folder)))
    config = folder / "config.json"
    if config.is_file() and find_kind(read_json(config)) in TASKS:
        files = (file for file in _list_files(folder) if not file.endswith(".jsonl"))
        return Publication(folder, MODEL, tuple(file for file in files if file.split("/")[0] not in (LAST, STATES)))
    raise ValueError(
        f"{folder} is neither a dataset nor a checkpoint; give a folder that `geomclip build` or `geomclip train` wrote"
    )


def _list_files(folder: Path) -> list[str]:
    paths = sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return [path.as_posix() for path in paths if not any(part.startswith(".") for part in path.parts)]
