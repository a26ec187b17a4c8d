"""Load the geometry tower that a task starts from, and its feature extractor."""

from pathlib import Path

from transformers import AutoFeatureExtractor

from modeling_geomclip import GeomCLIPFeatureExtractor, GeomCLIPGeometryConfig, GeomCLIPGeometryForPreTraining
from modeling_geomclip.convert_geomclip import build_feature_extractor, load_tower, load_unimol

from ..configurations import find_configuration
from ..loading import read_config


def load_geometry_tower(source: str | None) -> GeomCLIPGeometryForPreTraining:
    """Load a geometry tower in float32 with its denoising heads; heads that were not saved are newly initialised.

    Args:
        source: folder or Hub id of a model with a geometry tower, or a Uni-Mol checkpoint (.pt). A .json configuration,
            given by path or by the name of a shipped one, starts from random weights. So does None, with the shape of
            Uni-Mol.
    Raises:
        ValueError: there is no checkpoint or configuration, or the model has no geometry tower.
    """
    if is_scratch(source):
        config = (
            GeomCLIPGeometryConfig()
            if source is None
            else GeomCLIPGeometryConfig.from_json_file(find_configuration(source, "model"))
        )
        return GeomCLIPGeometryForPreTraining(config)
    if is_unimol(source):
        return load_unimol(source)
    read_config(source)  # names a folder without a model
    tower, _ = load_tower(source)
    return tower


def load_feature_extractor(source: str | None, **changed) -> GeomCLIPFeatureExtractor:
    """Load the feature extractor saved with a tower, or build a new one if there is none.

    Args:
        source: as for `load_geometry_tower`.
        changed: settings of the feature extractor to override.
    """
    if is_unimol(source):
        return build_feature_extractor(source, **changed)
    if is_scratch(source) or (Path(source).is_dir() and not any(Path(source).glob("*processor_config.json"))):
        return GeomCLIPFeatureExtractor(**changed)
    kept = AutoFeatureExtractor.from_pretrained(source)
    names = ("remove_hydrogens", "max_atoms", "conformer_seed")
    return GeomCLIPFeatureExtractor(**{name: getattr(kept, name) for name in names} | changed)


def is_unimol(source: str | None) -> bool:
    """Return whether the source is a Uni-Mol checkpoint."""
    return source is not None and source.endswith(".pt")


def is_scratch(source: str | None) -> bool:
    """Return whether the source starts a tower from random weights."""
    return source is None or source.endswith(".json")
