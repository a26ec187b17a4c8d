"""The table: one row per molecule, whole batches, exact search as in NumPy, and an approximate one on top."""

import json
import multiprocessing
from pathlib import Path

import numpy as np
import pytest

from geomclip_tools.library import store as stores
from geomclip_tools.library.descriptors import COMPUTE
from geomclip_tools.library.rows import read_rows
from geomclip_tools.library.store import MoleculeStore, exists

SIZE = 16
METADATA = {"weights_sha256": "abc"}


def make_key(number):
    letters = "".join(chr(ord("A") + int(digit)) for digit in f"{number:014d}")
    return f"{letters}-UHFFFAOYSA-N"


def make_row(number, **cells):
    rng = np.random.default_rng(number)
    vector = rng.normal(size=SIZE)
    row = {
        "inchikey": make_key(number),
        "smiles": "C" * (number % 20 + 1),
        "names": [f"name {number}"],
        "sources": [f"a.smi, line {number}"],
        **dict.fromkeys(COMPUTE, number % 7),
        "formula": "CH4",
        "text": None,
        "columns": {"price": number},
        "atomic_numbers": np.full(number % 3 + 1, 6),
        "positions": rng.normal(size=(number % 3 + 1, 3)),
        "pattern": bytes([number % 256]) * 256,
        "vector": vector / np.linalg.norm(vector),
    }
    return row | cells


@pytest.fixture
def store(tmp_path) -> MoleculeStore:
    return MoleculeStore.create(str(tmp_path / "index"), SIZE, METADATA)


def read(store):
    return {row["inchikey"]: row for batch in store.scan(store.schema.names) for row in read_rows(batch)}


def test_rows_return_as_written(store):
    rows = [make_row(number) for number in range(5)]
    rows[1] |= {"text": "an alcohol", "text_vector": np.ones(SIZE)}
    assert store.write(rows) == ({row["inchikey"] for row in rows}, set())
    assert MoleculeStore.open(store.path).metadata == METADATA
    found = read(store)
    assert len(found) == store.count() == 5
    for row in rows:
        other = found[row["inchikey"]]
        assert {name: other[name] for name in ("smiles", "names", "sources", "columns", "text")} == {
            name: row[name] for name in ("smiles", "names", "sources", "columns", "text")
        }
        assert other["atomic_numbers"] == row["atomic_numbers"].tolist()
        np.testing.assert_allclose(other["positions"], row["positions"], rtol=1e-6)
        np.testing.assert_allclose(other["vector"], row["vector"], atol=5e-4)
    assert [row["text_vector"] is None for row in found.values()].count(False) == 1


def test_rows_of_one_molecule_are_united(store):
    store.write([make_row(1), make_row(2)])
    other = make_row(1, names=["other"], sources=["b.csv, line 1"], columns={"price": 5, "stock": "yes"}, vector=None)
    store.write([other | {"text": "an alcohol", "text_vector": np.ones(SIZE)}, make_row(2)])
    row = read(store)[make_key(1)]
    assert (row["names"], row["sources"]) == (["name 1", "other"], ["a.smi, line 1", "b.csv, line 1"])
    assert (row["columns"], row["text"]) == ({"price": 1, "stock": "yes"}, "an alcohol")
    np.testing.assert_allclose(row["vector"], make_row(1)["vector"], atol=5e-4)
    assert store.count() == 2


def test_a_row_that_was_removed_meanwhile_is_returned(store):
    store.write([make_row(1)])
    assert store.remove("smiles = 'CC'") == 1
    lost = make_row(1, vector=None)
    assert store.write([lost]) == (set(), {make_key(1)})
    assert store.count() == 0


def test_exact_search_is_that_of_numpy(store):
    rows = [make_row(number) for number in range(60)]
    store.write(rows[:40])
    store.write(rows[40:])
    vectors = np.stack([row["vector"] for row in rows]).astype(np.float16).astype(np.float64)
    query = np.random.default_rng(99).normal(size=SIZE).astype(np.float32)
    query /= np.linalg.norm(query)
    scores = vectors @ query / np.linalg.norm(vectors, axis=1)
    for where, kept in ((None, scores > -9), ("rings >= 3 and mol_weight < 6", np.isin(np.arange(60) % 7, (3, 4, 5)))):
        found = store.rank(query, 8, ("inchikey", "smiles"), where)
        best = [place for place in np.argsort(-scores) if kept[place]][:8]
        assert found["inchikey"].to_pylist() == [make_key(place) for place in best]
        assert found["smiles"].to_pylist() == [rows[place]["smiles"] for place in best]
        np.testing.assert_allclose(found["score"], scores[best], atol=1e-6)


def test_exact_search_uses_the_vector_file_of_its_version(store, monkeypatch):
    monkeypatch.setattr(stores, "VECTOR_FILE_FROM", 50)
    opened = []
    open_file = stores.VectorFile.open
    monkeypatch.setattr(stores.VectorFile, "open", lambda *given: opened.append(open_file(*given)) or opened[-1])
    rows = [make_row(number) for number in range(60)]
    rows[7]["vector"] = rows[8]["vector"]  # tied
    query = rows[8]["vector"].astype(np.float32)
    store.write(rows[:49])
    store.write_vectors()  # too few rows
    store.write(rows[49:])
    conditions = (None, "rings >= 3", "rings > 99")
    expected = [store.rank(query, 6, ("inchikey", "smiles"), where) for where in conditions]
    assert expected[0]["inchikey"].to_pylist()[:2] == [make_key(7), make_key(8)]
    assert len(expected[2]) == 0
    assert set(opened) == {None}
    store.write_vectors()
    store.write_vectors()  # nothing has changed
    for where, table in zip(conditions, expected):
        found = store.rank(query, 6, ("inchikey", "smiles"), where)
        assert found.drop(["score"]) == table.drop(["score"])
        np.testing.assert_allclose(found["score"], table["score"], atol=1e-6)
    assert opened[-1].version == MoleculeStore.open(store.path)._table.version
    store.remove(f"inchikey = '{make_key(8)}'")
    assert store.rank(query, 1, ("inchikey",))["inchikey"].to_pylist() == [make_key(7)]
    assert opened[-1] is None
    store.write_vectors()
    assert len([*(Path(store.path) / stores.VECTOR_FILES).iterdir()]) == 1


def test_an_exact_search_is_not_disturbed_by_writers(store, monkeypatch):
    monkeypatch.setattr(stores, "VECTOR_FILE_FROM", 50)
    rows = [make_row(number) for number in range(60)]
    for start in range(0, 60, 10):
        store.write(rows[start : start + 10])
    store.write_vectors()
    query = rows[8]["vector"].astype(np.float32)
    expected = store.rank(query, 6, ("inchikey", "smiles"))
    find_nearest = stores.VectorFile.find_nearest

    def find_while_others_write(*given):
        writer = MoleculeStore.open(store.path)
        writer.remove(f"inchikey = '{make_key(8)}'")
        writer.optimize()  # moves all rows into one file
        writer.write_vectors()
        return find_nearest(*given)

    with monkeypatch.context() as patched:
        patched.setattr(stores.VectorFile, "find_nearest", find_while_others_write)
        assert store.rank(query, 6, ("inchikey", "smiles")) == expected  # of the version when it began
    found = store.rank(query, 5, ("inchikey", "smiles"))
    assert found["inchikey"].to_pylist() == expected["inchikey"].to_pylist()[1:]


def test_rows_are_screened_by_the_bits_of_their_patterns(store):
    store.write([make_row(number) for number in range(60)])
    found = store.screen(bytes([5]) + bytes(255), "rings >= 1")
    assert sorted(found) == [make_key(number) for number in range(60) if number & 5 == 5 and number % 7 >= 1]


def test_the_approximate_index_is_built_by_itself(store, monkeypatch):
    monkeypatch.setattr(stores, "APPROXIMATE_FROM", 400)
    rows = [make_row(number) for number in range(600)]
    store.write(rows[:300])
    store.optimize()
    assert store.describe()["approximate_index"] is None
    store.write(rows[300:500])
    store.optimize()
    store.write(rows[500:])
    assert store.describe()["approximate_index"] == {"rows": 500, "rows_outside": 100}
    query = rows[550]["vector"].astype(np.float32)
    exact = store.rank(query, 10, ("inchikey",), exact=True)
    assert exact["inchikey"][0].as_py() == make_key(550)
    found = store.rank(query, 10, ("inchikey",))
    assert len({*found["inchikey"].to_pylist()} & {*exact["inchikey"].to_pylist()}) >= 9
    store.optimize()
    assert store.describe()["approximate_index"] == {"rows": 600, "rows_outside": 0}


def test_the_sample_has_the_rows_own_vectors(store):
    rows = [make_row(number) for number in range(30)]
    store.write(rows)
    sample = store.sample_vectors(10)
    assert sample.shape == (10, SIZE)
    np.testing.assert_allclose(np.linalg.norm(sample, axis=1), 1, atol=1e-6)
    nearest = (sample @ np.stack([row["vector"] for row in rows]).T).max(axis=1)
    np.testing.assert_allclose(nearest, 1, atol=1e-3)
    np.testing.assert_array_equal(sample, MoleculeStore.open(store.path).sample_vectors(10))


def write_all(path, batches, start):
    store = MoleculeStore.open(path)
    start.wait()
    for numbers in batches:
        store.write([make_row(number, sources=[f"{start_of(numbers)}"]) for number in numbers])


def start_of(numbers):
    return f"from {numbers[0]}"


@pytest.mark.parametrize("is_indexed", [False, True])
def test_two_writers_of_the_same_molecules_make_one_row_of_each(store, is_indexed):
    store.write([make_row(1000)])
    if is_indexed:
        store.optimize()
    numbers = np.arange(40)
    forward = [numbers[start : start + 10].tolist() for start in range(0, 40, 10)]
    backward = [part[::-1] for part in forward]
    context = multiprocessing.get_context("spawn")
    start = context.Barrier(2)
    writers = [context.Process(target=write_all, args=(store.path, part, start)) for part in (forward, backward)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert [writer.exitcode for writer in writers] == [0, 0]
    found = read(store)
    assert store.count() == len(found) == 41
    assert sorted(found[make_key(3)]["sources"]) == ["from 0", "from 9"]


def test_a_full_disk_is_told_and_earlier_batches_are_kept(store, monkeypatch):
    store.write([make_row(1)])

    class FullTable:
        def __getattr__(self, name):
            if name == "merge_insert":
                raise RuntimeError("lance error: No space left on device, /lance/commit.rs:16:50")
            return getattr(table, name)

    table = store._table
    monkeypatch.setattr(store, "_table", FullTable())
    message = r"index cannot be written \(.* GB are free\): lance error: No space left on device; all earlier batches"
    with pytest.raises(OSError, match=message):
        store.write([make_row(2)])
    assert MoleculeStore.open(store.path).count() == 1


def test_what_is_wrong_is_told(store, tmp_path):
    store.write([make_row(1)])
    query = np.eye(SIZE, dtype=np.float32)[0]
    with pytest.raises(ValueError, match=r"the condition 'weight < 3' is not valid: .*; columns are inchikey, smiles"):
        store.rank(query, 3, ("inchikey",), "weight < 3")
    with pytest.raises(ValueError, match="'rings >' is not valid"):
        store.count("rings >")
    with pytest.raises(ValueError, match=r"there is no index at .*nowhere; check the path"):
        MoleculeStore.open(str(tmp_path / "nowhere"))
    assert not exists(str(tmp_path / "nowhere"))
    assert not (tmp_path / "nowhere").exists()
    with pytest.raises(ValueError, match="molecule 0 of a batch is not finite"):
        store.write([make_row(2, vector=np.full(SIZE, np.nan))])
    assert store.count() == 1
    assert json.loads(store.schema.metadata[b"geomclip"]) == METADATA
