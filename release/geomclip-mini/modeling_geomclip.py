"""GeomCLIP: a Uni-Mol geometry tower and a text tower in one embedding space (arXiv 2411.10821)."""

import copy
import functools
import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import initialization as init
from transformers.modeling_outputs import BaseModelOutputWithPooling
from transformers.modeling_utils import PreTrainedModel
from transformers.models.auto.modeling_auto import AutoModel
from transformers.utils import ModelOutput
from transformers.utils.generic import can_return_tuple

from .configuration_geomclip import GeomCLIPConfig
from .geometry_geomclip import masked_mean
from .loss_geomclip import contrastive_loss
from .modeling_geometry_geomclip import (
    GeomCLIPGeometryModel,
    GeomCLIPPreTrainedModel,
    forget_origin,
    promote_to_float32,
)
from .pooling_geomclip import GeomCLIPPooling


@dataclass
class GeomCLIPOutput(ModelOutput):
    """Output of [`GeomCLIPModel`]. Fields of a modality that was not given are None.

    Args:
        loss: () contrastive loss, if row i of both modalities is a pair.
        logits_per_geometry: (geometries, texts), cosines / temperature.
        logits_per_text: (texts, geometries).
        geometry_embeds: (geometries, projection_dim), L2-normalised.
        text_embeds: (texts, projection_dim), L2-normalised.
        logit_scale: () 1 / temperature.
        geometry_model_output, text_model_output: last states, hidden states and attentions of the towers.
    """

    loss: Tensor | None = None
    logits_per_geometry: Tensor | None = None
    logits_per_text: Tensor | None = None
    geometry_embeds: Tensor | None = None
    text_embeds: Tensor | None = None
    logit_scale: Tensor | None = None
    geometry_model_output: ModelOutput | None = None
    text_model_output: ModelOutput | None = None

    def to_tuple(self) -> tuple:
        """Convert the output and the outputs of the towers to tuples."""
        return tuple(v.to_tuple() if isinstance(v, ModelOutput) else v for v in self.values())


RETURN_LOSS_PLACE = 6  # position of `return_loss` among the arguments of `forward`


def refuse_unequal_numbers(forward: Callable) -> Callable:
    """Make `forward` raise for an explicit `return_loss=True` on unequal numbers, where the default omits the loss."""

    @functools.wraps(forward)
    def checked_forward(self, *args, **kwargs) -> GeomCLIPOutput:
        outputs = forward(self, *args, **kwargs)
        is_asked = args[RETURN_LOSS_PLACE] if len(args) > RETURN_LOSS_PLACE else kwargs.get("return_loss", False)
        logits = outputs.logits_per_geometry
        if is_asked and logits is not None and logits.shape[0] != logits.shape[1]:
            raise ValueError(
                f"return_loss=True on {logits.shape[0]} geometries and {logits.shape[1]} texts: row i of both must be "
                "a pair; pass equal numbers, or return_loss=False"
            )
        return outputs

    return checked_forward


class GeomCLIPModel(GeomCLIPPreTrainedModel):
    """Geometry tower and text tower, each pooled, normalised and projected into one embedding space."""

    main_input_name = "atom_ids"
    _keys_to_ignore_on_load_unexpected = [r"denoising_head\."]  # in a pre-training checkpoint

    def __init__(
        self,
        config: GeomCLIPConfig,
        geometry_model: PreTrainedModel | None = None,
        text_model: PreTrainedModel | None = None,
    ):
        super().__init__(config)
        self.geometry_model = geometry_model or GeomCLIPGeometryModel._from_config(config.geometry_config)
        self.text_model = text_model or _build_without_pooler(AutoModel.from_config, config.text_config)
        geometry_size, text_size = config.geometry_config.hidden_size, config.text_config.hidden_size
        self.geometry_pooling = GeomCLIPPooling(config.geometry_config, config.geometry_pooling)
        self.geometry_layer_norm = nn.LayerNorm(geometry_size, eps=config.geometry_config.layer_norm_eps)
        self.geometry_projection = nn.Linear(geometry_size, config.projection_dim)
        self.text_layer_norm = nn.LayerNorm(text_size, eps=config.geometry_config.layer_norm_eps)
        self.text_projection = nn.Linear(text_size, config.projection_dim)
        self.logit_scale = nn.Parameter(torch.empty(()))
        self.post_init()

    @torch.no_grad()
    def _init_weights(self, module):
        super()._init_weights(module)
        if module is self:
            init.constant_(self.logit_scale, -math.log(self.config.temperature))

    @classmethod
    def from_geometry_text_pretrained(
        cls, geometry: str | PreTrainedModel, text: str | PreTrainedModel, dtype: torch.dtype = torch.float32, **kwargs
    ) -> "GeomCLIPModel":
        """Combine two towers; the projections are newly initialised.

        Args:
            geometry: [`GeomCLIPGeometryModel`], or its folder or Hub id.
            text: any encoder, or its folder or Hub id.
            dtype: data type of the towers that are loaded here.
            kwargs: further settings of [`GeomCLIPConfig`].
        """
        if isinstance(geometry, str):
            geometry = GeomCLIPGeometryModel.from_pretrained(geometry, dtype=dtype)
        if isinstance(text, str):
            text = _build_without_pooler(AutoModel.from_pretrained, text, dtype=dtype)
        for tower in (geometry, text):
            forget_origin(tower)
        # A new config resets the attention implementation of its parts, so it gets copies first, then the originals.
        parts = {"geometry_config": copy.deepcopy(geometry.config), "text_config": copy.deepcopy(text.config)}
        config = cls.config_class(**parts, **kwargs)
        config.geometry_config, config.text_config = geometry.config, text.config
        return cls(config, geometry, text)

    def get_input_embeddings(self) -> nn.Module:
        """Return the text tower's input embeddings."""
        return self.text_model.get_input_embeddings()

    def set_input_embeddings(self, value: nn.Module) -> None:
        """Replace the text tower's input embeddings."""
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
        """Encode geometries; `.pooler_output` holds their L2-normalised embeddings (batch, projection_dim).

        Args:
            atom_ids: (batch, atoms) int64, [CLS] atoms [SEP] and padding.
            positions: (batch, atoms, 3), Å.
            atom_mask: (batch, atoms) bool, True on atoms.
            only_pooled: whether the last states may omit rows that the pooling does not read.
        """
        atom_mask = self.geometry_model.find_atom_mask(atom_ids) if atom_mask is None else atom_mask
        cls_only = only_pooled and self.config.geometry_pooling == "cls"
        outputs = self.geometry_model(atom_ids, positions, atom_mask, cls_only=cls_only, **kwargs)
        pooled = self.geometry_pooling(outputs.last_hidden_state, atom_mask)
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
        """Encode texts; `.pooler_output` holds their L2-normalised embeddings (batch, projection_dim).

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
        """Pool the text tower's last states to one state per text, (texts, text hidden_size)."""
        if self.config.text_pooling == "cls":
            return last_hidden_state[:, 0]
        return masked_mean(last_hidden_state, attention_mask.bool())

    def project_text(self, pooled_text: Tensor) -> Tensor:
        """Project pooled states to L2-normalised embeddings (texts, projection_dim)."""
        return _normalise(self.text_projection(self.text_layer_norm(pooled_text)))

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
        **kwargs,
    ) -> GeomCLIPOutput:
        """Embed geometries, texts or both, and compare them.

        Args:
            atom_ids, positions, atom_mask: as in `get_geometry_features`.
            input_ids, attention_mask, token_type_ids: as in `get_text_features`.
            return_loss: whether to compute the contrastive loss, with row i of both modalities as a pair. By default,
                it is computed if there are as many texts as geometries.
            molecule_ids, text_ids: (pairs,) int64, see [`contrastive_loss`].
        Raises:
            ValueError: there is neither a geometry nor a text, a geometry is incomplete, or `return_loss=True` is
                passed with unequal numbers.
        """
        if atom_ids is None and input_ids is None:
            raise ValueError("there is nothing to embed; pass atom_ids with positions, input_ids, or both")
        if (atom_ids is None) != (positions is None):
            raise ValueError("a geometry needs both atom_ids and positions; pass both or neither")
        geometry = text = geometry_embeds = text_embeds = logits_per_geometry = loss = None
        if atom_ids is not None:
            geometry = self.get_geometry_features(atom_ids, positions, atom_mask, **kwargs)
            geometry_embeds = geometry.pooler_output
        if input_ids is not None:
            types = {} if token_type_ids is None else {"token_type_ids": token_type_ids}
            text = self.get_text_features(input_ids, attention_mask, **types, **kwargs)
            text_embeds = text.pooler_output
        logit_scale = self.bound_logit_scale()
        if geometry is not None and text is not None:
            logits_per_geometry = logit_scale * geometry_embeds @ text_embeds.T
            if return_loss and len(geometry_embeds) == len(text_embeds):
                loss = contrastive_loss(geometry_embeds, text_embeds, logit_scale, molecule_ids, text_ids)
        return GeomCLIPOutput(
            loss=loss,
            logits_per_geometry=logits_per_geometry,
            logits_per_text=None if logits_per_geometry is None else logits_per_geometry.T,
            geometry_embeds=geometry_embeds,
            text_embeds=text_embeds,
            logit_scale=logit_scale,
            geometry_model_output=geometry,
            text_model_output=text,
        )

    def bound_logit_scale(self) -> Tensor:
        """Return exp(logit_scale), after bounding the parameter if in training mode.

        The parameter is clamped, not the result, because clamping the result would stop the gradient at the bound.
        """
        if self.training:
            with torch.no_grad():
                self.logit_scale.clamp_(max=math.log(self.config.max_logit_scale))
        return self.logit_scale.exp()


def _normalise(embeds: Tensor) -> Tensor:
    return F.normalize(embeds.to(promote_to_float32(embeds.dtype)), dim=-1)


def _build_without_pooler(build, *args, **kwargs) -> PreTrainedModel:
    """Build an encoder without its pooler, which would get no gradient; not all encoders accept the keyword."""
    try:
        model = build(*args, add_pooling_layer=False, **kwargs)
    except TypeError:
        model = build(*args, **kwargs)
    if getattr(model, "pooler", None) is not None:
        model.pooler = None
    return model
