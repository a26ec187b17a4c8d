"""Write the dataset card: a template filled from the build report."""

from pathlib import Path

import yaml
from datasets import DatasetInfo, Features, SplitDict
from datasets.info import DatasetInfosDict
from datasets.utils.metadata import MetadataConfigs
from huggingface_hub import DatasetCard, DatasetCardData

from ..pubchem3d import list_split_files
from ..recipe import Recipe
from ..schema import COLUMNS, MOLECULE_COLUMNS
from ..sources.table import TableSource
from ..stages.splits import SPLITS

TEMPLATE = Path(__file__).parents[1] / "README.md"
SIZES = (  # limits of the Hub's size categories
    (1_000, "n<1K"),
    (10_000, "1K<n<10K"),
    (100_000, "10K<n<100K"),
    (1_000_000, "100K<n<1M"),
    (10_000_000, "1M<n<10M"),
    (100_000_000, "10M<n<100M"),
    (1_000_000_000, "100M<n<1B"),
)
MEANINGS = {
    "default": "all pairs",
    "pretrain": "pairs for pre-training",
    "captioning": "pairs with a text of at least {words} words",
}
LABELS = {
    "text_kind": "kind of the text",
    "text_source": "source of the text",
    "text_license_url": "licence of the text",
    "geometry_source": "source of the geometry",
    "geometry_method": "method of the geometry",
    "match_level": "match level",
}
PUBCHEM3D = "PubChem3D"
NOT_STATED = "not stated"  # in the counts of the report


def write_card(
    folder: Path, features: dict[str, Features], infos: dict[str, SplitDict], report: dict, recipe: Recipe
) -> None:
    """Write `README.md` into a built folder.

    The digests in its YAML make `load_dataset` read a rebuilt folder again instead of its cache.

    Args:
        folder: built folder.
        features: features of each config.
        infos: splits of each config.
        report: build report, as written to the folder.
        recipe: recipe of the build.
    """
    properties = recipe.properties
    meanings = {config: meaning.format(words=recipe.captioning_min_words) for config, meaning in MEANINGS.items()}
    if properties is not None:
        meanings[properties.name] = f"all molecules of {properties.name} with their properties, without texts"
    sources = [*recipe.texts, *filter(None, [recipe.structures]), *recipe.geometries, *filter(None, [properties])]
    title = _choose_title(recipe)
    card = DatasetCard.from_template(
        _make_card_data(folder, features, infos, report, title),
        template_path=str(TEMPLATE),
        title=title,
        columns=COLUMNS if recipe.texts else MOLECULE_COLUMNS,
        property_columns=properties.property_columns if properties is not None else (),
        sources=list({source.name: source for source in sources}.values()),
        rows=_count_rows(report),
        recipe_yaml=yaml.safe_dump(report["recipe"], sort_keys=False, allow_unicode=True),
        splits=list(SPLITS),
        meanings=meanings,
        values=_list_values(report.get("rows_by", {})),
        unstated=_list_unstated(report.get("rows_by", {})),
        **report,
    )
    card.save(folder / "README.md")


def _choose_title(recipe: Recipe) -> str:
    """Return a title; a dataset made from a table of the user is not called PubChem3D."""
    if not recipe.texts:
        return "Molecules with properties"
    return "Molecules with texts" if any(isinstance(source, TableSource) for source in recipe.texts) else PUBCHEM3D


def _list_values(rows_by: dict[str, dict[str, int]]) -> list[tuple[str, str, int]]:
    """Return what the rows state about their texts and geometries, with numbers of rows."""
    counted = [(label, rows_by.get(column, {})) for column, label in LABELS.items()]
    return [(label, value, rows) for label, counts in counted for value, rows in counts.items() if value != NOT_STATED]


def _list_unstated(rows_by: dict[str, dict[str, int]]) -> list[tuple[str, int]]:
    """Return what some rows do not state, with numbers of rows."""
    counted = [(label, rows_by.get(column, {}).get(NOT_STATED)) for column, label in LABELS.items()]
    return [(label, rows) for label, rows in counted if rows]


def _count_rows(report: dict) -> int:
    """Return the number of rows of the first config: all pairs, or all molecules."""
    return sum(next(iter(report["configs"].values())).values())


def _make_card_data(
    folder: Path, features: dict[str, Features], infos: dict[str, SplitDict], report: dict, title: str
) -> DatasetCardData:
    """Return the metadata: what the Hub shows and searches, and the configs with their files and features."""
    rows = _count_rows(report)
    geometry_sources = [name for name in report.get("rows_by", {}).get("geometry_source", ()) if name != NOT_STATED]
    tasks = ["feature-extraction", "text-retrieval"] if "rows_by" in report else ["tabular-regression"]
    origins = ["pubchem"] if title == PUBCHEM3D else []
    card_data = DatasetCardData(
        pretty_name=title,
        language="en",
        license="other",
        license_name="mixed-see-card",
        size_categories=next((size for limit, size in SIZES if rows < limit), "other"),
        task_categories=tasks,
        tags=["chemistry", "molecules", "3d", "geometry", *origins, *geometry_sources],
    )
    configs, dataset_infos = {}, {}
    for config, splits in infos.items():
        files = list_split_files(folder, config)
        configs[config] = {
            "description": f"sha256:{report['sha256'][config]}",
            "data_files": [
                {"split": split, "path": [str(file.relative_to(folder)) for file in found]}
                for split, found in files.items()
            ],
            **({"default": True} if config == next(iter(infos)) else {}),
        }
        dataset_infos[config] = DatasetInfo(
            features=features[config],
            splits=splits,
            download_size=sum(file.stat().st_size for found in files.values() for file in found),
            dataset_size=sum(split.num_bytes for split in splits.values()),
        )
    MetadataConfigs(configs).to_dataset_card_data(card_data)
    DatasetInfosDict(dataset_infos).to_dataset_card_data(card_data)
    return card_data
