"""The world that the miniature's servers serve: molecules, texts and geometries, and what must become of each."""

import gzip
from dataclasses import dataclass, field
from itertools import count
from typing import NamedTuple

from rdkit import Chem

from .geometries import SPARSE, Entry, GEOMShelf, Molecule3DShelf, PCQM4Mv2Shelf, PubChemQCShelf, QM9Shelf
from .molecules import Molecule, embed, invent_names, read_qm9

TEXTS, IDENTIFIED, JOINED = "texts pubchem text", "identified", "joined"  # stages, and those after them
CLEANED, DEDUPLICATED, KEPT = "cleaned", "deduplicated", ""
NO_STRUCTURE, NO_GEOMETRY = "no structure is known for its CID", "no source has a geometry for it"
HEADING = {"type": "Compound", "#TOCHeading": "Record Description"}
TRAP_CIDS = 7_001  # the first of the CIDs of molecules with traps
NUM_DESCRIBED, NUM_UNDESCRIBED, NUM_SPARE = 1_900, 100, 60
PATTERNS = (  # the sources that have a molecule, the preferred ones first
    ("molecule3d",),
    ("molecule3d", "pcqm4mv2"),
    ("pcqm4mv2",),
    ("pcqm4mv2", "qm9"),
    ("qm9",),
    ("qm9", "pubchemqc"),
    ("pubchemqc",),
    ("pubchemqc", "geom"),
    ("geom",),
    ("molecule3d", "pubchemqc"),
    (),
    ("molecule3d", "pcqm4mv2", "qm9", "pubchemqc", "geom"),
)


class Depositor(NamedTuple):
    """A depositor of texts, with its licence, as PubChem gives it, and the kind of its texts."""

    name: str
    license_url: str | None
    kind: str


CHEBI = Depositor("ChEBI", "https://creativecommons.org/licenses/by/4.0/", "chebi")
LOTUS = Depositor("LOTUS - the natural products occurrence database", "https://lotus.nprod.net/", "natural_product")
DEPOSITORS = (
    CHEBI,
    LOTUS,
    Depositor("DrugBank", "https://creativecommons.org/licenses/by-nc/4.0/legalcode", "drug"),
    Depositor("Human Metabolome Database (HMDB)", "http://www.hmdb.ca/citing", "metabolite"),
    Depositor("CAMEO Chemicals", None, "hazard"),
    Depositor("Example Suppliers", None, "other"),
)


@dataclass
class Text:
    """An annotation.

    Attributes:
        raw: as the server gives it.
        molecule: that it describes.
        cleaned: text of its row.
        stage: that refuses it for `reason`, or `KEPT`; its row then has the geometry of `entry`, at match `level`.
    """

    raw: dict
    molecule: Molecule
    depositor: Depositor
    cleaned: str
    stage: str
    reason: str
    entry: Entry | None
    level: str

    @property
    def refused_id(self) -> str:
        origin = self.raw.get("ANID") or f"{self.raw.get('SourceName')}:{self.raw.get('SourceID')}"
        return str(origin) if self.stage == TEXTS else f"{origin}:{self.molecule.cid}"


@dataclass
class World:
    """All that the servers have.

    Attributes:
        misprints: what tables of Extras have instead of a molecule's own values, by CID and table; None for no line.
        refused_compounds: reasons for which compounds are refused, by CID.
        shelves: geometry records by source, in the order of the test's recipe.
    """

    molecules: list[Molecule] = field(default_factory=list)
    texts: list[Text] = field(default_factory=list)
    misprints: dict[int, dict[str, str | bytes | None]] = field(default_factory=dict)
    refused_compounds: dict[int, str] = field(default_factory=dict)

    def __post_init__(self):
        kinds = Molecule3DShelf, PCQM4Mv2Shelf, QM9Shelf, PubChemQCShelf, GEOMShelf
        self.shelves = {kind.source: kind() for kind in kinds}
        self._names, self._cids, self._anids = invent_names(), count(TRAP_CIDS), count(1)
        self._qm9 = read_qm9(NUM_DESCRIBED + NUM_UNDESCRIBED + NUM_SPARE)

    def take(self, cid: int | None = None) -> Molecule:
        """Add the next molecule of QM9 to PubChem."""
        mol, row = next(self._qm9)
        return self._add(cid, row["SMILES"], mol, row)

    def draw(self, smiles: str) -> Molecule:
        """Add a molecule that QM9 does not have; its geometry is one of its stereoisomers."""
        return self._add(None, smiles, embed(smiles))

    def _add(self, cid: int | None, smiles: str, mol: Chem.Mol, row: dict | None = None) -> Molecule:
        cid = next(self._cids) if cid is None else cid
        self.molecules.append(Molecule(cid, smiles, *next(self._names), mol, row))
        return self.molecules[-1]

    def put(self, source: str, molecule: Molecule, *args, **options) -> Entry:
        """Add a geometry to a source, see `Shelf.add`."""
        return self.shelves[source].add(molecule, *args, **options)

    def settle(self) -> tuple[Molecule, Entry]:
        """Add a molecule of QM9 with a geometry."""
        molecule = self.take()
        return molecule, self.put("pcqm4mv2", molecule)

    def say(
        self,
        molecule: Molecule,
        said: str | list[str],
        cleaned: str = "",
        entry: Entry | None = None,
        level: str = "inchikey",
        refused: tuple[str, str] = (KEPT, ""),
        depositor: Depositor = CHEBI,
        **changes,
    ) -> Text:
        """Add an annotation of one or more paragraphs, with `changes` of its keys; None removes a key."""
        anid, said = next(self._anids), [said] if isinstance(said, str) else said
        markup = [{"Start": 0, "Length": 3, "URL": "https://example.org", "Type": "PubChem Internal Link"}]
        strings = [{"String": part, "Markup": markup} if "Markup" in changes else {"String": part} for part in said]
        raw = {
            "SourceName": depositor.name,
            "SourceID": f"EX:{anid:06}",
            "Name": molecule.title,
            "URL": f"https://example.org/{anid}",
            "LicenseNote": depositor.license_url and "as stated there",
            "LicenseURL": depositor.license_url,
            "Data": [{"TOCHeading": HEADING, "Reference": ["A. Nobody, 1999"], "Value": {"StringWithMarkup": strings}}],
            "ANID": anid,
            "LinkedRecords": {"CID": [molecule.cid]},
        }
        raw = {key: value for key, value in (raw | changes).items() if value is not None and key != "Markup"}
        self.texts.append(Text(raw, molecule, depositor, cleaned, *refused, entry, level))
        return self.texts[-1]

    def describe(self, molecule: Molecule, number: int, is_long: bool, **options) -> Text:
        """Add a text that no other molecule has, of more or fewer words than the config `captioning` asks for."""
        told = f"is a compound of series {molecule.cid}-{number}"
        if not is_long:
            return self.say(molecule, f"{molecule.title} {told}.", f"The molecule {told}.", **options)
        told += " that was prepared in a single step from two simple materials"
        more = "dissolves in water and melts without decomposition"
        said = f"{molecule.title} {told}. {molecule.synonyms[1]} {more}."
        return self.say(molecule, said, f"The molecule {told}. The molecule {more}.", **options)

    def get_extras(self) -> dict[str, bytes]:
        """Make the tables of Extras; they also have compounds that nobody describes."""
        tables: dict[str, list[bytes]] = {"InChI-Key": [], "SMILES": [], "Title": [], "Synonym-filtered": []}
        for molecule in sorted(self.molecules, key=lambda molecule: molecule.cid):
            own = {
                "InChI-Key": f"{molecule.inchi}\t{molecule.inchikey}",
                "SMILES": molecule.smiles,
                "Title": molecule.title,
                **self.misprints.get(molecule.cid, {}),
            }
            for table, value in own.items():
                if value is not None:
                    line = value if isinstance(value, bytes) else value.encode()
                    tables[table].append(f"{molecule.cid}\t".encode() + line)
            if own["InChI-Key"] is not None:
                tables["Synonym-filtered"] += [
                    f"{molecule.cid}\t{name}".encode() for name in (molecule.title, *molecule.synonyms)
                ]
        return {f"CID-{name}.gz": gzip.compress(b"\n".join(lines) + b"\n", mtime=0) for name, lines in tables.items()}


def populate(world: World) -> None:
    """Add molecules that various sources have and one to three texts describe, and some that no text describes."""
    for number in range(NUM_DESCRIBED + NUM_UNDESCRIBED):
        is_described = number < NUM_DESCRIBED
        molecule = world.take(choose_cid(number))
        pattern = PATTERNS[number % len(PATTERNS)]
        sources = [name for name in pattern if name != "pubchemqc" or (is_described and molecule.cid <= SPARSE[1])]
        fate = {} if is_described else {"fate": "wanted by no text"}
        entries = [world.put(source, molecule, **fate) for source in sources]
        if is_described:
            refused = (KEPT, "") if entries else (JOINED, NO_GEOMETRY)
            for place in range(1 + (number % 3 == 0) + (number % 7 == 0)):
                depositor = DEPOSITORS[(number + place) % len(DEPOSITORS)]
                options = {"entry": entries[0] if entries else None, "refused": refused, "depositor": depositor}
                world.describe(molecule, place, is_long=(number + place) % 2 == 0, **options)
            if number % 10 == 0:  # a template that many molecules share
                told = f"is a natural product found in Exampla {'αβγδ'[number // 10 % 4]}-vulgaris with data available."
                options |= {"depositor": LOTUS}
                world.say(molecule, f"{molecule.title} {told}", f"The molecule {told}", **options)


def choose_cid(number: int) -> int:
    """Return a CID: most are in the dense shard of PubChemQC, some in the sparse one, and some above all shards."""
    if number % 40 == 7:
        return SPARSE[0] + 120 * number
    return 600_000 + 7 * number if number % 9 == 4 else 3 * number + 5
