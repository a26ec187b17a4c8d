"""Make a conformer with hydrogens for a molecule without coordinates, and record how it was made.

Source: Wang et al., JCIM 2020 (ETKDGv3); Tosco et al., J. Cheminform. 2014 (MMFF94 in RDKit); Rappé et al., JACS 1992
(UFF); Blaney & Dixon, Rev. Comput. Chem. 1994 (distance geometry).
"""

from collections.abc import Iterator
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np

from .molecule_checks_geomclip import NONMETALS, MoleculeError, check_num_atoms, measure_closest, sum_radii
from .rdkit_log_geomclip import guard_rdkit

try:
    from rdkit import Chem, DistanceGeometry
    from rdkit.Chem import rdDistGeom, rdForceFieldHelpers
except ImportError:
    Chem = None

FRAGMENT_GAP = 4.0  # Å between the extents of neighbouring fragments
ITERATIONS = 50  # per kind of starting coordinates
SEEDS = 5  # to try if atoms clash
MINIMISATION_STEPS = 500
CLOSEST_BONDED = 0.72  # smallest distance of any two atoms, in sums of covalent radii
CLOSEST_UNBONDED = 1.1  # the same for heavy nonmetals without a bond between them
CLOSEST_OF_METALS = 0.9  # the same if one atom is a metal
SINGLE_BOND_MARGIN = 0.07  # Å; a multiple bond is shorter than a single bond by at least this much
LIGAND_ANGLES = {5: 90.0, 6: 90.0, 7: 72.0, 8: 70.0}  # smallest angle between ligands (degrees), by their number
LARGEST_CHELATE = 7  # atoms in a ring that links two ligands
LIGAND_TOLERANCE = 0.78  # fraction of the distance at that angle

ETKDG, DISTANCE_GEOMETRY = "ETKDGv3", "distance geometry without torsion knowledge"
MMFF94, UFF, UNRELAXED = "MMFF94", "UFF", "unrelaxed"
EMBEDDED, NOTHING = "as embedded", ""  # if no force field is wanted, and for a single atom


class Conformer(NamedTuple):
    """Atomic numbers (atoms,) int64 and positions (atoms, 3) float64 in Å, hydrogens included.

    `methods` gives the source of the starting coordinates and the force field of each fragment.
    """

    atomic_numbers: np.ndarray
    positions: np.ndarray
    methods: tuple[tuple[str, str], ...]


def make_conformer(
    mol: "Chem.Mol", seed: int, remove_hydrogens: bool = False, max_atoms: int | None = None, relax: bool = True
) -> Conformer:
    """Make a conformer that depends only on the molecule and the seed, not on how the molecule was written.

    Each fragment is read from its canonical SMILES and embedded with ETKDGv3. If ETKDGv3 fails (cages), distance
    geometry without torsion knowledge is used. The fragment is relaxed with MMFF94, or with UFF if MMFF94 lacks
    parameters. If both lack parameters, or without `relax`, it stays as embedded. Fragments are placed side by side
    along x.

    Raises:
        MoleculeError: the molecule has no atoms, a dummy atom, or more than `max_atoms` atoms (without hydrogens if
            they are to be removed); no conformer is found, or atoms clash in all of them.
    """
    if mol.GetNumAtoms() == 0:
        raise MoleculeError("it has no atoms", "drop it")
    for atom in mol.GetAtoms():
        atom.SetAtomMapNum(0)
        if atom.GetAtomicNum() == 0:
            raise MoleculeError("it has a dummy atom (*), which has no element", "replace it with an atom or drop it")
    # Checked first, because embedding a large molecule can take minutes.
    check_num_atoms(mol.GetNumHeavyAtoms() if remove_hydrogens else mol.GetNumAtoms(onlyExplicit=False), max_atoms)

    with guard_rdkit():
        fragments = [_make_fragment(smiles, seed, relax) for smiles in Chem.MolToSmiles(mol).split(".")]
    edge = 0.0
    for _, positions, _ in fragments:
        positions[:, 0] += edge - positions[:, 0].min()
        edge = positions[:, 0].max() + FRAGMENT_GAP
    numbers, positions, methods = zip(*fragments)
    return Conformer(np.concatenate(numbers), np.concatenate(positions), methods)


def _make_fragment(smiles: str, seed: int, relax: bool) -> tuple[np.ndarray, np.ndarray, tuple[str, str]]:
    mol = Chem.MolFromSmiles(smiles)
    if mol is None:
        raise MoleculeError(f"RDKit cannot read its own canonical SMILES {smiles!r}", "pass 3D coordinates")
    mol = Chem.AddHs(mol)
    numbers, clash = np.array([atom.GetAtomicNum() for atom in mol.GetAtoms()]), ""
    for start in _embed(mol, smiles, seed):
        embedded = mol.GetConformer().GetPositions()
        try:
            force_field = _relax(mol, start) if relax else EMBEDDED
        except Chem.MolSanitizeException:  # a ring that the force field cannot kekulize
            force_field = UNRELAXED
        # A force field may push atoms together that were embedded well (UFF in iodanes).
        for positions, name in ((mol.GetConformer().GetPositions(), force_field), (embedded, UNRELAXED)):
            clash = _find_clash(mol, numbers, positions)
            if not clash:
                return numbers, positions, (start, name)
    raise MoleculeError(f"atoms clash in all {SEEDS} conformers of {smiles!r}: {clash}", "pass 3D coordinates")


# ------------------------------------------------------------------------------------------------ starting coordinates


def _embed(mol: "Chem.Mol", smiles: str, seed: int) -> Iterator[str]:
    """Embed `mol` with one seed after another, and yield the method each time."""
    bounds = _make_bounds(mol) if _list_crowded_centres(mol) else None
    for number in range(SEEDS):
        name = _embed_once(mol, (seed + number) % 2**31, bounds)
        if not name and bounds is not None:  # ours may contradict RDKit's own
            name = _embed_once(mol, (seed + number) % 2**31, None)
        if not name:
            raise MoleculeError(
                f"no conformer was found for {smiles!r}", "check its stereochemistry or pass 3D coordinates"
            )
        yield name


def _embed_once(mol: "Chem.Mol", seed: int, bounds: np.ndarray | None) -> str:
    """Embed `mol` and return the method, or "" if it failed."""
    for name, make, is_random in (
        (ETKDG, rdDistGeom.ETKDGv3, False),
        (ETKDG, rdDistGeom.ETKDGv3, True),
        (DISTANCE_GEOMETRY, rdDistGeom.EmbedParameters, True),
    ):
        parameters = make()
        parameters.randomSeed, parameters.maxIterations, parameters.useRandomCoords = seed, ITERATIONS, is_random
        if bounds is not None:
            parameters.SetBoundsMat(bounds)
            parameters.ignoreSmoothingFailures = True
        try:
            if rdDistGeom.EmbedMolecule(mol, parameters) == 0:
                return name
        except RuntimeError:  # bounds that contradict each other
            if bounds is None:
                raise
    return ""


def _list_crowded_centres(mol: "Chem.Mol") -> list["Chem.Atom"]:
    """Return the atoms with so many ligands that RDKit's distance geometry and UFF let the ligands overlap."""
    return [atom for atom in mol.GetAtoms() if atom.GetDegree() in LIGAND_ANGLES]


def _list_ligand_pairs(mol: "Chem.Mol") -> Iterator[tuple[int, int, int]]:
    """Yield each crowded centre with two of its ligands that are not linked by a ring."""
    rings = [{*ring} for ring in mol.GetRingInfo().AtomRings() if len(ring) <= LARGEST_CHELATE]
    for centre in _list_crowded_centres(mol):
        for one, other in combinations([atom.GetIdx() for atom in centre.GetNeighbors()], 2):
            trio = centre.GetIdx(), one, other
            if not any(ring.issuperset(trio) for ring in rings):
                yield trio


def _make_bounds(mol: "Chem.Mol") -> np.ndarray:
    """Return RDKit's distance bounds with `LIGAND_ANGLES` applied, (atoms, atoms), Å, upper ones above the diagonal."""
    bounds = rdDistGeom.GetMoleculeBoundsMatrix(mol)
    for centre, one, other in _list_ligand_pairs(mol):
        lengths = [bounds[tuple(sorted((centre, ligand)))] for ligand in (one, other)]
        low, high = max(one, other), min(one, other)  # index of the lower bound
        bounds[low, high] = _measure_chord(*lengths, mol.GetAtomWithIdx(centre).GetDegree())
        bounds[high, low] = max(bounds[high, low], sum(lengths))
    DistanceGeometry.DoTriangleSmoothing(bounds)
    return bounds


def _measure_chord(one: float, other: float, num_ligands: int) -> float:
    """Return the distance of two ligands at the smallest angle, Å, from their bond lengths."""
    angle = np.radians(LIGAND_ANGLES[num_ligands])
    return float(np.sqrt(one**2 + other**2 - 2 * one * other * np.cos(angle)))


# ---------------------------------------------------------------------------------------------------------- relaxation


def _relax(mol: "Chem.Mol", start: str) -> str:
    """Minimise the energy and return the force field, or `UNRELAXED` if none has parameters.

    Crowded centres and their ligands stay fixed. Cages are relaxed with UFF, because MMFF94 makes the bonds of
    fullerenes 1.36 and 1.51 Å long.
    """
    if mol.GetNumAtoms() == 1:
        return NOTHING
    crowded = {i for centre, *ligands in _list_ligand_pairs(mol) for i in (centre, *ligands)}
    if len(crowded) == mol.GetNumAtoms():
        return UNRELAXED
    properties = None if start == DISTANCE_GEOMETRY else rdForceFieldHelpers.MMFFGetMoleculeProperties(mol)
    has_mmff = properties is not None and not _has_stretched_bond(mol, properties)
    if not has_mmff and not rdForceFieldHelpers.UFFHasAllMoleculeParams(mol):
        return UNRELAXED
    if crowded:
        _minimise_around(mol, properties if has_mmff else None, crowded)
    else:  # in C++ and without the GIL, so that several threads can relax molecules
        minimise = rdForceFieldHelpers.MMFFOptimizeMolecule if has_mmff else rdForceFieldHelpers.UFFOptimizeMolecule
        minimise(mol, maxIters=MINIMISATION_STEPS)
    return MMFF94 if has_mmff else UFF


def _minimise_around(mol: "Chem.Mol", properties: Any, fixed: set[int]) -> None:
    """Minimise the energy of MMFF94, or of UFF without properties, with some atoms fixed."""
    if properties is None:
        field = rdForceFieldHelpers.UFFGetMoleculeForceField(mol)
    else:
        field = rdForceFieldHelpers.MMFFGetMoleculeForceField(mol, properties)
    field.Initialize()
    for atom in fixed:
        field.AddFixedPoint(atom)
    field.Minimize(maxIts=MINIMISATION_STEPS)


def _has_stretched_bond(mol: "Chem.Mol", properties: Any) -> bool:
    """Return whether MMFF94 makes a multiple bond as long as a single one, because it lacks a parameter (N2, CS2)."""
    for bond in mol.GetBonds():
        if bond.GetBondTypeAsDouble() >= 2:
            one, other = bond.GetBeginAtom(), bond.GetEndAtom()
            stretch = properties.GetMMFFBondStretchParams(mol, one.GetIdx(), other.GetIdx())
            single = sum_radii(one.GetAtomicNum(), other.GetAtomicNum())
            if stretch is not None and stretch[2] > single - SINGLE_BOND_MARGIN:
                return True
    return False


# -------------------------------------------------------------------------------------------------------------- clashes


def _find_clash(mol: "Chem.Mol", numbers: np.ndarray, positions: np.ndarray) -> str:
    """Describe two atoms that are too close, bonded or not; return "" if there are none."""
    ratio, one, other = measure_closest(numbers, positions, np.ones((len(numbers), len(numbers)), bool))
    if ratio < CLOSEST_BONDED:
        return _describe_pair(numbers, positions, one, other)
    heavy = np.flatnonzero(numbers > 1)
    bonds = Chem.GetAdjacencyMatrix(mol)[np.ix_(heavy, heavy)]
    unbonded = (bonds == 0) & (bonds @ bonds < 2)  # atoms are closer across four-membered rings (Si2O2, Al2O2)
    of_nonmetals = NONMETALS[numbers[heavy]][:, None] & NONMETALS[numbers[heavy]]
    for pairs, limit in ((unbonded & of_nonmetals, CLOSEST_UNBONDED), (unbonded, CLOSEST_OF_METALS)):
        ratio, one, other = measure_closest(numbers[heavy], positions[heavy], pairs)
        if ratio < limit:
            return _describe_pair(numbers, positions, heavy[one], heavy[other])
    for centre, one, other in _list_ligand_pairs(mol):
        lengths = np.linalg.norm(positions[[one, other]] - positions[centre], axis=1)
        chord = _measure_chord(*lengths, mol.GetAtomWithIdx(centre).GetDegree())
        if np.linalg.norm(positions[one] - positions[other]) < LIGAND_TOLERANCE * chord:
            return _describe_pair(numbers, positions, one, other)
    return ""


def _describe_pair(numbers: np.ndarray, positions: np.ndarray, one: int, other: int) -> str:
    symbols = [Chem.GetPeriodicTable().GetElementSymbol(int(numbers[i])) for i in (one, other)]
    distance = np.linalg.norm(positions[one] - positions[other])
    return f"atoms {one} ({symbols[0]}) and {other} ({symbols[1]}) are {distance:.2f} Å apart"
