import json
import math
from dataclasses import FrozenInstanceError, fields
from pathlib import Path

import pytest
import yaml

from dataset_pubchem3d.recipe import Recipe, describe_source, make_source
from dataset_pubchem3d.sources.base import GeometrySource, PropertySource, StructureSource, TextSource
from dataset_pubchem3d.sources.chemicals import Chemicals
from dataset_pubchem3d.sources.labels import LabelledMolecules
from dataset_pubchem3d.sources.ncbi_3d import NCBI3D
from dataset_pubchem3d.sources.pubchem_annotations import PubChemAnnotations
from dataset_pubchem3d.sources.pubchem_extras import PubChemExtras
from dataset_pubchem3d.sources.pubchem_sdf import PubChemSDF
from dataset_pubchem3d.sources.qm9 import QM9
from dataset_pubchem3d.sources.rdkit_conformer import RDKitConformers
from dataset_pubchem3d.sources.registry import GEOMETRY_SOURCES, STRUCTURE_SOURCES, TEXT_SOURCES
from dataset_pubchem3d.sources.table import Table, TableGeometry

SMALL = {"texts": (Chemicals(),), "geometries": (QM9(),)}
WHOLE = """
texts:
  - chemicals
  - source: pubchem_text
    path: pages
    ambiguous: keep
geometries: [{source: ncbi_3d, sdf_files: [a.sdf.gz, b.sdf.gz]}, rdkit]
structures: {source: pubchem_extras, max_synonyms: 5}
properties: qm9
match: cid
conformers: 3
min_words: 4
captioning_min_words: 30
text_licenses: permissive
replace_names: false
split_by: scaffold
split_sizes: [7, 2, 1]
seed: 11
benchmarks: {mine: keys.txt}
"""
WHOLE_RECIPE = Recipe(
    texts=(Chemicals(), PubChemAnnotations("pages", ambiguous="keep")),
    geometries=(NCBI3D(sdf_files=("a.sdf.gz", "b.sdf.gz")), RDKitConformers()),
    structures=PubChemExtras(max_synonyms=5),
    properties=QM9(),
    match="cid",
    conformers=3,
    min_words=4,
    captioning_min_words=30,
    text_licenses="permissive",
    replace_names=False,
    split_by="scaffold",
    split_sizes=(7, 2, 1),
    seed=11,
    benchmarks={"mine": "keys.txt"},
)


@pytest.fixture
def recipe_file(tmp_path):
    """Write a recipe, given as YAML or as its content."""

    def write(content: str | dict) -> Path:
        text = content if isinstance(content, str) else yaml.safe_dump(content)
        (tmp_path / "recipe.yaml").write_text(text, encoding="utf-8")
        return tmp_path / "recipe.yaml"

    return write


@pytest.fixture
def table_file(tmp_path):
    """A table of texts, with columns for coordinates or without."""

    def write(has_coordinates: bool) -> str:
        columns = ["smiles", "text", *(["atomic_numbers", "positions"] if has_coordinates else [])]
        (tmp_path / "pairs.tsv").write_text("\t".join(columns) + "\n", encoding="utf-8")
        return str(tmp_path / "pairs.tsv")

    return write


# ----------------------------------------------------------------------------------------------------------------- YAML


def test_a_recipe_with_all_settings_is_read(recipe_file):
    recipe = Recipe.from_yaml(recipe_file(WHOLE))
    assert recipe == WHOLE_RECIPE
    default = Recipe(**SMALL)
    same = {field.name for field in fields(Recipe) if getattr(recipe, field.name) == getattr(default, field.name)}
    assert same == set()  # so that no setting of the file could be ignored unnoticed


def test_a_recipe_needs_only_its_sources(recipe_file):
    assert Recipe.from_yaml(recipe_file("texts: [chemicals]\ngeometries: [qm9]\n")) == Recipe(**SMALL)
    assert Recipe.from_yaml(recipe_file("{texts: [chemicals], geometries: [qm9], structures: null}")) == Recipe(**SMALL)


def test_overrides_replace_settings_of_the_file(recipe_file):
    recipe = Recipe.from_yaml(recipe_file(WHOLE), seed=3, match="inchikey", benchmarks={})
    assert (recipe.seed, recipe.match, recipe.benchmarks) == (3, "inchikey", {})
    assert (recipe.conformers, recipe.texts) == (3, WHOLE_RECIPE.texts)


def test_an_override_may_correct_the_file_or_be_invalid(recipe_file):
    file = recipe_file({"texts": ["chemicals"], "geometries": ["qm9"], "conformers": 0})
    assert Recipe.from_yaml(file, conformers=2).conformers == 2
    with pytest.raises(ValueError, match="match is 'smiles'"):
        Recipe.from_yaml(file, conformers=2, match="smiles")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sed": 3}, r"recipe\.yaml: unknown setting sed; choose from benchmarks, .*texts"),
        ({"b": 1, "a": 1}, "unknown setting a, b;"),
        ({"texts": ["chemical"]}, "'chemical' is not a source of this kind; choose one of chemicals, "),
        ({"texts": ["qm9"]}, "'qm9' is not a source of this kind"),
        (
            {"geometries": ["chemicals"]},
            "'chemicals' is not a source of this kind; choose one of geom, geomclip_lmdb, labels, .*table$",
        ),
        ({"geometries": [{"path": "x"}]}, "None is not a source of this kind"),
        ({"structures": "qm9"}, "'qm9' is not a source of this kind; choose one of pubchem_extras, "),
        (
            {"properties": "molecule3d"},
            "'molecule3d' is not a source of this kind; choose one of labels, qm9, qm9_archive$",
        ),
        ({"geometries": [{"source": "rdkit", "sed": 1}]}, "source 'rdkit' has no option sed; it has .*seed"),
        ({"geometries": [{"source": "qm9", "method": "PM6"}]}, "source 'qm9' has no option method; it has path"),
        ({"structures": {"source": "pubchem_extras", "b": 1, "a": 1}}, "'pubchem_extras' has no option a, b;"),
        ({"texts": [{"source": "pubchem_text", "ambiguous": "maybe"}]}, "pubchem_text: ambiguous='maybe'"),
        ({"texts": []}, r"texts is \[\]; name at least one source"),
        ({"geometries": ["qm9", "rdkit", "qm9"]}, r"geometries is \['qm9', 'rdkit', 'qm9'\]; .*each source once"),
        ({"texts": ["table", {"source": "table", "path": "x"}]}, "each source once"),
    ],
)
def test_an_error_in_a_recipe_is_named(recipe_file, change, message):
    file = recipe_file({"texts": ["chemicals"], "geometries": ["qm9"]} | change)
    with pytest.raises(ValueError, match=message):
        Recipe.from_yaml(file)


@pytest.mark.parametrize(
    ("content", "missing"),
    [
        ("", "`texts` and `geometries`"),
        ("texts: [chemicals]", "`geometries`"),
        ("seed: 1", "`texts`"),
        ("- 1", "`texts`"),
    ],
)
def test_a_recipe_without_sources_names_file_and_role(recipe_file, content, missing):
    with pytest.raises(ValueError, match=rf"recipe\.yaml: .*{missing}"):
        Recipe.from_yaml(recipe_file(content))


# --------------------------------------------------------------------------------------------------------------- values


@pytest.mark.parametrize(
    ("setting", "value", "remedy"),
    [
        ("match", "smiles", "choose one of inchikey, cid, first_block"),
        ("split_by", "inchikey", "choose one of first_block, scaffold"),
        ("text_licenses", "permisive", "choose one of all, permissive"),
        ("match", None, "choose one of"),
        *(
            ("split_sizes", sizes, "one number, 0 or more, for each")
            for sizes in ((1, 2), (8, -1, 1), (1, "a", 1), (1, math.inf, 1))
        ),
        ("split_sizes", (0, 1, 1), "the first, for train, must be greater than 0"),
        *(
            (setting, value, "whole number of at least 1")
            for setting in ("conformers", "min_words")
            for value in (0, -1)
        ),
        ("captioning_min_words", 0, "whole number of at least 1"),
        ("conformers", 1.5, "whole number of at least 1"),
        ("min_words", "3", "whole number of at least 1"),
        ("conformers", None, "whole number of at least 1"),
        ("texts", (), "name at least one source"),
        ("geometries", (QM9(), QM9("elsewhere")), "each source once"),
    ],
)
def test_an_invalid_value_of_a_setting_is_named(setting, value, remedy):
    with pytest.raises(ValueError, match=f"recipe: {setting} is .*{remedy}"):
        Recipe(**SMALL | {setting: value})


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        *(("match", level) for level in ("inchikey", "cid", "first_block")),
        *(("split_by", group) for group in ("first_block", "scaffold")),
        *(("text_licenses", licenses) for licenses in ("all", "permissive")),
        *((setting, number) for setting in ("conformers", "min_words", "captioning_min_words") for number in (1, 50)),
    ],
)
def test_all_valid_values_of_a_setting_are_accepted(setting, value):
    assert getattr(Recipe(**SMALL | {setting: value}), setting) == value


def test_a_recipe_is_immutable():
    with pytest.raises(FrozenInstanceError):
        Recipe(**SMALL).seed = 1


# ----------------------------------------------------------------------------------------------------------------- JSON


def every_source() -> list[Recipe]:
    """Recipes that cover every source of the registry."""
    texts = tuple(source() for source in TEXT_SOURCES.values())
    geometries = tuple(source() for source in GEOMETRY_SOURCES.values())
    recipes = [Recipe(texts, geometries, structures=source()) for source in STRUCTURE_SOURCES.values()]
    properties = [source() for source in GEOMETRY_SOURCES.values() if issubclass(source, PropertySource)]
    return recipes + [Recipe(texts, geometries, properties=source) for source in properties]


@pytest.mark.parametrize(
    "recipe",
    [
        WHOLE_RECIPE,
        Recipe(**SMALL),
        Recipe.from_packages(),
        Recipe(**SMALL, structures=PubChemSDF(downloads=("a.sdf.gz",))),
        Recipe((Table("pairs.csv"),), (TableGeometry("pairs.csv", method="PM6"), RDKitConformers())),
        *every_source(),
    ],
)
def test_a_recipe_round_trips_through_json_and_yaml(recipe, recipe_file):
    plain = json.loads(json.dumps(recipe.to_dict()))
    assert plain.keys() == {field.name for field in fields(Recipe)}
    for content in (recipe.to_dict(), plain, json.dumps(plain)):  # JSON is also YAML
        read = Recipe.from_yaml(recipe_file(content))
        assert read == recipe
        assert read.to_dict() == recipe.to_dict()


def test_a_recipe_as_json_names_its_sources_and_their_options():
    plain = WHOLE_RECIPE.to_dict()
    assert plain["texts"][0] == {"source": "chemicals", "path": ""}
    assert plain["structures"] == {"source": "pubchem_extras", "path": "", "titles": True, "max_synonyms": 5}
    assert (plain["seed"], plain["benchmarks"]) == (11, {"mine": "keys.txt"})
    assert Recipe(**SMALL).to_dict()["structures"] is None


# -------------------------------------------------------------------------------------------------------------- recipes


def test_the_recipe_of_the_packages_uses_qm9_and_chemicals():
    settings = {**SMALL, "properties": QM9(), "split_sizes": (0.797315, 0.10127, 0.101415)}
    assert Recipe.from_packages() == Recipe(**settings, match="inchikey")
    assert Recipe.from_packages(match="cid", seed=4) == Recipe(**settings, match="cid", seed=4)


def test_a_table_with_coordinates_is_preferred_to_rdkit(table_file):
    path = table_file(has_coordinates=True)
    recipe = Recipe.from_table(path, seed=4)
    assert recipe == Recipe((Table(path),), (TableGeometry(path), RDKitConformers()), seed=4)


def test_a_table_without_coordinates_gets_rdkit_conformers(table_file):
    path = table_file(has_coordinates=False)
    assert Recipe.from_table(path) == Recipe((Table(path),), (RDKitConformers(),))


def test_a_table_of_texts_and_geometries_refuses_a_row_once(table_file):
    path = table_file(has_coordinates=True)
    (texts,), (given, _) = (recipe := Recipe.from_table(path)).texts, recipe.geometries
    assert (texts.with_geometries, given.with_texts) == (True, True)
    (texts,) = Recipe((Table(path),), (RDKitConformers(),)).texts
    assert not texts.with_geometries
    apart = Recipe((Table(path),), (TableGeometry(f"{path}.other"),))
    assert (apart.texts[0].with_geometries, apart.geometries[0].with_texts) == (False, False)


def test_the_encoding_of_a_table_is_an_option(table_file, recipe_file):
    path = table_file(has_coordinates=True)
    recipe = Recipe.from_table(path, "cp1252")
    assert [source.encoding for source in (*recipe.texts, recipe.geometries[0])] == ["cp1252"] * 2
    assert Recipe.from_labels("mine.csv", ["gap"], encoding="cp1252").properties.encoding == "cp1252"
    table = {"source": "table", "path": path, "encoding": "latin-1"}
    recipe = Recipe.from_yaml(recipe_file({"texts": [table], "geometries": ["rdkit"]}))
    assert (recipe.texts[0].encoding, recipe.to_dict()["texts"][0]["encoding"]) == ("latin-1", "latin-1")


def test_molecules_with_properties_need_no_texts(recipe_file):
    recipe = Recipe.from_yaml(recipe_file("properties: qm9\nsplit_sizes: [110_000, 10_000, 10_831]"))
    assert recipe == Recipe(properties=QM9(), split_sizes=(110_000, 10_000, 10_831))
    with pytest.raises(ValueError, match=r"geometries is \[\]; name at least one source, or set only `properties`"):
        Recipe(texts=SMALL["texts"], properties=QM9())
    with pytest.raises(ValueError, match=r"texts is \[\]; name at least one source, or set only `properties`"):
        Recipe()


def test_a_table_of_labels():
    recipe = Recipe.from_labels("mine.csv", ["gap", "active"], ["eV", ""], split_by="scaffold")
    source = LabelledMolecules("mine.csv", labels=("gap", "active"), units=("eV", ""))
    assert recipe == Recipe(properties=source, split_by="scaffold")
    assert recipe.to_dict()["properties"]["labels"] == ["gap", "active"]


def test_a_table_that_is_not_there_is_named(tmp_path):
    with pytest.raises(OSError, match=r"pairs\.tsv"):
        Recipe.from_table(str(tmp_path / "pairs.tsv"))


# -------------------------------------------------------------------------------------------------------------- sources


@pytest.mark.parametrize(
    ("registry", "base"),
    [(TEXT_SOURCES, TextSource), (STRUCTURE_SOURCES, StructureSource), (GEOMETRY_SOURCES, GeometrySource)],
)
def test_every_source_is_registered_and_made_by_its_name(registry, base):
    assert registry
    for name, source in registry.items():
        made = make_source(registry, name)
        assert type(made) is source
        assert isinstance(made, base)
        assert make_source(registry, describe_source(made)) == made
        assert describe_source(made)["source"] == name


def test_the_description_of_a_source_is_not_modified():
    description = {"source": "rdkit", "seed": 3}
    assert make_source(GEOMETRY_SOURCES, description) == RDKitConformers(seed=3)
    assert description == {"source": "rdkit", "seed": 3}


def test_a_list_of_options_becomes_a_tuple():
    assert make_source(GEOMETRY_SOURCES, {"source": "ncbi_3d", "sdf_files": ["a"]}).sdf_files == ("a",)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("texts: [", "recipe.yaml: while parsing"),
        ("texts: chemicals\ngeometries: [qm9]", "texts is 'chemicals'; give a list of sources"),
        ("texts:\ngeometries: [qm9]", "texts is None; give a list of sources"),
        ("texts: [7]\ngeometries: [qm9]", "7 is not a source of this kind"),
        ("texts: [chemicals]\ngeometries: [qm9]\nreplace_names: 'no'", "replace_names is 'no'; give true or false"),
        ("texts: [chemicals]\ngeometries: [qm9]\nseed: x", "seed is 'x'; give a whole number"),
        ("texts: [chemicals]\ngeometries: [qm9]\nconformers: true", "conformers is True; give a whole number"),
        ("texts: [chemicals]\ngeometries: [qm9]\nbenchmarks: [a]", "map each name to a path"),
        ("texts: [chemicals]\ngeometries: [qm9]\n7: 8", "unknown setting 7"),
    ],
)
def test_an_invalid_recipe_is_refused_with_its_file(tmp_path, text, message):
    (tmp_path / "recipe.yaml").write_text(text)
    with pytest.raises(ValueError, match=r"recipe\.yaml: ") as error:
        Recipe.from_yaml(tmp_path / "recipe.yaml")
    assert message in str(error.value)
