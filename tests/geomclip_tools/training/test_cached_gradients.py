"""Cached gradients equal those of the whole batch, with the memory of one chunk."""

from contextlib import nullcontext
from types import SimpleNamespace

import pytest
import torch
from torch.testing import assert_close

from dataset_pubchem3d.chemistry.fingerprints import FINGERPRINT_SIZE
from dataset_pubchem3d.chemistry.structure import FUNCTIONAL_GROUPS
from geomclip_tools.noise import draw_noise
from geomclip_tools.training.cached_gradients import cached_backward, split_batch
from geomclip_tools.training.steps import ContrastiveStep, combine_losses
from geomclip_tools.training.structure_labels import NUM_ELEMENTS
from geomclip_tools.training.tasks.pretrain import Pretraining, PretrainSettings
from modeling_geomclip import MISSING_ID

# One process, whose gradients need no averaging.
ACCELERATOR = SimpleNamespace(
    backward=lambda loss: loss.backward(), no_sync=lambda model: nullcontext(), unwrap_model=lambda model: model
)
SIZES = [7, 2, 9, 3, 5, 8]
TARGETS = {"text_target_weight": 0.3, "soft_label_temperature": 0.2}


@pytest.fixture
def step(pretraining_model) -> ContrastiveStep:
    return ContrastiveStep(pretraining_model, has_text_targets=True).double().train()


@pytest.fixture
def pairs(geometry_config) -> dict[str, torch.Tensor]:
    """Six pairs of very different sizes. Two share a molecule and two share a text, across chunks."""
    generator = torch.Generator().manual_seed(0)
    atom_ids = torch.zeros(6, 11, dtype=torch.long)
    for row, size in enumerate(SIZES):
        atom_ids[row, : size + 2] = torch.tensor([1, *torch.randint(4, 29, (size,), generator=generator), 2])
    lengths = torch.tensor([3, 6, 2, 4, 6, 5])
    attention_mask = (torch.arange(6) < lengths[:, None]).long()
    geometry = {
        "atom_ids": atom_ids,
        "positions": 1.5 * torch.randn(6, 11, 3, generator=generator).double(),
        "atom_mask": atom_ids >= 3,
    }
    return {
        **geometry,
        **draw_noise(*geometry.values(), torch.arange(6), geometry_config),
        "input_ids": torch.randint(5, 60, (6, 6), generator=generator) * attention_mask,
        "attention_mask": attention_mask,
        "fingerprint": (torch.rand(6, FINGERPRINT_SIZE, generator=generator) < 0.01).double(),
        "functional_groups": torch.randint(3, (6, len(FUNCTIONAL_GROUPS)), generator=generator).double(),
        "elements": torch.randint(3, (6, NUM_ELEMENTS), generator=generator).double(),
        "molecule_ids": torch.tensor([1, 2, 3, 1, MISSING_ID, MISSING_ID]),
        "text_ids": torch.tensor([1, 2, 3, 4, 5, 2]),
    }


def task_of(**settings) -> Pretraining:
    task = Pretraining(PretrainSettings(dataset="d", output_dir="o", model="m", **TARGETS, **settings))
    task.config = SimpleNamespace(denoising_loss_weight=0.7)
    return task


def gradients_of(model, backward) -> tuple[dict, dict]:
    model.zero_grad()
    losses = backward()
    return losses, {name: parameter.grad for name, parameter in model.named_parameters() if parameter.requires_grad}


@pytest.mark.parametrize("num_parts", [2, 3, 6])
def test_without_dropout_they_are_those_of_the_plain_batch(step, pairs, num_parts):
    task = task_of(batch_size=6)
    for module in step.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    expected, whole = gradients_of(step, lambda: task.backward(ACCELERATOR, step, pairs))
    parts = split_batch(pairs, num_parts)
    actual, cached = gradients_of(step, lambda: cached_backward(task.forward, 0.7, 0.3, 0.2, ACCELERATOR, step, parts))
    names = {"loss", "contrastive_loss", "denoising_loss", "text_target_loss", "temperature"}
    assert expected.keys() == actual.keys() == names
    for name, loss in expected.items():
        assert_close(actual[name], loss, rtol=1e-12, atol=0, check_dtype=False)
    assert whole.keys() == cached.keys()
    for name, gradient in whole.items():
        assert (cached[name] - gradient).norm() <= 1e-10 * gradient.norm() + 1e-15, name
    assert whole["model.logit_scale"].abs() > 1e-4


def test_with_dropout_they_are_those_of_the_parts_in_one_graph(step, pairs):
    task, parts = task_of(batch_size=2, contrastive_batch_size=6), split_batch(pairs, 3)

    def in_one_graph() -> dict:
        seeds = torch.randint(2**63 - 1, (3,)).tolist()
        outputs = []
        for part, seed in zip(parts, seeds):
            torch.manual_seed(seed)
            outputs.append(task.forward(step, part))
        whole = SimpleNamespace(logit_scale=outputs[0].logit_scale)
        whole.geometry_embeds = torch.cat([output.geometry_embeds for output in outputs])
        whole.text_embeds = torch.cat([output.text_embeds for output in outputs])
        whole.num_chosen = torch.stack([output.num_chosen for output in outputs]).sum()
        total = torch.stack([output.denoising_loss * output.num_chosen for output in outputs]).sum()
        whole.denoising_loss = total / whole.num_chosen
        whole.text_target_loss = torch.stack([output.text_target_loss for output in outputs]).mean()
        losses = combine_losses(whole, pairs, 0.7, 0.3, 0.2)
        losses["loss"].backward()
        return losses

    torch.manual_seed(3)
    expected, whole = gradients_of(step, in_one_graph)
    torch.manual_seed(3)
    actual, cached = gradients_of(step, lambda: task.backward(ACCELERATOR, step, pairs))
    assert actual["loss"].item() == pytest.approx(expected["loss"].item(), rel=1e-12)
    for name, gradient in whole.items():
        assert (cached[name] - gradient).norm() <= 1e-10 * gradient.norm() + 1e-15, name
    _, other = gradients_of(step, lambda: task.backward(ACCELERATOR, step, pairs))
    assert (
        other["model.geometry_projection.weight"] - whole["model.geometry_projection.weight"]
    ).norm() > 1e-3  # dropout changes them


def test_a_graph_holds_one_part_and_no_padding_that_all_of_it_has(step, pairs):
    seen = []
    step.register_forward_pre_hook(
        lambda _, part, flags: seen.append((torch.is_grad_enabled(), *part[0]["atom_ids"].shape, flags["denoise"])),
        with_kwargs=True,
    )
    task_of(batch_size=2, contrastive_batch_size=6).backward(ACCELERATOR, step, pairs)
    assert seen == [(graph, 2, width, graph) for graph in (False, True) for width in (9, 11, 10)]


@pytest.mark.parametrize("side", ["left", "right"])
def test_a_part_is_cut_to_its_longest_text_wherever_the_tokenizer_pads(pairs, side):
    if side == "left":
        pairs = pairs | {name: pairs[name].flip(1) for name in ("input_ids", "attention_mask")}
    for part, rows in zip(split_batch(pairs, 6), range(6)):
        length = int(pairs["attention_mask"][rows].sum())
        assert part["attention_mask"].tolist() == [[1] * length]
        tokens = pairs["input_ids"][rows]
        assert torch.equal(part["input_ids"][0], tokens[pairs["attention_mask"][rows] == 1])


def test_what_does_not_split_evenly_is_refused(pairs):
    with pytest.raises(ValueError, match="size is 100; it must be a multiple of --batch_size 64, such as 64"):
        task_of(contrastive_batch_size=100)
    with pytest.raises(ValueError, match="size is 32; it must be a multiple of --batch_size 64, such as 64"):
        task_of(contrastive_batch_size=32)
    with pytest.raises(ValueError, match="6 pairs per process do not split into 4 equal chunks"):
        split_batch(pairs, 4)
