"""GeomCLIP for transformers. Importing this package registers its classes with the Auto classes."""

from transformers import AutoConfig, AutoFeatureExtractor, AutoModel, AutoProcessor

from .configuration_geomclip import GeomCLIPConfig, GeomCLIPGeometryConfig
from .feature_extraction_geomclip import GeomCLIPFeatureExtractor
from .loss_geomclip import MISSING_ID, contrastive_loss
from .modeling_geomclip import GeomCLIPGeometryModel, GeomCLIPModel, GeomCLIPOutput
from .molecules_geomclip import MoleculeError, read_molecule, read_molecules
from .processing_geomclip import GeomCLIPProcessor

__all__ = [
    "MISSING_ID",
    "GeomCLIPConfig",
    "GeomCLIPFeatureExtractor",
    "GeomCLIPGeometryConfig",
    "GeomCLIPGeometryModel",
    "GeomCLIPModel",
    "GeomCLIPOutput",
    "GeomCLIPProcessor",
    "MoleculeError",
    "contrastive_loss",
    "read_molecule",
    "read_molecules",
]

for config_class, model_class in ((GeomCLIPGeometryConfig, GeomCLIPGeometryModel), (GeomCLIPConfig, GeomCLIPModel)):
    AutoConfig.register(config_class.model_type, config_class, exist_ok=True)
    AutoModel.register(config_class, model_class, exist_ok=True)
    # save_pretrained then puts the code beside the weights, for trust_remote_code=True.
    config_class.register_for_auto_class()
    model_class.register_for_auto_class("AutoModel")
AutoFeatureExtractor.register(GeomCLIPConfig, GeomCLIPFeatureExtractor, exist_ok=True)
AutoProcessor.register(GeomCLIPConfig, GeomCLIPProcessor, exist_ok=True)
GeomCLIPFeatureExtractor.register_for_auto_class("AutoFeatureExtractor")
GeomCLIPProcessor.register_for_auto_class("AutoProcessor")
