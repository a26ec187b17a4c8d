"""Models with linear layers quantised to int8, by torchao if it is installed, and by a stand-in for torch's layers."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.testing import assert_close
from transformers import AutoModel, TorchAoConfig

from modeling_geomclip import (
    GeomCLIPGeometryConfig,
    GeomCLIPGeometryModel,
    GeomCLIPModel,
    embed_molecules,
    embed_texts,
)

SMILES = ["CCCCCCCCO", "C", "CCO", "c1ccccc1O", "CC(=O)O", "CCCCN"]
TEXTS = ["the molecule is an acid with water", "ring", "it has an amine", "the alcohol"]


@pytest.fixture
def model(config) -> GeomCLIPModel:
    """A model with all optional parts."""
    torch.manual_seed(0)
    config.geometry_config.chirality_channels = 4
    model = GeomCLIPModel(config).eval()
    nn.init.normal_(model.geometry_model.chirality.out_weight)
    return model


def assert_near(model: nn.Module, quantised: nn.Module, processor) -> None:
    for embed, items in ((embed_molecules, SMILES), (embed_texts, TEXTS)):
        exact, near = embed(model, processor, items), embed(quantised, processor, items)
        assert torch.cosine_similarity(exact, near).min() > 0.99
        assert not torch.equal(exact, near)


class QuantisedLinear(nn.Module):
    """Like torch's own quantised layers: no parameters, and a method `weight`."""

    def __init__(self, linear: nn.Linear):
        super().__init__()
        self.scale = linear.weight.detach().abs().max() / 127
        self.values = (linear.weight.detach() / self.scale).round().to(torch.int8)
        self.offset = linear.bias.detach()

    def weight(self) -> torch.Tensor:
        return self.values

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        return F.linear(states, self.values * self.scale, self.offset)


def test_no_code_reads_the_weight_of_a_layer_that_may_be_quantised(model, processor):
    quantised = copy.deepcopy(model)
    linear = [name for name, module in model.named_modules() if type(module) is nn.Linear]
    for name in linear:
        quantised.set_submodule(name, QuantisedLinear(model.get_submodule(name)))
    assert "geometry_model.pair_projection.fc1" in linear
    assert "geometry_model.chirality.weights" not in linear  # directions are weighted by exact numbers
    assert_near(model, quantised, processor)


class TorchaoWeight(nn.Parameter):
    __module__ = "torchao.quantization"


def test_quantised_weights_that_would_be_lost_are_not_saved(model, tmp_path):
    linear = model.geometry_projection
    linear.weight = TorchaoWeight(linear.weight.detach())
    for quantiser in ({}, {"hf_quantizer": None}):  # `logit_scale` belongs to no submodule
        vars(model).update(quantiser)
        with pytest.raises(ValueError, match=r"torchao quantised 1 weights .*quantise it when it is loaded"):
            model.save_pretrained(tmp_path / "out")
    assert not (tmp_path / "out").exists()


torchao_may_warn = pytest.mark.filterwarnings("ignore")  # about its own parts, depending on the version of torch


@pytest.fixture
def torchao():
    return pytest.importorskip("torchao.quantization", exc_type=ImportError)


@pytest.fixture(params=["Int8WeightOnlyConfig", "Int8DynamicActivationInt8WeightConfig"])
def scheme(request, torchao):
    return getattr(torchao, request.param)()


@torchao_may_warn
def test_torchao_quantises_a_model(model, processor, torchao, scheme):
    quantised = copy.deepcopy(model)
    torchao.quantize_(quantised, scheme)
    assert type(quantised.geometry_projection.weight).__module__.startswith("torchao.")
    assert_near(model, quantised, processor)


@torchao_may_warn
def test_transformers_quantises_a_model_with_torchao_on_loading(model, processor, scheme, tmp_path):
    model.save_pretrained(tmp_path / "exact")
    quantised = AutoModel.from_pretrained(tmp_path / "exact", quantization_config=TorchAoConfig(scheme))
    assert_near(model, quantised, processor)
    with pytest.raises(ValueError, match="quantise it when it is loaded"):
        quantised.save_pretrained(tmp_path / "quantised")


@torchao_may_warn
def test_a_quantised_tower_is_saved_and_loaded(scheme, geometry_config, batch, tmp_path):
    torch.manual_seed(0)
    GeomCLIPGeometryModel(GeomCLIPGeometryConfig(**geometry_config.to_dict())).save_pretrained(tmp_path / "exact")
    settings = {"quantization_config": TorchAoConfig(scheme)}
    quantised = GeomCLIPGeometryModel.from_pretrained(tmp_path / "exact", **settings)
    quantised.save_pretrained(tmp_path / "quantised")
    loaded = GeomCLIPGeometryModel.from_pretrained(tmp_path / "quantised")
    inputs = {name: batch[name] for name in ("atom_ids", "positions", "atom_mask")}
    assert_close(loaded(**inputs).last_hidden_state, quantised(**inputs).last_hidden_state, rtol=0, atol=1e-6)
