"""The towers and the joint model: physics, losses, precision, saving and loading."""

import copy

import pytest
import torch
from torch.testing import assert_close
from transformers import AutoModel, BertConfig, DistilBertConfig, ModernBertConfig, RobertaConfig
from transformers.utils.generic import can_return_loss

from modeling_geomclip import (
    GeomCLIPConfig,
    GeomCLIPForPreTraining,
    GeomCLIPGeometryConfig,
    GeomCLIPGeometryModel,
    GeomCLIPModel,
    contrastive_loss,
)

TEXT_TOWERS = {
    "bert": BertConfig(vocab_size=64, hidden_size=24, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32),
    "roberta": RobertaConfig(
        vocab_size=64,
        hidden_size=24,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=40,
    ),
    "distilbert": DistilBertConfig(vocab_size=64, dim=24, n_layers=2, n_heads=2, hidden_dim=32),
    "modernbert": ModernBertConfig(
        vocab_size=64,
        hidden_size=24,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        pad_token_id=0,
        cls_token_id=1,
        sep_token_id=2,
        bos_token_id=1,
        eos_token_id=2,
    ),
}


def rotation(seed: int) -> torch.Tensor:
    """Return a proper rotation matrix (3, 3)."""
    q, r = torch.linalg.qr(torch.randn(3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)))
    q = q * r.diagonal().sign()
    q[:, 0] *= torch.linalg.det(q)
    return q.float()


def embed(model, batch, **changes):
    inputs = {name: batch[name] for name in ("atom_ids", "positions", "atom_mask")} | changes
    with torch.no_grad():
        return model.get_geometry_features(**inputs).pooler_output


# ------------------------------------------------------------------------------------------------------------ physics


@pytest.mark.parametrize("pooling", ["mean", "cls", "counting", "attention"])
def test_embedding_ignores_rotation_translation_and_reflection(config, batch, pooling):
    config.geometry_pooling = pooling
    model = GeomCLIPModel(config).eval()
    reference = embed(model, batch)
    assert (reference[0] - reference[1]).norm() > 1e-2  # different molecules differ, so that equality means something
    moved = batch["positions"] @ rotation(3).T + torch.tensor([3.0, -7.0, 11.0])
    mirrored = batch["positions"] * torch.tensor([-1.0, 1.0, 1.0])
    assert_close(embed(model, batch, positions=moved), reference, rtol=0, atol=1e-5)
    assert_close(embed(model, batch, positions=mirrored), reference, rtol=0, atol=1e-5)


def test_embedding_depends_on_geometry(model, batch):
    positions = batch["positions"].clone()
    positions[:, 2] += 0.3
    assert (embed(model, batch, positions=positions) - embed(model, batch)).norm(dim=-1).min() > 1e-4


def test_embedding_ignores_atom_order(model, batch):
    order = torch.tensor([0, 4, 2, 7, 1, 6, 3, 5, 8])  # of the first molecule's atoms, rows 1 to 7
    first = {name: values[:1] for name, values in batch.items()}
    shuffled = {name: first[name][:, order] for name in ("atom_ids", "positions", "atom_mask")}
    assert_close(embed(model, shuffled), embed(model, first), rtol=0, atol=1e-5)


def test_embedding_ignores_padding_and_batch_mates(model, batch):
    together = embed(model, batch)
    for row, size in enumerate([9, 7, 5]):
        alone = {name: values[row : row + 1, :size] for name, values in batch.items()}
        assert_close(embed(model, alone)[0], together[row], rtol=0, atol=1e-5)


def test_positions_of_special_and_padded_rows_are_not_read(model, batch):
    positions = batch["positions"].clone()
    positions[~batch["atom_mask"]] = 1e3
    assert torch.equal(embed(model, batch, positions=positions), embed(model, batch))


def test_atom_mask_is_found_from_the_ids(model, batch):
    assert torch.equal(embed(model, batch, atom_mask=None), embed(model, batch))


# ----------------------------------------------------------------------------------------------------- losses, training


def without_dropout(model):
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    return model


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("pooling", ["mean", "cls", "counting", "attention"])
def test_rows_that_pooling_does_not_read_change_nothing(config, batch, pooling, checkpointing):
    config.geometry_pooling = pooling
    config.geometry_config.hidden_dropout_prob = config.geometry_config.attention_probs_dropout_prob = 0.0
    model = GeomCLIPModel(config).double().train()
    if checkpointing:
        model.activation_checkpointing_enable()
    inputs = {name: batch[name] for name in ("atom_ids", "positions", "atom_mask")}
    embeds, gradients = [], []
    for only_pooled in (False, True):
        output = model.get_geometry_features(**inputs, only_pooled=only_pooled)
        model.zero_grad()
        output.pooler_output.square().mul(torch.arange(output.pooler_output.shape[1])).sum().backward()
        embeds.append(output.pooler_output)
        gradients.append({name: value.grad for name, value in model.named_parameters() if value.grad is not None})
    assert output.last_hidden_state.shape[1] == (1 if pooling == "cls" else batch["atom_ids"].shape[1])
    assert_close(embeds[1], embeds[0], rtol=1e-10, atol=1e-12)
    assert_close(gradients[1], gradients[0], rtol=1e-8, atol=1e-10)


def test_pair_representations_need_every_row(model, batch):
    inputs = {name: batch[name] for name in ("atom_ids", "positions", "atom_mask")}
    with pytest.raises(ValueError, match="pair representations need every row; pass cls_only=False"):
        model.geometry_model(**inputs, output_pair_representations=True, cls_only=True)


def test_temperature_starts_as_set_and_is_bounded(config, batch):
    config.temperature = 0.1
    model = GeomCLIPModel(config)
    assert_close(model(**batch).logit_scale.item(), 10.0)
    model.train()
    with torch.no_grad():
        model.logit_scale.fill_(9.0)
    outputs = model(**batch)
    assert_close(outputs.logit_scale.item(), 100.0)
    outputs.loss.backward()
    assert model.logit_scale.grad != 0  # it can leave the bound again


def test_loss_needs_as_many_texts_as_geometries(model, batch):
    texts = {name: batch[name][:2] for name in ("input_ids", "attention_mask")}
    outputs = model(**(batch | texts))
    assert outputs.loss is None
    assert outputs.logits_per_geometry.shape == (3, 2)
    assert_close(outputs.logits_per_text, outputs.logits_per_geometry.T)


def test_requesting_a_loss_for_unequal_numbers_is_an_error(model, batch):
    texts = {name: batch[name][:2] for name in ("input_ids", "attention_mask")}
    with pytest.raises(ValueError, match=r"return_loss=True on 3 geometries and 2 texts: row i of both must be a pair"):
        model(**(batch | texts), return_loss=True)
    positional = [batch[name] for name in ("atom_ids", "positions", "input_ids", "atom_mask", "attention_mask")]
    positional[2], positional[4] = texts["input_ids"], texts["attention_mask"]
    with pytest.raises(ValueError, match="on 3 geometries and 2 texts"):
        model(*positional, None, True)
    assert model(*positional, None, False).loss is None
    assert_close(model(**batch, return_loss=True).loss, model(**batch).loss)
    assert model(**batch, return_loss=False).loss is None


def test_either_modality_alone_is_embedded(model, batch):
    geometry = {name: batch[name] for name in ("atom_ids", "positions", "atom_mask")}
    texts = {name: batch[name] for name in ("input_ids", "attention_mask")}
    both = model(**batch)
    for inputs, embeds, absent in (
        (geometry, "geometry_embeds", "text_embeds"),
        (texts, "text_embeds", "geometry_embeds"),
    ):
        outputs = model(**inputs, return_loss=True)
        assert_close(outputs[embeds], both[embeds])
        assert all(outputs.get(name) is None for name in (absent, "loss", "logits_per_text", "logits_per_geometry"))
    with pytest.raises(ValueError, match="there is nothing to embed; pass atom_ids with positions, input_ids, or both"):
        model()


def test_pairs_that_share_a_molecule_or_a_text_are_not_negatives(model, batch):
    outputs = model(**batch, molecule_ids=torch.tensor([1, 1, 2]), text_ids=torch.tensor([5, 6, 6]))
    expected = contrastive_loss(
        outputs.geometry_embeds,
        outputs.text_embeds,
        outputs.logit_scale,
        torch.tensor([1, 1, 2]),
        torch.tensor([5, 6, 6]),
    )
    assert_close(outputs.loss, expected)
    assert outputs.loss < model(**batch).loss


def test_the_trainer_sees_that_it_returns_a_loss():
    for model_class in (GeomCLIPModel, GeomCLIPForPreTraining):
        assert can_return_loss(model_class)


def test_tuples_equal_the_output(model, batch):
    outputs = model(**batch)
    assert_close(model(**batch, return_dict=False)[0], outputs.loss)


def test_eight_pairs_can_be_learnt(config):
    torch.manual_seed(0)
    model = without_dropout(GeomCLIPModel(config)).train()
    batch = {
        "atom_ids": torch.tensor([[1, *range(4 + i % 3, 9 + i % 3), 2] for i in range(8)]),  # three compositions
        "positions": 1.5 * torch.randn(8, 7, 3),
        "input_ids": torch.randint(5, 60, (8, 6)),
    }
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    for _ in range(150):
        optimizer.zero_grad()
        model(**batch).loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    logits = model.eval()(**batch).logits_per_geometry
    assert torch.equal(logits.argmax(dim=0), torch.arange(8))
    assert torch.equal(logits.argmax(dim=1), torch.arange(8))


# ------------------------------------------------------------------------------------------------- towers and precision


@pytest.mark.parametrize("name", TEXT_TOWERS)
def test_text_towers(name, geometry_config, batch):
    config = GeomCLIPConfig(geometry_config=geometry_config.to_dict(), text_config=TEXT_TOWERS[name].to_dict())
    for pooling in ("cls", "mean"):
        config.text_pooling = pooling
        model = GeomCLIPModel(config).train()
        assert getattr(model.text_model, "pooler", None) is None
        model(**batch).loss.backward()
        assert [n for n, p in model.text_model.named_parameters() if p.grad is None] == []


def test_default_text_tower_has_the_shape_of_scibert():
    text_config = GeomCLIPConfig().text_config
    assert text_config.model_type == "bert"
    assert (text_config.vocab_size, text_config.hidden_size, text_config.num_hidden_layers) == (31090, 768, 12)


@pytest.mark.parametrize("change", [{"geometry_pooling": "max"}, {"text_pooling": "max"}, {"temperature": 0.0}])
def test_config_refuses(change):
    with pytest.raises(Exception, match=next(iter(change))):
        GeomCLIPConfig(**change)


@pytest.mark.parametrize("change", [{"num_attention_heads": 7}, {"position_noise": "cauchy"}, {"mask_ratio": 0.0}])
def test_geometry_config_refuses(change):
    with pytest.raises(Exception, match=next(iter(change))):
        GeomCLIPGeometryConfig(**change)


def test_text_padding_is_not_read(model, batch):
    whole = model.get_text_features(batch["input_ids"], batch["attention_mask"]).pooler_output
    alone = model.get_text_features(batch["input_ids"][1:2, :4]).pooler_output
    assert_close(alone[0], whole[1], rtol=0, atol=1e-5)


def test_joined_towers_keep_their_weights(model, text_config, tmp_path, batch):
    text = AutoModel.from_config(text_config).eval()
    model.geometry_model.save_pretrained(tmp_path / "geometry")
    text.save_pretrained(tmp_path / "text")
    joined = GeomCLIPModel.from_geometry_text_pretrained(
        str(tmp_path / "geometry"), str(tmp_path / "text"), projection_dim=8
    ).eval()
    inputs = (batch["input_ids"], batch["attention_mask"])
    assert_close(joined.text_model(*inputs).last_hidden_state, text(*inputs).last_hidden_state)
    geometry = (batch["atom_ids"], batch["positions"])
    expected = model.geometry_model(*geometry).last_hidden_state
    assert_close(joined.geometry_model(*geometry).last_hidden_state, expected)
    joined.save_pretrained(tmp_path / "joint")
    assert str(tmp_path) not in (tmp_path / "joint" / "config.json").read_text()


def test_save_and_load(model, batch, tmp_path):
    model.save_pretrained(tmp_path)
    assert (tmp_path / "model.safetensors").exists()
    loaded = AutoModel.from_pretrained(tmp_path)
    assert type(loaded) is GeomCLIPModel
    assert_close(loaded(**batch).logits_per_text, model(**batch).logits_per_text)
    assert not loaded.training
    tower = GeomCLIPGeometryModel.from_pretrained(tmp_path)
    expected = model.geometry_model(batch["atom_ids"], batch["positions"]).last_hidden_state
    assert_close(tower(batch["atom_ids"], batch["positions"]).last_hidden_state, expected)


def test_half_precision_keeps_distances_exact(model, batch, tmp_path):
    model.save_pretrained(tmp_path)
    loaded = GeomCLIPModel.from_pretrained(tmp_path, dtype=torch.bfloat16)
    basis = loaded.geometry_model.pair_basis
    assert {p.dtype for p in basis.parameters()} == {torch.float32}
    assert loaded.logit_scale.dtype == torch.float32
    positions = batch["positions"] + 50.0  # in bfloat16 a grid of 0.25 Å
    reference = embed(model, batch, positions=positions)
    for half in (loaded, copy.deepcopy(model).to(torch.bfloat16)):
        assert torch.cosine_similarity(embed(half, batch, positions=positions), reference).min() > 0.999
    with torch.autocast("cpu", torch.bfloat16):
        cast = embed(model, batch, positions=positions)
    assert torch.cosine_similarity(cast, reference).min() > 0.999


def test_double_precision_is_double_throughout(model, batch):
    model.double()
    positions = batch["positions"].double() + 1e3
    shift = torch.tensor([1e-7, 0, 0], dtype=torch.float64) * torch.arange(9)[None, :, None]
    moved = embed(model, batch, positions=positions + shift) - embed(model, batch, positions=positions)
    assert moved.dtype == torch.float64
    assert 0 < moved.abs().max() < 1e-5  # float32 distances would give 0 or noise


def test_hidden_states_and_attentions(config, batch):
    model = GeomCLIPModel(config, None, None).eval()
    model.set_attn_implementation("eager")
    outputs = model(**batch, output_hidden_states=True, output_attentions=True)
    geometry, text = outputs.geometry_model_output, outputs.text_model_output
    assert [len(x) for x in (geometry.hidden_states, geometry.attentions)] == [4, 3]
    assert [len(x) for x in (text.hidden_states, text.attentions)] == [3, 2]
    weights = geometry.attentions[0]
    assert weights.shape == (3, 4, 9, 9)
    assert_close(weights.sum(-1), torch.ones(3, 4, 9))
    assert weights[2, :, :, 5:].abs().max() == 0  # padding
