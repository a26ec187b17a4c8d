"""Parse raw records into tables: the parts of the stages that read texts, structures and geometries."""

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ..chemistry.identity import BLOCK, take_first_block
from ..records import (
    GEOMETRY_SCHEMA,
    TEXT_SCHEMA,
    Geometry,
    Identity,
    RecordError,
    make_compound_row,
    make_geometry_columns,
    make_text_row,
)
from ..schema import GEOMETRY_COLUMNS, make_molecule_features
from ..sources.base import GeometrySource, PropertySource, StructureSource, TextSource
from .splits import find_split_group
from .stage import Part, Task
from .windows import name_window, read_column, read_window

ADDED_LATER = ("benchmarks", "split")  # added to molecules when they are written
BY_CID_ALONE = "its molecule is given only by a CID, and the recipe names no source of structures"
CHUNK = 1000  # raw records per part


def make_chunks(raw_records: Iterable[Any]) -> Iterator[Task]:
    """Yield one task for every `CHUNK` raw records."""
    raw_records = iter(raw_records)
    index = 0
    while chunk := list(islice(raw_records, CHUNK)):
        yield Task(name_window(index), chunk)
        index += 1


def read_texts(source: TextSource, chunk: list, is_by_cid: bool = True) -> Part:
    """Parse the texts of raw records.

    Args:
        is_by_cid: whether texts with only a CID are accepted, because the recipe has a source of structures.
    """
    part, rows = Part(TEXT_SCHEMA.empty_table()), []
    for raw in chunk:
        part.counts["records read"] += 1
        try:
            texts = source.parse_texts(raw)
            if not is_by_cid and (unknown := [text for text in texts if text.compound is None]):
                raise RecordError(unknown[0].record_id, BY_CID_ALONE)
        except RecordError as error:
            part.refuse(source.name, error)
            continue
        if not texts:
            part.counts["records without a text"] += 1
        rows += [make_text_row(source.name, text) for text in texts]
    part.counts["texts"] += len(rows)
    part.table = pa.Table.from_pylist(rows, TEXT_SCHEMA)
    return part


def read_compounds(source: StructureSource, chunk: list) -> Part:
    """Parse the compounds of raw records into the identity columns of `TEXT_SCHEMA`, ascending by CID."""
    part, rows = Part(TEXT_SCHEMA.empty_table()), []
    for raw in chunk:
        part.counts["records read"] += 1
        try:
            rows.append(make_compound_row(source.parse_compound(raw)))
        except RecordError as error:
            part.refuse(source.name, error)
    part.counts["compounds"] += len(rows)
    part.table = pa.Table.from_pylist(rows, TEXT_SCHEMA)
    return part


def identify_texts(texts: Path, window: tuple[Path | None, int]) -> Part:
    """Fill in the identity columns of the texts in one window of CIDs.

    Args:
        texts: folder of windows of texts.
        window: part with all compounds of the window, or None if there are none, and the index of the window.
    """
    compounds, index = window
    found = {row["cid"]: row for row in pq.read_table(compounds).to_pylist()} if compounds else {}
    part, rows = Part(TEXT_SCHEMA.empty_table()), []
    for row in read_window(texts, index, TEXT_SCHEMA).to_pylist():
        part.counts["texts by CID"] += 1
        if row["cid"] not in found:
            part.refuse(
                row["source"], RecordError(row["record_id"], "no structure is known for its CID", str(row["cid"]))
            )
            continue
        identity = {name: value for name, value in found[row["cid"]].items() if value is not None}
        rows.append({**row, **identity})
    part.counts["texts"] += len(rows)
    part.table = pa.Table.from_pylist(rows, TEXT_SCHEMA)
    return part


class Wanted(NamedTuple):
    """The molecules that need a geometry, because a text describes them; 36 bytes each.

    Attributes:
        blocks: first blocks of InChIKeys, distinct and ascending.
        cids: PubChem CIDs, distinct and ascending.
        cid_blocks: first block of each CID.
    """

    blocks: np.ndarray
    cids: np.ndarray
    cid_blocks: np.ndarray

    @classmethod
    def collect(cls, texts: Iterable[pa.Table]) -> "Wanted":
        """Collect the molecules from tables with the columns `inchikey14` and `cid`."""
        blocks, cids, cid_blocks = [np.empty(0, BLOCK)], [np.empty(0, np.int64)], [np.empty(0, BLOCK)]
        for table in texts:
            block = read_column(table, "inchikey14", BLOCK)
            blocks.append(np.unique(block))
            cids.append(table.column("cid").drop_null().to_numpy())
            cid_blocks.append(block[table.column("cid").is_valid().to_numpy()])
        distinct, first = np.unique(np.concatenate(cids), return_index=True)
        return cls(np.unique(np.concatenate(blocks)), distinct, np.concatenate(cid_blocks)[first])

    @classmethod
    def load(cls, folder: Path) -> "Wanted":
        """Memory-map the arrays that `save` wrote."""
        return cls(*(np.load(folder / f"{name}.npy", mmap_mode="r") for name in cls._fields))

    def save(self, folder: Path) -> None:
        """Write the arrays for the worker processes."""
        for name, array in self._asdict().items():
            np.save(folder / f"{name}.npy", array)

    def find_block(self, identity: Identity) -> str | None:
        """Return the first block of the wanted molecule with this identity, or None.

        Raises:
            RecordError: CID and structure belong to different molecules.
        """
        own = None if identity.inchikey is None else take_first_block(identity.inchikey)
        place = None if identity.cid is None else _find(self.cids, identity.cid)
        by_cid = None if place is None else self.cid_blocks[place].decode()
        if own and by_cid and own != by_cid:
            raise RecordError(f"CID {identity.cid}", "its CID belongs to another molecule", f"{by_cid}, not {own}")
        if by_cid:
            return by_cid
        return own if own and _find(self.blocks, own.encode()) is not None else None


def read_geometries(source: GeometrySource, wanted_folder: Path, num_conformers: int, chunk: list) -> Part:
    """Parse the geometries of the raw records that a text describes.

    Args:
        wanted_folder: folder of `Wanted`.
        num_conformers: maximum number of conformers to keep.
    """
    wanted, part = Wanted.load(wanted_folder), Part(GEOMETRY_SCHEMA.empty_table())
    found: list[tuple[str, Identity, Geometry]] = []
    for raw in chunk:
        part.counts["records read"] += 1
        try:
            identity = source.identify(raw)
            if block := wanted.find_block(identity):
                found.append((block, identity, source.parse_geometry(raw)))
            else:
                part.counts["wanted by no text"] += 1
        except RecordError as error:
            part.refuse(source.name, error)
    part.counts["geometries"] += len(found)
    part.table = make_geometry_table(source, found, num_conformers)
    return part


def read_molecules(source: PropertySource, num_conformers: int, split_by: str, chunk: list) -> Part:
    """Parse the molecules of raw records with their geometries and properties.

    Args:
        num_conformers: maximum number of conformers to keep.
        split_by: "first_block" or "scaffold".
    """
    part = Part(pa.table({}))
    found, rows = [], []
    for raw in chunk:
        part.counts["records read"] += 1
        try:
            compound, geometry, properties = (
                source.parse_compound(raw),
                source.parse_geometry(raw),
                source.parse_properties(raw),
            )
        except RecordError as error:
            part.refuse(source.name, error)
            continue
        block = take_first_block(compound.inchikey)
        found.append((block, Identity(compound.cid, compound.inchikey), geometry))
        group = find_split_group(split_by, compound.inchi, block)
        rows.append({**make_compound_row(compound), **properties, "split_group": group})
    part.counts["molecules"] += len(rows)
    geometries = make_geometry_table(source, found, num_conformers)
    names = [name for name in make_molecule_features(source.property_columns) if name not in ADDED_LATER]
    schema = pa.schema([make_molecule_features(source.property_columns).arrow_schema.field(name) for name in names])
    columns = [geometries[n] if n in GEOMETRY_COLUMNS else [row.get(n) for row in rows] for n in names]
    part.table = pa.table(columns, schema=schema)
    return part


def make_geometry_table(
    source: GeometrySource, found: list[tuple[str, Identity, Geometry]], num_conformers: int
) -> pa.Table:
    """Make a table of `GEOMETRY_SCHEMA`.

    Args:
        found: first block of the wanted molecule, identity of the record and geometry, for each row.
        num_conformers: maximum number of conformers to keep.
    """
    geometries = [geometry for _, _, geometry in found]
    columns = {
        "inchikey14": [block for block, _, _ in found],
        "inchikey": [identity.inchikey for _, identity, _ in found],
        "cid": [identity.cid for _, identity, _ in found],
        "geometry_source": [source.name] * len(found),
        "geometry_method": [geometry.method or source.method for geometry in geometries],
        "geometry_license": [geometry.license or source.license for geometry in geometries],
        **make_geometry_columns(geometries, num_conformers),
    }
    return pa.table([pa.array(columns[field.name], field.type) for field in GEOMETRY_SCHEMA], schema=GEOMETRY_SCHEMA)


def _find(ascending: np.ndarray, value: Any) -> int | None:
    place = int(np.searchsorted(ascending, value))
    return place if place < len(ascending) and ascending[place] == value else None
