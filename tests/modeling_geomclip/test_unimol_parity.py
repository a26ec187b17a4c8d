"""The geometry tower equals that of PyPI's `unimol_tools`, with the same random weights and our ids.

The Dictionary of `unimol_tools` is not used, because it permutes the special tokens.
"""

import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from modeling_geomclip.configuration_geomclip import GeomCLIPGeometryConfig
from modeling_geomclip.convert_geomclip import map_name, to_unimol
from modeling_geomclip.geometry_geomclip import centre_positions
from modeling_geomclip.pretraining_geomclip import GeomCLIPGeometryForPreTraining

UNIMOL = importlib.util.find_spec("unimol_tools")
pytestmark = [
    pytest.mark.skipif(UNIMOL is None, reason="unimol_tools is not installed (test extra)"),
    pytest.mark.filterwarnings("ignore:`torch.jit.script` is:DeprecationWarning"),  # of unimol_tools' gaussian
]

PAD, MASK = 0, 30


@pytest.fixture
def upstream():
    """Import `unimol_tools.pretrain.unimol` (`TransformerEncoderWithPair`, `GaussianLayer`, `NonLinearHead`).

    The `__init__` files of its packages are skipped, because they import joblib, scikit-learn and more.
    """
    folder = Path(UNIMOL.submodule_search_locations[0])
    for name in ("", ".models", ".pretrain", ".utils"):
        package = ModuleType(f"unimol_tools{name}")
        package.__path__ = [str(folder / name.removeprefix("."))]
        sys.modules[package.__name__] = package
    sys.modules["unimol_tools.utils"] = importlib.import_module("unimol_tools.utils.util")
    yield importlib.import_module("unimol_tools.pretrain.unimol")
    for name in [name for name in sys.modules if name.split(".")[0] == "unimol_tools"]:
        del sys.modules[name]


@pytest.fixture
def ours() -> GeomCLIPGeometryForPreTraining:
    torch.manual_seed(0)
    config = GeomCLIPGeometryConfig(
        hidden_size=48, num_hidden_layers=4, num_attention_heads=6, intermediate_size=40, num_gaussians=128
    )
    model = GeomCLIPGeometryForPreTraining(config).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():  # biases and norms too, which are 0 and 1 at first
            fresh = nn.init.normal_(torch.empty_like(parameter), std=0.15)
            parameter.copy_(fresh + parameter if "norm" in name or "pair_basis" in name else fresh)
        # Some are negative, because the absolute value is used; none is narrow, where rounded distances would show.
        stds = torch.linspace(-1.5, 3.0, config.num_gaussians)
        model.geometry_model.pair_basis.stds.copy_(stds + 0.3 * stds.sign())
    return model


@pytest.fixture
def theirs(upstream, ours):
    config = ours.config
    settings = SimpleNamespace(
        encoder_layers=config.num_hidden_layers,
        encoder_embed_dim=config.hidden_size,
        encoder_ffn_embed_dim=config.intermediate_size,
        encoder_attention_heads=config.num_attention_heads,
        emb_dropout=0.1,
        dropout=0.1,
        attention_dropout=0.1,
        activation_dropout=0.0,
        max_seq_len=512,
        activation_fn="gelu",
        delta_pair_repr_norm_loss=0.01,  # not negative: the delta-pair representation has its LayerNorm
        masked_token_loss=1,
        masked_coord_loss=1,
        masked_dist_loss=1,
    )

    class OurVocabulary:
        def __len__(self) -> int:
            return config.vocab_size

        def pad(self) -> int:
            return PAD

    model = upstream.UniMolModel(settings, OurVocabulary()).eval()
    model.load_state_dict(to_unimol(ours))  # strict: every weight of theirs is one of ours
    assert len(model.state_dict()) == len(ours.state_dict())  # and every weight of ours is one of theirs
    return model


@pytest.fixture
def geometry(batch) -> dict[str, torch.Tensor]:
    atom_ids = batch["atom_ids"].clone()
    atom_ids[0, 2] = MASK
    positions = centre_positions(batch["positions"], batch["atom_mask"])  # [CLS], [SEP] and padding at the origin
    return {"atom_ids": atom_ids, "positions": positions}


def run_theirs(model, atom_ids, positions):
    """Return the outputs of their encoder and of their whole model."""
    encoded = []
    hook = model.encoder.register_forward_hook(lambda module, inputs, outputs: encoded.extend(outputs))
    predicted = model(
        src_tokens=atom_ids,
        src_distance=torch.cdist(positions, positions, compute_mode="donot_use_mm_for_euclid_dist"),
        src_coord=positions,
        src_edge_type=atom_ids.unsqueeze(2) * 31 + atom_ids.unsqueeze(1),
    )
    hook.remove()
    return encoded, predicted


def on_rows(atom_ids, states):
    """Return the entries without padding: rows of a molecule, or pairs of rows."""
    row_mask = atom_ids != PAD
    return states[row_mask] if states.dim() == 3 else states[row_mask.unsqueeze(1) & row_mask.unsqueeze(2)]


def test_tokens_pairs_and_delta_pairs(ours, theirs, geometry):
    atom_ids = geometry["atom_ids"]
    with torch.no_grad():
        (tokens, pairs, delta_pairs, *_), _ = run_theirs(theirs, **geometry)
        outputs = ours.geometry_model(**geometry, output_pair_representations=True)
        our_delta_pairs = ours.denoising_head.pair_layer_norm(outputs.delta_pair_representation)
    for mine, expected in (
        (outputs.last_hidden_state, tokens),
        (outputs.pair_representation, pairs),
        (our_delta_pairs, delta_pairs),
    ):
        mine, expected = on_rows(atom_ids, mine), on_rows(atom_ids, expected)
        assert expected.std(dim=0).min() > 0.05  # entries differ, so that equality means something
        assert_close(mine, expected, rtol=0, atol=1e-5)
    padding = atom_ids == PAD
    assert padding.any()
    assert (outputs.pair_representation[padding] == 0).all()
    assert (outputs.delta_pair_representation[padding] == 0).all()


def test_pair_basis_and_projection(ours, theirs, geometry):
    atom_ids, positions = geometry.values()
    distances = torch.cdist(positions, positions, compute_mode="donot_use_mm_for_euclid_dist")
    edges = atom_ids.unsqueeze(2) * 31 + atom_ids.unsqueeze(1)
    with torch.no_grad():
        basis = theirs.gbf(distances, edges)
        assert_close(ours.geometry_model.pair_basis(atom_ids, positions), basis, rtol=1e-5, atol=1e-5)
        assert_close(ours.geometry_model.pair_projection(basis), theirs.gbf_proj(basis), rtol=0, atol=1e-5)


def test_denoised_coordinates_and_symbols(ours, theirs, geometry):
    atom_ids, positions = geometry.values()
    with torch.no_grad():
        _, (symbols, _, coordinates, *_) = run_theirs(theirs, **geometry)
        outputs = ours.geometry_model(**geometry, output_pair_representations=True)
        head = ours.denoising_head
        delta_pairs = head.pair_layer_norm(outputs.delta_pair_representation)
        predicted = head.predict_positions(delta_pairs, positions, atom_ids != PAD)
    assert (coordinates - positions).norm(dim=-1).max() > 0.05
    assert_close(on_rows(atom_ids, predicted), on_rows(atom_ids, coordinates), rtol=0, atol=1e-5)
    our_symbols = head.atom_type_head(outputs.last_hidden_state)
    assert_close(on_rows(atom_ids, our_symbols), on_rows(atom_ids, symbols), rtol=0, atol=1e-5)


def test_distance_head(ours, theirs):
    states = torch.randn(2, 5, 5, ours.config.num_attention_heads, generator=torch.Generator().manual_seed(0))
    assert_close(ours.denoising_head.distance_head(states), theirs.dist_head(states.clone()), rtol=0, atol=1e-5)


def test_gradients(ours, theirs, geometry):
    atom_ids, positions = geometry.values()
    (tokens, pairs, _, *_), (symbols, _, coordinates, *_) = run_theirs(theirs, **geometry)
    outputs = ours.geometry_model(**geometry, output_pair_representations=True)
    head = ours.denoising_head
    delta_pairs = head.pair_layer_norm(outputs.delta_pair_representation)
    predicted = head.predict_positions(delta_pairs, positions, atom_ids != PAD)
    our_symbols = head.atom_type_head(outputs.last_hidden_state)

    def scalar(*states: torch.Tensor) -> torch.Tensor:
        return sum(on_rows(atom_ids, x).pow(2).mean() for x in states)

    scalar(tokens, pairs, symbols, coordinates).backward()
    scalar(outputs.last_hidden_state, outputs.pair_representation, our_symbols, predicted).backward()
    parameters = dict(ours.named_parameters())
    compared = 0
    for name, parameter in theirs.named_parameters():
        if not name.startswith("dist_head"):  # given different inputs, see GeomCLIPDistanceHead
            expected = parameter.grad.reshape(parameters[map_name(name)].shape)
            assert expected.abs().max() > 1e-8, name
            tolerance = 1e-5 * max(1.0, expected.abs().max().item())
            assert_close(parameters[map_name(name)].grad, expected, rtol=1e-4, atol=tolerance, msg=name)
            compared += 1
    assert compared == len(parameters) - 6  # weight and bias of three layers
