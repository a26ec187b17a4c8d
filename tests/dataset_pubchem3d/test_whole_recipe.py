"""The recipe of PubChem3D from end to end, against the servers of a miniature world whose maker knows the outcome."""

import json
import re
from collections import Counter

import numpy as np
import pytest
from datasets import load_dataset

from dataset_pubchem3d.quality.report import measure_quality

from .miniature import expectations
from .miniature.offline import LISTED, Offline
from .miniature.server import PUG_VIEW, QUERY
from .miniature.world import KEPT

pytestmark = pytest.mark.slow
CONFIGS = ("default", "pretrain", "captioning", "qm9")


@pytest.fixture(scope="module")
def offline(tmp_path_factory):
    offline = Offline(tmp_path_factory.mktemp("offline"))
    yield offline
    offline.close()


@pytest.fixture(scope="module")
def plan(offline):
    """What `--plan` prints before anything is fetched."""
    printed = offline.build("out", "--plan")
    assert offline.server.requests == []
    assert not (offline.folder / ".out.work").exists()
    return printed


@pytest.fixture(scope="module")
def printed(offline, plan):
    """What the build prints."""
    return offline.build("out")


@pytest.fixture(scope="module")
def out(offline, printed):
    return offline.folder / "out"


@pytest.fixture(scope="module")
def report(out):
    return json.loads((out / "build_report.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def expected(offline, out):
    """The rows of `default` by CID, depositor and its id of the text."""
    rows = expectations.expect_rows(offline.world)
    assert len(rows) == sum(text.stage == KEPT for text in offline.world.texts)
    return rows


@pytest.fixture(scope="module")
def rows(out, tmp_path_factory):
    """The rows of each config and split, as `load_dataset` reads them."""
    cache = str(tmp_path_factory.mktemp("cache"))
    loaded = {config: load_dataset(str(out), config, cache_dir=cache) for config in CONFIGS}
    return {config: {split: part.to_list() for split, part in splits.items()} for config, splits in loaded.items()}


def flatten(splits):
    return [row for rows in splits.values() for row in rows]


def contents(folder):
    return {str(file.relative_to(folder)): file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()}


def test_the_plan_names_what_is_fetched(plan):
    assert "about 290 pages: unknown size, 290 requests" in plan
    assert "CID-InChI-Key.gz: 7.36 GB" in plan
    assert "drugs_crude.msgpack.tar.gz: 42.7 GB" in plan
    assert "qm9: nothing is fetched; it reads an installed package" in plan
    assert "records of described CIDs: unknown size, unknown number of requests" in plan
    assert "the downloads of known size fit" in plan


def test_the_build_tells_of_its_stages_and_waits_but_not_of_each_request(printed):
    assert "identified: texts by CID" in printed
    assert "HTTP 503 Service Unavailable" in printed
    assert "HTTP Request" not in printed


def test_the_counts_of_every_stage(offline, report):
    counts = {stage: {what: n for what, n in found.items() if n} for stage, found in report["counts"].items()}
    assert counts == expectations.expect_counts(offline.world)


def test_the_quarantine(offline, out):
    found = {}
    for file in (out / "quarantine").iterdir():
        records = map(json.loads, file.read_text(encoding="utf-8").splitlines())
        found[file.stem] = Counter((record["source"], record["id"], record["reason"]) for record in records)
    assert found == expectations.expect_quarantine(offline.world)


def test_each_row_has_its_text_and_its_geometry(rows, expected):
    found = {expectations.key_of(row): row for row in flatten(rows["default"])}
    assert len(found) == len(flatten(rows["default"]))
    assert found.keys() == expected.keys()
    for key, row in expected.items():
        row = dict(row)
        positions, energy = np.float32(row.pop("positions")), row.pop("conformer_energy")
        assert {name: found[key][name] for name in row} == row
        assert np.array_equal(np.float32(found[key]["positions"]), positions), key
        assert found[key]["conformer_energy"] == (energy and pytest.approx(energy, rel=1e-12))


def test_the_configs(offline, rows, expected, report):
    sizes = {config: {split: len(part) for split, part in splits.items()} for config, splits in rows.items()}
    assert sizes == report["configs"]
    assert all(row["split"] == split for splits in rows.values() for split, part in splits.items() for row in part)
    listed = {offline.world.molecules[number].inchikey[:14] for number in LISTED}
    texts = {split: {fold(r["text"]) for r in expected.values() if r["split"] == split} for split in sizes["default"]}
    later = {"train": texts["validation"] | texts["test"], "validation": texts["test"], "test": set()}
    is_listed = {key: row["inchikey"][:14] in listed for key, row in expected.items()}
    assert sum(is_listed.values()) > 20
    in_pretrain = {
        key
        for key, row in expected.items()
        if row["split"] != "test" and not is_listed[key] and fold(row["text"]) != fold(offline.listed_text)
        if fold(row["text"]) not in later[row["split"]]
    }
    assert keys(rows["pretrain"]) == in_pretrain
    assert len(in_pretrain) < sum(row["split"] != "test" and not is_listed[key] for key, row in expected.items())
    assert keys(rows["captioning"]) == {
        key
        for key, row in expected.items()
        if len(row["text"].split()) >= 20 and (row["split"] == "test" or not is_listed[key])
    }
    for row in flatten(rows["default"]):
        assert row["benchmarks"] == (["held"] if row["inchikey14"] in listed else [])


def fold(text):
    return text.casefold().removesuffix(".")


def keys(splits):
    return {expectations.key_of(row) for row in flatten(splits)}


def test_the_molecules_with_properties(offline, rows):
    entries = [entry for entry in offline.world.shelves["qm9"].entries if not expectations.is_faulty(entry)]
    found = {row["geometry_id"]: row for row in flatten(rows["qm9"])}
    assert found.keys() == {entry.geometry_id for entry in entries}
    for entry in entries:
        row = found[entry.geometry_id]
        assert (row["inchikey"], row["atomic_numbers"]) == (entry.molecule.inchikey, entry.numbers)
        assert (row["gap"], row["u0"]) == tuple(
            float(entry.raw[k]) for k in ("HOMO_LUMO_gap_au", "InternalEnergy_0K_au")
        )
        assert row["split"] == expectations.find_split(row["inchikey14"])


def test_the_card_tells_the_same(out, report, expected):
    card = (out / "README.md").read_text(encoding="utf-8")
    lines = [tuple(cell.strip() for cell in line.strip("|").split("|")) for line in card.splitlines()]
    counted = {(stage, what): int(n) for stage, what, n in (line for line in lines if len(line) == 3) if n.isdecimal()}
    for stage, counts in report["counts"].items():
        for what, number in counts.items():
            assert counted[stage, what] == number
    assert f"{len(expected)} pairs of a molecule's 3D geometry and a text" in card
    for config, splits in report["configs"].items():
        (line,) = (line for line in lines if line[0] == f"`{config}`" and len(line) == 5)
        sizes = [str(splits.get(split, "none")) for split in ("train", "validation", "test")]
        assert [*line[2:]] == sizes
    for label, column in (
        ("kind of the text", "text_kind"),
        ("source of the text", "text_source"),
        ("source of the geometry", "geometry_source"),
        ("match level", "match_level"),
        ("licence of the text", "text_license_url"),
    ):
        for value, number in Counter(row[column] for row in expected.values()).items():
            if value is not None:
                assert counted.pop((label, value)) == number, value
        assert not [line for line in counted if line[0] == label]
    unlicensed = sum(row["text_license_url"] is None for row in expected.values())
    assert f"The licence of the text is not stated for {unlicensed} of {len(expected)} rows." in card
    assert not re.search(r"\{\{|\{%|127\.0\.0\.1", card)


def test_the_quality_report_finds_the_same_and_no_fault(out, report, expected):
    quality = measure_quality(out, sample=8, seed=0, num_proc=1)
    assert quality["faults"] == []
    assert {config: found["splits"] for config, found in quality["configs"].items()} == report["configs"]
    found = quality["configs"]["default"]
    assert found["inchikeys"] == len({row["inchikey"] for row in expected.values()})
    assert found["first_blocks"] == len({row["split_group"] for row in expected.values()})
    assert found["multi_fragment_rows"] == sum("." in row["smiles"] for row in expected.values()) == 1
    assert found["rows_outside_dictionary"] == sum(29 in row["atomic_numbers"] for row in expected.values()) == 1
    assert found["distinct_texts"] == len({row["text"] for row in expected.values()})
    assert found["duplicate_rows"] == 0
    assert all(number == 0 for number in found["shared_between_splits"]["first_blocks"].values())
    methods = Counter(row["geometry_method"] for row in expected.values())
    assert quality["geometry_comparison"]["methods"].keys() == methods.keys()


def test_the_servers_were_asked_politely_and_only_for_what_is_needed(offline, out):
    requests = [r for r in offline.server.requests if r["headers"].get("User-Agent", "").startswith("geomclip ")]
    times = [request["time"] for request in requests]
    assert len(times) - 1 < 5.1 * (times[-1] - times[0])
    pages = [request["path"].removeprefix(PUG_VIEW + QUERY) for request in requests if PUG_VIEW in request["path"]]
    assert pages == ["1", "2", "2", "3", "4", "5", "5", "5", "4"]  # a busy server, and a page that has gone
    shards = [request["path"].rpartition("/")[2] for request in requests if "pubchemqc" in request["path"]]
    assert {name for name in shards if name.endswith(".json")} == {
        "000000001-000009999.json",
        "000010000-000250000.json",
    }
    largest = max(len(file.read_bytes()) for file in (offline.folder / ".out.work" / "raw").rglob("*-000250000.json"))
    assert largest < 1_000_000  # of 50 MB, only the described records
    assert any(re.match(r"bytes=\d+-$", request["headers"].get("Range", "")) for request in requests)  # resumed


def test_a_second_run_asks_nothing_and_changes_nothing(offline, out):
    before, asked = contents(out), len(offline.server.requests)
    stages = {file: file.stat().st_mtime_ns for file in (offline.folder / ".out.work").rglob("*.parquet")}
    offline.build("out")
    assert contents(out) == before
    assert len(offline.server.requests) == asked
    assert {file: file.stat().st_mtime_ns for file in stages} == stages
    printed = offline.build("out", "--plan")
    assert "CID-SMILES.gz: there already" in printed
