"""How the captioner's adapters record and check their base."""

import hashlib
import json
import os
import shutil
from pathlib import Path
from unittest.mock import MagicMock

import pytest
from huggingface_hub import constants
from transformers import AutoModel, AutoModelForCausalLM

from modeling_geomclip import GeomCLIPForCaptioning, adapters_geomclip, captioning_geomclip
from modeling_geomclip.adapters_geomclip import weights_sha256


def settings_of(folder: Path, file: str = "config.json") -> dict:
    return json.loads((folder / file).read_text())


def test_an_adapter_names_its_base_and_no_local_path(folders):
    for file, key in (("config.json", "base_model"), ("adapter_config.json", "base_model_name_or_path")):
        assert settings_of(folders / "adapter", file)[key] == "../base"
    assert settings_of(folders / "adapter")["base_sha256"] == weights_sha256(folders / "base")
    AutoModel.from_pretrained(folders / "adapter").save_pretrained(folders / "again")
    for folder in ("adapter", "again"):
        names = {file.name for file in (folders / folder).iterdir()}
        assert {"adapter_model.safetensors", "config.json", "captioning_geomclip.py"} <= names
        assert "model.safetensors" not in names
    for folder in ("base", "merged"):
        settings = settings_of(folders / folder)
        assert (settings["base_model"], settings["base_sha256"]) == (None, None)
    for file in folders.rglob("*.json"):
        assert str(folders) not in file.read_text(), file


def test_the_hash_of_the_weights_by_hand(tmp_path):
    (tmp_path / "adapter_model.safetensors").write_bytes(b"not of the base")
    for letter in "dbgaecfh":  # shards, in no order
        (tmp_path / f"{letter}.safetensors").write_bytes(letter.encode())
    digests = [hashlib.sha256(letter.encode()).digest() for letter in "abcdefgh"]
    assert weights_sha256(tmp_path) == hashlib.sha256(b"".join(digests)).hexdigest()


def move_to_the_hub(folder: Path, cache: Path) -> None:
    """Move a folder to its place in the cache, as if it was downloaded as "me/folder"."""
    repository = cache / f"models--me--{folder.name}"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text("1" * 40)
    shutil.move(folder, repository / "snapshots" / ("1" * 40))


def test_a_base_and_an_adapter_on_the_hub(adapted, generate, tmp_path, monkeypatch):
    adapted.save_pretrained(tmp_path / "adapter", base_model="me/base")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    move_to_the_hub(tmp_path / "base", tmp_path / "cache")
    assert settings_of(tmp_path / "adapter")["base_model"] == "me/base"
    assert settings_of(tmp_path / "adapter", "adapter_config.json")["base_model_name_or_path"] == "me/base"
    loaded = AutoModel.from_pretrained(tmp_path / "adapter")
    assert generate(loaded) == generate(adapted)
    loaded.save_pretrained(tmp_path / "again")
    assert settings_of(tmp_path / "again")["base_model"] == "me/base"
    move_to_the_hub(tmp_path / "adapter", tmp_path / "cache")
    for door in (AutoModel, AutoModelForCausalLM, GeomCLIPForCaptioning):
        assert generate(door.from_pretrained("me/adapter")) == generate(adapted)


def test_generation_settings_belong_to_the_adapter(adapted, tmp_path):
    adapted.generation_config.max_new_tokens = 77
    adapted.save_pretrained(tmp_path / "adapter")
    assert AutoModel.from_pretrained(tmp_path / "adapter").generation_config.max_new_tokens == 77
    assert AutoModel.from_pretrained(tmp_path / "base").generation_config.max_new_tokens is None


def test_uploads_include_the_configuration(adapted, tmp_path, monkeypatch):
    uploaded = []
    monkeypatch.setattr("transformers.modeling_utils.hf_api", MagicMock())
    monkeypatch.setattr("transformers.modeling_utils.create_and_tag_model_card", MagicMock())
    upload = lambda self, folder, *_, **__: uploaded.extend(os.listdir(folder))  # noqa: E731
    monkeypatch.setattr(GeomCLIPForCaptioning, "_upload_modified_files", upload)
    adapted.save_pretrained(tmp_path / "adapter", base_model="me/base", push_to_hub=True)
    assert {"config.json", "adapter_config.json", "adapter_model.safetensors"} <= {*uploaded}


def test_an_adapter_loads_only_onto_its_own_base(adapted, build_captioner, generate, tmp_path):
    adapted.save_pretrained(tmp_path / "adapter")
    base = AutoModel.from_pretrained(tmp_path / "base")
    base.load_adapter(tmp_path / "adapter")
    assert generate(base) == generate(adapted)
    other = build_captioner(seed=4)
    with pytest.raises(ValueError, match=r"belongs to a base .* but those of 'this model' have None"):
        other.load_adapter(tmp_path / "adapter")
    other.save_pretrained(tmp_path / "other")
    message = f"SHA-256 {weights_sha256(tmp_path / 'base')}, but .*other' have {weights_sha256(tmp_path / 'other')}"
    with pytest.raises(ValueError, match=message):
        other.load_adapter(tmp_path / "adapter")
    shutil.rmtree(tmp_path / "base")
    (tmp_path / "other").rename(tmp_path / "base")
    with pytest.raises(ValueError, match="belongs to a base whose weights"):
        AutoModel.from_pretrained(tmp_path / "adapter")


@pytest.mark.parametrize(
    ("base", "base_model"), [("base", None), ("adapter/base", "base"), ("adapter/weights/base", None)]
)
def test_a_missing_base_is_reported(adapted, tmp_path, base, base_model):
    (tmp_path / base).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / "base").rename(tmp_path / base)
    adapted.name_or_path = str(tmp_path / base)
    adapted.save_pretrained(tmp_path / "adapter", base_model=base_model)
    shutil.rmtree(tmp_path / base)
    with pytest.raises(OSError, match=r"needs its base '.*base', but there is no folder .*base; move the base there"):
        AutoModel.from_pretrained(tmp_path / "adapter")


def test_an_adapter_without_the_name_of_its_base_is_refused(adapted, tmp_path):
    adapted.save_pretrained(tmp_path / "adapter")
    settings = settings_of(tmp_path / "adapter") | {"base_model": None}
    (tmp_path / "adapter" / "config.json").write_text(json.dumps(settings))
    with pytest.raises(
        ValueError, match=r"an adapter without base_model in config\.json; save it with save_pretrained"
    ):
        AutoModel.from_pretrained(tmp_path / "adapter")


def test_an_adapter_whose_base_was_never_saved_is_not_saved(captioner, adapted, build_captioner, tmp_path):
    unsaved = build_captioner(seed=4)
    merged = adapted.merge_and_unload()
    for model in (unsaved, merged):
        model.add_adapter(model.lora_config(r=2))
        with pytest.raises(ValueError, match="base was never saved; save the model before you add an adapter to it"):
            model.save_pretrained(tmp_path / "adapter")


def test_a_base_without_safetensors(adapted, tmp_path):
    (tmp_path / "base" / "model.safetensors").rename(tmp_path / "base" / "pytorch_model.bin")
    with pytest.raises(
        ValueError, match=r"base has no \.safetensors files; save the adapter's base with save_pretrained"
    ):
        adapted.save_pretrained(tmp_path / "adapter")


def test_a_whole_model_is_not_saved_beside_an_adapter(adapted, tmp_path):
    adapted.save_pretrained(tmp_path / "adapter")
    with pytest.raises(ValueError, match="adapter holds an adapter whose base is elsewhere; choose another folder"):
        adapted.merge_and_unload().save_pretrained(tmp_path / "adapter")


def test_a_model_without_an_adapter_cannot_be_merged(captioner):
    with pytest.raises(ValueError, match="the model has no adapter to merge; load or add one first"):
        captioner.merge_and_unload()


def test_adapters_need_peft(adapted, captioner, tmp_path, monkeypatch):
    adapted.save_pretrained(tmp_path / "adapter")
    for module in (adapters_geomclip, captioning_geomclip):
        monkeypatch.setattr(module, "is_peft_available", lambda: False)
    with pytest.raises(ImportError, match="adapter holds an adapter, which needs the peft package; pip install peft"):
        GeomCLIPForCaptioning.from_pretrained(tmp_path / "adapter")
    with pytest.raises(ImportError, match="LoRA needs the peft package; pip install peft"):
        captioner.lora_config()
