"""Adapters, merged and whole captioners give the same captions, wherever they are stored."""

import json
import os
import subprocess
import sys

import pytest
from safetensors.torch import save_file
from transformers import AutoModel, AutoModelForCausalLM

from modeling_geomclip import GeomCLIPForCaptioning

DOORS = (AutoModel, AutoModelForCausalLM, GeomCLIPForCaptioning)

REMOTE = """
import sys
from safetensors.torch import load_file
from transformers import AutoModel, AutoModelForCausalLM

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "modeling_geomclip":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Blocker())
inputs = load_file(sys.argv[1])

def captions(door, folder):
    model = door.from_pretrained(folder, trust_remote_code=True)
    assert type(model).__module__.startswith("transformers_modules."), type(model)
    print(model.generate(**inputs, max_new_tokens=8, do_sample=False).tolist())
    return model

for number, folder in enumerate(sys.argv[2:]):
    captions(AutoModelForCausalLM, folder)
    captions(AutoModel, folder).save_pretrained(f"again_{number}")
    captions(AutoModel, f"again_{number}")
"""


@pytest.mark.parametrize("door", DOORS)
def test_adapter_merged_and_whole_give_the_same_captions(adapted, folders, generate, door):
    expected = generate(adapted)  # merged by now
    assert generate(door.from_pretrained(folders / "adapter")) == expected
    assert generate(door.from_pretrained(folders / "merged")) == expected
    assert generate(door.from_pretrained(folders / "adapter").merge_and_unload()) == expected
    base = generate(door.from_pretrained(folders / "base"))
    assert all(caption != other for caption, other in zip(base, expected))


def test_merging_changes_no_caption(adapted, generate):
    expected = generate(adapted)
    assert generate(adapted.merge_and_unload()) == expected
    assert not any("lora_" in name or "modules_to_save" in name for name, _ in adapted.named_parameters())


@pytest.mark.parametrize("geometry", ["lora", "full"])
@pytest.mark.filterwarnings("ignore:fan_in_fan_out")
@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_adapters_of_the_geometry_tower_too(build_captioner, randomise, generate, tmp_path, family, geometry):
    model = build_captioner(family)
    model.save_pretrained(tmp_path / "base")
    model.add_adapter(model.lora_config(geometry, r=2))
    randomise(model, "lora_", "modules_to_save.default.layers")
    expected = generate(model.eval())
    model.save_pretrained(tmp_path / "adapter")
    assert generate(AutoModel.from_pretrained(tmp_path / "adapter")) == expected
    model.merge_and_unload().save_pretrained(tmp_path / "merged")
    assert generate(AutoModel.from_pretrained(tmp_path / "merged")) == expected


@pytest.mark.parametrize("family", ["llama", "gpt2", "opt", "qwen2"])
def test_all_decoder_families_are_saved_and_loaded(build_captioner, randomise, generate, tmp_path, family):
    model = build_captioner(family)
    model.save_pretrained(tmp_path / "base")
    model.add_adapter(model.lora_config(r=2))
    randomise(model, "lora_")
    expected = generate(model.eval())
    model.save_pretrained(tmp_path / "adapter")
    loaded = AutoModel.from_pretrained(tmp_path / "adapter")
    assert generate(loaded) == expected
    loaded.merge_and_unload().save_pretrained(tmp_path / "merged")
    assert generate(AutoModel.from_pretrained(tmp_path / "merged")) == expected


@pytest.mark.parametrize("base", ["base", "adapter", "adapter/base", "adapter/weights/of/base"])
def test_folders_may_move_together(adapted, generate, tmp_path, monkeypatch, base):
    (tmp_path / base).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / "base").rename(tmp_path / base)
    adapted.name_or_path = str(tmp_path / base)
    monkeypatch.chdir(tmp_path)
    adapted.save_pretrained("adapter")
    expected = generate(adapted)
    moved = tmp_path / "far" / "away"
    moved.mkdir(parents=True)
    for name in {"adapter", base.partition("/")[0]}:
        (tmp_path / name).rename(moved / name)
    assert generate(AutoModel.from_pretrained("far/away/adapter")) == expected
    monkeypatch.chdir(moved / "adapter")
    assert generate(GeomCLIPForCaptioning.from_pretrained(".")) == expected


def test_a_base_with_a_relative_path_is_found_from_another_directory(adapted, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model = AutoModel.from_pretrained("base")
    again = AutoModel.from_pretrained("base")
    again.save_pretrained("again")
    monkeypatch.chdir("/")
    for number, named in enumerate((model, again)):
        named.add_adapter(named.lora_config(r=2))
        named.save_pretrained(tmp_path / str(number))
    configs = [json.loads((tmp_path / name / "config.json").read_text()) for name in "01"]
    assert [config["base_model"] for config in configs] == ["../base", "../again"]


def test_as_remote_code(adapted, folders, batch, generate, tmp_path):
    order = batch["attention_mask"].argsort(dim=1, stable=True)
    prompts = {name: batch[name].gather(1, order) for name in ("input_ids", "attention_mask")}
    save_file(batch | prompts, tmp_path / "inputs.safetensors")
    (tmp_path / "elsewhere").mkdir()
    finished = subprocess.run(
        [sys.executable, "-I", "-c", REMOTE, *map(str, (tmp_path / "inputs.safetensors", "../adapter", "../merged"))],
        cwd=tmp_path / "elsewhere",
        env={**os.environ, "HF_MODULES_CACHE": str(tmp_path / "cache")},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert finished.returncode == 0, finished.stderr
    assert [json.loads(line) for line in finished.stdout.splitlines()] == [generate(adapted)] * 6
