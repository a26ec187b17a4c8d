"""Every format has the values of the rows, and can be read back."""

import csv
import io
import json

import numpy as np
import pytest
from rdkit import Chem
from rdkit.Chem import rdDistGeom

from geomclip_tools.library.formats import FORMATS, format_rows
from modeling_geomclip import GeomCLIPFeatureExtractor


@pytest.fixture
def rows():
    ((record,), _) = GeomCLIPFeatureExtractor().read("Oc1ccncc1")
    return [
        {
            "query": "a <ring>",
            "score": 0.25,
            "percentile": 99.5,
            "inchikey": "GCNTZFIIOFTKIY-UHFFFAOYSA-N",
            "smiles": "Oc1ccncc1",
            "names": ["4-pyridinol", "pyridin-4-ol"],
            "sources": ["a.smi, line 1"],
            "mol_weight": float(np.float32(95.101)),
            "formula": "C5H5NO",
            "text": None,
            "columns": '{"price": "3, or 4"}',
            "atomic_numbers": record["atomic_numbers"].tolist(),
            "positions": record["positions"].tolist(),
        }
    ]


def test_csv(rows):
    (cells,) = csv.DictReader(io.StringIO(format_rows(rows, "csv")))
    assert (cells["name"], cells["names"]) == ("4-pyridinol", "4-pyridinol; pyridin-4-ol")
    assert (cells["mol_weight"], cells["score"], cells["text"]) == ("95.101", "0.25", "")
    assert json.loads(cells["columns"]) == {"price": "3, or 4"}
    assert "positions" not in cells


def test_json(rows):
    (row,) = json.loads(format_rows(rows, "json"))
    assert row["columns"] == {"price": "3, or 4"}
    assert row["positions"] == rows[0]["positions"]
    assert row["mol_weight"] == 95.101


def test_sdf_has_the_geometry_that_was_searched(rows):
    (mol,) = read_sdf(format_rows(rows, "sdf"))
    assert mol.GetProp("_Name") == "4-pyridinol"
    assert Chem.MolToSmiles(mol) == Chem.CanonSmiles(rows[0]["smiles"])
    assert mol.GetConformer().Is3D()
    np.testing.assert_allclose(
        np.sort(mol.GetConformer().GetPositions(), axis=0), np.sort(rows[0]["positions"], axis=0), atol=1e-4
    )
    assert json.loads(mol.GetProp("columns")) == {"price": "3, or 4"}


def test_a_geometry_without_the_bonds_is_left_out_and_this_is_told(rows):
    rows[0]["positions"] = (5 * np.array(rows[0]["positions"])).tolist()
    (mol,) = read_sdf(format_rows(rows, "sdf"))
    assert mol.GetProp("geometry").startswith("left out: the geometry does not show the bonds")
    assert not mol.GetConformer().Is3D()


@pytest.mark.parametrize("smiles", ["[2H]C(Cl)(Cl)Cl", "[3H]c1ccccc1", "[H+].[Cl-]", "[Na+].[H-]"])
def test_hydrogens_of_the_smiles_are_not_lost(rows, smiles):
    rows[0] |= {"smiles": smiles, **make_geometry(smiles)}
    (mol,) = read_sdf(format_rows(rows, "sdf"))
    assert Chem.MolToInchiKey(mol) == Chem.MolToInchiKey(Chem.MolFromSmiles(smiles))
    assert mol.GetProp("geometry") == "left out: it lacks isotopes of hydrogen, protons or hydrides of the SMILES"


def test_a_hydrogen_that_shows_stereochemistry_may_be_missing(rows):
    smiles = r"[H]/N=C(\N)c1ccccc1"
    rows[0] |= {"smiles": smiles, **make_geometry(smiles)}
    (mol,) = read_sdf(format_rows(rows, "sdf"))
    assert not mol.HasProp("geometry")
    assert mol.GetConformer().Is3D()
    assert Chem.MolToInchiKey(mol) == Chem.MolToInchiKey(Chem.MolFromSmiles(smiles))


def test_hydrogen_itself_has_a_geometry(rows):
    ((record,), _) = GeomCLIPFeatureExtractor().read("[H][H]")
    rows[0] |= {"smiles": "[H][H]", **{name: record[name].tolist() for name in ("atomic_numbers", "positions")}}
    (mol,) = read_sdf(format_rows(rows, "sdf"))
    assert not mol.HasProp("geometry")


def test_lines_of_an_sdf_item_are_joined(rows):
    rows[0] |= {"text": "First paragraph.\r\n\r\nSecond paragraph.", "names": ["L-\r\nala"]}
    (mol,) = read_sdf(format_rows(rows, "sdf"))
    assert mol.GetProp("text") == "First paragraph.  Second paragraph."
    assert mol.GetProp("_Name") == "L- ala"


def make_geometry(smiles):
    """Heavy atoms, as an index has them, at the places of a conformer."""
    mol = Chem.AddHs(Chem.MolFromSmiles(smiles))
    assert rdDistGeom.EmbedMolecule(mol, randomSeed=7) == 0
    heavy = [atom.GetIdx() for atom in mol.GetAtoms() if atom.GetAtomicNum() > 1]
    numbers = [mol.GetAtomWithIdx(place).GetAtomicNum() for place in heavy]
    return {"atomic_numbers": numbers, "positions": mol.GetConformer().GetPositions()[heavy].tolist()}


def read_sdf(text):
    supplier = Chem.SDMolSupplier()
    supplier.SetData(text)
    return [*supplier]


def test_table_and_html(rows):
    head, line = format_rows(rows, "table").splitlines()
    assert head.split() == ["query", "score", "percentile", "name", "formula", "mol_weight", "inchikey", "smiles"]
    assert line.split()[2:5] == ["0.250", "99.500", "4-pyridinol"]
    page = format_rows(rows, "html")
    assert "a &lt;ring&gt;" in page
    assert "<svg" in page
    assert "Oc1ccncc1" in page


@pytest.mark.parametrize("kind", FORMATS)
def test_no_rows(kind):
    assert "None" not in format_rows([], kind)


def test_texts(rows):
    ranked = [{"row": 1, "score": 0.5, "percentile": 50.0, "text": "a ring"}]
    assert format_rows(ranked, "table").split() == [
        "row",
        "score",
        "percentile",
        "text",
        "1",
        "0.500",
        "50.000",
        "a",
        "ring",
    ]
