"""A table of real pairs through `--source table`, if it is available."""

import json
from collections import Counter
from pathlib import Path

import pytest

from dataset_pubchem3d.build import build
from dataset_pubchem3d.quality.report import measure_quality
from dataset_pubchem3d.recipe import Recipe

REAL = Path(__file__).resolve().parents[3] / "shared" / "data" / "text_pairs.parquet"

pytestmark = pytest.mark.skipif(not REAL.exists(), reason=f"{REAL} is absent")


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    out = tmp_path_factory.mktemp("real") / "pairs"
    build(Recipe.from_table(str(REAL)), out, num_proc=2)
    return out


def test_the_report_profiles_the_table(out):
    report = json.loads((out / "build_report.json").read_text())
    assert report["given"]["table"] == {
        "rows": 7334,
        "multi_fragment_smiles": 716,
        "doubled_backslashes": 412,
        "element_outside_dictionary": 122,
        "distinct_inchikeys": 6982,
        "distinct_first_blocks": 6630,
        "distinct_texts": 7280,
        "rows_sharing_their_text": 80,
    }
    assert sum(report["configs"]["default"].values()) == 7332  # two are `*`, which is not an element
    refused = [json.loads(line) for line in (out / "quarantine" / "texts_table.jsonl").read_text().splitlines()]
    assert Counter(record["detail"] for record in refused) == {"*": 2}


def test_the_built_folder_is_sound(out):
    report = measure_quality(out, sample=0, seed=0, num_proc=1)
    assert report["faults"] == []  # no heavy atoms closer than 0.9 Å, among others
    rows = report["configs"]["default"]
    assert (rows["inchikeys"], rows["first_blocks"]) == (6981, 6629)
    assert rows["distinct_texts"] == 7278
    assert rows["rows_sharing_their_text"] == 80
