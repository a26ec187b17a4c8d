"""The pictures of one molecule show what the processor and the geometry tower compute."""

import numpy as np
import pytest
import torch
from drawing import save_svg
from how_it_works import (
    ASPIRIN,
    PAIRS,
    Example,
    add_noise,
    compute_basis,
    compute_similarities,
    draw_basis,
    draw_molecule,
    draw_noising,
    draw_similarities,
    read_example,
)

from modeling_geomclip import GeomCLIPFeatureExtractor


@pytest.fixture
def example() -> Example:
    return read_example(ASPIRIN, GeomCLIPFeatureExtractor())


def test_bonds_and_rows_belong_to_the_atoms(example):
    assert example.num_heavy == 13
    assert (example.numbers[13:] == 1).all()
    lengths = [np.linalg.norm(example.positions[start] - example.positions[end]) for start, end in example.bonds]
    assert 0.9 < min(lengths) < max(lengths) < 1.6  # Å
    assert len(example.bonds) == 21
    assert example.symbols[:5] == ["[CLS]", "C 1", "C 2", "O 3", "O 4"]
    assert len(example.symbols) == example.batch["atom_ids"].shape[1] == 15


def test_densities_are_normal_and_biases_those_of_the_tower(model, example):
    tower = model.geometry_model
    torch.nn.init.uniform_(tower.pair_basis.offset.weight, -0.2, 0.2)
    basis = compute_basis(tower, example)
    edge = int(example.batch["atom_ids"][0, 1]) * tower.config.vocab_size + int(example.batch["atom_ids"][0, 3])
    x = tower.pair_basis.slope.weight[edge].item() * basis.distances + tower.pair_basis.offset.weight[edge].item()
    means, stds = tower.pair_basis.means.detach().numpy(), tower.pair_basis.stds.detach().numpy() + 1e-5
    z = (x[:, None] - means) / stds
    expected = np.exp(-(z**2) / 2) / (np.sqrt(2 * np.pi) * stds)
    np.testing.assert_allclose(basis.densities, expected, rtol=1e-3, atol=1e-5)
    assert basis.biases.shape == (4, 15, 15)
    assert len(basis.found) == 9 * 4
    distance = np.linalg.norm(example.positions[0] - example.positions[2])  # of the atoms C 1 and O 3
    assert basis.found[0] == pytest.approx(distance, rel=1e-5)
    curve = np.interp(distance, basis.distances, basis.curves[:, 0])
    assert basis.biases[0, 1, 3] == pytest.approx(curve, abs=0.01)


def test_noise_moves_the_chosen_atoms_alone(example, geometry_config):
    clean, noised, chosen = add_noise(example, geometry_config)
    moved = np.linalg.norm(noised - clean, axis=1)
    assert np.flatnonzero(moved > 1e-5).tolist() == chosen.tolist()
    np.testing.assert_allclose(noised.mean(axis=0), 0, atol=1e-6)
    lengths = [np.linalg.norm(clean[start] - clean[end]) for start, end in example.bonds if end < 13]
    assert max(lengths) < 1.6


def test_pictures_are_the_same_every_time(model, processor, example, tmp_path):
    cosines = compute_similarities(model, processor)
    assert cosines.shape == (len(PAIRS), len(PAIRS))
    basis, noise = compute_basis(model.geometry_model, example), add_noise(example, model.config.geometry_config)
    drawings = {
        "molecule": lambda: draw_molecule(example),
        "basis": lambda: draw_basis(basis, example, (0, 3)),
        "similarities": lambda: draw_similarities(cosines),
        "noising": lambda: draw_noising(example, *noise),
    }
    for name, draw in drawings.items():
        first, second = tmp_path / f"{name}_1.svg", tmp_path / f"{name}_2.svg"
        save_svg(draw(), first)
        save_svg(draw(), second)
        assert first.read_bytes() == second.read_bytes(), name
        assert first.stat().st_size < 150_000
