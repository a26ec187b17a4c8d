"""GeomCLIP for transformers. Importing this package registers its classes with the Auto classes."""

from transformers import (
    AutoConfig,
    AutoFeatureExtractor,
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForPreTraining,
    AutoModelForSequenceClassification,
    AutoProcessor,
)
from transformers.pipelines import PIPELINE_REGISTRY

from .captioning_geomclip import GeomCLIPCaptioningOutput, GeomCLIPForCaptioning
from .configuration_geomclip import GeomCLIPCaptioningConfig, GeomCLIPConfig, GeomCLIPGeometryConfig
from .embedding_geomclip import embed_molecules, embed_texts
from .explanation_geomclip import Explanation, explain
from .feature_extraction_geomclip import GeomCLIPFeatureExtractor
from .loss_geomclip import MISSING_ID, contrastive_loss
from .modeling_geomclip import GeomCLIPModel, GeomCLIPOutput
from .modeling_geometry_geomclip import GeomCLIPGeometryModel, GeomCLIPGeometryOutput
from .molecule_checks_geomclip import MoleculeError
from .molecule_files_geomclip import read_molecules
from .molecules_geomclip import read_molecule
from .pipeline_geomclip import (
    MoleculeCaptioningPipeline,
    MoleculePropertyPipeline,
    MoleculeZeroShotClassificationPipeline,
)
from .pretraining_geomclip import (
    GeomCLIPDenoisingOutput,
    GeomCLIPForPreTraining,
    GeomCLIPForPreTrainingOutput,
    GeomCLIPGeometryForPreTraining,
)
from .processing_captioning_geomclip import GeomCLIPCaptioningProcessor
from .processing_geomclip import GeomCLIPProcessor
from .property_geomclip import GeomCLIPForPropertyPrediction, GeomCLIPPropertyOutput
from .references_geomclip import GeomCLIPReferences, Neighbour

__all__ = [
    "MISSING_ID",
    "Explanation",
    "GeomCLIPCaptioningConfig",
    "GeomCLIPCaptioningOutput",
    "GeomCLIPCaptioningProcessor",
    "GeomCLIPConfig",
    "GeomCLIPDenoisingOutput",
    "GeomCLIPFeatureExtractor",
    "GeomCLIPForCaptioning",
    "GeomCLIPForPreTraining",
    "GeomCLIPForPreTrainingOutput",
    "GeomCLIPForPropertyPrediction",
    "GeomCLIPGeometryConfig",
    "GeomCLIPGeometryForPreTraining",
    "GeomCLIPGeometryModel",
    "GeomCLIPGeometryOutput",
    "GeomCLIPModel",
    "GeomCLIPOutput",
    "GeomCLIPProcessor",
    "GeomCLIPPropertyOutput",
    "GeomCLIPReferences",
    "MoleculeCaptioningPipeline",
    "MoleculeError",
    "MoleculePropertyPipeline",
    "Neighbour",
    "MoleculeZeroShotClassificationPipeline",
    "contrastive_loss",
    "embed_molecules",
    "embed_texts",
    "explain",
    "read_molecule",
    "read_molecules",
]

MODELS = (
    (GeomCLIPGeometryConfig, GeomCLIPGeometryModel),
    (GeomCLIPConfig, GeomCLIPModel),
    (GeomCLIPCaptioningConfig, GeomCLIPForCaptioning),
)
PROCESSORS = ((GeomCLIPConfig, GeomCLIPProcessor), (GeomCLIPCaptioningConfig, GeomCLIPCaptioningProcessor))

for config_class, model_class in MODELS:
    AutoConfig.register(config_class.model_type, config_class, exist_ok=True)
    AutoModel.register(config_class, model_class, exist_ok=True)
    # Makes save_pretrained copy the code next to the weights, for trust_remote_code=True.
    config_class.register_for_auto_class()
    model_class.register_for_auto_class("AutoModel")
for config_class, processor_class in PROCESSORS:
    AutoFeatureExtractor.register(config_class, GeomCLIPFeatureExtractor, exist_ok=True)
    AutoProcessor.register(config_class, processor_class, exist_ok=True)
    processor_class.register_for_auto_class("AutoProcessor")
GeomCLIPFeatureExtractor.register_for_auto_class("AutoFeatureExtractor")
AutoModelForPreTraining.register(GeomCLIPConfig, GeomCLIPForPreTraining, exist_ok=True)
AutoModelForPreTraining.register(GeomCLIPGeometryConfig, GeomCLIPGeometryForPreTraining, exist_ok=True)
GeomCLIPForPreTraining.register_for_auto_class("AutoModelForPreTraining")
GeomCLIPGeometryForPreTraining.register_for_auto_class("AutoModelForPreTraining")
AutoModelForCausalLM.register(GeomCLIPCaptioningConfig, GeomCLIPForCaptioning, exist_ok=True)
AutoFeatureExtractor.register(GeomCLIPGeometryConfig, GeomCLIPFeatureExtractor, exist_ok=True)
AutoProcessor.register(GeomCLIPGeometryConfig, GeomCLIPFeatureExtractor, exist_ok=True)  # a tower needs no tokenizer
AutoModelForSequenceClassification.register(GeomCLIPGeometryConfig, GeomCLIPForPropertyPrediction, exist_ok=True)
GeomCLIPForPropertyPrediction.register_for_auto_class("AutoModelForSequenceClassification")
PIPELINE_REGISTRY.register_pipeline(
    "molecule-captioning", pipeline_class=MoleculeCaptioningPipeline, pt_model=AutoModel, type="multimodal"
)
PIPELINE_REGISTRY.register_pipeline(
    "molecule-property-prediction",
    pipeline_class=MoleculePropertyPipeline,
    pt_model=AutoModelForSequenceClassification,
    type="multimodal",
)
PIPELINE_REGISTRY.register_pipeline(
    "zero-shot-molecule-classification",
    pipeline_class=MoleculeZeroShotClassificationPipeline,
    pt_model=AutoModel,
    type="multimodal",
)
