"""Structure heads: shapes, symmetry, padding, losses computed by hand, and learning."""

import math

import pytest
import torch
from torch.testing import assert_close

from geomclip_tools.training.structure_heads import (
    NUM_LOGITS,
    OF_ATOMS,
    StructureHeads,
    TextTargetHeads,
    structure_losses,
)
from geomclip_tools.training.structure_labels import (
    collate_labels,
    collate_text_targets,
    label_structure,
    label_text_targets,
)
from modeling_geomclip import read_molecule

SMILES = ("CC(=O)Nc1ccccc1", "C[N+](C)(C)CCO", "N#CC=C", "C1CC1O")


@pytest.fixture
def labelled(processor) -> dict[str, torch.Tensor]:
    molecules = [read_molecule(smiles, remove_hydrogens=True) for smiles in SMILES]
    rows = [label_structure(smiles, **molecule) for smiles, molecule in zip(SMILES, molecules)]
    batch = dict(processor.feature_extractor(molecules, return_tensors="pt"))
    return batch | collate_labels(rows, batch["atom_ids"].shape[1])


def inputs(batch: dict) -> dict:
    return {name: batch[name] for name in ("atom_ids", "positions", "atom_mask")}


def test_logits_have_a_class_each_and_bonds_no_direction(model, labelled):
    tower = model.geometry_model.eval()
    heads = StructureHeads(tower.config, list(NUM_LOGITS))
    logits = heads(tower(**inputs(labelled), output_pair_representations=True), labelled["atom_mask"])
    batch, atoms = labelled["atom_ids"].shape
    assert logits.keys() == NUM_LOGITS.keys()
    for target, values in logits.items():
        shape = (batch, atoms, atoms) if target == "bond_order" else (batch, atoms) if target in OF_ATOMS else (batch,)
        assert values.shape == (*shape, NUM_LOGITS[target])
    assert_close(logits["bond_order"], logits["bond_order"].transpose(1, 2))


def test_only_heads_that_are_asked_for_have_parameters(model):
    heads = StructureHeads(model.geometry_model.config, ["hybridization"])
    assert {name for name, _ in heads.named_parameters()} == {"heads.hybridization.weight", "heads.hybridization.bias"}


def test_losses_by_hand():
    labels = {
        "bond_order": torch.tensor([[[-1, 1], [1, -1]], [[-1, 0], [0, -1]]]),
        "is_in_ring": torch.tensor([[1, -1], [0, 1]]),
        "fingerprint": torch.tensor([[1.0, 0, 0], [1, 1, 0]]),
        "functional_groups": torch.tensor([[0.0, 1.0]]),
    }
    logits = {
        "bond_order": torch.zeros(2, 2, 2, 5),
        "is_in_ring": torch.tensor([[[0.0, 1.0], [9.0, 9.0]], [[2.0, 0.0], [0.0, 0.0]]]),
        "fingerprint": torch.zeros(2, 3),
        "functional_groups": torch.tensor([[0.5, 0.0]]),
    }
    losses = structure_losses(logits, labels)
    expected = {
        "bond_order_loss": (4 * math.log(5) / 2, 2),  # two pairs, each in both orders; one is bonded
        "is_in_ring_loss": ((math.log1p(math.e**-1) + math.log1p(math.e**-2) + math.log(2)) / 3, 3),
        "fingerprint_loss": (6 * math.log(2) / 3, 3),
        "functional_groups_loss": ((0.5**2 + math.log(2) ** 2) / 4, 2),
    }
    assert losses.keys() == expected.keys()
    for name, (loss, count) in expected.items():
        assert losses[name][0].item() == pytest.approx(loss, rel=1e-6)
        assert losses[name][1] == count


def test_a_batch_without_bonds_has_a_loss():
    labels = {"bond_order": torch.tensor([[[-1, 0], [0, -1]]])}
    loss, count = structure_losses({"bond_order": torch.zeros(1, 2, 2, 5)}, labels)["bond_order_loss"]
    assert (loss.isfinite().item(), count.item()) == (True, 0)


def test_padding_and_batch_mates_change_nothing(model, labelled):
    tower, alone = model.geometry_model.eval(), {name: values[2:3] for name, values in labelled.items()}
    heads = StructureHeads(tower.config, list(NUM_LOGITS)).eval()
    size = int((alone["atom_ids"] != tower.config.pad_token_id).sum())
    alone = {
        name: values[:, :size] if name in ("atom_ids", "positions", "atom_mask", *OF_ATOMS) else values
        for name, values in alone.items()
    }
    together = heads(tower(**inputs(labelled), output_pair_representations=True), labelled["atom_mask"])
    single = heads(tower(**inputs(alone), output_pair_representations=True), alone["atom_mask"])
    for target, values in single.items():
        same = together[target][2:3]
        same = same[:, :size, :size] if target == "bond_order" else same[:, :size] if target in OF_ATOMS else same
        assert_close(same, values, atol=1e-5, rtol=1e-5)


def test_structure_can_be_learnt(model, labelled):
    """A tiny tower memorises four molecules: every pair, atom, bit and count."""
    torch.manual_seed(0)
    tower = model.geometry_model.train()
    heads = StructureHeads(tower.config, list(NUM_LOGITS))
    optimizer = torch.optim.Adam([*tower.parameters(), *heads.parameters()], lr=3e-3)
    for _ in range(300):
        logits = heads(tower(**inputs(labelled), output_pair_representations=True), labelled["atom_mask"])
        loss = sum(loss for loss, _ in structure_losses(logits, labelled).values())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        logits = heads(tower.eval()(**inputs(labelled), output_pair_representations=True), labelled["atom_mask"])
    for target in ("bond_order", *OF_ATOMS):
        known = labelled[target] >= 0
        assert torch.equal(logits[target].argmax(dim=-1)[known], labelled[target][known]), target
    assert torch.equal(logits["fingerprint"] > 0, labelled["fingerprint"] > 0)
    assert_close(logits["functional_groups"].expm1().round(), labelled["functional_groups"])


# --------------------------------------------------------------------------------------------------------- text targets


def test_text_targets_by_hand():
    heads = TextTargetHeads(4).double()
    for parameter in heads.parameters():
        torch.nn.init.zeros_(parameter)
    labels = collate_text_targets([label_text_targets("CCO"), label_text_targets("C")])
    loss = heads(torch.nn.functional.normalize(torch.randn(2, 4).double(), dim=-1), labels)
    num_bits = [len(label_text_targets(smiles)["fingerprint"]) for smiles in ("CCO", "C")]
    of_bits = sum(2048 * math.log(2) / number for number in num_bits) / 2
    # Every logit is 0, so an error is log(1 + count): smooth L1 of log(2), log(3), ...
    smooth = {count: 0.5 * math.log(1 + count) ** 2 if count < 2 else math.log(1 + count) - 0.5 for count in (1, 2)}
    of_elements = 10 * (smooth[2] + smooth[1] + smooth[1]) / 119 / 2  # C2O and C
    groups = torch.tensor(label_text_targets("CCO")["functional_groups"])
    of_groups = 10 * sum(smooth[count] for count in groups.tolist() if count) / len(groups) / 2
    assert groups.max() <= 2
    assert loss.item() == pytest.approx(of_bits + of_elements + of_groups)


def test_text_targets_can_be_learnt():
    torch.manual_seed(0)
    heads, labels = TextTargetHeads(16), collate_text_targets([label_text_targets(smiles) for smiles in SMILES])
    embeds = torch.nn.functional.normalize(torch.randn(len(SMILES), 16), dim=-1)
    optimizer = torch.optim.Adam(heads.parameters(), 3e-2)
    losses = []
    for _ in range(60):
        optimizer.zero_grad()
        losses.append(heads(embeds, labels))
        losses[-1].backward()
        optimizer.step()
    assert losses[-1] < 0.05 < 10 < losses[0]


@pytest.mark.parametrize("smiles", ["C1CC", "", None])
def test_text_targets_need_a_molecule(smiles):
    with pytest.raises(ValueError, match=r"RDKit cannot read .* as SMILES; correct it or remove its row"):
        label_text_targets(smiles)
