"""Geometry records of the miniature: in the formats of their sources, and with what must become of each."""

import ast
import csv
import gzip
import io
import json
import tarfile
import zipfile
from dataclasses import dataclass, field
from typing import Any, ClassVar

import msgpack
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ..sources.lazy_shard import LazyShard
from .molecules import Molecule

FOUND, UNWANTED = "geometries", "wanted by no text"  # the counts of a stage; otherwise the reason of a refusal
HARTREE = 27.211386245988  # eV, CODATA 2018
TITLE = "PUBCHEM {:09} B3LYP 6-31G(d) gamess geometry optimization"
DENSE, SPARSE, UNDESCRIBED = (1, 9_999), (10_000, 250_000), (250_001, 500_000)  # CIDs of the shards of PubChemQC
PADDING = [round(-20.5 + 0.1 * place, 3) for place in range(120)]  # orbital energies, which make up much of a record


@dataclass
class Entry:
    """A record of a source.

    Attributes:
        source: its name.
        raw: in the form of its source.
        fate: `FOUND`, `UNWANTED`, or the reason for which it is refused.
        refused_as: id of the refused record in the quarantine, of `{place}` (file and row) and `{cid}`.
        geometry_id, numbers, positions, energy, n_conformers: of the row that takes its geometry; the id is known when
            the source is packed.
    """

    source: str
    raw: Any
    molecule: Molecule
    fate: str
    refused_as: str
    numbers: list[int] = field(default_factory=list)
    positions: np.ndarray | None = None
    energy: float | None = None
    n_conformers: int = 1
    geometry_id: str = ""
    place: str = ""

    @property
    def refused_id(self) -> str:
        return self.refused_as.format(place=self.place, cid=self.molecule.cid)


@dataclass
class Shelf:
    """The records of a source. `add` makes one of a molecule, with `changes` of its raw form."""

    source: ClassVar[str]
    variant: ClassVar[int]  # of the positions, see `Molecule.positions`
    entries: list[Entry] = field(default_factory=list)

    def add(
        self, molecule: Molecule, fate: str = FOUND, refused_as: str = "{cid}", shows: Molecule | None = None, **changes
    ) -> Entry:
        """Add a record, whose geometry is that of `shows` if it is given."""
        shown = shows or molecule
        raw = self.make(molecule, shown) | {name.replace("_", "-"): value for name, value in changes.items()}
        placed = shown.numbers, shown.positions(self.variant)
        self.entries.append(Entry(self.source, raw, molecule, fate, refused_as, *placed))
        return self.entries[-1]

    def make(self, molecule: Molecule, shown: Molecule) -> dict:
        raise NotImplementedError


class Molecule3DShelf(Shelf):
    """Rows of the mirror's Parquet shards; of the mol blocks, some lack their title line and one end lines by CR LF."""

    source, variant, config = "molecule3d", 1, "Molecule3D_random_split"

    def make(self, molecule, shown):
        block = shown.mol_block(self.variant)
        number = len(self.entries) % 4
        forms = (block.partition("\n")[2], TITLE.format(molecule.cid) + block, block, block.replace("\n", "\r\n"))
        return {"SMILES": molecule.smiles, "sdf": forms[number], "cid": molecule.cid}

    def pack(self) -> dict[str, bytes]:
        """Make the shards; in the one where some CIDs are missing, they have a fraction, as pandas writes them."""
        known = [entry for entry in self.entries if entry.raw["cid"] is not None]
        ends = [0, 150, 400, len(known) - 50, len(self.entries)]
        names = ["test-00000-of-00001", "train-00000-of-00002", "train-00001-of-00002", "validation-00000-of-00001"]
        ordered = known + [entry for entry in self.entries if entry.raw["cid"] is None]
        return {
            f"{self.config}/{name}.parquet": self._write(f"{name}.parquet", ordered[first:end])
            for name, first, end in zip(names, ends, ends[1:], strict=False)
        }

    def _write(self, name: str, entries: list[Entry]) -> bytes:
        for row, entry in enumerate(entries):
            entry.place = f"{name}:{row}"
            entry.geometry_id = str(entry.raw["cid"] or entry.raw.get("title-cid") or entry.place)
        columns = {key: [entry.raw[key] for entry in entries] for key in ("SMILES", "sdf", "cid")}
        kind = pa.float64() if None in columns["cid"] else pa.int64()
        table = pa.table({"index": range(len(entries)), **columns, "Y": [4.5] * len(entries)})
        table = table.set_column(3, "cid", pa.array(columns["cid"], kind))
        with io.BytesIO() as file:
            pq.write_table(table, file)
            return file.getvalue()


class PCQM4Mv2Shelf(Shelf):
    """An SDF without CIDs in an archive, and a table, of which record i is row i; later rows have no record."""

    source, variant = "pcqm4mv2", 5

    def make(self, molecule, shown):
        return {"smiles": molecule.smiles, "sdf": shown.mol_block(self.variant)}

    def add(self, *args, **options):
        entry = super().add(*args, **{"refused_as": "{place}"} | options)
        entry.geometry_id = entry.place = str(len(self.entries) - 1)
        return entry

    def pack(self) -> tuple[bytes, bytes]:
        """Make the archive of the SDF and the one of the table."""
        sdf = "".join(f"{entry.raw['sdf']}$$$$\n" for entry in self.entries)
        smiles = [entry.raw["smiles"] for entry in self.entries] + ["CCO", "c1ccccc1"]
        rows = "".join(f"{index},{one},4.5\n" for index, one in enumerate(smiles))
        with io.BytesIO() as file:
            with zipfile.ZipFile(file, "w") as archive:
                table = gzip.compress(f"idx,smiles,homolumogap\n{rows}".encode())
                archive.writestr("pcqm4m-v2/RELEASE_v1.txt", "")
                archive.writestr("pcqm4m-v2/raw/data.csv.gz", table)
            return pack_tar({"README": b"read me", "pcqm4m-v2-train.sdf": sdf.encode()}), file.getvalue()


class QM9Shelf(Shelf):
    """Rows of the tables of `qm9pack`."""

    source = "qm9"

    def add(self, molecule, fate=FOUND, **changes):
        row = molecule.row | changes
        entry = Entry(self.source, row, molecule, fate, row["Index"], molecule.numbers)
        entry.geometry_id = entry.place = row["Index"]
        entry.energy = float(row["InternalEnergy_0K_au"]) * HARTREE
        entry.positions = np.array(ast.literal_eval(row["XYZ_Ang"]))
        self.entries.append(entry)
        return entry

    def pack(self) -> dict[str, str]:
        """Make the files of the package."""
        rows = [entry.raw for entry in self.entries]
        tensors = ["XYZ_file", *(name for name in rows[0] if name.startswith("A_"))]
        columns = [name for name in rows[0] if name not in tensors[1:]]
        third = len(rows) // 3
        parts = {"qm9_part1": rows[:third], "qm9_part2": rows[third : 2 * third], "qm9_part3": rows[2 * third :]}
        files = {f"data/{name}.csv": write_csv(columns, part) for name, part in parts.items()}
        return {"__init__.py": "", **files, "data/qm9_polarizability.csv": write_csv(tensors, rows)}


class PubChemQCShelf(Shelf):
    """Records of the mirror's JSON shards. Two shards have CIDs that texts describe: one is dense and one sparse."""

    source, variant = "pubchemqc", 6

    def make(self, molecule, shown):
        return {
            "cid": molecule.cid,
            "state": "S0",
            "pubchem-inchi": molecule.inchi,
            "pubchem-charge": 0,
            "pubchem-version": "20160829",
            "name": f"{molecule.cid:09}.B3LYP@PM6.S0",
            "coordinates": shown.positions(self.variant).ravel().tolist(),
            "atomic-numbers": shown.numbers,
            "atom-count": len(shown.numbers),
            "obabel-inchi": "InChI=1S/as-perceived",
            "homos": [4],
            "orbital-energies": [PADDING],
        }

    def add(self, *args, **options):
        entry = super().add(*args, **options)
        entry.geometry_id = entry.place = str(entry.molecule.cid)
        return entry

    def pack(self) -> dict[str, Any]:
        """Make the shards, each an object with a length whose slices are bytes."""
        texts = {entry.raw["cid"]: json.dumps(entry.raw, indent=4).replace("\n", "\n    ") for entry in self.entries}
        shards = {name_shard(UNDESCRIBED): LazyShard(range(250_010, 251_000, 10), [900] * 99)}
        for bounds, filler in ((DENSE, ()), (SPARSE, range(10_003, 250_000, 80))):
            own = {cid: text.encode() for cid, text in sorted(texts.items()) if bounds[0] <= cid <= bounds[1]}
            shards[name_shard(bounds)] = MixedShard(own, filler)
        dense = shards[name_shard(DENSE)]
        return shards | {name_shard(DENSE): dense[0 : len(dense)]}


class MixedShard(LazyShard):
    """A shard with given records among others that nobody wants."""

    def __init__(self, own: dict[int, bytes], filler):
        self.own, cids = own, sorted({*own, *filler})
        lengths = [len(own[cid]) if cid in own else 13_000 + cid % 7_000 for cid in cids]
        super().__init__(cids, lengths)

    def record(self, index):
        return self.own.get(int(self.cids[index])) or super().record(index)


class GEOMShelf(Shelf):
    """Entries of an archive of MessagePack maps; the conformers are not sorted by energy."""

    source, variant, archive = "geom", 2, "drugs_crude.msgpack.tar.gz"

    def make(self, molecule, shown):
        conformers = [
            make_conformer(shown, self.variant + rank, energy)
            for rank, energy in ((1, -11.38), (0, -11.39), (2, -11.37))
        ]
        entry = {"totalconfs": 9, "lowestenergy": -11.39, "charge": 0, "datasets": ["x"], "conformers": conformers}
        return {"key": molecule.smiles, "entry": entry}

    def add(self, *args, **options):
        entry = super().add(*args, **{"refused_as": "{place}"} | options)
        entry.geometry_id = entry.place = f"{self.archive}:{len(self.entries) - 1}"
        entry.energy, entry.n_conformers = -11.39 * HARTREE, 3
        return entry

    def pack(self) -> bytes:
        """Make the archive."""
        pairs = [(entry.raw["key"], entry.raw["entry"]) for entry in self.entries]
        half = len(pairs) // 2
        maps = b"".join(msgpack.packb(dict(part)) for part in (pairs[:half], pairs[half:]))
        return pack_tar({"README": b"read me", "drugs_crude.msgpack": maps})


def make_conformer(shown: Molecule, variant: int, energy: float | None) -> dict:
    """A conformer of GEOM, with atomic numbers that have a fraction; without an energy if it is None."""
    numbers = np.array(shown.numbers, float)[:, None]
    xyz = np.hstack([numbers, shown.positions(variant)]).tolist()
    return {"xyz": xyz, "geom_id": variant, "degeneracy": 1} | ({} if energy is None else {"totalenergy": energy})


def name_shard(bounds: tuple[int, int]) -> str:
    return f"{bounds[0]:09}-{bounds[1]:09}.json"


def write_csv(columns: list[str], rows: list[dict]) -> str:
    lines = io.StringIO()
    table = csv.DictWriter(lines, columns, extrasaction="ignore", quoting=csv.QUOTE_ALL, lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    return lines.getvalue()


def pack_tar(members: dict[str, bytes]) -> bytes:
    """Make a .tar.gz file of members by name; its bytes depend only on them."""
    stream = io.BytesIO()
    with gzip.GzipFile(fileobj=stream, mode="wb", mtime=0) as packed, tarfile.open(fileobj=packed, mode="w") as archive:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return stream.getvalue()
