"""Radii of ASE and RDKit, molecules of the G2 set, and short bonds from Huber & Herzberg and later papers."""

import ase
import ase.data
import numpy as np
import pytest
from ase.collections import g2
from rdkit import Chem
from rdkit.Chem import rdDepictor

from modeling_geomclip import MoleculeError
from modeling_geomclip.molecule_checks_geomclip import (
    CLOSEST,
    ELEMENTS,
    RADII,
    ROWS_AT_ONCE,
    check_arrays,
    check_distances,
    is_drawing,
    measure_closest,
    sum_radii,
)
from modeling_geomclip.molecules_geomclip import read_mol_block, read_molecule

BOHR = 0.529177210903  # Å, CODATA 2018
G2 = {name: (g2[name].numbers, g2[name].positions) for name in g2.names}
WATER = np.array([[0.0, 0.0, 0.119], [0.0, 0.763, -0.477], [0.0, -0.763, -0.477]])
CURIUM = 96


def find_rule(numbers, positions) -> str:
    """Return the rule that the distances break, "" if they break none."""
    try:
        check_distances(np.asarray(numbers), np.asarray(positions, float))
    except MoleculeError as error:
        return error.rule
    return ""


# ---------------------------------------------------------------------------------------------------------------- radii


def test_elements_and_radii_are_those_of_ase_and_with_two_exceptions_of_rdkit():
    assert ase.data.chemical_symbols[1:] == ELEMENTS
    np.testing.assert_allclose(RADII[1 : CURIUM + 1], ase.data.covalent_radii[1 : CURIUM + 1])
    table = Chem.GetPeriodicTable()
    rdkit = {ELEMENTS[z - 1]: table.GetRcovalent(z) for z in range(1, CURIUM + 1)}
    differing = {symbol: radius for symbol, radius in rdkit.items() if radius != RADII[ELEMENTS.index(symbol) + 1]}
    assert differing == {"V": 1.52, "Ra": 2.2}  # RDKit rounds; Cordero's table has 1.53 and 2.21


def test_elements_after_curium_have_a_radius_too():
    assert np.isfinite(RADII[1:]).all()
    assert len(RADII) == 119
    assert np.array_equal(CLOSEST, CLOSEST.T, equal_nan=True)
    assert sum_radii(6, 1) == pytest.approx(ase.data.covalent_radii[6] + ase.data.covalent_radii[1])


# ------------------------------------------------------------------------------------------------------------ distances

SHORT_BONDS = {  # Å
    "H H": 0.741, "He H": 0.774, "N N": 1.098, "C O": 1.128, "N O": 1.063, "C N": 1.172, "C C": 1.203, "B O": 1.204,
    "O O": 1.116, "F H": 0.917, "Ar H": 1.28, "O H": 0.958, "I H": 1.609, "P N": 1.491, "Si O": 1.510, "P P": 1.893,
    "Cr Cr": 1.68, "V V": 1.77, "Mo Mo": 1.93, "Nb Nb": 2.078, "Ti Ti": 1.943, "U O": 1.75, "U N": 1.74, "V O": 1.589,
    "Th O": 1.84, "La O": 1.826, "Ce O": 1.82, "Ti O": 1.62, "Cr N": 1.563, "Ir N": 1.609, "Os O": 1.71, "Ba O": 1.94,
    "Cs F": 2.345, "Li H": 1.595, "Cu H": 1.463, "Au H": 1.524, "Pt C": 1.677,
}  # fmt: skip


@pytest.mark.parametrize("pair", SHORT_BONDS)
def test_the_shortest_known_bonds_pass_and_bonds_of_half_the_length_do_not(pair):
    numbers = [ELEMENTS.index(symbol) + 1 for symbol in pair.split()]
    positions = np.array([[0.0, 0.0, 0.0], [SHORT_BONDS[pair], 0.0, 0.0]])
    assert find_rule(numbers, positions) == ""
    if numbers[0] > 2:  # H2 and HeH+ are longer than the sum of radii
        assert "closer than any bond of these elements" in find_rule(numbers, positions / 2)


def test_all_molecules_of_g2_pass():
    assert len(G2) == 162
    assert {name: rule for name, atoms in G2.items() if (rule := find_rule(*atoms))} == {}


def test_all_molecules_of_g2_in_nanometres_are_recognised():
    molecules = {name: atoms for name, atoms in G2.items() if len(atoms[0]) > 1}
    assert len(molecules) == 148
    rules = {name: find_rule(numbers, positions * 0.1) for name, (numbers, positions) in molecules.items()}
    assert set(rules.values()) == {"its coordinates look like nanometres"}


def test_molecules_of_g2_with_carbon_or_hydrogen_are_recognised_in_bohr():
    organic = {name: atoms for name, atoms in G2.items() if len(atoms[0]) >= 3 and {*atoms[0]} <= {1, 6, 7, 8}}
    assert len(organic) == 72
    rules = {name: find_rule(numbers, positions / BOHR) for name, (numbers, positions) in organic.items()}
    told = [name for name, rule in rules.items() if rule == "its coordinates look like Bohr"]
    # The others have few bonds of these elements, or mostly multiple bonds.
    assert {*rules} - {*told} <= {"N2O", "NO2", "O3", "H2O2", "HCO", "CO2", "NCCN", "HCN", "CCH"}


def test_oxygens_of_water_without_hydrogens_are_not_taken_for_bohr():
    cluster = np.array([[0, 0, 0], [2.75, 0, 0], [0, 2.75, 0], [2.75, 2.75, 0.3]])
    assert find_rule([8, 8, 8, 8], cluster) == ""
    assert find_rule([8, 7, 8, 7], cluster) == ""


def test_no_molecule_of_g2_in_bohr_is_reported_as_nanometres_or_clashing():
    rules = {find_rule(numbers, positions / BOHR) for numbers, positions in G2.values()}
    assert rules == {"", "its coordinates look like Bohr"}


def test_coincident_atoms_are_reported_with_their_indices():
    assert find_rule([6, 8, 6], [[0, 0, 0], [1.2, 0, 0], [1.2, 0, 0.001]]) == "atoms 1 and 2 coincide"
    rule = find_rule([6, 8, 6], [[0, 0, 0], [1.2, 0, 0], [0.5, 0, 0.0]])
    assert rule.startswith("atoms 0 and 2 (atomic numbers 6 and 6) are 0.50 Å apart, closer than any bond")


@pytest.mark.parametrize("shift", [0.0, 0.02, 0.3])
def test_alternate_locations_listed_twice_are_refused(shift):
    numbers, positions = G2["CH3CH2OH"]
    twice = np.concatenate([positions, np.add(positions, [shift, 0, 0])])
    assert find_rule([*numbers, *numbers], twice)


def test_one_alternate_location_of_one_atom_is_refused_with_both_indices():
    numbers, positions = G2["C6H6"]
    positions = np.concatenate([positions, np.add(positions[:1], [0, 0, 0.4])])
    assert "atoms 0 and 12" in find_rule([*numbers, 6], positions)


@pytest.mark.parametrize("place", [0.0, 3.25])
def test_atoms_all_at_the_same_position_have_no_geometry(place):
    assert "all of its atoms are at the same position" in find_rule([6, 8, 1], np.full((3, 3), place))


def test_a_single_atom_passes_wherever_it_is():
    assert find_rule([2], [[0, 0, 0]]) == ""


@pytest.mark.parametrize("num_atoms", [ROWS_AT_ONCE - 1, ROWS_AT_ONCE, ROWS_AT_ONCE + 1, 2 * ROWS_AT_ONCE + 3])
def test_large_molecules_are_checked_across_blocks(num_atoms):
    grid = np.argwhere(np.ones((12, 12, 12)))[:num_atoms] * 1.5
    numbers = np.full(num_atoms, 6)
    assert find_rule(numbers, grid) == ""
    grid[-1] = grid[1] + [0.3, 0, 0]
    assert f"atoms 1 and {num_atoms - 1}" in find_rule(numbers, grid)


SALTS = [
    "[Na+].[OH-]",
    "[NH4+].[I-]",
    "[Ca+2].[Cl-].[Cl-]",
    "[Al+3].[Cl-].[Cl-].[Cl-]",
    "[Mg+2].[Cl-].[Cl-].O.O.O.O.O.O",
    "[Li+].[F-]",
    "[Cs+].[I-]",
    "[NH4+].[F-]",
    "[Na+].[N-]=[N+]=[N-]",
    "[K+].[C-]#N",
    "[Ag+].[O-][N+](=O)[O-]",
    "[Ba+2].[O-]S(=O)(=O)[O-]",
    "[K+].[K+].[O-]C(=O)[O-]",
    "CC(=O)[O-].[Na+]",
    "C[N+](C)(C)C.[OH-]",
    "[Zn+2].[O-2]",
    "[Fe+3].[Cl-].[Cl-].[Cl-]",
    "[Li+].[H-]",
    "[NH4+].[NH4+].[S-2]",
    "[H+].[Cl-]",
    "[Li+].[Li+].[Li+].[N-3]",
    "N.N.N",
    "O.O.O",
    "[H][H].[H][H]",
]


@pytest.mark.parametrize("remove_hydrogens", [False, True])
@pytest.mark.parametrize("smiles", SALTS)
def test_conformers_of_salts_and_clusters_pass_the_checks(smiles, remove_hydrogens):
    record = read_molecule(smiles, remove_hydrogens=remove_hydrogens)
    again = read_molecule(record)
    np.testing.assert_array_equal(record["positions"], again["positions"])


def test_the_closest_of_the_pairs_that_count_is_measured_in_sums_of_radii():
    numbers, counts = np.array([8, 1, 1]), np.ones((3, 3), bool)
    ratio, one, other = measure_closest(numbers, WATER, counts)
    assert (ratio, {one, other}) == (pytest.approx(np.linalg.norm(WATER[0] - WATER[1]) / 0.97), {0, 1})
    counts[0], counts[:, 0] = False, False
    ratio, one, other = measure_closest(numbers, WATER, counts)
    assert (ratio, {one, other}) == (pytest.approx(1.526 / 0.62), {1, 2})
    assert measure_closest(numbers, WATER, np.zeros((3, 3), bool))[0] == np.inf
    assert measure_closest(np.array([], int), np.empty((0, 3)), np.empty((0, 0), bool))[0] == np.inf


# --------------------------------------------------------------------------------------------------------------- arrays


def test_arrays_are_taken_as_they_are():
    numbers, positions = check_arrays([8, 1, 1], WATER.astype(np.float32))
    assert (numbers.tolist(), positions.dtype) == ([8, 1, 1], np.float64)
    np.testing.assert_array_equal(positions, WATER.astype(np.float32))


# ------------------------------------------------------------------------------------------------------------- drawings


def draw(smiles: str, length: float, with_hydrogens: bool) -> Chem.Mol:
    """Return RDKit's drawing with bonds of one length (Å), labelled 3D."""
    mol = Chem.MolFromSmiles(smiles)
    mol = Chem.AddHs(mol) if with_hydrogens else mol
    rdDepictor.Compute2DCoords(mol, bondLength=length)
    mol.GetConformer().Set3D(True)
    return mol


DRAWN = [
    "CCO",
    "c1ccccc1",
    "CC(=O)O",
    "C[C@H](N)C(=O)O",
    "c1ccc2ccccc2c1",
    "CC(C)(C)C",
    "ClC(Cl)(Cl)Cl",
    "FC(F)=C(F)F",
    "CS(C)(=O)=O",
    "O=C1C=CC(=O)C=C1",
    "c1ccsc1",
    "C1CC1",
    "CC#N",
    "O=C=O",
    "Fc1c(F)c(F)c(F)c(F)c1F",
    "FS(F)(F)(F)(F)F",
    "F[B-](F)(F)F.[Na+]",
]


@pytest.mark.parametrize("with_hydrogens", [False, True])
@pytest.mark.parametrize("smiles", DRAWN)
def test_rdkit_drawings_tagged_3d_are_not_geometries(smiles, with_hydrogens):
    mol = draw(smiles, 1.5, with_hydrogens)
    block = Chem.MolToMolBlock(mol, kekulize=True)
    assert block.splitlines()[1].endswith("3D")
    assert read_mol_block(block) is None
    made = read_molecule(block)
    np.testing.assert_array_equal(made["positions"], read_molecule(smiles)["positions"])


@pytest.mark.parametrize("length", [1.0, 0.825])  # of PubChem and of ChemDraw
@pytest.mark.parametrize("smiles", DRAWN)
def test_drawings_with_the_bond_lengths_of_other_programs_are_not_geometries(smiles, length):
    block = Chem.MolToMolBlock(draw(smiles, length, with_hydrogens=False))
    try:
        assert read_mol_block(block) is None
    except MoleculeError as error:  # without hydrogens, a drawing may look like a molecule that is too small
        assert smiles == "FC(F)=C(F)F"
        assert "closer than any bond" in error.rule  # noqa: PT017


def lay_flat(numbers: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """Rotate a planar molecule into a plane of constant z."""
    axes = np.linalg.svd(positions - positions.mean(axis=0))[2]
    return positions @ axes.T


FLAT_BONDS = {"C6H6": (1.5, 1.39), "C2H4": (2, 1.33), "H2CO": (2, 1.2), "C4H4NH": (1.5, 1.4), "C2H2": (3, 1.2)}


@pytest.mark.parametrize("name", FLAT_BONDS)
def test_flat_molecules_in_a_plane_of_constant_z_are_geometries(name):
    numbers, positions = G2[name]
    flat = lay_flat(numbers, positions)
    assert np.ptp(flat[:, 2]) < 1e-3
    distances = np.linalg.norm(flat[:, None] - flat, axis=-1) / (RADII[numbers][:, None] + RADII[numbers])
    order = FLAT_BONDS[name][0]
    bonds = [
        (i, j, order if 1 not in (numbers[i], numbers[j]) else 1)
        for i in range(len(numbers))
        for j in range(i)
        if distances[i, j] < 1.25
    ]
    assert len(bonds) >= len(numbers) - 1
    assert not is_drawing(numbers, flat, bonds, num_missing=0)
    heavy = numbers > 1
    if heavy.sum() > 1:  # without its hydrogens it is taken for a drawing
        assert is_drawing(numbers[heavy], flat[heavy], [], num_missing=1)
    assert is_drawing(numbers, flat * 0.6, bonds, num_missing=0)
    tilted = flat + np.linspace(0, 0.1, len(flat))[:, None] * [0, 0, 1]
    assert not is_drawing(numbers, tilted, bonds, num_missing=1)


def test_coincident_atoms_and_no_atoms_are_not_a_drawing():
    assert not is_drawing(np.array([6, 6, 6]), np.zeros((3, 3)), [(0, 1, 1), (1, 2, 1)], num_missing=8)
    assert not is_drawing(np.array([], int), np.empty((0, 3)), [], num_missing=0)
