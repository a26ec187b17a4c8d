import ast
import csv
import sys
from itertools import islice
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from datasets import Features
from rdkit import Chem

from dataset_pubchem3d.records import RecordError
from dataset_pubchem3d.sources.base import find_installed_folder
from dataset_pubchem3d.sources.qm9 import (
    PROPERTIES,
    QM9,
    SCALAR_COLUMNS,
    TABLES,
    TENSOR_COLUMNS,
    TENSORS,
    make_gdb_compound,
)

HARTREE = 27.211386  # eV
SCHEMA = Features({column.name: column.feature for column in PROPERTIES}).arrow_schema
ELEMENTS, WATER = "['O','H','H']", "[[0.,0.,0.1],[0.,0.76,-5.E-1],[0.,-0.76,-0.5]]"


@pytest.fixture(scope="module")
def rows():
    """The first rows of the installed package."""
    return list(islice(QM9().read_records(Path()), 30))


def row(index=1, **cells):
    """A row of invented numbers, in the format of the package."""
    molecule = {
        "XYZ_file": f"dsgdb9nsd_{index:06}.xyz",
        "Index": str(index),
        "SMILES": "O",
        "InChi": "InChI=1S/H2O/h1H2",
        "N_atoms": "3",
        "Elements": ELEMENTS,
        "XYZ_Ang": WATER,
        "Mulliken_pop": "[-0.6,0.3,3.E-1]",
        "Harmonic_Freq_cmi": "[1600.,3700.5,3800.25]",
    }
    scalars = {column: f"{number}." for number, column in enumerate(SCALAR_COLUMNS)}
    tensor = {column: f"{number}.5" for number, column in enumerate(TENSOR_COLUMNS)}
    return molecule | scalars | tensor | cells


def write_package(folder, *parts):
    """The four tables, with these rows in the parts."""
    for name, part in zip(TABLES, parts, strict=True):
        write_table(folder / name, [{key: row[key] for key in row if key not in TENSOR_COLUMNS} for row in part])
    write_table(
        folder / TENSORS, [{key: row[key] for key in ("XYZ_file", *TENSOR_COLUMNS)} for part in parts for row in part]
    )


def write_table(file, rows):
    with open(file, "w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, rows[0])
        writer.writeheader()
        writer.writerows(rows)


def test_the_geometries_equal_the_file(rows):
    with open(find_installed_folder("qm9pack") / "data" / TABLES[0], newline="") as stream:
        expected = list(islice(csv.DictReader(stream), len(rows)))
    for raw, given in zip(rows, expected, strict=True):
        geometry = QM9().parse_geometry(raw)
        symbols = [Chem.GetPeriodicTable().GetElementSymbol(int(number)) for number in geometry.atomic_numbers]
        assert geometry.geometry_id == given["Index"]
        assert symbols == ast.literal_eval(given["Elements"])
        assert geometry.positions == pytest.approx(np.array([ast.literal_eval(given["XYZ_Ang"])]), abs=1e-6)
        assert geometry.energies == pytest.approx([float(given["InternalEnergy_0K_au"]) * HARTREE], rel=1e-7)
        assert QM9().identify(raw).inchikey == Chem.MolToInchiKey(Chem.MolFromSmiles(given["SMILES"]))


def test_methane_by_hand(rows):
    geometry = QM9().parse_geometry(rows[0])
    assert QM9().identify(rows[0]).inchikey == "VNWKTOKETHGBQD-UHFFFAOYSA-N"
    assert geometry.atomic_numbers.tolist() == [6, 1, 1, 1, 1]
    distances = np.linalg.norm(geometry.positions[0, 1:] - geometry.positions[0, 0], axis=1)
    assert distances == pytest.approx(1.092, abs=1e-3)  # Å, C-H
    assert geometry.energies == pytest.approx([-1101.49], abs=0.01)
    properties = QM9().parse_properties(rows[0])
    assert (properties["cv"], properties["zpve"], properties["dipole_moment"]) == (6.469, 0.044749, 0)
    assert properties["polarizability_tensor"] == [13.211, 0, 13.211, 0, 0, 13.211]
    assert properties["mulliken_charges"] == [-0.535689, 0.133921, 0.133922, 0.133923, 0.133923]


def test_properties_agree_with_each_other_and_with_their_columns(rows):
    for raw in rows:
        properties = QM9().parse_properties(raw)
        assert list(properties) == [column.name for column in PROPERTIES]
        assert pa.Table.from_pylist([properties], schema=SCHEMA).to_pylist() == [properties]
        xx, _, yy, _, _, zz = properties["polarizability_tensor"]
        assert (xx + yy + zz) / 3 == pytest.approx(properties["polarizability"], abs=0.006)
        assert properties["lumo"] - properties["homo"] == pytest.approx(properties["gap"], abs=2e-4)
        assert properties["u0"] < properties["u298"] < properties["h298"]
        assert sum(properties["mulliken_charges"]) == pytest.approx(0, abs=1e-4)
        linear = raw["Index"] in ("4", "5", "23", "24")  # ethyne, HCN, butadiyne, propiolonitrile
        modes = 3 * int(raw["N_atoms"]) - (5 if linear else 6)
        assert len(properties["frequencies"]) == (
            2 * modes if raw["Index"] == "29" else modes
        )  # 29: but-2-yne, with two sets


def test_zero_point_energies_are_half_the_sum_of_the_frequencies(rows):
    for raw in rows[:20]:  # Hartree from cm^-1: CODATA
        properties = QM9().parse_properties(raw)
        assert sum(properties["frequencies"]) / 2 / 219474.63 == pytest.approx(properties["zpve"], abs=2e-5)


def test_cells_that_are_not_json_are_read():
    geometry, properties = QM9().parse_geometry(row()), QM9().parse_properties(row())
    assert geometry.positions[0].tolist() == np.float32([[0, 0, 0.1], [0, 0.76, -0.5], [0, -0.76, -0.5]]).tolist()
    assert properties["mulliken_charges"] == [-0.6, 0.3, 0.3]
    assert properties["frequencies"] == [1600, 3700.5, 3800.25]
    assert [properties[column.name] for column in PROPERTIES[:15]] == list(range(15))


@pytest.mark.parametrize(
    ("cells", "method", "reason"),
    [
        ({"XYZ_Ang": "[[0.,0.,0.1],[0."}, "parse_geometry", "a cell cannot be read.*XYZ_Ang"),
        ({"XYZ_Ang": "[[0.,0.,0.1]]"}, "parse_geometry", "numbers of atoms and positions differ"),
        ({"XYZ_Ang": WATER.replace("0.76", "NaN")}, "parse_geometry", "a cell cannot be read.*XYZ_Ang"),
        ({"Elements": "['O','H','Qq']"}, "parse_geometry", "an element symbol is unknown.*Qq"),
        ({"InternalEnergy_0K_au": "-76,4"}, "parse_geometry", "a cell cannot be read.*InternalEnergy_0K_au"),
        ({"InternalEnergy_0K_au": "nan"}, "parse_geometry", "a number is not finite.*InternalEnergy_0K_au"),
        ({"Mulliken_pop": "[-0.6,0.3]"}, "parse_properties", "numbers of atoms and charges differ"),
        ({"Harmonic_Freq_cmi": "[1600.,__import__('os')]"}, "parse_properties", "a cell cannot be read.*Harmonic_Freq"),
        ({"InChi": "H2O"}, "identify", "not an InChI"),
        ({"SMILES": "C("}, "parse_compound", "RDKit cannot read the SMILES"),
    ],
)
def test_a_bad_cell_is_named(cells, method, reason):
    with pytest.raises(RecordError, match=f"7: ({reason})") as caught:
        getattr(QM9(), method)(row(7, **cells))
    assert caught.value.record_id == "7"


def test_a_compound_is_identified_by_its_inchi():
    glycine = make_gdb_compound("1", "InChI=1S/C2H5NO2/c3-1-2(4)5/h1,3H2,(H,4,5)", "[NH3+]CC([O-])=O")
    assert (glycine.inchikey, glycine.smiles) == ("DHMQDGOQFOQNFH-UHFFFAOYSA-N", "[NH3+]CC(=O)[O-]")
    assert (glycine.n_heavy, glycine.formal_charge) == (5, 0)
    butene = make_gdb_compound("2", "InChI=1S/C4H8/c1-3-4-2/h3-4H,1-2H3/b4-3+", "CC=CC")
    assert (butene.inchikey, butene.smiles) == ("IAQRGUVFOMOMEM-ONEGZZNKSA-N", "C/C=C/C")


def test_rows_come_in_order_with_their_tensors(tmp_path):
    write_package(tmp_path, [row(1), row(2, A_xx="9.5")], [row(5)], [row(6)])
    raw = list(QM9(path=str(tmp_path)).read_records(tmp_path))
    assert [record["Index"] for record in raw] == ["1", "2", "5", "6"]
    assert raw[1] == row(2, A_xx="9.5")


def test_tables_that_do_not_match_are_an_error(tmp_path):
    write_package(tmp_path, [row(1)], [row(5)], [row(6), row(7)])
    tensors = tmp_path / TENSORS
    tensors.write_text("".join(tensors.read_text().splitlines(keepends=True)[:-1]))
    with pytest.raises(ValueError, match=r"polarizability.csv: has None, but.*dsgdb9nsd_000007.xyz"):
        list(QM9(path=str(tmp_path)).read_records(tmp_path))


@pytest.mark.parametrize(
    ("last", "message"),
    [
        ("[[0.,0.", "broken or truncated"),  # within quotes
        ('[1600.,3700.5,3800.25]",0.,1.', "broken or truncated"),  # within a row
    ],
)
def test_a_truncated_table_is_an_error(tmp_path, last, message):
    write_package(tmp_path, [row(1)], [row(5)], [row(6)])
    table = tmp_path / TABLES[1]
    text = table.read_text()
    table.write_text(text[: text.index(last) + len(last)])
    with pytest.raises(ValueError, match=f"qm9_part2.csv: {message}.*reinstall qm9pack"):
        list(QM9(path=str(tmp_path)).read_records(tmp_path))


def test_missing_tables_and_packages_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"qm9_part1.csv is missing"):
        QM9(path=str(tmp_path)).list_files(tmp_path)
    with pytest.raises(ModuleNotFoundError, match=r"'no_such_data'.*pip install no_such_data"):
        find_installed_folder("no_such_data")
    assert [file.name for file in QM9().list_files(tmp_path)] == [*TABLES, TENSORS]
    assert "qm9pack" not in sys.modules


def test_atomisation_energies_agree_with_another_table_of_qm9(rows):
    methane, ammonia, water = (QM9().parse_properties(rows[number]) for number in range(3))
    # MoleculeNet's gdb9.sdf.csv, column u0_atom, kcal/mol
    for properties, expected in ((methane, -395.999595), (ammonia, -276.861363), (water, -213.087624)):
        assert properties["u0_atom"] * 627.5094740 == pytest.approx(expected, abs=2e-3)
    assert methane["u298_atom"] * 627.5094740 == pytest.approx(-398.643290, abs=2e-3)
    assert methane["h298_atom"] * 627.5094740 == pytest.approx(-401.014647, abs=2e-3)
    assert methane["g298_atom"] * 627.5094740 == pytest.approx(-372.471772, abs=2e-3)
