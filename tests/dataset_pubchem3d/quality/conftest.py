"""Sound and faulty folders, small enough to count by hand."""

from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rdkit import Chem
from rdkit.Chem import rdDistGeom

from dataset_pubchem3d.quality.report import measure_quality
from dataset_pubchem3d.schema import FEATURES, make_molecule_features


def make_row(smiles, text="Some text.", /, **columns):
    """A sound row of `schema.py` with a geometry from RDKit, or a line of atoms if RDKit finds none."""
    mol = Chem.AddHs(Chem.MolFromSmiles(smiles))
    if rdDistGeom.EmbedMolecule(mol, randomSeed=7) == 0:
        positions = mol.GetConformer().GetPositions()
    else:
        positions = np.arange(mol.GetNumAtoms())[:, None] * [2.0, 0, 0]
    inchikey = Chem.MolToInchiKey(mol)
    known = {
        "inchikey": inchikey,
        "inchikey14": inchikey[:14],
        "split_group": inchikey[:14],
        "inchi": Chem.MolToInchi(mol),
        "smiles": smiles,
        "text": text,
        "text_kind": "names",
        "text_source": "invented",
        "atomic_numbers": [atom.GetAtomicNum() for atom in mol.GetAtoms()],
        "positions": positions.tolist(),
        "further_positions": [],
        "n_conformers": 1,
        "geometry_source": "invented",
        "geometry_method": "ETKDG",
        "geometry_id": smiles,
        "match_level": "inchikey",
        "n_heavy": mol.GetNumHeavyAtoms(),
        "formal_charge": 0,
    }
    return known | columns


def write_config(folder, config, row_group_size=3, **splits):
    """Files of a config; the column `split` is that of the file unless a row sets it."""
    features = FEATURES if config != "qm9" else make_molecule_features(())
    for split, rows in splits.items():
        rows = [{"split": split} | entry for entry in rows]
        rows = [{name: entry.get(name) for name in features} for entry in rows]
        file = folder / "data" / config / f"{split}-00000-of-00001.parquet"
        file.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.Table.from_pylist(rows, features.arrow_schema), file, row_group_size=row_group_size)
    return folder


@pytest.fixture(scope="session")
def row():
    return make_row


@pytest.fixture
def clashing():
    """A row with two heavy atoms that are too close."""
    entry = make_row("CCC")
    entry["positions"][1] = np.add(entry["positions"][0], [0.89, 0, 0]).tolist()
    return entry


@pytest.fixture
def write(tmp_path):
    """Function that writes a config to a folder and returns the folder."""
    return partial(write_config, tmp_path)


@pytest.fixture(scope="session")
def measure():
    """Function that measures a folder without the comparison of geometries."""
    return partial(measure_quality, sample=0, seed=0, num_proc=1)


@pytest.fixture(scope="session")
def faults():
    """Function that returns the faults of a report: their number and first ids, by config and fault."""
    return lambda report: {(f["config"], f["fault"]): (f["count"], f["first"]) for f in report["faults"]}


@pytest.fixture
def sound(row, write):
    """A folder of three configs without faults."""
    train = [row("CCO", " Shared text. "), row("c1ccccc1C", "Shared text."), row("CC(C)O", "Two fine words.")]
    train += [
        row("c1ccccc1C", "Shared text."),
        row("[Na+].[Cl-]", "A salt.", positions=[[0, 0, 0], [2.4, 0, 0]]),
        row("Cl[Ti](Cl)(Cl)Cl", "A liquid."),
    ]
    write("default", train=train, validation=[row("Oc1ccccc1", "Phenol.")], test=[row("CCN", "Shared text.")])
    write("captioning", train=[row("CCN")], test=[row("CCO")])
    return write("qm9", train=[row("CCO"), row("CCN")], test=[row("C")])
