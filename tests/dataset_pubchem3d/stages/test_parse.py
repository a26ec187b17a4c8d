from dataclasses import dataclass
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import Value
from hypothesis import given, settings
from hypothesis import strategies as st

from dataset_pubchem3d.records import (
    GEOMETRY_SCHEMA,
    TEXT_SCHEMA,
    Compound,
    Identity,
    RecordError,
    Text,
    check_geometry,
)
from dataset_pubchem3d.schema import GEOMETRY_COLUMNS, Column, make_molecule_features
from dataset_pubchem3d.sources.base import PropertySource, StructureSource, TextSource
from dataset_pubchem3d.stages.parse import (
    BLOCK,
    CHUNK,
    Wanted,
    identify_texts,
    make_chunks,
    make_geometry_table,
    read_compounds,
    read_geometries,
    read_molecules,
    read_texts,
)
from dataset_pubchem3d.stages.windows import write_windows

ETHANOL = Compound.from_smiles("CCO", "702", cid=702, title="Ethanol", synonyms=("ethyl alcohol",))
TOLUENE = Compound.from_smiles("Cc1ccccc1", "1140", cid=1140)
PHENOL = Compound.from_smiles("Oc1ccccc1", "996")
L_ALANINE, ALANINE = Compound.from_smiles("C[C@H](N)C(=O)O", "5950"), Compound.from_smiles("CC(N)C(=O)O", "602")
HELIUM = check_geometry("he", [2], [[[1, 0, 0]], [[0, 0, 0]], [[2, 0, 0]]], [2.0, 1.0, 3.0])
NEON = check_geometry("ne", [10], [[0, 0, 1]], method="PM6", license="CC0-1.0")
FAULT = RecordError("record 7", "it is broken", "at its end")


def given_or_raised(value: Any) -> Any:
    if isinstance(value, RecordError):
        raise value
    return value


@dataclass(frozen=True)
class Texts(TextSource):
    """A raw record is a list of texts, or an error."""

    name: ClassVar[str] = "invented texts"

    def parse_texts(self, raw):
        return given_or_raised(raw)


@dataclass(frozen=True)
class Structures(StructureSource):
    """A raw record is a compound, or an error."""

    name: ClassVar[str] = "invented structures"

    def parse_compound(self, raw):
        return given_or_raised(raw)


@dataclass(frozen=True)
class Molecules(PropertySource):
    """A raw record has the result or the error of each method; calling another method fails the test."""

    name: ClassVar[str] = "invented molecules"
    method: ClassVar[str] = "B3LYP"
    license: ClassVar[str] = "MIT"
    property_columns: ClassVar[tuple[Column, ...]] = (
        Column("gap", Value("float64"), "Hartree", ""),
        Column("rings", Value("int32"), "", ""),
    )

    def identify(self, raw):
        return given_or_raised(raw["identity"])

    def parse_geometry(self, raw):
        return given_or_raised(raw["geometry"])

    def parse_compound(self, raw):
        return given_or_raised(raw["compound"])

    def parse_properties(self, raw):
        return given_or_raised(raw["properties"])


def refused(source: str, error: RecordError) -> dict:
    return {"source": source, "id": error.record_id, "reason": error.reason, "detail": error.detail}


# --------------------------------------------------------------------------------------------------------------- chunks


@pytest.mark.parametrize("size", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK + 500])
def test_every_record_is_in_one_chunk_and_in_order(size):
    tasks = list(make_chunks(range(size)))
    assert [raw for task in tasks for raw in task.argument] == list(range(size))
    assert all(len(task.argument) == CHUNK for task in tasks[:-1])
    assert [task.name for task in tasks] == [f"{place:06d}" for place in range(-(-size // CHUNK))]


def test_no_record_is_read_before_its_chunk_is_requested():
    numbers = count()  # endless
    tasks = make_chunks(numbers)
    assert next(numbers) == 0
    assert next(tasks).argument == list(range(1, CHUNK + 1))
    assert next(numbers) == CHUNK + 1
    assert next(tasks).argument[0] == CHUNK + 2


# ---------------------------------------------------------------------------------------------------------------- texts


def test_every_raw_record_gives_its_texts_or_is_refused():
    first, second = Text("1 a", "A liquid.", "DrugBank", cid=702), Text("1 b", "A solvent.", "DrugBank", cid=702)
    third = Text("4", "A toxin.", "T3DB", compound=TOLUENE, name="Toluol")
    part = read_texts(Texts(), [[first, second], FAULT, [], [third]])
    assert part.refused == [refused("invented texts", FAULT)]
    assert part.counts == {"records read": 4, "records without a text": 1, "texts": 3}
    assert part.table.schema == TEXT_SCHEMA
    found = part.table.select(["source", "record_id", "text", "cid", "inchikey", "name"]).to_pylist()
    assert [tuple(row.values()) for row in found] == [
        ("invented texts", "1 a", "A liquid.", 702, None, None),
        ("invented texts", "1 b", "A solvent.", 702, None, None),
        ("invented texts", "4", "A toxin.", 1140, TOLUENE.inchikey, "Toluol"),
    ]


@pytest.mark.parametrize("chunk", [[], [FAULT], [FAULT, []]])
def test_a_chunk_without_texts_gives_an_empty_table(chunk):
    part = read_texts(Texts(), chunk)
    assert part.table == TEXT_SCHEMA.empty_table()
    assert (part.counts["records read"], part.counts["texts"]) == (len(chunk), 0)
    assert len(part.refused) == chunk.count(FAULT)


def test_an_error_that_is_not_of_one_record_is_not_swallowed():
    with pytest.raises(TypeError, match="iterable"):
        read_texts(Texts(), [7])


# ------------------------------------------------------------------------------------------------------------ compounds


def test_every_compound_is_read_or_refused():
    part = read_compounds(Structures(), [ETHANOL, FAULT, TOLUENE])
    assert part.refused == [refused("invented structures", FAULT)]
    assert part.counts == {"records read": 3, "compounds": 2}
    assert part.table.schema == TEXT_SCHEMA
    rows = part.table.to_pylist()
    assert [(row["cid"], row["inchikey"], row["title"]) for row in rows] == [
        (702, ETHANOL.inchikey, "Ethanol"),
        (1140, TOLUENE.inchikey, ""),
    ]
    for name in ("source", "record_id", "text", "name", "is_composed"):
        assert [row[name] for row in rows] == [None, None]


@pytest.fixture
def cid_windows(tmp_path) -> Path:
    """Texts with only CIDs: of the window up to CID 1000 and of the window after it."""
    texts = [
        Text("a", "Alcohol is a liquid.", "DrugBank", cid=702, name="alcohol", kind="drug", anid=3),
        Text("b", "It is a liquid.", "T3DB", cid=1140),
        Text("c", "It is unknown.", "T3DB", cid=703),
        Text("d", "It burns.", "T3DB", cid=702),
    ]
    folder = tmp_path / "texts"
    folder.mkdir()
    write_windows([read_texts(Texts(), [texts]).table], "cid", np.array([1001]), folder)
    return folder


def test_texts_of_a_window_are_identified_by_their_cid_and_keep_other_columns(cid_windows, tmp_path):
    pq.write_table(read_compounds(Structures(), [ETHANOL, TOLUENE]).table, tmp_path / "compounds.parquet")
    part = identify_texts(cid_windows, (tmp_path / "compounds.parquet", 0))
    own = read_texts(
        Texts(), [[Text("a", "Alcohol is a liquid.", "DrugBank", cid=702, name="alcohol", kind="drug", anid=3)]]
    )
    expected = read_texts(Texts(), [[Text("a", "", "", compound=ETHANOL)]]).table.to_pylist()[0]
    identity = ("inchikey", "inchikey14", "inchi", "smiles", "n_heavy", "formal_charge", "title", "synonyms")
    assert [row["record_id"] for row in part.table.to_pylist()] == ["a", "d"]
    assert part.table.to_pylist()[0] == own.table.to_pylist()[0] | {name: expected[name] for name in identity}
    assert part.table.to_pylist()[1]["inchikey"] == ETHANOL.inchikey
    assert part.table.schema == TEXT_SCHEMA


def test_a_text_with_an_unknown_cid_is_refused(cid_windows, tmp_path):
    pq.write_table(read_compounds(Structures(), [ETHANOL]).table, tmp_path / "compounds.parquet")
    part = identify_texts(cid_windows, (tmp_path / "compounds.parquet", 0))
    error = RecordError("c", "no structure is known for its CID", "703")
    assert part.refused == [refused("invented texts", error)]
    assert part.counts == {"texts by CID": 3, "texts": 2}


def test_every_text_is_refused_if_no_compound_is_known(cid_windows):
    part = identify_texts(cid_windows, (None, 0))
    assert part.table == TEXT_SCHEMA.empty_table()
    assert [record["id"] for record in part.refused] == ["a", "c", "d"]


def test_a_window_without_texts_gives_an_empty_table(cid_windows, tmp_path):
    pq.write_table(read_compounds(Structures(), [ETHANOL]).table, tmp_path / "compounds.parquet")
    (cid_windows / "000005").touch()
    part = identify_texts(cid_windows, (tmp_path / "compounds.parquet", 5))
    assert (part.table, part.refused) == (TEXT_SCHEMA.empty_table(), [])


# --------------------------------------------------------------------------------------------------------------- wanted


def described(*texts: tuple[str, int | None]) -> pa.Table:
    blocks, cids = zip(*texts) if texts else ((), ())
    return pa.table({"inchikey14": pa.array(blocks, pa.string()), "cid": pa.array(cids, pa.int64())})


A, B, C = ("A" * 14, "B" * 14, "C" * 14)
WANTED = Wanted.collect([described((B, 2), (A, None)), described((A, 1), (B, None), (B, 3))])


def test_the_wanted_molecules_are_distinct_and_ascending():
    assert WANTED.blocks.tolist() == [A.encode(), B.encode()]
    assert WANTED.cids.tolist() == [1, 2, 3]
    assert WANTED.cid_blocks.tolist() == [A.encode(), B.encode(), B.encode()]
    assert (WANTED.blocks.dtype, WANTED.cids.dtype, WANTED.cid_blocks.dtype) == (BLOCK, np.int64, BLOCK)


@pytest.mark.parametrize(
    ("identity", "block"),
    [
        (Identity(cid=3), B),
        (Identity(inchikey=f"{A}-UHFFFAOYSA-N"), A),
        (Identity(inchikey=A), A),
        (Identity(1, f"{A}-UHFFFAOYSA-N"), A),
        (Identity(1, A), A),
        (Identity(99, A), A),
        (Identity(99, C), None),
        (Identity(cid=99), None),
        (Identity(cid=2**62), None),
        (Identity(inchikey=C), None),
        (Identity(inchikey="9" * 14), None),
        (Identity(), None),
    ],
)
def test_a_geometry_is_wanted_by_its_cid_or_its_first_block(identity, block):
    assert WANTED.find_block(identity) == block


@pytest.mark.parametrize("inchikey", [B, C, f"{C}-UHFFFAOYSA-N"])
def test_a_geometry_with_contradictory_cid_and_structure_is_refused(inchikey):
    with pytest.raises(RecordError) as caught:
        WANTED.find_block(Identity(1, inchikey))
    assert caught.value.record_id == "CID 1"
    assert caught.value.reason == "its CID belongs to another molecule"
    assert A in caught.value.detail
    assert inchikey[:14] in caught.value.detail


BLOCKS = st.sampled_from(["A" * 14, "B" * 14, "AAAAAAAAAAAAAB", "Z" * 14])
CIDS = st.integers(1, 6) | st.none()
IDENTITIES = st.builds(Identity, CIDS, st.none() | BLOCKS | BLOCKS.map("{}-UHFFFAOYSA-N".format))


def block_by_dictionaries(tables: list[list[tuple]], identity: Identity) -> str | None:
    texts = [text for table in tables for text in table]
    of_cid = {}
    for block, cid in texts:
        of_cid.setdefault(cid, block)
    by_cid = of_cid.get(identity.cid) if identity.cid is not None else None
    if identity.inchikey is None:
        return by_cid
    own = identity.inchikey.split("-")[0]
    if by_cid is not None:
        return by_cid if by_cid == own else "contradiction"
    return own if own in {block for block, _ in texts} else None


@settings(max_examples=150, deadline=None)
@given(st.lists(st.lists(st.tuples(BLOCKS, CIDS), max_size=5), max_size=4), st.lists(IDENTITIES, max_size=8))
def test_wanted_molecules_agree_with_dictionaries_before_and_after_saving(tables, identities):
    collected = Wanted.collect(described(*table) for table in tables)
    with TemporaryDirectory() as folder:
        collected.save(Path(folder))
        for wanted in (collected, Wanted.load(Path(folder))):
            for identity in identities:
                try:
                    found = wanted.find_block(identity)
                except RecordError:
                    found = "contradiction"
                assert found == block_by_dictionaries(tables, identity)


def test_wanted_molecules_are_memory_mapped(tmp_path):
    WANTED.save(tmp_path)
    for mapped, array in zip(Wanted.load(tmp_path), WANTED):
        assert isinstance(mapped, np.memmap)
        np.testing.assert_array_equal(mapped, array)


def test_tables_of_several_chunks_are_collected_completely():
    pieces = pa.concat_tables([described((B, 2)), described(), described((A, None), (A, 1))])
    for array, expected in zip(Wanted.collect([pieces]), Wanted.collect([described((B, 2), (A, None), (A, 1))])):
        np.testing.assert_array_equal(array, expected)


@pytest.mark.parametrize("tables", [[], [TEXT_SCHEMA.empty_table()], [TEXT_SCHEMA.empty_table()] * 2])
def test_without_texts_nothing_is_wanted(tables, tmp_path):
    Wanted.collect(tables).save(tmp_path)
    wanted = Wanted.load(tmp_path)
    assert [len(array) for array in wanted] == [0, 0, 0]
    assert wanted.find_block(Identity(1, A)) is None


# ----------------------------------------------------------------------------------------------------------- geometries


def test_every_geometry_is_kept_unwanted_or_refused(tmp_path):
    WANTED.save(tmp_path)
    key = f"{A}-UHFFFAOYSA-N"
    chunk = [
        {"identity": Identity(3, None), "geometry": HELIUM},
        {"identity": Identity(None, C)},  # not wanted, so its geometry is not parsed
        {"identity": FAULT},
        {"identity": Identity(1, key), "geometry": RecordError("he", "no atoms")},
        {"identity": Identity(1, B)},
        {"identity": Identity(9, key), "geometry": NEON},
    ]
    part = read_geometries(Molecules(), tmp_path, 2, chunk)
    assert part.counts == {"records read": 6, "geometries": 2, "wanted by no text": 1}
    assert [(record["source"], record["id"]) for record in part.refused] == [
        ("invented molecules", "record 7"),
        ("invented molecules", "he"),
        ("invented molecules", "CID 1"),
    ]
    assert part.table == make_geometry_table(Molecules(), [(B, Identity(3), HELIUM), (A, Identity(9, key), NEON)], 2)


def test_a_table_of_geometries_has_the_wanted_and_the_own_identity():
    found = [(B, Identity(3), HELIUM), (A, Identity(None, f"{A}-UHFFFAOYSA-N"), NEON)]
    table = make_geometry_table(Molecules(), found, 2)
    table.validate(full=True)
    assert table.schema == GEOMETRY_SCHEMA
    assert table.to_pylist() == [
        {
            "inchikey14": B,
            "inchikey": None,
            "cid": 3,
            "geometry_source": "invented molecules",
            "geometry_method": "B3LYP",
            "geometry_license": "MIT",
            "atomic_numbers": [2],
            "positions": [[0, 0, 0]],
            "further_positions": [[[1, 0, 0]]],
            "n_conformers": 3,
            "conformer_energy": 1.0,
            "geometry_id": "he",
        },
        {
            "inchikey14": A,
            "inchikey": f"{A}-UHFFFAOYSA-N",
            "cid": None,
            "geometry_source": "invented molecules",
            "geometry_method": "PM6",
            "geometry_license": "CC0-1.0",
            "atomic_numbers": [10],
            "positions": [[0, 0, 1]],
            "further_positions": [],
            "n_conformers": 1,
            "conformer_energy": None,
            "geometry_id": "ne",
        },
    ]


def test_an_empty_table_of_geometries_has_the_same_columns():
    assert make_geometry_table(Molecules(), [], 1) == GEOMETRY_SCHEMA.empty_table()


# ------------------------------------------------------------------------------------------------------------ molecules


def molecule(compound, geometry=HELIUM, properties=None) -> dict:
    return {"compound": compound, "geometry": geometry, "properties": properties or {"gap": 0.5, "rings": 1}}


def test_every_molecule_has_its_geometry_and_its_properties():
    part = read_molecules(Molecules(), 2, "first_block", [molecule(ETHANOL), molecule(TOLUENE, NEON, {"gap": None})])
    assert (part.refused, part.counts) == ([], {"records read": 2, "molecules": 2})
    first, second = part.table.to_pylist()
    geometries = make_geometry_table(Molecules(), [("", Identity(), HELIUM), ("", Identity(), NEON)], 2).to_pylist()
    for row, compound, geometry in zip((first, second), (ETHANOL, TOLUENE), geometries):
        assert {name: row.pop(name) for name in GEOMETRY_COLUMNS} == {name: geometry[name] for name in GEOMETRY_COLUMNS}
        assert row.pop("inchikey14") == row.pop("split_group") == compound.inchikey[:14]
        for name in ("inchikey", "inchi", "smiles", "n_heavy", "formal_charge"):
            assert row.pop(name) == getattr(compound, name)
    assert first == {"gap": 0.5, "rings": 1}
    assert second == {"gap": None, "rings": None}


@pytest.mark.parametrize("chunk", [[], [molecule(FAULT)], [molecule(ETHANOL)]])
def test_molecules_have_the_columns_of_their_config_except_those_added_later(chunk):
    features = make_molecule_features(Molecules.property_columns)
    schema = read_molecules(Molecules(), 1, "first_block", chunk).table.schema
    assert schema.names == [name for name in features if name not in ("benchmarks", "split")]
    for field in schema:
        assert field.type == features.arrow_schema.field(field.name).type


@pytest.mark.parametrize("role", ["compound", "geometry", "properties"])
def test_a_molecule_with_a_missing_part_is_refused(role):
    part = read_molecules(Molecules(), 1, "first_block", [molecule(ETHANOL) | {role: FAULT}, molecule(TOLUENE)])
    assert part.refused == [refused("invented molecules", FAULT)]
    assert part.counts == {"records read": 2, "molecules": 1}
    assert part.table.column("inchikey").to_pylist() == [TOLUENE.inchikey]


def test_molecules_with_one_scaffold_are_in_one_group_if_asked():
    chunk = [molecule(compound) for compound in (TOLUENE, PHENOL, ETHANOL)]
    groups = read_molecules(Molecules(), 1, "scaffold", chunk).table.column("split_group").to_pylist()
    assert groups == ["c1ccccc1", "c1ccccc1", ETHANOL.inchikey[:14]]


def test_stereoisomers_are_in_one_group():
    chunk = [molecule(compound) for compound in (L_ALANINE, ALANINE)]
    groups = read_molecules(Molecules(), 1, "first_block", chunk).table.column("split_group").to_pylist()
    assert groups == ["QNAYBMKLOCPYGJ", "QNAYBMKLOCPYGJ"]
