"""The first stages of a build: fetch raw files, and read texts and the geometries of the molecules they describe."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ..chemistry.identity import BLOCK, KEY
from ..fetch.client import Client
from ..recipe import Recipe, describe_source
from ..sources.base import GeometrySource, Source
from .parse import (
    Wanted,
    identify_texts,
    make_chunks,
    read_compounds,
    read_geometries,
    read_molecules,
    read_texts,
)
from .stage import Part, Stage, Task, make_folder, run_stage
from .windows import name_window, read_column, write_windows
from .workers import Workers

IDENTITY = {"inchikey": KEY, "cid": np.dtype(np.int64), "inchikey14": BLOCK}  # types of a molecule's identifiers
MATCHED_BY = {"inchikey": ("inchikey",), "cid": ("inchikey", "cid"), "first_block": ("inchikey14",)}


@dataclass
class Reading:
    """The first stages of a build, fetch and read. Each of its cached properties runs its part on first access.

    Args:
        recipe: settings of the build.
        work: folder for raw files and finished stages.
        workers: processes that run the tasks.
    """

    recipe: Recipe
    work: Path
    workers: Workers
    stages: dict[str, Stage] = field(init=False, default_factory=dict)

    # ------------------------------------------------------------------------------------------------------ fetch

    @cached_property
    def fetched(self) -> None:
        """Downloads the missing raw files of all sources on first access."""
        client, structures = Client(), self.recipe.structures
        for source in self.recipe.texts:
            self._fetch(source, client)
        if structures is not None:
            self._fetch(structures, client, cids=self.unidentified_cids)
        for source in self._geometry_sources:
            if source.is_fetched_by_cid and not source.path:
                self._fetch(source, client, cids=Wanted.load(self.wanted).cids)
            else:
                self._fetch(source, client)

    def _fetch(self, source: Source, client: Client, **wanted: np.ndarray) -> None:
        if not source.path:
            source.fetch(client, self.find_raw_folder(source), **wanted)

    def find_raw_folder(self, source: Source) -> Path:
        """Return the folder or file with the raw data of a source: its `path`, or the folder that `fetched` fills."""
        return source.find_folder(self.work)

    @property
    def _geometry_sources(self) -> list[GeometrySource]:
        properties = self.recipe.properties
        return [*self.recipe.geometries, *([properties] if properties else [])]

    # ------------------------------------------------------------------------------------------------------- read

    @cached_property
    def texts(self) -> list[Stage]:
        """Texts of each source, as the source gives them."""
        is_by_cid = self.recipe.structures is not None
        function = partial(read_texts, is_by_cid=is_by_cid)
        settings = {"is_by_cid": is_by_cid}
        return [self._read("texts", source, settings, partial(function, source)) for source in self.recipe.texts]

    @property
    def unidentified_cids(self) -> np.ndarray:
        """CIDs, ascending, of the texts whose molecule is given only by a CID."""
        cids = [np.empty(0, np.int64)]
        for stage in self.texts:
            for table in stage.read_tables(["cid", "inchikey"]):
                cids.append(np.unique(table.filter(pc.field("inchikey").is_null()).column("cid").to_numpy()))
        return np.unique(np.concatenate(cids))

    @cached_property
    def compounds(self) -> Stage | None:
        """Compounds of `unidentified_cids`; None if there are no such CIDs."""
        cids, structures = self.unidentified_cids, self.recipe.structures
        if len(cids) == 0:
            return None
        return self._read(
            "structures",
            structures,
            {"texts": list_keys(self.texts)},
            partial(read_compounds, structures),
            partial(structures.read_records, cids=cids),
        )

    @cached_property
    def identified(self) -> Stage | None:
        """Texts of `unidentified_cids`, with their identity; None if there are none."""
        if self.compounds is None:
            return None
        firsts = [table.column("cid")[0].as_py() for table in self.compounds.read_tables(["cid"]) if len(table)]
        files = [file for file, table in zip(self.compounds.files, self.compounds.read_tables(["cid"])) if len(table)]
        settings = {"texts": list_keys(self.texts), "compounds": self.compounds.key}
        by_cid = (table.filter(pc.field("inchikey").is_null()) for stage in self.texts for table in stage.read_tables())
        windows = self.work / "texts_by_cid"
        make_folder(
            windows, settings, lambda folder: write_windows(by_cid, "cid", np.array(firsts[1:], np.int64), folder)
        )
        tasks = [Task(name_window(i), (file, i)) for i, file in enumerate(files or [None])]
        return self.run("identified", settings, lambda: tasks, partial(identify_texts, windows))

    def read_described(self, columns: list[str] | None = None) -> Iterator[pa.Table]:
        """Yield tables of all texts whose molecule is known."""
        for stage in self.texts:
            for table in stage.read_tables(None if columns is None else [*dict.fromkeys([*columns, "inchikey"])]):
                yield table.filter(pc.field("inchikey").is_valid())
        if self.identified is not None:
            yield from self.identified.read_tables(columns)

    @property
    def described_key(self) -> list[str]:
        """Keys of the stages behind `read_described`."""
        return list_keys([*self.texts, *([self.identified] if self.identified else [])])

    @cached_property
    def wanted(self) -> Path:
        """Folder of `Wanted`, the molecules that need a geometry."""
        folder = self.work / "wanted"
        texts = self.read_described(["inchikey14", "cid"])
        make_folder(folder, {"texts": self.described_key}, lambda folder: Wanted.collect(texts).save(folder))
        return folder

    @cached_property
    def geometries(self) -> list[Stage]:
        """Wanted geometries of each source; a last resort makes those that the sources before it lack."""
        stages: list[Stage] = []
        for source in self.recipe.geometries:
            settings = {"texts": self.described_key, "conformers": self.recipe.conformers}
            raw_records = None
            if source.is_last_resort:
                settings |= {"others": list_keys(stages), "match": self.recipe.match}
                raw_records = partial(self._make_lacking, source, stages)
            function = partial(read_geometries, source, self.wanted, self.recipe.conformers)
            stages.append(self._read("geometries", source, settings, function, raw_records))
        return stages

    def _make_lacking(self, source: GeometrySource, others: list[Stage], folder: Path) -> Iterator[Any]:
        """Yield a raw record for each molecule that no other source has."""
        found, seen = {name: _collect_distinct(others, name) for name in MATCHED_BY[self.recipe.match]}, set()
        for table in self.read_described(["inchikey", "inchikey14", "cid", "smiles"]):
            is_found = [np.isin(_read_values(table, name), values) for name, values in found.items()]
            rows = table.filter(pa.array(~np.any(is_found, axis=0))).to_pylist()
            new = {row["inchikey"]: row["smiles"] for row in rows if row["inchikey"] not in seen}
            seen.update(new)
            yield from source.make_records(new.items())

    @cached_property
    def molecules(self) -> Stage | None:
        """All molecules of the source of properties; None if the recipe has no such source."""
        source = self.recipe.properties
        if source is None:
            return None
        settings = {"split_by": self.recipe.split_by, "conformers": self.recipe.conformers}
        function = partial(read_molecules, source, self.recipe.conformers, self.recipe.split_by)
        return self._read("molecules", source, settings, function)

    def _read(
        self,
        kind: str,
        source: Source,
        settings: dict,
        function: Callable[[list], Part],
        raw_records: Callable[[Path], Iterable] | None = None,
    ) -> Stage:
        raw = self.find_raw_folder(source)
        files = [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in source.list_files(raw)]
        settings = {"source": describe_source(source), "files": files, **settings}
        name = f"{kind}_{source.name}"
        return self.run(name, settings, lambda: make_chunks((raw_records or source.read_records)(raw)), function)

    def run(
        self, name: str, settings: dict, tasks: Callable[[], Iterable[Task]], function: Callable[[Any], Part]
    ) -> Stage:
        """Run a stage in its folder and add it to `stages`."""
        title = name.replace("_", " ")
        self.stages[title] = run_stage(self.work / name, settings, tasks, function, self.workers, title)
        return self.stages[title]

    def sum_counts(self) -> dict[str, dict[str, int]]:
        """Return the counts of each stage."""
        return {title: dict(stage.sum_counts()) for title, stage in self.stages.items()}


def _collect_distinct(stages: Iterable[Stage], column: str) -> np.ndarray:
    """Return the distinct non-null values of a column, ascending."""
    tables = (table for stage in stages for table in stage.read_tables([column]))
    parts = (_read_values(table.filter(pc.field(column).is_valid()), column) for table in tables)
    return np.unique(np.concatenate([np.empty(0, IDENTITY[column]), *parts]))


def _read_values(table: pa.Table, column: str) -> np.ndarray:
    """Return the values of a column of `IDENTITY`; a missing CID is -1."""
    if column == "cid":
        return table.column(column).fill_null(-1).to_numpy()
    return read_column(table, column, IDENTITY[column])


def list_keys(stages: Iterable[Stage]) -> list[str]:
    """Return the keys of stages, on which later stages depend."""
    return [stage.key for stage in stages]
