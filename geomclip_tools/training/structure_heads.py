"""Training-only heads that predict a molecule's structure from its geometry or its text, and their losses.

They provide auxiliary losses for the towers. Checkpoints do not contain them.
"""

from collections.abc import Collection, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dataset_pubchem3d.chemistry.fingerprints import FINGERPRINT_SIZE
from dataset_pubchem3d.chemistry.structure import BOND_ORDERS, FORMAL_CHARGES, FUNCTIONAL_GROUPS, HYBRIDIZATIONS
from modeling_geomclip import GeomCLIPGeometryConfig, GeomCLIPGeometryOutput
from modeling_geomclip.geometry_geomclip import masked_mean
from modeling_geomclip.modeling_geometry_geomclip import GeomCLIPMLP

from .structure_labels import NUM_ELEMENTS

NUM_LOGITS = {
    "bond_order": len(BOND_ORDERS),
    "is_in_ring": 2,
    "formal_charge": len(FORMAL_CHARGES),
    "hybridization": len(HYBRIDIZATIONS),
    "fingerprint": FINGERPRINT_SIZE,
    "functional_groups": len(FUNCTIONAL_GROUPS),
}
OF_PAIRS, OF_ATOMS = ("bond_order",), ("is_in_ring", "formal_charge", "hybridization")
PAIR_WIDTH = 64


class StructureHeads(nn.Module):
    """One small head per target, on the states of the geometry tower.

    Args:
        targets: keys of `NUM_LOGITS`.
    """

    def __init__(self, config: GeomCLIPGeometryConfig, targets: Collection[str]):
        super().__init__()
        self.pair_layer_norm = nn.LayerNorm(config.num_attention_heads) if "bond_order" in targets else None
        self.heads = nn.ModuleDict({target: self._build_head(config, target) for target in targets})

    @staticmethod
    def _build_head(config: GeomCLIPGeometryConfig, target: str) -> nn.Module:
        size, width, num_logits = config.hidden_size, config.hidden_size, NUM_LOGITS[target]
        if target in OF_ATOMS:
            return nn.Linear(size, num_logits)
        if target in OF_PAIRS:
            size, width = config.num_attention_heads, PAIR_WIDTH
        return GeomCLIPMLP(size, width, num_logits, config.hidden_act)

    def forward(self, outputs: GeomCLIPGeometryOutput, atom_mask: Tensor) -> dict[str, Tensor]:
        """Predict the logits of all targets.

        Args:
            outputs: of the geometry tower, with pair representations.
            atom_mask: (batch, atoms) bool, True on atoms.
        Returns:
            logits by target: of pairs (batch, atoms, atoms, classes), symmetric in the two atoms; of atoms (batch,
            atoms, classes); of molecules (batch, classes). Those of `functional_groups` predict log(1 + count).
        """
        pooled = masked_mean(outputs.last_hidden_state, atom_mask)
        return {target: self._read(target, outputs, pooled) for target in self.heads}

    def _read(self, target: str, outputs: GeomCLIPGeometryOutput, pooled: Tensor) -> Tensor:
        if target in OF_PAIRS:
            pairs = self.pair_layer_norm(outputs.pair_representation)
            return self.heads[target](pairs + pairs.transpose(1, 2))
        return self.heads[target](outputs.last_hidden_state if target in OF_ATOMS else pooled)


class TextTargetHeads(nn.Module):
    """Heads that predict a molecule's ECFP4 bits, functional groups and elements from the embedding of its text.

    Args:
        projection_dim: size of the embeddings.
    """

    def __init__(self, projection_dim: int):
        super().__init__()
        sizes = {name: NUM_LOGITS[name] for name in ("fingerprint", "functional_groups")} | {"elements": NUM_ELEMENTS}
        self.heads = nn.ModuleDict(
            {name: GeomCLIPMLP(projection_dim, projection_dim, size, "gelu") for name, size in sizes.items()}
        )

    def forward(self, text_embeds: Tensor, labels: Mapping[str, Tensor]) -> Tensor:
        """Return the mean loss over texts, ().

        The loss of a text is the summed cross-entropy of all ECFP4 bits, divided by the number of set bits, plus 10
        times the mean smooth L1 loss of log(1 + count), once for functional groups and once for elements.

        Args:
            text_embeds: (texts, projection_dim), L2-normalised.
            labels: from `collate_text_targets`.
        """
        states = text_embeds * text_embeds.shape[-1] ** 0.5  # on the scale of layer-normalised states
        precise = torch.promote_types(states.dtype, torch.float32)
        predicted = {name: head(states).to(precise) for name, head in self.heads.items()}
        true = {name: labels[name].to(logits.dtype) for name, logits in predicted.items()}
        bits = F.binary_cross_entropy_with_logits(predicted["fingerprint"], true["fingerprint"], reduction="none")
        losses = bits.sum(dim=1) / true["fingerprint"].sum(dim=1).clamp(min=1)
        for name in ("functional_groups", "elements"):
            errors = F.smooth_l1_loss(predicted[name], true[name].log1p(), reduction="none")
            losses = losses + 10 * errors.mean(dim=1)
        return losses.mean()


def structure_losses(logits: Mapping[str, Tensor], labels: Mapping[str, Tensor]) -> dict[str, tuple[Tensor, Tensor]]:
    """Return the loss of each target and the number of items it is a mean over, both ().

    Bonds: cross-entropy summed over all pairs, divided by the number of bonded pairs. Atoms: mean cross-entropy.
    Fingerprint: cross-entropy summed over all bits, divided by the number of set bits. Functional groups: mean smooth
    L1 loss of log(1 + count).

    Args:
        logits: from `StructureHeads`.
        labels: from `collate_labels`; further entries are ignored.
    """
    losses = {}
    for target, predicted in logits.items():
        true, predicted = labels[target], predicted.to(torch.promote_types(predicted.dtype, torch.float32))
        if target == "fingerprint":
            total = F.binary_cross_entropy_with_logits(predicted, true.to(predicted.dtype), reduction="sum")
            count = true.sum().long()
        elif target == "functional_groups":
            total = F.smooth_l1_loss(predicted, true.to(predicted.dtype).log1p(), reduction="sum")
            count = torch.tensor(true.numel(), device=true.device)
        else:
            total = F.cross_entropy(predicted.flatten(0, -2), true.flatten(), ignore_index=-1, reduction="sum")
            count = (true > 0).sum() if target in OF_PAIRS else (true >= 0).sum()
        losses[f"{target}_loss"] = (total / count.clamp(min=1), count)
    return losses
