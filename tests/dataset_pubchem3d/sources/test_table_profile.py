from pathlib import Path

import pytest

from dataset_pubchem3d.sources.table import Table
from dataset_pubchem3d.sources.table_files import Row
from dataset_pubchem3d.sources.table_profile import profile_table

REAL = Path(__file__).resolve().parents[4] / "shared" / "data" / "text_pairs.parquet"
ETHANOL, WATER, HEAVY = "LFQSCWFLJHTTHZ-UHFFFAOYSA-N", "XLYOFNOQVPJJNP-UHFFFAOYSA-N", "XLYOFNOQVPJJNP-ZSJDYOACSA-N"


def test_counts_by_hand():
    cells = [
        {"smiles": "CCO", "inchikey": ETHANOL, "text": "An alcohol.", "atomic_numbers": [6, 6, 8]},
        {"smiles": "CCO.C/C=C\\\\C", "inchikey": ETHANOL, "text": " An alcohol. ", "atomic_numbers": [6, 92]},
        {"smiles": "O", "inchikey": WATER, "text": "Wet."},
        {"smiles": "[2H]O[2H]", "inchikey": HEAVY, "text": "Wet and heavy."},
        {"smiles": "*"},
    ]
    profile = profile_table(Row(f"row {number}", row) for number, row in enumerate(cells))
    assert profile == {
        "rows": 5,
        "multi_fragment_smiles": 1,
        "doubled_backslashes": 1,
        "element_outside_dictionary": 1,
        "distinct_inchikeys": 4,
        "distinct_first_blocks": 3,
        "distinct_texts": 4,
        "rows_sharing_their_text": 2,
    }


@pytest.mark.parametrize(
    ("cell", "is_outside"),
    [("[8, 1, 1]", 0), ("[92]", 1), ([8.0, 92.0], 1), ("8 1", 0), ([300], 0), ([1.5], 0), ([None], 0)],
)
def test_lists_of_atoms_in_any_format(cell, is_outside):
    assert profile_table([Row("row 0", {"atomic_numbers": cell})])["element_outside_dictionary"] == is_outside


def test_an_empty_table():
    assert set(profile_table([]).values()) == {0}


@pytest.mark.skipif(not REAL.exists(), reason=f"{REAL} is absent")
def test_the_profile_of_real_pairs():
    assert Table(path=str(REAL)).profile(REAL) == {
        "rows": 7334,
        "multi_fragment_smiles": 716,
        "doubled_backslashes": 412,
        "element_outside_dictionary": 122,
        "distinct_inchikeys": 6982,  # the two rows of SMILES `*` have none, which counts as one value
        "distinct_first_blocks": 6630,
        "distinct_texts": 7280,
        "rows_sharing_their_text": 80,
    }
