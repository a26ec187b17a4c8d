"""Parameters without a loss are frozen, and all others get a gradient."""

import pytest
import torch

from geomclip_tools.noise import draw_noise
from geomclip_tools.training.freezing import freeze_heads_without_loss
from modeling_geomclip import GeomCLIPGeometryForPreTraining


@pytest.mark.parametrize("head", ["coordinate", "atom_type", "distance"])
def test_a_denoising_head_without_weight_is_not_trained(geometry_config, batch, head):
    setattr(geometry_config, f"{head}_loss_weight", 0.0)
    model = GeomCLIPGeometryForPreTraining(geometry_config)
    freeze_heads_without_loss(model.denoising_head)
    geometry = [batch[name] for name in ("atom_ids", "positions", "atom_mask")]
    noise = draw_noise(*geometry, torch.tensor([1, 2, 3]), geometry_config)
    model(*geometry[:2], **noise, atom_mask=geometry[2]).loss.backward()
    assert [name for name, p in model.named_parameters() if p.requires_grad and p.grad is None] == []
    assert not any(p.requires_grad for p in getattr(model.denoising_head, f"{head}_head").parameters())
