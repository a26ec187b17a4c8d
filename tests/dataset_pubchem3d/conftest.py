"""Built datasets: one from the packaged sources, and a small world of invented raw files for every kind of source.

Also a server whose answers are disturbed by a script, and clients for it.
"""

import csv
import gzip
import json
import os
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from datasets import Dataset, concatenate_datasets
from rdkit import Chem
from rdkit.Chem import AllChem, rdDistGeom, rdForceFieldHelpers

from dataset_pubchem3d.build import build
from dataset_pubchem3d.fetch.client import Client
from dataset_pubchem3d.pubchem3d import list_split_files
from dataset_pubchem3d.recipe import Recipe
from dataset_pubchem3d.sources.base import find_installed_folder

from .fetch.scripted_server import FakeClock, ScriptedServer

CC_BY = "https://creativecommons.org/licenses/by/4.0/"
CC_BY_NC = "https://creativecommons.org/licenses/by-nc/4.0/legalcode"
MOLECULES = {  # CID: SMILES, title, other names
    702: ("CCO", "Ethanol", ["ethyl alcohol", "Alcohol"]),
    962: ("O", "Water", []),
    241: ("c1ccccc1", "Benzene", ["benzol"]),
    5950: ("C[C@@H](C(=O)O)N", "Alanine", ["L-alanine"]),
    602: ("CC(C(=O)O)N", "DL-Alanine", []),
    2519: ("CN1C=NC2=C1C(=O)N(C(=O)N2C)C", "Caffeine", ["1,3,7-trimethylxanthine"]),
    6325: ("C=C", "Ethylene", ["ethene"]),
    517045: ("CC(=O)[O-].[Na+]", "Sodium acetate", []),
    180: ("CC(=O)C", "Acetone", ["propanone"]),
    297: ("C", "Methane", []),
    23978: ("[Cu]", "Copper", []),
}
ANNOTATIONS = [  # ANID, CIDs, source, licence, name, text
    (1, [702], "ChEBI", CC_BY, "ethanol", "Ethanol is a primary alcohol that is ethane in which one hydrogen is OH."),
    (2, [702], "DrugBank", CC_BY_NC, "Ethanol", "Ethanol appears as a clear colorless liquid. Ethyl alcohol has uses."),
    (3, [962], "ChEBI", CC_BY, "water", "Water is an oxygen hydride consisting of one oxygen and two hydrogens."),
    (4, [241], "CAMEO Chemicals", None, "BENZENE", "Benzene appears as a clear liquid. It burns readily (NTP, 1992)."),
    (5, [5950], "ChEBI", CC_BY, "L-alanine", "L-alanine is the L-enantiomer of alanine, with a role as a metabolite."),
    (6, [602], "ChEBI", CC_BY, "alanine", "Alanine is an alpha-amino acid that consists of propionic acid."),
    (
        7,
        [2519],
        "LOTUS",
        CC_BY,
        "Caffeine",
        "Caffeine is a natural product found in Coffea arabica (coffee) and β-tea.",
    ),
    (8, [2519, 241], "HSDB", None, "a mixture", "A mixture of two compounds."),
    (9, [], "ChEBI", CC_BY, "nothing", "Nothing is linked to this."),
    (10, [6325], "ChEBI", CC_BY, "ethene", "Ethene is an alkene."),
    (11, [517045], "HSDB", None, "Sodium acetate", "Sodium acetate is an organic sodium salt of acetic acid and more."),
    (12, [99999], "ChEBI", CC_BY, "unknown", "An unknown compound has no structure in any of the tables here."),
    (13, [702], "ChEBI", CC_BY, "ethanol", "Ethanol is a primary alcohol that is ethane in which one hydrogen is OH."),
    (14, [180], "ChEBI", CC_BY, "acetone", "Acetone is a methyl ketone that consists of propane with an oxo group."),
    (15, [23978], "ChEBI", CC_BY, "copper", "Copper is a chemical element, a metal that conducts heat rather well."),
]


def conformer(smiles: str, seed: int = 7) -> Chem.Mol:
    mol = Chem.AddHs(Chem.MolFromSmiles(smiles))
    AllChem.EmbedMolecule(mol, randomSeed=seed)
    return mol


def write_annotations(folder: Path) -> None:
    folder.mkdir()
    for number, start in enumerate(range(0, len(ANNOTATIONS), 8), start=1):
        annotations = [
            {
                "SourceName": source,
                "SourceID": f"{source}:{anid}",
                "Name": name,
                "URL": f"https://example.org/{anid}",
                **({"LicenseURL": license_url} if license_url else {}),
                "Data": [
                    {
                        "TOCHeading": {"type": "Compound", "#TOCHeading": "Record Description"},
                        "Value": {"StringWithMarkup": [{"String": text}]},
                    }
                ],
                "ANID": anid,
                **({"LinkedRecords": {"CID": cids}} if cids else {}),
            }
            for anid, cids, source, license_url, name, text in ANNOTATIONS[start : start + 8]
        ]
        page = {"Annotations": {"Annotation": annotations, "Page": number, "TotalPages": -(-len(ANNOTATIONS) // 8)}}
        path = folder / f"page-{number:05d}.json.gz"
        path.write_bytes(gzip.compress(json.dumps(page, ensure_ascii=False).encode(), mtime=0))


def write_extras(folder: Path) -> None:
    folder.mkdir()
    lines: dict[str, list[str]] = {"InChI-Key": [], "SMILES": [], "Title": [], "Synonym-filtered": []}
    for cid in sorted(MOLECULES):
        smiles, title, names = MOLECULES[cid]
        inchi = Chem.MolToInchi(Chem.MolFromSmiles(smiles))
        lines["InChI-Key"].append(f"{cid}\t{inchi}\t{Chem.InchiToInchiKey(inchi)}")
        lines["SMILES"].append(f"{cid}\t{smiles}")
        lines["Title"].append(f"{cid}\t{title}")
        lines["Synonym-filtered"] += [f"{cid}\t{name}" for name in (title, *names)]
    for name, rows in lines.items():
        (folder / f"CID-{name}.gz").write_bytes(gzip.compress(("\n".join(rows) + "\n").encode(), mtime=0))


def write_molecule3d(folder: Path) -> None:
    """Ethanol, benzene and caffeine; alanine with its racemic CID but as one enantiomer; and a CID without a text."""
    folder.mkdir()
    chosen = {702: "CCO", 241: "c1ccccc1", 2519: MOLECULES[2519][0], 602: "C[C@@H](C(=O)O)N", 8: "CCCC"}
    columns = {
        "index": list(range(len(chosen))),
        "SMILES": list(chosen.values()),
        "sdf": [Chem.MolToMolBlock(conformer(smiles)).partition("\n")[2] for smiles in chosen.values()],
        "cid": list(chosen),
        "scf energy": [-1.0] * len(chosen),
    }
    pq.write_table(pa.table(columns), folder / "train-00000-of-00001.parquet")


def write_qm9(folder: Path, rows: int) -> None:
    """The first rows of `qm9pack`, with Index 1 to `rows`, as tables of the same names."""
    folder.mkdir()
    source = find_installed_folder("qm9pack") / "data"
    for name in ("qm9_part1.csv", "qm9_part2.csv", "qm9_part3.csv", "qm9_polarizability.csv"):
        with open(source / name, newline="") as lines, open(folder / name, "w", newline="") as copy:
            taken = rows if name in ("qm9_part1.csv", "qm9_polarizability.csv") else 0
            table = csv.writer(copy)
            table.writerows(row for row, _ in zip(csv.reader(lines), range(taken + 1)))


@pytest.fixture(scope="session")
def world(tmp_path_factory):
    """A folder of raw files with a `recipe.yaml` for them."""
    folder = tmp_path_factory.mktemp("world")
    write_annotations(folder / "text")
    write_extras(folder / "extras")
    write_molecule3d(folder / "molecule3d")
    write_qm9(folder / "qm9", rows=60)
    recipe = {
        "texts": [{"source": "pubchem_text", "path": str(folder / "text")}],
        "structures": {"source": "pubchem_extras", "path": str(folder / "extras")},
        "geometries": [
            {"source": "molecule3d", "path": str(folder / "molecule3d")},
            {"source": "qm9", "path": str(folder / "qm9")},
        ],
        "properties": {"source": "qm9", "path": str(folder / "qm9")},
        "min_words": 6,
        "split_sizes": [3, 3, 4],  # every split has rows
        "captioning_min_words": 13,
    }
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    return folder


@pytest.fixture(scope="session")
def built(tmp_path_factory):
    """Path of the dataset built from the packaged sources with seed 0, without the config of properties."""
    out = tmp_path_factory.mktemp("built") / "pubchem3d"
    build(Recipe.from_packages(properties=None), out, num_proc=2)
    return out


@pytest.fixture(scope="session")
def rows(built, tmp_path_factory):
    """All rows of its config `default`, as dictionaries."""
    cache = str(tmp_path_factory.mktemp("rows_cache"))
    files = [str(file) for found in list_split_files(built).values() for file in found]
    return concatenate_datasets([Dataset.from_parquet(file, cache_dir=cache) for file in files]).to_list()


def make_conformer(smiles, seed=7):
    """A molecule with explicit hydrogens and one conformer, from ETKDG and MMFF94."""
    mol = Chem.AddHs(Chem.MolFromSmiles(smiles))
    assert rdDistGeom.EmbedMolecule(mol, randomSeed=seed) == 0
    rdForceFieldHelpers.MMFFOptimizeMolecule(mol)
    return mol


def make_row_of(mol, smiles=None, order=None):
    """A row with the geometry of `mol`, its atoms in `order`; `smiles` is the record's, which may be less specific."""
    order = np.arange(mol.GetNumAtoms()) if order is None else order
    smiles = smiles or Chem.MolToSmiles(Chem.RemoveHs(mol))
    return {
        "inchikey": Chem.MolToInchiKey(Chem.MolFromSmiles(smiles)),
        "smiles": smiles,
        "geometry_id": "1",
        "geometry_method": "method",
        "atomic_numbers": [mol.GetAtomWithIdx(int(index)).GetAtomicNum() for index in order],
        "positions": mol.GetConformer().GetPositions()[order].astype(np.float32).tolist(),
    }


def mirror(mol):
    copy = Chem.Mol(mol)
    copy.GetConformer().SetPositions(mol.GetConformer().GetPositions() * [-1, 1, 1])
    return copy


@pytest.fixture(scope="session")
def conformer_of():
    return make_conformer


@pytest.fixture(scope="session")
def row_of():
    return make_row_of


@pytest.fixture(scope="session")
def mirrored():
    return mirror


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def server(clock, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    server = ScriptedServer(clock)
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def new_client(clock):
    """Clients whose waits take no time and have no jitter unless `jitter` is given."""
    clients = []

    def new(**options):
        defaults = {"clock": clock, "sleep": clock.sleep, "jitter": lambda: 0.0, "timeout": 5.0}
        clients.append(Client(**(defaults | options)))
        return clients[-1]

    yield new
    for client in clients:
        client.session.close()


@pytest.fixture
def client(new_client):
    return new_client()
