"""The dataset card: a template filled from what was measured."""

from pathlib import Path

import yaml
from datasets import DatasetInfo, Features, SplitDict
from datasets.info import DatasetInfosDict
from datasets.utils.metadata import MetadataConfigs
from huggingface_hub import DatasetCard, DatasetCardData

from ..pubchem3d import list_split_files
from ..recipe import Recipe
from ..schema import COLUMNS, MOLECULE_COLUMNS
from ..stages.splits import SPLITS

TEMPLATE = Path(__file__).parents[1] / "README.md"
SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
MEANINGS = {
    "default": "all pairs",
    "pretrain": "pairs to pre-train on",
    "captioning": "pairs with a text of {words} words and more",
}
TOLD = {
    "text_kind": "kind of text",
    "text_source": "source of text",
    "text_license_url": "licence of text",
    "geometry_source": "source of geometry",
    "geometry_method": "method of geometry",
    "match_level": "matched by",
}


def write_card(
    folder: Path, features: dict[str, Features], infos: dict[str, SplitDict], report: dict, recipe: Recipe
) -> None:
    """Fill the template. The digests in its YAML make `load_dataset` see a rebuilt folder as another one.

    Args:
        features, infos: by config.
        report: as written to the folder.
    """
    properties = recipe.properties
    meanings = {config: meaning.format(words=recipe.captioning_min_words) for config, meaning in MEANINGS.items()}
    if properties is not None:
        meanings[properties.name] = f"all molecules of {properties.name} with their properties, without texts"
    sources = [*recipe.texts, *filter(None, [recipe.structures]), *recipe.geometries, *filter(None, [properties])]
    card = DatasetCard.from_template(
        _make_card_data(folder, features, infos, report),
        template_path=str(TEMPLATE),
        columns=COLUMNS if recipe.texts else MOLECULE_COLUMNS,
        property_columns=properties.property_columns if properties is not None else (),
        sources=list({source.name: source for source in sources}.values()),
        rows=_count_rows(report),
        recipe_yaml=yaml.safe_dump(report["recipe"], sort_keys=False, allow_unicode=True),
        splits=list(SPLITS),
        meanings=meanings,
        told=TOLD,
        **report,
    )
    card.save(folder / "README.md")


def _count_rows(report: dict) -> int:
    """Rows of the first config: all pairs, or all molecules."""
    return sum(next(iter(report["configs"].values())).values())


def _make_card_data(
    folder: Path, features: dict[str, Features], infos: dict[str, SplitDict], report: dict
) -> DatasetCardData:
    rows = _count_rows(report)
    of_pairs = ["pubchem", *report["rows_by"]["geometry_source"]] if "rows_by" in report else []
    tasks = ["feature-extraction", "text-retrieval"] if of_pairs else ["tabular-regression"]
    card_data = DatasetCardData(
        pretty_name="PubChem3D" if of_pairs else "Molecules with properties",
        language="en",
        license="other",
        license_name="mixed-see-card",
        size_categories=next((size for limit, size in SIZES if rows < limit), "n>1M"),
        task_categories=tasks,
        tags=["chemistry", "molecules", "3d", "geometry", *of_pairs],
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
