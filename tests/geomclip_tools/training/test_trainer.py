"""The training loop of every task: optimisation, several processes, interruption and resumption."""

import faulthandler
import gc
import json
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from accelerate import DistributedType, PartialState
from datasets import Dataset
from safetensors.torch import load_file, save_file
from torch.distributed.fsdp import FSDPModule
from torch.nn.parallel import DistributedDataParallel
from torch.optim.optimizer import register_optimizer_step_pre_hook
from torch.testing import assert_close
from transformers import AutoModel, AutoModelForSequenceClassification, AutoProcessor

from geomclip_tools.commands.train import parse_settings
from geomclip_tools.records import describe_hardware
from geomclip_tools.training import trainer
from geomclip_tools.training.steps import ContrastiveStep
from geomclip_tools.training.tasks import TASKS
from modeling_geomclip import GeomCLIPForPreTraining
from tests.geomclip_tools.training.tiny_decoder import save_decoder

ROOT = Path(__file__).parents[3]
SMILES = ["CCO", "CO", "CCN", "CC(=O)O", "c1ccccc1", "CCCl", "CC#N", "OCC=O", "CCS", "CNC", "C1CC1", "CC=C", "OCCO"]
SMILES += ["NCC=O", "CCBr", "COC", "CCC#C", "C1CCO1"]
WEIGHTS = {task: "adapter_model.safetensors" if task == "caption" else "model.safetensors" for task in TASKS}
LOADERS = dict.fromkeys(TASKS, AutoModel) | {"property": AutoModelForSequenceClassification}
# Processes are forked from a server that has imported the trainer. A fork of this process would lack its threads.
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["geomclip_tools.training.trainer", "geomclip_tools.training.tasks"])
TIMEOUT = 180  # s; a run takes five


@pytest.fixture
def pairs_csv(tmp_path) -> Path:
    """Texts of very different lengths and many missing labels, so that processes have different numbers of them."""
    path = tmp_path / "pairs.csv"
    rows = [
        f'"{smiles}",{"an acid with a ring " * (i % 3)}is it {i},{0.1 * i if i % 3 else ""}'
        for i, smiles in enumerate(SMILES)
    ]
    path.write_text("\n".join(["smiles,text,gap", *rows]) + "\n")
    return path


def save_conformers(path: Path) -> Path:
    """Save four more pairs, with two or three conformers each."""
    generator = np.random.default_rng(0)
    rows = []
    for number in range(4):
        conformers = [[[0.0, 0, 0], [1.4, 0, 0], [2.0, *generator.normal(1.2, 0.1, 2)]] for _ in range(2 + number % 2)]
        row = {"atomic_numbers": [6, 6, 8], "positions": conformers[0], "further_positions": conformers[1:]}
        rows.append(row | {"text": f"It is long. It is {number}. It ends. It is a ring.", "smiles": "CCO"})
    Dataset.from_list(rows).to_parquet(path)
    return path


@pytest.fixture
def arguments(pretraining_model, processor, pairs_csv, tmp_path) -> Callable[..., list[str]]:
    """Build the command line of a task on a tiny GeomCLIP."""
    pretraining_model.save_pretrained(tmp_path / "start")
    processor.save_pretrained(tmp_path / "start")
    start = tmp_path / "start"
    own = {
        "pretrain": {"model": start, "pair_budget": 200},
        "pretrain_geometry": {
            "geometry_model": start,
            "bond_order_weight": 1.0,
            "hybridization_weight": 1.0,
            "fingerprint_weight": 0.1,
            "functional_groups_weight": 1.0,
        },
        "property": {"model": start, "targets": "gap", "head_learning_rate": 3e-3},
        "caption": {
            "model": start,
            "decoder": save_decoder(tmp_path / "decoder"),
            "geometry": "lora",
            "num_prefix_tokens": 3,
            "lora_rank": 2,
            "lora_dropout": 0.1,
            "prefix_learning_rate": 3e-3,
        },
    }

    def build(task: str, output_dir: str, **settings) -> list[str]:
        shared = {
            "dataset": pairs_csv,
            "output_dir": tmp_path / output_dir,
            "validation_split": "none",
            "batch_size": 8,
            "learning_rate": 1e-3,
            "num_train_epochs": 3,
        }
        if "further_datasets" in settings:
            settings["further_datasets"] = save_conformers(tmp_path / settings["further_datasets"])
        words = [task]
        for name, value in (shared | own[task] | settings).items():
            words += [f"--{name}", *map(str, value)] if isinstance(value, list) else [f"--{name}={value}"]
        return words

    return build


# --------------------------------------------------------------------------------------------------------- optimisation


def test_parameter_groups(config):
    model = ContrastiveStep(GeomCLIPForPreTraining(config))
    rates = ["--learning_rate", "1e-3", "--text_learning_rate", "1e-5"]
    settings = parse_settings(["pretrain", "--dataset", "d", "--output_dir", "o", *rates])
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    task = TASKS["pretrain"](settings)
    task.config = config
    groups = trainer.group_parameters(model, task)
    listed = [names[id(parameter)] for group in groups for parameter in group["params"]]
    assert sorted(listed) == sorted(name for name, parameter in model.named_parameters() if parameter.requires_grad)
    for group in groups:
        for name in (names[id(parameter)] for parameter in group["params"]):
            is_free = name.endswith("bias") or "norm" in name.lower() or "embed" in name or "pair_basis" in name
            assert group["weight_decay"] == (
                0.0 if is_free or name == "model.logit_scale" else settings.weight_decay
            ), name
            assert group["lr"] == (1e-5 if name.startswith("model.text_model.") else 1e-3), name
    assert {group["weight_decay"] for group in groups} == {0.0, settings.weight_decay}


# ---------------------------------------------------------------------------------------------- processes, interruption


class Unchanged:
    """A task without changes."""


class InDouble:
    """A task in double precision and without dropout, which saves its first gradients."""

    def build(self):
        model, processor = super().build()
        for module in model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
        torch.Tensor.float = torch.Tensor.double  # transformers computes the loss of a language model in float32
        register_optimizer_step_pre_hook(self.keep_gradients)
        torch.distributed.destroy_process_group = destroy_without_ddp
        return model.double(), processor

    def keep_gradients(self, optimizer, args, kwargs):
        path = Path(self.settings.output_dir) / "gradients.safetensors"
        if not path.exists() and int(os.environ.get("RANK", 0)) == 0:
            parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
            save_file({str(index): parameter.grad.clone() for index, parameter in enumerate(parameters)}, path)


class InDoubleOnly(InDouble):
    """A task in double precision and without dropout. Its gradients are not saved, since each process has a part."""

    def keep_gradients(self, optimizer, args, kwargs):
        pass

    def forward(self, model, batch):
        is_sharded = model.training and "ACCELERATE_USE_FSDP" in os.environ  # the whole model is validated
        assert isinstance(model, FSDPModule) == is_sharded
        return super().forward(model, batch)


def destroy_without_ddp(*args, destroy=torch.distributed.destroy_process_group) -> None:
    """Check that no DDP outlives its process group, which would occasionally hang a process."""
    assert not any(issubclass(type(thing), DistributedDataParallel) for thing in gc.get_objects())
    destroy(*args)


SCORES = (0.1, 0.4, 0.2, 0.3)


class Scored:
    """A task whose validation scores are `SCORES`, and which saves every validated model."""

    def validate(self, model, processor, rows):
        _, metrics = super().validate(model, processor, rows)
        output_dir = Path(self.settings.output_dir)
        epoch = len(list(output_dir.glob("after_*")))
        self.save(model, output_dir / f"after_{epoch}", output_dir / f"after_{epoch}")
        return SCORES[epoch], metrics


def read_fsdp_environment() -> dict[str, str]:
    """Return the environment variables that `accelerate launch` sets for the shipped configuration of FSDP2."""
    settings = yaml.safe_load((ROOT / "configs/accelerate/fsdp2.yaml").read_text())["fsdp_config"]
    return {"ACCELERATE_USE_FSDP": "true", **{name.upper(): json.dumps(settings[name]).strip('"') for name in settings}}


def train(words: list[str], errors: Path, change: type, environment: dict[str, str]) -> None:
    """Train a changed task in this process. If it hangs, it prints its stack and exits."""
    faulthandler.dump_traceback_later(TIMEOUT, exit=True)
    os.environ |= {"ACCELERATE_USE_CPU": "true"} | environment
    torch.set_num_threads(1)
    try:
        if "ACCELERATE_USE_FSDP" in environment:  # Accelerate shards weights only in runs on several GPUs
            PartialState(cpu=True)
            PartialState._shared_state["distributed_type"] = DistributedType.MULTI_GPU
        task = type("Changed", (change, TASKS[words[0]]), {})
        trainer.run(task(parse_settings(words)))
    except BaseException:
        errors.write_text(traceback.format_exc())
        raise


@pytest.fixture
def start(tmp_path) -> Callable[..., multiprocessing.Process]:
    """Start a run in its own process."""

    def start(words: list[str], change: type = Unchanged, **environment: str) -> multiprocessing.Process:
        process = PROCESSES.Process(target=train, args=(words, tmp_path / "errors.txt", change, environment))
        process.start()
        return process

    return start


@pytest.fixture
def finish(tmp_path) -> Callable[..., str]:
    """Wait for the processes of a run, check their exit codes and return the error that one of them raised."""

    def finish(*processes: multiprocessing.Process, exitcode: int = 0) -> str:
        for process in processes:
            process.join()
        errors = (tmp_path / "errors.txt").read_text() if (tmp_path / "errors.txt").exists() else ""
        assert [process.exitcode for process in processes] == [exitcode] * len(processes), errors
        return errors

    return finish


def read_log(output_dir: Path) -> list[dict]:
    return [json.loads(line) for line in (output_dir / "log.jsonl").read_text().splitlines()]


def losses(output_dir: Path) -> list[dict]:
    return [line for line in read_log(output_dir) if "loss" in line]


MIXED = {"further_datasets": "conformers.parquet", "dataset_weights": [1.0, 0.5], "num_conformers": 3}
MIXED |= {"ema_decay": 0.9}
MIXED |= {"sentence_sampling": 0.5, "text_layer_decay": 0.8, "text_target_weight": 0.1}
NEIGHBOURS = {"num_neighbours": 2, "max_neighbour_tokens": 16, "neighbour_dropout": 0.4}
CASES = [
    ("pretrain", {"denoising_loss_weight": 1.0}),
    ("pretrain", {"denoising_loss_weight": 0.0}),
    ("pretrain", {"denoising_loss_weight": 0.0, "text_learning_rate": 0}),
    ("pretrain", {"denoising_loss_weight": 1.0, "batch_size": 4, "contrastive_batch_size": 8}),
    ("pretrain", {"denoising_loss_weight": 1.0, "gradient_accumulation_steps": 2}),
    ("pretrain", {"denoising_loss_weight": 0.0, **MIXED}),
    ("pretrain", {"denoising_loss_weight": 0.0, "neighbours": 4, "soft_label_temperature": 0.2}),
    ("pretrain_geometry", {}),
    ("property", {}),
    ("property", {"geometry": "lora", "property_pooling": "sum"}),
    ("caption", {"geometry": "lora"}),
    ("caption", {"geometry": "full", "prefix": "atoms"}),
    ("caption", {"geometry": "frozen", **NEIGHBOURS}),
]


def joint_environments(num_processes: int) -> list[dict[str, str]]:
    """Return the environment variables that `accelerate launch` sets for each process."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    joint = {"WORLD_SIZE": str(num_processes), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    return [joint | {"RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(num_processes)]


SHARDED = [("pretrain_geometry", {}), ("property", {}), CASES[-1]]


def sharded_environments() -> list[dict[str, str]]:
    """Return the environment variables of two processes between which FSDP2 shards the weights."""
    return [environment | read_fsdp_environment() for environment in joint_environments(2)]


@pytest.mark.parametrize("num_processes", [2, pytest.param(4, marks=pytest.mark.slow)])
@pytest.mark.parametrize(("task", "settings"), CASES)
def test_many_processes_equal_one(arguments, start, finish, tmp_path, task, settings, num_processes):
    settings = settings | {"max_grad_norm": 1e9}
    finish(start(arguments(task, "one", **settings), InDouble))
    words = arguments(task, "many", **settings)
    finish(*(start(words, InDouble, **environment) for environment in joint_environments(num_processes)))

    one, many = losses(tmp_path / "one"), losses(tmp_path / "many")
    # 18 pairs, or 20 of a mixture, in batches of 8, three epochs
    assert len(one) == len(many) == 6 // settings.get("gradient_accumulation_steps", 1)
    for a, b in zip(one, many):
        assert task != "pretrain" or ("denoising_loss" in a) == (settings["denoising_loss_weight"] > 0)
        assert a["loss"] == pytest.approx(b["loss"], rel=1e-10)
    gradients = [load_file(tmp_path / name / "gradients.safetensors") for name in ("one", "many")]
    assert any(gradient.norm() > 1e-3 for gradient in gradients[0].values())
    for name, expected in gradients[0].items():
        difference = (gradients[1][name] - expected).norm()
        assert difference <= 1e-10 * expected.norm() + 1e-15, name
    weights = [load_file(tmp_path / name / "last" / WEIGHTS[task]) for name in ("one", "many")]
    assert abs(one[-1]["loss"] / one[0]["loss"] - 1) > 1e-3  # the weights have changed
    for name, expected in weights[0].items():
        assert_close(weights[1][name], expected, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize(
    ("task", "settings"), [CASES[0], *(pytest.param(*case, marks=pytest.mark.slow) for case in SHARDED)]
)
def test_sharded_weights_are_trained_and_saved_as_whole_ones_are(arguments, start, finish, tmp_path, task, settings):
    settings = settings | {"validation_split": "train[:6]"}
    finish(start(arguments(task, "one", **settings), InDoubleOnly))
    words = arguments(task, "sharded", **settings)
    finish(*(start(words, InDoubleOnly, **environment) for environment in sharded_environments()))

    logs = [read_log(tmp_path / name) for name in ("one", "sharded")]
    assert len(logs[0]) == len(logs[1])
    for one, sharded in zip(*logs):
        assert one == pytest.approx(sharded, rel=1e-8)
    weights = [load_file(tmp_path / name / "last" / WEIGHTS[task]) for name in ("one", "sharded")]
    for name, expected in weights[0].items():
        assert_close(weights[1][name], expected, rtol=1e-8, atol=1e-8)
    assert LOADERS[task].from_pretrained(tmp_path / "sharded").eval()


def kill_after(num_steps: int, process: multiprocessing.Process, output_dir: Path) -> None:
    """Kill a process with SIGKILL once `num_steps` updates are logged, and check that it has saved a state."""
    log = output_dir / "log.jsonl"
    while not log.exists() or len(log.read_text().splitlines()) < num_steps:
        assert process.is_alive(), "the run ended before it could be killed"
        time.sleep(0.002)
    process.kill()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert list((output_dir / "states").glob("step_*"))


@pytest.mark.slow
def test_a_run_with_sharded_weights_resumes(arguments, start, finish, tmp_path):
    """Here in one precision and with dropout; equal to 1e-6, because sums of several processes have no fixed order."""
    settings = {"denoising_loss_weight": 1.0, "save_steps": 2}
    for name in ("undisturbed", "killed"):
        words = arguments("pretrain", name, **settings)
        processes = [start(words, **environment) for environment in sharded_environments()]
        if name == "killed":
            kill_after(3, processes[0], tmp_path / name)
            processes[1].kill()
            processes[1].join()
            processes = [start([*words, "--resume"], **environment) for environment in sharded_environments()]
        finish(*processes)
    expected, actual = (losses(tmp_path / name) for name in ("undisturbed", "killed"))
    assert [line["step"] for line in actual] == [*range(1, 7)]
    for one, other in zip(expected, actual):
        assert one == pytest.approx(other, rel=1e-6)


RESUMED = [(task, MIXED if task == "pretrain" else {}) for task in TASKS]


@pytest.mark.parametrize(("task", "settings"), [*RESUMED, ("caption", {"geometry": "frozen", **NEIGHBOURS})])
def test_a_killed_run_resumes_exactly(arguments, start, finish, tmp_path, task, settings):
    settings = settings | {"num_train_epochs": 10, "save_steps": 3, "validation_split": "train[:8]"}
    undisturbed, killed = tmp_path / "undisturbed", tmp_path / "killed"
    finish(start(arguments(task, undisturbed.name, **settings)))
    assert not (undisturbed / "states").exists()  # nothing is left to resume
    kill_after(7, start(arguments(task, killed.name, **settings)), killed)
    finish(start([*arguments(task, killed.name, **settings), "--resume"]))
    expected, actual = losses(undisturbed), losses(killed)
    assert [line["step"] for line in actual] == list(range(1, 21))
    assert actual == expected  # bitwise equal, with dropout
    for checkpoint in (".", "last"):  # the best by validation, and the last
        final = [load_file(output_dir / checkpoint / WEIGHTS[task]) for output_dir in (undisturbed, killed)]
        assert final[0].keys() == final[1].keys()
        assert all(torch.equal(final[0][name], final[1][name]) for name in final[0])
    record = json.loads((killed / "last" / "train_config.json").read_text())
    assert record["seconds"] > 0
    assert record["hardware"] == describe_hardware(1)


@pytest.mark.parametrize("task", TASKS)
def test_the_best_checkpoint_is_chosen_by_validation(arguments, start, finish, tmp_path, task):
    words = arguments(task, "out", validation_split="train[:8]", num_train_epochs=len(SCORES))
    finish(start(words, Scored))
    best, expected, *others = (
        load_file(tmp_path / "out" / name / WEIGHTS[task]) for name in (".", "after_1", "last", "after_2")
    )
    assert all(torch.equal(best[name], weight) for name, weight in expected.items())
    for other in others:
        assert not all(torch.equal(best[name], weight) for name, weight in other.items())
    for folder in (tmp_path / "out", tmp_path / "out" / "last"):
        LOADERS[task].from_pretrained(folder)
        AutoProcessor.from_pretrained(folder)
        assert json.loads((folder / "train_config.json").read_text())["learning_rate"] == 1e-3
        assert "Not evaluated" in (folder / "README.md").read_text()


def test_a_moving_average_is_validated_and_saved_in_place_of_the_weights(arguments, start, finish, tmp_path):
    settings = {
        "batch_size": 16,
        "num_train_epochs": len(SCORES),
        "validation_split": "train[:8]",
    }  # one update per epoch
    for name, decay in (("plain", 0.0), ("average", 0.7)):
        finish(start(arguments("pretrain", name, ema_decay=decay, **settings), Scored))

    def load(run: str, folder: str) -> dict[str, torch.Tensor]:
        return load_file(tmp_path / run / folder / "model.safetensors")

    expected = load("plain", "after_0")
    for epoch in range(1, len(SCORES)):
        weights = load("plain", f"after_{epoch}")
        expected = {name: 0.7 * value + 0.3 * weights[name] for name, value in expected.items()}
        for name, value in load("average", f"after_{epoch}").items():
            assert_close(value, expected[name], rtol=1e-4, atol=1e-6)
    assert (load("plain", "last")["text_projection.weight"] - expected["text_projection.weight"]).abs().max() > 1e-5
    assert all(torch.equal(value, load("average", "after_3")[name]) for name, value in load("average", "last").items())


def last_step(log: Path) -> int:
    """Return the step of the last complete line of a log."""
    lines = [line for line in log.read_text().splitlines(keepends=True) if line.endswith("\n")]
    return json.loads(lines[-1])["step"] if lines else 0


@pytest.mark.slow
def test_a_run_of_two_processes_survives_twenty_kills(arguments, start, finish, tmp_path):
    """It is killed after a random number of updates, every other time while a state is being written."""
    settings = {"num_train_epochs": 90, "save_steps": 2, "validation_split": "train[:8]"}
    undisturbed, killed = tmp_path / "undisturbed", tmp_path / "killed"
    words = arguments("pretrain", undisturbed.name, **settings)
    finish(*(start(words, **environment) for environment in joint_environments(2)))
    words, random = [*arguments("pretrain", killed.name, **settings), "--resume"], np.random.default_rng(0)
    log, partial, torn = killed / "log.jsonl", killed / "states" / "partial", 0
    for number in range(20):
        states = (killed / "states").glob("step_*")
        resumed = max((int(state.name.removeprefix("step_")) for state in states), default=0)
        goal, before = resumed + random.integers(1, 6), log.stat().st_mtime_ns if log.exists() else 0
        processes = [start(words, **environment) for environment in joint_environments(2)]
        while all(process.is_alive() for process in processes):  # at most 20 * 8 of 180 updates, so no run finishes
            if log.exists() and log.stat().st_mtime_ns != before:  # otherwise it is the log of the previous run
                is_wanted = number % 2 == 0 or partial.exists()
                if (step := last_step(log)) >= goal + 3 or (step >= goal and is_wanted):
                    break
            time.sleep(0.0005)
        for process in random.permutation(processes):
            process.kill()
        for process in processes:
            process.join()
            assert process.exitcode == -signal.SIGKILL
        torn += partial.exists()
    assert torn > 0
    (tmp_path / "errors.txt").unlink(missing_ok=True)  # written by a process that outlived the other for a moment
    finish(*(start(words, **environment) for environment in joint_environments(2)))
    assert losses(killed) == losses(undisturbed)
    for checkpoint in (".", "last"):
        final = [load_file(output_dir / checkpoint / "model.safetensors") for output_dir in (undisturbed, killed)]
        assert all(torch.equal(final[0][name], final[1][name]) for name in final[0])


def test_a_state_of_other_settings_is_refused_and_a_new_run_starts_anew(arguments, start, finish, tmp_path):
    words = arguments("pretrain", "out", num_train_epochs=10, save_steps=3)
    kill_after(7, start(words), tmp_path / "out")
    errors = finish(start([*words, "--resume", "--learning_rate=5e-3"]), exitcode=1)
    assert "saved with other settings {'learning_rate': '0.001 -> 0.005'}" in errors
    state = next((tmp_path / "out" / "states").glob("step_*"))
    state.rename(state.with_name("step_999"))
    finish(start(arguments("pretrain", "out", num_train_epochs=1)))
    assert [line["step"] for line in losses(tmp_path / "out")] == [1, 2]


def test_a_finished_run_is_not_trained_again_unless_it_starts_anew(arguments, start, finish, tmp_path):
    words, out = arguments("pretrain", "out", num_train_epochs=1), tmp_path / "out"
    finish(start(words))
    before = {file: file.stat().st_mtime_ns for file in out.rglob("*")}
    finish(start([*words, "--resume"]))
    assert {file: file.stat().st_mtime_ns for file in out.rglob("*")} == before
    errors = finish(start([*words, "--resume", "--learning_rate=5e-3"]), exitcode=1)
    assert "last was saved with other settings {'learning_rate': '0.001 -> 0.005'}" in errors
    kill_after(3, start(arguments("pretrain", "out", num_train_epochs=10, save_steps=1)), out)
    assert not (out / "last").exists()  # otherwise `--resume` would mistake the earlier run for this one
    finish(start([*words, "--resume", "--num_train_epochs=10", "--save_steps=1"]))
    assert [line["step"] for line in losses(out)] == list(range(1, 21))


def test_processes_that_do_not_know_of_each_other_are_refused(arguments, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr(trainer, "Accelerator", lambda **kwargs: type("Alone", (), {"num_processes": 1})())
    with pytest.raises(RuntimeError, match="accelerate launch"):
        trainer.build_accelerator(parse_settings(arguments("pretrain", "out")))


def test_too_few_rows_for_a_batch_are_refused_by_the_command(arguments):
    command = [sys.executable, str(ROOT / "train_accelerate.py"), *arguments("pretrain", "out", batch_size=64)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}
    result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert result.returncode != 0
    assert "18 rows do not fill one batch of 64" in result.stderr
