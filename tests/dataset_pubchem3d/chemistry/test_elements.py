import numpy as np
import pytest
from rdkit import Chem

from dataset_pubchem3d.chemistry.elements import (
    ATOMIC_NUMBERS,
    DICTIONARY,
    IN_DICTIONARY,
    SYMBOLS,
    count_elements,
    list_atomic_numbers,
)


def test_the_dictionary_equals_the_models():
    model = pytest.importorskip("modeling_geomclip.feature_extraction_geomclip")
    assert list(DICTIONARY) == [name for name in model.DICTIONARY.split() if not name.startswith("[")]


def test_symbols_and_atomic_numbers_are_inverse():
    assert (SYMBOLS[1], SYMBOLS[118], len(ATOMIC_NUMBERS)) == ("H", "Og", 118)
    assert all(ATOMIC_NUMBERS[SYMBOLS[number]] == number for number in range(1, 119))


def test_elements_of_the_dictionary():
    assert IN_DICTIONARY.dtype == bool
    assert np.flatnonzero(IN_DICTIONARY).tolist() == sorted(ATOMIC_NUMBERS[symbol] for symbol in DICTIONARY)


def test_atoms_are_counted_by_element():
    mol = Chem.AddHs(Chem.MolFromSmiles("OCC"))
    assert list_atomic_numbers(mol) == [8, 6, 6, 1, 1, 1, 1, 1, 1]
    assert count_elements(mol) == {8: 1, 6: 2, 1: 6}
