import pytest

from dataset_pubchem3d.chemistry.units import ENERGY_UNITS, convert_to_celsius, convert_to_grams_per_cm3

# CODATA 2018: the Hartree energy, the electron volt, the Avogadro constant; a calorie is 4.184 J
HARTREE, ELECTRON_VOLT, AVOGADRO, CALORIE = 4.3597447222071e-18, 1.602176634e-19, 6.02214076e23, 4.184


def test_energy_units_follow_from_physical_constants():
    assert ENERGY_UNITS["Hartree"]["eV"] == pytest.approx(HARTREE / ELECTRON_VOLT, rel=1e-10)
    assert ENERGY_UNITS["Hartree"]["kcal/mol"] == pytest.approx(HARTREE * AVOGADRO / CALORIE / 1000, rel=1e-8)


def test_temperature_and_density():
    assert convert_to_celsius(373.15) == 100
    assert convert_to_grams_per_cm3(997.0) == 0.997
