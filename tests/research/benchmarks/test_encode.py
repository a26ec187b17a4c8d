"""The benchmark counts the operations of the tower like torch."""

import pytest
import torch
from encode import tower_flops
from torch.utils.flop_counter import FlopCounterMode

from modeling_geomclip import GeomCLIPGeometryModel


@pytest.mark.parametrize("cls_only", [False, True])
@pytest.mark.parametrize("num_atoms", [1, 7, 20])
def test_operations_are_those_that_torch_counts(geometry_config, num_atoms, cls_only):
    model = GeomCLIPGeometryModel(geometry_config).eval()
    atom_ids = torch.tensor([[1, *[4] * num_atoms, 2]])
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(atom_ids, torch.randn(1, num_atoms + 2, 3), cls_only=cls_only)
    assert tower_flops(geometry_config, [num_atoms + 2], cls_only) == counter.get_total_flops()
