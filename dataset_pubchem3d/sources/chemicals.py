"""Texts: names and measured properties of compounds from the files of the PyPI package `chemicals`.

Names come from PubChem, properties from published tables. Only tables of measured values are read. Tables that contain
estimates are excluded: JOBACK and all `*_predictions` tables (computed from the structure), Yaws, PSRK and
Pina-Martinez ("experimental and predicted" according to the package), the NIST WebBook constants ("mostly
experimental"), Wikidata, and the logP tables (not stated to be experimental).
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import ClassVar, NamedTuple

import pandas as pd
from rdkit import Chem
from rdkit.Chem import Descriptors, rdMolDescriptors
from rdkit.rdBase import BlockLogs

from ..records import Compound, RecordError, Text
from ..text.descriptions import Facts, Measurement, compose_text, select_facts
from .base import TextSource, find_installed_folder

IDENTIFIERS = "Identifiers/chemical identifiers pubchem large.tsv"
LICENSE_URL = "https://github.com/CalebBell/chemicals/blob/master/LICENSE.txt"


class MeasuredTable(NamedTuple):
    """A table of measured values.

    Attributes:
        file: path in the package.
        columns: column of each property, in SI units.
        source: name of the table in a text.
        reason: why its values count as measured.
    """

    file: str
    columns: dict[str, str]
    source: str
    reason: str


MEASURED_TABLES = (  # a property is taken from the first table that has it
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


@dataclass(frozen=True)
class Chemicals(TextSource):
    """Texts composed from the names in the package's large PubChem table and measured properties, in lower case."""

    name = "chemicals"
    about: ClassVar[str] = (
        "names from PubChem and measured properties from published tables, from the PyPI package `chemicals` (C. "
        "Bell and contributors, https://github.com/CalebBell/chemicals). Rules compose them into sentences: title, "
        "IUPAC name, synonyms, then properties with unit and source; `text_raw` has the properties in SI units. "
        "Formulas, line notations, registry numbers and catalogue codes are removed; foreign or outdated names and "
        "errors remain. Where tables disagree, the first is used; densities are given without their temperature. The "
        "package is under the MIT licence; PubChem, the CRC Handbook, CAS Common Chemistry, the Open Notebook Science "
        "collection, IUPAC, IEC and NFPA have their own terms, which were not verified. Properties come only from the "
        "following tables (in brackets: why their values count as measured): "
        + "; ".join(f"`{table.file}` ({table.reason})" for table in MEASURED_TABLES)
        + "."
    )

    def list_files(self, folder: Path) -> list[Path]:
        """List the tables of the installed package.

        Raises:
            ModuleNotFoundError: `chemicals` is not installed.
        """
        return [find_installed_folder("chemicals") / file for file in (IDENTIFIERS, *(t.file for t in MEASURED_TABLES))]

    def read_records(self, folder: Path) -> Iterator[str]:
        """Yield the lines of the table of identifiers, ascending by CID."""
        with open(self.list_files(folder)[0], encoding="utf-8") as lines:
            yield from lines

    def parse_texts(self, raw: str) -> list[Text]:
        """Compose the text of a line; an empty cell is a missing name.

        Raises:
            RecordError: RDKit cannot read the SMILES, or no name is usable.
        """
        cid, cas, _, _, smiles, inchi, inchikey, iupac_name, title, *synonyms = raw.rstrip("\n").split("\t")
        record_id = f"CID {cid}"
        with BlockLogs():
            mol = Chem.MolFromSmiles(smiles)
        if mol is None:
            raise RecordError(record_id, "RDKit cannot read the SMILES", smiles)
        compound = Compound(
            inchikey=inchikey,
            inchi=f"InChI=1S/{inchi}",
            smiles=Chem.MolToSmiles(mol),
            n_heavy=mol.GetNumHeavyAtoms(),
            formal_charge=Chem.GetFormalCharge(mol),
            cid=int(cid),
            title=title,
        )
        facts = self._select_facts(compound, mol, cas, iupac_name, synonyms)
        if facts is None:
            raise RecordError(record_id, "none of its names reads as words", title)
        return [
            Text(
                record_id=record_id,
                text=compose_text(facts, inchikey),
                raw=facts.to_json(),
                is_composed=True,
                name=facts.name,
                kind="names_and_properties" if facts.measurements else "names",
                compound=compound,
                cid=compound.cid,
                source=self.name,
                source_id=cas,
                url=f"https://pubchem.ncbi.nlm.nih.gov/compound/{cid}",
                license_url=LICENSE_URL,
            )
        ]

    def _select_facts(
        self, compound: Compound, mol: Chem.Mol, cas: str, iupac_name: str, synonyms: list[str]
    ) -> Facts | None:
        return select_facts(
            compound.title,
            iupac_name,
            synonyms,
            read_measurements().get(strip_hyphens(cas), []),
            has_stereo="/t" in compound.inchi or "/b" in compound.inchi,
            formula=rdMolDescriptors.CalcMolFormula(mol),
            masses=(Descriptors.MolWt(mol), Descriptors.ExactMolWt(mol)),
        )


@cache
def read_measurements() -> dict[str, list[Measurement]]:
    """Read the measured properties by CAS number (digits only), one value per property, in `MEASURED_TABLES` order."""
    values: dict[str, dict[str, Measurement]] = defaultdict(dict)
    for table in MEASURED_TABLES:
        frame = pd.read_csv(find_installed_folder("chemicals") / table.file, sep="\t", dtype={"CAS": str})
        numbers = frame["CAS"].map(strip_hyphens)
        for kind, column in table.columns.items():
            for number, value in zip(numbers, frame[column], strict=True):
                if pd.notna(value):
                    values[number].setdefault(kind, Measurement(kind, float(value), table.source))
    return {number: list(by_kind.values()) for number, by_kind in values.items()}


def strip_hyphens(cas: str) -> str:
    """Return a CAS number without hyphens, the form of some tables."""
    return cas.replace("-", "")
