"""What one training step computes around a model: the module that DDP or FSDP wraps."""

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
IDS = ("molecule_ids", "text_ids", "structure_ids")  # of rows that are not negatives of each other if they share one
CONTRASTED = (*IDS, "fingerprint")
TEXT = ("input_ids", "attention_mask", "token_type_ids")


class TrainingStep(nn.Module):
    """Holds the model that is saved, as `model`, and adds what training alone needs."""

    def __init__(self, model: GeomCLIPPreTrainedModel):
        super().__init__()
        self.model = model

    @property
    def device(self) -> torch.device:
        return self.model.device

    @property
    def _no_split_modules(self) -> list[str]:
        return self.model._no_split_modules  # for FSDP, which shards by them


@dataclass
class ContrastiveOutput(GeomCLIPForPreTrainingOutput):
    """With `text_target_loss`, () mean over texts, if there are such targets."""

    text_target_loss: Tensor | None = None


class ContrastiveStep(TrainingStep):
    """Embeds a batch of pairs and denoises its geometries, in groups of like size.

    Within one forward pass, however many groups there are, as DDP wants it.
    """

    model: GeomCLIPForPreTraining

    def __init__(self, model: GeomCLIPForPreTraining, has_text_targets: bool = False):
        super().__init__(model)
        self.text_heads = TextTargetHeads(model.config.projection_dim) if has_text_targets else None

    def train(self, mode: bool = True) -> "ContrastiveStep":
        """As for every module; a text tower that is not trained has no dropout."""
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
        """Embeddings of all pairs, and the denoising loss over all groups; no contrastive loss.

        Args:
            batch: inputs of [`GeomCLIPForPreTraining`]; instead of a text's, there may be `pooled_text` (texts, text
                hidden_size), what `pool_text` gave: a text tower that is not trained need not read a text twice.
            pair_budget: molecules * rows² that the geometry tower takes at once; left out, the batch as it stands.
            token_budget: texts * tokens that the text tower takes at once, likewise.
            denoise: False leaves the noised geometry aside.
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
        """(geometries, projection_dim), group after group."""
        inputs = [{name: group[name] for name in GEOMETRY} for group in groups]
        return torch.cat([self.model.get_geometry_features(**g, only_pooled=only_pooled).pooler_output for g in inputs])

    def _embed_texts(self, batch: dict[str, Tensor], token_budget: int | None) -> Tensor:
        """(texts, projection_dim), in the order of the batch."""
        if "pooled_text" in batch:
            return self.model.project_text(batch["pooled_text"])
        text = {name: batch[name] for name in TEXT if name in batch}
        groups, order = split_padded(text, batch["attention_mask"].bool(), token_budget, 1)
        embeds = [self.model.get_text_features(**group).pooler_output for group in groups]
        return torch.cat(embeds)[order.argsort()]

    def _denoise(self, groups: list[dict[str, Tensor]]) -> tuple[Tensor, Tensor]:
        """Denoising loss over the chosen atoms of all groups, and their number."""
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
    """L = L_contrastive + alpha * L_denoising (+ beta * L_text_targets) of the batch over all processes, on each.

    With a `soft_label_temperature`, the contrastive targets are a softmax of the molecules' likeness by `fingerprint`.

    DDP averages gradients: the contrastive loss is whole on every process, the denoising loss of one process is
    scaled to its share of the chosen atoms, and every process has as many texts.
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
    """(molecules, molecules) Tanimoto similarity, 0 for two without a bit.

    Args:
        fingerprints: (molecules, bits), 0 or 1.
    """
    num_common, num_bits = fingerprints @ fingerprints.T, fingerprints.sum(dim=1)
    return num_common / (num_bits.unsqueeze(0) + num_bits.unsqueeze(1) - num_common).clamp(min=1)
