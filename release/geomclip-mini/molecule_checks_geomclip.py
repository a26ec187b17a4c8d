"""Check whether atoms and positions can be those of a molecule. This lowest layer needs only NumPy."""

from collections.abc import Sequence
from typing import Any

import numpy as np

LARGEST_COORDINATE = 1e5  # Å; beyond it, squared distances are meaningless in float32
# Å, by atomic number from 1. Source: Cordero et al., Dalton Trans. 2008, 2832, Table 2 (low-spin Mn, Fe and Co).
CORDERO = (
    ".31 .28 1.28 .96 .84 .76 .71 .66 .57 .58 1.66 1.41 1.21 1.11 1.07 1.05 1.02 1.06 2.03 1.76 1.70 1.60 1.53 1.39 "
    "1.39 1.32 1.26 1.24 1.32 1.22 1.22 1.20 1.19 1.20 1.20 1.16 2.20 1.95 1.90 1.75 1.64 1.54 1.47 1.46 1.42 1.39 "
    "1.45 1.44 1.42 1.39 1.39 1.38 1.39 1.40 2.44 2.15 2.07 2.04 2.03 2.01 1.99 1.98 1.98 1.96 1.94 1.92 1.92 1.89 "
    "1.90 1.87 1.87 1.75 1.70 1.62 1.51 1.44 1.41 1.36 1.36 1.32 1.45 1.46 1.48 1.40 1.50 1.50 2.60 2.21 2.15 2.06 "
    "2.00 1.96 1.90 1.87 1.80 1.69"
)
PERIODIC_TABLE = (
    "H He Li Be B C N O F Ne Na Mg Al Si P S Cl Ar K Ca Sc Ti V Cr Mn Fe Co Ni Cu Zn Ga Ge As Se Br Kr Rb Sr Y Zr Nb "
    "Mo Tc Ru Rh Pd Ag Cd In Sn Sb Te I Xe Cs Ba La Ce Pr Nd Pm Sm Eu Gd Tb Dy Ho Er Tm Yb Lu Hf Ta W Re Os Ir Pt Au "
    "Hg Tl Pb Bi Po At Rn Fr Ra Ac Th Pa U Np Pu Am Cm Bk Cf Es Fm Md No Lr Rf Db Sg Bh Hs Mt Ds Rg Cn Nh Fl Mc Lv Ts "
    "Og"
)
ELEMENTS = PERIODIC_TABLE.split()
LARGEST_ATOMIC_NUMBER = len(ELEMENTS)
BEYOND_CORDERO = 1.6  # Å, for the elements after curium
RADII = np.full(LARGEST_ATOMIC_NUMBER + 1, BEYOND_CORDERO)
RADII[0] = np.nan
RADII[1 : 1 + len(CORDERO.split())] = [float(radius) for radius in CORDERO.split()]
NONMETALS = np.isin(np.arange(len(RADII)), [1, 2, *range(5, 11), *range(14, 19), *range(33, 37), *range(52, 55)])

# The shortest known bonds, in sums of covalent radii, are 0.77 between nonmetals (N2) and 0.58 with metals (V2).
HEAVY_NONMETALS = NONMETALS & (np.arange(len(RADII)) > 1)
CLOSEST_FACTORS = (0.65, 0.55)  # in sums of radii; noise of 0.1 Å passes
CLOSEST = np.where(HEAVY_NONMETALS[:, None] & HEAVY_NONMETALS, *CLOSEST_FACTORS) * (RADII[:, None] + RADII)
CLOSEST_SQUARED = CLOSEST**2
COINCIDENT = 1e-2  # Å
IN_NANOMETRES = (0.05, 0.2)  # median distance to the nearest atom, in sums of covalent radii; in Å it is near 1
IN_PICOMETRES = 25  # smallest distance, in the same unit
IN_BOHR = (1.6, 2.3)  # median and 90th percentile of bonds, in the same unit
CLOSEST_IN_BOHR = 1.4  # no two atoms are closer if bonds of 0.77 to 1.2 are given in Bohr
ORGANIC = np.isin(np.arange(len(RADII)), [1, 6])  # nearly every bond of an organic molecule has one of these elements
FEWEST_ORGANIC = 3  # atoms with such bonds that reveal Bohr; ions, and the oxygens of water, may be far apart
ROWS_AT_ONCE = 512


class MoleculeError(ValueError):
    """A molecule cannot be used. No other exception results from a user's molecule.

    Attributes: `rule` (what is wrong), `remedy` (what to do), `value` (the molecule, shortened) and `index` (its index
    in the batch). Callers that know the last two fill them in.
    """

    def __init__(self, rule: str, remedy: str = "", value: str = "", index: int | None = None):
        super().__init__(rule)
        self.rule, self.remedy, self.value, self.index = rule, remedy, value, index

    @property
    def reason(self) -> str:
        """Rule and remedy in one line."""
        return "; ".join(part for part in (self.rule, self.remedy) if part)

    def __str__(self) -> str:
        place = "" if self.index is None else f" {self.index}"
        value = f" ({self.value})" if self.value else ""
        return f"molecule{place}{value}: {self.reason}" if place or value else self.reason


# --------------------------------------------------------------------------------------------------------------- arrays


def check_arrays(numbers: Any, positions: Any) -> tuple[np.ndarray, np.ndarray]:
    """Convert atomic numbers and positions to arrays and check them.

    Returns:
        Atomic numbers (atoms,) integer and positions (atoms, 3) float64.
    Raises:
        MoleculeError: there are no atoms, a shape or type is wrong, or an atomic number or coordinate is invalid.
    """
    try:
        numbers, positions = np.asarray(numbers), np.asarray(positions)
    except (TypeError, ValueError, RuntimeError, OverflowError) as error:
        raise MoleculeError(f"its atoms or positions are not arrays ({error})", "pass lists or arrays") from error
    if numbers.ndim == 1 and len(numbers) == 0:
        raise MoleculeError("it has no atoms", "drop it")
    if numbers.ndim != 1 or numbers.dtype.kind not in "iu":
        got = f"atomic_numbers have shape {numbers.shape} and type {numbers.dtype}"
        raise MoleculeError(got, "pass one list of integers")
    if positions.shape != (len(numbers), 3) or positions.dtype.kind not in "iuf":
        got = f"positions have shape {positions.shape} and type {positions.dtype} for {len(numbers)} atomic numbers"
        raise MoleculeError(got, f"pass real numbers of shape ({len(numbers)}, 3)")
    if numbers.min() < 1 or numbers.max() > LARGEST_ATOMIC_NUMBER:
        wrong = numbers[(numbers < 1) | (numbers > LARGEST_ATOMIC_NUMBER)][0]
        raise MoleculeError(f"{wrong} is not an atomic number", f"use 1 to {LARGEST_ATOMIC_NUMBER}")
    positions = positions.astype(np.float64)
    if not np.abs(positions).max() <= LARGEST_COORDINATE:  # false for NaN too
        atom = int(np.argmin((np.abs(positions) <= LARGEST_COORDINATE).all(axis=1)))
        rule = f"atom {atom} is at {positions[atom].tolist()}, not finite or not within {LARGEST_COORDINATE:g} Å"
        raise MoleculeError(rule, "correct or drop it")
    return numbers, positions


def check_num_atoms(num_atoms: int, max_atoms: int | None) -> None:
    """Raise a MoleculeError if there are more than `max_atoms` atoms."""
    if max_atoms is not None and num_atoms > max_atoms:
        raise MoleculeError(f"it has {num_atoms} atoms, more than max_atoms={max_atoms}", "raise max_atoms or drop it")


# ------------------------------------------------------------------------------------------------------------ distances


def check_distances(numbers: np.ndarray, positions: np.ndarray) -> None:
    """Refuse atoms that coincide or are closer than any bond, and coordinates in nm, pm or Bohr.

    Args:
        numbers: (atoms,), 1 to 118.
        positions: (atoms, 3), finite, Å.
    Raises:
        MoleculeError: names the two closest atoms, counted from 0, or the unit.
    """
    if len(numbers) == 1:
        return
    nearest, partners = _find_nearest(numbers, positions)
    atom = int(np.argmin(nearest))
    if nearest[atom] >= 1:  # in units of the shortest allowed distance
        _check_far(numbers, positions, nearest, partners)
        return
    if (np.ptp(positions, axis=0) < COINCIDENT).all():
        raise MoleculeError(
            "all of its atoms are at the same position, so it has no geometry", "pass its SMILES or real coordinates"
        )
    other = int(partners[atom])
    ratios = _divide_by_radii(nearest, numbers, partners)
    if IN_NANOMETRES[0] < np.median(ratios) < IN_NANOMETRES[1]:
        raise MoleculeError("its coordinates look like nanometres", "multiply them by 10 to get Å")
    distance = np.linalg.norm(positions[atom] - positions[other])
    if distance < COINCIDENT:
        raise MoleculeError(f"atoms {atom} and {other} coincide", "keep one of the alternate locations, or drop it")
    pair = f"atoms {atom} and {other} (atomic numbers {numbers[atom]} and {numbers[other]})"
    limit = CLOSEST[numbers[atom], numbers[other]]
    raise MoleculeError(
        f"{pair} are {distance:.2f} Å apart, closer than any bond of these elements ({limit:.2f} Å)",
        "pass coordinates in Å and only one of the alternate locations, or drop it",
    )


def _find_nearest(numbers: np.ndarray, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return each atom's smallest distance, (atoms,) in units of the shortest allowed one, and the other atom."""
    nearest, partners = np.empty(len(numbers)), np.empty(len(numbers), int)
    for start in range(0, len(numbers), ROWS_AT_ONCE):
        rows = slice(start, start + ROWS_AT_ONCE)
        apart = positions[rows, None] - positions
        ratios = np.einsum("ijk,ijk->ij", apart, apart)
        ratios /= CLOSEST_SQUARED[numbers[rows, None], numbers]
        places = np.arange(len(ratios))
        ratios[places, start + places] = np.inf
        partners[rows] = found = ratios.argmin(axis=1)
        nearest[rows] = ratios[places, found]
    return np.sqrt(nearest), partners


def _divide_by_radii(nearest: np.ndarray, numbers: np.ndarray, partners: np.ndarray) -> np.ndarray:
    """Convert distances from units of the shortest allowed one to sums of covalent radii."""
    others = numbers[partners]
    return nearest * CLOSEST[numbers, others] / (RADII[numbers] + RADII[others])


def _check_far(numbers: np.ndarray, positions: np.ndarray, nearest: np.ndarray, partners: np.ndarray) -> None:
    """Refuse coordinates in Bohr or picometres, in which no two atoms are as close as a bond in Å."""
    if nearest.min() < CLOSEST_IN_BOHR / CLOSEST_FACTORS[0]:  # the usual case
        return
    ratios, others = _divide_by_radii(nearest, numbers, partners), numbers[partners]
    if ratios.min() > IN_PICOMETRES:
        raise MoleculeError("its coordinates look like picometres", "multiply them by 0.01 to get Å")
    bonds = ratios[(ORGANIC[numbers] | ORGANIC[others]) & NONMETALS[numbers] & NONMETALS[others]]
    if ratios.min() < CLOSEST_IN_BOHR or len(bonds) < FEWEST_ORGANIC:
        return
    if IN_BOHR[0] < np.median(bonds) <= np.quantile(bonds, 0.9) < IN_BOHR[1]:
        raise MoleculeError("its coordinates look like Bohr", "multiply them by 0.529177 to get Å")


def measure_closest(numbers: np.ndarray, positions: np.ndarray, counts: np.ndarray) -> tuple[float, int, int]:
    """Return the smallest distance of two atoms, in sums of their covalent radii, and their indices; inf for no pairs.

    Args:
        counts: (atoms, atoms) bool, pairs that count; the diagonal is ignored.
    """
    distances = np.linalg.norm(positions[:, None] - positions, axis=-1)
    ratios = np.where(counts, distances / (RADII[numbers][:, None] + RADII[numbers]), np.inf)
    np.fill_diagonal(ratios, np.inf)
    if ratios.size == 0:
        return np.inf, 0, 0
    one, other = np.unravel_index(np.argmin(ratios), ratios.shape)
    return float(ratios[one, other]), int(one), int(other)


def sum_radii(one: int, other: int) -> float:
    """Return the sum of the covalent radii of two elements, Å."""
    return float(RADII[one] + RADII[other])


# ------------------------------------------------------------------------------------------------------------- drawings

FLAT = 1e-3  # Å; the atoms of a drawing have the same z, apart from rounding
TETRAHEDRAL = (5, 6, 7, 14, 15, 16)  # elements that never lie in a plane with four neighbours
DRAWN_LENGTHS = (0.77, 1.25)  # range of the median bond of a real molecule, in sums of covalent radii
LONGEST_MULTIPLE = 0.98  # longest double or triple bond, in the same unit


def is_drawing(
    numbers: np.ndarray, positions: np.ndarray, bonds: Sequence[tuple[int, int, float]], num_missing: int
) -> bool:
    """Return whether positions are those of a 2D drawing, even if they are labelled 3D.

    In a drawing, all atoms have the same z. In addition, hydrogens are missing, an atom with four neighbours is flat,
    or bonds have impossible lengths: hydrogens as far away as other atoms, or double bonds as long as single ones.

    Args:
        bonds: pairs of atoms and the order of their bond, 1.5 for an aromatic bond.
        num_missing: number of hydrogens that the molecule has and the positions lack.
    """
    extents = np.ptp(positions, axis=0) if len(numbers) else np.zeros(3)
    if extents[2] > FLAT or extents.max() < COINCIDENT:
        return False
    if num_missing and not (numbers == 1).any():
        return True
    return len(numbers) > 2 and _has_drawn_bonds(numbers, positions, bonds)  # two atoms always lie in a plane


def _has_drawn_bonds(numbers: np.ndarray, positions: np.ndarray, bonds: Sequence[tuple[int, int, float]]) -> bool:
    table = np.array(bonds, dtype=float).reshape(-1, 3)
    one, other = table[:, :2].astype(int).T
    lengths = np.linalg.norm(positions[one] - positions[other], axis=1) / (RADII[numbers[one]] + RADII[numbers[other]])
    to_hydrogen = (numbers[one] == 1) | (numbers[other] == 1)
    degrees = np.bincount(np.concatenate([one, other]), minlength=len(numbers))
    return bool(
        ((degrees >= 4) & np.isin(numbers, TETRAHEDRAL)).any()
        or (lengths[to_hydrogen] > DRAWN_LENGTHS[1]).any()
        or (lengths[table[:, 2] >= 2] > LONGEST_MULTIPLE).any()
        or (len(lengths) > 0 and not DRAWN_LENGTHS[0] < np.median(lengths) < DRAWN_LENGTHS[1])
    )
