"""A checkpoint folder works without this package, in a fresh interpreter and an empty directory."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.testing import assert_close
from transformers import AutoModel, AutoProcessor

from geomclip_tools.noise import draw_noise
from modeling_geomclip import (
    GeomCLIPFeatureExtractor,
    GeomCLIPForPropertyPrediction,
    GeomCLIPGeometryModel,
    GeomCLIPModel,
    GeomCLIPProcessor,
)

# Bromochloromethanol without its hydrogens.
MOLECULE = {
    "atomic_numbers": [6, 35, 17, 8],
    "positions": [[0.0, 0.1, 0.2], [1.9, 0.0, -0.3], [-0.8, 1.5, 0.1], [-0.6, -0.9, 1.0]],
}
SMILES = "CC(=O)Nc1ccc(O)cc1"
TEXTS = ["the molecule is an amine", "it is a ring"]
OURS = "modeling_geomclip,dataset_pubchem3d,geomclip_tools"
OF_OTHERS = (
    "adapters_geomclip.py",
    "captioning_geomclip.py",
    "convert_geomclip.py",
    "embedding_geomclip.py",
    "explanation_geomclip.py",
    "grouping_geomclip.py",
    "pretraining_geomclip.py",
    "processing_captioning_geomclip.py",
    "property_geomclip.py",
    "pipeline_geomclip.py",
    "references_geomclip.py",
    "resampler_geomclip.py",
)

# Blocks top-level packages by name, and checks it. Dynamic modules are in `transformers_modules`, so they are allowed.
PREAMBLE = """
import importlib, json, sys
folder, blocked = sys.argv[1], sys.argv[2].split(",")

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in blocked:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Blocker())
for name in blocked:
    try:
        importlib.import_module(name)
    except ModuleNotFoundError:
        continue
    sys.exit(f"{name} can be imported")

import torch
from safetensors.torch import save_file
from transformers import AutoModel, AutoProcessor

torch.set_num_threads(1)

def load(folder):
    model = AutoModel.from_pretrained(folder, trust_remote_code=True).eval()
    return model, AutoProcessor.from_pretrained(folder, trust_remote_code=True)

def embed(model, processor, molecules, texts):
    batch = processor(molecules, texts, return_tensors="pt")
    with torch.no_grad():
        outputs = model(**batch, return_loss=False)
    return {"geometry": outputs.geometry_embeds.contiguous(), "text": outputs.text_embeds.contiguous()}
"""

LOAD_AND_SAVE_AGAIN = (
    PREAMBLE
    + """
molecules, texts = json.loads(sys.stdin.read())
model, processor = load(folder)
assert type(model).__module__.startswith("transformers_modules."), type(model)
save_file(embed(model, processor, molecules, texts), "first.safetensors")
model.save_pretrained("again")
processor.save_pretrained("again")
save_file(embed(*load("again"), molecules, texts), "second.safetensors")
"""
)

WITHOUT_RDKIT = (
    PREAMBLE
    + """
(smiles, molecule), texts = json.loads(sys.stdin.read())
model, processor = load(folder)
save_file(embed(model, processor, molecule, texts), "coordinates.safetensors")
try:
    processor(smiles)
except ValueError as error:
    print(error)
"""
)

PREDICT = (
    PREAMBLE
    + """
from transformers import AutoFeatureExtractor, AutoModelForSequenceClassification

(smiles, molecule), _ = json.loads(sys.stdin.read())
model = AutoModelForSequenceClassification.from_pretrained(folder, trust_remote_code=True)
feature_extractor = AutoFeatureExtractor.from_pretrained(folder, trust_remote_code=True)
with torch.no_grad():
    logits = model(**feature_extractor([smiles, molecule], return_tensors="pt")).logits
save_file({"logits": logits}, "predicted.safetensors")
"""
)

ENCODE = (
    PREAMBLE
    + """
from sentence_transformers import SentenceTransformer

(smiles, molecule), texts = json.loads(sys.stdin.read())
loaded = SentenceTransformer(folder, trust_remote_code=True, device="cpu", local_files_only=True)
found = {"geometry": loaded.encode_document([smiles, molecule]), "text": loaded.encode_query(texts)}
save_file({name: torch.from_numpy(embeds) for name, embeds in found.items()}, "encoded.safetensors")
"""
)

PRETRAIN = (
    PREAMBLE
    + """
from safetensors.torch import load_file
from transformers import AutoModelForPreTraining

model, loading = AutoModelForPreTraining.from_pretrained(folder, trust_remote_code=True, output_loading_info=True)
assert not loading["missing_keys"] and not loading["unexpected_keys"], loading
with torch.no_grad():
    outputs = model.eval()(**load_file("batch.safetensors"))
save_file({"denoising": outputs.denoising_loss, "loss": outputs.loss}, "losses.safetensors")
plain, loading = AutoModel.from_pretrained(folder, trust_remote_code=True, output_loading_info=True)
assert not loading["missing_keys"] and not loading["unexpected_keys"], loading
assert type(plain).__name__ == "GeomCLIPModel", type(plain)
model.save_pretrained("again")
plain.save_pretrained("plain")
AutoModelForPreTraining.from_pretrained("again", trust_remote_code=True)
AutoModel.from_pretrained("plain", trust_remote_code=True)
"""
)


@pytest.fixture
def model(config) -> GeomCLIPModel:
    config.text_config.initializer_range = 0.5  # large, so that different texts have different embeddings
    torch.manual_seed(0)
    return GeomCLIPModel(config).eval()


@pytest.fixture
def checkpoint(model, processor, tmp_path) -> Path:
    folder = tmp_path / "published" / "geomclip"
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


@pytest.fixture
def elsewhere(tmp_path, monkeypatch) -> Path:
    """An empty directory to work in."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def run_script(script: str, checkpoint: Path, blocked: str, cache: Path) -> str:
    """Run a script in a fresh interpreter and return its output; -I isolates it from PYTHONPATH and the directory."""
    finished = subprocess.run(
        [sys.executable, "-I", "-c", script, str(checkpoint), blocked],
        input=json.dumps([[SMILES, MOLECULE], TEXTS]),
        env={**os.environ, "HF_HUB_OFFLINE": "1", "HF_MODULES_CACHE": str(cache)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert finished.returncode == 0, finished.stderr
    return finished.stdout


def embed(model, processor, molecules) -> dict[str, torch.Tensor]:
    batch = processor(molecules, TEXTS, return_tensors="pt")
    with torch.no_grad():
        outputs = model(**batch, return_loss=False)
    return {"geometry": outputs.geometry_embeds, "text": outputs.text_embeds}


def test_without_the_package(model, processor, checkpoint, elsewhere, tmp_path):
    expected = embed(model, processor, [SMILES, MOLECULE])
    assert all((embeds[0] - embeds[1]).norm() > 1e-2 for embeds in expected.values())
    run_script(LOAD_AND_SAVE_AGAIN, checkpoint, OURS, cache=tmp_path / "cache")
    for file in ("first.safetensors", "second.safetensors"):
        assert_close(load_file(elsewhere / file), expected, rtol=0, atol=1e-6)
    assert {file.name for file in (elsewhere / "again").iterdir()} == {file.name for file in checkpoint.iterdir()}
    assert_close(embed(AutoModel.from_pretrained("again"), processor, [SMILES, MOLECULE]), expected, rtol=0, atol=1e-6)


def test_without_rdkit_coordinates_still_work(model, processor, checkpoint, elsewhere, tmp_path):
    printed = run_script(WITHOUT_RDKIT, checkpoint, f"{OURS},rdkit", cache=tmp_path / "cache")
    found = load_file(elsewhere / "coordinates.safetensors")
    assert_close(found, embed(model, processor, MOLECULE), rtol=0, atol=1e-6)
    assert f"molecule 0 ('{SMILES}')" in printed
    assert "pip install rdkit" in printed


def test_sentence_transformers_without_the_package(model, processor, checkpoint, elsewhere, tmp_path):
    run_script(ENCODE, checkpoint, OURS, cache=tmp_path / "cache")
    found = load_file(elsewhere / "encoded.safetensors")
    assert_close(found, embed(model, processor, [SMILES, MOLECULE]), rtol=0, atol=1e-6)


def test_a_predictor_without_the_package(geometry_config, elsewhere, tmp_path):
    folder = tmp_path / "published" / "predictor"
    predictor = GeomCLIPForPropertyPrediction.from_geometry_pretrained(
        GeomCLIPGeometryModel(geometry_config),
        problem_type="regression",
        id2label={0: "gap"},
        label_means=[0.25],
        label_stds=[0.05],
        label_units=["Hartree"],
    )
    extractor = GeomCLIPFeatureExtractor(remove_hydrogens=False)
    predictor.save_pretrained(folder)
    extractor.save_pretrained(folder)
    run_script(PREDICT, folder, OURS, cache=tmp_path / "cache")
    with torch.no_grad():
        expected = predictor.eval()(**extractor([SMILES, MOLECULE], return_tensors="pt")).logits
    assert_close(load_file(elsewhere / "predicted.safetensors")["logits"], expected, rtol=0, atol=1e-6)


def test_pretraining_without_the_package(pretraining_model, processor, elsewhere, tmp_path):
    folder = tmp_path / "published" / "pretrained"
    pretraining_model.save_pretrained(folder)
    batch = dict(processor([SMILES, MOLECULE], TEXTS))
    geometry = [batch[name] for name in ("atom_ids", "positions", "atom_mask")]
    batch |= draw_noise(*geometry, torch.tensor([1, 2]), pretraining_model.config.geometry_config)
    save_file(batch, elsewhere / "batch.safetensors")
    run_script(PRETRAIN, folder, OURS, cache=tmp_path / "cache")
    with torch.no_grad():
        expected = pretraining_model(**batch)
    found = load_file(elsewhere / "losses.safetensors")
    assert_close(found["denoising"], expected.denoising_loss)
    assert_close(found["loss"], expected.loss)
    assert (elsewhere / "again" / "pretraining_geomclip.py").exists()
    assert not (elsewhere / "plain" / "pretraining_geomclip.py").exists()


def test_with_the_package_no_flag_is_needed(model, processor, checkpoint, monkeypatch):
    monkeypatch.chdir(checkpoint.parent)
    loaded, loaded_processor = AutoModel.from_pretrained("geomclip"), AutoProcessor.from_pretrained("geomclip")
    assert (type(loaded), type(loaded_processor)) == (GeomCLIPModel, GeomCLIPProcessor)
    expected = embed(model, processor, [SMILES, MOLECULE])
    assert_close(embed(loaded, loaded_processor, [SMILES, MOLECULE]), expected, rtol=0, atol=1e-6)


def test_a_checkpoint_holds_all_its_code_and_says_nothing_of_this_machine(checkpoint, tmp_path):
    # Saved again after loading, since loading adds the path to a configuration.
    second = checkpoint.with_name("second")
    AutoModel.from_pretrained(checkpoint).save_pretrained(second)
    AutoProcessor.from_pretrained(checkpoint).save_pretrained(second)
    package = Path(sys.modules["modeling_geomclip"].__file__).parent
    for folder in (checkpoint, second):
        texts = {file.name: file.read_text() for file in folder.iterdir() if file.suffix != ".safetensors"}
        code = {name: text for name, text in texts.items() if name.endswith(".py")}
        files = [file for file in package.glob("*.py") if file.name not in ("__init__.py", *OF_OTHERS)]
        assert code == {file.name: file.read_text() for file in files}
        settings = {name: text for name, text in texts.items() if name.endswith(".json")}
        assert settings.keys() >= {"config.json", "processor_config.json", "tokenizer.json", "tokenizer_config.json"}
        assert settings.keys() | code.keys() == texts.keys()
        for name, text in settings.items():
            for value in strings(json.loads(text)):
                assert not Path(value).is_absolute(), f"{folder.name}/{name}: {value}"
                assert str(tmp_path) not in value


def strings(value) -> list[str]:
    """Return all keys and strings of a JSON document."""
    if isinstance(value, dict):
        return [*value, *(text for item in value.values() for text in strings(item))]
    if isinstance(value, list):
        return [text for item in value for text in strings(item)]
    return [value] if isinstance(value, str) else []


def test_the_release_without_the_package(elsewhere, tmp_path):
    release = Path(__file__).resolve().parents[1] / "release" / "geomclip-mini"
    expected = embed(AutoModel.from_pretrained(release), AutoProcessor.from_pretrained(release), [SMILES, MOLECULE])
    run_script(LOAD_AND_SAVE_AGAIN, release, OURS, cache=tmp_path / "cache")
    assert_close(load_file(elsewhere / "first.safetensors"), expected, rtol=0, atol=1e-5)
