"""Pre-training models: contrastive learning with denoising, or denoising alone.

The caller draws the noise, and passes `noised_atom_ids`, `noised_positions` and `chosen` with the clean geometry.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers.activations import ACT2FN
from transformers.modeling_utils import PreTrainedModel
from transformers.utils import ModelOutput
from transformers.utils.generic import can_return_tuple

from .configuration_geomclip import GeomCLIPConfig, GeomCLIPGeometryConfig
from .geometry_geomclip import centre_positions, pair_distances
from .loss_geomclip import atom_type_loss, coordinate_loss, distance_loss
from .modeling_geomclip import GeomCLIPModel, GeomCLIPOutput, refuse_unequal_numbers
from .modeling_geometry_geomclip import (
    GeomCLIPGeometryModel,
    GeomCLIPGeometryOutput,
    GeomCLIPMLP,
    GeomCLIPPreTrainedModel,
    promote_to_float32,
)

# Old and new names of weights, for checkpoints that were saved when the heads were part of the tower.
HEADS_WITHIN_TOWER = {r"^geometry_model\.denoising_head\.": "denoising_head."}


@dataclass
class GeomCLIPDenoisingOutput(ModelOutput):
    """Output of [`GeomCLIPGeometryForPreTraining`]. All losses are means over the chosen atoms.

    Args:
        loss: () weighted sum of the three losses.
        coordinate_loss, atom_type_loss, distance_loss: ().
        noised_coordinate_loss: () coordinate loss of the noised positions themselves, a baseline.
        num_chosen: () int64, number of chosen atoms.
        positions, target_positions: (batch, atoms, 3), Å, predicted and clean, relative to the noised centroid.
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
    geometry_model_output: GeomCLIPGeometryOutput | None = None


class GeomCLIPDistanceHead(nn.Module):
    """Predict a symmetric normalised distance for every pair of atoms from the pair representation, as in Uni-Mol."""

    def __init__(self, config: GeomCLIPGeometryConfig):
        super().__init__()
        heads = config.num_attention_heads
        self.dense = nn.Linear(heads, heads)
        self.activation = ACT2FN[config.hidden_act]
        self.layer_norm = nn.LayerNorm(heads, eps=config.layer_norm_eps)
        self.out_proj = nn.Linear(heads, 1)

    def forward(self, pair_states: Tensor) -> Tensor:
        """Return the distances (batch, atoms, atoms) from pair states (batch, atoms, atoms, heads)."""
        distances = self.out_proj(self.layer_norm(self.activation(self.dense(pair_states)))).squeeze(-1)
        return (distances + distances.transpose(1, 2)) / 2


class GeomCLIPAtomTypeHead(nn.Module):
    """Predict the symbol of every atom from its state."""

    def __init__(self, config: GeomCLIPGeometryConfig):
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)
        self.activation = ACT2FN[config.hidden_act]
        self.layer_norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.decoder = nn.Linear(config.hidden_size, config.vocab_size)

    def forward(self, states: Tensor) -> Tensor:
        """Return the logits (batch, atoms, vocab_size) from states (batch, atoms, hidden_size)."""
        return self.decoder(self.layer_norm(self.activation(self.dense(states))))


class GeomCLIPDenoisingHead(nn.Module):
    """Recover the coordinates, symbols and distances of the chosen atoms of a noised molecule.

    Each atom moves along its differences to other atoms, with weights from the delta-pair representation. The
    coordinates thus rotate, reflect and translate with the input (E(3)-equivariance; Uni-Mol, "SE(3)-equivariant
    head").
    """

    def __init__(self, config: GeomCLIPGeometryConfig):
        super().__init__()
        self.config = config
        heads = config.num_attention_heads
        self.pair_layer_norm = nn.LayerNorm(heads, eps=config.layer_norm_eps)
        self.coordinate_head = GeomCLIPMLP(heads, heads, 1, config.hidden_act)
        self.distance_head = GeomCLIPDistanceHead(config)
        self.atom_type_head = GeomCLIPAtomTypeHead(config)

    def predict_positions(self, pair_states: Tensor, positions: Tensor, row_mask: Tensor) -> Tensor:
        """Predict the denoised positions.

        Args:
            pair_states: (batch, atoms, atoms, heads), normalised delta-pair representation.
            positions: (batch, atoms, 3), Å, noised.
            row_mask: (batch, atoms) bool, True on atoms, [CLS] and [SEP].
        Returns:
            (batch, atoms, 3), Å.
        """
        weights = self.coordinate_head(pair_states).squeeze(-1).to(positions.dtype)  # (batch, atoms, atoms)
        weights = weights * row_mask.unsqueeze(1) / row_mask.sum(dim=1)[:, None, None].clamp(min=1)
        with torch.autocast(positions.device.type, enabled=False):  # autocast would round coordinates
            towards = torch.bmm(weights, positions)
        return positions + towards - weights.sum(dim=-1, keepdim=True) * positions  # r_i + sum_j w_ij (r_j - r_i)

    def forward(
        self,
        outputs: GeomCLIPGeometryOutput,
        atom_ids: Tensor,
        noised_positions: Tensor,
        target_positions: Tensor,
        chosen: Tensor,
        atom_mask: Tensor,
    ) -> GeomCLIPDenoisingOutput:
        """Compute the losses of the chosen atoms.

        Args:
            outputs: outputs of the tower on the noised geometry, with pair representations.
            atom_ids: (batch, atoms) int64, clean.
            noised_positions, target_positions: (batch, atoms, 3), Å, relative to the noised centroid.
            chosen, atom_mask: (batch, atoms) bool.
        """
        config = self.config
        pair_states = self.pair_layer_norm(outputs.delta_pair_representation)
        predicted = self.predict_positions(pair_states, noised_positions, atom_ids != config.pad_token_id)
        distances = (pair_distances(target_positions) - config.distance_mean) / config.distance_std
        symbol_logits = self.atom_type_head(outputs.last_hidden_state).to(predicted.dtype)
        predicted_distances = self.distance_head(outputs.pair_representation).to(predicted.dtype)
        losses = {
            "coordinate_loss": coordinate_loss(predicted, target_positions, chosen),
            "atom_type_loss": atom_type_loss(symbol_logits, atom_ids, chosen),
            "distance_loss": distance_loss(predicted_distances, distances, chosen, atom_mask),
        }
        weighted = [getattr(config, f"{name}_weight") * loss for name, loss in losses.items()]
        return GeomCLIPDenoisingOutput(
            loss=torch.stack(weighted).sum(),
            noised_coordinate_loss=coordinate_loss(noised_positions, target_positions, chosen),
            num_chosen=chosen.sum(),
            positions=predicted,
            target_positions=target_positions,
            geometry_model_output=outputs,
            **losses,
        )


class GeomCLIPDenoiser:
    """Mixin for models with a `geometry_model` and a `denoising_head`."""

    def denoise(
        self,
        atom_ids: Tensor,
        positions: Tensor,
        noised_atom_ids: Tensor,
        noised_positions: Tensor,
        chosen: Tensor,
        atom_mask: Tensor | None = None,
        **kwargs,
    ) -> GeomCLIPDenoisingOutput:
        """Recover the chosen atoms of a noised geometry.

        Source: GeomCLIP section "denoising"; Uni-Mol. Unlike there, the noised molecule is centred again and the target
        is shifted with it. The [CLS] and [SEP] rows at the origin then do not reveal the clean centroid.

        Args:
            atom_ids: (batch, atoms) int64, clean: [CLS] atoms [SEP] and padding.
            positions: (batch, atoms, 3), Å, clean.
            noised_atom_ids: (batch, atoms) int64, with [MASK] or another symbol for some of the chosen atoms.
            noised_positions: (batch, atoms, 3), Å, with the chosen atoms moved.
            chosen: (batch, atoms) bool, True on the atoms to recover.
            atom_mask: (batch, atoms) bool, True on atoms.
        """
        atom_mask = self.geometry_model.find_atom_mask(atom_ids) if atom_mask is None else atom_mask
        dtype = promote_to_float32(self.geometry_model.pair_basis.means.dtype)
        positions, noised_positions = positions.to(dtype), noised_positions.to(dtype)
        centred = centre_positions(noised_positions, atom_mask)
        targets = (positions + (centred - noised_positions)).masked_fill(~atom_mask.unsqueeze(-1), 0.0)
        outputs = self.geometry_model(noised_atom_ids, centred, atom_mask, output_pair_representations=True, **kwargs)
        return self.denoising_head(outputs, atom_ids, centred, targets, chosen, atom_mask)


class GeomCLIPGeometryForPreTraining(GeomCLIPDenoiser, GeomCLIPPreTrainedModel):
    """Geometry tower with denoising heads."""

    config: GeomCLIPGeometryConfig
    base_model_prefix = "geometry_model"
    main_input_name = "atom_ids"
    input_modalities = ("geometry",)
    _more_auto_classes = {"AutoModel": GeomCLIPGeometryModel}

    def __init__(
        self,
        config: GeomCLIPGeometryConfig,
        geometry_model: GeomCLIPGeometryModel | None = None,
        denoising_head: GeomCLIPDenoisingHead | None = None,
    ):
        super().__init__(config)
        self.geometry_model = geometry_model or GeomCLIPGeometryModel(config)
        self.denoising_head = denoising_head or GeomCLIPDenoisingHead(config)
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        """Return the embeddings of the symbols."""
        return self.geometry_model.get_input_embeddings()

    def set_input_embeddings(self, value: nn.Module) -> None:
        """Replace the embeddings of the symbols."""
        self.geometry_model.set_input_embeddings(value)

    @can_return_tuple
    def forward(
        self,
        atom_ids: Tensor,
        positions: Tensor,
        noised_atom_ids: Tensor,
        noised_positions: Tensor,
        chosen: Tensor,
        atom_mask: Tensor | None = None,
        **kwargs,
    ) -> GeomCLIPDenoisingOutput:
        """Recover the chosen atoms of a noised geometry, see `denoise`."""
        geometry = (atom_ids, positions, noised_atom_ids, noised_positions, chosen, atom_mask)
        return self.denoise(*geometry, **kwargs)


@dataclass
class GeomCLIPForPreTrainingOutput(GeomCLIPOutput):
    """Output of [`GeomCLIPForPreTraining`]: `loss` is contrastive_loss + alpha * denoising_loss.

    Args:
        contrastive_loss, denoising_loss: () the two parts; None if their inputs were not given.
        num_chosen: () int64, number of atoms that `denoising_loss` averages over.
    """

    contrastive_loss: Tensor | None = None
    denoising_loss: Tensor | None = None
    num_chosen: Tensor | None = None


class GeomCLIPForPreTraining(GeomCLIPDenoiser, GeomCLIPModel):
    """[`GeomCLIPModel`] with denoising heads; `L = L_contrastive + alpha * L_denoising`."""

    _more_auto_classes = {"AutoModel": GeomCLIPModel}

    def __init__(
        self,
        config: GeomCLIPConfig,
        geometry_model: PreTrainedModel | None = None,
        text_model: PreTrainedModel | None = None,
    ):
        super().__init__(config, geometry_model, text_model)
        self.denoising_head = GeomCLIPDenoisingHead(config.geometry_config)
        self.post_init()

    @classmethod
    def from_pretrained(cls, *args, key_mapping: dict[str, str] | None = None, **kwargs) -> Any:
        """Load the model; heads that an older checkpoint has within its tower are found, and renamed on saving."""
        loaded = super().from_pretrained(*args, key_mapping={**HEADS_WITHIN_TOWER, **(key_mapping or {})}, **kwargs)
        model = loaded[0] if isinstance(loaded, tuple) else loaded
        model._weight_conversions = None  # otherwise the heads would be saved under their old names
        return loaded

    @classmethod
    def from_geometry_text_pretrained(
        cls, geometry: str | PreTrainedModel, text: str | PreTrainedModel, dtype: torch.dtype = torch.float32, **kwargs
    ) -> "GeomCLIPForPreTraining":
        """Combine two towers as in [`GeomCLIPModel`]; the heads of a [`GeomCLIPGeometryForPreTraining`] are kept."""
        if isinstance(geometry, str):
            geometry = GeomCLIPGeometryForPreTraining.from_pretrained(geometry, dtype=dtype)
        tower = getattr(geometry, "geometry_model", geometry)
        model = super().from_geometry_text_pretrained(tower, text, dtype, **kwargs)
        if hasattr(geometry, "denoising_head"):
            model.denoising_head.load_state_dict(geometry.denoising_head.state_dict())
        return model

    @can_return_tuple
    @refuse_unequal_numbers
    def forward(
        self,
        atom_ids: Tensor | None = None,
        positions: Tensor | None = None,
        input_ids: Tensor | None = None,
        atom_mask: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        return_loss: bool = True,
        molecule_ids: Tensor | None = None,
        text_ids: Tensor | None = None,
        noised_atom_ids: Tensor | None = None,
        noised_positions: Tensor | None = None,
        chosen: Tensor | None = None,
        **kwargs,
    ) -> GeomCLIPForPreTrainingOutput:
        """Contrast pairs as [`GeomCLIPModel.forward`] does and, if there is a noised geometry, `denoise` it.

        Args:
            atom_ids, positions, input_ids, atom_mask, attention_mask, token_type_ids, return_loss, molecule_ids,
                text_ids: as in [`GeomCLIPModel.forward`].
            noised_atom_ids, noised_positions, chosen: as in `denoise`; pass all three or none.
        Raises:
            ValueError: as in [`GeomCLIPModel.forward`], or a part of the noised or the clean geometry is missing.
        """
        geometry, text = (atom_ids, positions), (attention_mask, token_type_ids)
        asked = {} if return_loss else {"return_loss": False}  # True is the default, which allows unequal numbers
        ids = {"molecule_ids": molecule_ids, "text_ids": text_ids, "return_dict": True}
        outputs = super().forward(*geometry, input_ids, atom_mask, *text, **asked, **ids, **kwargs)
        contrastive, denoised, loss = outputs.loss, None, outputs.loss
        noised = (noised_atom_ids, noised_positions, chosen)
        is_noised = any(part is not None for part in noised)
        if is_noised and any(part is None for part in (atom_ids, *noised)):
            raise ValueError(
                "a noised geometry needs noised_atom_ids, noised_positions and chosen, and the clean atom_ids to "
                "recover; pass all of them, or none of the three"
            )
        if is_noised and self.config.denoising_loss_weight > 0:
            denoised = self.denoise(*geometry, *noised, atom_mask, **kwargs)
            if contrastive is not None:
                loss = contrastive + self.config.denoising_loss_weight * denoised.loss
        return GeomCLIPForPreTrainingOutput(
            **{**outputs, "loss": loss},
            contrastive_loss=contrastive,
            denoising_loss=None if denoised is None else denoised.loss,
            num_chosen=None if denoised is None else denoised.num_chosen,
        )
