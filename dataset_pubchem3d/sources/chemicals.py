"""Names and measured properties of compounds, as the PyPI package `chemicals` ships them (only its files are read).

Names come from PubChem, properties from published tables. Of the property tables only those are read whose values
are measured; every table that also holds estimates is left out: JOBACK and all `*_predictions` tables (computed from
the structure), Yaws, PSRK and Pina-Martinez ("experimental and predicted" in the package's words), the NIST WebBook
constants ("mostly experimental"), Wikidata, and the logP tables (not said to be experimental).
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import pandas as pd

from ..descriptions import Measurement
from . import installed_folder

IDENTIFIERS = "Identifiers/chemical identifiers pubchem large.tsv"
LICENSE_URL = "https://github.com/CalebBell/chemicals/blob/master/LICENSE.txt"


class MeasuredTable(NamedTuple):
    """A table of measured values: its file, which property lies in which column (SI units), its name in a text, and
    why its values count as measured."""

    file: str
    columns: dict[str, str]
    source: str
    reason: str


MEASURED_TABLES = (  # the first table that has a property gives its value
    MeasuredTable(
        "Misc/Physical Constants of Organic Compounds.csv",
        {"melting point": "Tm", "boiling point": "Tb", "density": "rho"},
        "the CRC Handbook",
        "CRC Handbook of Chemistry and Physics, 95th edition; `chemicals` classes the handbook as derived from "
        "experiments only",
    ),
    MeasuredTable(
        "Phase Change/OpenNotebook Melting Points.tsv",
        {"melting point": "Tm"},
        "the Open Notebook Science collection",
        "the Open Melting Point collection of measured values",
    ),
    MeasuredTable(
        "Misc/common_chemistry_data.tsv",
        {"melting point": "Tm"},
        "CAS Common Chemistry",
        "an experimental property at CAS; its boiling points are not used, as many were taken under reduced pressure, "
        "which the table does not tell",
    ),
    MeasuredTable(
        "Critical Properties/IUPACOrganicCriticalProps.tsv",
        {"critical temperature": "Tc"},
        "the IUPAC review of critical properties",
        "critically evaluated experimental data, each with its reference",
    ),
    MeasuredTable(
        "Critical Properties/CRCCriticalOrganics.tsv",
        {"critical temperature": "Tc"},
        "the CRC Handbook",
        "experimental data evaluated by the TRC, with uncertainties",
    ),
    MeasuredTable(
        "Safety/IS IEC 60079-20-1 2010.tsv",
        {"flash point": "T_flash"},
        "the standard IEC 60079-20-1",
        "the standard's table of test results",
    ),
    MeasuredTable(
        "Safety/NFPA 497 2008.tsv",
        {"flash point": "T_flash"},
        "the standard NFPA 497",
        "the standard's table of test results",
    ),
)


@dataclass(frozen=True, slots=True)
class Compound:
    """One PubChem compound as `chemicals` lists it; all names are in lower case."""

    cid: int
    cas: str
    inchi: str
    inchikey: str
    smiles: str
    iupac_name: str
    title: str
    synonyms: tuple[str, ...]


def read_compounds() -> Iterator[Compound]:
    """All compounds of the large PubChem table, ascending by CID. An empty string stands for a missing name.

    Raises:
        ModuleNotFoundError: `chemicals` is not installed.
    """
    with open(installed_folder("chemicals") / IDENTIFIERS, encoding="utf-8") as lines:
        for line in lines:
            cid, cas, _, _, smiles, inchi, inchikey, iupac_name, title, *synonyms = line.rstrip("\n").split("\t")
            yield Compound(int(cid), cas, f"InChI=1S/{inchi}", inchikey, smiles, iupac_name, title, tuple(synonyms))


def read_measurements() -> dict[str, list[Measurement]]:
    """Measured properties by CAS number (digits only), one value per property, in the order of `MEASURED_TABLES`."""
    values: dict[str, dict[str, Measurement]] = defaultdict(dict)
    for table in MEASURED_TABLES:
        frame = pd.read_csv(installed_folder("chemicals") / table.file, sep="\t", dtype={"CAS": str})
        numbers = frame["CAS"].map(cas_digits)
        for kind, column in table.columns.items():
            for number, value in zip(numbers, frame[column], strict=True):
                if pd.notna(value):
                    values[number].setdefault(kind, Measurement(kind, float(value), table.source))
    return {number: list(by_kind.values()) for number, by_kind in values.items()}


def cas_digits(cas: str) -> str:
    """A CAS number without hyphens, as some tables write it."""
    return cas.replace("-", "")
