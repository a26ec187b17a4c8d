"""Compare poolings with calculations by hand, and check which of them count atoms."""

import copy

import pytest
import torch
from torch.testing import assert_close

from modeling_geomclip import GeomCLIPGeometryConfig, GeomCLIPModel
from modeling_geomclip.pooling_geomclip import GeomCLIPPooling

POOLINGS = ("mean", "cls", "counting", "attention")


def build(pooling: str, size: int = 16) -> GeomCLIPPooling:
    """Build a pooling that acts as if trained: what it adds to the mean is not 0."""
    torch.manual_seed(0)
    built = GeomCLIPPooling(GeomCLIPGeometryConfig(hidden_size=size, num_attention_heads=4), pooling)
    for name, parameter in built.named_parameters():
        torch.nn.init.normal_(parameter, std=0.1 if name == "power" else 0.5)
    return built.double()


def states_of(sizes: list[int], size: int = 16) -> tuple[torch.Tensor, torch.Tensor]:
    """Return random states and an atom mask; rows are [CLS], atoms, [SEP] and padding."""
    generator = torch.Generator().manual_seed(1)
    states = torch.randn(len(sizes), max(sizes) + 2, size, generator=generator, dtype=torch.float64)
    mask = torch.zeros(states.shape[:2], dtype=torch.bool)
    for row, number in enumerate(sizes):
        mask[row, 1 : 1 + number] = True
    return states, mask


@pytest.mark.parametrize("pooling", POOLINGS)
def test_order_padding_and_batch_mates_change_nothing(pooling):
    pool, (states, mask) = build(pooling), states_of([7, 4, 1])
    pooled = pool(states, mask)
    order = torch.tensor([0, 3, 1, 7, 2, 5, 4, 6, 8])
    assert_close(pool(states[:1, order], mask[:1, order]), pooled[:1])
    assert_close(pool(states[1:2, :6], mask[1:2, :6]), pooled[1:2])
    states[~mask] = states[~mask] + (1e3 if pooling != "cls" else 0)
    assert_close(pool(states, mask), pooled)


@pytest.mark.parametrize("pooling", POOLINGS)
def test_autocast_changes_little(pooling):
    pool, (states, mask) = build(pooling).float(), states_of([7, 4, 1])
    expected = pool(states.float(), mask)
    with torch.autocast("cpu", torch.bfloat16):
        pooled = pool(states.float(), mask)
    assert_close(pooled.float(), expected, rtol=0.02, atol=0.05)


def test_counting_by_hand():
    pool, (states, mask) = build("counting"), states_of([3, 2])
    for row, number in enumerate([3, 2]):
        atoms = states[row, 1 : 1 + number]
        sums = sum((pool.values.weight @ atom + pool.values.bias).clamp(min=0) for atom in atoms)
        expected = atoms.mean(dim=0) + pool.added_weight @ torch.log(1 + sums * number**pool.power)
        assert_close(pool(states, mask)[row], expected)


def test_attention_by_hand():
    pool, (states, mask) = build("attention"), states_of([3, 2])
    for row, number in enumerate([3, 2]):
        atoms = states[row, 1 : 1 + number]
        weights, values = pool.queries(atoms).exp(), pool.values(atoms)
        heads = [(weights[:, [q]] * values[:, 2 * q : 2 * q + 2]).sum(dim=0) / weights[:, q].sum() for q in range(8)]
        assert_close(pool(states, mask)[row], atoms.mean(dim=0) + pool.added_weight @ torch.cat(heads))


@pytest.mark.parametrize(("pooling", "counts"), [("mean", False), ("attention", False), ("counting", True)])
def test_only_counting_distinguishes_doubled_atoms(pooling, counts):
    pool, (states, mask) = build(pooling), states_of([4])
    twice, twice_mask = torch.cat([states, states], dim=1), torch.cat([mask, mask], dim=1)
    difference = (pool(twice, twice_mask) - pool(states, mask)).abs().max()
    assert difference > 0.1 if counts else difference < 1e-12


@pytest.mark.parametrize("pooling", ["counting", "attention"])
def test_a_new_pooling_is_the_mean_and_learns(config, batch, pooling):
    models = {}
    for name in ("mean", pooling):
        changed = copy.deepcopy(config)
        changed.geometry_pooling = name
        torch.manual_seed(0)
        models[name] = GeomCLIPModel(changed).eval()
    models[pooling].load_state_dict(models["mean"].state_dict(), strict=False)
    inputs = {name: batch[name] for name in ("atom_ids", "positions", "atom_mask")}
    embeds = {name: model.get_geometry_features(**inputs).pooler_output for name, model in models.items()}
    assert_close(embeds["mean"], embeds[pooling])
    embeds[pooling][:, 0].sum().backward()
    assert models[pooling].geometry_pooling.added_weight.grad.norm() > 0


@pytest.mark.parametrize("pooling", ["counting", "attention"])
def test_it_is_saved_with_the_model(config, batch, pooling, tmp_path):
    config.geometry_pooling = pooling
    model = GeomCLIPModel(config).eval()
    torch.nn.init.normal_(model.geometry_pooling.added_weight)
    model.save_pretrained(tmp_path)
    loaded = GeomCLIPModel.from_pretrained(tmp_path)
    inputs = {name: batch[name] for name in ("atom_ids", "positions", "atom_mask")}
    assert_close(*(m.get_geometry_features(**inputs).pooler_output for m in (model, loaded)))
