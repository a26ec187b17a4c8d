"""The training script: settings, batches, optimisation, processes, interruption."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch.testing import assert_close
from transformers import AutoModel, AutoProcessor

from dataset_pubchem3d.recipe import Recipe
from eval.retrieval import evaluate_retrieval
from modeling_geomclip import MISSING_ID, GeomCLIPModel
from train_accelerate import parameter_groups, parse_settings
from training.pretrain import Pretraining, build_model, joint_loss
from training.rows import id_hash, load_prepared

ROOT = Path(__file__).parents[1]
SMILES = ["CCO", "CO", "CCN", "CC(=O)O", "c1ccccc1", "CCCl", "CC#N", "OCC=O", "CCS", "CNC", "C1CC1", "CC=C", "OCCO"]
SMILES += ["NCC=O", "CCBr", "COC", "CCC#C", "C1CCO1"]


@pytest.fixture
def pairs_csv(tmp_path) -> Path:
    path = tmp_path / "pairs.csv"
    rows = [f'"{smiles}",the molecule is an acid {index}' for index, smiles in enumerate(SMILES)]
    path.write_text("\n".join(["smiles,text", *rows]) + "\n")
    return path


@pytest.fixture
def checkpoint(model, processor, tmp_path) -> Path:
    return save_checkpoint(model, processor, tmp_path / "start")


def save_checkpoint(model, processor, folder: Path) -> Path:
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def arguments(checkpoint: Path, pairs_csv: Path, output_dir: Path, **settings) -> list[str]:
    settings = {
        "model": checkpoint,
        "dataset": pairs_csv,
        "output_dir": output_dir,
        "validation_split": "none",
        "batch_size": 8,
        "learning_rate": 1e-3,
        "num_train_epochs": 3,
    } | settings
    return ["pretrain", *(word for name, value in settings.items() for word in (f"--{name}", str(value)))]


def settings_for(checkpoint, pairs_csv, tmp_path, **settings):
    return parse_settings(arguments(checkpoint, pairs_csv, tmp_path / "out", **settings))


# ----------------------------------------------------------------------------------------------------------- settings


def test_flags_override_the_config_file(tmp_path):
    config = tmp_path / "config.yaml"
    config.write_text("learning_rate: 3.0e-4\nbatch_size: 32\nremove_hydrogens: false\n")
    words = ["pretrain", "--dataset", "d", "--output_dir", "o", "--config", str(config), "--batch_size", "16"]
    settings = parse_settings(words)
    assert (settings.learning_rate, settings.batch_size, settings.remove_hydrogens) == (3e-4, 16, False)
    second = tmp_path / "second.yaml"
    second.write_text("learning_rate: 7.0e-4\n")
    assert parse_settings([*words, f"--config={second}"]).learning_rate == 7e-4  # the later file wins
    with pytest.raises(SystemExit):
        parse_settings([*words, "--config"])


def test_unknown_settings_and_tasks_are_refused(tmp_path, capsys):
    config = tmp_path / "config.yaml"
    config.write_text("learning_rat: 3.0e-4\n")
    with pytest.raises(SystemExit, match="pretrain"):
        parse_settings(["pre-train"])
    with pytest.raises((SystemExit, ValueError)):
        parse_settings(["pretrain", "--dataset", "d", "--output_dir", "o", "--config", str(config)])


def test_the_shipped_configs_can_be_read():
    files = sorted((ROOT / "configs").glob("*.yaml"))
    recipes = {"pubchem3d.yaml", "qm9_pairs.yaml"}  # of datasets
    assert recipes < {file.name for file in files}
    for file in files:
        if file.name in recipes:
            Recipe.from_yaml(file)
            continue
        parse_settings(["pretrain", "--config", str(file), "--dataset", "d", "--output_dir", "o"])


def test_a_checkpoint_takes_new_loss_settings_and_keeps_its_shape(checkpoint, pairs_csv, tmp_path):
    settings = settings_for(checkpoint, pairs_csv, tmp_path, denoising_loss_weight=0.25, learnable_temperature="false")
    model, _ = build_model(settings)
    assert model.config.denoising_loss_weight == 0.25
    assert not model.logit_scale.requires_grad
    with pytest.raises(ValueError, match="projection_dim"):
        build_model(settings_for(checkpoint, pairs_csv, tmp_path, projection_dim=8))


def test_a_new_model_from_two_towers(processor, text_config, pairs_csv, tmp_path):
    AutoModel.from_config(text_config).save_pretrained(tmp_path / "text")
    processor.tokenizer.save_pretrained(tmp_path / "text")
    (tmp_path / "tower.json").write_text('{"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 4}')
    words = ["--dataset", "d", "--output_dir", "o", "--temperature", "0.1", "--max_text_tokens", "12"]
    towers = ["--geometry_model", str(tmp_path / "tower.json"), "--text_model", str(tmp_path / "text")]
    model, processor = build_model(parse_settings(["pretrain", *words, *towers]))
    assert model.config.geometry_config.num_hidden_layers == 1
    assert model.logit_scale.exp().item() == pytest.approx(10.0)
    assert processor(text="a " * 50, return_tensors="pt")["input_ids"].shape == (1, 12)


# ------------------------------------------------------------------------------------------------------------ batches


def test_pairs_that_cannot_be_read_are_listed(checkpoint, processor, tmp_path):
    table = tmp_path / "pairs.csv"
    table.write_text("smiles,text\nCCO,ethanol\nC1CC,broken\nCO,methanol\n")
    settings = settings_for(checkpoint, table, tmp_path)
    Path(settings.output_dir).mkdir()
    pairs = load_prepared(settings, processor.feature_extractor, "train", ("text",))
    assert pairs["text"][:] == ["ethanol", "methanol"]
    assert pairs["inchikey14"][:] == ["LFQSCWFLJHTTHZ", "OKKJLVBELUTLKV"]  # ethanol, methanol
    (failure,) = map(json.loads, (tmp_path / "out" / "rejected-train.jsonl").read_text().splitlines())
    assert failure["row"] == 1
    assert "C1CC" in failure["reason"]


def test_noise_seeds_depend_on_seed_epoch_and_row_only(processor):
    molecule = {"atomic_numbers": [6, 8], "positions": [[0.0, 0, 0], [1.4, 0, 0]], "text": "an acid"}
    rows = [{**molecule, "row_id": index, "inchikey14": "A" if index else None} for index in range(4)]
    task = Pretraining(parse_settings(["pretrain", "--dataset", "d", "--output_dir", "o", "--seed", "3"]))
    whole, part = task.collate(processor, rows, 0), task.collate(processor, rows[2:], 0)
    assert torch.equal(whole["noise_seeds"][2:], part["noise_seeds"])
    assert len(set(whole["noise_seeds"].tolist())) == 4
    assert not set(task.collate(processor, rows, 1)["noise_seeds"].tolist()) & set(whole["noise_seeds"].tolist())
    assert whole["molecule_ids"].tolist() == [MISSING_ID] + 3 * [id_hash("A")]
    assert len(set(whole["text_ids"].tolist())) == 1


def test_ids_are_stable_non_negative_int64():
    assert id_hash("ethanol") == id_hash("ethanol") != id_hash("methanol")
    assert 0 <= min(map(id_hash, SMILES)) <= max(map(id_hash, SMILES)) < 2**63


# --------------------------------------------------------------------------------------------------------- optimisation


def test_parameter_groups(config):
    model = GeomCLIPModel(config)
    rates = ["--learning_rate", "1e-3", "--text_learning_rate", "1e-5"]
    settings = parse_settings(["pretrain", "--dataset", "d", "--output_dir", "o", *rates])
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    groups = parameter_groups(model, Pretraining(settings))
    listed = [names[id(parameter)] for group in groups for parameter in group["params"]]
    assert sorted(listed) == sorted(name for name, parameter in model.named_parameters() if parameter.requires_grad)
    for group in groups:
        for name in (names[id(parameter)] for parameter in group["params"]):
            is_free = name.endswith("bias") or "norm" in name.lower() or "embed" in name or "pair_basis" in name
            assert group["weight_decay"] == (0.0 if is_free or name == "logit_scale" else settings.weight_decay), name
            assert group["lr"] == (1e-5 if name.startswith("text_model.") else 1e-3), name
    assert {group["weight_decay"] for group in groups} == {0.0, settings.weight_decay}


def test_one_process_has_the_loss_of_the_model(model, batch):
    model.train()
    ids = {"molecule_ids": torch.tensor([1, 1, 2]), "text_ids": torch.tensor([5, 6, 7])}
    torch.manual_seed(0)
    expected = model(**batch, **ids, noise_seeds=torch.tensor([1, 2, 3]))
    torch.manual_seed(0)
    outputs = model(**batch, noise_seeds=torch.tensor([1, 2, 3]), return_loss=False)
    assert_close(joint_loss(outputs, ids, model.config.denoising_loss_weight)["loss"], expected.loss)


# ---------------------------------------------------------------------------------------------- processes, interruption

# The real script on a double-precision model without dropout; the first gradients are kept.
DOUBLE = """
import sys, torch, train_accelerate
from torch.optim.optimizer import register_optimizer_step_pre_hook
from safetensors.torch import save_file
gradients = {}

class Double(train_accelerate.TASKS[sys.argv[2]]):
    def build(self):
        model, processor = super().build()
        for module in model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
        return model.double(), processor

def keep(optimizer, args, kwargs):
    if not gradients:
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        gradients.update({str(index): p.grad.clone() for index, p in enumerate(parameters)})

register_optimizer_step_pre_hook(keep)
train_accelerate.run(Double(train_accelerate.parse_settings(sys.argv[2:])))
if int(__import__("os").environ.get("RANK", 0)) == 0:
    save_file(gradients, sys.argv[1])
"""


def run(command: list[str], **environment) -> subprocess.CompletedProcess:
    variables = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}
    return subprocess.run(command, env=variables | environment, capture_output=True, text=True, timeout=300)


def losses(output_dir: Path) -> list[dict]:
    lines = [json.loads(line) for line in (output_dir / "log.jsonl").read_text().splitlines()]
    return [line for line in lines if "loss" in line]


@pytest.mark.parametrize("weight", [1.0, 0.0])
def test_two_processes_equal_one(config, processor, pairs_csv, tmp_path, weight):
    config.denoising_loss_weight = weight
    checkpoint = save_checkpoint(GeomCLIPModel(config), processor, tmp_path / "start")
    (tmp_path / "double.py").write_text(DOUBLE)
    launchers = {"one": [sys.executable], "two": [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2"]}
    for name, launcher in launchers.items():
        words = arguments(checkpoint, pairs_csv, tmp_path / name, max_grad_norm=1e9, pair_budget=200)
        script = [str(tmp_path / "double.py"), str(tmp_path / f"{name}.safetensors"), *words]
        port = [] if name == "one" else ["--master_port=29611"]
        result = run([*launcher, *port, *script])
        assert result.returncode == 0, result.stderr[-3000:]
    one, two = losses(tmp_path / "one"), losses(tmp_path / "two")
    assert len(one) == len(two) == 6  # 18 pairs in batches of 8, three epochs
    for a, b in zip(one, two):
        assert ("denoising_loss" in a) == (weight > 0)
        assert a["loss"] == pytest.approx(b["loss"], rel=1e-10)
    gradients = [load_file(tmp_path / f"{name}.safetensors") for name in launchers]
    assert gradients[0]
    for name, expected in gradients[0].items():
        difference = (gradients[1][name] - expected).norm()
        assert difference <= 1e-10 * expected.norm() + 1e-15, name
    weights = [load_file(tmp_path / name / "last" / "model.safetensors") for name in launchers]
    start = load_file(checkpoint / "model.safetensors")
    assert any((weights[0][name] - values).abs().max() > 1e-3 for name, values in start.items())
    for name, expected in weights[0].items():
        assert_close(weights[1][name], expected, rtol=1e-8, atol=1e-8)


def test_a_killed_run_resumes_exactly(checkpoint, pairs_csv, tmp_path):
    command = [sys.executable, str(ROOT / "train_accelerate.py")]

    def words(name: str) -> list[str]:
        settings = {"num_train_epochs": 10, "save_steps": 3, "validation_split": "train[:8]"}
        return arguments(checkpoint, pairs_csv, tmp_path / name, **settings)

    undisturbed = run([*command, *words("undisturbed")])
    assert undisturbed.returncode == 0, undisturbed.stderr[-3000:]
    assert not (tmp_path / "undisturbed" / "states").exists()  # nothing is left to resume
    kill_after(7, [*command, *words("killed")], tmp_path / "killed")
    resumed = run([*command, *words("killed"), "--resume"])
    assert resumed.returncode == 0, resumed.stderr[-3000:]
    expected, actual = losses(tmp_path / "undisturbed"), losses(tmp_path / "killed")
    assert [line["step"] for line in actual] == list(range(1, 21))
    assert actual == expected  # bit by bit, with dropout
    for checkpoint in ("model.safetensors", "last/model.safetensors"):  # the best by validation, and the last
        final = [load_file(tmp_path / name / checkpoint) for name in ("undisturbed", "killed")]
        assert all(torch.equal(final[0][name], final[1][name]) for name in final[0])


def test_the_best_checkpoint_is_chosen_by_validation(checkpoint, pairs_csv, tmp_path):
    words = arguments(checkpoint, pairs_csv, tmp_path / "out", validation_split="train[:8]", num_train_epochs=4)
    result = run([sys.executable, str(ROOT / "train_accelerate.py"), *words, "--learning_rate", "0.3"])  # it diverges
    assert result.returncode == 0, result.stderr[-3000:]
    lines = [json.loads(line) for line in (tmp_path / "out" / "log.jsonl").read_text().splitlines()]
    directions = ("geometry_to_text", "text_to_geometry")
    scores = [
        sum(line[f"{direction}_full_mean_reciprocal_rank"] for direction in directions) / 2
        for line in lines
        if "loss" not in line
    ]
    assert len(scores) == 4
    model, processor = (auto.from_pretrained(tmp_path / "out") for auto in (AutoModel, AutoProcessor))
    settings = settings_for(checkpoint, pairs_csv, tmp_path)
    pairs = load_prepared(settings, processor.feature_extractor, "train[:8]", ("text",))
    metrics = evaluate_retrieval(model, processor, pairs, num_bootstrap=0)["metrics"]["model"]
    best = sum(metrics[f"{direction}_full_mean_reciprocal_rank"] for direction in directions) / 2
    assert best == pytest.approx(max(scores), abs=1e-6)
    assert json.loads((tmp_path / "out" / "train_config.json").read_text())["learning_rate"] == 0.3
    assert "Not evaluated" in (tmp_path / "out" / "README.md").read_text()


def kill_after(num_steps: int, command: list[str], output_dir: Path) -> None:
    """SIGKILL as soon as so many updates are logged and a state is saved."""
    variables = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}
    process = subprocess.Popen(command, env=variables, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    log = output_dir / "log.jsonl"
    while not log.exists() or len(log.read_text().splitlines()) < num_steps:
        assert process.poll() is None, "it ended before it could be killed"
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert list((output_dir / "states").glob("step_*"))


def test_a_state_of_other_settings_is_refused(checkpoint, pairs_csv, tmp_path, monkeypatch):
    command = [sys.executable, str(ROOT / "train_accelerate.py")]
    words = arguments(checkpoint, pairs_csv, tmp_path / "out", num_train_epochs=10, save_steps=3)
    kill_after(7, [*command, *words], tmp_path / "out")
    result = run([*command, *words, "--resume", "--learning_rate", "5e-3"])
    assert result.returncode != 0
    assert "learning_rate" in result.stderr
    state = next((tmp_path / "out" / "states").glob("step_*"))
    state.rename(state.with_name("step_999"))
    result = run([*command, *arguments(checkpoint, pairs_csv, tmp_path / "out", num_train_epochs=1)])
    assert result.returncode == 0, result.stderr[-3000:]
    assert [line["step"] for line in losses(tmp_path / "out")] == [1, 2]  # a new run starts anew


def test_processes_that_do_not_know_of_each_other_are_refused(checkpoint, pairs_csv, tmp_path, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr(train_accelerate, "Accelerator", lambda **kwargs: type("Alone", (), {"num_processes": 1})())
    with pytest.raises(RuntimeError, match="accelerate launch"):
        train_accelerate.build_accelerator(settings_for(checkpoint, pairs_csv, tmp_path))


def test_too_few_pairs_for_a_batch_are_refused(checkpoint, pairs_csv, tmp_path):
    result = run(
        [
            sys.executable,
            str(ROOT / "train_accelerate.py"),
            *arguments(checkpoint, pairs_csv, tmp_path / "o", batch_size=64),
        ]
    )
    assert result.returncode != 0
    assert "18 pairs do not fill one batch of 64" in result.stderr
