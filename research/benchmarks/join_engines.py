"""Compare two ways to bring the texts and geometries of a molecule together: the windows of the build, and DuckDB.

    python research/benchmarks/join_engines.py --output research/results/dataset_build/join_engines.json

Both read the Parquet parts of the stage `read` and write geometries grouped by molecule, and the joined texts. DuckDB
sorts out of core within a memory limit, and ranks the geometries of each text in SQL; where a limit does not suffice,
the results say so. It leaves out what needs RDKit, the comparison of elements, and writes no quarantine, so it does
less. Each runs in its own process. Memory is as in `dataset_build.py`. Needs: pip install duckdb
"""

import argparse
import json
import multiprocessing
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from dataset_build import make_recipe, summed_pss

from dataset_pubchem3d.build import build
from dataset_pubchem3d.records import GEOMETRY_SCHEMA
from dataset_pubchem3d.stages.windows import name_window, read_window

CONFORMERS, ROW_GROUP = 10, 2048
OUT_OF_MEMORY = 3  # exit code of a process whose memory limit did not suffice
SORT = """
COPY (SELECT * FROM read_parquet('{parts}', filename = true, file_row_number = true)
      ORDER BY inchikey14, filename, file_row_number)
TO '{sorted}' (FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE {rows})
"""
JOIN = """
COPY (
    SELECT * EXCLUDE (rank) FROM (
        SELECT t.*, g.geometry_id,
            CASE WHEN t.inchikey = g.inchikey THEN 0 WHEN t.cid = g.cid THEN 1 ELSE 2 END AS level,
            row_number() OVER (
                PARTITION BY t.filename, t.file_row_number
                ORDER BY level, t.source <> g.geometry_source OR t.record_id <> g.geometry_id, g.geometry_source,
                    g.conformer_energy NULLS LAST, g.filename, g.file_row_number
            ) AS rank
        FROM read_parquet('{texts}') t
        JOIN read_parquet('{geometries}') g USING (inchikey14)
    )
    WHERE rank = 1 ORDER BY inchikey14, filename, file_row_number
) TO '{joined}' (FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE {rows})
"""


def join_by_windows(size: int, folder: Path, threads: int) -> None:
    """Run the stage `join` of a build whose stage `read` is done."""
    build(make_recipe(size, CONFORMERS), folder / "out", folder / "work", threads, "join")


def join_by_duckdb(size: int, folder: Path, threads: int, memory_limit: str) -> None:
    """Sort and join the same parts with DuckDB, in place of an earlier result of it."""
    import duckdb

    out = folder / "duckdb"
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    settings = {"memory_limit": memory_limit, "threads": threads, "temp_directory": str(out)}
    database = duckdb.connect(config={**settings, "preserve_insertion_order": False})  # every query has an ORDER BY
    files = {name: out / f"{name}.parquet" for name in ("texts", "geometries", "joined")}
    try:
        for name in ("texts", "geometries"):
            parts = folder / "work" / f"{name}_invented_{name}" / "*.parquet"
            database.execute(SORT.format(parts=parts, sorted=files[name], rows=ROW_GROUP))
        database.execute(JOIN.format(**files, rows=ROW_GROUP))
    except duckdb.OutOfMemoryException as error:
        print(error, file=sys.stderr)
        sys.exit(OUT_OF_MEMORY)


def measure(function: Callable[..., None], size: int, folder: Path, *given: int | str) -> dict:
    """Measure the seconds and the peak PSS in MB of a function in a process of its own, and if its memory sufficed."""
    process = multiprocessing.get_context("spawn").Process(target=function, args=(size, folder, *given))
    start, peak = time.perf_counter(), 0
    process.start()
    while process.is_alive():
        peak = max(peak, summed_pss(process.pid))
        process.join(0.2)
    if process.exitcode not in (0, OUT_OF_MEMORY):
        raise RuntimeError(f"{function.__name__} of {size} pairs failed with exit code {process.exitcode}")
    finished = process.exitcode == 0
    return {"finished": finished, "seconds": round(time.perf_counter() - start, 1), "peak_pss_mb": peak >> 20}


def compare(size: int, threads: int, memory_limits: list[str]) -> dict:
    """Measure both ways on the same parts, and compare what they join."""
    with tempfile.TemporaryDirectory(prefix="join_engines_") as name:
        folder = Path(name)
        build(make_recipe(size, CONFORMERS), folder / "out", folder / "work", threads, "read")
        windows, joins = measure(join_by_windows, size, folder, threads), []
        for limit in memory_limits:
            joins.append({"memory_limit": limit, **measure(join_by_duckdb, size, folder, threads, limit)})
            if joins[-1]["finished"]:
                joins[-1]["differing_rows"] = count_differing(folder)
    return {"pairs": size, "conformers": CONFORMERS, "windows": windows, "duckdb": joins}


def count_differing(folder: Path) -> int:
    """Return the number of texts that one way joins with another geometry than the other, or not at all."""
    bounds, found = np.load(folder / "work" / "windows" / "bounds.npy"), set()
    for index in range(len(bounds) + 1):
        rows = pq.read_table(folder / "work" / "joined" / f"{name_window(index)}.parquet")
        geometries = read_window(folder / "work" / "windows" / "geometries", index, GEOMETRY_SCHEMA)
        ids = geometries["geometry_id"].take(rows["geometry_row"])
        found |= {*zip(rows["record_id"].to_pylist(), ids.to_pylist())}
    joined = pq.read_table(folder / "duckdb" / "joined.parquet", columns=["record_id", "geometry_id"])
    return len(found ^ {*zip(*(column.to_pylist() for column in joined.columns))})


def main() -> None:
    import duckdb
    from machine import describe_machine  # imports torch, which neither way does

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="*", default=[20_000, 200_000], help="numbers of synthetic pairs")
    parser.add_argument("--threads", type=int, default=2, help="processes of the windows, threads of DuckDB")
    parser.add_argument(
        "--memory_limits", nargs="*", default=["650MB", "2GB", "4GB"], help="DuckDB is run once with each"
    )
    parser.add_argument("--output", type=Path, help="results file to write (JSON)")
    args = parser.parse_args()
    results = {"machine": describe_machine(), "duckdb": duckdb.__version__, "threads": args.threads, "joins": []}
    for size in args.sizes:
        results["joins"].append(compare(size, args.threads, args.memory_limits))
        print(json.dumps(results["joins"][-1]), flush=True)
    if args.output:
        args.output.parent.mkdir(parents=True, exist_ok=True)
        args.output.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
