"""The geometry tower that a task starts from, and the feature extractor that reads for it."""

from pathlib import Path

from transformers import AutoFeatureExtractor

from modeling_geomclip import GeomCLIPFeatureExtractor, GeomCLIPGeometryConfig, GeomCLIPGeometryForPreTraining
from modeling_geomclip.convert_geomclip import build_feature_extractor, load_tower, load_unimol

from ..configurations import find_configuration


def load_geometry_tower(source: str | None) -> GeomCLIPGeometryForPreTraining:
    """A tower in float32, with the heads that denoise; new ones if it was saved without.

    Args:
        source: folder or Hub id of a model with a geometry tower, or a .pt checkpoint of Uni-Mol's; a .json
            configuration, a file or the name of a shipped one, or None for Uni-Mol's shape, starts from scratch.
    Raises:
        ValueError: the model has no geometry tower.
    """
    if is_scratch(source):
        config = (
            GeomCLIPGeometryConfig()
            if source is None
            else GeomCLIPGeometryConfig.from_json_file(find_configuration(source))
        )
        return GeomCLIPGeometryForPreTraining(config)
    if is_unimol(source):
        return load_unimol(source)
    tower, _ = load_tower(source)
    return tower


def load_feature_extractor(source: str | None, **changed) -> GeomCLIPFeatureExtractor:
    """The feature extractor that lies beside a tower, else a new one.

    Args:
        source: as for `load_geometry_tower`.
        changed: settings that are to be others.
    """
    if is_unimol(source):
        return build_feature_extractor(source, **changed)
    if is_scratch(source) or (Path(source).is_dir() and not any(Path(source).glob("*processor_config.json"))):
        return GeomCLIPFeatureExtractor(**changed)
    kept = AutoFeatureExtractor.from_pretrained(source)
    names = ("remove_hydrogens", "max_atoms", "conformer_seed")
    return GeomCLIPFeatureExtractor(**{name: getattr(kept, name) for name in names} | changed)


def is_unimol(source: str | None) -> bool:
    return source is not None and source.endswith(".pt")


def is_scratch(source: str | None) -> bool:
    return source is None or source.endswith(".json")
