"""Elements: their symbols, the ones that Uni-Mol has a token for, and their counts in molecules."""

from collections import Counter

import numpy as np
from rdkit import Chem

DICTIONARY = (  # in the order of Uni-Mol's dict.txt, https://github.com/deepmodeling/Uni-Mol
    *("C", "N", "O", "S", "H", "Cl", "F", "Br", "I", "Si", "P", "B", "Na", "K", "Al", "Ca", "Sn", "As", "Hg", "Fe"),
    *("Zn", "Cr", "Se", "Gd", "Au", "Li"),
)
SYMBOLS = tuple(Chem.GetPeriodicTable().GetElementSymbol(number) for number in range(119))  # by atomic number
ATOMIC_NUMBERS = {symbol: number for number, symbol in enumerate(SYMBOLS) if number}
IN_DICTIONARY = np.isin(np.arange(256), [ATOMIC_NUMBERS[symbol] for symbol in DICTIONARY])  # by atomic number


def list_atomic_numbers(mol: Chem.Mol) -> list[int]:
    """Return the atomic number of each atom, in order."""
    return [atom.GetAtomicNum() for atom in mol.GetAtoms()]


def count_heavy_elements(mol: Chem.Mol) -> Counter[int]:
    """Count the atoms of each element except hydrogen, by atomic number."""
    return Counter(number for number in list_atomic_numbers(mol) if number > 1)


def count_elements(mol: Chem.Mol) -> Counter[int]:
    """Count the atoms of each element, by atomic number."""
    return Counter(list_atomic_numbers(mol))
