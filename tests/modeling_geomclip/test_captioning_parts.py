"""An adapter whose base is made of two published models, a GeomCLIP and a decoder."""

import json
import shutil

import pytest
import torch
from transformers import AutoModel, AutoModelForCausalLM

from modeling_geomclip import GeomCLIPForCaptioning
from modeling_geomclip.adapters_geomclip import describe_parts


@pytest.fixture
def released(model, captioner, randomise, tmp_path):
    """The folder of such an adapter, beside those of its parts."""
    model.save_pretrained(tmp_path / "geomclip")
    captioner.decoder.save_pretrained(tmp_path / "decoder")
    parts = describe_parts(model, captioner.decoder, geomclip="../geomclip", decoder="../decoder")
    captioner.save_pretrained(tmp_path / "base")
    captioner.add_adapter(captioner.lora_config(r=2))
    randomise(captioner, "lora_", "modules_to_save")
    captioner.eval().save_pretrained(tmp_path / "released", base_parts=parts)
    shutil.rmtree(tmp_path / "base")
    return tmp_path / "released"


def test_it_writes_the_captions_of_the_model_that_was_saved(released, captioner, generate):
    expected = generate(captioner)
    for door in (AutoModel, AutoModelForCausalLM, GeomCLIPForCaptioning):
        loaded = door.from_pretrained(released)
        assert not loaded.training
        assert generate(loaded) == expected
    assert {file.name for file in released.glob("*.safetensors")} == {"adapter_model.safetensors"}
    assert str(released.parent) not in (released / "config.json").read_text()


def test_it_can_be_moved_saved_again_and_merged(released, captioner, generate, tmp_path):
    expected = generate(captioner)
    (tmp_path / "elsewhere").mkdir()
    for name in ("geomclip", "decoder", "released"):
        shutil.move(tmp_path / name, tmp_path / "elsewhere" / name)
    loaded = AutoModel.from_pretrained(tmp_path / "elsewhere" / "released")
    loaded.save_pretrained(tmp_path / "elsewhere" / "again")
    assert generate(AutoModel.from_pretrained(tmp_path / "elsewhere" / "again")) == expected
    loaded.merge_and_unload().save_pretrained(tmp_path / "merged")
    assert json.loads((tmp_path / "merged" / "config.json").read_text())["base_parts"] is None
    assert generate(AutoModel.from_pretrained(tmp_path / "merged")) == expected


def test_arguments_of_from_pretrained_are_used_or_refused(released):
    loaded = AutoModel.from_pretrained(released, dtype=torch.bfloat16)
    others = [name for name, value in loaded.named_parameters() if value.dtype != torch.bfloat16]
    assert all(".pair_basis." in name for name in others)  # which stays in float32, see `_keep_in_fp32_modules_strict`
    with pytest.raises(ValueError, match=r"no weights of its base to load with \['device_map'\]; merge it"):
        GeomCLIPForCaptioning.from_pretrained(released, device_map="cpu")


def test_another_folder_of_the_same_decoder_can_be_given(released, captioner, generate, tmp_path):
    shutil.move(tmp_path / "decoder", tmp_path / "mine")
    with pytest.raises(
        OSError, match=r"needs its decoder '\.\./decoder', but there is no folder .*; move the decoder there"
    ):
        AutoModel.from_pretrained(released)
    loaded = AutoModel.from_pretrained(released, decoder=str(tmp_path / "mine"))
    assert generate(loaded) == generate(captioner)


@pytest.mark.parametrize("name", ["geomclip", "decoder"])
def test_a_part_with_other_weights_is_refused(released, model, captioner, tmp_path, name):
    part = AutoModel.from_pretrained(tmp_path / name) if name == "geomclip" else captioner.merge_and_unload().decoder
    with torch.no_grad():
        next(value for key, value in part.named_parameters() if key.endswith("weight")).add_(1)
    shutil.rmtree(tmp_path / name)
    part.save_pretrained(tmp_path / name)
    kind = {"geomclip": "geometry", "decoder": "decoder"}[name]
    with pytest.raises(ValueError, match=f"belongs to a {kind} whose weights have SHA-256"):
        AutoModel.from_pretrained(released)
