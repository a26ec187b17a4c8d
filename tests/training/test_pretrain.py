"""Pre-training: the model that is built, the batches, the loss."""

from pathlib import Path

import pytest
import torch
from datasets import Dataset
from safetensors.torch import load_file
from torch.distributed.fsdp import FSDPModule
from torch.testing import assert_close
from transformers import AutoModel

from modeling_geomclip import MISSING_ID
from training.pretrain import Pretraining, PretrainSettings, build_model, joint_loss
from training.rows import id_hash

WAYS = ("geometry_to_text", "text_to_geometry")


def settings_of(**settings) -> PretrainSettings:
    return PretrainSettings(dataset="d", output_dir="o", **settings)


@pytest.fixture
def checkpoint(model, processor, tmp_path) -> str:
    model.save_pretrained(tmp_path / "start")
    processor.save_pretrained(tmp_path / "start")
    return str(tmp_path / "start")


@pytest.fixture
def text_tower(processor, text_config, tmp_path) -> Path:
    AutoModel.from_config(text_config).save_pretrained(tmp_path / "text")
    processor.tokenizer.save_pretrained(tmp_path / "text")
    return tmp_path / "text"


def test_what_is_left_out_is_recorded_as_scibert():
    assert settings_of().text_model == "allenai/scibert_scivocab_uncased"
    assert settings_of(model="m").text_model is None


def test_a_checkpoint_takes_new_loss_settings_and_keeps_its_shape(checkpoint):
    model, _ = build_model(settings_of(model=checkpoint, denoising_loss_weight=0.25, learnable_temperature=False))
    assert model.config.denoising_loss_weight == 0.25
    assert not model.logit_scale.requires_grad
    with pytest.raises(ValueError, match=r"start has its own projection_dim, max_atoms; leave these settings out"):
        build_model(settings_of(model=checkpoint, projection_dim=8, max_atoms=5))


def test_a_new_model_from_two_towers(text_tower, tmp_path):
    (tmp_path / "tower.json").write_text('{"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 4}')
    towers = {"geometry_model": str(tmp_path / "tower.json"), "text_model": str(text_tower)}
    model, processor = build_model(settings_of(**towers, temperature=0.1, max_text_tokens=12, remove_hydrogens=False))
    assert model.config.geometry_config.num_hidden_layers == 1
    assert model.logit_scale.exp().item() == pytest.approx(10.0)
    assert processor(text="a " * 50, return_tensors="pt")["input_ids"].shape == (1, 12)
    assert not processor.feature_extractor.remove_hydrogens
    given = load_file(text_tower / "model.safetensors")
    for name, weight in model.text_model.named_parameters():
        assert torch.equal(weight, given[name]), name


def test_a_text_learning_rate_of_its_own_and_none(checkpoint):
    task = Pretraining(settings_of(model=checkpoint, learning_rate=1e-3, text_learning_rate=0.0))
    assert task.learning_rate("text_model.embeddings.weight") == 0.0
    assert task.learning_rate("text_projection.weight") == task.learning_rate("geometry_model.x") == 1e-3
    model, _ = task.build()
    assert not any(parameter.requires_grad for parameter in model.text_model.parameters())
    assert model.text_projection.weight.requires_grad
    assert Pretraining(settings_of(learning_rate=1e-3)).learning_rate("text_model.x") == 1e-3


def test_a_locked_text_tower_reads_every_text_once(checkpoint, processor):
    """The batch holds what it said, and the embeddings are those of the texts themselves."""
    molecule = {"atomic_numbers": [6, 8], "positions": [[0.0, 0, 0], [1.4, 0, 0]], "inchikey14": None}
    texts = ["an acid with a long name", "a base", "an acid with a long name", "salt"]
    rows = [{**molecule, "text": text, "row_id": index} for index, text in enumerate(texts)]
    open_task = Pretraining(settings_of(model=checkpoint, batch_size=2))
    locked_task = Pretraining(settings_of(model=checkpoint, batch_size=2, text_learning_rate=0.0))
    model, _ = locked_task.build()
    with torch.no_grad():
        model.text_layer_norm.weight.normal_()
    calls = []
    model.text_model.register_forward_hook(lambda *_: calls.append(1))
    for task in (open_task, locked_task):
        task.prepare(model.train(), Dataset.from_list(rows))
    assert (len(calls), model.training) == (2, True)  # three different texts in batches of two
    locked, given = (task.collate(processor, rows, 0) for task in (locked_task, open_task))
    assert locked.keys() - given.keys() == {"pooled_text"}
    assert given.keys() - locked.keys() >= {"input_ids", "attention_mask"}
    assert_close(locked_task.forward(model, locked).text_embeds, open_task.forward(model, given).text_embeds)
    calls.clear()
    validated = [*texts, "a new one"]
    embeds = [locked_task.embed_texts(model, processor, validated) for _ in range(2)]
    assert len(calls) == 1  # the new one, once
    assert_close(embeds[0], open_task.embed_texts(model, processor, validated))
    assert torch.equal(*embeds)
    assert model.training


def test_noise_seeds_depend_on_seed_epoch_and_row_only(processor):
    molecule = {"atomic_numbers": [6, 8], "positions": [[0.0, 0, 0], [1.4, 0, 0]], "text": "an acid"}
    rows = [{**molecule, "row_id": index, "inchikey14": "A" if index else None} for index in range(4)]
    task = Pretraining(settings_of(seed=3))
    whole, part = task.collate(processor, rows, 0), task.collate(processor, rows[2:], 0)
    assert torch.equal(whole["noise_seeds"][2:], part["noise_seeds"])
    assert len(set(whole["noise_seeds"].tolist())) == 4
    others = [task.collate(processor, rows, 1), Pretraining(settings_of(seed=4)).collate(processor, rows, 0)]
    for other in others:
        assert not set(other["noise_seeds"].tolist()) & set(whole["noise_seeds"].tolist())
    assert whole["molecule_ids"].tolist() == [MISSING_ID] + 3 * [id_hash("A")]
    assert len(set(whole["text_ids"].tolist())) == 1


def test_sharded_towers_run_once_on_every_process(model, batch):
    """Else a process whose batch makes more groups would wait forever for the others' weights."""
    calls = []
    model.geometry_model.register_forward_hook(lambda *_: calls.append("geometry"))
    model.text_model.register_forward_hook(lambda *_: calls.append("text"))
    task = Pretraining(settings_of(pair_budget=1, token_budget=1))
    task.forward(model.eval(), batch)
    assert (calls.count("geometry"), calls.count("text")) == (3, 3)
    calls.clear()
    model.__class__ = type("Sharded", (FSDPModule, type(model)), {})  # as `fully_shard` does
    task.forward(model, batch)
    assert (calls.count("geometry"), calls.count("text")) == (1, 1)


def test_one_process_has_the_loss_of_the_model(model, batch):
    model.train()
    ids = {"molecule_ids": torch.tensor([1, 1, 2]), "text_ids": torch.tensor([5, 6, 7])}
    torch.manual_seed(0)
    expected = model(**batch, **ids, noise_seeds=torch.tensor([1, 2, 3]))
    torch.manual_seed(0)
    outputs = model(**batch, noise_seeds=torch.tensor([1, 2, 3]), return_loss=False)
    assert_close(joint_loss(outputs, ids, model.config.denoising_loss_weight)["loss"], expected.loss)


def test_validation_is_by_the_mean_reciprocal_rank_of_both_directions(model, processor):
    generator = torch.Generator().manual_seed(0)
    rows = [
        {
            "text": f"the molecule is {number}",
            "inchikey14": str(number),
            "atomic_numbers": [6, 6 + number % 3, 7],
            "positions": torch.randn(3, 3, generator=generator).tolist(),
        }
        for number in range(7)
    ]
    score, metrics = Pretraining(settings_of()).validate(model, processor, Dataset.from_list(rows))
    texts = processor(text=[row["text"] for row in rows], return_tensors="pt")
    with torch.no_grad():
        text = model.get_text_features(texts["input_ids"], texts["attention_mask"]).pooler_output
        geometry = model.get_geometry_features(**processor(molecules=rows, return_tensors="pt")).pooler_output
    scores = torch.nn.functional.normalize(geometry, dim=-1) @ torch.nn.functional.normalize(text, dim=-1).T
    ranks = [(each > each.diagonal()[:, None]).sum(dim=1) + 1 for each in (scores, scores.T)]
    assert score == pytest.approx(torch.stack(ranks).double().reciprocal().mean().item(), abs=1e-6)
    assert score == pytest.approx(sum(metrics[f"{way}_full_mean_reciprocal_rank"] for way in WAYS) / 2)
