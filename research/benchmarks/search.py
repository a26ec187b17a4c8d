"""Measure searches in a large index: recall and time, memory, the time to open it and to add to it.

    python research/benchmarks/search.py --index my_library --model release/geomclip-mini --dataset my_pairs \\
        --output research/results/performance/search.json

The vectors are the embeddings of a real index and noisy copies of them; the queries are texts of the dataset, whose
molecules need not be in the index. Encoding the queries is not timed. Memory is that of the process itself (anonymous
pages), without pages of files, which the operating system can drop at any time. It is compared with that of a process
that has loaded the model and LanceDB, but no table.
"""

import json
import multiprocessing
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
from machine import describe_machine
from transformers import HfArgumentParser

from dataset_pubchem3d.pairs import load_pairs
from geomclip_tools.library import MoleculeIndex
from geomclip_tools.library.rows import KEY, VECTOR, read_vectors
from geomclip_tools.library.store import MoleculeStore
from geomclip_tools.loading import load_geomclip
from geomclip_tools.records import find_commit, redact_paths
from modeling_geomclip import embed_molecules, embed_texts

TOP = 10
NOISE = 0.02  # standard deviation of each component; the cosine of a vector and its copy is some 0.9
BATCH = 20_000  # vectors


@dataclass(frozen=True)
class SearchSettings:
    """The flags of the command."""

    index: str = field(metadata={"help": "index whose embeddings are used"})
    model: str = field(metadata={"help": "checkpoint folder of the index"})
    dataset: str = field(metadata={"help": "folder, Hub id or table with geometries and texts"})
    output: str = field(metadata={"help": "results file to write (JSON)"})
    split: str = field(default="validation", metadata={"help": "split whose texts are the queries"})
    num_vectors: int = field(default=1_000_000, metadata={"help": "rows of the large index"})
    num_queries: int = field(default=200, metadata={"help": "number of texts"})
    num_added: int = field(default=10_000, metadata={"help": "number of molecules to add"})


def main() -> None:
    settings = HfArgumentParser(SearchSettings).parse_args_into_dataclasses()[0]
    Path(settings.output).parent.mkdir(parents=True, exist_ok=True)
    model, processor = load_geomclip(settings.model)
    texts = load_pairs(settings.dataset, settings.split)["text"][: settings.num_queries]
    queries = embed_texts(model, processor, texts).numpy()
    with tempfile.TemporaryDirectory(dir=Path(settings.output).parent) as folder:
        large = str(Path(folder) / "large")
        vectors, building = fill(MoleculeStore.open(settings.index), large, settings.num_vectors)
        measured = {"building": building, "searches": time_searches(MoleculeStore.open(large), vectors, queries)}
        size = vectors.astype(np.float16).nbytes
        del vectors
        measured["memory"] = {"vectors_bytes": size, **measure_memory(large, settings.model, queries)}
        measured["adding"] = time_adding(settings.index, Path(folder), settings.num_added, model, processor)
    record = {
        "settings": redact_paths(asdict(settings)),
        "git_commit": find_commit(),
        "machine": describe_machine(),
        **measured,
    }
    Path(settings.output).write_text(json.dumps(record, indent=2) + "\n")
    print(json.dumps(measured, indent=2))


# ------------------------------------------------------------------------------------------------------ the large index


def fill(source: MoleculeStore, path: str, num_vectors: int) -> tuple[np.ndarray, dict[str, float]]:
    """Write an index with the vectors of another and noisy copies; return the vectors and the seconds of each step."""
    real = np.concatenate([read_vectors(batch) for batch in source.scan((VECTOR,))])
    rng = np.random.default_rng(0)
    vectors = np.empty((num_vectors, real.shape[1]), np.float32)
    for start in range(0, num_vectors, BATCH):
        rows = np.arange(start, min(start + BATCH, num_vectors))
        copies = real[rows % len(real)]
        if start >= len(real):
            copies = copies + NOISE * rng.standard_normal(copies.shape, np.float32)
        vectors[rows] = copies / np.linalg.norm(copies, axis=1, keepdims=True)
    store = MoleculeStore.create(path, real.shape[1], source.metadata)
    seconds = {
        "write": measure_seconds(lambda: write(store, vectors)),
        "approximate_index": measure_seconds(store.optimize),
        "vector_file": measure_seconds(store.write_vectors),
    }
    return vectors, seconds


def write(store: MoleculeStore, vectors: np.ndarray) -> None:
    """Append vectors with numbers as InChIKeys, without the search for equal keys that an addition makes."""
    kind = store.schema.field(VECTOR).type
    for start in range(0, len(vectors), BATCH):
        values = vectors[start : start + BATCH].astype(np.float16)
        columns = {name: pa.nulls(len(values), store.schema.field(name).type) for name in store.schema.names}
        columns[KEY] = pa.array([f"{number:09d}" for number in range(start, start + len(values))])
        columns[VECTOR] = pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), type=kind)
        store._table.add(pa.table(columns, schema=store.schema))


# ------------------------------------------------------------------------------------------------------------- measures


def time_searches(store: MoleculeStore, vectors: np.ndarray, queries: np.ndarray) -> dict[str, Any]:
    """Measure the recall of the approximate index, and the median time of both searches and of a product in NumPy."""
    expected = [{f"{number:09d}" for number in np.argpartition(-(vectors @ query), TOP)[:TOP]} for query in queries]
    measured = {}
    for name, exact in (("approximate", False), ("exact", True)):
        found, seconds = time_each(lambda query, exact=exact: store.rank(query, TOP, (KEY,), exact=exact), queries)
        hits = [len(keys & {*table[KEY].to_pylist()}) / TOP for keys, table in zip(expected, found)]
        measured[name] = {f"recall_at_{TOP}": float(np.mean(hits)), **seconds}
    measured["product"] = time_each(lambda query: vectors @ query, queries)[1]
    measured["exact_to_product"] = measured["exact"]["median_seconds"] / measured["product"]["median_seconds"]
    return measured


def time_each(function: Callable[[np.ndarray], Any], queries: np.ndarray) -> tuple[list[Any], dict[str, float]]:
    """Call a function with each query, and return the results and quantiles of the seconds; the first call warms up."""
    function(queries[0])
    results, seconds = [], []
    for query in queries:
        start = time.perf_counter()
        results.append(function(query))
        seconds.append(time.perf_counter() - start)
    return results, {"median_seconds": float(np.median(seconds)), "p95_seconds": float(np.quantile(seconds, 0.95))}


def measure_memory(path: str, model: str, queries: np.ndarray) -> dict[str, float]:
    """Measure in a new process the seconds to open an index, and the growth of its own memory by searches."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(search_in_process, (path, model, queries))


def search_in_process(path: str, model: str, queries: np.ndarray) -> dict[str, float]:
    """Open an index and search it; see `measure_memory`."""
    given = load_geomclip(model)
    embed_texts(*given, ["a text"])
    before = measure_memory_of_process()
    opening = measure_seconds(lambda: MoleculeStore.open(path).count())
    store, growth = MoleculeStore.open(path), {}
    for name, exact in (("approximate", False), ("exact", True)):
        for query in queries:
            store.rank(query, TOP, (KEY,), exact=exact)
        growth[f"growth_after_{name}_bytes"] = measure_memory_of_process() - before
    return {"open_seconds": opening, **growth}


def measure_memory_of_process() -> int:
    """Return the bytes of this process that no file holds."""
    info = psutil.Process().memory_info()
    return info.rss - info.shared  # "shared" counts all pages of files, also those of one process


def time_adding(source: str, folder: Path, number: int, model: Any, processor: Any) -> dict[str, float]:
    """Measure the molecules per second of an addition from geometries, and of `embed_molecules` alone."""
    columns, library = ("smiles", "atomic_numbers", "positions"), folder / "library.parquet"
    rows = pa.concat_tables(MoleculeStore.open(source).scan(columns)).slice(0, number)
    pq.write_table(rows, library)
    molecules = [{name: row[name] for name in columns[1:]} for row in rows.to_pylist()]
    embed_molecules(model, processor, molecules[:100])  # the first call is slower
    embedding = measure_seconds(lambda: embed_molecules(model, processor, molecules))
    index = MoleculeIndex.create(folder / "added", (model, processor))
    adding = measure_seconds(lambda: index.add(str(library)))
    embedded, added = len(rows) / embedding, len(index) / adding
    return {
        "molecules": len(index),
        "embedded_per_second": embedded,
        "added_per_second": added,
        "added_to_embedded": added / embedded,
    }


def measure_seconds(function: Callable[[], Any]) -> float:
    """Return the seconds of a call."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
