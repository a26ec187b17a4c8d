"""The sources that a recipe can name. To add a source, add its file to this folder and its name to `FILES`."""

from importlib import import_module

from .base import GeometrySource, PropertySource, Source, StructureSource, TextSource

FILES = (
    "chemicals",
    "generated",
    "geom",
    "geomclip_release",
    "labels",
    "molecule3d",
    "ncbi_3d",
    "pcqm4mv2",
    "pubchem_annotations",
    "pubchem_compound_text",
    "pubchem_extras",
    "pubchem_rest",
    "pubchem_sdf",
    "pubchemqc",
    "qm9",
    "qm9_archive",
    "rdkit_conformer",
    "table",
)


def _find_sources(kind: type[Source]) -> dict[str, type[Source]]:
    """Return the sources of a kind that the files define, by their name in recipes."""
    modules = [import_module(f".{file}", __package__) for file in FILES]
    classes = [(module, found) for module in modules for found in vars(module).values() if isinstance(found, type)]
    return {
        found.name: found
        for module, found in classes
        if issubclass(found, kind) and found.__module__ == module.__name__
    }


TEXT_SOURCES = _find_sources(TextSource)
STRUCTURE_SOURCES = _find_sources(StructureSource)
GEOMETRY_SOURCES = _find_sources(GeometrySource)
PROPERTY_SOURCES = _find_sources(PropertySource)
