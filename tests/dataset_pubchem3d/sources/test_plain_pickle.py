"""Plain records are read as pickle reads them; nothing else is, and nothing is executed."""

import builtins
import os
import pickle
import struct
from pathlib import Path

import numpy as np
import pytest

from dataset_pubchem3d.sources import plain_pickle
from dataset_pubchem3d.sources.plain_pickle import PlainPickleError, read_plain_pickle

RECORD = {
    "smi": "C[C@H](O)N",
    "atoms": ["C", "C", "O", "N"],
    "coordinates": [np.arange(12, dtype=np.float32).reshape(4, 3), np.zeros((4, 3), np.float32)],
    "target": np.float64(-1.5),
    "cid": 702,
    "flags": (True, None, 2.5, -(2**70), b"\x00\xff", "é"),
    True: {"é": "𝄞", 7: 1},
}


def is_same(one, other) -> bool:
    if isinstance(other, dict):
        return one.keys() == other.keys() and all(is_same(one[key], other[key]) for key in other)
    if isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(is_same, one, other))
    if isinstance(other, np.ndarray):
        return one.dtype == other.dtype and one.shape == other.shape and np.array_equal(one, other)
    return one == other


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_plain_records_of_every_protocol(protocol):
    assert is_same(read_plain_pickle(pickle.dumps(RECORD, protocol)), RECORD)


@pytest.mark.parametrize(
    "array",
    [
        np.asfortranarray(np.arange(12.0).reshape(3, 4)),
        np.arange(6, dtype=">i4"),
        np.array([True, False]),
        np.array(3.5),
        np.zeros((0, 3), np.float16),
        np.arange(12.0).reshape(3, 4)[:, ::2],
    ],
    ids=["Fortran", "big-endian", "booleans", "scalar", "empty", "strided"],
)
@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_arrays_of_numbers(array, protocol):
    found = read_plain_pickle(pickle.dumps({"a": array}, protocol))["a"]
    assert found.shape == array.shape
    np.testing.assert_array_equal(found, array)
    found.flatten()[:0] = 1  # writable: a copy of its own
    assert found.flags.writeable


def test_records_of_older_numpy():
    """numpy 1 names its module numpy.core."""
    content = pickle.dumps(RECORD, 4)
    older = content.replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
    if older != content:  # the name has a length before it
        older = content.replace(b"\x16numpy._core.multiarray", b"\x15numpy.core.multiarray")
        start = older.index(b"\x95")  # a frame, whose length changes
        older = older[:start] + older[start + 9 :]
    assert is_same(read_plain_pickle(older), RECORD)


# ------------------------------------------------------------------------------------------------------------- hostile


class Calls:
    """Pickles to a call."""

    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


class Sets(Calls):
    """Pickles to a call whose result is changed."""

    def __init__(self, function, arguments, state):
        self.call = (function, arguments, state)


def build(*parts: bytes) -> bytes:
    return b"\x80\x04" + b"".join(parts) + b"."


def text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value)) + value.encode()


MARKER = "was_executed"
HOSTILE = {
    "os.system": pickle.dumps(Calls(os.system, f"touch {MARKER}")),
    "eval": pickle.dumps(Calls(eval, f"open({MARKER!r}, 'w')")),
    "exec within a list": pickle.dumps({"a": [Calls(exec, f"open({MARKER!r}, 'w')")]}),
    "open": pickle.dumps(Calls(open, MARKER, "w")),
    "getattr": pickle.dumps(Calls(getattr, Path(MARKER), "touch")),
    "__import__": pickle.dumps(Calls(builtins.__import__, "antigravity")),
    "numpy.load": pickle.dumps(Calls(np.load, "x.npy", None, True)),
    "a subclass of dict": pickle.dumps(Path(MARKER)),
    "protocol 0, posix.system": b"cposix\nsystem\n(S'touch " + MARKER.encode() + b"'\ntR.",
    "INST": b"(S'touch " + MARKER.encode() + b"'\niposix\nsystem\n.",
    "OBJ": b"(cposix\nsystem\nS'touch " + MARKER.encode() + b"'\no.",
    "NEWOBJ": build(b"cbuiltins\nobject\n", b")", b"\x81"),
    "EXT1": build(b"\x82\x01"),
    "PERSID": b"Pid\n.",
    "dotted name": build(text("numpy"), text("ndarray.tofile"), b"\x93", b")R"),
    "numpy's exec": build(text("numpy.testing"), text("runstring"), b"\x93", text("1"), b"}\x86R"),
    "BUILD on a function": build(text("_codecs"), text("encode"), b"\x93", b"}", text("x"), b"K\x01s", b"b"),
    "BUILD on a class": build(
        text("numpy"), text("dtype"), b"\x93", b"N", b"}", text("set_state"), b"K\x01s", b"\x86", b"b"
    ),
    "BUILD on a dict": build(b"}", b"}", b"b"),
    "calling a string": build(text("x"), b")R"),
    "calling ndarray": build(text("numpy"), text("ndarray"), b"\x93", b"K\x02\x85R"),
    "an array of objects": pickle.dumps(np.array([Path("x"), 1], dtype=object)),
    "an array of records": pickle.dumps(np.zeros(2, [("a", "f8")])),
    "a dtype of objects": pickle.dumps(np.dtype(object)),
    "a type alone": pickle.dumps(np.dtype("f4")),
    "bytes through zip": build(text("_codecs"), text("encode"), b"\x93", text("x"), text("zip"), b"\x86R"),
    "a set": pickle.dumps({1, 2}),
    "a complex number": pickle.dumps(1j),
    "a deep tuple as a key": build(b"}", b")", b"\x85" * 1_000_000, b"K\x01s"),  # to hash it would crash
    "a growing tuple as a key": build(b"}", b")", b"\x94h\x00\x86" * 60, b"K\x01s"),  # ... or take forever
    "a growing tuple in a literal": build(b"(", b")", b"\x94h\x00\x86" * 60, b"K\x01d"),
    "a growing tuple among keys": build(b"}(", b")", b"\x94h\x00\x86" * 60, b"K\x01u"),
    "a growing tuple as a type": build(text("numpy"), text("dtype"), b"\x93)", b"\x94h\x00\x86" * 60, b"\x85R"),
    "an item of a list": build(b"]", b"K\x00", b"K\x01", b"s"),
    "a type that numpy evaluates": build(text("numpy"), text("dtype"), b"\x93", text("(1,,)f4"), b"\x85R"),
    "a type with a shape": build(text("numpy"), text("dtype"), b"\x93", text("(2,3)f4"), b"\x85R"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_not_plain_is_refused_and_not_executed(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(PlainPickleError, match=r"not plain data|is broken|not one of|encoding"):
        read_plain_pickle(HOSTILE[name])
    assert list(tmp_path.iterdir()) == []
    assert is_same(read_plain_pickle(pickle.dumps(RECORD)), RECORD)  # the reader is as before


def test_an_array_whose_shape_lies():
    content = pickle.dumps(np.zeros((2, 3)), 4)
    lying = content.replace(b"K\x02K\x03\x86", b"K\x7fK\x7f\x86")
    assert lying != content
    with pytest.raises(PlainPickleError, match="which do not fit"):
        read_plain_pickle(lying)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (pickle.dumps({"smi": "\ud800"}), "half of a surrogate pair"),
        (pickle.dumps({"\ud800": 1}), "half of a surrogate pair"),
        (pickle.dumps({"atoms": [2**200]}), "a whole number has more than 128 bits"),
        (b"}I0x" + b"f" * 6000 + b"\nI1\ns.", "a whole number has more than 128 bits"),
        (build(text("numpy"), text("dtype"), b"\x93", text("f99"), b"\x85R"), "is broken"),
    ],
)
def test_what_cannot_be_written_is_refused(content, reason):
    with pytest.raises(PlainPickleError, match=reason):
        read_plain_pickle(content)


def test_records_that_would_grow_are_refused(monkeypatch):
    bomb = ["x"] * 10
    for _ in range(7):
        bomb = [bomb] * 10  # ten million items in a few hundred bytes
    assert len(pickle.dumps(bomb)) < 1000
    with pytest.raises(PlainPickleError, match="more than 1,000,000 items"):
        read_plain_pickle(pickle.dumps(bomb))
    deep = []
    for _ in range(20):
        deep = [deep]
    with pytest.raises(PlainPickleError, match="nested deeper than 8"):
        read_plain_pickle(pickle.dumps(deep))
    array = np.zeros((10_000, 3), np.float32)
    assert len(pickle.dumps([array] * 100)) < 130_000
    with pytest.raises(PlainPickleError, match="more than 1,000,000 items"):
        read_plain_pickle(pickle.dumps([array] * 100))
    monkeypatch.setattr(plain_pickle, "LARGEST", 100)
    with pytest.raises(PlainPickleError, match=r"it has .* bytes, more than 100"):
        read_plain_pickle(pickle.dumps("x" * 200))


@pytest.mark.parametrize("cut", [0, 1, 5, 40, -1])
def test_a_truncated_record_is_refused(cut):
    with pytest.raises(PlainPickleError, match="broken"):
        read_plain_pickle(pickle.dumps(RECORD)[:cut])


def test_random_bytes_are_refused_or_plain():
    random = np.random.default_rng(0)
    content = bytearray(pickle.dumps(RECORD, 4))
    for _ in range(500):
        broken = bytearray(content)
        for place in random.integers(len(broken), size=3):
            broken[place] = random.integers(256)
        try:
            read_plain_pickle(bytes(broken))
        except PlainPickleError:
            continue


def test_it_reads_from_the_beginning_only():
    assert read_plain_pickle(pickle.dumps(1) + pickle.dumps(2)) == 1
