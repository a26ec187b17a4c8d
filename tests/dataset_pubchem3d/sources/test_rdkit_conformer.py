import itertools
from pathlib import Path

import numpy as np
import pytest
from rdkit import Chem
from rdkit.Chem import rdDistGeom

from dataset_pubchem3d.records import Identity, RecordError
from dataset_pubchem3d.sources.rdkit_conformer import RDKitConformers
from dataset_pubchem3d.sources.registry import GEOMETRY_SOURCES
from modeling_geomclip.molecules_geomclip import MoleculeError, embed_smiles, read_molecule

KEY = "LFQSCWFLJHTTHZ-UHFFFAOYSA-N"


def geometry(smiles: str, **options):
    source = RDKitConformers(**options)
    (raw,) = source.make_records([(KEY, smiles)])
    return source.parse_geometry(raw)


def test_a_compound_keeps_its_inchikey():
    (raw,) = RDKitConformers().make_records([(KEY, "CCO")])
    assert RDKitConformers().identify(raw) == Identity(None, KEY)


def test_the_conformer_equals_the_models():
    expected = read_molecule("CCO", seed=3)
    made = geometry("CCO", seed=3)
    assert made.geometry_id == KEY
    assert made.atomic_numbers.tolist() == [6, 6, 8, 1, 1, 1, 1, 1, 1]
    assert np.abs(made.positions[0] - expected["positions"]).max() < 1e-4
    assert made.energies is None


def test_the_method_names_the_force_field():
    assert geometry("CCO").method == RDKitConformers.method
    assert geometry("OB(O)c1ccccc1").method == "RDKit ETKDGv3 + UFF for lack of MMFF94 parameters, not a ground state"
    unrelaxed = "ETKDGv3, unrelaxed for lack of force field parameters"
    assert geometry("FS(F)(F)(F)(F)F").method == f"RDKit {unrelaxed}, not a ground state"
    assert (
        geometry("CC[NH3+].F[P-](F)(F)(F)(F)F").method == f"RDKit ETKDGv3 + MMFF94 and {unrelaxed}, not a ground state"
    )
    assert geometry("[Na+].CC(=O)[O-]").method == RDKitConformers.method


def test_conformers_of_consecutive_seeds_share_their_atoms():
    three = geometry("CCCCO", seed=4, num_conformers=3)
    assert three.positions.shape == (3, 15, 3)
    for place in range(3):
        alone = geometry("CCCCO", seed=4 + place)
        assert three.atomic_numbers.tolist() == alone.atomic_numbers.tolist()
        assert np.array_equal(three.positions[place], alone.positions[0])


def test_another_conformer_that_cannot_be_made_is_skipped(monkeypatch):
    def fail_after_the_first(smiles, seed, *rest):
        if seed > 7:
            raise MoleculeError("no conformer was found", "pass 3D coordinates")
        return embed_smiles(smiles, seed, *rest)

    monkeypatch.setattr("modeling_geomclip.molecules_geomclip.embed_smiles", fail_after_the_first)
    assert geometry("CCO", seed=6, num_conformers=4).positions.shape == (2, 9, 3)


def test_without_relaxation_a_conformer_stays_as_embedded():
    mol = Chem.AddHs(Chem.MolFromSmiles("CCCCO"))
    parameters = rdDistGeom.ETKDGv3()
    parameters.randomSeed, parameters.maxIterations = 42, 50
    rdDistGeom.EmbedMolecule(mol, parameters)
    made = geometry("CCCCO", relax=False)
    assert made.method == "RDKit ETKDGv3, unrelaxed, not a ground state"
    distances = [
        np.linalg.norm(p[:, None] - p, axis=-1) for p in (mol.GetConformer().GetPositions(), made.positions[0])
    ]
    assert np.abs(distances[0] - distances[1]).max() < 1e-4


def test_the_seed_determines_the_conformer():
    assert np.array_equal(geometry("CCCCO", seed=1).positions, geometry("CCCCO", seed=1).positions)
    assert not np.allclose(geometry("CCCCO", seed=1).positions, geometry("CCCCO", seed=2).positions)


@pytest.mark.parametrize(
    ("smiles", "reason"),
    [
        ("CCO", "it has … atoms, more than max_atoms=…"),
        ("CCCCO", "it has … atoms, more than max_atoms=…"),
        ("C*", "it has a dummy atom …, which has no element"),
        ("C(C", "RDKit cannot read it as SMILES …"),
        ("", "it is empty"),
        ("C(C)(C)(C)(C)C", "RDKit rejects its chemistry …"),
    ],
)
def test_molecules_are_refused_by_reasons_that_can_be_counted(smiles, reason):
    with pytest.raises(RecordError) as refused:
        geometry(smiles, max_atoms=4)
    assert (refused.value.record_id, refused.value.reason) == (KEY, reason)
    assert repr(smiles) in refused.value.detail


def test_only_this_source_is_a_last_resort():
    assert [name for name, source in GEOMETRY_SOURCES.items() if source.is_last_resort] == ["rdkit"]


def test_compounds_are_taken_one_at_a_time():
    raws = RDKitConformers().make_records((KEY, "C" * n) for n in itertools.count(1))
    assert [raw["smiles"] for raw in itertools.islice(raws, 3)] == ["C", "CC", "CCC"]


def test_there_are_no_files_to_read():
    assert RDKitConformers().list_files(Path("none")) == []
    with pytest.raises(TypeError, match="call make_records"):
        RDKitConformers().read_records(Path("none"))
