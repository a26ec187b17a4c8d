"""Recipes: all settings of a build, read from YAML or made for one source."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from math import inf
from pathlib import Path
from typing import Any

import yaml

from .sources.base import GeometrySource, PropertySource, Source, StructureSource, TextSource
from .sources.registry import GEOMETRY_SOURCES, PROPERTY_SOURCES, STRUCTURE_SOURCES, TEXT_SOURCES
from .sources.table import Table, TableGeometry
from .stages.join import MATCH_LEVELS
from .stages.splits import SPLITS

SPLIT_BY = ("first_block", "scaffold")
TEXT_LICENSES = ("all", "permissive")


@dataclass(frozen=True)
class Recipe:
    """All settings of a build.

    Args:
        texts: sources of descriptions; empty to build only the molecules of `properties`.
        geometries: sources of the described molecules' geometries, in order of preference.
        structures: source that identifies PubChem CIDs; needed if a text source gives only CIDs.
        properties: source whose molecules become a separate config, with all their properties.
        match: loosest of `join.MATCH_LEVELS` at which a geometry is accepted for a text.
        conformers: maximum number of conformers to keep for each molecule, lowest energy first.
        min_words: minimum words of a text; shorter texts are refused.
        captioning_min_words: minimum words of a text in the config `captioning`.
        text_licenses: "all", or "permissive" to refuse texts whose licence is not known to be permissive.
        replace_names: whether to replace the molecule's name by "The molecule" where it is the subject.
        split_by: "first_block" (of the InChIKey) or "scaffold"; rows that share it are in the same split.
        split_sizes: relative sizes of train, validation and test; they hold on average, see `splits.make_cuts`.
        seed: seed of the splits.
        benchmarks: paths, by name, of lists of molecules and optionally texts to keep out of training.
    Raises:
        ValueError: a setting has an invalid value.
    """

    texts: tuple[TextSource, ...] = ()
    geometries: tuple[GeometrySource, ...] = ()
    structures: StructureSource | None = None
    properties: PropertySource | None = None
    match: str = "first_block"
    conformers: int = 1
    min_words: int = 1
    captioning_min_words: int = 20
    text_licenses: str = "all"
    replace_names: bool = True
    split_by: str = "first_block"
    split_sizes: tuple[float, ...] = tuple(SPLITS.values())
    seed: int = 0
    benchmarks: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self):
        for setting, allowed in (("match", MATCH_LEVELS), ("split_by", SPLIT_BY), ("text_licenses", TEXT_LICENSES)):
            if getattr(self, setting) not in allowed:
                raise ValueError(f"recipe: {setting} is {getattr(self, setting)!r}; choose one of {', '.join(allowed)}")
        for setting, lowest in (("conformers", 1), ("min_words", 1), ("captioning_min_words", 1), ("seed", None)):
            value = getattr(self, setting)
            if type(value) is not int or (lowest is not None and value < lowest):
                at_least = f" of at least {lowest}" if lowest is not None else ""
                raise ValueError(f"recipe: {setting} is {value!r}; give a whole number{at_least}")
        if type(self.replace_names) is not bool:
            raise ValueError(f"recipe: replace_names is {self.replace_names!r}; give true or false")
        if not isinstance(self.benchmarks, Mapping) or not all(isinstance(p, str) for p in self.benchmarks.values()):
            raise ValueError(f"recipe: benchmarks is {self.benchmarks!r}; map each name to a path")
        for role in ("texts", "geometries"):
            names = [source.name for source in getattr(self, role)]
            if not names and (self.texts or self.geometries or not self.properties):
                raise ValueError(f"recipe: {role} is {names}; name at least one source, or set only `properties`")
            if len(names) != len(set(names)):
                raise ValueError(f"recipe: {role} is {names}; name each source once")
        sizes = self.split_sizes
        if len(sizes) != len(SPLITS) or not all(isinstance(size, int | float) and 0 <= size < inf for size in sizes):
            raise ValueError(f"recipe: split_sizes is {sizes}; give one number, 0 or more, for each of {[*SPLITS]}")
        if not sizes[0] > 0:
            raise ValueError(f"recipe: split_sizes is {sizes}; the first, for train, must be greater than 0")
        self._pair_tables()

    def _pair_tables(self) -> None:
        """Link the sources of a table that gives both texts and geometries, so that it refuses a row only once."""
        paired = {source.path for source in self.texts if isinstance(source, Table)}
        paired &= {source.path for source in self.geometries if isinstance(source, TableGeometry)}
        for role, option in (("texts", "with_geometries"), ("geometries", "with_texts")):
            sources = getattr(self, role)
            options = [{option: source.path in paired} if hasattr(source, option) else {} for source in sources]
            linked = tuple(
                replace(source, **changed) if changed else source for source, changed in zip(sources, options)
            )
            object.__setattr__(self, role, linked)

    @classmethod
    def from_yaml(cls, path: Path, **overrides) -> "Recipe":
        """Read a recipe from YAML. A source is a name, or a mapping of `source` and its options.

        Args:
            overrides: settings that replace those of the file.
        Raises:
            ValueError: the file is not a valid recipe; the message names the wrong setting, source or option.
        """
        try:
            settings = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
            return cls(**_make_sources(settings) | overrides)
        except (ValueError, yaml.YAMLError) as error:
            raise ValueError(f"{path}: {error}") from error

    @classmethod
    def from_packages(cls, **overrides) -> "Recipe":
        """Make a recipe that needs no network: geometries of QM9, texts of names and measured properties."""
        qm9 = make_source(GEOMETRY_SOURCES, "qm9")
        texts = (make_source(TEXT_SOURCES, "chemicals"),)
        # With seed 0: 1,779, 223 and 222 pairs, as by configs/data/qm9_pairs.yaml.
        sizes = (0.797315, 0.10127, 0.101415)
        settings = {"texts": texts, "geometries": (qm9,), "properties": qm9, "match": "inchikey", "split_sizes": sizes}
        return cls(**settings | overrides)

    @classmethod
    def from_labels(
        cls, path: str, labels: Sequence[str], units: Sequence[str] = (), encoding: str = "utf-8", **overrides
    ) -> "Recipe":
        """Make a recipe for a table of molecules with properties; without coordinates, RDKit makes the conformers.

        Args:
            path: table, see `sources.labels`.
            labels: columns with the properties.
            units: units of the labels, one each.
            encoding: encoding of a text file.
            overrides: other settings.
        """
        description = {"source": "labels", "path": path, "labels": [*labels], "units": [*units], "encoding": encoding}
        return cls(properties=make_source(PROPERTY_SOURCES, description), **overrides)

    @classmethod
    def from_table(cls, path: str, encoding: str = "utf-8", **overrides) -> "Recipe":
        """Make a recipe for a user's table of texts; molecules without coordinates get an RDKit conformer.

        Args:
            path: table, see `sources.table`.
            encoding: encoding of a text file.
            overrides: other settings.
        """
        description = {"source": "table", "path": path, "encoding": encoding}
        texts, last_resort = (make_source(TEXT_SOURCES, description),), make_source(GEOMETRY_SOURCES, "rdkit")
        given = make_source(GEOMETRY_SOURCES, description)
        geometries = (given, last_resort) if given.has_coordinates(Path(path)) else (last_resort,)
        return cls(**{"texts": texts, "geometries": geometries} | overrides)

    def to_dict(self) -> dict:
        """Return the recipe for publication: sources as names and options, files without their folders."""
        plain = {setting.name: getattr(self, setting.name) for setting in fields(self)}
        for role in ("texts", "geometries"):
            plain[role] = [_publish_source(source) for source in plain[role]]
        for role in ("structures", "properties"):
            plain[role] = plain[role] and _publish_source(plain[role])
        plain["split_sizes"] = list(plain["split_sizes"])
        return {**plain, "benchmarks": {name: Path(path).name for name, path in self.benchmarks.items()}}


def _make_sources(settings: Any) -> dict:
    """Return the settings of a file with source objects in place of their descriptions."""
    known = {setting.name for setting in fields(Recipe)}
    if not isinstance(settings, dict) or not ({"texts", "geometries"} <= settings.keys() or "properties" in settings):
        raise ValueError("a recipe needs `texts` and `geometries`, or `properties`; add them")
    if unknown := [name for name in settings if name not in known]:
        raise ValueError(f"unknown setting {', '.join(map(str, unknown))}; choose from {', '.join(sorted(known))}")
    for role, registry in (("texts", TEXT_SOURCES), ("geometries", GEOMETRY_SOURCES)):
        settings.setdefault(role, [])
        if not isinstance(settings[role], list):
            raise ValueError(f"{role} is {settings[role]!r}; give a list of sources")
        settings[role] = tuple(make_source(registry, description) for description in settings[role])
    for role, registry in (("structures", STRUCTURE_SOURCES), ("properties", PROPERTY_SOURCES)):
        if settings.get(role) is not None:
            settings[role] = make_source(registry, settings[role])
    if isinstance(settings.get("split_sizes"), list):
        settings["split_sizes"] = tuple(settings["split_sizes"])
    return settings


def make_source(registry: Mapping[str, type[Source]], description: str | dict) -> Any:
    """Make a source from its name, or from a mapping of `source` and its options.

    Raises:
        ValueError: the source or an option is unknown.
    """
    options = dict(description) if isinstance(description, dict) else {"source": description}
    name = options.pop("source", None)
    if not isinstance(name, str) or name not in registry:
        raise ValueError(f"recipe: {name!r} is not a source of this kind; choose one of {', '.join(sorted(registry))}")
    known = {option.name for option in fields(registry[name])}
    if unknown := options.keys() - known:
        raise ValueError(
            f"recipe: source {name!r} has no option {', '.join(sorted(unknown))}; it has {', '.join(sorted(known))}"
        )
    tuples = {option: tuple(value) for option, value in options.items() if isinstance(value, list)}
    return registry[name](**options | tuples)


def describe_source(source: Source) -> dict:
    """Return the name and options of a source."""
    return {"source": source.name, **asdict(source)}


def _publish_source(source: Source) -> dict:
    return {name: _make_plain(name, value) for name, value in describe_source(source).items()}


def _make_plain(name: str, value: Any) -> Any:
    if name in ("path", "cids"):
        return Path(value).name
    return list(value) if isinstance(value, tuple) else value
