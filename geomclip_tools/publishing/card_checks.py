"""Check the card of a folder before any request. The Hub checks its metadata too, but not the files that it names."""

from glob import glob
from pathlib import Path

import yaml
from huggingface_hub import DatasetCard, ModelCard
from huggingface_hub.repocard import REGEX_YAML_BLOCK

from .hub_licenses import HUB_LICENSES
from .publication import DATASET, Publication

CARD = "README.md"


def check_card(publication: Publication) -> None:
    """Check that the card's metadata is valid YAML, names a licence of the Hub, and names only files that there are.

    Raises:
        ValueError: the folder has no card, or its card is faulty.
    """
    card = publication.folder / CARD
    remedy = "build the dataset again" if publication.kind == DATASET else f"run geomclip card --model {card.parent}"
    if CARD not in publication.files:
        raise ValueError(f"{publication.folder} has no card {CARD}; {remedy}")
    metadata = _read_metadata(card, remedy)
    _check_round_trip(card, metadata, DatasetCard if publication.kind == DATASET else ModelCard, remedy)
    _check_license(card, metadata)
    if publication.kind == DATASET:
        _check_data_files(card, metadata, remedy)


def _read_metadata(card: Path, remedy: str) -> dict:
    """Return the YAML at the beginning of a card."""
    block = REGEX_YAML_BLOCK.search(card.read_text(encoding="utf-8"))
    if block is None:
        raise ValueError(f"{card} does not begin with metadata between two lines ---; {remedy}")
    try:
        metadata = yaml.safe_load(block[2])
    except yaml.YAMLError as error:
        raise ValueError(f"the metadata of {card} is not valid YAML: {error}; correct it, or {remedy}") from error
    if not isinstance(metadata, dict):
        raise ValueError(f"the metadata of {card} is not a mapping of names to values; {remedy}")
    return metadata


def _check_round_trip(card: Path, metadata: dict, card_class: type[DatasetCard | ModelCard], remedy: str) -> None:
    """Check that huggingface_hub reads the metadata and writes it back unchanged."""
    try:
        written = card_class.load(card).data.to_dict()
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(f"huggingface_hub cannot read the metadata of {card}: {error}; {remedy}") from error
    names = metadata.keys() | written.keys()
    if changed := sorted(str(name) for name in names if metadata.get(name) != written.get(name)):
        raise ValueError(f"huggingface_hub reads {', '.join(changed)} of {card} differently; correct it, or {remedy}")


def _check_license(card: Path, metadata: dict) -> None:
    stated = metadata.get("license")
    for name in stated if isinstance(stated, list) else [stated]:
        if name not in HUB_LICENSES:
            raise ValueError(
                f"{card} has the license {name!r}, which the Hub does not know; "
                "give license: other and a license_name, or an identifier of hf.co/docs/hub/repositories-licenses"
            )
    if stated == "other" and not metadata.get("license_name"):
        raise ValueError(f"{card} has license: other without a license_name; add one")


def _check_data_files(card: Path, metadata: dict, remedy: str) -> None:
    """Check that the folder has a file for every path in the configs."""
    try:
        paths = [path for config in metadata["configs"] for path in _list_paths(config["data_files"])]
    except (KeyError, TypeError) as error:
        raise ValueError(f"{card} has no configs that name data_files; {remedy}") from error
    if missing := [path for path in paths if not glob(path, root_dir=card.parent, recursive=True)]:
        raise ValueError(f"{card} names files that the folder does not have: {', '.join(missing)}; {remedy}")


def _list_paths(data_files: str | list | dict) -> list[str]:
    """Return the paths in `data_files`: a path, or a list of paths and of splits with their `path`."""
    if isinstance(data_files, str):
        return [data_files]
    items = [data_files["path"]] if isinstance(data_files, dict) else data_files
    return [path for item in items for path in _list_paths(item)]
