"""Heads that read a molecule's structure off the geometry tower, and their losses.

They teach the tower its chemistry and are thrown away: a checkpoint has none of them.
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
    """A small head for each of the named targets, keys of `NUM_LOGITS`."""

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
        """Logits by target: of pairs (batch, atoms, atoms, classes), the same for (i, j) and (j, i); of atoms (batch,
        atoms, classes); of molecules (batch, classes). `functional_groups` are log(1 + count).

        Args:
            outputs: with the pair representations.
            atom_mask: (batch, atoms) bool, True on atoms.
        """
        pooled = masked_mean(outputs.last_hidden_state, atom_mask)
        return {target: self._read(target, outputs, pooled) for target in self.heads}

    def _read(self, target: str, outputs: GeomCLIPGeometryOutput, pooled: Tensor) -> Tensor:
        if target in OF_PAIRS:
            pairs = self.pair_layer_norm(outputs.pair_representation)
            return self.heads[target](pairs + pairs.transpose(1, 2))
        return self.heads[target](outputs.last_hidden_state if target in OF_ATOMS else pooled)


def structure_losses(logits: Mapping[str, Tensor], labels: Mapping[str, Tensor]) -> dict[str, tuple[Tensor, Tensor]]:
    """Loss of each target and the number of things it is a mean over, both ().

    Cross-entropy of all pairs, for each bonded pair; of atoms, for each atom; of all bits, for each bit that is on;
    smooth L1 of log(1 + count), for each count of a functional group.

    Args:
        logits: as `StructureHeads` gives them.
        labels: as `collate_labels` gives them, and more.
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
