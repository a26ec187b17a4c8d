"""GeomCLIP for captioning: a causal language model conditioned on the states of the geometry tower."""

import copy
import inspect
import os
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from transformers import initialization as init
from transformers.generation import GenerationMixin
from transformers.modeling_outputs import BaseModelOutputWithPooling
from transformers.modeling_utils import PreTrainedModel
from transformers.models.auto.modeling_auto import AutoModelForCausalLM
from transformers.pytorch_utils import Conv1D
from transformers.utils import ModelOutput, is_peft_available
from transformers.utils.generic import can_return_tuple

from .adapters_geomclip import AdapterMixin
from .configuration_geomclip import GeomCLIPCaptioningConfig
from .loss_geomclip import compute_caption_losses, drop_unlabelled_columns
from .modeling_geomclip import GeomCLIPModel
from .modeling_geometry_geomclip import (
    GeomCLIPGeometryModel,
    GeomCLIPPreTrainedModel,
    forget_origin,
    stop_dropout_if_frozen,
)
from .pooling_geomclip import GeomCLIPPooling
from .resampler_geomclip import GeomCLIPResampler

if is_peft_available():
    from peft import LoraConfig
    from peft.utils import get_peft_model_state_dict

SCORED_AT_ONCE = 8  # captions


@dataclass
class GeomCLIPCaptioningOutput(ModelOutput):
    """Output of [`GeomCLIPForCaptioning`].

    Args:
        loss: () mean cross-entropy over the tokens of all captions, nats.
        caption_losses: (batch,) float32, cross-entropy summed over the tokens of each caption, nats.
        num_tokens: (batch,) int64, number of tokens of each caption.
        logits: (batch, prefix + tokens, vocab_size). Rows are padded on the left: the last columns belong to the last
            `input_ids`. With labels, only the columns of the longest caption and the one before it are computed,
            since prefix and prompt predict nothing.
        hidden_states, attentions: hidden states and attentions of the decoder.
    """

    loss: Tensor | None = None
    caption_losses: Tensor | None = None
    num_tokens: Tensor | None = None
    logits: Tensor | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None


class GeomCLIPForCaptioning(AdapterMixin, GeomCLIPPreTrainedModel, GenerationMixin):
    """Causal language model that reads a prefix of soft tokens from the geometry tower, then prompt and caption.

    A folder holds either the whole model or only an adapter that names its base (see `save_pretrained`).
    """

    config: GeomCLIPCaptioningConfig
    base_model_prefix = "captioner"
    _more_auto_classes = {"AutoModel": None, "AutoModelForCausalLM": None}
    main_input_name = "atom_ids"

    def __init__(
        self,
        config: GeomCLIPCaptioningConfig,
        geometry_model: PreTrainedModel | None = None,
        decoder: PreTrainedModel | None = None,
    ):
        super().__init__(config)
        if os.path.isdir(self.name_or_path):
            # An adapter may be saved from another working directory.
            self.name_or_path = os.path.abspath(self.name_or_path)
        self.geometry_model = geometry_model or GeomCLIPGeometryModel._from_config(config.geometry_config)
        geometry_size = config.geometry_config.hidden_size
        self.geometry_pooling = GeomCLIPPooling(config.geometry_config, config.geometry_pooling)
        self.geometry_layer_norm = nn.LayerNorm(geometry_size, eps=config.geometry_config.layer_norm_eps)
        self.geometry_projection = nn.Linear(geometry_size, config.projection_dim)
        self.decoder = decoder or AutoModelForCausalLM.from_config(config.decoder_config)
        if config.prefix == "resampler":
            self.resampler = GeomCLIPResampler(config)
        if config.prefix != "none":
            size = config.projection_dim if config.prefix == "pooled" else geometry_size
            self.projector = nn.Linear(size, self.decoder.get_input_embeddings().embedding_dim)
        self.decoder_inputs = frozenset(inspect.signature(self.decoder.forward).parameters)
        self.post_init()
        self.generation_config = copy.deepcopy(self.decoder.generation_config)  # holds the token that ends a caption

    @torch.no_grad()
    def _init_weights(self, module):
        super()._init_weights(module)
        if isinstance(module, GeomCLIPResampler):
            init.normal_(module.queries)
            init.normal_(module.embedding_projection.weight)  # of unit vectors: as large as the queries

    def train(self, mode: bool = True) -> "GeomCLIPForCaptioning":
        """Set the training mode; a frozen geometry tower stays in evaluation mode, without dropout."""
        super().train(mode)
        stop_dropout_if_frozen(self.geometry_model)
        return self

    def get_input_embeddings(self) -> nn.Module:
        """Return the decoder's input embeddings."""
        return self.decoder.get_input_embeddings()

    def set_input_embeddings(self, value: nn.Module) -> None:
        """Replace the decoder's input embeddings."""
        self.decoder.set_input_embeddings(value)

    def get_output_embeddings(self) -> nn.Module:
        """Return the decoder's output embeddings."""
        return self.decoder.get_output_embeddings()

    # ------------------------------------------------------------------------------------------- building and adapting

    @classmethod
    def from_geometry_decoder_pretrained(
        cls,
        geomclip: str | GeomCLIPModel,
        decoder: str | PreTrainedModel,
        lora_config: "LoraConfig | None" = None,
        dtype: torch.dtype = torch.float32,
        **kwargs,
    ) -> "GeomCLIPForCaptioning":
        """Combine the geometry side of a GeomCLIP model with a language model; resampler and projector are new.

        Args:
            geomclip: [`GeomCLIPModel`], or its folder or Hub id.
            decoder: any causal language model, or its folder or Hub id.
            lora_config: configuration of an adapter to add, for example from `lora_config()`. Save the model before you
                add an adapter.
            dtype: data type of the models that are loaded here.
            kwargs: further settings of [`GeomCLIPCaptioningConfig`].
        """
        if isinstance(geomclip, str):
            geomclip = GeomCLIPModel.from_pretrained(geomclip, dtype=dtype)
        if isinstance(decoder, str):
            decoder = AutoModelForCausalLM.from_pretrained(decoder, dtype=dtype)
        tower = geomclip.geometry_model
        for part in (tower, decoder):
            forget_origin(part)
        shared = {name: getattr(geomclip.config, name) for name in ("geometry_pooling", "projection_dim")}
        # A new config resets the attention implementation of its parts, so it gets copies first, then the originals.
        parts = {"geometry_config": copy.deepcopy(tower.config), "decoder_config": copy.deepcopy(decoder.config)}
        config = cls.config_class(**parts, **shared, **kwargs)
        config.geometry_config, config.decoder_config = tower.config, decoder.config
        model = cls(config, tower, decoder)
        for name in ("geometry_pooling", "geometry_layer_norm", "geometry_projection"):
            getattr(model, name).load_state_dict(getattr(geomclip, name).state_dict())
        if config.prefix != "none":
            model.scale_projector()
        if lora_config is not None:
            model.add_adapter(lora_config)
        return model

    @torch.no_grad()
    def scale_projector(self) -> None:
        """Initialise the projector so that soft tokens are as large as the decoder's input embeddings."""
        squared_norm = 1 if self.config.prefix == "pooled" else self.projector.in_features  # of what it projects
        std = self.get_input_embeddings().weight.float().std().item()
        self.projector.weight.normal_(std=std * squared_norm**-0.5)
        self.projector.bias.zero_()

    def lora_config(
        self, geometry: str = "frozen", decoder_layers: Sequence[str] | None = None, **kwargs
    ) -> "LoraConfig":
        """Return a LoRA configuration (Hu et al., ICLR 2022) for linear layers of the decoder.

        The resampler and the projector are trained in full.

        Args:
            geometry: how the geometry tower is trained: "frozen", "lora" or "full".
            decoder_layers: last parts of the names of the layers, such as "q_proj"; every linear layer except the head
                if omitted.
            kwargs: further arguments of `peft.LoraConfig`, such as `r`, `lora_alpha` and `lora_dropout`.
        Raises:
            ImportError: peft is not installed.
            ValueError: `geometry` is another word, or would train a tower that the decoder does not read, or the
                decoder has no such layer.
        """
        if not is_peft_available():
            raise ImportError("LoRA needs the peft package; pip install peft")
        if geometry not in ("frozen", "lora", "full"):
            raise ValueError(f"geometry must be 'frozen', 'lora' or 'full', got {geometry!r}")
        if geometry != "frozen" and self.config.prefix == "none":
            raise ValueError(f"geometry={geometry!r} trains a tower that prefix='none' does not read; use 'frozen'")
        head = self.decoder.get_output_embeddings()
        layers = [
            f"decoder.{name}"
            for name, module in self.decoder.named_modules()
            if isinstance(module, nn.Linear | Conv1D) and module is not head
        ]
        if decoder_layers is not None:
            found = {name.rpartition(".")[2] for name in layers}
            if unknown := sorted(set(decoder_layers) - found):
                raise ValueError(f"the decoder has no linear layers {unknown}; it has {sorted(found)}")
            layers = [name for name in layers if name.rpartition(".")[2] in decoder_layers]
        if geometry == "lora":
            tower = self.geometry_model.layers.named_modules()
            layers += [f"geometry_model.layers.{name}" for name, module in tower if isinstance(module, nn.Linear)]
        whole = [name for name in ("resampler", "projector") if hasattr(self, name)]
        whole += ["geometry_model"] if geometry == "full" else []
        kwargs["fan_in_fan_out"] = any(isinstance(module, Conv1D) for module in self.decoder.modules())
        return LoraConfig(target_modules=layers, modules_to_save=whole or None, **kwargs)

    def get_adapter_state_dict(self, adapter_name: str | None = None, state_dict: dict | None = None) -> dict:
        """Return the weights of an adapter, without embeddings, which no captioner adapter changes."""
        name = adapter_name or self.active_adapters()[0]
        # By default, peft opens the base to compare vocabularies. Its relative path is not valid from here.
        return get_peft_model_state_dict(self, state_dict, name, save_embedding_layers=False)

    # ------------------------------------------------------------------------------------------------------- computing

    def get_geometry_features(
        self, atom_ids: Tensor, positions: Tensor, atom_mask: Tensor | None = None, only_pooled: bool = False
    ) -> BaseModelOutputWithPooling:
        """Encode geometries as [`GeomCLIPModel.get_geometry_features`] does, so that `embed_molecules` embeds them."""
        atom_mask = self.geometry_model.find_atom_mask(atom_ids) if atom_mask is None else atom_mask
        cls_only = only_pooled and self.config.geometry_pooling == "cls"
        states = self.geometry_model(atom_ids, positions, atom_mask, cls_only=cls_only).last_hidden_state
        pooled = self.geometry_projection(self.geometry_layer_norm(self.geometry_pooling(states, atom_mask)))
        return BaseModelOutputWithPooling(
            last_hidden_state=states, pooler_output=nn.functional.normalize(pooled, dim=-1)
        )

    def encode_geometry(self, atom_ids: Tensor, positions: Tensor, atom_mask: Tensor | None = None) -> tuple:
        """Return the soft tokens (batch, prefix, decoder embedding size) and their mask (batch, prefix) bool."""
        atom_mask = self.geometry_model.find_atom_mask(atom_ids) if atom_mask is None else atom_mask
        if self.config.prefix == "none":
            weight = self.get_input_embeddings().weight
            return weight.new_zeros(len(atom_ids), 0, weight.shape[1]), atom_mask[:, :0]
        features = self.get_geometry_features(atom_ids, positions, atom_mask)
        if self.config.prefix == "atoms":
            return self.projector(features.last_hidden_state), atom_mask
        if self.config.prefix == "pooled":
            prefix = features.pooler_output.unsqueeze(1)
        else:
            prefix = self.resampler(features.last_hidden_state, atom_mask, features.pooler_output)
        return self.projector(prefix), atom_mask.new_ones(prefix.shape[:2])

    def prepend_geometry(
        self,
        atom_ids: Tensor,
        positions: Tensor,
        atom_mask: Tensor | None,
        input_ids: Tensor,
        attention_mask: Tensor | None,
        labels: Tensor | None = None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return the embeddings, mask and labels of prefix and tokens, padded on the left, for the decoder."""
        prefix, prefix_mask = self.encode_geometry(atom_ids, positions, atom_mask)
        attention_mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        labels = torch.full_like(input_ids, -100) if labels is None else labels
        embeds = self.get_input_embeddings()(input_ids)
        embeds = torch.cat([prefix.to(embeds.dtype), embeds], dim=1)
        mask = torch.cat([prefix_mask.to(attention_mask.dtype), attention_mask], dim=1)
        labels = torch.cat([labels.new_full(prefix_mask.shape, -100), labels], dim=1)
        order = mask.argsort(dim=1, stable=True)  # moves padding to the front and keeps the order of the rest
        return embeds.gather(1, order.unsqueeze(-1).expand_as(embeds)), mask.gather(1, order), labels.gather(1, order)

    @can_return_tuple
    def forward(
        self,
        atom_ids: Tensor,
        positions: Tensor,
        input_ids: Tensor,
        atom_mask: Tensor | None = None,
        attention_mask: Tensor | None = None,
        labels: Tensor | None = None,
        **kwargs,
    ) -> GeomCLIPCaptioningOutput:
        """Compute the logits of every token and, with `labels`, the loss of the captions.

        Args:
            atom_ids, positions, atom_mask: as in [`GeomCLIPGeometryModel.forward`].
            input_ids: (batch, tokens) int64, prompt and caption, padded on either side.
            attention_mask: (batch, tokens), 1 on tokens.
            labels: (batch, tokens) int64, `input_ids` on the caption and its end, -100 elsewhere.
            kwargs: further arguments of the decoder.
        """
        geometry = (atom_ids, positions, atom_mask)
        embeds, mask, packed_labels = self.prepend_geometry(*geometry, input_ids, attention_mask, labels)
        if "position_ids" in self.decoder_inputs:
            kwargs["position_ids"] = (mask.long().cumsum(dim=1) - 1).clamp(min=0)
        if labels is not None:
            packed_labels = drop_unlabelled_columns(packed_labels)
            if "logits_to_keep" in self.decoder_inputs:
                # An index makes the hidden states contiguous; otherwise, the head would be a batched product.
                num_columns = packed_labels.shape[1]
                kwargs["logits_to_keep"] = torch.arange(mask.shape[1] - num_columns, mask.shape[1], device=mask.device)
        outputs = self.decoder(inputs_embeds=embeds, attention_mask=mask, use_cache=False, **kwargs)
        logits, losses = outputs.logits, {}
        if labels is not None:
            logits = logits[:, -packed_labels.shape[1] :]
            losses = compute_caption_losses(logits, packed_labels)
        return GeomCLIPCaptioningOutput(
            **losses,
            logits=logits,
            hidden_states=outputs.get("hidden_states"),
            attentions=outputs.get("attentions"),
        )

    @torch.no_grad()
    def generate(
        self,
        atom_ids: Tensor,
        positions: Tensor,
        input_ids: Tensor,
        atom_mask: Tensor | None = None,
        attention_mask: Tensor | None = None,
        **kwargs,
    ) -> Tensor:
        """Generate captions and return their token ids, without the prompt.

        Args:
            atom_ids, positions, atom_mask: as in [`GeomCLIPGeometryModel.forward`].
            input_ids, attention_mask: (batch, tokens), the prompts, padded on the left.
            kwargs: arguments of `transformers.GenerationMixin.generate`, such as `max_new_tokens`, `num_beams`,
                `do_sample`, `num_return_sequences` and `streamer`.
        Raises:
            ValueError: a row has neither a prefix nor a prompt.
        """
        embeds, mask, _ = self.prepend_geometry(atom_ids, positions, atom_mask, input_ids, attention_mask)
        if not mask.any(dim=1).all():
            raise ValueError("there is neither a prefix nor a prompt to continue; pass a prompt")
        self.decoder.generation_config = self.generation_config  # a decoder built from its configuration lacks one
        return self.decoder.generate(inputs_embeds=embeds, attention_mask=mask, **kwargs)

    @torch.no_grad()
    def score_captions(
        self,
        captions: Tensor,
        atom_ids: Tensor,
        positions: Tensor,
        input_ids: Tensor,
        atom_mask: Tensor | None = None,
        attention_mask: Tensor | None = None,
    ) -> Tensor:
        """Return the mean log-probability of the tokens of each caption, (captions,) float32, nats.

        Args:
            captions: (batch * captions per molecule, tokens) int64, as `generate` returns them for the other arguments.
            atom_ids, positions, atom_mask, input_ids, attention_mask: as in `generate`.
        """
        attention_mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        atom_mask = self.geometry_model.find_atom_mask(atom_ids) if atom_mask is None else atom_mask
        given = (atom_ids, positions, atom_mask, input_ids, attention_mask)
        repeated = (value.repeat_interleave(len(captions) // len(atom_ids), dim=0) for value in given)
        atom_ids, positions, atom_mask, prompts, prompt_mask = repeated
        is_caption = find_generated(captions, self.generation_config.eos_token_id)
        inputs = (
            atom_ids,
            positions,
            torch.cat([prompts, captions], dim=1),
            atom_mask,
            torch.cat([prompt_mask, is_caption.to(prompt_mask.dtype)], dim=1),
            torch.cat([torch.full_like(prompts, -100), captions.masked_fill(~is_caption, -100)], dim=1),
        )
        parts = zip(*(values.split(SCORED_AT_ONCE) for values in inputs))  # logits need the most memory
        outputs = [self(*part) for part in parts]
        return torch.cat([-output.caption_losses / output.num_tokens for output in outputs])


def find_generated(token_ids: Tensor, eos_token_id: int | list[int] | None) -> Tensor:
    """Return which of the generated tokens belong to a caption, (captions, tokens) bool: all up to the first end."""
    if eos_token_id is None:
        return torch.ones_like(token_ids, dtype=torch.bool)
    ends = torch.as_tensor(eos_token_id, device=token_ids.device).reshape(-1)
    is_end = torch.isin(token_ids, ends).long()
    return is_end.cumsum(dim=1) - is_end == 0
