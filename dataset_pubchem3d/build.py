"""Build a dataset folder from a recipe in stages: fetch, read, join, clean, deduplicate, split, write.

Each stage writes to its own folder below the work folder. If a build was interrupted or is run with other settings, it
redoes only the stages that are missing or whose settings changed. Memory use stays low: the build holds only a few
bytes of most molecules.
"""

import logging
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import chain
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from filelock import FileLock, Timeout
from tqdm import tqdm

from .benchmarks import Benchmark, read_benchmark
from .plan import make_plan
from .publication.folder import Folder, refuse_foreign_folder, stage_folder
from .recipe import Recipe
from .records import GEOMETRY_SCHEMA
from .same_texts import hash_texts
from .schema import GEOMETRY_COLUMNS
from .stages.join import join_window
from .stages.parse import Wanted
from .stages.ray_workers import RayWorkers
from .stages.read import Reading, list_keys
from .stages.rows import clean_rows, deduplicate_rows, group_rows
from .stages.splits import SPLITS, TRAIN, Cuts, hash_groups, make_cuts
from .stages.stage import Part, Stage, Task, make_folder
from .stages.windows import make_window_bounds, name_window, read_window, write_windows
from .stages.workers import Workers

STAGES = {  # and the properties of `Build` that run each stage
    "fetch": ("fetched",),
    "read": ("geometries", "molecules"),
    "join": ("joined",),
    "clean": ("cleaned",),
    "deduplicate": ("deduplicated",),
    "split": ("cuts",),
    "write": (),  # `report`, in a single process
}
ENGINES = ("local", "ray")
OF_PAIRS = ("geometries", "joined", "cleaned", "deduplicated")


def build(
    recipe: Recipe,
    out: Path,
    work: Path | None = None,
    num_proc: int = 1,
    last_stage: str = "write",
    engine: str = "local",
) -> dict:
    """Build a dataset, or resume an interrupted build.

    Args:
        recipe: settings of the build.
        out: folder to build. It appears only when it is complete, and then replaces a folder built earlier.
        work: folder for raw files and finished stages, from which a build resumes; beside `out` if None.
        num_proc: number of processes, with the engine "local".
        last_stage: last of `STAGES` to run.
        engine: one of `ENGINES`: "local" for processes of this machine, or "ray" for a Ray cluster, whose machines must
            share `work`.
    Returns:
        The report, which is also written to the folder, or the counts so far if `last_stage` is not "write".
    Raises:
        FileExistsError: `out` exists and was not built by this function.
        FileNotFoundError, ModuleNotFoundError: the raw data of a source is missing, or Ray.
        OSError: a download failed for good, or the disk is full; finished parts are kept. Or the disk is too small for
            what is to be fetched; nothing was downloaded.
        ConnectionError: there is no Ray cluster at `RAY_ADDRESS`.
        ValueError: a file is damaged, `engine` is unknown, or `work` lies in `out`, which a finished build replaces.
    """
    if engine not in ENGINES:
        raise ValueError(f"engine is {engine!r}; choose one of {', '.join(ENGINES)}")
    work = find_work_folder(out, work).resolve()  # the machines of a cluster may be in other folders
    make_plan(recipe, work, out).check_disk()
    with _hold_folder(work), _log(work / "build.log"):
        with Workers(num_proc) if engine == "local" else RayWorkers(work) as workers:
            stages = Build(recipe, work, workers, out)
            if last_stage == "write":
                stages.benchmarks  # noqa: B018  read now, so that a faulty list fails at once and not after hours
            for stage, parts in STAGES.items():
                for part in parts:
                    if recipe.texts or part not in OF_PAIRS:
                        getattr(stages, part)
                if stage == last_stage:
                    break
        # Write after the workers have ended, which frees their memory.
        return stages.report if last_stage == "write" else {"counts": stages.sum_counts()}


def find_work_folder(out: Path, work: Path | None = None) -> Path:
    """Return the work folder of a build, `work` or the one beside `out`, without making it.

    Raises:
        FileExistsError: `out` exists and was not built by `build`.
        ValueError: `work` lies in `out`.
    """
    refuse_foreign_folder(out)
    work = work or out.resolve().with_name(f".{out.name}.work")
    if work.resolve().is_relative_to(out.resolve()):
        raise ValueError(f"--work {work} is inside --out {out}, which a finished build replaces; choose one outside it")
    return work


@contextmanager
def _hold_folder(work: Path) -> Iterator[None]:
    """Lock the work folder against other builds."""
    work.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(work / "lock", timeout=0):
            yield
    except Timeout as error:
        raise OSError(f"another build is running in {work}; wait until it ends or choose another --work") from error


@contextmanager
def _log(path: Path) -> Iterator[None]:
    """Append the log messages of the stages, and the traceback of an error, to a file."""
    logger, file = logging.getLogger(__package__), logging.FileHandler(path, encoding="utf-8")
    file.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    level = logger.level
    logger.addHandler(file)
    logger.setLevel(logging.INFO)
    try:
        yield
    except Exception:
        file.stream.write(traceback.format_exc())
        raise
    finally:
        logger.setLevel(level)
        logger.removeHandler(file)
        file.close()


@dataclass
class Build(Reading):
    """All stages of one build.

    Args:
        out: folder to build.
    """

    out: Path

    @cached_property
    def windows(self) -> Path:
        """Folder of the texts and geometries, split into windows by first block."""
        folder = self.work / "windows"

        def deal(folder: Path) -> None:
            bounds = make_window_bounds(Wanted.load(self.wanted).blocks)
            np.save(folder / "bounds.npy", bounds)
            geometries = chain.from_iterable(stage.read_tables() for stage in self.geometries)
            for name, tables in (("texts", self.read_described()), ("geometries", geometries)):
                (folder / name).mkdir()
                write_windows(tables, "inchikey14", bounds, folder / name)

        make_folder(folder, {"texts": self.described_key, "geometries": list_keys(self.geometries)}, deal)
        return folder

    @cached_property
    def joined(self) -> Stage:
        """Texts joined with their geometries."""
        sources = tuple(source.name for source in self.recipe.geometries)
        settings = {
            "texts": self.described_key,
            "geometries": list_keys(self.geometries),
            "sources": sources,
            "match": self.recipe.match,
        }
        folders = self.windows / "texts", self.windows / "geometries"
        tasks = [Task(name_window(i), i) for i in range(len(np.load(self.windows / "bounds.npy")) + 1)]
        return self.run("joined", settings, lambda: tasks, partial(join_window, *folders, sources, self.recipe.match))

    @cached_property
    def cleaned(self) -> Stage:
        """Rows with cleaned texts."""
        recipe = self.recipe
        settings = (recipe.min_words, recipe.text_licenses == "permissive", recipe.replace_names)
        return self._transform("cleaned", self.joined, settings, clean_rows)

    @cached_property
    def deduplicated(self) -> Stage:
        """Rows without duplicates."""
        return self._transform("deduplicated", self.cleaned, (), deduplicate_rows)

    @cached_property
    def grouped(self) -> Stage:
        """Rows with their split group."""
        return self._transform("grouped", self.deduplicated, (self.recipe.split_by,), group_rows)

    @cached_property
    def cuts(self) -> Cuts:
        """Cuts that assign the groups to the splits.

        Raises:
            ValueError: no row is left.
        """
        tables = (self.grouped if self.recipe.texts else self.molecules).read_tables(["split_group"])
        hashes = [hash_groups(table.column(0).to_pylist(), self.recipe.seed) for table in tables]
        if not sum(len(part) for part in hashes):
            raise ValueError(f"no row is left; {self._describe_refusals()}")
        return make_cuts(np.concatenate(hashes), self.recipe.split_sizes)

    def _describe_refusals(self) -> str:
        """Count the refused records by reason and quote the first of each."""
        counts, firsts = Counter(), {}
        for note in chain.from_iterable(stage.read_notes() for stage in self.stages.values()):
            for record in note["refused"]:
                counts[record["reason"]] += 1
                first = f"{record['source']} {record['id']}: {record['detail']}"
                firsts.setdefault(record["reason"], first.rstrip(": "))
        told = [f"{number} x {reason} (first: {firsts[reason]})" for reason, number in counts.most_common()]
        return f"refused: {'; '.join(told)}" if told else "no text has a geometry"

    def _transform(self, name: str, before: Stage, settings: tuple, function: Callable[..., Part]) -> Stage:
        tasks = [Task(part, file) for part, file in zip(before.names, before.files)]
        settings_ = {"before": before.key, "settings": settings}
        return self.run(name, settings_, lambda: tasks, partial(function, *settings))

    # ------------------------------------------------------------------------------------------------------ write

    @cached_property
    def benchmarks(self) -> dict[str, Benchmark]:
        """Benchmarks that are kept out of training, by name."""
        return {name: read_benchmark(Path(path)) for name, path in self.recipe.benchmarks.items()}

    @cached_property
    def report(self) -> dict:
        """The report on the folder; the folder is written when the report is first read."""
        with stage_folder(self.out) as path:
            folder = Folder(path, self.recipe, self.benchmarks, self.split_texts if self.recipe.texts else {})
            for rows in self._gather_rows() if self.recipe.texts else ():
                folder.add_pairs(rows)
            for molecules in self.molecules.read_tables() if self.molecules else ():
                folder.add_molecules(self._add_splits(molecules))
            for title, stage in self.stages.items():
                folder.add_quarantine(title, stage)
            given = {source.name: source.profile(self.find_raw_folder(source)) for source in self.recipe.texts}
            return folder.finish(self.sum_counts(), {name: profile for name, profile in given.items() if profile})

    @cached_property
    def split_texts(self) -> dict[str, np.ndarray]:
        """Distinct hashes of the texts of each split except train, ascending."""
        hashes = {split: [np.empty(0, np.uint64)] for split in SPLITS if split != TRAIN}
        for rows in map(self._add_splits, self.grouped.read_tables(["split_group", "text"])):
            for split, found in hashes.items():
                found.append(hash_texts(rows.filter(pc.equal(rows["split"], split))["text"].to_pylist()))
        return {split: np.unique(np.concatenate(found)) for split, found in hashes.items()}

    def _gather_rows(self) -> Iterator[pa.Table]:
        """Yield the complete rows, window by window."""
        tables = tqdm(
            self.grouped.read_tables(), desc="writing", total=len(self.grouped.names), unit=" windows", disable=None
        )
        for index, rows in enumerate(tables):
            geometries = read_window(self.windows / "geometries", index, GEOMETRY_SCHEMA).take(rows["geometry_row"])
            for column in GEOMETRY_COLUMNS:
                rows = rows.append_column(column, geometries[column])
            yield self._add_splits(rows)

    def _add_splits(self, table: pa.Table) -> pa.Table:
        hashes = hash_groups(table.column("split_group").to_pylist(), self.recipe.seed)
        return table.append_column("split", pa.array(self.cuts.name_splits(hashes)))
