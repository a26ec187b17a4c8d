"""`PubChem3D`: a `datasets` builder over a built folder.

`datasets` 5 does not run loading scripts: `load_dataset("pubchem3d")` reads the folder's Parquet files and card. Use
this class to read the same files through a builder object.
"""

import hashlib
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
from datasets.builder import Key

from .stages.splits import SPLITS


class PubChem3D(datasets.ArrowBasedBuilder):
    """Builder over a folder built by `python -m dataset_pubchem3d build`.

    Args:
        data_dir: built folder.
        config_name: name of a folder below `data`.
    Raises:
        FileNotFoundError: `data_dir` has no files of the config.
    """

    VERSION = datasets.Version("1.0.0")
    DEFAULT_CONFIG_NAME = "default"

    def __init__(self, *args, data_dir: str, config_name: str = DEFAULT_CONFIG_NAME, **kwargs):
        # Hash the content; otherwise the cache would hide that a folder was rebuilt.
        digest = kwargs.pop("hash", None) or digest_content(Path(data_dir), config_name)
        super().__init__(*args, data_dir=str(data_dir), config_name=config_name, hash=digest, **kwargs)

    def _info(self) -> datasets.DatasetInfo:
        first = next(iter(list_split_files(Path(self.config.data_dir), self.config.name).values()))[0]
        return datasets.DatasetInfo(features=datasets.Features.from_arrow_schema(pq.read_schema(first)))

    def _split_generators(self, dl_manager) -> list[datasets.SplitGenerator]:
        return [
            datasets.SplitGenerator(split, gen_kwargs={"files": [str(file) for file in files]})
            for split, files in list_split_files(Path(self.config.data_dir), self.config.name).items()
        ]

    def _generate_tables(self, files: list[str]) -> Iterator[tuple[Key, pa.Table]]:
        for file_index, file in enumerate(files):
            with pq.ParquetFile(file) as parquet:
                for batch_index, batch in enumerate(parquet.iter_batches()):
                    yield Key(file_index, batch_index), pa.Table.from_batches([batch])


def list_split_files(folder: Path, config: str = "default") -> dict[str, list[Path]]:
    """Return the Parquet files of each split of a config, in order; splits without files are left out.

    Raises:
        FileNotFoundError: the config has no files.
    """
    found = {split: sorted((folder / "data" / config).glob(f"{split}-*.parquet")) for split in SPLITS}
    if not any(found.values()):
        raise FileNotFoundError(
            f"no data/{config}/*.parquet in {folder}; build it with `python -m dataset_pubchem3d build --out ...`"
        )
    return {split: files for split, files in found.items() if files}


def digest_content(folder: Path, config: str = "default") -> str:
    """Return the SHA-256 digest, in hexadecimal, of the Parquet files of a config of a built folder."""
    digest = hashlib.sha256()
    for path in chain.from_iterable(list_split_files(folder, config).values()):
        with open(path, "rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()
