"""Compare the losses with NumPy loops, on asymmetric data: a symmetric example hides a missing direction."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch.testing import assert_close

from modeling_geomclip.loss_geomclip import (
    MISSING_ID,
    atom_type_loss,
    contrastive_loss,
    coordinate_loss,
    distance_loss,
    find_same_pairs,
)

SCALE = torch.tensor(7.0, dtype=torch.float64)
# Rows 0 and 2 share a molecule, 1 and 4 a text; two rows lack a molecule id and three a text id.
MOLECULE_IDS = torch.tensor([12, MISSING_ID, 12, MISSING_ID, -5, 8])
TEXT_IDS = torch.tensor([MISSING_ID, 3, MISSING_ID, 9, 3, MISSING_ID])
SHARED = {(0, 2), (2, 0), (1, 4), (4, 1)}


@pytest.fixture
def embeds() -> tuple[torch.Tensor, torch.Tensor]:
    """Six pairs of (6, 5) unit vectors whose texts resemble each other far more than their geometries do."""
    generator = torch.Generator().manual_seed(0)
    geometry = torch.randn(6, 5, dtype=torch.float64, generator=generator)
    text = torch.randn(6, 5, dtype=torch.float64, generator=generator) + torch.tensor([2.0, 1.0, 0, 0, 0])
    return F.normalize(geometry, dim=-1), F.normalize(text, dim=-1)


def directions_by_hand(geometry, text, excluded=frozenset()) -> tuple[float, float]:
    """Return the mean -log softmax of geometry -> text and of text -> geometry, without the pairs in `excluded`."""
    logits = SCALE.item() * geometry.numpy() @ text.numpy().T
    num = len(logits)
    to_text = [
        np.log(sum(np.exp(logits[i, j]) for j in range(num) if (i, j) not in excluded)) - logits[i, i]
        for i in range(num)
    ]
    to_geometry = [
        np.log(sum(np.exp(logits[i, j]) for i in range(num) if (i, j) not in excluded)) - logits[j, j]
        for j in range(num)
    ]
    return np.mean(to_text), np.mean(to_geometry)


# -------------------------------------------------------------------------------------------------------- contrastive


def test_both_directions_are_in_the_loss(embeds):
    to_text, to_geometry = directions_by_hand(*embeds)
    assert abs(to_text - to_geometry) > 0.1  # otherwise one direction counted twice would pass
    assert_close(contrastive_loss(*embeds, SCALE).item(), (to_text + to_geometry) / 2, rtol=1e-12, atol=0)
    assert_close(contrastive_loss(*embeds[::-1], SCALE), contrastive_loss(*embeds, SCALE))


def test_two_pairs_by_hand():
    geometry = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    text = torch.tensor([[0.8, 0.6], [0.0, 1.0]])
    # Logits [[1.6, 0], [1.2, 2]]: to text log(1 + e^-1.6), log(1 + e^-0.8); to geometry log(1 + e^-0.4), log(1 + e^-2).
    expected = (0.183901 + 0.371101 + 0.513015 + 0.126928) / 4
    assert_close(contrastive_loss(geometry, text, torch.tensor(2.0)).item(), expected, rtol=0, atol=1e-6)


def test_order_of_the_pairs_does_not_matter(embeds):
    order = torch.tensor([3, 0, 5, 1, 4, 2])
    shuffled = [x[order] for x in (*embeds, MOLECULE_IDS, TEXT_IDS)]
    expected = contrastive_loss(*embeds, SCALE, MOLECULE_IDS, TEXT_IDS)
    assert_close(contrastive_loss(*shuffled[:2], SCALE, *shuffled[2:]), expected)
    only_texts = contrastive_loss(embeds[0], embeds[1][order], SCALE)
    assert abs(only_texts - contrastive_loss(*embeds, SCALE)) > 0.1  # the pairing does matter


@pytest.mark.parametrize(
    ("molecule_ids", "text_ids", "shared"),
    [
        (MOLECULE_IDS, TEXT_IDS, SHARED),
        (MOLECULE_IDS, None, {(0, 2), (2, 0)}),
        (None, TEXT_IDS, {(1, 4), (4, 1)}),
        (torch.full((6,), MISSING_ID), torch.arange(6), set()),
        (torch.tensor([7, 7, 7, 1, 2, 3]), None, {(i, j) for i in range(3) for j in range(3) if i != j}),
    ],
)
def test_pairs_that_share_an_id_are_not_negatives(embeds, molecule_ids, text_ids, shared):
    same = find_same_pairs(6, molecule_ids, text_ids)
    assert {tuple(pair) for pair in same.nonzero().tolist()} == shared
    expected = np.mean(directions_by_hand(*embeds, excluded=shared))
    assert_close(contrastive_loss(*embeds, SCALE, molecule_ids, text_ids).item(), expected, rtol=1e-12, atol=0)
    for ids in ((None, None, molecule_ids, text_ids), (text_ids, None, molecule_ids)):
        assert_close(contrastive_loss(*embeds, SCALE, *ids).item(), expected, rtol=1e-12, atol=0)
    if shared:
        assert abs(expected - contrastive_loss(*embeds, SCALE).item()) > 1e-6


def test_large_ids_are_compared_exactly():
    ids = torch.tensor([2**62, 2**62 + 1, -(2**63)])  # equal as float64
    assert not find_same_pairs(3, ids, None).any()


def test_a_batch_of_one_molecule_has_zero_loss_and_gradient(embeds):
    embeds = [x.clone().requires_grad_() for x in embeds]
    loss = contrastive_loss(*embeds, SCALE, molecule_ids=torch.full((6,), 5))
    assert loss == 0
    loss.backward()
    assert all((x.grad == 0).all() for x in embeds)


LIKENESS = torch.rand(6, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(2)) * 4
LIKENESS = LIKENESS + LIKENESS.T


@pytest.mark.parametrize("soft_labels", [None, LIKENESS])
@pytest.mark.parametrize("ids", [(None, None), (MOLECULE_IDS, TEXT_IDS)])
def test_gradients_of_the_contrastive_loss(embeds, ids, soft_labels):
    inputs = [x.clone().requires_grad_() for x in (*embeds, SCALE)]
    assert torch.autograd.gradcheck(lambda *x: contrastive_loss(*x, *ids, soft_labels=soft_labels), inputs)


@pytest.mark.parametrize(("ids", "excluded"), [((None, None), set()), ((MOLECULE_IDS, TEXT_IDS), SHARED)])
def test_soft_labels_spread_the_target_over_similar_pairs(embeds, ids, excluded):
    logits = SCALE.item() * embeds[0].numpy() @ embeds[1].numpy().T
    losses = []
    for scores in (logits, logits.T):
        for i in range(6):
            kept = [j for j in range(6) if (i, j) not in excluded]
            target = np.exp(LIKENESS[i, kept].numpy()) / np.exp(LIKENESS[i, kept].numpy()).sum()
            log_probabilities = scores[i, kept] - np.log(np.exp(scores[i, kept]).sum())
            losses.append(-(target * log_probabilities).sum())
    loss = contrastive_loss(*embeds, SCALE, *ids, soft_labels=LIKENESS)
    assert_close(loss.item(), np.mean(losses), rtol=1e-12, atol=0)


def test_sharp_soft_labels_equal_hard_labels(embeds):
    sharp = 1e4 * torch.eye(6, dtype=torch.float64)
    for ids in ((), (MOLECULE_IDS, TEXT_IDS)):
        expected = contrastive_loss(*embeds, SCALE, *ids)
        assert_close(contrastive_loss(*embeds, SCALE, *ids, soft_labels=sharp), expected)


# ----------------------------------------------------------------------------------------------------------- denoising


@pytest.fixture
def chosen() -> torch.Tensor:
    """Three atoms of the first molecule, one of the second, none of the third."""
    return torch.tensor([[0, 1, 1, 0, 1, 0], [0, 0, 1, 0, 0, 0], [0] * 6], dtype=torch.bool)


@pytest.fixture
def atom_mask() -> torch.Tensor:
    return torch.tensor([[0, 1, 1, 1, 1, 0], [0, 1, 1, 1, 0, 0], [0, 1, 0, 0, 0, 0]], dtype=torch.bool)


def normal(*shape: int, seed: int) -> torch.Tensor:
    """Draw normal values so wide that both branches of smooth L1 occur."""
    return 2 * torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def smooth_l1(error: float) -> float:
    return 0.5 * error**2 if abs(error) < 1 else abs(error) - 0.5


def test_coordinate_loss_by_hand(chosen):
    predicted, target = normal(3, 6, 3, seed=0), normal(3, 6, 3, seed=1)
    errors = (predicted - target).tolist()
    of_atoms = [sum(smooth_l1(e) for e in errors[row][atom]) / 3 for row, atom in chosen.nonzero().tolist()]
    assert len(of_atoms) == 4
    assert_close(coordinate_loss(predicted, target, chosen).item(), sum(of_atoms) / 4, rtol=1e-12, atol=0)


def test_atom_type_loss_by_hand(chosen):
    logits, atom_ids = normal(3, 6, 5, seed=2), torch.arange(18).reshape(3, 6) % 5
    of_atoms = []
    for row, atom in chosen.nonzero().tolist():
        scores = logits[row, atom].numpy()
        of_atoms.append(np.log(np.exp(scores).sum()) - scores[atom_ids[row, atom]])
    assert_close(atom_type_loss(logits, atom_ids, chosen).item(), np.mean(of_atoms), rtol=1e-12, atol=0)


def test_distance_loss_by_hand(chosen, atom_mask):
    predicted, target = normal(3, 6, 6, seed=3), normal(3, 6, 6, seed=4)
    of_atoms = []
    for row, i in chosen.nonzero().tolist():
        partners = [j for j in range(6) if atom_mask[row, j] and j != i]
        of_atoms.append(np.mean([smooth_l1((predicted - target)[row, i, j].item()) for j in partners]))
    assert_close(distance_loss(predicted, target, chosen, atom_mask).item(), np.mean(of_atoms), rtol=1e-12, atol=0)


@pytest.mark.parametrize("part", ["coordinate", "atom_type", "distance"])
def test_no_chosen_atom_gives_zero_with_a_graph(part, chosen, atom_mask):
    predicted = normal(3, 6, 6 if part == "distance" else 3, seed=5).requires_grad_()
    target = torch.zeros(3, 6, dtype=torch.long) if part == "atom_type" else torch.zeros_like(predicted)
    none = torch.zeros_like(chosen)
    loss = {
        "coordinate": lambda: coordinate_loss(predicted, target, none),
        "atom_type": lambda: atom_type_loss(predicted, target, none),
        "distance": lambda: distance_loss(predicted, target, none, atom_mask),
    }[part]()
    assert loss == 0
    loss.backward()
    assert (predicted.grad == 0).all()


def test_a_lone_atom_has_no_distances():
    lone = torch.tensor([[True]])
    assert distance_loss(torch.ones(1, 1, 1), torch.zeros(1, 1, 1), lone, lone) == 0


def test_gradients_of_the_denoising_losses(chosen, atom_mask):
    coordinates, distances = (normal(3, 6, size, seed=6).requires_grad_() for size in (3, 6))
    gradcheck = torch.autograd.gradcheck
    assert gradcheck(lambda x: coordinate_loss(x, torch.zeros_like(x), chosen), coordinates)
    assert gradcheck(lambda x: atom_type_loss(x, torch.ones(3, 6, dtype=torch.long), chosen), coordinates)
    assert gradcheck(lambda x: distance_loss(x, torch.zeros_like(x), chosen, atom_mask), distances)
