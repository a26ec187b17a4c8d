"""Models for pre-training: what they recover, which losses they add, and how they load with and without heads."""

import copy

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.testing import assert_close
from transformers import AutoModel, AutoModelForPreTraining

from geomclip_tools.noise import draw_noise
from modeling_geomclip import (
    GeomCLIPForPreTraining,
    GeomCLIPGeometryForPreTraining,
    GeomCLIPGeometryModel,
    GeomCLIPModel,
)
from modeling_geomclip.geometry_geomclip import centre_positions

GEOMETRY = ("atom_ids", "positions", "atom_mask")
ROTATION = torch.linalg.matrix_exp(torch.tensor([[0.0, 1.0, -2.0], [-1.0, 0.0, 0.5], [2.0, -0.5, 0.0]]))


@pytest.fixture
def pretraining(pretraining_model) -> GeomCLIPForPreTraining:
    return pretraining_model


@pytest.fixture
def noised(batch, geometry_config) -> dict[str, torch.Tensor]:
    """The geometries of the batch, clean and noised."""
    geometry = {name: batch[name] for name in GEOMETRY}
    return geometry | draw_noise(*geometry.values(), torch.tensor([5, 6, 7]), geometry_config)


# ------------------------------------------------------------------------------------------------------------ physics


def test_denoised_coordinates_move_with_the_input(pretraining, batch, noised):
    tower, head = pretraining.geometry_model.double(), pretraining.denoising_head.double()
    matrix = ROTATION.double()
    matrix[0] *= -1  # with a reflection
    positions = batch["positions"].double().masked_fill(~batch["atom_mask"].unsqueeze(-1), 0.0)

    def predict(positions):
        outputs = tower(noised["noised_atom_ids"], positions, batch["atom_mask"], output_pair_representations=True)
        states = head.pair_layer_norm(outputs.delta_pair_representation)
        return head.predict_positions(states, positions, batch["atom_ids"] != 0)

    prediction = predict(positions)
    assert (prediction - positions)[batch["atom_mask"]].norm(dim=-1).max() > 1e-4  # it does move the atoms
    assert_close(predict(positions @ matrix.T), prediction @ matrix.T, rtol=0, atol=1e-9)


def test_losses_do_not_depend_on_the_frame(pretraining, noised):
    pretraining.double()
    exact = {name: value.double() if value.is_floating_point() else value for name, value in noised.items()}
    shift = torch.tensor([3.0, -7.0, 11.0], dtype=torch.float64)
    moved = {name: exact[name] + shift for name in ("positions", "noised_positions")}
    losses = ("loss", "atom_type_loss", "distance_loss", "coordinate_loss", "noised_coordinate_loss")
    here, there = pretraining.denoise(**exact), pretraining.denoise(**exact | moved)
    for name in losses:
        assert_close(there[name], here[name])


def test_noised_atoms_are_centred_and_the_target_moves_with_them(pretraining, noised):
    seen = []
    pretraining.geometry_model.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[1]))
    outputs = pretraining.denoise(**noised)
    atom_mask = noised["atom_mask"]
    (centred,) = seen
    assert centred.sum(dim=1).abs().max() < 1e-5
    targets = outputs.target_positions
    clean, noisy = (centre_positions(noised[name], atom_mask) for name in ("positions", "noised_positions"))
    assert_close(centred, noisy, rtol=0, atol=1e-6)
    assert_close(centre_positions(targets, atom_mask), clean, rtol=0, atol=1e-5)
    assert (targets.sum(dim=1).norm(dim=-1) > 1e-2).all()  # the clean centroid is not revealed
    assert_close((centred - targets)[atom_mask], (noised["noised_positions"] - noised["positions"])[atom_mask])
    for x in (centred, targets):
        assert (x[~atom_mask] == 0).all()


def test_autocast_does_not_round_denoised_coordinates(pretraining, batch):
    head, row_mask = pretraining.denoising_head, batch["atom_ids"] != 0
    weights = torch.randn(3, 9, 9, generator=torch.Generator().manual_seed(0))
    head.coordinate_head = torch.nn.Identity()  # the weights themselves, which autocast leaves as they are
    expected = head.predict_positions(weights.unsqueeze(-1), batch["positions"], row_mask)
    with torch.autocast("cpu", torch.bfloat16):
        predicted = head.predict_positions(weights.unsqueeze(-1), batch["positions"], row_mask)
    assert_close(predicted, expected, rtol=0, atol=1e-6)


def test_molecules_below_three_atoms_give_zero_loss_with_a_graph(geometry_config):
    model = GeomCLIPGeometryForPreTraining(geometry_config)
    atom_ids = torch.tensor([[1, 4, 2, 0], [1, 4, 6, 2]])
    geometry = (atom_ids, torch.randn(2, 4, 3))
    noise = draw_noise(*geometry, model.geometry_model.find_atom_mask(atom_ids), torch.tensor([1, 2]), model.config)
    outputs = model(*geometry, **noise)
    assert outputs.num_chosen == 0
    assert outputs.loss == 0
    outputs.loss.backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


# -------------------------------------------------------------------------------------------------------------- losses


def test_noised_geometries_add_the_denoising_loss(pretraining, batch, noised):
    plain = pretraining(**batch)
    assert plain.denoising_loss is None
    assert_close(plain.loss, plain.contrastive_loss)
    outputs = pretraining(**batch | noised)
    denoised = pretraining.denoise(**noised)
    assert_close(outputs.contrastive_loss, plain.loss)
    assert_close(outputs.denoising_loss, denoised.loss)
    assert outputs.num_chosen == noised["chosen"].sum() == denoised.num_chosen
    assert_close(outputs.loss, plain.loss + pretraining.config.denoising_loss_weight * denoised.loss)
    pretraining.config.denoising_loss_weight = 0.0
    assert pretraining(**batch | noised).denoising_loss is None


def test_unequal_numbers_are_not_pairs_here_either(pretraining, batch, noised):
    texts = {name: batch[name][:2] for name in ("input_ids", "attention_mask")}
    outputs = pretraining(**batch | noised | texts)
    assert outputs.loss is None
    assert outputs.denoising_loss > 0
    with pytest.raises(ValueError, match="on 3 geometries and 2 texts"):
        pretraining(**batch | noised | texts, return_loss=True)


@pytest.mark.parametrize("missing", ["atom_ids", "noised_atom_ids", "noised_positions", "chosen"])
def test_an_incomplete_noised_geometry_is_refused(pretraining, batch, noised, missing):
    gone = {"atom_ids", "positions", "atom_mask"} if missing == "atom_ids" else {missing}
    inputs = {name: values for name, values in (batch | noised).items() if name not in gone}
    with pytest.raises(ValueError, match="pass all of them, or none of the three"):
        pretraining(**inputs)


def test_every_parameter_gets_a_gradient(config, batch, noised):
    model = GeomCLIPForPreTraining(config).train()
    model(**batch | noised).loss.backward()
    assert [name for name, p in model.named_parameters() if p.grad is None] == []


def test_gradient_checkpointing_gives_equal_gradients(config, batch, noised):
    torch.manual_seed(0)
    plain = GeomCLIPForPreTraining(config)
    checkpointed = copy.deepcopy(plain)
    checkpointed.activation_checkpointing_enable()
    for model in (plain, checkpointed):
        torch.manual_seed(7)  # of dropout
        model.train()(**batch | noised).loss.backward()
    assert any(layer.gradient_checkpointing for layer in checkpointed.geometry_model.layers)
    for (name, a), b in zip(plain.named_parameters(), checkpointed.parameters()):
        assert_close(b.grad, a.grad, msg=lambda m, name=name: f"{name}: {m}")


# --------------------------------------------------------------------------------------------------- saving and loading


def load(auto_class, folder):
    model, loading = auto_class.from_pretrained(folder, output_loading_info=True)
    assert not loading["missing_keys"]
    assert not loading["unexpected_keys"]
    return model.eval()


def test_a_pretraining_checkpoint_loads_with_heads_and_without(pretraining, batch, noised, tmp_path):
    pretraining.save_pretrained(tmp_path)
    plain, whole = load(AutoModel, tmp_path), load(AutoModelForPreTraining, tmp_path)
    assert (type(plain), type(whole)) == (GeomCLIPModel, GeomCLIPForPreTraining)
    assert not any("denoising_head" in name for name in plain.state_dict())
    assert_close(plain(**batch).loss, pretraining(**batch).loss)
    assert_close(whole(**batch | noised).loss, pretraining(**batch | noised).loss)


def test_a_pretrained_tower_loads_with_heads_and_without(geometry_config, batch, noised, tmp_path):
    pretraining = GeomCLIPGeometryForPreTraining(geometry_config).eval()
    pretraining.save_pretrained(tmp_path)
    plain, whole = load(AutoModel, tmp_path), load(AutoModelForPreTraining, tmp_path)
    assert (type(plain), type(whole)) == (GeomCLIPGeometryModel, GeomCLIPGeometryForPreTraining)
    geometry = [batch[name] for name in GEOMETRY]
    expected = pretraining.geometry_model(*geometry).last_hidden_state
    assert_close(plain(*geometry).last_hidden_state, expected)
    assert_close(whole(**noised).loss, pretraining(**noised).loss)


def test_config_names_only_the_classes_that_can_load_the_model(pretraining, tmp_path):
    pretraining.save_pretrained(tmp_path / "whole")
    loaded = AutoModel.from_pretrained(tmp_path / "whole")
    assert set(AutoModelForPreTraining.from_pretrained(tmp_path / "whole").config.auto_map) == {
        "AutoConfig",
        "AutoModel",
        "AutoModelForPreTraining",
    }
    loaded.save_pretrained(tmp_path / "plain")  # its configuration remembers the folder it was loaded from
    assert "AutoModelForPreTraining" not in AutoModel.from_pretrained(tmp_path / "plain").config.auto_map
    assert not (tmp_path / "plain" / "pretraining_geomclip.py").exists()


def test_heads_of_older_checkpoints_are_found_and_renamed(pretraining, batch, noised, tmp_path):
    """They were part of the tower: `geometry_model.denoising_head`."""
    pretraining.save_pretrained(tmp_path)
    file = tmp_path / "model.safetensors"
    weights = load_file(file)
    old = {name.replace("denoising_head", "geometry_model.denoising_head"): value for name, value in weights.items()}
    assert old.keys() != weights.keys()
    save_file(old, file, metadata={"format": "pt"})
    assert_close(load(AutoModel, tmp_path)(**batch).loss, pretraining(**batch).loss)
    model = load(AutoModelForPreTraining, tmp_path)
    assert_close(model(**batch | noised).loss, pretraining(**batch | noised).loss)
    model.save_pretrained(tmp_path / "new")
    assert load_file(tmp_path / "new" / "model.safetensors").keys() == weights.keys()


def test_joined_towers_keep_the_heads_of_a_pretrained_one(pretraining, geometry_config, model):
    tower = GeomCLIPGeometryForPreTraining(geometry_config)
    joined = GeomCLIPForPreTraining.from_geometry_text_pretrained(tower, model.text_model, projection_dim=8)
    assert_close(joined.denoising_head.state_dict(), tower.denoising_head.state_dict(), rtol=0, atol=0)
    assert joined.geometry_model is tower.geometry_model
