"""Units of energy, temperature and density."""

EV_PER_HARTREE = 27.211386246  # CODATA 2018
KCAL_PER_MOL_PER_HARTREE = 627.5094740  # CODATA 2018
ENERGY_UNITS = {"Hartree": {"eV": EV_PER_HARTREE, "kcal/mol": KCAL_PER_MOL_PER_HARTREE}}  # factors to other units


def convert_to_celsius(kelvin: float) -> float:
    """Convert a temperature from K to °C."""
    return kelvin - 273.15


def convert_to_grams_per_cm3(kg_per_m3: float) -> float:
    """Convert a density from kg/m³ to g/cm³."""
    return kg_per_m3 / 1000
