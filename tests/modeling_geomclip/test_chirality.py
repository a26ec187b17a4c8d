"""A tower with chirality channels: rotations change nothing, reflections do, and L is distinguished from D."""

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from modeling_geomclip import (
    GeomCLIPGeometryConfig,
    GeomCLIPGeometryForPreTraining,
    GeomCLIPGeometryModel,
    read_molecule,
)
from modeling_geomclip.convert_geomclip import to_unimol
from modeling_geomclip.geometry_geomclip import masked_mean

ROTATION = torch.linalg.matrix_exp(torch.tensor([[0.0, 1.0, -2.0], [-1.0, 0.0, 0.5], [2.0, -0.5, 0.0]]))
REFLECTION = torch.diag(torch.tensor([-1.0, 1.0, 1.0]))
L_AMINO_ACIDS = {
    "alanine": "C[C@H](N)C(=O)O",
    "valine": "CC(C)[C@H](N)C(=O)O",
    "leucine": "CC(C)C[C@H](N)C(=O)O",
    "serine": "OC[C@H](N)C(=O)O",
    "phenylalanine": "OC(=O)[C@@H](N)Cc1ccccc1",
    "lysine": "NCCCC[C@H](N)C(=O)O",
    "methionine": "CSCC[C@H](N)C(=O)O",
    "threonine": "C[C@@H](O)[C@H](N)C(=O)O",
    "tyrosine": "OC(=O)[C@@H](N)Cc1ccc(O)cc1",
    "glutamine": "NC(=O)CC[C@H](N)C(=O)O",
    "isoleucine": "CC[C@H](C)[C@H](N)C(=O)O",
    "asparagine": "NC(=O)C[C@H](N)C(=O)O",
    "glutamic acid": "OC(=O)CC[C@H](N)C(=O)O",
    "ornithine": "NCCC[C@H](N)C(=O)O",
}


@pytest.fixture
def tower(geometry_config) -> GeomCLIPGeometryModel:
    """A tower that acts as if trained; a new tower ignores its chirality features."""
    torch.manual_seed(0)
    geometry_config.chirality_channels = 4
    tower = GeomCLIPGeometryModel(geometry_config).eval()
    torch.nn.init.normal_(tower.chirality.out_weight)
    return tower


def inputs(batch: dict) -> dict:
    return {name: batch[name] for name in ("atom_ids", "positions", "atom_mask")}


@torch.no_grad()
def states(tower: GeomCLIPGeometryModel, batch: dict, **changes) -> torch.Tensor:
    return tower(**inputs(batch) | changes).last_hidden_state


def test_rotation_and_translation_change_nothing(tower, batch):
    moved = batch["positions"] @ ROTATION.T + torch.tensor([3.0, -7.0, 11.0])
    real = batch["atom_ids"] != 0
    assert_close(states(tower, batch, positions=moved)[real], states(tower, batch)[real], rtol=0, atol=1e-4)


def test_reflection_negates_the_features_and_changes_the_states(tower, batch):
    basis = tower.pair_basis(batch["atom_ids"], batch["positions"])  # the same for the mirror image
    read = tower.chirality(basis, batch["positions"], batch["atom_mask"])
    mirrored = batch["positions"] @ REFLECTION
    assert_close(tower.chirality(basis, mirrored, batch["atom_mask"]), -read)
    assert read[0, 1:8].abs().max() > 1e-3
    assert (states(tower, batch, positions=mirrored) - states(tower, batch))[0, 1:8].norm(dim=-1).min() > 1e-3


def test_the_mirror_image_of_a_flat_molecule_is_the_molecule(tower, batch):
    flat = batch["positions"] * torch.tensor([1.0, 1.0, 0.0])
    mirrored = flat @ REFLECTION
    assert_close(states(tower, batch, positions=mirrored), states(tower, batch, positions=flat), rtol=0, atol=1e-4)


def test_the_order_of_atoms_padding_and_batch_mates_change_nothing(tower, batch):
    order = torch.tensor([0, 4, 2, 7, 1, 6, 3, 5, 8])
    first = {name: values[:1] for name, values in inputs(batch).items()}
    shuffled = {name: values[:, order] for name, values in first.items()}
    assert_close(states(tower, shuffled), states(tower, first)[:, order], rtol=0, atol=1e-4)
    for row, size in enumerate([9, 7, 5]):
        alone = {name: values[row : row + 1, :size] for name, values in inputs(batch).items()}
        assert_close(states(tower, alone)[0], states(tower, batch)[row, :size], rtol=0, atol=1e-4)


def test_autocast_does_not_round_directions(tower, batch):
    moved = batch["positions"] @ ROTATION.T
    with torch.autocast("cpu", torch.bfloat16):
        read = [
            tower.chirality(tower.pair_basis(batch["atom_ids"], positions), positions, batch["atom_mask"]).float()
            for positions in (batch["positions"], moved)
        ]
    assert_close(read[0], read[1], rtol=0, atol=0.01 * read[0].abs().max().item())


def test_new_chirality_weights_do_not_change_a_trained_tower(geometry_config, batch):
    plain = GeomCLIPGeometryModel(geometry_config).eval()
    geometry_config.chirality_channels = 4
    reading = GeomCLIPGeometryModel(geometry_config).eval()
    missing = reading.load_state_dict(plain.state_dict(), strict=False).missing_keys
    assert all(name.startswith("chirality.") for name in missing)
    assert_close(states(reading, batch), states(plain, batch), rtol=0, atol=0)


def test_it_is_saved_and_loaded_but_cannot_be_converted_to_unimol(tower, batch, tmp_path):
    tower.save_pretrained(tmp_path)
    loaded = GeomCLIPGeometryModel.from_pretrained(tmp_path)
    assert_close(states(loaded, batch), states(tower, batch))
    with pytest.raises(ValueError, match="chirality_channels=4"):
        to_unimol(GeomCLIPGeometryForPreTraining(tower.config, tower))


def test_l_and_d_are_distinguished_for_amino_acids_outside_the_training_set(processor):
    """Train on twelve amino acids and their mirror images, and test on two. Mirror images have equal distances."""
    torch.manual_seed(2)  # four of six seeds get both right
    molecules = []
    for smiles in L_AMINO_ACIDS.values():
        molecule = read_molecule(smiles, remove_hydrogens=True)
        mirrored = {**molecule, "positions": molecule["positions"] * np.array([-1, 1, 1])}
        molecules += [molecule, mirrored]
    batch = dict(processor.feature_extractor(molecules, return_tensors="pt"))
    is_l = torch.tensor([1.0, 0.0] * len(L_AMINO_ACIDS))
    trained = slice(0, 24)
    shape = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 4, "intermediate_size": 32}
    config = GeomCLIPGeometryConfig(**shape, num_gaussians=32, chirality_channels=8, hidden_dropout_prob=0.0)
    tower, head = GeomCLIPGeometryModel(config), torch.nn.Linear(32, 1)
    optimizer = torch.optim.Adam([*tower.parameters(), *head.parameters()], lr=5e-3)

    def logits(part: slice) -> torch.Tensor:
        given = {name: batch[name][part] for name in ("atom_ids", "positions", "atom_mask")}
        return head(masked_mean(tower(**given).last_hidden_state, given["atom_mask"])).squeeze(-1)

    for _ in range(150):
        loss = torch.nn.functional.binary_cross_entropy_with_logits(logits(trained), is_l[trained])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        assert loss < 0.1
        assert torch.equal(logits(slice(24, None)) > 0, is_l[24:] > 0)
