"""Uni-Mol's checkpoints: conversion in both directions, weights that do not fit, and the order of the symbols.

`test_unimol_parity.py` compares the converted weights with Uni-Mol's own modules.
"""

import argparse
import hashlib
import sys
from pathlib import Path

import pytest
import torch
from torch import nn
from transformers import AutoFeatureExtractor, AutoModelForPreTraining

from geomclip_tools.noise import draw_noise
from geomclip_tools.training.towers import load_feature_extractor, load_geometry_tower
from modeling_geomclip import GeomCLIPForPreTraining, GeomCLIPForPropertyPrediction, GeomCLIPGeometryConfig
from modeling_geomclip.convert_geomclip import (
    UNIMOL_TOOLS,
    list_unimol_names,
    load_tower,
    load_trained_tower,
    load_unimol,
    main,
    reorder_symbols,
    to_unimol,
)
from modeling_geomclip.feature_extraction_geomclip import DICTIONARY, VOCABULARY
from modeling_geomclip.pretraining_geomclip import GeomCLIPGeometryForPreTraining

SHAPE = {"hidden_size": 24, "num_hidden_layers": 3, "num_attention_heads": 6, "intermediate_size": 40}


@pytest.fixture
def tower() -> GeomCLIPGeometryForPreTraining:
    torch.manual_seed(0)
    model = GeomCLIPGeometryForPreTraining(GeomCLIPGeometryConfig(num_gaussians=20, **SHAPE)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            nn.init.normal_(parameter)
        model.geometry_model.embed_tokens.weight[0] = 0  # [PAD]
    return model


@pytest.fixture
def weights(tower) -> dict[str, torch.Tensor]:
    return to_unimol(tower)


@pytest.fixture
def save(tmp_path):
    def save(weights: dict, name: str = "mol_pre_no_h.pt", **beside) -> Path:
        torch.save({"model": weights, **beside}, tmp_path / name)
        return tmp_path / name

    return save


def assert_equal(model: GeomCLIPGeometryForPreTraining, expected: GeomCLIPGeometryForPreTraining) -> None:
    weights = model.state_dict()
    assert weights.keys() == expected.state_dict().keys()
    assert all(torch.equal(weights[name], value) for name, value in expected.state_dict().items())


def test_names_are_those_of_the_published_checkpoint():
    """195 tensors of the encoder, 47,330,754 numbers, and the heads."""
    with torch.device("meta"):
        weights = to_unimol(GeomCLIPGeometryForPreTraining(GeomCLIPGeometryConfig()))
    assert sorted(weights) == sorted(list_unimol_names(15))
    heads = ("lm_head.", "pair2coord_proj.", "dist_head.")
    encoder = {name: value for name, value in weights.items() if not name.startswith(heads)}
    assert (len(encoder), sum(value.numel() for value in encoder.values())) == (195, 47_330_754)
    assert weights["gbf.means.weight"].shape == (1, 128)
    assert weights["gbf.mul.weight"].shape == (961, 1)
    assert weights["encoder.layers.14.self_attn.in_proj.weight"].shape == (1536, 512)


def test_conversion_in_both_directions_is_bit_identical(tower, weights, save, tmp_path, monkeypatch):
    path = save(weights, args=argparse.Namespace(arch="unimol_base"))
    run(monkeypatch, path, tmp_path / "tower")
    loaded = AutoModelForPreTraining.from_pretrained(tmp_path / "tower")
    assert_equal(loaded, tower)
    assert loaded.config.source == "mol_pre_no_h.pt"
    assert loaded.config.source_sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert AutoFeatureExtractor.from_pretrained(tmp_path / "tower").remove_hydrogens
    run(monkeypatch, tmp_path / "tower", tmp_path / "back.pt")
    back = torch.load(tmp_path / "back.pt", weights_only=True)["model"]
    assert back.keys() == weights.keys()
    assert all(torch.equal(back[name], value) for name, value in weights.items())


def run(monkeypatch, *words) -> None:
    monkeypatch.setattr(sys, "argv", ["convert_geomclip", *map(str, words)])
    main()


def test_bare_weights_are_read(tower, weights, tmp_path):
    torch.save(weights, tmp_path / "bare.pt")
    assert_equal(load_unimol(tmp_path / "bare.pt"), tower)


def test_a_captioners_tower_gets_new_heads_for_training(captioner, model, processor, tmp_path):
    captioner.save_pretrained(tmp_path / "captioner")
    with pytest.raises(ValueError, match="captioner has no trained denoising heads; pass the tower or the GeomCLIP"):
        load_trained_tower(tmp_path / "captioner")
    tower, has_heads = load_tower(tmp_path / "captioner")
    assert not has_heads
    assert torch.equal(tower.geometry_model.embed_tokens.weight, model.geometry_model.embed_tokens.weight)
    geometry = dict(processor(molecules=["CCO"] * 8, return_tensors="pt"))
    assert tower(**geometry, **draw_noise(*geometry.values(), torch.arange(8), tower.config)).loss.isfinite()
    pretrained = GeomCLIPForPreTraining(model.config)
    pretrained.save_pretrained(tmp_path / "model")
    heads = pretrained.denoising_head.state_dict()
    loaded = load_trained_tower(tmp_path / "model").denoising_head.state_dict()
    assert all(torch.equal(loaded[name], value) for name, value in heads.items())


def test_a_predictor_has_no_trained_heads(tower, tmp_path, monkeypatch, capsys):
    predictor = GeomCLIPForPropertyPrediction.from_geometry_pretrained(tower, id2label={0: "gap"})
    predictor.save_pretrained(tmp_path / "predictor")
    with pytest.raises(SystemExit):
        run(monkeypatch, tmp_path / "predictor", tmp_path / "no.pt")
    assert "has no trained denoising heads" in capsys.readouterr().err
    assert not (tmp_path / "no.pt").exists()


def test_the_command_reports_errors(tmp_path, monkeypatch, capsys):
    (tmp_path / "text_no_h.pt").write_text("no checkpoint")
    for words, message in ((("text_no_h.pt", "out"), "is not a checkpoint"), (("a", "b"), "exactly one of")):
        with pytest.raises(SystemExit):
            run(monkeypatch, *(tmp_path / word for word in words))
        assert message in capsys.readouterr().err


@pytest.mark.parametrize("content", [{"model": {}}, {"model": {"step": 3}}, [1, 2]])
def test_files_without_weights_are_refused(tmp_path, content):
    torch.save(content, tmp_path / "no.pt")
    with pytest.raises(ValueError, match="holds no weights"):
        load_unimol(tmp_path / "no.pt")


@pytest.mark.parametrize("name", ["gbf_proj.linear2.bias", "encoder.layers.1.fc1.bias", "lm_head.bias"])
def test_every_weight_that_does_not_fit_is_named(weights, save, name):
    weights = dict(weights)
    weights[name] = torch.zeros(len(weights[name]) + 1)
    del weights["dist_head.out_proj.bias"]
    weights["classification_head.weight"] = torch.zeros(2, 2)
    with pytest.raises(ValueError, match="does not fit") as error:
        load_unimol(save(weights))
    message = str(error.value)
    assert "lacks dist_head.out_proj.bias" in message
    assert "has classification_head.weight, which no tower has" in message
    assert f"has {name} of shape" in message
    assert message.count("; it ") == 2


def test_weights_without_an_encoder_are_refused(save):
    with pytest.raises(ValueError, match=r"lacks encoder\.emb_layer_norm\.weight"):
        load_unimol(save({"classifier.weight": torch.zeros(2, 2)}))


# --------------------------------------------------------------------------------------------------- order of symbols


@pytest.mark.parametrize("with_dictionary", [False, True])
def test_the_order_of_unimol_tools_is_corrected(tower, weights, save, tmp_path, with_dictionary):
    """Its dictionary file has another order, but the row of zeros shows the real one."""
    if with_dictionary:
        (tmp_path / "mol.dict.txt").write_text(DICTIONARY.removesuffix(" [MASK]").replace(" ", "\n"))
    path = save(reorder_symbols(weights, VOCABULARY, UNIMOL_TOOLS))
    assert_equal(load_unimol(path), tower)
    given = torch.load(path, weights_only=True)["model"]
    assert not torch.equal(given["gbf.mul.weight"], weights["gbf.mul.weight"])


def test_pairs_of_symbols_follow_their_symbols(weights):
    moved = reorder_symbols(weights, VOCABULARY, UNIMOL_TOOLS)
    for first, second in (("[CLS]", "C"), ("C", "[PAD]"), ("N", "O"), ("[SEP]", "[UNK]")):
        old = VOCABULARY.index(first) * 31 + VOCABULARY.index(second)
        new = UNIMOL_TOOLS.index(first) * 31 + UNIMOL_TOOLS.index(second)
        assert moved["gbf.bias.weight"][new] == weights["gbf.bias.weight"][old]


def test_the_order_is_read_from_a_dictionary_file(tower, weights, save, tmp_path):
    weights = dict(weights)
    weights["embed_tokens.weight"] = weights["embed_tokens.weight"] + 1.0  # no row is 0
    tower.geometry_model.embed_tokens.weight.data += 1.0
    order = [*VOCABULARY[:4], *reversed(VOCABULARY[4:])]
    path = save(reorder_symbols(weights, VOCABULARY, order))
    with pytest.raises(ValueError, match="no row of its embedding is 0") as error:
        load_unimol(path)
    assert "with --vocabulary file" in str(error.value)
    (tmp_path / "own_dict.txt").write_text("".join(f"{symbol} 1\n" for symbol in order))
    assert_equal(load_unimol(path), tower)
    assert_equal(load_unimol(path, str(tmp_path / "own_dict.txt")), tower)
    (tmp_path / "another_dict.txt").write_text("C 1\n")
    with pytest.raises(ValueError, match="2 dictionary files are next to"):
        load_unimol(path)
    with pytest.raises(ValueError, match="not Uni-Mol's; it differs in"):
        load_unimol(path, str(tmp_path / "another_dict.txt"))


def test_an_unknown_order_is_refused_and_can_be_given(tower, weights, save):
    weights = dict(weights)
    weights["embed_tokens.weight"] = weights["embed_tokens.weight"].roll(5, 0)
    path = save(weights)
    with pytest.raises(ValueError, match=r"the rows \[5\] of its embedding are 0"):
        load_unimol(path)
    given = load_unimol(path, "file")
    assert torch.equal(given.geometry_model.embed_tokens.weight, weights["embed_tokens.weight"])


# ----------------------------------------------------------------------------------------------------------- training


def test_training_starts_from_a_checkpoint(tower, weights, save):
    path = str(save(weights))
    assert_equal(load_geometry_tower(path), tower)
    assert load_feature_extractor(path).remove_hydrogens
    assert not load_feature_extractor(path, remove_hydrogens=False).remove_hydrogens
    assert not load_feature_extractor(str(save(weights, "mol_pre_all_h.pt"))).remove_hydrogens
    with pytest.raises(ValueError, match="pass --remove_hydrogens"):
        load_feature_extractor(str(save(weights, "own.pt")))
