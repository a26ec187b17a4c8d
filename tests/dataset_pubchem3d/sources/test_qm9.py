import ast
import csv

import numpy as np
import pytest
from rdkit import Chem

from dataset_pubchem3d.sources import installed_folder
from dataset_pubchem3d.sources.qm9 import read_geometries


def test_the_first_geometries_equal_the_file():
    with open(installed_folder("qm9pack") / "data" / "qm9_part1.csv", newline="") as stream:
        expected = [row for row, _ in zip(csv.DictReader(stream), range(20), strict=False)]
    for row, geometry in zip(expected, read_geometries(), strict=False):
        columns = geometry.to_columns()
        assert columns["geometry_id"] == row["Index"]
        symbols = [Chem.GetPeriodicTable().GetElementSymbol(number) for number in columns["atomic_numbers"]]
        assert symbols == ast.literal_eval(row["Elements"])
        assert np.array_equal(columns["positions"], ast.literal_eval(row["XYZ_Ang"]))
        assert columns["conformer_energy"] == pytest.approx(float(row["InternalEnergy_0K_au"]) * 27.2113862, rel=1e-8)
        assert geometry.inchikey == Chem.MolToInchiKey(Chem.MolFromSmiles(row["SMILES"]))


def test_methane_by_hand():
    methane = next(read_geometries())
    assert (methane.index, methane.inchikey) == (1, "VNWKTOKETHGBQD-UHFFFAOYSA-N")
    columns = methane.to_columns()
    positions = np.array(columns["positions"])
    assert columns["atomic_numbers"] == [6, 1, 1, 1, 1]
    assert np.linalg.norm(positions[1:] - positions[0], axis=1) == pytest.approx(1.092, abs=1e-3)  # Å, C-H
    assert columns["conformer_energy"] == pytest.approx(-1101.49, abs=0.01)


def test_a_missing_package_is_named():
    with pytest.raises(ModuleNotFoundError, match=r"'no_such_data'.*pip install no_such_data"):
        installed_folder("no_such_data")
