"""Maps keep neighbours together, and large libraries are placed by a sample."""

import numpy as np
import pytest

from geomclip_tools.app import projection
from geomclip_tools.app.projection import measure_preservation, project


def make_clusters(number: int, size: int = 16) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    labels = rng.integers(5, size=number)
    vectors = rng.normal(size=(5, size))[labels] + 0.3 * rng.normal(size=(number, size))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32), labels


@pytest.mark.parametrize("sample", [200, 80])
def test_neighbours_stay_together(sample, monkeypatch):
    monkeypatch.setattr(projection, "SAMPLE", sample)
    monkeypatch.setattr(projection, "CHUNK", 50)
    vectors, labels = make_clusters(200)
    positions = project(vectors)
    assert positions.shape == (200, 2)
    distances = np.linalg.norm(positions[:, None] - positions, axis=-1)
    np.fill_diagonal(distances, np.inf)
    assert (labels[distances.argmin(axis=1)] == labels).mean() > 0.95
    np.testing.assert_array_equal(project(vectors), positions)
    measured = measure_preservation(vectors, positions)
    assert min(measured.values()) > 0.9
    assert measure_preservation(vectors, positions[::-1])["map"] < 0.6


@pytest.mark.parametrize("number", [0, 1, 4, 5, 9])
def test_small_libraries(number):
    vectors, _ = make_clusters(9)
    positions = project(vectors[:number])
    assert positions.shape == (number, 2)
    assert np.isfinite(positions).all()
    assert len(np.unique(positions, axis=0)) == number
