"""What a built folder holds and whether it is sound, measured on its Parquet files as they lie there.

The files are read in small batches. Of values that must be compared across rows only 8-byte hashes are kept, so memory
stays flat but for these (a wrong hit is expected once in about 10^5 folders of 10^7 rows).
"""

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from itertools import chain, combinations, permutations
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from rdkit import Chem
from rdkit.Chem.Scaffolds import MurckoScaffold
from rdkit.rdBase import BlockLogs
from tqdm import tqdm

from ..pubchem3d import split_files
from .geometry_comparison import compare_geometries, sample_rows, summarise
from .plots import require_matplotlib, write_page, write_plots

PAIR_CONFIGS = {"default", "pretrain", "captioning"}  # the others are molecules without texts
GEOMETRY_LISTS = ("atomic_numbers", "positions", "further_positions")
REQUIRED = ("inchikey", "inchikey14", "inchi", "smiles", "n_heavy", "formal_charge", *GEOMETRY_LISTS, "n_conformers")
REQUIRED += ("geometry_source", "geometry_method", "geometry_id", "split", "split_group")
REQUIRED_WITH_TEXT = ("text", "text_kind", "text_source", "match_level")
COUNTED = ("text_kind", "text_source", "text_license_url", "geometry_method", "geometry_source")
COUNTED += ("geometry_license", "match_level")
COMPARED = ("first_blocks", "split_groups", "inchikeys", "texts", "scaffolds")
KEPT_APART = {"first_blocks": "inchikey14", "split_groups": "split_group"}  # and the columns that hold them
QUANTILES = {"min": 0.0, "p5": 0.05, "p25": 0.25, "median": 0.5, "p75": 0.75, "p95": 0.95, "max": 1.0}
DICTIONARY = ("C", "N", "O", "S", "H", "Cl", "F", "Br", "I", "Si", "P", "B", "Na", "K", "Al", "Ca", "Sn", "As", "Hg")
DICTIONARY += ("Fe", "Zn", "Cr", "Se", "Gd", "Au", "Li")  # Uni-Mol's dict.txt
IN_DICTIONARY = np.isin(np.arange(256), [Chem.GetPeriodicTable().GetAtomicNumber(element) for element in DICTIONARY])
CLOSEST_HEAVY_ATOMS = 0.9  # Å; shorter than any bond between heavy atoms
BATCH_ROWS = 1024
SHOWN_IDS = 10
SHAPE_FAULT = "atoms and positions differ in number"
CLASH_FAULT = f"heavy atoms are closer than {CLOSEST_HEAVY_ATOMS} Å"
NOT_FINITE_FAULT = "a coordinate is not finite"


class Part(NamedTuple):
    """A row group of a file, the unit of work. `first_row`: its first row in the file."""

    file: Path
    row_group: int
    first_row: int


@dataclass
class Findings:
    """What is found in rows; what is found in others can be added.

    counts: for each figure, how many rows have which value.
    hashes: for each compared value, arrays (rows,) uint64.
    faults: for each fault, ids of its first rows; `counts["faults"]` has their numbers.
    """

    counts: defaultdict[str, Counter] = field(default_factory=lambda: defaultdict(Counter))
    hashes: defaultdict[str, list[np.ndarray]] = field(default_factory=lambda: defaultdict(list))
    faults: defaultdict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    def add(self, other: "Findings") -> None:
        for name, counter in other.counts.items():
            self.counts[name].update(counter)
        for name, arrays in other.hashes.items():
            self.hashes[name].extend(arrays)
        for fault, ids in other.faults.items():
            self.faults[fault] = (self.faults[fault] + ids)[:SHOWN_IDS]

    def add_fault(self, fault: str, ids: Sequence[str]) -> None:
        if len(ids):
            self.counts["faults"][fault] += len(ids)
            self.faults[fault] = (self.faults[fault] + list(ids))[:SHOWN_IDS]

    def add_hashes(self, name: str, values: Iterable[bytes]) -> None:
        self.hashes[name].append(_hashes(values))

    def hashed(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """Distinct hashes, ascending, and how many rows have each."""
        arrays = self.hashes.get(name, [])
        return np.unique(np.concatenate(arrays) if arrays else np.empty(0, np.uint64), return_counts=True)


def write_quality(folder: Path, sample: int = 2500, seed: int = 0, num_proc: int = 1) -> dict:
    """Measure a folder and write `quality_report.json`, `QUALITY.md`, `plots/` and `geometry_comparison.jsonl` into it.

    Returns: the report, without the single comparisons.
    Raises:
        ModuleNotFoundError: matplotlib is not installed.
        FileNotFoundError, ValueError: as `measure_quality`.
    """
    require_matplotlib()  # before the long part
    report = measure_quality(folder, sample, seed, num_proc)
    comparisons = report["geometry_comparison"].pop("molecules")
    lines = "".join(json.dumps(comparison, ensure_ascii=False) + "\n" for comparison in comparisons)
    (folder / "geometry_comparison.jsonl").write_text(lines, encoding="utf-8")
    text = json.dumps(report, indent=2, ensure_ascii=False, allow_nan=False)
    (folder / "quality_report.json").write_text(text + "\n", encoding="utf-8")
    write_page(folder / "QUALITY.md", report, write_plots(folder / "plots", report, comparisons))
    return report


def measure_quality(folder: Path, sample: int, seed: int, num_proc: int) -> dict:
    """Figures of every config of a folder, what is wrong with it, and how far its geometries are from RDKit's.

    Args:
        sample: how many geometries of each method are compared with RDKit's conformers.
        seed: of the sample and of the resampling; conformers have their own, which is always the same.
    Raises:
        FileNotFoundError: the folder holds no data or not all the files of a split.
        ValueError: a file cannot be read.
    """
    files = data_files(folder)
    configs, faults, blocks = {}, [], {}
    with _mapper(num_proc) as run:
        for config, splits in files.items():
            findings = {split: examine_files(found, config, run) for split, found in splits.items()}
            configs[config] = summarise_config(findings, config)
            faults += [*list_faults(findings, config), *find_leaks(findings, splits, config)]
            blocks[config] = {split: found.hashed("first_blocks")[0] for split, found in findings.items()}
    compared = next(iter(files))
    measured = [
        file for file in chain(*files[compared].values()) if not any(_schema_faults(pq.read_schema(file), compared))
    ]
    comparisons = compare_geometries(sample_rows(measured, sample, seed), num_proc=num_proc)
    return {
        "faults": faults,
        "configs": configs,
        "trained_on_here_and_held_out_there": compare_configs(blocks),
        "geometry_comparison": {
            "config": compared,
            "methods": summarise(comparisons, seed),
            "molecules": [asdict(comparison) for comparison in comparisons],
        },
    }


def data_files(folder: Path) -> dict[str, dict[str, list[Path]]]:
    """The files of each config and split, `default` first.

    Raises:
        FileNotFoundError: there are none, or some of a split are missing.
    """
    configs = sorted((path.name for path in folder.glob("data/*/")), key=lambda name: (name != "default", name))
    found = {config: split_files(folder, config) for config in configs or ["default"]}
    for files in chain.from_iterable(splits.values() for splits in found.values()):
        stated = int(files[-1].stem.rsplit("-", 1)[1])
        if len(files) != stated:
            raise FileNotFoundError(f"{files[-1]} is one of {stated}, {len(files)} are there; build the folder again")
    return found


def examine_files(files: list[Path], config: str, run: Callable) -> Findings:
    """What is found in a split's files. `run` is `map` or does the same in several processes."""
    whole, parts = Findings(), []
    for file in files:
        with _readable(file), pq.ParquetFile(file) as parquet:
            schema_faults = list(_schema_faults(parquet.schema_arrow, config))
            starts = np.cumsum([0, *(parquet.metadata.row_group(i).num_rows for i in range(parquet.num_row_groups))])
        for fault in schema_faults:
            whole.add_fault(fault, [f"{config}/{file.name}"])
        if not schema_faults:
            parts += [Part(file, index, int(start)) for index, start in enumerate(starts[:-1])]
    for found in tqdm(run(examine_part, parts), total=len(parts), desc=f"measuring {config}", unit=" row groups"):
        whole.add(found)
    return whole


@contextmanager
def _mapper(num_proc: int) -> Iterator[Callable]:
    if num_proc == 1:
        yield map
        return
    with ProcessPoolExecutor(num_proc, mp_context=get_context("spawn")) as pool:
        yield pool.map


@contextmanager
def _readable(file: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, pa.ArrowInvalid) as error:
        raise ValueError(f"{file} cannot be read ({error}); build the folder again") from error


def _schema_faults(schema: pa.Schema, config: str) -> Iterator[str]:
    """Why the columns of a file cannot be measured."""
    for name in (*REQUIRED, *(REQUIRED_WITH_TEXT if config in PAIR_CONFIGS else ())):
        if name not in schema.names:
            yield f"the file has no column {name}; it is not measured"
    for name, depth in zip(GEOMETRY_LISTS, (1, 2, 3)):
        dtype = schema.field(name).type if name in schema.names else None
        while dtype is not None and (pa.types.is_list(dtype) or pa.types.is_fixed_size_list(dtype)):
            dtype, depth = dtype.value_type, depth - 1
        if dtype is not None and (depth != 0 or not (pa.types.is_floating(dtype) or pa.types.is_integer(dtype))):
            yield f"{name} is {schema.field(name).type}, not numbers in lists; the file is not measured"


def examine_part(part: Part) -> Findings:
    """What is found in the rows of a row group."""
    found, row = Findings(), part.first_row
    config, split = part.file.parts[-2], part.file.name.rsplit("-", 3)[0]
    with _readable(part.file), pq.ParquetFile(part.file) as parquet:
        names = [name for name in parquet.schema_arrow.names if name != "text_raw"]
        for batch in parquet.iter_batches(BATCH_ROWS, row_groups=[part.row_group], columns=names):
            keys = enumerate(batch["inchikey"].to_pylist(), start=row)
            ids = np.array([f"{config}/{part.file.name} row {index}, {key}" for index, key in keys], object)
            examine_batch(found, batch, ids, split)
            row += batch.num_rows
    return found


def examine_batch(found: Findings, batch: pa.RecordBatch, ids: np.ndarray, split: str) -> None:
    """Count rows; those with nulls where none may be are counted as such and in nothing else.

    Args:
        ids: (rows,) object, what rows are called in faults.
        split: what the file is named after.
    """
    found.counts["rows"]["rows"] += batch.num_rows
    is_complete = np.ones(batch.num_rows, bool)
    for name in batch.schema.names:
        is_null = batch[name].is_null().to_numpy(zero_copy_only=False)
        if is_null.any():
            found.counts["nulls"][name] += int(is_null.sum())
        if name in REQUIRED + REQUIRED_WITH_TEXT:
            found.add_fault(f"{name} is null", ids[is_null])
            is_complete &= ~is_null
    batch, ids = batch.filter(pa.array(is_complete)), ids[is_complete]
    if not len(ids):
        return
    for name in set(COUNTED) & set(batch.schema.names):
        found.counts[name].update(str(value) for value in batch[name].to_pylist())
    _examine_identities(found, batch, ids, split)
    if "text" in batch.schema.names:
        _examine_texts(found, batch, ids)
    is_outside = _examine_structures(found, batch, ids) | _examine_atoms(found, batch, ids)
    found.counts["rows"]["outside_dictionary"] += int(is_outside.sum())
    _examine_conformers(found, batch, ids)


def _examine_identities(found: Findings, batch: pa.RecordBatch, ids: np.ndarray, split: str) -> None:
    names = ("inchikey", "inchikey14", "split_group", "split")
    keys, blocks, groups, splits = (batch[name].to_pylist() for name in names)
    for name, values in (("inchikeys", keys), ("first_blocks", blocks), ("split_groups", groups)):
        found.add_hashes(name, (value.encode() for value in values))
    is_other = [key[:14] != block for key, block in zip(keys, blocks)]
    found.add_fault("inchikey14 is not the first block of inchikey", ids[is_other])
    found.add_fault("split is not that of the file", ids[[value != split for value in splits]])


def _examine_texts(found: Findings, batch: pa.RecordBatch, ids: np.ndarray) -> None:
    texts = [text.strip() for text in batch["text"].to_pylist()]
    found.counts["words"].update(len(text.split()) for text in texts)
    found.add_fault("text is empty", ids[[not text for text in texts]])
    found.add_hashes("texts", (text.encode() for text in texts))
    described = zip(batch["inchikey"].to_pylist(), texts)
    found.add_hashes("described", (f"{key}\n{text}".encode() for key, text in described))


def _examine_structures(found: Findings, batch: pa.RecordBatch, ids: np.ndarray) -> np.ndarray:
    """Returns: (rows,) bool, which SMILES hold an element outside the dictionary."""
    with BlockLogs():
        mols = [Chem.MolFromSmiles(smiles) for smiles in batch["smiles"].to_pylist()]
    found.add_fault("RDKit cannot read the SMILES", ids[[mol is None for mol in mols]])
    mols = [mol or Chem.Mol() for mol in mols]
    found.counts["rows"]["multi_fragment"] += sum(len(Chem.GetMolFrags(mol)) > 1 for mol in mols)
    scaffolds = (MurckoScaffold.MurckoScaffoldSmiles(mol=mol) for mol in mols)
    found.add_hashes("scaffolds", (scaffold.encode() for scaffold in scaffolds if scaffold))  # "" if it has no ring
    return np.array([not all(IN_DICTIONARY[a.GetAtomicNum()] for a in mol.GetAtoms()) for mol in mols], bool)


def _examine_atoms(found: Findings, batch: pa.RecordBatch, ids: np.ndarray) -> np.ndarray:
    """Returns: (rows,) bool, which geometries hold an element outside the dictionary."""
    numbers, num_atoms = _numbers(batch), _lengths(batch["atomic_numbers"])
    rows = np.repeat(np.arange(len(ids)), num_atoms)
    num_heavy = np.bincount(rows[numbers > 1], minlength=len(ids))
    found.counts["atoms"].update(num_atoms.tolist())
    found.counts["heavy_atoms"].update(num_heavy.tolist())
    is_element = (numbers >= 1) & (numbers <= 118)
    found.add_fault("an atomic number is not one of 1 to 118", ids[np.unique(rows[~is_element])])
    found.add_fault("the geometry has not n_heavy heavy atoms", ids[num_heavy != batch["n_heavy"].to_numpy()])
    held = np.unique(np.stack([rows, numbers])[:, is_element], axis=1)[1]
    for number, count in zip(*np.unique(held, return_counts=True)):
        found.counts["elements"][Chem.GetPeriodicTable().GetElementSymbol(int(number))] += int(count)
    return np.bincount(rows[~IN_DICTIONARY[np.where(is_element, numbers, 0)]], minlength=len(ids)) > 0


def _examine_conformers(found: Findings, batch: pa.RecordBatch, ids: np.ndarray) -> None:
    """Check all conformers, and hash the first of each row."""
    num_atoms, further = _lengths(batch["atomic_numbers"]), batch["further_positions"]
    numbers = np.split(_numbers(batch).astype(np.uint8), np.cumsum(num_atoms)[:-1])
    found.counts["conformers"].update((1 + _lengths(further)).tolist())
    faults = {fault: np.zeros(len(ids), bool) for fault in (SHAPE_FAULT, NOT_FINITE_FAULT, CLASH_FAULT)}
    firsts, all_rows = [], np.arange(len(ids))
    for rows, conformers in (
        (all_rows, batch["positions"]),
        (np.repeat(all_rows, _lengths(further)), further.flatten()),
    ):
        has_shape = _have_shape(conformers, num_atoms[rows])
        faults[SHAPE_FAULT][rows[~has_shape]] = True
        for row, positions in zip(rows[has_shape], _split_positions(conformers.filter(pa.array(has_shape)))):
            faults[NOT_FINITE_FAULT][row] |= not np.isfinite(positions).all()
            faults[CLASH_FAULT][row] |= _closest(positions[numbers[row] > 1]) < CLOSEST_HEAVY_ATOMS
            if rows is all_rows:
                firsts.append(numbers[row].tobytes() + positions.tobytes())
    found.add_hashes("geometries", firsts)
    for fault, is_faulty in faults.items():
        found.add_fault(fault, ids[is_faulty])


def _numbers(batch: pa.RecordBatch) -> np.ndarray:
    """(atoms,) int, of all rows one after the other, 0 for null."""
    return pc.fill_null(batch["atomic_numbers"].flatten(), 0).to_numpy(zero_copy_only=False).astype(int)


def _lengths(lists: pa.Array) -> np.ndarray:
    """Args: lists: of lists. Returns: (lists,) int, 0 for null."""
    return pc.fill_null(pc.list_value_length(lists), 0).to_numpy(zero_copy_only=False)


def _have_shape(conformers: pa.Array, num_atoms: np.ndarray) -> np.ndarray:
    """Which conformers have one point of three coordinates for each of their `num_atoms`, at least one."""
    num_points, num_coordinates = _lengths(conformers), _lengths(conformers.flatten())
    has_shape = (num_points == num_atoms) & (num_atoms > 0)
    has_shape[np.repeat(np.arange(len(num_points)), num_points)[num_coordinates != 3]] = False
    return has_shape


def _split_positions(conformers: pa.Array) -> list[np.ndarray]:
    """(atoms, 3) float32 of each conformer, Å, NaN where a coordinate is null."""
    positions = conformers.flatten().flatten().to_numpy(zero_copy_only=False).astype(np.float32).reshape(-1, 3)
    return np.split(positions, np.cumsum(_lengths(conformers))[:-1])


def _closest(positions: np.ndarray) -> float:
    """Shortest distance among (atoms, 3) positions, Å; inf for one atom, NaN where coordinates are."""
    distances = np.linalg.norm(positions[:, None] - positions[None], axis=-1)
    np.fill_diagonal(distances, np.inf)
    return distances.min(initial=np.inf)


def _hashes(values: Iterable[bytes]) -> np.ndarray:
    digests = b"".join(hashlib.blake2b(value, digest_size=8).digest() for value in values)
    return np.frombuffer(digests, np.uint64)


def summarise_config(findings: dict[str, Findings], config: str) -> dict:
    """The figures of a config, from what was found in its splits."""
    whole = _total(findings)
    counts = whole.counts
    figures = {
        "rows": counts["rows"]["rows"],
        "splits": {split: found.counts["rows"]["rows"] for split, found in findings.items()},
        **{name: len(whole.hashed(name)[0]) for name in ("inchikeys", "first_blocks", "scaffolds")},
        "shared_between_splits": {name: _shared(findings, name) for name in COMPARED if whole.hashes[name]},
        "multi_fragment_rows": counts["rows"]["multi_fragment"],
        "rows_outside_dictionary": counts["rows"]["outside_dictionary"],
        "rows_sharing_a_geometry": _rows_alike(whole, "geometries"),
        **{fault: counts["faults"][fault] for fault in (SHAPE_FAULT, NOT_FINITE_FAULT, CLASH_FAULT)},
        **{name: _distribution(counts[name]) for name in ("atoms", "heavy_atoms", "conformers")},
        "elements": dict(counts["elements"].most_common()),
        **{name: dict(counts[name].most_common()) for name in COUNTED if counts[name]},
        "nulls": dict(sorted(counts["nulls"].items())),
    }
    if config in PAIR_CONFIGS:
        figures |= {
            "distinct_texts": len(whole.hashed("texts")[0]),
            "rows_sharing_their_text": _rows_alike(whole, "texts"),
            "duplicate_rows": _rows_alike(whole, "described"),
            "words": _distribution(counts["words"]),
        }
    return figures


def list_faults(findings: dict[str, Findings], config: str) -> Iterator[dict]:
    """The faults of single rows, or of files that could not be measured."""
    whole = _total(findings)
    for fault, count in whole.counts["faults"].items():
        yield {"config": config, "fault": fault, "count": count, "first": whole.faults[fault]}


def find_leaks(findings: dict[str, Findings], files: dict[str, list[Path]], config: str) -> Iterator[dict]:
    """The faults of splits that share what must be kept apart."""
    for name, column in KEPT_APART.items():
        for one, other in combinations(findings, 2):
            shared = np.intersect1d(findings[one].hashed(name)[0], findings[other].hashed(name)[0])
            if len(shared):
                fault = f"{column} is the same in {one} and {other}"
                first = _values_hashed(files[other], column, shared)
                yield {"config": config, "fault": fault, "count": len(shared), "first": first}


def _values_hashed(files: list[Path], column: str, hashes: np.ndarray) -> list[str]:
    """The first values of a column with one of the hashes."""
    values: dict[str, None] = {}
    for file in files:
        with _readable(file), pq.ParquetFile(file) as parquet:
            for batch in parquet.iter_batches(BATCH_ROWS, columns=[column]):
                read = batch[column].drop_null().to_pylist()
                is_hashed = np.isin(_hashes(value.encode() for value in read), hashes)
                values |= dict.fromkeys(np.array(read, object)[is_hashed])
                if len(values) >= SHOWN_IDS:
                    return list(values)[:SHOWN_IDS]
    return list(values)


def compare_configs(blocks: dict[str, dict[str, np.ndarray]]) -> dict[str, int]:
    """How many first blocks one config trains on that another has in another split; pairs without any are left out.

    Args:
        blocks: by config and split, distinct hashes.
    """
    shared = {
        f"{config}/train, {other}/{split}": len(np.intersect1d(blocks[config].get("train", []), hashes))
        for config, other in permutations(blocks, 2)
        for split, hashes in blocks[other].items()
        if split != "train"
    }
    return {pair: count for pair, count in shared.items() if count}


def _total(findings: dict[str, Findings]) -> Findings:
    whole = Findings()
    for found in findings.values():
        whole.add(found)
    return whole


def _shared(findings: dict[str, Findings], name: str) -> dict[str, int]:
    return {
        f"{one}, {other}": len(np.intersect1d(findings[one].hashed(name)[0], findings[other].hashed(name)[0]))
        for one, other in combinations(findings, 2)
    }


def _rows_alike(whole: Findings, name: str) -> int:
    """How many rows have a value that another has too."""
    counts = whole.hashed(name)[1]
    return int(counts[counts > 1].sum())


def _distribution(counter: Counter) -> dict:
    """Quantiles of what was counted (the least value that so many rows do not exceed) and the counts themselves."""
    values = sorted(counter)
    cumulative = np.cumsum([counter[value] for value in values])
    if not values:
        return {"rows_of": {}}
    places = {name: int(np.searchsorted(cumulative, share * cumulative[-1])) for name, share in QUANTILES.items()}
    return {**{name: values[i] for name, i in places.items()}, "rows_of": {value: counter[value] for value in values}}
