"""Freeze parameters that no loss reaches, since DDP fails on trainable parameters without a gradient."""

from modeling_geomclip import GeomCLIPGeometryModel
from modeling_geomclip.pretraining_geomclip import GeomCLIPDenoisingHead


def freeze_heads_without_loss(head: GeomCLIPDenoisingHead) -> None:
    """Freeze the parts of the denoising head whose loss weight is 0 in its configuration."""
    config = head.config
    if config.coordinate_loss_weight == 0:
        head.pair_layer_norm.requires_grad_(False)
        head.coordinate_head.requires_grad_(False)
    if config.distance_loss_weight == 0:
        head.distance_head.requires_grad_(False)
    if config.atom_type_loss_weight == 0:
        head.atom_type_head.requires_grad_(False)


def freeze_unread_states(tower: GeomCLIPGeometryModel) -> None:
    """Freeze the modules of the tower that affect only the last states, for losses that read only the pair states."""
    last = tower.layers[-1]
    for module in (last.attention.out_proj, last.mlp_layer_norm, last.mlp, tower.final_layer_norm):
        module.requires_grad_(False)
