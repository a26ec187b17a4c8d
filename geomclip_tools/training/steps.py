"""The computation of one training step, in the module that DDP or FSDP wraps."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from modeling_geomclip import GeomCLIPForPreTraining, GeomCLIPForPreTrainingOutput, contrastive_loss
from modeling_geomclip.modeling_geometry_geomclip import GeomCLIPPreTrainedModel, stop_dropout_if_frozen

from ..noise import GEOMETRY
from .distributed import gather, scale_to_mean
from .grouping import split_padded
from .structure_heads import TextTargetHeads

NOISED = ("noised_atom_ids", "noised_positions", "chosen")
IDS = ("molecule_ids", "text_ids", "structure_ids")  # rows that share one are not negatives of each other
CONTRASTED = (*IDS, "fingerprint")
TEXT = ("input_ids", "attention_mask", "token_type_ids")


class TrainingStep(nn.Module):
    """The model to save, as `model`, with training-only modules around it."""

    def __init__(self, model: GeomCLIPPreTrainedModel):
        super().__init__()
        self.model = model

    @property
    def device(self) -> torch.device:
        """Device of the model."""
        return self.model.device

    @property
    def _no_split_modules(self) -> list[str]:
        return self.model._no_split_modules  # FSDP shards the model into these modules


@dataclass
class ContrastiveOutput(GeomCLIPForPreTrainingOutput):
    """Output of [`ContrastiveStep`].

    Args:
        text_target_loss: () mean over texts; None without text targets.
    """

    text_target_loss: Tensor | None = None


class ContrastiveStep(TrainingStep):
    """Embed a batch of pairs and denoise its geometries, in groups of similar size.

    All groups run within one forward pass, as DDP requires.

    Args:
        has_text_targets: whether to add heads that predict the molecule's structure from the embedding of its text.
    """

    model: GeomCLIPForPreTraining

    def __init__(self, model: GeomCLIPForPreTraining, has_text_targets: bool = False):
        super().__init__(model)
        self.text_heads = TextTargetHeads(model.config.projection_dim) if has_text_targets else None

    def train(self, mode: bool = True) -> "ContrastiveStep":
        """Set the training mode. A frozen text tower keeps its dropout off."""
        super().train(mode)
        stop_dropout_if_frozen(self.model.text_model)
        return self

    def forward(
        self,
        batch: dict[str, Tensor],
        pair_budget: int | None = None,
        token_budget: int | None = None,
        denoise: bool = True,
    ) -> ContrastiveOutput:
        """Embed all pairs and compute the denoising loss over all groups; `combine_losses` adds the contrastive loss.

        Args:
            batch: inputs of [`GeomCLIPForPreTraining`]. With a frozen text tower, `pooled_text` (texts, text
                hidden_size) from `pool_text` may replace the tokens, so that no text is encoded twice.
            pair_budget: maximum molecules * rows² per pass of the geometry tower; None keeps the batch whole.
            token_budget: maximum texts * tokens per pass of the text tower; None keeps the batch whole.
            denoise: whether to denoise the noised geometries, if the batch has any.
        """
        names = GEOMETRY + (NOISED if denoise and "chosen" in batch else ())
        is_used = batch["atom_ids"] != self.model.config.geometry_config.pad_token_id
        groups, order = split_padded({name: batch[name] for name in names}, is_used, pair_budget, 2)
        geometry_embeds = self._embed_geometries(groups, only_pooled=pair_budget is not None)[order.argsort()]
        text_embeds = self._embed_texts(batch, token_budget)
        denoising_loss, num_chosen = self._denoise(groups) if len(names) > len(GEOMETRY) else (None, None)
        return ContrastiveOutput(
            geometry_embeds=geometry_embeds,
            text_embeds=text_embeds,
            logit_scale=self.model.bound_logit_scale(),
            denoising_loss=denoising_loss,
            num_chosen=num_chosen,
            text_target_loss=self.text_heads(text_embeds, batch) if self.text_heads else None,
        )

    def _embed_geometries(self, groups: list[dict[str, Tensor]], only_pooled: bool) -> Tensor:
        """Return the embeddings of all geometries in the order of the groups, (geometries, projection_dim)."""
        inputs = [{name: group[name] for name in GEOMETRY} for group in groups]
        return torch.cat([self.model.get_geometry_features(**g, only_pooled=only_pooled).pooler_output for g in inputs])

    def _embed_texts(self, batch: dict[str, Tensor], token_budget: int | None) -> Tensor:
        """Return the embeddings of all texts in the order of the batch, (texts, projection_dim)."""
        if "pooled_text" in batch:
            return self.model.project_text(batch["pooled_text"])
        text = {name: batch[name] for name in TEXT if name in batch}
        groups, order = split_padded(text, batch["attention_mask"].bool(), token_budget, 1)
        embeds = [self.model.get_text_features(**group).pooler_output for group in groups]
        return torch.cat(embeds)[order.argsort()]

    def _denoise(self, groups: list[dict[str, Tensor]]) -> tuple[Tensor, Tensor]:
        """Return the denoising loss over the chosen atoms of all groups, and the number of these atoms."""
        outputs = [self.model.denoise(**group) for group in groups]
        num_chosen = torch.stack([output.num_chosen for output in outputs]).sum()
        total = torch.stack([output.loss * output.num_chosen for output in outputs]).sum()
        return total / num_chosen.clamp(min=1), num_chosen


def combine_losses(
    outputs: ContrastiveOutput,
    batch: dict[str, Tensor],
    denoising_loss_weight: float,
    text_target_weight: float = 0.0,
    soft_label_temperature: float = 0.0,
) -> dict[str, Tensor]:
    """Combine L = L_contrastive + alpha * L_denoising (+ beta * L_text_targets) over the batches of all processes.

    With a `soft_label_temperature`, the contrastive target is a softmax over the Tanimoto similarities between the
    molecules' fingerprints.

    DDP averages gradients. Every process therefore computes the full contrastive loss and scales its denoising loss by
    its share of the chosen atoms. The text-target loss needs no scaling, since all processes have the same number of
    texts.

    Returns:
        `loss`, its parts, and the current `temperature`.
    """
    ids = [gather(batch[name]) for name in IDS if name in batch]
    embeds = (gather(outputs.geometry_embeds), gather(outputs.text_embeds))
    soft_labels = None
    if soft_label_temperature:
        soft_labels = compare_fingerprints(gather(batch["fingerprint"])) / soft_label_temperature
    losses = {"contrastive_loss": contrastive_loss(*embeds, outputs.logit_scale, *ids, soft_labels=soft_labels)}
    losses["loss"] = losses["contrastive_loss"]
    if outputs.denoising_loss is not None:
        share = scale_to_mean(outputs.num_chosen, outputs.denoising_loss.dtype)
        losses["denoising_loss"] = outputs.denoising_loss * share
        losses["loss"] = losses["contrastive_loss"] + denoising_loss_weight * losses["denoising_loss"]
    if outputs.text_target_loss is not None:
        losses["text_target_loss"] = outputs.text_target_loss
        losses["loss"] = losses["loss"] + text_target_weight * losses["text_target_loss"]
    return losses | {"temperature": 1 / outputs.logit_scale}


def compare_fingerprints(fingerprints: Tensor) -> Tensor:
    """Return the Tanimoto similarities (molecules, molecules); two molecules without any set bit have 0.

    Args:
        fingerprints: (molecules, bits), 0 or 1.
    """
    num_common, num_bits = fingerprints @ fingerprints.T, fingerprints.sum(dim=1)
    return num_common / (num_bits.unsqueeze(0) + num_bits.unsqueeze(1) - num_common).clamp(min=1)
