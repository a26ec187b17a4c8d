"""The geometry tower, Uni-Mol's encoder (Zhou et al., ICLR 2023), and the base class of all models in this folder."""

import os
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.linear import NonDynamicallyQuantizableLinear
from transformers import initialization as init
from transformers.activations import ACT2FN
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.modeling_utils import PreTrainedModel
from transformers.utils import ModelOutput, is_peft_available
from transformers.utils.generic import merge_with_config_defaults
from transformers.utils.output_capturing import OutputRecorder, capture_outputs

from .configuration_geomclip import GeomCLIPConfig, GeomCLIPGeometryConfig
from .geometry_geomclip import centre_positions, edge_types, pair_distances
from .pooling_geomclip import GeomCLIPPooling

if is_peft_available():
    from peft.tuners.tuners_utils import BaseTunerLayer
    from peft.utils import ModulesToSaveWrapper


@dataclass
class GeomCLIPGeometryOutput(ModelOutput):
    """Output of [`GeomCLIPGeometryModel`].

    Args:
        last_hidden_state: (batch, atoms, hidden_size).
        pair_representation: (batch, atoms, atoms, heads), the pair bias plus the attention logits of all layers; 0 on
            padding.
        delta_pair_representation: (batch, atoms, atoms, heads), the pair representation minus the initial pair bias; 0
            on padding.
        hidden_states: one state before each layer and one after the last layer.
        attentions: (batch, heads, atoms, atoms) per layer.
    """

    last_hidden_state: Tensor | None = None
    pair_representation: Tensor | None = None
    delta_pair_representation: Tensor | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None


def promote_to_float32(dtype: torch.dtype) -> torch.dtype:
    """Return the dtype, or float32 if the dtype is less precise."""
    return torch.promote_types(dtype, torch.float32)


class GeomCLIPPairBasis(nn.Module):
    """Gaussian functions of an affine transform of the distance, with one slope and one offset per edge type.

    Parameters and computation stay in at least float32, because bfloat16 resolves 5 Å only to 0.03 Å.
    """

    def __init__(self, config: GeomCLIPGeometryConfig):
        super().__init__()
        self.vocab_size = config.vocab_size
        self.slope = nn.Embedding(config.vocab_size**2, 1)
        self.offset = nn.Embedding(config.vocab_size**2, 1)
        self.means = nn.Parameter(torch.empty(config.num_gaussians))
        self.stds = nn.Parameter(torch.empty(config.num_gaussians))

    def _apply(self, fn, recurse=True):
        """Move and cast, but not below float32: rounded centres and widths would shift every distance."""

        def apply(tensor: Tensor) -> Tensor:
            moved = fn(tensor)
            is_rounded = moved.is_floating_point() and torch.finfo(moved.dtype).bits < 32
            return tensor.to(moved.device) if is_rounded else moved

        return super()._apply(apply, recurse)

    def forward(self, atom_ids: Tensor, positions: Tensor) -> Tensor:
        """Return the values of the Gaussians for all pairs, (batch, atoms, atoms, gaussians).

        Args:
            atom_ids: (batch, atoms) int64.
            positions: (batch, atoms, 3), Å.
        """
        dtype = promote_to_float32(self.means.dtype)
        edges = edge_types(atom_ids, self.vocab_size)
        distances = pair_distances(positions.to(dtype)).unsqueeze(-1)
        x = self.slope(edges).to(dtype) * distances + self.offset(edges).to(dtype)  # (batch, atoms, atoms, 1)
        stds = self.stds.to(dtype).abs() + 1e-5
        log_norm = torch.log((2 * 3.14159) ** 0.5 * stds)  # Uni-Mol's weights were trained with this pi
        z = (x - self.means.to(dtype)) * (0.5**0.5 / stds)  # (batch, atoms, atoms, gaussians)
        return torch.exp(torch.addcmul(-log_norm, z, z, value=-1))


class GeomCLIPChirality(nn.Module):
    """Handedness of an atom's surroundings: features that rotations keep and reflections negate.

    They are triple products of three sums of unit vectors to the other atoms, weighted by learned functions of the pair
    basis. The rest of the tower reads only distances, which are the same in the mirror image. At initialisation, the
    module adds nothing.
    """

    def __init__(self, config: GeomCLIPGeometryConfig):
        super().__init__()
        # Like `nn.Linear`, but quantisation skips it, because rounded weights would distort the directions.
        self.weights = NonDynamicallyQuantizableLinear(config.num_gaussians, 3 * config.chirality_channels)
        self.out_weight = nn.Parameter(torch.empty(config.hidden_size, config.chirality_channels))

    def forward(self, basis: Tensor, positions: Tensor, atom_mask: Tensor) -> Tensor:
        """Return the update of the atom states, (batch, atoms, hidden_size); 0 on rows that are not atoms.

        Args:
            basis: (batch, atoms, atoms, gaussians).
            positions: (batch, atoms, 3), Å.
            atom_mask: (batch, atoms) bool, True on atoms.
        """
        with torch.autocast(positions.device.type, enabled=False):  # autocast would round directions
            is_pair = (atom_mask.unsqueeze(1) & atom_mask.unsqueeze(2)).unsqueeze(-1)
            directions = F.normalize(positions.unsqueeze(1) - positions.unsqueeze(2), dim=-1)
            weights = F.linear(basis, *(value.to(basis.dtype) for value in (self.weights.weight, self.weights.bias)))
            sums = torch.einsum("bijc,bijx->bicx", weights * is_pair, directions.to(basis.dtype))
            first, second, third = sums.unflatten(2, (3, -1)).unbind(2)  # each (batch, atoms, channels, 3)
            triple_products = torch.tanh((first * torch.linalg.cross(second, third)).sum(dim=-1))
        return F.linear(triple_products.to(self.out_weight.dtype), self.out_weight)


class GeomCLIPMLP(nn.Module):
    """Linear layer, activation, linear layer (Uni-Mol's NonLinearHead and feed-forward network)."""

    def __init__(self, in_size: int, inner_size: int, out_size: int, hidden_act: str, dropout: float = 0.0):
        super().__init__()
        self.fc1 = nn.Linear(in_size, inner_size)
        self.activation = ACT2FN[hidden_act]
        self.dropout = nn.Dropout(dropout)
        self.fc2 = nn.Linear(inner_size, out_size)

    def forward(self, states: Tensor) -> Tensor:
        """Map (..., in_size) to (..., out_size)."""
        return self.fc2(self.dropout(self.activation(self.fc1(states))))


class GeomCLIPAttention(nn.Module):
    """Self-attention that adds its logits to the pair bias and returns the sum (Uni-Mol, "pair representation")."""

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
        """Return the attended states, the attention weights and the new pair bias.

        Args:
            hidden_states: (batch, atoms, hidden_size).
            pair_bias: (batch, heads, atoms, atoms).
            num_queries: number of leading rows to compute; all if None.
        Returns:
            (batch, queries, hidden_size) and two tensors (batch, heads, queries, atoms).
        """
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
    """Pre-LayerNorm transformer layer that updates the pair bias."""

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
        """Return the new states and pair bias of the first `num_queries` rows, or of all; shapes as in attention."""
        attended, _, pair_bias = self.attention(self.attention_layer_norm(hidden_states), pair_bias, num_queries)
        hidden_states = hidden_states[:, :num_queries] + self.dropout(attended)
        hidden_states = hidden_states + self.dropout(self.mlp(self.mlp_layer_norm(hidden_states)))
        return hidden_states, pair_bias


class GeomCLIPPreTrainedModel(PreTrainedModel):
    """Base class of all GeomCLIP models, with weight initialisation, saving and merging of adapters."""

    config: GeomCLIPConfig
    base_model_prefix = "geomclip"
    input_modalities = ("geometry", "text")
    supports_gradient_checkpointing = True
    # The geometry tower needs its attention logits, which no fused kernel returns, so it has only one implementation.
    # These flags describe the text tower.
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

    _more_auto_classes: ClassVar[dict[str, type | None]] = {}  # and what they load; None is this class

    def save_pretrained(self, save_directory: str | os.PathLike, *args, **kwargs) -> None:
        """Save the model; config.json names only the classes that can load what is saved.

        Raises:
            ValueError: torchao quantised the weights in a way that cannot be saved.
        """
        self.refuse_lost_weights()
        self.set_auto_map()
        super().save_pretrained(save_directory, *args, **kwargs)

    def refuse_lost_weights(self) -> None:
        """Raise a ValueError if torchao quantised weights that transformers could not save or load again.

        transformers saves only weights that it quantised itself. torchao cannot load these if a parameter, such as
        `logit_scale`, does not belong to a submodule. An adapter is saved without the weights of its base.
        """
        names = [name for name, weight in self.named_parameters() if type(weight).__module__.startswith("torchao.")]
        is_saved = hasattr(self, "hf_quantizer") and all("." in name for name, _ in self.named_parameters())
        if names and not is_saved and not self._hf_peft_config_loaded:
            raise ValueError(
                f"torchao quantised {len(names)} weights of this model, which could not be loaded again; save the "
                "model before you quantise it, and quantise it when it is loaded"
            )

    def set_auto_map(self) -> None:
        """Record in the configuration which code loads this model, replacing that of the model it was loaded with."""
        if self._auto_class is not None:
            classes = {self._auto_class: None, **self._more_auto_classes}
            classes = {name: loaded or type(self) for name, loaded in classes.items()}
            self.config.auto_map = {
                name: f"{loaded.__module__.rpartition('.')[2]}.{loaded.__name__}" for name, loaded in classes.items()
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
        elif isinstance(module, GeomCLIPPooling):
            module.reset_added()

    def merge_and_unload(self) -> "GeomCLIPPreTrainedModel":
        """Merge the adapter into the weights, in place, and return the plain model.

        Raises:
            ValueError: the model has no adapter.
        """
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
        self._weight_conversions = None  # else the weights would be renamed as an adapter's when saved
        self.name_or_path = ""  # these weights are not saved yet
        return self


class GeomCLIPGeometryModel(GeomCLIPPreTrainedModel):
    """Uni-Mol's encoder (Zhou et al., ICLR 2023).

    The output depends only on interatomic distances. Rotating, reflecting or translating a molecule changes nothing, so
    enantiomers cannot be told apart. With `chirality_channels`, which Uni-Mol lacks, a reflection changes the output.
    """

    config: GeomCLIPGeometryConfig
    base_model_prefix = "geometry_model"
    main_input_name = "atom_ids"
    input_modalities = ("geometry",)
    _keys_to_ignore_on_load_unexpected = [r"denoising_head\."]  # in a pre-training checkpoint

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
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        """Return the embeddings of the symbols."""
        return self.embed_tokens

    def set_input_embeddings(self, value: nn.Module) -> None:
        """Replace the embeddings of the symbols."""
        self.embed_tokens = value

    def find_atom_mask(self, atom_ids: Tensor) -> Tensor:
        """Return (batch, atoms) bool, True on all symbols except [PAD], [CLS] and [SEP]."""
        config = self.config
        return (atom_ids != config.pad_token_id) & (atom_ids != config.cls_token_id) & (atom_ids != config.sep_token_id)

    def compute_pair_bias(self, atom_ids: Tensor, basis: Tensor) -> Tensor:
        """Return the attention bias of the first layer, (batch, heads, atoms, atoms); -inf on padded columns."""
        dtype = self.embed_layer_norm.weight.dtype  # of the states; not always that of a quantised layer's weight
        bias = self.pair_projection(basis.to(dtype)).permute(0, 3, 1, 2)
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
            positions: (batch, atoms, 3), Å; only rows of atoms are read, and they need not be centred.
            atom_mask: (batch, atoms) bool, True on atoms, including [UNK] and [MASK].
            output_pair_representations: whether to return the two pair representations.
            cls_only: whether the last layer computes only the [CLS] row, to save time.
        Raises:
            ValueError: the pair representations are requested together with `cls_only`.
        """
        if cls_only and output_pair_representations:
            raise ValueError("the pair representations need every row; pass cls_only=False")
        atom_mask = self.find_atom_mask(atom_ids) if atom_mask is None else atom_mask
        # Centred before any rounding, because float32 has fewer decimals far from the origin.
        positions = centre_positions(positions.to(promote_to_float32(positions.dtype)), atom_mask)
        row_mask = atom_ids != self.config.pad_token_id
        hidden_states = self.dropout(self.embed_layer_norm(self.embed_tokens(atom_ids))) * row_mask.unsqueeze(-1)
        basis = self.pair_basis(atom_ids, positions)
        initial_bias = pair_bias = self.compute_pair_bias(atom_ids, basis)
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


def stop_dropout_if_frozen(tower: nn.Module) -> None:
    """Put a frozen tower in evaluation mode, because it needs no regularisation."""
    if not any(parameter.requires_grad for parameter in tower.parameters()):
        tower.eval()


def forget_origin(model: PreTrainedModel) -> None:
    """Remove from a part's configuration where and by which code it was loaded, since neither holds for the whole."""
    model.config._name_or_path = ""  # otherwise a local path would be saved
    if isinstance(model, GeomCLIPPreTrainedModel):
        model.config.architectures = None
        if hasattr(model.config, "auto_map"):
            del model.config.auto_map
