"""Tables of molecules with labels: what is read, missing and refused."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rdkit import Chem
from rdkit.Chem import AllChem

from dataset_pubchem3d.records import RecordError
from dataset_pubchem3d.sources.labels import LabelledMolecules
from dataset_pubchem3d.sources.table_files import Row, make_label_key
from modeling_geomclip import read_molecule

WATER = {"atomic_numbers": [8, 1, 1], "positions": [[0, 0, 0.125], [0, 0.75, -0.5], [0, -0.75, -0.5]]}


def source_of(file: Path | str = "", labels=("gap", "active"), **options) -> LabelledMolecules:
    return LabelledMolecules(str(file), labels=labels, **options)


def rows_of(file: Path, **options) -> list[Row]:
    return list(source_of(file, **options).read_records(file))


@pytest.mark.parametrize("form", ["csv", "tsv", "parquet"])
def test_labels_of_all_formats(tmp_path, form):
    file = tmp_path / f"mine.{form}"
    frame = pd.DataFrame({"SMILES": ["CCO", "c1ccccc1"], "gap": [1.5, None], "active": [1, 0], "note": ["a", "b"]})
    if form == "parquet":
        frame.to_parquet(file)
    else:
        frame.to_csv(file, index=False, sep="\t" if form == "tsv" else ",")
    source = source_of(file)
    rows = rows_of(file)
    assert [source.parse_compound(row).smiles for row in rows] == ["CCO", "c1ccccc1"]
    assert [source.parse_properties(row) for row in rows] == [{"gap": 1.5, "active": 1.0}, {"gap": None, "active": 0.0}]


def sdf_record(is_3d: bool, **tags: str) -> str:
    mol = Chem.AddHs(Chem.MolFromSmiles("CCO"))
    _ = AllChem.EmbedMolecule(mol, randomSeed=1) if is_3d else AllChem.Compute2DCoords(mol)
    return Chem.MolToMolBlock(mol) + "".join(f">  <{name}>\n{value}\n\n" for name, value in tags.items()) + "$$$$\n"


def test_an_sdf_gives_its_geometry_and_a_flat_one_gets_a_conformer(tmp_path):
    file = tmp_path / "mine.sdf"
    file.write_text(sdf_record(True, gap="1.5", active="1") + sdf_record(False, gap="2.5"))
    source = source_of(file, method="PM6")
    given, flat = rows_of(file)
    assert (source.parse_properties(given), source.parse_properties(flat)) == (
        {"gap": 1.5, "active": 1.0},
        {"gap": 2.5, "active": None},
    )
    expected = Chem.MolFromMolBlock(sdf_record(True), removeHs=False).GetConformer().GetPositions()
    np.testing.assert_allclose(source.parse_geometry(given).positions[0], expected, atol=1e-4)
    np.testing.assert_allclose(source.parse_geometry(flat).positions[0], read_molecule("CCO")["positions"], atol=1e-4)
    assert source.parse_geometry(given).method is None  # the method of the source applies
    assert "RDKit" in source.parse_geometry(flat).method


def test_coordinates_of_a_row_are_used_and_missing_ones_are_made():
    source = source_of()
    geometry = source.parse_geometry(Row("row 0", {"smiles": "O", **WATER}))
    np.testing.assert_allclose(geometry.positions, [WATER["positions"]])
    made = source.parse_geometry(Row("row 1", {"smiles": "O"}))
    assert made.geometry_id == "row 1"
    np.testing.assert_allclose(made.positions[0], read_molecule("O", seed=source.seed)["positions"], atol=1e-4)


def test_coordinates_of_another_molecule_and_broken_ones_are_refused():
    for cells, reason in (
        (WATER | {"atomic_numbers": [16, 1, 1]}, "the coordinates are of another molecule"),
        (WATER | {"atomic_numbers": "8 1 1"}, "a cell is not a list of numbers"),
        ({"atomic_numbers": [8, 1, 1]}, "no positions"),
    ):
        with pytest.raises(RecordError) as refused:
            source_of().parse_geometry(Row("row 0", {"smiles": "O", **cells}))
        assert refused.value.reason == reason


def test_excel_errors_are_missing_labels_and_encodings_are_read(tmp_path):
    (tmp_path / "mine.csv").write_text("smiles;gap °;active\nO;#N/A;-\nC;1.5;1\n", encoding="cp1252")
    source = source_of(tmp_path / "mine.csv", labels=("gap °", "active"), encoding="cp1252")
    rows = list(source.read_records(tmp_path / "mine.csv"))
    assert [[*source.parse_properties(row).values()] for row in rows] == [[None, None], [1.5, 1.0]]


def test_columns_have_the_units_that_are_given():
    columns = source_of(units=("eV", "")).property_columns
    assert [(column.name, column.unit, column.dtype) for column in columns] == [
        ("gap", "eV", "float64"),
        ("active", "", "float64"),
    ]
    assert [column.unit for column in source_of().property_columns] == ["", ""]


@pytest.mark.parametrize(
    ("value", "reason"),
    [("high", "a label is not a number"), ("inf", "a label is not finite"), ([1.0], "a label is not a number")],
)
def test_labels_that_are_not_numbers_are_refused(value, reason):
    row = Row("row 7", {"smiles": "O", make_label_key("gap"): value})
    with pytest.raises(RecordError, match=rf"row 7: {reason} \(gap: "):
        source_of().parse_properties(row)


def test_missing_and_boolean_labels_in_all_spellings(tmp_path):
    (tmp_path / "mine.csv").write_text("smiles,gap,active\nO,NA,True\nC,None,FALSE\nN,,null\n")
    source = source_of(tmp_path / "mine.csv")
    assert [source.parse_properties(row) for row in rows_of(tmp_path / "mine.csv")] == [
        {"gap": None, "active": 1.0},
        {"gap": None, "active": 0.0},
        {"gap": None, "active": None},
    ]
    pd.DataFrame({"smiles": ["O", "C"], "gap": [1, 2], "active": [True, False]}).to_parquet(tmp_path / "mine.parquet")
    rows = rows_of(tmp_path / "mine.parquet")
    assert [source.parse_properties(row)["active"] for row in rows] == [1.0, 0.0]


@pytest.mark.parametrize("label", ["n_heavy", "conformer_energy", "split"])
def test_a_label_may_not_have_the_name_of_a_standard_column(label):
    with pytest.raises(ValueError, match=f"label '{label}' is the name of a standard column; rename the label"):
        source_of(labels=("gap", label))


def test_a_label_may_have_the_name_of_another_known_column(tmp_path):
    (tmp_path / "mine.csv").write_text("smiles,energy,name\nO,1.5,2\n")
    source = source_of(tmp_path / "mine.csv", labels=("energy", "name"))
    (row,) = source.read_records(tmp_path / "mine.csv")
    assert source.parse_properties(row) == {"energy": 1.5, "name": 2.0}


def test_missing_labels_and_structures_are_named(tmp_path):
    (tmp_path / "mine.csv").write_text("smiles,gap\nO,1.5\n")
    with pytest.raises(ValueError, match=r"mine.csv: has the columns smiles, gap and lacks active"):
        rows_of(tmp_path / "mine.csv")
    (tmp_path / "mine.csv").write_text("gap,active\n1.5,1\n")
    with pytest.raises(ValueError, match=r"lacks smiles or isomeric_smiles or .* or canonical_smiles or inchi"):
        rows_of(tmp_path / "mine.csv")
    (tmp_path / "mine.sdf").write_text(sdf_record(True, gap="1.5"))
    with pytest.raises(ValueError, match=r"mine.sdf: has the columns .*gap and lacks active"):
        rows_of(tmp_path / "mine.sdf")
    with pytest.raises(RecordError, match="row 0: no structure"):
        source_of().parse_compound(Row("row 0", {}))


def test_inconsistent_options_are_refused():
    with pytest.raises(ValueError, match="labels are gap, gap; name each label once"):
        source_of(labels=("gap", "gap"))
    with pytest.raises(ValueError, match="1 units for 2 labels"):
        source_of(units=("eV",))
    with pytest.raises(ValueError, match="no labels; name the columns to predict"):
        list(LabelledMolecules("mine.csv").read_records(Path("mine.csv")))
