"""Which sources a recipe can name. A new one is a file beside this and one line here."""

from .chemicals import Chemicals
from .molecule3d import Molecule3D
from .ncbi_3d import NCBI3D
from .pcqm4mv2 import PCQM4Mv2
from .pubchem_extras import PubChemExtras
from .pubchem_rest import PubChemREST
from .pubchem_sdf import PubChemSDF
from .pubchem_text import PubChemAnnotations, PubChemCompoundTexts
from .qm9 import QM9
from .qm9_archive import QM9Archive
from .rdkit_conformer import RDKitConformers
from .table import Table, TableGeometry

TEXT_SOURCES = {source.name: source for source in (PubChemAnnotations, PubChemCompoundTexts, Chemicals, Table)}
STRUCTURE_SOURCES = {source.name: source for source in (PubChemExtras, PubChemREST, PubChemSDF)}
GEOMETRY_SOURCES = {
    source.name: source
    for source in (
        Molecule3D,
        PCQM4Mv2,
        QM9,
        QM9Archive,
        NCBI3D,
        TableGeometry,
        RDKitConformers,
    )
}
