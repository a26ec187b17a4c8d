import dataclasses

import numpy as np
import pytest
from rdkit import Chem
from rdkit.Chem import rdMolAlign, rdMolTransforms

from dataset_pubchem3d.quality.geometry_comparison import (
    Comparison,
    compare_geometries,
    compare_geometry,
    make_conformers,
    measure_rmsds,
    summarise,
)
from dataset_pubchem3d.quality.processes import open_mapper
from dataset_pubchem3d.records import RecordError


def turned(mol, relabelled=None):
    """A copy of `mol`, rotated, shifted and with its atoms renumbered."""
    copy = Chem.RenumberAtoms(mol, [int(i) for i in relabelled]) if relabelled is not None else Chem.Mol(mol)
    rotation, _ = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))
    transform = np.eye(4)
    transform[:3, :3], transform[:3, 3] = rotation * np.sign(np.linalg.det(rotation)), [1.0, -2.0, 3.0]
    rdMolTransforms.TransformConformer(copy.GetConformer(), transform)
    return copy


@pytest.mark.parametrize("smiles", ["Cc1ccccc1", "CC(C)(C)O", "C[C@H](N)C(=O)O", "C[N+](=O)[O-]", "CC(=O)[O-]"])
def test_a_rotated_and_renumbered_copy_has_zero_rmsd(smiles, conformer_of):
    mol = conformer_of(smiles)
    copy = turned(mol, np.random.default_rng(0).permutation(mol.GetNumAtoms()))
    assert measure_rmsds(copy, mol, [-1]) == ([pytest.approx(0, abs=1e-4)], True)


def distorted(mol, swapped=()):
    """A molecule whose shape has no symmetry, and a copy with pairs of atoms swapped."""
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
def test_equivalent_atoms_may_be_swapped(smiles, swapped, conformer_of):
    mol, copy = distorted(conformer_of(smiles), swapped)
    assert rmsd_of_labels(copy, mol) > 0.05
    assert measure_rmsds(copy, mol, [-1])[0] == [pytest.approx(0, abs=1e-4)]


@pytest.mark.parametrize(("smiles", "swapped"), [("CC(=O)O", [(2, 3)]), ("Cc1ccccc1", [(2, 3)])])
def test_other_atoms_may_not_be_swapped(smiles, swapped, conformer_of):
    mol, copy = distorted(conformer_of(smiles), swapped)
    assert measure_rmsds(copy, mol, [-1])[0][0] > 0.05


def test_rmsds_agree_with_rdkit_where_nothing_is_resonant(conformer_of):
    mol = conformer_of("CC(C)Cc1ccc(F)cc1")
    many = make_conformers(mol, 3, 42, "x")
    expected = [
        rdMolAlign.GetBestRMS(
            Chem.RemoveHs(many), Chem.RemoveHs(mol), prbId=id_, symmetrizeConjugatedTerminalGroups=False
        )
        for id_ in range(3)
    ]
    assert measure_rmsds(many, mol, range(3))[0] == pytest.approx(expected, abs=1e-5)
    assert max(expected) > 0.3


def test_untried_symmetries_make_an_upper_bound(monkeypatch, conformer_of, row_of):
    monkeypatch.setattr("dataset_pubchem3d.quality.geometry_comparison.MAX_SYMMETRIES", 6)
    assert compare_geometry(row_of(conformer_of("CC(C)(C)O")), 1, 42).is_upper_bound
    assert not compare_geometry(row_of(conformer_of("CC(C)CO")), 1, 42).is_upper_bound


def test_another_diastereomer_would_be_far_away(conformer_of, row_of):
    trans, cis = conformer_of("C[C@@H]1C[C@H]1O"), conformer_of("C[C@H]1C[C@H]1O")
    comparison = compare_geometry(row_of(trans, "CC1CC1O"), 5, 42)
    others = make_conformers(cis, 5, 42, "x")
    assert comparison.rmsd_best < 0.1
    assert min(measure_rmsds(others, trans, range(5))[0]) > 0.3


def test_an_enantiomer_is_not_the_same(conformer_of, mirrored):
    mol = conformer_of("C[C@H](F)Cl")
    assert measure_rmsds(mirrored(mol), mol, [-1])[0][0] > 0.2


def failure_of(row):
    comparison = compare_geometry(row, 2, 42)
    assert comparison.rmsd_first is comparison.rmsd_best is None
    return comparison.failure


def test_a_failed_comparison_has_a_reason(conformer_of, row_of):
    row = row_of(conformer_of("CCCCO"))
    scattered = np.array(row["positions"]) * 3
    assert failure_of(row | {"positions": scattered.tolist()}) == "bonds cannot be perceived from the geometry"
    assert failure_of(row | {"inchikey": "A" * 14}) == "the geometry shows another molecule than its record"
    assert failure_of(row | {"smiles": "CCCCN"}) == "the geometry does not have the atoms of its record"
    assert failure_of(row | {"positions": row["positions"][:-1]}) == "the stored geometry is broken"
    assert failure_of(row | {"smiles": "CCC("}) == "RDKit cannot read the SMILES"
    assert failure_of(row | {"smiles": None}) == "RDKit cannot read the SMILES"
    assert failure_of(row_of(conformer_of("CCO"))) == "it has fewer than 4 heavy atoms"
    assert failure_of(row | {"smiles": "CCCC.O"}) == "it has several fragments, whose relative positions are arbitrary"


def test_an_isomer_of_the_record_is_refused(conformer_of, row_of):
    butanol, ether = row_of(conformer_of("CCCCO")), conformer_of("CCOCC")
    assert failure_of(row_of(ether) | {key: butanol[key] for key in ("smiles", "inchikey")}) == (
        "the geometry shows another molecule than its record"
    )


def test_a_molecule_without_any_force_field_is_refused(conformer_of):
    mol = conformer_of("CCCO")
    mol.GetAtomWithIdx(0).SetAtomicNum(118)
    with pytest.raises(RecordError, match="neither MMFF94 nor UFF"):
        make_conformers(mol, 1, 42, "x")


def test_results_come_in_order_and_the_same_from_several_processes(conformer_of, row_of):
    rows = [row_of(conformer_of(smiles)) for smiles in ("CCCCO", "CCO", "CC(C)CO")]
    one = compare_geometries(rows, 2, 42)
    with open_mapper(2) as run:
        two = compare_geometries(rows, 2, 42, run)
    assert one == two
    assert [comparison.failure is None for comparison in one] == [True, False, True]
    assert [comparison.num_rotatable for comparison in one] == [2, None, 1]


def test_the_first_conformer_does_not_depend_on_their_number(conformer_of):
    mol = conformer_of("CCCCCO")
    one, ten = make_conformers(mol, 1, 42, "x"), make_conformers(mol, 10, 42, "x")
    assert np.array_equal(*(m.GetConformer(0).GetPositions() for m in (one, ten)))
    assert not np.allclose(*(ten.GetConformer(i).GetPositions() for i in (0, 1)))


def test_a_seed_that_makes_all_conformers_alike_is_refused():
    with pytest.raises(ValueError, match="seed is 0"):
        compare_geometries([], seed=0)


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
    spread = 1.96 * 1.2533 / np.sqrt(1001)  # interval of the median of normally distributed values
    low, high = summary["dft"]["first"]["median_interval_95"]
    assert high - low == pytest.approx(2 * spread, rel=0.25)
