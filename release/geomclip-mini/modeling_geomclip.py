"""GeomCLIP: a Uni-Mol geometry tower and a text tower in one embedding space (arXiv 2411.10821)."""

import copy
import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import initialization as init
from transformers.activations import ACT2FN
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.modeling_outputs import BaseModelOutputWithPooling
from transformers.modeling_utils import PreTrainedModel
from transformers.models.auto.modeling_auto import AutoModel
from transformers.utils import ModelOutput, is_peft_available
from transformers.utils.generic import can_return_tuple, merge_with_config_defaults
from transformers.utils.output_capturing import OutputRecorder, capture_outputs

from .configuration_geomclip import GeomCLIPConfig, GeomCLIPGeometryConfig
from .geometry_geomclip import (
    NoisedGeometry,
    add_noise,
    centre_positions,
    edge_types,
    masked_mean,
    pair_distances,
    split_padded,
)
from .loss_geomclip import atom_type_loss, contrastive_loss, coordinate_loss, distance_loss

if is_peft_available():
    from peft.tuners.tuners_utils import BaseTunerLayer
    from peft.utils import ModulesToSaveWrapper


@dataclass
class GeomCLIPGeometryOutput(ModelOutput):
    """Output of [`GeomCLIPGeometryModel`].

    Args:
        last_hidden_state: (batch, atoms, hidden_size).
        pair_representation: (batch, atoms, atoms, heads), the attention logits that the layers accumulated on the pair
            bias; 0 on padding.
        delta_pair_representation: (batch, atoms, atoms, heads), what the layers added to the bias; 0 on padding.
        hidden_states: a state before each layer and after the last one.
        attentions: (batch, heads, atoms, atoms) a layer.
    """

    last_hidden_state: Tensor | None = None
    pair_representation: Tensor | None = None
    delta_pair_representation: Tensor | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None


@dataclass
class GeomCLIPDenoisingOutput(ModelOutput):
    """Output of [`GeomCLIPGeometryModel.denoise`]. All losses are means over the chosen atoms.

    Args:
        loss: () weighted sum of the three losses.
        coordinate_loss, atom_type_loss, distance_loss: ().
        noised_coordinate_loss: () the coordinate loss of returning the noised positions.
        num_chosen: () int64, number of chosen atoms.
        positions, target_positions: (batch, atoms, 3), Å, predicted and clean, in the frame of the noised centroid.
        chosen: (batch, atoms) bool.
        geometry_model_output: output of the geometry tower on the noised geometry.
    """

    loss: Tensor | None = None
    coordinate_loss: Tensor | None = None
    atom_type_loss: Tensor | None = None
    distance_loss: Tensor | None = None
    noised_coordinate_loss: Tensor | None = None
    num_chosen: Tensor | None = None
    positions: Tensor | None = None
    target_positions: Tensor | None = None
    chosen: Tensor | None = None
    geometry_model_output: GeomCLIPGeometryOutput | None = None


@dataclass
class GeomCLIPOutput(ModelOutput):
    """Output of [`GeomCLIPModel`].

    Args:
        loss: () contrastive_loss + alpha * denoising_loss.
        contrastive_loss, denoising_loss: () the two parts; the second in training mode only.
        num_chosen: () int64, atoms over which `denoising_loss` is a mean.
        logits_per_geometry: (geometries, texts), cosines / temperature.
        logits_per_text: (texts, geometries).
        geometry_embeds: (geometries, projection_dim), L2-normalised.
        text_embeds: (texts, projection_dim), L2-normalised.
        logit_scale: () 1 / temperature.
        geometry_model_output: output of the geometry tower; None if the batch was split by `pair_budget`.
        text_model_output: output of the text tower; None if it was not run, or the batch was split by `token_budget`.
    """

    loss: Tensor | None = None
    contrastive_loss: Tensor | None = None
    denoising_loss: Tensor | None = None
    num_chosen: Tensor | None = None
    logits_per_geometry: Tensor | None = None
    logits_per_text: Tensor | None = None
    geometry_embeds: Tensor | None = None
    text_embeds: Tensor | None = None
    logit_scale: Tensor | None = None
    geometry_model_output: ModelOutput | None = None
    text_model_output: ModelOutput | None = None

    def to_tuple(self) -> tuple:
        return tuple(v.to_tuple() if isinstance(v, ModelOutput) else v for v in self.values())


def _at_least_float32(dtype: torch.dtype) -> torch.dtype:
    return torch.promote_types(dtype, torch.float32)


class GeomCLIPPairBasis(nn.Module):
    """Gaussian functions of an affine transform of the distance, with one slope and one offset per edge type.

    Kept and computed in at least float32: bfloat16 holds 5 Å to 0.03 Å only.
    """

    def __init__(self, config: GeomCLIPGeometryConfig):
        super().__init__()
        self.vocab_size = config.vocab_size
        self.slope = nn.Embedding(config.vocab_size**2, 1)
        self.offset = nn.Embedding(config.vocab_size**2, 1)
        self.means = nn.Parameter(torch.empty(config.num_gaussians))
        self.stds = nn.Parameter(torch.empty(config.num_gaussians))

    def _apply(self, fn, recurse=True):
        """Moves and casts, but not below float32: rounded centres and widths would shift every distance."""

        def apply(tensor: Tensor) -> Tensor:
            moved = fn(tensor)
            is_rounded = moved.is_floating_point() and torch.finfo(moved.dtype).bits < 32
            return tensor.to(moved.device) if is_rounded else moved

        return super()._apply(apply, recurse)

    def forward(self, atom_ids: Tensor, positions: Tensor) -> Tensor:
        dtype = _at_least_float32(self.means.dtype)
        edges = edge_types(atom_ids, self.vocab_size)
        distances = pair_distances(positions.to(dtype)).unsqueeze(-1)
        x = self.slope(edges).to(dtype) * distances + self.offset(edges).to(dtype)  # (batch, atoms, atoms, 1)
        stds = self.stds.to(dtype).abs() + 1e-5
        log_norm = torch.log((2 * 3.14159) ** 0.5 * stds)  # Uni-Mol's pi, which its weights were trained with
        z = (x - self.means.to(dtype)) * (0.5**0.5 / stds)  # (batch, atoms, atoms, gaussians)
        return torch.exp(torch.addcmul(-log_norm, z, z, value=-1))


class GeomCLIPChirality(nn.Module):
    """Handedness of what surrounds an atom: numbers that rotations keep and reflections negate.

    They are the triple products of three sums of unit vectors to the other atoms, weighted by learned functions of the
    pair basis; distances alone, which all else in the tower reads, are those of the mirror image too. A new one adds
    nothing until it is trained.
    """

    def __init__(self, config: GeomCLIPGeometryConfig):
        super().__init__()
        self.weights = nn.Linear(config.num_gaussians, 3 * config.chirality_channels)
        self.out_weight = nn.Parameter(torch.empty(config.hidden_size, config.chirality_channels))

    def forward(self, basis: Tensor, positions: Tensor, atom_mask: Tensor) -> Tensor:
        """(batch, atoms, hidden_size), what the atoms' states are to be raised by; 0 on rows that are not atoms.

        Args:
            basis: (batch, atoms, atoms, gaussians).
            positions: (batch, atoms, 3), Å.
            atom_mask: (batch, atoms) bool, True on atoms.
        """
        with torch.autocast(positions.device.type, enabled=False):  # which would round directions
            is_pair = (atom_mask.unsqueeze(1) & atom_mask.unsqueeze(2)).unsqueeze(-1)
            directions = F.normalize(positions.unsqueeze(1) - positions.unsqueeze(2), dim=-1)
            weights = F.linear(basis, *(value.to(basis.dtype) for value in (self.weights.weight, self.weights.bias)))
            sums = torch.einsum("bijc,bijx->bicx", weights * is_pair, directions.to(basis.dtype))
            first, second, third = sums.unflatten(2, (3, -1)).unbind(2)  # each (batch, atoms, channels, 3)
            triple_products = torch.tanh((first * torch.linalg.cross(second, third)).sum(dim=-1))
        return F.linear(triple_products.to(self.out_weight.dtype), self.out_weight)


class GeomCLIPMLP(nn.Module):
    """Linear, activation, linear (Uni-Mol's NonLinearHead and feed-forward net)."""

    def __init__(self, in_size: int, inner_size: int, out_size: int, hidden_act: str, dropout: float = 0.0):
        super().__init__()
        self.fc1 = nn.Linear(in_size, inner_size)
        self.activation = ACT2FN[hidden_act]
        self.dropout = nn.Dropout(dropout)
        self.fc2 = nn.Linear(inner_size, out_size)

    def forward(self, states: Tensor) -> Tensor:
        return self.fc2(self.dropout(self.activation(self.fc1(states))))


class GeomCLIPAttention(nn.Module):
    """Self-attention whose logits are added to the pair bias and handed on (Uni-Mol, "pair representation")."""

    def __init__(self, config: GeomCLIPGeometryConfig):
        super().__init__()
        self.num_heads = config.num_attention_heads
        self.scaling = (config.hidden_size // config.num_attention_heads) ** -0.5
        self.dropout = nn.Dropout(config.attention_probs_dropout_prob)
        self.in_proj = nn.Linear(config.hidden_size, 3 * config.hidden_size)
        self.out_proj = nn.Linear(config.hidden_size, config.hidden_size)

    def forward(
        self, hidden_states: Tensor, pair_bias: Tensor, num_queries: int | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        batch, atoms, _ = hidden_states.shape
        qkv = self.in_proj(hidden_states).view(batch, atoms, 3, self.num_heads, -1)
        query, key, value = qkv.permute(2, 0, 3, 1, 4).flatten(1, 2)  # each (batch * heads, atoms, dim)
        query, pair_bias = query[:, :num_queries], pair_bias[:, :, :num_queries]
        logits = torch.baddbmm(pair_bias.flatten(0, 1), query, key.transpose(1, 2), alpha=self.scaling)
        weights = torch.softmax(logits, dim=-1).to(value.dtype)  # (batch * heads, queries, atoms)
        context = torch.bmm(self.dropout(weights), value).unflatten(0, (batch, self.num_heads))
        attended = self.out_proj(context.transpose(1, 2).flatten(2))
        return attended, weights.view(pair_bias.shape), logits.view(pair_bias.shape)


class GeomCLIPLayer(GradientCheckpointingLayer):
    """Pre-LayerNorm transformer layer that carries the pair bias on; of the first `num_queries` rows, or of all."""

    def __init__(self, config: GeomCLIPGeometryConfig):
        super().__init__()
        self.attention_layer_norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.attention = GeomCLIPAttention(config)
        self.mlp_layer_norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.mlp = GeomCLIPMLP(
            config.hidden_size,
            config.intermediate_size,
            config.hidden_size,
            config.hidden_act,
            config.activation_dropout_prob,
        )
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def forward(
        self, hidden_states: Tensor, pair_bias: Tensor, num_queries: int | None = None
    ) -> tuple[Tensor, Tensor]:
        attended, _, pair_bias = self.attention(self.attention_layer_norm(hidden_states), pair_bias, num_queries)
        hidden_states = hidden_states[:, :num_queries] + self.dropout(attended)
        hidden_states = hidden_states + self.dropout(self.mlp(self.mlp_layer_norm(hidden_states)))
        return hidden_states, pair_bias


class GeomCLIPDistanceHead(nn.Module):
    """Symmetric normalised distance of every pair of atoms from the pair representation, as in Uni-Mol."""

    def __init__(self, config: GeomCLIPGeometryConfig):
        super().__init__()
        heads = config.num_attention_heads
        self.dense = nn.Linear(heads, heads)
        self.activation = ACT2FN[config.hidden_act]
        self.layer_norm = nn.LayerNorm(heads, eps=config.layer_norm_eps)
        self.out_proj = nn.Linear(heads, 1)

    def forward(self, pair_states: Tensor) -> Tensor:
        distances = self.out_proj(self.layer_norm(self.activation(self.dense(pair_states)))).squeeze(-1)
        return (distances + distances.transpose(1, 2)) / 2


class GeomCLIPAtomTypeHead(nn.Module):
    """Logits of every atom's symbol from its state."""

    def __init__(self, config: GeomCLIPGeometryConfig):
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)
        self.activation = ACT2FN[config.hidden_act]
        self.layer_norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.decoder = nn.Linear(config.hidden_size, config.vocab_size)

    def forward(self, states: Tensor) -> Tensor:
        return self.decoder(self.layer_norm(self.activation(self.dense(states))))


class GeomCLIPDenoisingHead(nn.Module):
    """Recovers the chosen atoms of a noised molecule: coordinates, symbols, distances.

    The coordinates move along the pair differences with weights from the delta-pair representation, so they rotate,
    reflect and shift with the input (E(3)-equivariance; Uni-Mol, "SE(3)-equivariant head").
    """

    def __init__(self, config: GeomCLIPGeometryConfig):
        super().__init__()
        self.config = config
        heads = config.num_attention_heads
        self.pair_layer_norm = nn.LayerNorm(heads, eps=config.layer_norm_eps)
        self.coordinate_head = GeomCLIPMLP(heads, heads, 1, config.hidden_act)
        self.distance_head = GeomCLIPDistanceHead(config)
        self.atom_type_head = GeomCLIPAtomTypeHead(config)
        self.freeze_untrained_heads()

    def train(self, mode: bool = True) -> "GeomCLIPDenoisingHead":
        self.freeze_untrained_heads()  # loading sets requires_grad on every parameter, then calls this
        return super().train(mode)

    def freeze_untrained_heads(self) -> None:
        """Take heads without a loss out of training: DDP stops at parameters that get no gradient."""
        config = self.config
        if config.coordinate_loss_weight == 0:
            self.pair_layer_norm.requires_grad_(False)
            self.coordinate_head.requires_grad_(False)
        if config.distance_loss_weight == 0:
            self.distance_head.requires_grad_(False)
        if config.atom_type_loss_weight == 0:
            self.atom_type_head.requires_grad_(False)

    def predict_positions(self, pair_states: Tensor, positions: Tensor, row_mask: Tensor) -> Tensor:
        """Denoised positions.

        Args:
            pair_states: (batch, atoms, atoms, heads), normalised delta-pair representation.
            positions: (batch, atoms, 3), Å, noised.
            row_mask: (batch, atoms) bool, True on atoms, [CLS] and [SEP].
        Returns:
            (batch, atoms, 3), Å.
        """
        weights = self.coordinate_head(pair_states).squeeze(-1).to(positions.dtype)  # (batch, atoms, atoms)
        weights = weights * row_mask.unsqueeze(1) / row_mask.sum(dim=1)[:, None, None].clamp(min=1)
        with torch.autocast(positions.device.type, enabled=False):  # which would round the coordinates
            towards = torch.bmm(weights, positions)
        return positions + towards - weights.sum(dim=-1, keepdim=True) * positions  # r_i + sum_j w_ij (r_j - r_i)

    def forward(
        self, outputs: GeomCLIPGeometryOutput, noised: NoisedGeometry, atom_ids: Tensor, atom_mask: Tensor
    ) -> GeomCLIPDenoisingOutput:
        """Losses against the clean `atom_ids` and the targets of `noised`, from the tower's output on `noised`."""
        config, chosen = self.config, noised.chosen
        pair_states = self.pair_layer_norm(outputs.delta_pair_representation)
        predicted = self.predict_positions(pair_states, noised.positions, atom_ids != config.pad_token_id)
        distances = (pair_distances(noised.target_positions) - config.distance_mean) / config.distance_std
        symbol_logits = self.atom_type_head(outputs.last_hidden_state).to(predicted.dtype)
        predicted_distances = self.distance_head(outputs.pair_representation).to(predicted.dtype)
        losses = {
            "coordinate_loss": coordinate_loss(predicted, noised.target_positions, chosen),
            "atom_type_loss": atom_type_loss(symbol_logits, atom_ids, chosen),
            "distance_loss": distance_loss(predicted_distances, distances, chosen, atom_mask),
        }
        weighted = [getattr(config, f"{name}_weight") * loss for name, loss in losses.items()]
        return GeomCLIPDenoisingOutput(
            loss=torch.stack(weighted).sum(),
            noised_coordinate_loss=coordinate_loss(noised.positions, noised.target_positions, chosen),
            num_chosen=chosen.sum(),
            positions=predicted,
            target_positions=noised.target_positions,
            chosen=chosen,
            geometry_model_output=outputs,
            **losses,
        )


class GeomCLIPPreTrainedModel(PreTrainedModel):
    config: GeomCLIPConfig
    base_model_prefix = "geomclip"
    input_modalities = ("geometry", "text")
    supports_gradient_checkpointing = True
    # The geometry tower hands its attention logits on, which no fused kernel returns: it has one implementation, and
    # these flags speak for the text tower.
    _supports_sdpa = True
    _supports_flash_attn = False
    _supports_flex_attn = False
    _supports_attention_backend = True
    _no_split_modules = ["GeomCLIPLayer"]
    _keep_in_fp32_modules_strict = ["logit_scale", "pair_basis"]
    _can_record_outputs = {
        "hidden_states": GeomCLIPLayer,
        "attentions": OutputRecorder(GeomCLIPAttention, index=1),
    }

    @torch.no_grad()
    def _init_weights(self, module):
        super()._init_weights(module)
        if isinstance(module, GeomCLIPPairBasis):
            init.ones_(module.slope.weight)
            init.zeros_(module.offset.weight)
            init.uniform_(module.means, 0.0, 3.0)
            init.uniform_(module.stds, 0.0, 3.0)
        elif isinstance(module, GeomCLIPChirality):
            init.zeros_(module.out_weight)
        elif isinstance(module, GeomCLIPModel):
            init.constant_(module.logit_scale, -math.log(module.config.temperature))

    def merge_and_unload(self) -> "GeomCLIPPreTrainedModel":
        """The adapter's changes become part of the weights, in place: what is left is one plain model."""
        if not self._hf_peft_config_loaded:
            raise ValueError("the model has no adapter to merge; load or add one first")
        for name, module in list(self.named_modules()):
            if isinstance(module, BaseTunerLayer):
                module.merge()
                self.set_submodule(name, module.get_base_layer())
            elif isinstance(module, ModulesToSaveWrapper):
                self.set_submodule(name, module.modules_to_save[module.active_adapter])
        self._hf_peft_config_loaded = False
        del self.peft_config
        self._weight_conversions = None  # which would rename the weights as an adapter's when they are saved
        self.name_or_path = ""  # these weights lie nowhere yet
        return self


class GeomCLIPGeometryModel(GeomCLIPPreTrainedModel):
    """Uni-Mol's encoder (Zhou et al., ICLR 2023), with its denoising heads.

    The output depends on interatomic distances only: rotating, reflecting or shifting a molecule changes nothing, so
    enantiomers cannot be told apart. With `chirality_channels`, which Uni-Mol has not, reflecting does change it.
    """

    config: GeomCLIPGeometryConfig
    base_model_prefix = "geometry_model"
    main_input_name = "atom_ids"
    input_modalities = ("geometry",)

    def __init__(self, config: GeomCLIPGeometryConfig):
        super().__init__(config)
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size, padding_idx=config.pad_token_id)
        self.embed_layer_norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)
        self.pair_basis = GeomCLIPPairBasis(config)
        self.chirality = GeomCLIPChirality(config) if config.chirality_channels else None
        self.pair_projection = GeomCLIPMLP(
            config.num_gaussians, config.num_gaussians, config.num_attention_heads, config.hidden_act
        )
        self.layers = nn.ModuleList(GeomCLIPLayer(config) for _ in range(config.num_hidden_layers))
        self.final_layer_norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.denoising_head = GeomCLIPDenoisingHead(config)
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        return self.embed_tokens

    def set_input_embeddings(self, value: nn.Module) -> None:
        self.embed_tokens = value

    def default_atom_mask(self, atom_ids: Tensor) -> Tensor:
        """(batch, atoms) bool, True on all symbols but [PAD], [CLS] and [SEP]."""
        config = self.config
        return (atom_ids != config.pad_token_id) & (atom_ids != config.cls_token_id) & (atom_ids != config.sep_token_id)

    def initial_pair_bias(self, atom_ids: Tensor, basis: Tensor) -> Tensor:
        """(batch, heads, atoms, atoms) attention bias of the first layer; -inf on padded columns."""
        bias = self.pair_projection(basis.to(self.pair_projection.fc1.weight.dtype)).permute(0, 3, 1, 2)
        return bias.masked_fill((atom_ids == self.config.pad_token_id)[:, None, None, :], float("-inf"))

    @merge_with_config_defaults
    @capture_outputs(tie_last_hidden_states=False)
    def forward(
        self,
        atom_ids: Tensor,
        positions: Tensor,
        atom_mask: Tensor | None = None,
        output_pair_representations: bool = False,
        cls_only: bool = False,
        **kwargs,
    ) -> GeomCLIPGeometryOutput:
        """Encode a padded batch of geometries.

        Args:
            atom_ids: (batch, atoms) int64, [CLS] atoms [SEP] and padding.
            positions: (batch, atoms, 3), Å; only the atoms' rows are read, they need not be centred.
            atom_mask: (batch, atoms) bool, True on atoms, where [UNK] and [MASK] are atoms too.
            output_pair_representations: whether to return the two pair representations.
            cls_only: whether [CLS] is the only row of the last layer, to save the work for the others.
        """
        if cls_only and output_pair_representations:
            raise ValueError("the pair representations need every row; pass cls_only=False")
        atom_mask = self.default_atom_mask(atom_ids) if atom_mask is None else atom_mask
        # Centred before they are rounded: far from the origin float32 holds fewer decimals.
        positions = centre_positions(positions.to(_at_least_float32(positions.dtype)), atom_mask)
        row_mask = atom_ids != self.config.pad_token_id
        hidden_states = self.dropout(self.embed_layer_norm(self.embed_tokens(atom_ids))) * row_mask.unsqueeze(-1)
        basis = self.pair_basis(atom_ids, positions)
        initial_bias = pair_bias = self.initial_pair_bias(atom_ids, basis)
        if self.chirality is not None:
            hidden_states = hidden_states + self.chirality(basis, positions, atom_mask)
        for layer in self.layers:
            num_queries = 1 if cls_only and layer is self.layers[-1] else None
            hidden_states, pair_bias = layer(hidden_states, pair_bias, num_queries)
        pair, delta_pair = None, None
        if output_pair_representations:
            is_padding = ~(row_mask.unsqueeze(1) & row_mask.unsqueeze(2)).unsqueeze(1)
            pair, delta_pair = (
                x.masked_fill(is_padding, 0.0).permute(0, 2, 3, 1) for x in (pair_bias, pair_bias - initial_bias)
            )
        return GeomCLIPGeometryOutput(
            last_hidden_state=self.final_layer_norm(hidden_states),
            pair_representation=pair,
            delta_pair_representation=delta_pair,
        )

    def denoise(
        self,
        atom_ids: Tensor,
        positions: Tensor,
        atom_mask: Tensor | None = None,
        noise_seeds: Tensor | None = None,
        **kwargs,
    ) -> GeomCLIPDenoisingOutput:
        """Noise some atoms of every molecule and recover them.

        Args:
            atom_ids, positions, atom_mask: as in `forward`.
            noise_seeds: (batch,) int64, one a molecule; left out, drawn from torch's global generator.
        """
        atom_mask = self.default_atom_mask(atom_ids) if atom_mask is None else atom_mask
        if noise_seeds is None:
            noise_seeds = torch.randint(2**63 - 1, (len(atom_ids),))
        positions = positions.to(_at_least_float32(self.pair_basis.means.dtype))
        noised = add_noise(atom_ids, positions, atom_mask, noise_seeds, self.config)
        outputs = self(noised.atom_ids, noised.positions, atom_mask, output_pair_representations=True, **kwargs)
        return self.denoising_head(outputs, noised, atom_ids, atom_mask)


class GeomCLIPGeometryForPreTraining(GeomCLIPPreTrainedModel):
    """The geometry tower, called to denoise."""

    config: GeomCLIPGeometryConfig
    base_model_prefix = "geometry_model"
    main_input_name = "atom_ids"
    input_modalities = ("geometry",)

    def __init__(self, config: GeomCLIPGeometryConfig, geometry_model: GeomCLIPGeometryModel | None = None):
        super().__init__(config)
        self.geometry_model = geometry_model or GeomCLIPGeometryModel(config)
        self.post_init()

    def forward(
        self,
        atom_ids: Tensor,
        positions: Tensor,
        atom_mask: Tensor | None = None,
        noise_seeds: Tensor | None = None,
        **kwargs,
    ) -> GeomCLIPDenoisingOutput:
        """As [`GeomCLIPGeometryModel.denoise`]."""
        return self.geometry_model.denoise(atom_ids, positions, atom_mask, noise_seeds, **kwargs)


class GeomCLIPModel(GeomCLIPPreTrainedModel):
    """Geometry tower and text tower, each pooled, normalised and projected into one space."""

    main_input_name = "atom_ids"

    def __init__(
        self,
        config: GeomCLIPConfig,
        geometry_model: PreTrainedModel | None = None,
        text_model: PreTrainedModel | None = None,
    ):
        super().__init__(config)
        self.geometry_model = geometry_model or GeomCLIPGeometryModel._from_config(config.geometry_config)
        self.text_model = text_model or _without_pooler(AutoModel.from_config, config.text_config)
        geometry_size, text_size = config.geometry_config.hidden_size, config.text_config.hidden_size
        self.geometry_layer_norm = nn.LayerNorm(geometry_size, eps=config.geometry_config.layer_norm_eps)
        self.geometry_projection = nn.Linear(geometry_size, config.projection_dim)
        self.text_layer_norm = nn.LayerNorm(text_size, eps=config.geometry_config.layer_norm_eps)
        self.text_projection = nn.Linear(text_size, config.projection_dim)
        self.logit_scale = nn.Parameter(torch.empty(()))
        self.freeze_untrained_parts()
        self.post_init()

    def train(self, mode: bool = True) -> "GeomCLIPModel":
        self.freeze_untrained_parts()  # loading sets requires_grad on every parameter, then calls this
        super().train(mode)
        without_dropout_if_frozen(self.text_model)
        return self

    def freeze_untrained_parts(self) -> None:
        """Take what the configuration does not train out of training, see [`GeomCLIPDenoisingHead`]."""
        if not self.config.learnable_temperature:
            self.logit_scale.requires_grad_(False)
        if self.config.denoising_loss_weight == 0:
            self.geometry_model.denoising_head.requires_grad_(False)

    @classmethod
    def from_geometry_text_pretrained(
        cls, geometry: str | PreTrainedModel, text: str | PreTrainedModel, dtype: torch.dtype = torch.float32, **kwargs
    ) -> "GeomCLIPModel":
        """Join two towers; the projections are new.

        Args:
            geometry: [`GeomCLIPGeometryModel`], or its folder or Hub id.
            text: any encoder, or its folder or Hub id.
            dtype: data type of towers that are loaded here.
            kwargs: settings of [`GeomCLIPConfig`].
        """
        if isinstance(geometry, str):
            geometry = GeomCLIPGeometryModel.from_pretrained(geometry, dtype=dtype)
        if isinstance(text, str):
            text = _without_pooler(AutoModel.from_pretrained, text, dtype=dtype)
        for tower in (geometry, text):
            tower.config._name_or_path = ""  # would be saved, as a path of this machine
        # Copies, since a new config resets the attention implementation of its parts; then the towers' own.
        parts = {"geometry_config": copy.deepcopy(geometry.config), "text_config": copy.deepcopy(text.config)}
        config = cls.config_class(**parts, **kwargs)
        config.geometry_config, config.text_config = geometry.config, text.config
        return cls(config, geometry, text)

    def get_input_embeddings(self) -> nn.Module:
        return self.text_model.get_input_embeddings()

    def set_input_embeddings(self, value: nn.Module) -> None:
        self.text_model.set_input_embeddings(value)

    @can_return_tuple
    def get_geometry_features(
        self,
        atom_ids: Tensor,
        positions: Tensor,
        atom_mask: Tensor | None = None,
        only_pooled: bool = False,
        **kwargs,
    ) -> BaseModelOutputWithPooling:
        """Encode geometries; `.pooler_output` holds the (batch, projection_dim) L2-normalised embeddings.

        Args:
            atom_ids: (batch, atoms) int64, [CLS] atoms [SEP] and padding.
            positions: (batch, atoms, 3), Å.
            atom_mask: (batch, atoms) bool, True on atoms.
            only_pooled: whether rows that the pooling does not read may be missing from the last states.
        """
        atom_mask = self.geometry_model.default_atom_mask(atom_ids) if atom_mask is None else atom_mask
        cls_only = only_pooled and self.config.geometry_pooling == "cls"
        outputs = self.geometry_model(atom_ids, positions, atom_mask, cls_only=cls_only, **kwargs)
        pooled = self._pool(outputs.last_hidden_state, atom_mask, self.config.geometry_pooling)
        return BaseModelOutputWithPooling(
            last_hidden_state=outputs.last_hidden_state,
            pooler_output=_normalise(self.geometry_projection(self.geometry_layer_norm(pooled))),
            hidden_states=outputs.hidden_states,
            attentions=outputs.attentions,
        )

    @can_return_tuple
    def get_text_features(
        self, input_ids: Tensor, attention_mask: Tensor | None = None, **kwargs
    ) -> BaseModelOutputWithPooling:
        """Encode texts; `.pooler_output` holds the (batch, projection_dim) L2-normalised embeddings.

        Args:
            input_ids: (batch, tokens) int64.
            attention_mask: (batch, tokens), 1 on tokens.
            kwargs: further inputs of the text tower, such as `token_type_ids`.
        """
        attention_mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        outputs = self.text_model(input_ids=input_ids, attention_mask=attention_mask, **kwargs)
        return BaseModelOutputWithPooling(
            last_hidden_state=outputs.last_hidden_state,
            pooler_output=self.project_text(self.pool_text(outputs.last_hidden_state, attention_mask)),
            hidden_states=outputs.hidden_states,
            attentions=outputs.attentions,
        )

    def pool_text(self, last_hidden_state: Tensor, attention_mask: Tensor) -> Tensor:
        """(texts, text hidden_size), one state a text, of the text tower's last states."""
        return self._pool(last_hidden_state, attention_mask.bool(), self.config.text_pooling)

    def project_text(self, pooled_text: Tensor) -> Tensor:
        """(texts, projection_dim) L2-normalised embeddings of pooled states."""
        return _normalise(self.text_projection(self.text_layer_norm(pooled_text)))

    @staticmethod
    def _pool(states: Tensor, mask: Tensor, pooling: str) -> Tensor:
        return states[:, 0] if pooling == "cls" else masked_mean(states, mask)

    @can_return_tuple
    def forward(
        self,
        atom_ids: Tensor,
        positions: Tensor,
        input_ids: Tensor | None = None,
        atom_mask: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        pooled_text: Tensor | None = None,
        molecule_ids: Tensor | None = None,
        text_ids: Tensor | None = None,
        noise_seeds: Tensor | None = None,
        pair_budget: int | None = None,
        token_budget: int | None = None,
        return_loss: bool | None = None,
        denoise: bool = True,
        **kwargs,
    ) -> GeomCLIPOutput:
        """Embed geometries and texts and compare them; in training mode, denoise the geometries too.

        Args:
            atom_ids, positions, atom_mask: as in `get_geometry_features`.
            input_ids, attention_mask, token_type_ids: as in `get_text_features`.
            pooled_text: (texts, text hidden_size), what `pool_text` gave, instead of these three: a text tower that is
                not trained need not read a text twice.
            molecule_ids, text_ids: (pairs,) int64, see [`contrastive_loss`].
            noise_seeds: (geometries,) int64, see [`GeomCLIPGeometryModel.denoise`].
            pair_budget: molecules * rows² that the geometry tower takes at once; the batch is sorted by size and split
                accordingly. Left out, it is encoded as it stands.
            token_budget: texts * tokens that the text tower takes at once, likewise.
            return_loss: whether row i of both sides is a pair; left out, it is if there are as many texts as
                geometries.
            denoise: False leaves the denoising out of training mode.
        """
        atom_mask = self.geometry_model.default_atom_mask(atom_ids) if atom_mask is None else atom_mask
        geometry = {"atom_ids": atom_ids, "positions": positions, "atom_mask": atom_mask}
        groups, order = split_padded(geometry, atom_ids != self.config.geometry_config.pad_token_id, pair_budget, 2)
        only_pooled = pair_budget is not None  # the states are not returned then
        geometry_outputs = [self.get_geometry_features(**group, only_pooled=only_pooled, **kwargs) for group in groups]
        geometry_embeds = torch.cat([output.pooler_output for output in geometry_outputs])[torch.argsort(order)]
        text_outputs = []
        if pooled_text is None:
            attention_mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask
            text = {"input_ids": input_ids, "attention_mask": attention_mask, "token_type_ids": token_type_ids}
            text = {name: values for name, values in text.items() if values is not None}
            text_groups, text_order = split_padded(text, attention_mask.bool(), token_budget, 1)
            text_outputs = [self.get_text_features(**group, **kwargs) for group in text_groups]
            text_embeds = torch.cat([output.pooler_output for output in text_outputs])[torch.argsort(text_order)]
        else:
            text_embeds = self.project_text(pooled_text)
        logit_scale = self._bounded_logit_scale()
        logits_per_geometry = logit_scale * geometry_embeds @ text_embeds.T

        contrastive = denoising = num_chosen = loss = None
        if return_loss or (return_loss is None and len(geometry_embeds) == len(text_embeds)):
            loss = contrastive = contrastive_loss(geometry_embeds, text_embeds, logit_scale, molecule_ids, text_ids)
        if denoise and self.training and self.config.denoising_loss_weight > 0:
            denoising, num_chosen = self._denoise(groups, order, noise_seeds)
            loss = contrastive + self.config.denoising_loss_weight * denoising if loss is not None else None
        return GeomCLIPOutput(
            loss=loss,
            contrastive_loss=contrastive,
            denoising_loss=denoising,
            num_chosen=num_chosen,
            logits_per_geometry=logits_per_geometry,
            logits_per_text=logits_per_geometry.T,
            geometry_embeds=geometry_embeds,
            text_embeds=text_embeds,
            logit_scale=logit_scale,
            geometry_model_output=geometry_outputs[0] if pair_budget is None else None,
            text_model_output=text_outputs[0] if text_outputs and token_budget is None else None,
        )

    def _denoise(
        self, groups: list[dict[str, Tensor]], order: Tensor, noise_seeds: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Denoising loss over all groups, and the number of chosen atoms."""
        if noise_seeds is None:
            noise_seeds = torch.randint(2**63 - 1, (len(order),))
        seeds = noise_seeds[order.to(noise_seeds.device)].split([len(group["atom_ids"]) for group in groups])
        outputs = [self.geometry_model.denoise(**group, noise_seeds=seed) for group, seed in zip(groups, seeds)]
        num_chosen = torch.stack([output.num_chosen for output in outputs]).sum()
        total = torch.stack([output.loss * output.num_chosen for output in outputs]).sum()
        return total / num_chosen.clamp(min=1), num_chosen

    def _bounded_logit_scale(self) -> Tensor:
        """exp(logit_scale). The bound is set on the parameter: a clamp of the result would stop its gradient there."""
        if self.training:
            with torch.no_grad():
                self.logit_scale.clamp_(max=math.log(self.config.max_logit_scale))
        return self.logit_scale.exp()


def without_dropout_if_frozen(tower: nn.Module) -> None:
    """A tower that is not trained has nothing to regularise."""
    if not any(parameter.requires_grad for parameter in tower.parameters()):
        tower.eval()


def _normalise(embeds: Tensor) -> Tensor:
    return F.normalize(embeds.to(_at_least_float32(embeds.dtype)), dim=-1)


def _without_pooler(build, *args, **kwargs) -> PreTrainedModel:
    """Build an encoder without its pooler, which would get no gradient; some encoders do not know the keyword."""
    try:
        model = build(*args, add_pooling_layer=False, **kwargs)
    except TypeError:
        model = build(*args, **kwargs)
    if getattr(model, "pooler", None) is not None:
        model.pooler = None
    return model
