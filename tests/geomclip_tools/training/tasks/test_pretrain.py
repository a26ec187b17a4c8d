"""Pre-training: model, batches and losses."""

from pathlib import Path

import pytest
import torch
from datasets import Dataset
from safetensors.torch import load_file
from torch.distributed.fsdp import FSDPModule
from torch.testing import assert_close
from transformers import AutoModel

from geomclip_tools.training.identity import hash_id
from geomclip_tools.training.steps import ContrastiveStep
from geomclip_tools.training.tasks.pretrain import Pretraining, PretrainSettings, build_model
from modeling_geomclip import MISSING_ID, GeomCLIPForPreTraining

WAYS = ("geometry_to_text", "text_to_geometry")


def settings_of(**settings) -> PretrainSettings:
    return PretrainSettings(dataset="d", output_dir="o", **settings)


@pytest.fixture
def checkpoint(pretraining_model, processor, tmp_path) -> str:
    pretraining_model.save_pretrained(tmp_path / "start")
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
    settings = settings_of(model=checkpoint, denoising_loss_weight=0.25, learnable_temperature=False)
    step, _ = Pretraining(settings).build()
    assert step.model.config.denoising_loss_weight == 0.25
    assert not step.model.logit_scale.requires_grad
    with pytest.raises(ValueError, match=r"start already has its own projection_dim, max_atoms; omit these settings"):
        build_model(settings_of(model=checkpoint, projection_dim=8, max_atoms=5))


def test_a_text_folder_without_a_model_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"--text_model is the folder .*, which has no config\.json; pass the folder"):
        build_model(settings_of(text_model=str(tmp_path)))


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
    step, _ = task.build()
    rates = {name.removeprefix("model."): task.choose_learning_rate(name) for name, _ in step.named_parameters()}
    assert {rate for name, rate in rates.items() if name.startswith("text_model.")} == {0.0}
    assert {rate for name, rate in rates.items() if not name.startswith("text_model.")} == {1e-3}
    model = step.model
    assert not any(parameter.requires_grad for parameter in model.text_model.parameters())
    assert model.text_projection.weight.requires_grad
    task = Pretraining(settings_of(model=checkpoint, learning_rate=1e-3))
    task.build()
    assert task.choose_learning_rate("model.text_model.encoder.layer.0.x") == 1e-3


def test_the_learning_rate_falls_from_layer_to_layer(checkpoint):
    task = Pretraining(settings_of(model=checkpoint, learning_rate=1e-3, text_learning_rate=1e-4, text_layer_decay=0.5))
    step, _ = task.build()
    num_layers = step.model.config.text_config.num_hidden_layers
    assert num_layers > 1
    rates = {
        name.removeprefix("model.text_model."): task.choose_learning_rate(name) for name, _ in step.named_parameters()
    }
    assert rates["embeddings.word_embeddings.weight"] == 1e-4 * 0.5**num_layers
    assert rates["encoder.layer.0.output.dense.weight"] == 1e-4 * 0.5 ** (num_layers - 1)
    assert rates[f"encoder.layer.{num_layers - 1}.output.dense.weight"] == 1e-4
    assert rates["model.text_projection.weight"] == rates["model.logit_scale"] == 1e-3


def test_dropout_of_the_text_tower_can_be_another(checkpoint, processor):
    def spread(dropout: float) -> float:
        step, _ = Pretraining(settings_of(model=checkpoint, text_dropout=dropout)).build()
        inputs = processor(text=["an acid with a long name"] * 16, return_tensors="pt")
        return step.train().model.text_model(**inputs).last_hidden_state.std(dim=0).max().item()

    assert spread(0.0) < 1e-6
    assert spread(0.5) > 1e-2


@pytest.mark.parametrize(("precision", "attention"), [("bf16", "eager"), ("no", "sdpa")])
def test_the_attention_of_the_text_tower_suits_the_precision_on_cpus(checkpoint, monkeypatch, precision, attention):
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: False)
    step, _ = Pretraining(settings_of(model=checkpoint, mixed_precision=precision)).build()
    assert step.model.text_model.config._attn_implementation == attention


def test_texts_are_sampled_by_seed_epoch_and_row(processor, config):
    molecule = {"atomic_numbers": [6, 8], "positions": [[0.0, 0, 0], [1.4, 0, 0]], "inchikey14": None}
    text = "An acid. A base. A salt. A ring. A name."
    rows = [{**molecule, "text": text, "row_id": index} for index in range(12)]
    task = Pretraining(settings_of(model="m", sentence_sampling=1.0))
    task.config = config
    batches = [task.collate(processor, rows, epoch) for epoch in (0, 0, 1)]
    assert torch.equal(batches[0]["input_ids"], batches[1]["input_ids"])
    lengths = [batch["attention_mask"].sum(dim=1) for batch in batches]
    assert len(set(lengths[0].tolist())) > 2
    assert not torch.equal(lengths[0], lengths[2])
    assert torch.equal(batches[0]["text_ids"], torch.full((12,), hash_id(text)))  # of the whole text


def test_rows_of_equal_structure_are_no_negatives_among_neighbours(processor, config):
    molecule = {"atomic_numbers": [6, 8], "positions": [[0.0, 0, 0], [1.4, 0, 0]], "inchikey14": None}
    bits = [[3, 1], [1, 3], [1, 4]]
    rows = [{**molecule, "text": str(index), "row_id": index, "fingerprint": on} for index, on in enumerate(bits)]
    batches = []
    for neighbours in (1, 2):
        task = Pretraining(settings_of(model="m", neighbours=neighbours, denoising_loss_weight=0.0))
        task.config = config
        batches.append(task.collate(processor, rows, 0))
        assert task.list_fingerprints(Dataset.from_list(rows)) == (None if neighbours == 1 else bits)
    assert "structure_ids" not in batches[0]
    first, second, third = batches[1]["structure_ids"].tolist()
    assert first == second != third


@pytest.mark.parametrize(
    ("changed", "rule"),
    [
        ({"sentence_sampling": 1.5}, r"--sentence_sampling is 1\.5; it must be in \[0, 1\]"),
        ({"neighbours": 0}, "--neighbours is 0; it must be at least 1"),
        ({"neighbours": 5, "batch_size": 64}, "and divide the batch of 64 rows"),
        ({"text_target_weight": -1.0}, r"--text_target_weight is -1\.0; it must be at least 0"),
        ({"soft_label_temperature": -0.1}, r"--soft_label_temperature is -0\.1; it must be at least 0"),
        ({"text_layer_decay": 0.0}, r"--text_layer_decay is 0\.0; it must be above 0 and at most 1"),
        ({"sentence_sampling": 0.5, "text_learning_rate": 0.0}, "does not work with --text_learning_rate 0"),
    ],
)
def test_text_settings_that_make_no_sense_are_refused(changed, rule):
    with pytest.raises(ValueError, match=rule):
        settings_of(**changed)


def test_a_locked_text_tower_reads_every_text_once(checkpoint, processor):
    """The batch holds the pooled states, and the embeddings equal those of the texts."""
    molecule = {"atomic_numbers": [6, 8], "positions": [[0.0, 0, 0], [1.4, 0, 0]], "inchikey14": None}
    texts = ["an acid with a long name", "a base", "an acid with a long name", "salt"]
    rows = [{**molecule, "text": text, "row_id": index} for index, text in enumerate(texts)]
    open_task = Pretraining(settings_of(model=checkpoint, batch_size=2))
    locked_task = Pretraining(settings_of(model=checkpoint, batch_size=2, text_learning_rate=0.0))
    step, _ = locked_task.build()
    open_task.config, model = step.model.config, step.model
    with torch.no_grad():
        model.text_layer_norm.weight.normal_()
    calls = []
    model.text_model.register_forward_hook(lambda *_: calls.append(1))
    for task in (open_task, locked_task):
        task.prepare(step.train(), Dataset.from_list(rows))
    assert (len(calls), model.training) == (2, True)  # three different texts in batches of two
    locked, given = (task.collate(processor, rows, 0) for task in (locked_task, open_task))
    assert locked.keys() - given.keys() == {"pooled_text"}
    assert given.keys() - locked.keys() >= {"input_ids", "attention_mask"}
    assert_close(locked_task.forward(step, locked).text_embeds, open_task.forward(step, given).text_embeds)
    calls.clear()
    validated = [*texts, "a new one"]
    embeds = [locked_task.embed_texts(model, processor, validated) for _ in range(2)]
    assert len(calls) == 1  # only the new text
    assert_close(embeds[0], open_task.embed_texts(model, processor, validated))
    assert torch.equal(*embeds)
    assert model.training


def test_noise_depends_on_seed_epoch_and_row_only(processor, config):
    molecule = {"atomic_numbers": [6, 8, 7], "positions": [[0.0, 0, 0], [1.4, 0, 0], [0, 1.5, 0]], "text": "an acid"}
    rows = [{**molecule, "row_id": index, "inchikey14": "A" if index else None} for index in range(4)]

    def collate(rows: list[dict], epoch: int, seed: int = 3) -> dict[str, torch.Tensor]:
        task = Pretraining(settings_of(seed=seed))
        task.config = config
        return task.collate(processor, rows, epoch)

    whole, part = collate(rows, 0), collate(rows[2:], 0)
    for name in ("noised_atom_ids", "noised_positions", "chosen"):
        assert torch.equal(whole[name][2:], part[name])
    places = whole["noised_positions"].flatten(1).tolist()
    assert len(set(map(tuple, places))) == 4
    for other in (collate(rows, 1), collate(rows, 0, seed=4)):
        assert not any(row in places for row in other["noised_positions"].flatten(1).tolist())
    assert whole["molecule_ids"].tolist() == [MISSING_ID] + 3 * [hash_id("A")]
    assert len(set(whole["text_ids"].tolist())) == 1


def test_without_a_denoising_loss_nothing_is_noised(processor, config):
    config.denoising_loss_weight = 0.0
    task = Pretraining(settings_of())
    task.config = config
    row = {"row_id": 0, "inchikey14": None, "text": "an acid", "atomic_numbers": [6], "positions": [[0.0, 0, 0]]}
    assert "chosen" not in task.collate(processor, [row], 0)


@pytest.mark.parametrize("weight", [0.0, 0.5])
def test_what_has_no_loss_is_not_trained(checkpoint, processor, weight):
    """DDP fails on trainable parameters without a gradient."""
    task = Pretraining(settings_of(model=checkpoint, denoising_loss_weight=weight, pair_budget=80, token_budget=10))
    step, _ = task.build()
    geometry = {"atomic_numbers": [6, 8, 7], "positions": [[0.0, 0, 0], [1.4, 0, 0], [0, 1.5, 0]]}
    rows = [{**geometry, "text": "an acid " * i, "row_id": i, "inchikey14": None} for i in (1, 2, 3)]
    batch = task.collate(processor, rows, 0)
    task.compute_losses(task.forward(step.train(), batch), batch)["loss"].backward()
    assert [name for name, p in step.named_parameters() if p.requires_grad and p.grad is None] == []
    frozen = [name for name, p in step.named_parameters() if not p.requires_grad]
    assert bool(frozen) == (weight == 0.0)
    assert all("denoising_head" in name for name in frozen)


def test_a_checkpoint_without_heads_gets_new_ones_and_says_so(model, processor, tmp_path, caplog):
    model.save_pretrained(tmp_path / "plain")
    processor.save_pretrained(tmp_path / "plain")
    step, _ = Pretraining(settings_of(model=str(tmp_path / "plain"))).build()
    assert type(step.model) is GeomCLIPForPreTraining
    assert "plain has no denoising heads; they are newly initialised" in caplog.text


def test_sharded_towers_run_once_on_every_process(pretraining_model, batch):
    """Otherwise, a process with more groups would wait forever for the weights of the other processes."""
    calls, model = [], pretraining_model
    model.geometry_model.register_forward_hook(lambda *_: calls.append("geometry"))
    model.text_model.register_forward_hook(lambda *_: calls.append("text"))
    task = Pretraining(settings_of(pair_budget=1, token_budget=1))
    step = ContrastiveStep(model).eval()
    task.forward(step, batch)
    assert (calls.count("geometry"), calls.count("text")) == (3, 3)
    calls.clear()
    step.__class__ = type("Sharded", (FSDPModule, type(step)), {})  # as `fully_shard` does
    task.forward(step, batch)
    assert (calls.count("geometry"), calls.count("text")) == (1, 1)


def test_validation_is_by_the_mean_reciprocal_rank_of_both_directions(pretraining_model, processor):
    generator = torch.Generator().manual_seed(0)
    rows = [
        {
            "text": f"the molecule is {number}",
            "inchikey14": str(number),
            "atomic_numbers": [6, 6 + number % 3, 7],
            "positions": (1.5 * torch.eye(3) + 0.1 * torch.randn(3, 3, generator=generator)).tolist(),
        }
        for number in range(7)
    ]
    model, step = pretraining_model, ContrastiveStep(pretraining_model)
    score, metrics = Pretraining(settings_of()).validate(step, processor, Dataset.from_list(rows))
    texts = processor(text=[row["text"] for row in rows], return_tensors="pt")
    with torch.no_grad():
        text = model.get_text_features(texts["input_ids"], texts["attention_mask"]).pooler_output
        geometry = model.get_geometry_features(**processor(molecules=rows, return_tensors="pt")).pooler_output
    scores = torch.nn.functional.normalize(geometry, dim=-1) @ torch.nn.functional.normalize(text, dim=-1).T
    ranks = [(each > each.diagonal()[:, None]).sum(dim=1) + 1 for each in (scores, scores.T)]
    assert score == pytest.approx(torch.stack(ranks).double().reciprocal().mean().item(), abs=1e-6)
    assert score == pytest.approx(sum(metrics[f"{way}_full_mean_reciprocal_rank"] for way in WAYS) / 2)
