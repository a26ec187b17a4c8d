"""`PubChem3D`: the loading code of a built folder, for direct use.

`datasets` 5 runs no loading scripts, so `load_dataset("pubchem3d")` reads the folder's Parquet files and card itself;
this class reads the same files where a builder object is wanted.
"""

import hashlib
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
from datasets.builder import Key

from .schema import FEATURES
from .splits import SPLITS


class PubChem3D(datasets.ArrowBasedBuilder):
    """Builder over a folder made by `python -m dataset_pubchem3d build`.

    Args:
        data_dir: the built folder.
    Raises:
        FileNotFoundError: `data_dir` holds no file of some split.
    """

    VERSION = datasets.Version("1.0.0")

    def __init__(self, *args, data_dir: str, **kwargs):
        digest = kwargs.pop("hash", None) or content_digest(Path(data_dir))  # else a rebuilt folder is read from cache
        super().__init__(*args, data_dir=str(data_dir), hash=digest, **kwargs)

    def _info(self) -> datasets.DatasetInfo:
        return datasets.DatasetInfo(features=FEATURES)

    def _split_generators(self, dl_manager) -> list[datasets.SplitGenerator]:
        return [
            datasets.SplitGenerator(split, gen_kwargs={"files": [str(file) for file in files]})
            for split, files in split_files(Path(self.config.data_dir)).items()
        ]

    def _generate_tables(self, files: list[str]) -> Iterator[tuple[Key, pa.Table]]:
        for file_index, file in enumerate(files):
            with pq.ParquetFile(file) as parquet:
                for batch_index, batch in enumerate(parquet.iter_batches()):
                    yield Key(file_index, batch_index), pa.Table.from_batches([batch])


def split_files(folder: Path) -> dict[str, list[Path]]:
    """The Parquet files of each split of a built folder, in order.

    Raises:
        FileNotFoundError: some split has no file.
    """
    files = {split: sorted((folder / "data").glob(f"{split}-*.parquet")) for split in SPLITS}
    for split, found in files.items():
        if not found:
            raise FileNotFoundError(
                f"no data/{split}-*.parquet in {folder}; make them with `python -m dataset_pubchem3d build --out ...`"
            )
    return files


def content_digest(folder: Path) -> str:
    """SHA-256 over the Parquet files of a built folder, in hexadecimal."""
    digest = hashlib.sha256()
    for file in chain.from_iterable(split_files(folder).values()):
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()
