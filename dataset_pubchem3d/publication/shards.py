"""Write the Parquet files of configs and splits, one row group at a time."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from datasets import Features, SplitDict, SplitInfo

ROW_GROUP = 1000  # rows
SHARD_BYTES = 500_000_000  # in memory, before compression


class ShardWriter:
    """Writes `<folder>/<config>/<split>-00000-of-00001.parquet`; a split without rows gets no file.

    Args:
        folder: parent of the configs' folders.
        splits: splits of each config, in order.
        features: features of each config.
    """

    def __init__(self, folder: Path, splits: dict[str, tuple[str, ...]], features: dict[str, Features]):
        self._files = {
            config: {split: _Shards(folder / config, split, features[config].arrow_schema) for split in names}
            for config, names in splits.items()
        }

    def write(self, config: str, split: str, table: pa.Table) -> None:
        """Add rows; columns that the config does not have are dropped."""
        self._files[config][split].write(table)

    def close(self) -> dict[str, SplitDict]:
        """Finish all files.

        Returns:
            The sizes of the splits by config, without empty splits, which `datasets` cannot load.
        """
        infos = {config: _close_splits(shards) for config, shards in self._files.items()}
        return {config: splits for config, splits in infos.items() if splits}


def _close_splits(shards: dict[str, "_Shards"]) -> SplitDict:
    infos = SplitDict()
    for split, files in shards.items():
        files.close()
        if files.num_rows:
            infos.add(SplitInfo(split, num_bytes=files.num_bytes, num_examples=files.num_rows))
    return infos


class _Shards:
    def __init__(self, folder: Path, split: str, schema: pa.Schema):
        self._folder, self._split, self._schema = folder, split, schema
        self._waiting: list[pa.Table] = []
        self._writer: pq.ParquetWriter | None = None
        self._paths: list[Path] = []
        self._shard_bytes = self.num_bytes = self.num_rows = 0

    def write(self, table: pa.Table) -> None:
        if len(table):
            self._waiting.append(table.select(self._schema.names).cast(self._schema))
        if sum(map(len, self._waiting)) >= ROW_GROUP:
            self._flush()

    def close(self) -> None:
        if self._waiting:
            self._flush()
        self._end_shard()
        for index, path in enumerate(self._paths):
            path.rename(self._folder / f"{self._split}-{index:05d}-of-{len(self._paths):05d}.parquet")

    def _flush(self) -> None:
        table = pa.concat_tables(self._waiting).combine_chunks()
        if self._writer is None:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._paths.append(self._folder / f".{self._split}-{len(self._paths):05d}.parquet")
            self._writer = pq.ParquetWriter(self._paths[-1], self._schema)
        self._writer.write_table(table, row_group_size=len(table))
        self._waiting = []
        self._shard_bytes += table.nbytes
        self.num_bytes += table.nbytes
        self.num_rows += len(table)
        if self._shard_bytes >= SHARD_BYTES:
            self._end_shard()

    def _end_shard(self) -> None:
        if self._writer is not None:
            self._writer.close()
        self._writer, self._shard_bytes = None, 0
