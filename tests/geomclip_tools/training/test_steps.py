"""Training steps: groups do not change the result, a frozen text tower has no dropout, and the loss is the model's."""

import pytest
import torch
from rdkit.Chem import MolFromSmiles
from rdkit.DataStructs import TanimotoSimilarity
from torch.testing import assert_close
from transformers import BertConfig, DistilBertConfig, ModernBertConfig, RobertaConfig

from dataset_pubchem3d.chemistry.fingerprints import make_ecfp4
from geomclip_tools.noise import draw_noise
from geomclip_tools.training.steps import ContrastiveStep, combine_losses, compare_fingerprints
from modeling_geomclip import GeomCLIPConfig, GeomCLIPForPreTraining, contrastive_loss

SHAPE = {"vocab_size": 64, "hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
ENDS = {"pad_token_id": 0, "cls_token_id": 1, "sep_token_id": 2, "bos_token_id": 1, "eos_token_id": 2}
TEXT_TOWERS = {
    "bert": BertConfig(**SHAPE),
    "roberta": RobertaConfig(**SHAPE, max_position_embeddings=40),
    "distilbert": DistilBertConfig(vocab_size=64, dim=24, n_layers=2, n_heads=2, hidden_dim=32),
    "modernbert": ModernBertConfig(**SHAPE, **ENDS),
}


@pytest.fixture
def noised_batch(batch, geometry_config) -> dict[str, torch.Tensor]:
    geometry = [batch[name] for name in ("atom_ids", "positions", "atom_mask")]
    return batch | draw_noise(*geometry, torch.tensor([5, 6, 7]), geometry_config)


def without_dropout(model):
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    return model


@pytest.mark.parametrize(("pair_budget", "token_budget"), [(1, 1), (80, 10), (10**6, 10**6), (None, 1), (80, None)])
@pytest.mark.parametrize("side", ["right", "left"])
def test_size_groups_change_nothing(pretraining_model, noised_batch, pair_budget, token_budget, side):
    model, batch = without_dropout(pretraining_model), noised_batch
    if side == "left":  # as some tokenizers pad; without position embeddings, since positions count the padding
        model.text_model.embeddings.position_embeddings.weight.data.zero_()
        batch |= {name: batch[name].flip(1) for name in ("input_ids", "attention_mask")}
    batch["token_type_ids"] = torch.zeros_like(batch["input_ids"])
    model.config.text_pooling = "mean"
    step = ContrastiveStep(model).train()
    whole, split = model(**batch), step(batch, pair_budget=pair_budget, token_budget=token_budget)
    assert_close(split.text_embeds, whole.text_embeds, rtol=0, atol=1e-6)
    assert_close(split.geometry_embeds, whole.geometry_embeds, rtol=0, atol=1e-6)
    assert_close(split.denoising_loss, whole.denoising_loss)
    assert split.num_chosen == whole.num_chosen > 0
    assert step(batch, pair_budget, token_budget, denoise=False).denoising_loss is None


@pytest.mark.parametrize("name", TEXT_TOWERS)
def test_groups_of_texts_give_equal_gradients(name, geometry_config, batch):
    config = GeomCLIPConfig(geometry_config=geometry_config.to_dict(), text_config=TEXT_TOWERS[name].to_dict())
    step = ContrastiveStep(without_dropout(GeomCLIPForPreTraining(config).double())).train()
    ids = {name: torch.arange(3) for name in ("molecule_ids", "text_ids")}
    gradients = []
    for token_budget in (None, 10):  # one text per group
        step.zero_grad()
        combine_losses(step(batch, token_budget=token_budget), ids, 0.0)["loss"].backward()
        gradients.append({name: value.grad for name, value in step.model.text_model.named_parameters()})
    assert_close(gradients[1], gradients[0], rtol=1e-8, atol=1e-10)


def test_one_process_has_the_loss_of_the_model(pretraining_model, noised_batch):
    ids = {"molecule_ids": torch.tensor([1, 1, 2]), "text_ids": torch.tensor([5, 6, 7])}
    step = ContrastiveStep(pretraining_model).train()
    torch.manual_seed(0)
    expected = pretraining_model(**noised_batch, **ids)
    torch.manual_seed(0)
    losses = combine_losses(step(noised_batch), ids, pretraining_model.config.denoising_loss_weight)
    assert_close(losses["loss"], expected.loss)
    assert_close(losses["denoising_loss"], expected.denoising_loss)


def test_a_text_tower_that_is_not_trained_has_no_dropout(pretraining_model, noised_batch):
    step = ContrastiveStep(pretraining_model)
    assert step.train().model.text_model.training
    pretraining_model.text_model.requires_grad_(False)
    step.train()
    assert step.model.geometry_model.training
    assert_close(step(noised_batch).text_embeds, step(noised_batch).text_embeds, rtol=0, atol=0)


def test_likeness_is_tanimoto_similarity():
    mols = [MolFromSmiles(smiles) for smiles in ("CCO", "CCCO", "c1ccccc1O", "c1ccccc1O")]
    bits = [make_ecfp4().GetFingerprint(mol) for mol in mols]
    expected = torch.tensor([[TanimotoSimilarity(one, other) for other in bits] for one in bits])
    assert_close(compare_fingerprints(torch.tensor([list(x) for x in bits]).float()), expected)
    assert 0 < expected[0, 1] < 1
    assert (compare_fingerprints(torch.zeros(2, 8)) == 0).all()


def test_soft_labels_are_of_the_molecules_of_the_batch(pretraining_model, batch):
    step = ContrastiveStep(without_dropout(pretraining_model)).train()
    outputs = step(batch)
    fingerprint = torch.tensor([[1.0, 1, 0, 0], [1, 1, 1, 0], [0, 0, 0, 1]])
    ids = {"molecule_ids": torch.arange(3), "fingerprint": fingerprint}
    likeness = torch.tensor([[1, 2 / 3, 0], [2 / 3, 1, 0], [0, 0, 1]])
    embeds = (outputs.geometry_embeds, outputs.text_embeds, outputs.logit_scale)
    losses = combine_losses(outputs, ids, 0.0, soft_label_temperature=0.5)
    assert_close(losses["loss"], contrastive_loss(*embeds, soft_labels=likeness / 0.5))
    assert abs(losses["loss"] - combine_losses(outputs, ids, 0.0)["loss"]) > 1e-3
