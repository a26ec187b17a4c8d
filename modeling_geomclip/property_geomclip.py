"""GeomCLIP for property prediction: regression and classification from a geometry."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers.modeling_utils import PreTrainedModel
from transformers.utils import ModelOutput, is_peft_available
from transformers.utils.generic import can_return_tuple

from .configuration_geomclip import GeomCLIPGeometryConfig
from .geometry_geomclip import masked_mean
from .modeling_geometry_geomclip import GeomCLIPGeometryModel, GeomCLIPPreTrainedModel, stop_dropout_if_frozen

if is_peft_available():
    from peft import LoraConfig

OF_PROPERTIES = ("label_means", "label_stds", "label_units", "element_references", "residual_stds")
PROBLEM_TYPES = ("regression", "multi_label_classification", "single_label_classification")


@dataclass
class GeomCLIPPropertyOutput(ModelOutput):
    """Output of [`GeomCLIPForPropertyPrediction`].

    Args:
        loss: () mean over the labels that are not missing.
        num_labelled: () int64, number of labels that `loss` averages over.
        logits: (batch, num_labels), at least float32. For regression, the properties in the units of
            `config.label_units`; otherwise the logits of the classes.
        hidden_states, attentions: hidden states and attentions of the geometry tower.
    """

    loss: Tensor | None = None
    num_labelled: Tensor | None = None
    logits: Tensor | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None


class GeomCLIPPropertyHead(nn.Module):
    """Two layers on the [CLS] state, or on the state of each atom with averaged or summed outputs."""

    def __init__(self, config: GeomCLIPGeometryConfig):
        super().__init__()
        self.pooling = config.property_pooling
        self.dropout = nn.Dropout(config.property_dropout)
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)
        self.out_projection = nn.Linear(config.hidden_size, config.num_labels)

    def forward(self, states: Tensor, atom_mask: Tensor) -> Tensor:
        """Return (batch, num_labels) from states (batch, atoms, hidden_size) and an atom mask (batch, atoms)."""
        states = states[:, :1] if self.pooling == "cls" else states
        outputs = self.out_projection(self.dropout(torch.tanh(self.dense(self.dropout(states)))))
        if self.pooling == "cls":
            return outputs[:, 0]
        if self.pooling == "mean":
            return masked_mean(outputs, atom_mask)
        return outputs.masked_fill(~atom_mask.unsqueeze(-1), 0.0).sum(dim=1)


class GeomCLIPForPropertyPrediction(GeomCLIPPreTrainedModel):
    """Geometry tower with a head that predicts properties, without a text tower.

    `config.problem_type` is "regression", "multi_label_classification" (several binary properties) or
    "single_label_classification" (one property with several classes). `config.id2label` names the properties or
    classes.
    """

    config: GeomCLIPGeometryConfig
    base_model_prefix = "geometry_model"
    main_input_name = "atom_ids"
    input_modalities = ("geometry",)

    def __init__(self, config: GeomCLIPGeometryConfig, geometry_model: PreTrainedModel | None = None):
        super().__init__(config)
        self.geometry_model = geometry_model or GeomCLIPGeometryModel(config)
        self.property_head = GeomCLIPPropertyHead(config)
        self.post_init()

    @classmethod
    def from_geometry_pretrained(cls, geometry_model: PreTrainedModel, **kwargs) -> "GeomCLIPForPropertyPrediction":
        """Add a new head to a geometry tower.

        Args:
            geometry_model: [`GeomCLIPGeometryModel`], or a model that has one, such as [`GeomCLIPModel`].
            kwargs: further settings of [`GeomCLIPGeometryConfig`]: `problem_type`, `id2label`, `label_units`, ...
        """
        tower = getattr(geometry_model, "geometry_model", geometry_model)
        settings = tower.config.to_dict()
        for name in ("_name_or_path", "architectures", "auto_map", *OF_PROPERTIES):
            settings.pop(name, None)  # they belong to another model or other properties
        if "id2label" in kwargs:
            kwargs["label2id"] = {name: index for index, name in kwargs["id2label"].items()}
        return cls(cls.config_class(**settings | kwargs), tower)

    def lora_config(self, **kwargs) -> "LoraConfig":
        """Return a LoRA configuration (Hu et al., ICLR 2022) for every linear layer of the tower's blocks.

        The head is trained in full.

        Args:
            kwargs: further arguments of `peft.LoraConfig`, such as `r`, `lora_alpha` and `lora_dropout`.
        Raises:
            ImportError: peft is not installed.
        """
        if not is_peft_available():
            raise ImportError("LoRA needs the peft package; pip install peft")
        blocks = self.geometry_model.layers.named_modules()
        layers = [f"geometry_model.layers.{name}" for name, module in blocks if isinstance(module, nn.Linear)]
        return LoraConfig(target_modules=layers, modules_to_save=["property_head"], **kwargs)

    def get_input_embeddings(self) -> nn.Module:
        """Return the embeddings of the symbols."""
        return self.geometry_model.get_input_embeddings()

    def set_input_embeddings(self, value: nn.Module) -> None:
        """Replace the embeddings of the symbols."""
        self.geometry_model.set_input_embeddings(value)

    def train(self, mode: bool = True) -> "GeomCLIPForPropertyPrediction":
        """Set the training mode; a frozen tower stays in evaluation mode, without dropout."""
        super().train(mode)
        stop_dropout_if_frozen(self.geometry_model)
        return self

    @can_return_tuple
    def forward(
        self,
        atom_ids: Tensor,
        positions: Tensor,
        atom_mask: Tensor | None = None,
        labels: Tensor | None = None,
        **kwargs,
    ) -> GeomCLIPPropertyOutput:
        """Predict properties and, with `labels`, compute the loss.

        Args:
            atom_ids, positions, atom_mask: as in [`GeomCLIPGeometryModel.forward`].
            labels: (batch, num_labels), NaN if missing: in physical units for regression, 0 or 1 for
                "multi_label_classification". For "single_label_classification", (batch,) int64, -100 if missing.
        Raises:
            ValueError: there are labels, but `config.problem_type` is unknown.
        """
        atom_mask = self.geometry_model.find_atom_mask(atom_ids) if atom_mask is None else atom_mask
        outputs = self.geometry_model(atom_ids, positions, atom_mask, **kwargs)
        logits = self.property_head(outputs.last_hidden_state, atom_mask)
        logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
        means, stds = self._standardisation(logits, atom_ids, atom_mask)
        loss, num_labelled = None, None
        if labels is not None:
            loss, num_labelled = property_loss(logits, labels, self.config.problem_type, means, stds)
        return GeomCLIPPropertyOutput(
            loss=loss,
            num_labelled=num_labelled,
            logits=logits * stds + means,
            hidden_states=outputs.hidden_states,
            attentions=outputs.attentions,
        )

    def _standardisation(self, logits: Tensor, atom_ids: Tensor, atom_mask: Tensor) -> tuple[Tensor, Tensor]:
        """Return the mean, (num_labels,) or, with references, (batch, num_labels), and the scale (num_labels,)."""
        config = self.config
        means = (
            logits.new_zeros(config.num_labels) if config.label_means is None else logits.new_tensor(config.label_means)
        )
        if config.element_references is not None:
            references = logits.new_tensor(config.element_references).T[atom_ids]  # (batch, atoms, num_labels)
            means = means + references.masked_fill(~atom_mask.unsqueeze(-1), 0.0).sum(dim=1)
        stds = config.label_stds if config.residual_stds is None else config.residual_stds
        return means, logits.new_ones(config.num_labels) if stds is None else logits.new_tensor(stds)


def property_loss(
    logits: Tensor, labels: Tensor, problem_type: str, means: Tensor, stds: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the mean loss over the labels that are not missing (0 if all are), and the number of these labels.

    The loss is smooth L1 on standardised labels for regression (as Uni-Mol on QM9), otherwise cross-entropy.

    Args:
        logits: (batch, num_labels), standardised.
        labels: as in [`GeomCLIPForPropertyPrediction.forward`].
        means, stds: means and standard deviations of the labels, (num_labels,); means may also be (batch, num_labels),
            with one row per molecule.
    Raises:
        ValueError: `problem_type` is unknown.
    """
    if problem_type not in PROBLEM_TYPES:
        raise ValueError(f"config.problem_type is {problem_type!r}; set it to one of {', '.join(PROBLEM_TYPES)}")
    if problem_type == "single_label_classification":
        is_labelled = labels != -100
        losses = F.cross_entropy(logits, labels, ignore_index=-100, reduction="none")
    else:
        is_labelled = ~labels.isnan()
        # NaN is replaced before the loss, because the gradient of a masked NaN is NaN.
        labels = torch.where(is_labelled, labels.to(logits.dtype), means)
        if problem_type == "regression":
            losses = F.smooth_l1_loss(logits, (labels - means) / stds, reduction="none")
        else:
            losses = F.binary_cross_entropy_with_logits(logits, labels, reduction="none")
    num_labelled = is_labelled.sum()
    return (losses * is_labelled).sum() / num_labelled.clamp(min=1), num_labelled
