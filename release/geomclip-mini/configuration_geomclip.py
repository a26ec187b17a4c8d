"""Configurations of the geometry tower, the joint geometry-text model and the captioner."""

from huggingface_hub.dataclasses import strict
from transformers.configuration_utils import PreTrainedConfig, SubConfigSpec
from transformers.models.auto.configuration_auto import AutoConfig


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ValueError(message)


def _require_geometry_pooling(pooling: str) -> None:
    poolings = ("mean", "cls", "counting", "attention")
    _require(pooling in poolings, f"geometry_pooling must be one of {', '.join(poolings)}, got {pooling!r}")


@strict
class GeomCLIPGeometryConfig(PreTrainedConfig):
    """Configuration of [`GeomCLIPGeometryModel`], the Uni-Mol tower (Zhou et al., ICLR 2023), and of its heads.

    Args:
        vocab_size: number of symbols; Uni-Mol's dictionary has 26 elements, [PAD], [CLS], [SEP], [UNK] and [MASK].
        hidden_size, num_hidden_layers, num_attention_heads, intermediate_size, hidden_act: shape of the encoder.
        num_gaussians: number of Gaussian functions that expand one distance (K in Uni-Mol).
        chirality_channels: number of signed triple products that describe the surroundings of an atom. With 0, as in
            Uni-Mol, mirror images have the same states.
        hidden_dropout_prob: dropout on embeddings and on both residual branches of a layer.
        attention_probs_dropout_prob: dropout on attention weights.
        activation_dropout_prob: dropout inside the feed-forward network.
        layer_norm_eps, initializer_range: as in BERT.
        pad_token_id, cls_token_id, sep_token_id, unk_token_id, mask_token_id: ids of the special symbols; the ids
            between `unk_token_id` and `mask_token_id` are the elements.
        mask_ratio: fraction of a molecule's atoms that denoising chooses, at least one atom.
        mask_keep_ratio, mask_random_ratio: fraction of the chosen atoms whose symbol is kept, or replaced by a random
            element, instead of becoming [MASK].
        position_noise: "gaussian" (GeomCLIP) or "uniform" (Uni-Mol).
        position_noise_scale: Å; standard deviation per coordinate of Gaussian noise, or half-width of uniform noise. If
            omitted, Uni-Mol's half-width, or the standard deviation of equal variance.
        coordinate_loss_weight, atom_type_loss_weight, distance_loss_weight: weights of the parts of the denoising loss,
            Uni-Mol's if omitted. `geomclip train` freezes a head whose weight is 0.
        distance_mean, distance_std: Å; the distance head predicts (distance - mean) / std.
        source, source_sha256: name and hash of the Uni-Mol checkpoint that the weights were converted from.
        property_pooling: what [`GeomCLIPForPropertyPrediction`] predicts from: "cls", the state of the [CLS] row, or
            the states of all atoms, with the "mean" or "sum" of their predictions. A sum grows with the size of the
            molecule, as energies do.
        property_dropout: dropout before both layers of the property head.
        label_means, label_stds: means and standard deviations of the properties, in their units. The head predicts
            (property - mean) / std.
        element_references: (num_labels, vocab_size), contribution of one atom of each symbol to each property, in the
            unit of the property, for example atomic reference energies. `label_means` are then the means of the
            residuals, and the head predicts (property - references - mean) / residual_std.
        residual_stds: standard deviations of the residuals, the properties minus their references.
        label_units: unit of each property, "" if it has none.
    """

    model_type = "geomclip_geometry"
    base_config_key = "geometry_config"

    vocab_size: int = 31
    hidden_size: int = 512
    num_hidden_layers: int = 15
    num_attention_heads: int = 64
    intermediate_size: int = 2048
    num_gaussians: int = 128
    chirality_channels: int = 0
    hidden_act: str = "gelu"
    hidden_dropout_prob: float | int = 0.1
    attention_probs_dropout_prob: float | int = 0.1
    activation_dropout_prob: float | int = 0.0
    layer_norm_eps: float = 1e-5
    initializer_range: float | int = 0.02
    pad_token_id: int | None = 0
    cls_token_id: int = 1
    sep_token_id: int = 2
    unk_token_id: int = 3
    mask_token_id: int = 30
    mask_ratio: float | int = 0.15
    mask_keep_ratio: float | int = 0.0
    mask_random_ratio: float | int = 0.0
    position_noise: str = "gaussian"
    position_noise_scale: float | int | None = None
    coordinate_loss_weight: float | int = 5.0
    atom_type_loss_weight: float | int = 1.0
    distance_loss_weight: float | int = 10.0
    # Statistics of Uni-Mol's pre-training conformers (deepmodeling/Uni-Mol, losses/unimol.py).
    distance_mean: float | int = 6.312581655060595
    distance_std: float | int = 3.3899264663911888
    source: str | None = None
    source_sha256: str | None = None
    property_pooling: str = "mean"
    property_dropout: float | int = 0.0
    label_means: list[float] | None = None
    label_stds: list[float] | None = None
    element_references: list[list[float]] | None = None
    residual_stds: list[float] | None = None
    label_units: list[str] | None = None

    def __post_init__(self, **kwargs):
        if self.position_noise_scale is None:
            self.position_noise_scale = 1.0 if self.position_noise == "uniform" else 3**-0.5
        super().__post_init__(**kwargs)

    def validate_geometry(self):
        """Check the settings of the encoder and of the noise."""
        _require(
            self.hidden_size % self.num_attention_heads == 0,
            f"hidden_size={self.hidden_size} must be a multiple of num_attention_heads={self.num_attention_heads}",
        )
        _require(
            self.position_noise in ("gaussian", "uniform"),
            f"position_noise must be 'gaussian' or 'uniform', got {self.position_noise!r}",
        )
        _require(0 < self.mask_ratio <= 1, f"mask_ratio must lie in (0, 1], got {self.mask_ratio}")
        _require(
            self.mask_keep_ratio >= 0
            and self.mask_random_ratio >= 0
            and self.mask_keep_ratio + self.mask_random_ratio <= 1,
            "mask_keep_ratio and mask_random_ratio must not be negative and their sum must not exceed 1, got "
            f"{self.mask_keep_ratio} and {self.mask_random_ratio}",
        )

    def validate_properties(self):
        """Check the settings of the property head."""
        _require(
            self.property_pooling in ("cls", "mean", "sum"),
            f"property_pooling must be 'cls', 'mean' or 'sum', got {self.property_pooling!r}",
        )
        for name in ("label_means", "label_stds", "label_units", "element_references", "residual_stds"):
            values = getattr(self, name)
            _require(
                values is None or len(values) == self.num_labels,
                f"{name} has {len(values or ())} values for {self.num_labels} labels; give one for each",
            )
        for name in ("label_stds", "residual_stds"):
            values = getattr(self, name)
            _require(all(std > 0 for std in values or ()), f"{name} must be positive, got {values}")
        for number, values in enumerate(self.element_references or ()):
            _require(
                len(values) == self.vocab_size,
                f"element_references[{number}] has {len(values)} values for {self.vocab_size} symbols; give one each",
            )
        _require(
            (self.element_references is None) == (self.residual_stds is None),
            "element_references and residual_stds belong together; give both or neither",
        )


@strict
class GeomCLIPConfig(PreTrainedConfig):
    """Configuration of [`GeomCLIPModel`]: a geometry tower and a text tower that share one embedding space.

    Args:
        geometry_config: a [`GeomCLIPGeometryConfig`] or its dictionary.
        text_config: configuration, or its dictionary with `model_type`, of any encoder that `AutoModel` builds. If
            omitted, it has the shape of SciBERT (Beltagy et al., EMNLP 2019).
        projection_dim: size of the shared space.
        geometry_pooling: "mean" over atoms (GeomCLIP), "cls", the state of the [CLS] row, or "counting" or "attention",
            which add a learned term to the mean (see [`GeomCLIPPooling`]).
        text_pooling: "cls", the first token (GeomCLIP), or "mean" over tokens.
        temperature: initial contrastive temperature; logits are cosines / temperature.
        learnable_temperature: whether `geomclip train` trains the temperature (the authors' code keeps it fixed).
        max_logit_scale: upper bound of 1 / temperature during training.
        denoising_loss_weight: alpha in L = L_contrastive + alpha * L_denoising; 0 skips the second forward pass.
    """

    model_type = "geomclip"
    sub_configs_defaults = {
        "geometry_config": GeomCLIPGeometryConfig,
        "text_config": SubConfigSpec(config_class=AutoConfig, model_type="bert"),
    }

    geometry_config: dict | PreTrainedConfig | None = None
    text_config: dict | PreTrainedConfig | None = None
    projection_dim: int = 512
    geometry_pooling: str = "mean"
    text_pooling: str = "cls"
    temperature: float | int = 0.07
    learnable_temperature: bool = True
    max_logit_scale: float | int = 100.0
    denoising_loss_weight: float | int = 1.0

    def __post_init__(self, **kwargs):
        if self.text_config is None:
            self.text_config = {"model_type": "bert", "vocab_size": 31090}  # SciBERT
        super().__post_init__(**kwargs)

    def validate_joint_model(self):
        """Check the settings of pooling, temperature and loss."""
        _require_geometry_pooling(self.geometry_pooling)
        _require(
            self.text_pooling in ("mean", "cls"), f"text_pooling must be 'mean' or 'cls', got {self.text_pooling!r}"
        )
        _require(self.temperature > 0, f"temperature must be positive, got {self.temperature}")
        _require(
            self.denoising_loss_weight >= 0,
            f"denoising_loss_weight must not be negative, got {self.denoising_loss_weight}",
        )


@strict
class GeomCLIPCaptioningConfig(PreTrainedConfig):
    """Configuration of [`GeomCLIPForCaptioning`]: a causal language model that reads the states of a geometry tower.

    Args:
        geometry_config: a [`GeomCLIPGeometryConfig`] or its dictionary.
        decoder_config: configuration, or its dictionary with `model_type`, of any model that `AutoModelForCausalLM`
            builds.
        geometry_pooling, projection_dim: as in [`GeomCLIPConfig`], for the molecule's embedding.
        prefix: what the decoder reads before the prompt. "resampler": `num_prefix_tokens` queries that attend to the
            atom states. "atoms": the projected states of all atoms; captions then depend on the order of the atoms.
            "pooled": only the projected embedding of the molecule, as one token. "none": nothing, to measure what the
            geometry contributes.
        num_prefix_tokens, resampler_num_layers, resampler_num_heads, resampler_dropout: shape and dropout of the
            resampler.
        base_model, base_sha256: for a folder that holds only an adapter: its base, as a path relative to that folder or
            a Hub id, and the SHA-256 of the base's weights.
        base_parts: in place of them, the models that the base consists of, from `describe_parts`: `geomclip` and
            `decoder`, each a path relative to the folder or a Hub id, the `decoder_file` of a GGUF decoder, and the
            SHA-256 of both.
    """

    model_type = "geomclip_captioning"
    sub_configs_defaults = {
        "geometry_config": GeomCLIPGeometryConfig,
        "decoder_config": SubConfigSpec(config_class=AutoConfig, model_type="llama"),
    }

    geometry_config: dict | PreTrainedConfig | None = None
    decoder_config: dict | PreTrainedConfig | None = None
    geometry_pooling: str = "mean"
    projection_dim: int = 512
    prefix: str = "resampler"
    num_prefix_tokens: int = 16
    resampler_num_layers: int = 2
    resampler_num_heads: int = 8
    resampler_dropout: float | int = 0.0
    base_model: str | None = None
    base_sha256: str | None = None
    base_parts: dict | None = None

    def validate_captioner(self):
        """Check the settings of prefix, pooling and resampler."""
        prefixes = ("resampler", "atoms", "pooled", "none")
        _require(self.prefix in prefixes, f"prefix must be one of {prefixes}, got {self.prefix!r}")
        _require_geometry_pooling(self.geometry_pooling)
        hidden_size, heads = self.geometry_config.hidden_size, self.resampler_num_heads
        _require(
            hidden_size % heads == 0,
            f"the geometry tower's hidden_size={hidden_size} must be a multiple of resampler_num_heads={heads}",
        )
        _require(self.num_prefix_tokens > 0, f"num_prefix_tokens must be positive, got {self.num_prefix_tokens}")
