"""Compare distances with measured ones (CRC Handbook), and conformers of ordinary molecules with RDKit's own."""

from collections.abc import Iterator
from itertools import combinations

import numpy as np
import pytest
from rdkit import Chem
from rdkit.Chem import AllChem

from modeling_geomclip import MoleculeError, conformers_geomclip
from modeling_geomclip.conformers_geomclip import (
    DISTANCE_GEOMETRY,
    ETKDG,
    FRAGMENT_GAP,
    ITERATIONS,
    MMFF94,
    NOTHING,
    SEEDS,
    UFF,
    UNRELAXED,
    Conformer,
    make_conformer,
)
from modeling_geomclip.molecule_checks_geomclip import check_distances
from modeling_geomclip.molecules_geomclip import embed_smiles, read_molecule

C60 = (
    "c12c3c4c5c1c1c6c7c2c2c8c3c3c9c4c4c%10c5c5c1c1c6c6c%11c7c2c2c7c8c3c3c8c9c4c4c9c%10c5c5c1c1c6c6c%11c2c2c7c3c3c8c4c4"
    "c9c5c1c1c6c2c3c41"
)
SYMBOLS = Chem.GetPeriodicTable()


def measure(conformer: Conformer, one: str, other: str) -> np.ndarray:
    """Return the distances of all pairs of atoms of two elements, Å, in ascending order."""
    wanted = {SYMBOLS.GetAtomicNumber(one), SYMBOLS.GetAtomicNumber(other)}
    pairs = [
        (i, j)
        for i, j in combinations(range(len(conformer.atomic_numbers)), 2)
        if {int(conformer.atomic_numbers[i]), int(conformer.atomic_numbers[j])} == wanted
    ]
    places = conformer.positions
    return np.sort([np.linalg.norm(places[i] - places[j]) for i, j in pairs])


# --------------------------------------------------------------------------------------------- what force fields lack

# SMILES: two elements, the lower and upper bound (Å) of their shortest distances, and the number of these distances.
GEOMETRIES = {
    "N#N": ("N", "N", 1.0, 1.2, 1),
    "O=C=O": ("C", "O", 1.06, 1.26, 2),
    "S=C=S": ("C", "S", 1.45, 1.65, 2),
    "S=C=O": ("C", "S", 1.46, 1.66, 1),
    "[C-]#[O+]": ("C", "O", 1.03, 1.23, 1),
    "C#C": ("C", "C", 1.1, 1.3, 1),
    "C#N": ("C", "N", 1.06, 1.26, 1),
    "N#CC#N": ("C", "N", 1.06, 1.26, 2),
    "CN=C=S": ("C", "S", 1.46, 1.66, 1),
    "F[P-](F)(F)(F)(F)F": ("F", "F", 2.2, 2.5, 12),
    "ClP(Cl)(Cl)(Cl)Cl": ("Cl", "Cl", 2.9, 3.4, 6),
    "FS(F)(F)(F)(F)F": ("F", "F", 2.2, 2.6, 12),
    "FS(F)(F)(F)(F)c1ccc(N)cc1": ("F", "F", 2.1, 2.7, 8),
    "F[As-](F)(F)(F)(F)F": ("F", "F", 2.2, 2.8, 12),
    "F[Sb-](F)(F)(F)(F)F": ("F", "F", 2.4, 2.9, 12),
    "FI(F)(F)(F)F": ("F", "F", 2.4, 3.0, 6),
    "F[W](F)(F)(F)(F)F": ("F", "F", 2.4, 3.5, 12),
    "F[Al-3](F)(F)(F)(F)F": ("F", "F", 2.2, 2.7, 12),
    "CCCCn1cc[n+](C)c1.F[P-](F)(F)(F)(F)F": ("F", "F", 2.2, 2.5, 12),
    "c1ccc(P(c2ccccc2)(c2ccccc2)(c2ccccc2)c2ccccc2)cc1": ("P", "C", 1.6, 2.1, 5),
    "c1cc[se]c1": ("C", "Se", 1.75, 2.05, 2),
    "N[Pt](N)(Cl)Cl": ("Pt", "Cl", 2.1, 2.7, 2),
    "O=[Os](=O)(=O)=O": ("Os", "O", 1.6, 2.0, 4),
}


@pytest.mark.parametrize("smiles", GEOMETRIES)
def test_distances_in_molecules_that_force_fields_get_wrong_or_do_not_cover(smiles):
    one, other, least, most, number = GEOMETRIES[smiles]
    conformer = embed_smiles(smiles)
    distances = measure(conformer, one, other)[:number]
    assert len(distances) == number
    assert least <= distances[0]
    assert distances[-1] <= most
    again = read_molecule({"atomic_numbers": conformer.atomic_numbers, "positions": conformer.positions})
    np.testing.assert_array_equal(again["positions"], conformer.positions)


def test_six_ligands_are_octahedral_and_five_are_at_least_at_right_angles():
    fluorines = measure(embed_smiles("FS(F)(F)(F)(F)F"), "F", "F")
    np.testing.assert_allclose(fluorines[:12] / fluorines[-1], np.sqrt(0.5), atol=0.02)
    conformer = embed_smiles("ClP(Cl)(Cl)(Cl)Cl")
    ratios = measure(conformer, "Cl", "Cl") / measure(conformer, "P", "Cl").mean()
    assert ratios[0] > 1.38  # 2 ** 0.5 at a right angle
    assert ratios[-1] == pytest.approx(2, abs=0.1)  # 2 at a straight angle


def test_carbons_of_buckminsterfullerene():
    conformer = embed_smiles(C60)
    assert conformer.atomic_numbers.tolist() == [6] * 60
    assert conformer.methods == ((DISTANCE_GEOMETRY, UFF),)
    distances = measure(conformer, "C", "C")
    assert distances[0] >= 1.38
    assert distances[89] <= 1.48  # 90 bonds
    assert distances[90] >= 2.2
    radii = np.linalg.norm(conformer.positions - conformer.positions.mean(axis=0), axis=1)
    np.testing.assert_allclose(radii, 3.55, atol=0.1)


# -------------------------------------------------------------------------------------------------------------- methods


@pytest.mark.parametrize(
    ("smiles", "methods"),
    [
        ("CCO", [(ETKDG, MMFF94)]),
        ("CC[Hg]CC", [(ETKDG, UFF)]),
        ("N#N", [(ETKDG, UFF)]),
        ("[Na+]", [(ETKDG, NOTHING)]),
        ("c1cc[se]c1", [(ETKDG, UNRELAXED)]),
        ("F[P-](F)(F)(F)(F)F", [(ETKDG, UNRELAXED)]),
        ("O=[Os](=O)(=O)=O", [(ETKDG, UNRELAXED)]),
        ("CC(=O)[O-].[Na+]", [(ETKDG, MMFF94), (ETKDG, NOTHING)]),
    ],
)
def test_methods_of_each_fragment_are_reported(smiles, methods):
    assert sorted(embed_smiles(smiles).methods) == sorted(methods)


def test_uff_takes_over_where_mmff94_has_no_parameters():
    mol = Chem.AddHs(Chem.MolFromSmiles("CC[Hg]CC"))
    assert not AllChem.MMFFHasAllMoleculeParams(mol)
    conformer = embed_smiles("CC[Hg]CC")
    mol.AddConformer(Chem.Conformer(mol.GetNumAtoms()))
    mol.GetConformer().SetPositions(conformer.positions)
    assert np.abs(AllChem.UFFGetMoleculeForceField(mol).CalcGrad()).max() < 0.1


# --------------------------------------------------------------------------------------------------- ordinary molecules

ORDINARY = (
    "CCO C[C@H](N)C(=O)O c1ccccc1 CC(=O)Oc1ccccc1C(=O)O C/C=C/C C/C=C\\C C1CC2CCC1C2 N#CC#CC O=C([O-])c1ccccn1 "
    "CS(=O)(=O)N C[N+](C)(C)C CP(=O)(O)O FC(F)(F)c1ccc(Cl)cc1 [2H]C([2H])O"
)


@pytest.mark.parametrize("seed", [42, 7])
@pytest.mark.parametrize("smiles", ORDINARY.split())
def test_ordinary_molecules_are_rdkits_own_conformers(smiles, seed):
    """Conformers equal those of ETKDGv3 and `MMFFOptimizeMolecule` for the canonical SMILES, as in earlier versions."""
    mol = Chem.AddHs(Chem.MolFromSmiles(Chem.CanonSmiles(smiles)))
    parameters = AllChem.ETKDGv3()
    parameters.randomSeed = seed
    assert AllChem.EmbedMolecule(mol, parameters) == 0
    AllChem.MMFFOptimizeMolecule(mol, maxIters=500)
    expected = mol.GetConformer().GetPositions()
    expected[:, 0] -= expected[:, 0].min()
    conformer = embed_smiles(smiles, seed)
    assert conformer.methods == ((ETKDG, MMFF94),)
    np.testing.assert_array_equal(conformer.atomic_numbers, [atom.GetAtomicNum() for atom in mol.GetAtoms()])
    np.testing.assert_allclose(conformer.positions, expected, atol=1e-9)


@pytest.mark.parametrize("smiles", ["C[C@H](N)C(=O)O", "F[P-](F)(F)(F)(F)F.C[NH3+]", "c1cc[se]c1"])
def test_equal_molecules_have_equal_conformers_however_they_are_written(smiles):
    mol = Chem.MolFromSmiles(smiles)
    expected = embed_smiles(smiles)
    for seed in range(5):
        order = np.random.default_rng(seed).permutation(mol.GetNumAtoms()).tolist()
        again = make_conformer(Chem.RenumberAtoms(mol, order), 42)
        np.testing.assert_array_equal(again.atomic_numbers, expected.atomic_numbers)
        np.testing.assert_array_equal(again.positions, expected.positions)
        assert again.methods == expected.methods


@pytest.mark.parametrize("smiles", ["CCCCO", "F[P-](F)(F)(F)(F)F"])
def test_another_seed_gives_another_conformer(smiles):
    one, two = (embed_smiles(smiles, seed).positions for seed in (1, 2))
    assert np.abs(one - two).max() > 0.01


@pytest.mark.parametrize("seed", [0, 2**31 - 1])
def test_the_smallest_and_the_largest_seed_are_accepted(seed):
    one, two = (embed_smiles("FS(F)(F)(F)(F)F", seed).positions for _ in range(2))
    np.testing.assert_array_equal(one, two)


def test_large_molecules_that_need_random_starting_coordinates_embed():
    assert (embed_smiles("C" * 60).atomic_numbers == 6).sum() == 60


@pytest.mark.parametrize("smiles", ["[Na+].[Cl-]", "c1ccccc1.c1ccccc1.O", "CC(=O)[O-].[NH4+]"])
def test_fragments_stand_a_gap_apart(smiles):
    conformer = embed_smiles(smiles)
    sizes = [Chem.AddHs(m).GetNumAtoms() for m in Chem.GetMolFrags(Chem.MolFromSmiles(smiles), asMols=True)]
    assert len(conformer.atomic_numbers) == sum(sizes)
    gaps = np.diff(np.sort(conformer.positions[:, 0]))
    assert np.isclose(gaps, FRAGMENT_GAP).sum() == len(sizes) - 1


# ------------------------------------------------------------------------------------------------------------- failures


def test_the_search_for_a_conformer_ends(monkeypatch):
    calls = []

    def embed(mol, parameters):
        calls.append((parameters.useRandomCoords, parameters.maxIterations, parameters.useExpTorsionAnglePrefs))
        return -1

    monkeypatch.setattr(conformers_geomclip.rdDistGeom, "EmbedMolecule", embed)
    with pytest.raises(MoleculeError, match="no conformer was found for 'CCO'; check its stereochemistry"):
        embed_smiles("CCO")
    assert calls == [(False, ITERATIONS, True), (True, ITERATIONS, True), (True, ITERATIONS, False)]


def put_at_one_place(mol: Chem.Mol, place: float) -> None:
    mol.RemoveAllConformers()
    mol.AddConformer(Chem.Conformer(mol.GetNumAtoms()))
    mol.GetConformer().SetPositions(np.array([[0.0, 0, 0.01 * i + place] for i in range(mol.GetNumAtoms())]))


def make_clashes(number: int, seeds: list[int]) -> Iterator:
    """Return a replacement for RDKit's `EmbedMolecule` whose first conformers clash."""
    embed = conformers_geomclip.rdDistGeom.EmbedMolecule

    def clash(mol, parameters) -> int:
        seeds.append(parameters.randomSeed)
        if len(seeds) > number:
            return embed(mol, parameters)
        put_at_one_place(mol, place=0.0)
        return 0

    return clash


@pytest.mark.parametrize("smiles", ["F[P-](F)(F)(F)(F)F", "c1cc[se]c1"])  # crowded and not crowded
def test_further_seeds_are_tried_until_a_conformer_has_no_clash(monkeypatch, smiles):
    expected = embed_smiles(smiles, seed=44)
    seeds = []
    monkeypatch.setattr(conformers_geomclip.rdDistGeom, "EmbedMolecule", make_clashes(2, seeds))
    np.testing.assert_array_equal(embed_smiles(smiles, seed=42).positions, expected.positions)
    assert [*dict.fromkeys(seeds)] == [42, 43, 44]  # each seed has a second kind of starting coordinates


def test_seeds_wrap_around_after_the_largest(monkeypatch):
    seeds = []
    monkeypatch.setattr(conformers_geomclip.rdDistGeom, "EmbedMolecule", make_clashes(2, seeds))
    embed_smiles("c1cc[se]c1", seed=2**31 - 1)
    assert seeds == [2**31 - 1, 0, 1]


@pytest.mark.parametrize("smiles", ["F[P-](F)(F)(F)(F)F", "c1cc[se]c1"])
def test_a_molecule_whose_conformers_all_clash_is_refused_and_the_atoms_are_named(monkeypatch, smiles):
    seeds = []
    monkeypatch.setattr(conformers_geomclip.rdDistGeom, "EmbedMolecule", make_clashes(99, seeds))
    with pytest.raises(
        MoleculeError,
        match=rf"atoms clash in all {SEEDS} conformers of .*: atoms \d \(\w+\) and \d \(\w+\) are 0\.\d\d Å apart",
    ):
        embed_smiles(smiles)
    assert len(seeds) == SEEDS


@pytest.mark.parametrize(
    ("molecule", "rule"),
    [
        (Chem.Mol(), "it has no atoms; drop it"),
        (Chem.MolFromSmiles("*C"), "dummy atom"),
        (Chem.MolFromSmiles("C[C@@H]1C[C@H]1[C@]12C[C@]1(C)C2"), "no conformer was found"),
    ],
)
def test_molecules_without_a_conformer_are_refused(molecule, rule):
    with pytest.raises(MoleculeError, match=rule):
        make_conformer(molecule, 42)


def test_large_molecules_are_refused_before_they_are_embedded(monkeypatch):
    monkeypatch.setattr(conformers_geomclip, "_make_fragment", None)
    with pytest.raises(MoleculeError, match="it has 242 atoms, more than max_atoms=200; raise max_atoms or drop it"):
        read_molecule("C" * 80, max_atoms=200)
    with pytest.raises(MoleculeError, match="it has 80 atoms, more than max_atoms=79; raise max_atoms or drop it"):
        read_molecule("C" * 80, remove_hydrogens=True, max_atoms=79)


@pytest.mark.parametrize(
    "smiles",
    ["CC1(C)OI(C(F)(F)F)c2ccccc12", "O=C1OI(C(F)(F)F)c2ccccc12", "FC(F)(F)C(=O)OI(OC(=O)C(F)(F)F)c1ccccc1"],
)
def test_a_conformer_that_a_force_field_ruins_is_kept_as_it_was_embedded(smiles):
    conformer = embed_smiles(smiles)
    assert conformer.methods == ((ETKDG, UNRELAXED),)
    check_distances(conformer.atomic_numbers, conformer.positions)


def test_ligand_angles_that_contradict_the_bonds_are_dropped():
    bipyridine = "c1ccn2->[Ru+2]34(<-n5ccccc5-c2c1)(<-n1ccccc1-c1ccccn->31)<-n1ccccc1-c1ccccn->41"
    conformer = embed_smiles(bipyridine)
    assert (conformer.atomic_numbers == 44).sum() == 1
