import re

from dataset_pubchem3d.schema import COLUMNS, FEATURES


def test_every_column_is_described_once():
    assert len(FEATURES) == len(COLUMNS) == 29
    assert all(column.description.endswith(".") for column in COLUMNS)


def test_short_forms_of_types():
    kinds = {column.name: (column.dtype, column.unit) for column in COLUMNS}
    assert kinds["positions"] == ("list<list<float32>[3]>", "Å")
    assert kinds["atomic_numbers"] == ("list<uint8>", "")
    assert kinds["conformer_energy"] == ("float64", "eV")
    assert all(re.fullmatch(r"[a-z0-9<>\[\]]+", dtype) for dtype, _ in kinds.values())
