"""Geometry-only pre-training: the tower that is built and saved, its noise, its losses."""

import pytest
import torch
from datasets import Dataset
from torch.testing import assert_close
from transformers import AutoModel

from modeling_geomclip import GeomCLIPGeometryModel
from training.pretrain_geometry import GeometryPretraining, PretrainGeometrySettings
from training.rows import id_hash

ROWS = [
    {
        "row_id": 4,
        "atomic_numbers": [6, 6, 8, 7],
        "positions": [[0.0, 0, 0], [1.5, 0, 0], [2.1, 1.3, 0], [0, 1.4, 0]],
    },
    {"row_id": 9, "atomic_numbers": [6, 8, 8], "positions": [[0.0, 0, 0], [1.4, 0, 0], [0.1, 1.2, 0.4]]},
]


@pytest.fixture
def task(model, processor, tmp_path):
    model.save_pretrained(tmp_path / "start")
    processor.save_pretrained(tmp_path / "start")

    def build(**settings) -> GeometryPretraining:
        defaults = {"dataset": "d", "output_dir": "o", "geometry_model": str(tmp_path / "start")}
        return GeometryPretraining(PretrainGeometrySettings(**defaults | settings))

    return build


def test_it_goes_on_from_the_tower_of_any_model(task, model):
    trained, extractor = task(max_atoms=7).build()
    assert extractor.max_atoms == 7
    expected = model.geometry_model.state_dict()
    for name, weight in trained.geometry_model.state_dict().items():
        assert torch.equal(weight, expected[name]), name


def test_it_needs_no_text(task):
    assert task().columns == ()


def test_noise_depends_on_seed_epoch_and_row_alone(task):
    job = task(seed=3)
    _, extractor = job.build()
    seeds = job.collate(extractor, ROWS, epoch=2)["noise_seeds"]
    assert seeds.tolist() == [id_hash("3 2 4"), id_hash("3 2 9")]


def test_losses_are_those_of_the_tower(task):
    job = task()
    trained, extractor = job.build()
    batch = job.collate(extractor, ROWS, epoch=0)
    outputs = job.forward(trained.eval(), batch)
    expected = trained.geometry_model.denoise(**batch)
    losses = job.losses(outputs, batch)
    assert losses.keys() == {"loss", "coordinate_loss", "atom_type_loss", "distance_loss"}
    for name, loss in losses.items():
        assert_close(loss, expected[name])
    losses["loss"].backward()
    assert trained.geometry_model.embed_tokens.weight.grad.norm() > 0


def test_validation_is_the_noise_taken_away_and_the_same_each_time(task):
    job = task()
    trained, extractor = job.build()
    rows = Dataset.from_list(ROWS)
    score, metrics = job.validate(trained.train(), extractor, rows)
    assert trained.training
    assert score == metrics["relative_reduction"] == 1 - metrics["coordinate_loss"] / metrics["noised_coordinate_loss"]
    assert job.validate(trained, extractor, rows) == (score, metrics)


def test_what_is_saved_is_a_tower(task, tmp_path):
    job = task()
    trained, _ = job.build()
    job.save(trained, tmp_path / "tower", tmp_path / "tower")
    tower = AutoModel.from_pretrained(tmp_path / "tower")
    assert type(tower) is GeomCLIPGeometryModel
    for name, weight in trained.geometry_model.state_dict().items():
        assert torch.equal(weight, tower.state_dict()[name]), name
