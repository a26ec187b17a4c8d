import gzip
import json
import tracemalloc
import zlib

import numpy as np
import pytest

from dataset_pubchem3d.sources import json_array
from dataset_pubchem3d.sources.json_array import read_objects


def record(cid: int, **changes) -> dict:
    """An object with the kinds of values that a record of PubChemQC has."""
    return {
        "cid": cid,
        "name": f"{cid:09}.S0",
        "coordinates": [0.0, 0.12, -0.47] * 30,
        "count": 3,
        "x": [[1]],
        **changes,
    }


def printed(*records: dict) -> str:
    return json.dumps(records, indent=4)


def write(folder, text: str, name: str = "1-9.json"):
    file, content = folder / name, text.encode()
    file.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    return file


def list_objects(file) -> list[str]:
    return list(read_objects(file))


LAYOUTS = {
    "of the mirror": printed,
    "with Windows line ends": lambda *records: printed(*records).replace("\n", "\r\n"),
    "compact": lambda *records: json.dumps(records, separators=(",", ":")),
    "one line": lambda *records: json.dumps(records),
    "two spaces": lambda *records: json.dumps(records, indent=2),
    "tabs": lambda *records: json.dumps(records, indent="\t"),
    "a record a line": lambda *records: "[\n" + ",\n".join(map(json.dumps, records)) + "\n]\n",
}


@pytest.mark.parametrize("chunk", [1, 12, 2**18])  # bytes; 12 are just enough to detect the format
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", ["1-9.json", "1-9.json.gz"])
def test_records_are_split_in_any_format_of_the_array(tmp_path, monkeypatch, layout, chunk, name):
    hostile = {
        "name": 'a { of 5" and \\',
        "formula": "}\\\\",
        "nested": {"x": [{}, {"{": "}"}]},
        "greek": "β}, \n    }",
    }
    records = [record(1), record(2, **hostile), record(3)]
    monkeypatch.setattr(json_array, "CHUNK", chunk)
    found = list_objects(write(tmp_path, LAYOUTS[layout](*records), name))
    assert [json.loads(text) for text in found] == records
    assert all(text[0] == "{" and text[-1] == "}" for text in found)


@pytest.mark.parametrize("chunk", [12, 2**18])
@pytest.mark.parametrize("layout", ["of the mirror", "with Windows line ends"])
def test_an_array_in_the_format_of_the_mirror_is_split_by_its_lines(tmp_path, monkeypatch, layout, chunk):
    monkeypatch.setattr(json_array, "CHUNK", chunk)
    monkeypatch.setattr(json_array, "_find_end_by_depth", lambda *_: pytest.fail("split by depth"))
    assert len(list_objects(write(tmp_path, LAYOUTS[layout](record(1), record(2))))) == 2


def test_non_ascii_text_is_utf_8_escaped_or_not(tmp_path):
    file = write(tmp_path, json.dumps([record(1, name="β")], indent=4, ensure_ascii=False))
    assert "β".encode() in file.read_bytes()
    assert json.loads(list_objects(file)[0])["name"] == "β"


@pytest.mark.parametrize("layout", LAYOUTS)
def test_complete_records_of_a_truncated_shard_are_read_before_it_is_refused(tmp_path, layout):
    whole = LAYOUTS[layout](record(1), record(2))
    last = len(whole) - len(whole.rpartition("}")[2])  # end of the second record
    for cut, count in ((last, 2), (last - 1, 1), (last - 300, 1)):
        file = write(tmp_path, whole[:cut])
        records = read_objects(file)
        assert [json.loads(next(records))["cid"] for _ in range(count)] == [1, 2][:count]
        with pytest.raises(ValueError, match=rf"1-9\.json: truncated .* {count} records.*fetch it again"):
            next(records)


def test_complete_records_of_a_truncated_gzip_shard_are_read_before_it_is_refused(tmp_path):
    noise = np.random.default_rng(0).normal(size=(50, 2000))
    whole = printed(*(record(i, coordinates=row.tolist()) for i, row in enumerate(noise, start=1)))
    file = write(tmp_path, whole, "1-50.json.gz")
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    count = zlib.decompressobj(wbits=31).decompress(file.read_bytes()).count(b"\n    }")
    records, cids = read_objects(file), []
    with pytest.raises(ValueError, match=rf"1-50\.json\.gz: truncated or broken after {count} records"):
        cids.extend(json.loads(text)["cid"] for text in records)
    assert cids == list(range(1, count + 1))
    assert count > 10


@pytest.mark.parametrize("content", [b"", b"\n", b'{"cid": 1}', b"<html>busy</html>", b"version https://git-lfs"])
def test_a_file_that_is_not_an_array_is_refused(tmp_path, content):
    (tmp_path / "1-9.json").write_bytes(content)
    with pytest.raises(ValueError, match=r"1-9\.json: .*does not begin with \["):
        list(read_objects(tmp_path / "1-9.json"))


def test_a_shard_may_be_empty(tmp_path):
    write(tmp_path, "[]")
    assert list(read_objects(tmp_path / "1-9.json")) == []


def test_a_byte_that_is_not_utf_8_costs_its_record_at_most(tmp_path):
    file = write(tmp_path, printed(record(1), record(2, name="?"), record(3)))
    file.write_bytes(file.read_bytes().replace(b"?", b"\xff"))
    records = list(map(json.loads, read_objects(file)))
    assert [one["cid"] for one in records] == [1, 2, 3]
    assert records[1]["name"] == "\ufffd"


@pytest.mark.parametrize("layout", ["of the mirror", "compact"])
def test_a_record_without_an_end_does_not_exhaust_the_memory(tmp_path, monkeypatch, layout):
    monkeypatch.setattr(json_array, "LONGEST", 10**5)
    monkeypatch.setattr(json_array, "CHUNK", 2**12)
    text = LAYOUTS[layout](record(1))
    write(tmp_path, text[: text.rindex("}")].rstrip() + " " * 10**6)
    tracemalloc.start()
    with pytest.raises(ValueError, match=r"after 0 records .*longer than 100000 bytes"):
        list(read_objects(tmp_path / "1-9.json"))
    assert tracemalloc.get_traced_memory()[1] < 6 * 10**5
    tracemalloc.stop()


@pytest.mark.parametrize("layout", ["of the mirror", "compact"])
def test_a_shard_is_read_in_constant_memory(tmp_path, layout):
    text = LAYOUTS[layout](record(1, **{"orbital-energies": [[-520.0] * 1500]}))
    body = text[text.index("{") : text.rindex("}") + 1]
    count = 30 * 10**6 // len(body)
    with open(tmp_path / "1-9.json", "w") as file:
        file.write(text[: text.index("{")])
        file.writelines(body + ",\n    " for _ in range(count - 1))
        file.write(body + "\n]")
    tracemalloc.start()
    lengths = {len(record) for record in read_objects(tmp_path / "1-9.json")}
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert lengths == {len(body)}
    assert peak < 2 * 10**6
