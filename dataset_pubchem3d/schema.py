"""The columns of PubChem3D: names, types, units and descriptions."""

from typing import NamedTuple

from datasets import Features, List, Value


class Column(NamedTuple):
    """A column: name, `datasets` feature, unit ("" if it has none) and description."""

    name: str
    feature: Value | List
    unit: str
    description: str

    @property
    def dtype(self) -> str:
        """Short form of the feature, e.g. `list<list<float32>[3]>`."""
        return _name_dtype(self.feature)


def _name_dtype(feature: Value | List) -> str:
    if isinstance(feature, Value):
        return feature.dtype
    return f"list<{_name_dtype(feature.feature)}>" + (f"[{feature.length}]" if feature.length > 0 else "")


STRING = Value("string")

COLUMNS = (
    Column("inchikey", STRING, "", "Standard InChIKey of the described record."),
    Column("inchikey14", STRING, "", "First block of the InChIKey (the connectivity)."),
    Column("inchi", STRING, "", "Standard InChI of the described record."),
    Column("smiles", STRING, "", "RDKit's canonical SMILES of the described record, with stereochemistry."),
    Column("cid", Value("int64"), "", "PubChem compound ID (CID), or null."),
    Column("name", STRING, "", "Name of the molecule that the text begins with, or null."),
    Column("text", STRING, "", "Cleaned description in natural language."),
    Column("text_raw", STRING, "", "What the text was made from: the source's own text, or its facts as JSON."),
    Column("text_kind", STRING, "", "Kind of content of the text, e.g. `names_and_properties`."),
    Column("text_source", STRING, "", "Source of the text or of its facts."),
    Column("text_source_id", STRING, "", "ID of the record in `text_source` (for `chemicals`: the CAS number)."),
    Column("text_url", STRING, "", "Web page of the described record, or null."),
    Column("text_license_url", STRING, "", "URL of the licence of `text_source`, or null if unknown."),
    Column("anid", Value("int64"), "", "PubChem annotation ID (ANID), or null."),
    Column("atomic_numbers", List(Value("uint8")), "", "Atomic numbers, in the order of the geometry source."),
    Column("positions", List(List(Value("float32"), length=3)), "Å", "Atom positions, with explicit hydrogens."),
    Column(
        "further_positions",
        List(List(List(Value("float32"), length=3))),
        "Å",
        "Other conformers that the build kept, of higher energy; atoms in the same order.",
    ),
    Column("n_conformers", Value("int32"), "", "Number of conformers that the source gives for this record."),
    Column("conformer_energy", Value("float64"), "eV", "Energy of `positions` as the source defines it, or null."),
    Column("geometry_source", STRING, "", "Source of the geometry."),
    Column("geometry_method", STRING, "", "Level of theory of the geometry."),
    Column("geometry_id", STRING, "", "ID of the geometry in its source (for QM9: the index)."),
    Column("geometry_license", STRING, "", "Licence of the geometry."),
    Column("match_level", STRING, "", "Identifier that text and geometry share: `inchikey`, `cid` or `first_block`."),
    Column("n_heavy", Value("int32"), "", "Number of heavy atoms."),
    Column("formal_charge", Value("int32"), "e", "Total formal charge."),
    Column("benchmarks", List(STRING), "", "Names of the recipe's benchmark lists that contain the molecule."),
    Column("split", STRING, "", "`train`, `validation` or `test`."),
    Column("split_group", STRING, "", "Group that is never divided between splits: `inchikey14`, or the scaffold."),
)

FEATURES = Features({column.name: column.feature for column in COLUMNS})
GEOMETRY_COLUMNS = (
    "atomic_numbers",
    "positions",
    "further_positions",
    "n_conformers",
    "conformer_energy",
    "geometry_source",
    "geometry_method",
    "geometry_id",
    "geometry_license",
)
MOLECULE_COLUMNS = tuple(  # columns of a molecule without a text
    column
    for column in COLUMNS
    if column.name in ("inchikey", "inchikey14", "inchi", "smiles", "n_heavy", "formal_charge", *GEOMETRY_COLUMNS)
    or column.name in ("benchmarks", "split", "split_group")
)


def make_molecule_features(property_columns: tuple[Column, ...]) -> Features:
    """Return the features of molecules without texts, with columns for their properties."""
    return Features({column.name: column.feature for column in (*MOLECULE_COLUMNS, *property_columns)})
