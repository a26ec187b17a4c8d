import dataclasses

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rdkit import Chem
from rdkit.Chem import rdDistGeom, rdForceFieldHelpers, rdMolAlign, rdMolTransforms

from dataset_pubchem3d.quality.geometry_comparison import (
    EMBEDDING_ATTEMPTS,
    MINIMISATION_STEPS,
    Comparison,
    assign_stereo,
    compare_geometries,
    compare_geometry,
    embed_conformers,
    heavy_atom_rmsds,
    perceive_molecule,
    sample_rows,
    summarise,
)
from dataset_pubchem3d.records import RecordError


def embedded(smiles, seed=7):
    mol = Chem.AddHs(Chem.MolFromSmiles(smiles))
    assert rdDistGeom.EmbedMolecule(mol, randomSeed=seed) == 0
    rdForceFieldHelpers.MMFFOptimizeMolecule(mol)
    return mol


def row_of(mol, smiles=None, order=None):
    """A row with the geometry of `mol`, its atoms in `order`; `smiles` is the record's, which may tell less."""
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


def turned(mol, relabelled=None):
    """A copy of `mol`, rotated, shifted and with its atoms renumbered."""
    copy = Chem.RenumberAtoms(mol, [int(i) for i in relabelled]) if relabelled is not None else Chem.Mol(mol)
    rotation, _ = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))
    transform = np.eye(4)
    transform[:3, :3], transform[:3, 3] = rotation * np.sign(np.linalg.det(rotation)), [1.0, -2.0, 3.0]
    rdMolTransforms.TransformConformer(copy.GetConformer(), transform)
    return copy


def mirrored(mol):
    copy = Chem.Mol(mol)
    copy.GetConformer().SetPositions(mol.GetConformer().GetPositions() * [-1, 1, 1])
    return copy


@pytest.mark.parametrize("smiles", ["Cc1ccccc1", "CC(C)(C)O", "C[C@H](N)C(=O)O", "C[N+](=O)[O-]", "CC(=O)[O-]"])
def test_a_turned_and_renumbered_copy_is_at_distance_zero(smiles):
    mol = embedded(smiles)
    copy = turned(mol, np.random.default_rng(0).permutation(mol.GetNumAtoms()))
    assert heavy_atom_rmsds(copy, mol, [-1]) == ([pytest.approx(0, abs=1e-4)], True)


def distorted(smiles, swapped=()):
    """A molecule without any symmetry of its shape, and a copy in which pairs of atoms have changed places."""
    mol = embedded(smiles)
    positions = mol.GetConformer().GetPositions()
    positions += np.random.default_rng(2).normal(scale=0.3, size=positions.shape)
    mol.GetConformer().SetPositions(positions)
    copy = Chem.Mol(mol)
    for pair in swapped:
        positions[list(pair)] = positions[list(pair)][::-1]
    copy.GetConformer().SetPositions(positions)
    return mol, copy


def rmsd_of_labels(probe, reference):
    return rdMolAlign.AlignMol(
        Chem.Mol(probe), reference, atomMap=[(i, i) for i in range(reference.GetNumHeavyAtoms())]
    )


@pytest.mark.parametrize(
    ("smiles", "swapped"),
    [
        ("Cc1ccccc1", [(2, 6), (3, 5)]),
        ("CC(C)(C)O", [(0, 2)]),
        ("C[N+](=O)[O-]", [(2, 3)]),
        ("CC(=O)[O-]", [(2, 3)]),
        ("CP(=O)([O-])[O-]", [(2, 4)]),
    ],
)
def test_equal_atoms_may_change_places(smiles, swapped):
    mol, copy = distorted(smiles, swapped)
    assert rmsd_of_labels(copy, mol) > 0.05
    assert heavy_atom_rmsds(copy, mol, [-1])[0] == [pytest.approx(0, abs=1e-4)]


@pytest.mark.parametrize(("smiles", "swapped"), [("CC(=O)O", [(2, 3)]), ("Cc1ccccc1", [(2, 3)])])
def test_unequal_atoms_may_not_change_places(smiles, swapped):
    mol, copy = distorted(smiles, swapped)
    assert heavy_atom_rmsds(copy, mol, [-1])[0][0] > 0.05


def test_rmsds_agree_with_rdkit_where_nothing_is_resonant():
    mol = embedded("CC(C)Cc1ccc(F)cc1")
    many = embed_conformers(mol, 3, 42, "x")
    expected = [
        rdMolAlign.GetBestRMS(
            Chem.RemoveHs(many), Chem.RemoveHs(mol), prbId=id_, symmetrizeConjugatedTerminalGroups=False
        )
        for id_ in range(3)
    ]
    assert heavy_atom_rmsds(many, mol, range(3))[0] == pytest.approx(expected, abs=1e-5)
    assert max(expected) > 0.3


def test_more_symmetries_than_are_tried_are_told(monkeypatch):
    monkeypatch.setattr("dataset_pubchem3d.quality.geometry_comparison.MAX_SYMMETRIES", 6)
    assert compare_geometry(row_of(embedded("CC(C)(C)O")), 1, 42).is_upper_bound
    assert not compare_geometry(row_of(embedded("CC(C)CO")), 1, 42).is_upper_bound


@pytest.mark.parametrize("smiles", ["C[C@@H]1C[C@H]1O", "C[C@H]1C[C@H]1O", r"C/C=C\CO", "C/C=C/CO"])
def test_a_record_without_stereo_is_compared_as_the_isomer_of_its_geometry(smiles):
    mol = embedded(smiles)
    flat = Chem.MolToSmiles(Chem.RemoveHs(mol), isomericSmiles=False)
    order = np.random.default_rng(3).permutation(mol.GetNumAtoms())
    stored = perceive_molecule(row_of(mol, flat, order), "x")
    assert Chem.MolToSmiles(Chem.RemoveHs(stored)) == Chem.CanonSmiles(smiles)
    many = embed_conformers(stored, 5, 42, "x")
    for conformer in many.GetConformers():
        shown = Chem.Mol(many)
        Chem.AssignStereochemistryFrom3D(shown, conformer.GetId())
        assert Chem.MolToSmiles(Chem.RemoveHs(shown)) == Chem.CanonSmiles(smiles)


def test_another_diastereomer_would_be_far_away():
    trans, cis = embedded("C[C@@H]1C[C@H]1O"), embedded("C[C@H]1C[C@H]1O")
    comparison = compare_geometry(row_of(trans, "CC1CC1O"), 5, 42)
    others = embed_conformers(cis, 5, 42, "x")
    assert comparison.rmsd_best < 0.1
    assert min(heavy_atom_rmsds(others, trans, range(5))[0]) > 0.3


def test_an_enantiomer_is_not_the_same():
    mol = embedded("C[C@H](F)Cl")
    assert heavy_atom_rmsds(mirrored(mol), mol, [-1])[0][0] > 0.2


def test_stereo_is_rdkits_for_ordinary_molecules_and_follows_the_mirror():
    mol = embedded("C[C@H](O)[C@@H](N)/C=C/[C@H]1CO1")
    expected, mirror = Chem.Mol(mol), mirrored(mol)
    Chem.AssignStereochemistryFrom3D(expected)
    assign_stereo(mol)
    assert Chem.MolToSmiles(mol) == Chem.MolToSmiles(expected)
    assign_stereo(mirror)
    labels = [dict(Chem.FindMolChiralCenters(m, useLegacyImplementation=False)) for m in (mol, mirror)]
    assert len(labels[0]) == 3
    assert labels[1] == {atom: {"R": "S", "S": "R"}[label] for atom, label in labels[0].items()}


def test_atoms_of_strained_cages_keep_their_handedness():
    mol = Chem.AddHs(Chem.MolFromSmiles("CC1(C)C(=O)[C@]2(O)C[C@H]12"))  # an atom has all four neighbours on one side
    many = embed_conformers(mol, 5, 42, "x")
    for conformer in many.GetConformers():
        shown = Chem.Mol(many)
        assign_stereo(shown, conformer.GetId())
        assert Chem.MolToSmiles(shown) == Chem.MolToSmiles(mol)


def test_charges_and_bond_orders_are_those_of_the_record():
    mol = embedded("C[N+](C)(C)CC(=O)[O-]")
    stored = perceive_molecule(row_of(mol), "x")
    assert Chem.MolToSmiles(Chem.RemoveHs(stored)) == Chem.MolToSmiles(Chem.RemoveHs(mol))
    assert np.allclose(stored.GetConformer().GetPositions(), mol.GetConformer().GetPositions(), atol=1e-5)


def failures(row):
    comparison = compare_geometry(row, 2, 42)
    assert comparison.rmsd_first is comparison.rmsd_best is None
    return comparison.failure


def test_what_cannot_be_compared_is_told_by_its_reason():
    row = row_of(embedded("CCCCO"))
    scattered = np.array(row["positions"]) * 3
    assert failures(row | {"positions": scattered.tolist()}) == "bonds cannot be perceived from the geometry"
    assert failures(row | {"inchikey": "A" * 14}) == "the geometry shows another molecule than its record"
    assert failures(row | {"smiles": "CCCCN"}) == "the geometry has not the atoms of its record"
    assert failures(row | {"positions": row["positions"][:-1]}) == "the stored geometry is broken"
    assert failures(row | {"smiles": "CCC("}) == "RDKit cannot read the SMILES"
    assert failures(row | {"smiles": None}) == "RDKit cannot read the SMILES"
    assert failures(row_of(embedded("CCO"))) == "it has fewer than 4 heavy atoms"
    assert failures(row | {"smiles": "CCCC.O"}) == "it has several fragments, whose relative places mean nothing"


def test_an_isomer_of_the_record_is_refused():
    butanol, ether = row_of(embedded("CCCCO")), embedded("CCOCC")
    assert failures(row_of(ether) | {key: butanol[key] for key in ("smiles", "inchikey")}) == (
        "the geometry shows another molecule than its record"
    )


def test_a_molecule_without_any_force_field_is_refused():
    mol = embedded("CCCO")
    mol.GetAtomWithIdx(0).SetAtomicNum(118)
    with pytest.raises(RecordError, match="neither MMFF94 nor UFF"):
        embed_conformers(mol, 1, 42, "x")


def test_results_come_in_order_and_the_same_from_several_processes():
    rows = [row_of(embedded(smiles)) for smiles in ("CCCCO", "CCO", "CC(C)CO")]
    one, two = compare_geometries(rows, 2, 42, num_proc=1), compare_geometries(rows, 2, 42, num_proc=2)
    assert one == two
    assert [comparison.failure is None for comparison in one] == [True, False, True]
    assert [comparison.num_rotatable for comparison in one] == [2, None, 1]


def test_the_first_conformer_is_that_of_a_single_embedding():
    mol = embedded("CCCCCO")
    one, ten = embed_conformers(mol, 1, 42, "x"), embed_conformers(mol, 10, 42, "x")
    assert np.array_equal(*(m.GetConformer(0).GetPositions() for m in (one, ten)))
    assert not np.allclose(*(ten.GetConformer(i).GetPositions() for i in (0, 1)))


def test_a_seed_that_makes_all_conformers_alike_is_refused():
    with pytest.raises(ValueError, match="seed is 0"):
        compare_geometries([], seed=0)


def test_settings_are_those_of_the_model():
    molecules = pytest.importorskip("modeling_geomclip.molecules_geomclip")
    assert (EMBEDDING_ATTEMPTS, MINIMISATION_STEPS) == (molecules.EMBEDDING_ATTEMPTS, molecules.MINIMISATION_STEPS)


def write_rows(path, keys, method):
    rows = [
        {"inchikey": key, "smiles": "C", "geometry_id": "1", "geometry_method": method, "atomic_numbers": [6]}
        | {"positions": [[0.0, 0.0, 0.0]]}
        for key in keys
    ]
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


def test_a_sample_depends_on_the_keys_and_the_seed_alone(tmp_path):
    keys = [f"KEY{i}" for i in range(50)]
    whole = write_rows(tmp_path / "whole.parquet", keys, "dft")
    halves = [write_rows(tmp_path / f"{i}.parquet", keys[::-1][i::2], "dft") for i in (0, 1)]
    other = write_rows(tmp_path / "other.parquet", keys[:3], "xtb")
    sample = sample_rows([whole], 10, seed=0)
    assert sample == sample_rows([*halves, whole], 10, seed=0)
    assert len({row["inchikey"] for row in sample}) == 10
    assert sample != sample_rows([whole], 10, seed=1)
    assert [row["geometry_method"] for row in sample_rows([other, whole], 5, seed=0)] == ["dft"] * 5 + ["xtb"] * 3
    assert {row["inchikey"] for row in sample_rows([whole], 99, seed=0)} == set(keys)


def test_a_summary_by_hand():
    compared = [Comparison(f"{i}", "dft", i % 2, 10, i / 10, i / 20) for i in range(1, 12)]
    failed = [Comparison("x", "dft", failure="why"), Comparison("y", "xtb", failure="why")]
    upper_bound = dataclasses.replace(compared[0], is_upper_bound=True, num_conformers=9)
    summary = summarise([upper_bound, *compared[1:], *failed], seed=0)
    dft = summary["dft"]
    assert (dft["sampled"], dft["compared"], dft["failures"]) == (12, 11, {"why": 1})
    assert (dft["upper_bounds"], dft["fewer_conformers"]) == (1, 1)
    assert dft["first"]["median"] == pytest.approx(0.6)
    assert dft["first"]["mean"] == pytest.approx(0.6)
    assert dft["first"]["p90"] == pytest.approx(1.0)
    assert dft["first"]["share_under_0.5"] == pytest.approx(4 / 11)
    assert dft["best"]["share_under_0.5"] == pytest.approx(9 / 11)
    assert dft["best"]["median"] == pytest.approx(0.3)
    low, high = dft["first"]["median_interval_95"]
    assert 0.1 <= low < 0.6 < high <= 1.1
    assert {bonds: entry["n"] for bonds, entry in dft["by_rotatable_bonds"].items()} == {"0": 5, "1": 6}
    assert (summary["xtb"]["n"], summary["xtb"]["first"]) == (0, None)


def test_the_interval_of_a_median_is_that_of_order_statistics():
    rmsds = np.random.default_rng(5).normal(size=1001) + 5
    summary = summarise([Comparison(f"{i}", "dft", 0, 1, float(r), float(r)) for i, r in enumerate(rmsds)], seed=0)
    spread = 1.96 * 1.2533 / np.sqrt(1001)  # of the median of normally distributed values
    low, high = summary["dft"]["first"]["median_interval_95"]
    assert high - low == pytest.approx(2 * spread, rel=0.25)
