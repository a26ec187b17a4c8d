"""Rows have the identity and the descriptors that RDKit gives, and the geometry that the model reads."""

import numpy as np
import pytest
from rdkit import Chem
from rdkit.Chem import Descriptors

from dataset_pubchem3d.records import RecordError
from dataset_pubchem3d.sources.delimited import Fault
from dataset_pubchem3d.sources.table_files import Row
from geomclip_tools.library.conformers import add_conformer, identify_entries, identify_entry
from geomclip_tools.library.entries import Entry
from modeling_geomclip import GeomCLIPFeatureExtractor, read_molecule

ASPIRIN = "CC(=O)Oc1ccccc1C(=O)O"
READING = {"remove_hydrogens": True, "max_atoms": 256}
MAKING = READING | {"seed": 42}


def make(fault=None, columns=None, **cells):
    return Entry(Row("a.csv, line 2", cells, fault), columns or {})


def test_a_smiles_gets_identity_descriptors_and_the_extractors_own_conformer():
    entry = make(columns={"price": "3"}, smiles="OC(=O)c1ccccc1OC(C)=O", name="aspirin", text=" a drug ")
    row = identify_entry(entry, READING)
    mol = Chem.MolFromSmiles(ASPIRIN)
    assert (row["inchikey"], row["smiles"]) == (Chem.MolToInchiKey(mol), ASPIRIN)
    assert (row["names"], row["sources"], row["text"]) == (["aspirin"], ["a.csv, line 2"], "a drug")
    assert row["columns"] == {"price": "3"}
    assert row["formula"] == "C9H8O4"
    assert row["mol_weight"] == pytest.approx(180.159, abs=1e-3)
    assert row["logp"] == pytest.approx(Descriptors.MolLogP(mol))
    assert row["tpsa"] == pytest.approx(63.6)
    assert [row[name] for name in ("h_bond_donors", "h_bond_acceptors", "rings", "charge")] == [1, 3, 1, 0]
    assert [row[name] for name in ("rotatable_bonds", "heavy_atoms")] == [Descriptors.NumRotatableBonds(mol), 13]
    assert "positions" not in row
    row = add_conformer(row, MAKING)
    ((record,), _) = GeomCLIPFeatureExtractor().read(ASPIRIN)
    np.testing.assert_array_equal(row["atomic_numbers"], record["atomic_numbers"])
    np.testing.assert_array_equal(row["positions"], record["positions"])


def test_given_coordinates_are_kept():
    arrays = read_molecule("CCO", seed=7)
    row = identify_entry(make(smiles="CCO", **{name: array.tolist() for name, array in arrays.items()}), READING)
    assert sorted(row["atomic_numbers"]) == [6, 6, 8]
    np.testing.assert_allclose(row["positions"], arrays["positions"][arrays["atomic_numbers"] > 1], atol=1e-5)


def test_what_cannot_be_used_is_told():
    water = read_molecule("O")
    entries = [
        make(fault=Fault("the row is damaged", "line 2 holds byte 0xf6")),
        make(smiles="C1CC"),
        make(name="ethanol"),
        make(smiles="C*"),
        make(smiles="CCO", **{name: array.tolist() for name, array in water.items()}),
        make(smiles="CCO"),
    ]
    *faults, row = identify_entries(entries, READING)
    assert [fault.reason for fault in faults] == [
        "the row is damaged",
        "RDKit cannot read the SMILES",
        "it has neither a SMILES, an InChI nor a mol block",
        "RDKit finds no InChI",
        "the coordinates are of another molecule",
    ]
    assert faults[0].detail == "line 2 holds byte 0xf6"
    assert row["smiles"] == "CCO"
    with pytest.raises(RecordError, match="more than max_atoms"):
        add_conformer(row, MAKING | {"max_atoms": 2})
