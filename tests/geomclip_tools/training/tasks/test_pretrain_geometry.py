"""Geometry-only pre-training: building and saving the tower, noise and losses."""

import numpy as np
import pytest
import torch
from datasets import Dataset
from torch.testing import assert_close
from transformers import AutoModel, AutoModelForPreTraining

from geomclip_tools.noise import draw_noise, draw_seed
from geomclip_tools.training.identity import hash_id
from geomclip_tools.training.structure_labels import label_structure
from geomclip_tools.training.tasks.pretrain_geometry import (
    DENOISING_LOSSES,
    GeometryPretraining,
    PretrainGeometrySettings,
)
from modeling_geomclip import GeomCLIPGeometryForPreTraining, GeomCLIPGeometryModel, read_molecule

GEOMETRY = ("atom_ids", "positions", "atom_mask")

ROWS = [
    {
        "row_id": 4,
        "atomic_numbers": [6, 6, 8, 7],
        "positions": [[0.0, 0, 0], [1.5, 0, 0], [2.1, 1.3, 0], [0, 1.4, 0]],
    },
    {"row_id": 9, "atomic_numbers": [6, 8, 8], "positions": [[0.0, 0, 0], [1.4, 0, 0], [0.1, 1.2, 0.4]]},
]

LABELLED = [
    {**row, **label_structure(smiles, row["atomic_numbers"], np.array(row["positions"]))}
    for row, smiles in zip(ROWS, ("NCCO", "OCO"))
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
    for name, weight in trained.model.geometry_model.state_dict().items():
        assert torch.equal(weight, expected[name]), name


def test_it_needs_no_text(task):
    assert task().columns == ()


def test_noise_depends_on_seed_epoch_and_row_alone(task):
    job = task(seed=3)
    _, extractor = job.build()
    batch = job.collate(extractor, ROWS, epoch=2)
    seeds = torch.tensor([hash_id("3 2 4"), hash_id("3 2 9")])
    expected = draw_noise(*(batch[name] for name in GEOMETRY), seeds, job.config)
    for name, values in expected.items():
        assert torch.equal(batch[name], values)


def test_denoising_losses_are_those_of_the_tower(task):
    job = task()
    trained, extractor = job.build()
    batch = job.collate(extractor, ROWS, epoch=0)
    outputs = job.forward(trained.eval(), batch)
    expected = trained.model.denoise(**batch)
    losses = job.compute_losses(outputs, batch)
    assert losses.keys() == {"loss", "denoising_loss", *DENOISING_LOSSES}
    for name, loss in losses.items():
        assert_close(loss, expected[name.replace("denoising_", "")])
    losses["loss"].backward()
    assert trained.model.geometry_model.embed_tokens.weight.grad.norm() > 0


def test_the_loss_is_the_weighted_sum_and_every_parameter_that_is_trained_gets_a_gradient(task):
    weights = {"denoising_weight": 0.5, "bond_order_weight": 2.0, "fingerprint_weight": 0.1, "is_in_ring_weight": 3.0}
    job = task(**weights)
    trained, extractor = job.build()
    batch = job.collate(extractor, LABELLED, epoch=0)
    losses = job.compute_losses(job.forward(trained.train(), batch), batch)
    assert_close(
        losses["loss"], sum(weight * losses[name.replace("weight", "loss")] for name, weight in weights.items())
    )
    losses["loss"].backward()
    assert {name for name, value in trained.named_parameters() if value.requires_grad and value.grad is None} == set()


@pytest.mark.parametrize("target", ["hybridization", "fingerprint", "bond_order"])
def test_without_denoising_the_geometry_is_read_as_it_is(task, target):
    job = task(denoising_weight=0.0, **{f"{target}_weight": 1.0})
    trained, extractor = job.build()
    batch = job.collate(extractor, LABELLED, epoch=0)
    assert "chosen" not in batch
    losses = job.compute_losses(job.forward(trained.train(), batch), batch)
    assert losses.keys() == {"loss", f"{target}_loss"}
    losses["loss"].backward()
    assert {name for name, value in trained.named_parameters() if value.requires_grad and value.grad is None} == set()
    assert not any(value.requires_grad for value in trained.model.denoising_head.parameters())


def test_a_conformer_made_from_a_smiles_has_its_labels_however_it_is_written(task):
    """Without hydrogens, only the atom order tells the two oxygens of an acid apart."""
    job = task(bond_order_weight=1.0)
    for smiles in ("CC(=O)O", "CC(O)=O", "OC(C)=O"):
        molecule = read_molecule(smiles, remove_hydrogens=True)
        for begin, end, kind in job.derive({"smiles": smiles}, molecule)["bonds"]:
            length = np.linalg.norm(molecule["positions"][begin] - molecule["positions"][end])
            assert (kind == 2) == (length < 1.28), smiles


def test_a_negative_weight_is_refused(task):
    with pytest.raises(ValueError, match=r"--bond_order_weight is -1\.0; it must be at least 0"):
        task(bond_order_weight=-1.0)


def test_nothing_to_learn_is_refused(task):
    with pytest.raises(ValueError, match="all loss weights are 0"):
        task(denoising_weight=0.0)


def test_smiles_are_needed_for_structure_alone(task):
    assert task(bond_order_weight=1.0).columns == ("smiles",)
    row = {"smiles": "CC(N)O", **ROWS[0]}
    assert task().derive(row, row) == {}
    labels = task(bond_order_weight=1.0).derive(
        {"smiles": "CO"}, {"atomic_numbers": [6, 8], "positions": [[0.0, 0, 0], [1.4, 0, 0]]}
    )
    assert labels["bonds"] == [[0, 1, 1]]
    with pytest.raises(ValueError, match="geometry does not have the atoms of its SMILES 'CN'"):
        task(bond_order_weight=1.0).derive(
            {"smiles": "CN"}, {"atomic_numbers": [6, 8], "positions": [[0.0, 0, 0], [1.4, 0, 0]]}
        )


@pytest.mark.parametrize("batch_size", [1, 2])
def test_validation_is_the_loss_over_all_rows_in_any_batches_and_the_same_each_time(task, batch_size):
    job = task(bond_order_weight=1.0, functional_groups_weight=1.0, batch_size=batch_size)
    trained, extractor = job.build()
    rows = Dataset.from_list(LABELLED)
    score, metrics = job.validate(trained.train(), extractor, rows)
    assert trained.training
    assert job.validate(trained, extractor, rows) == (score, metrics)
    batch = job.batch(extractor, LABELLED, torch.tensor([draw_seed(0, 0, place) for place in range(2)]))
    with torch.no_grad():
        losses = job.compute_losses(job.forward(trained.eval(), batch), batch)
    assert score == pytest.approx(-losses.pop("loss").item(), rel=1e-5)
    assert metrics == {f"validation_{name}": pytest.approx(loss.item(), rel=1e-5) for name, loss in losses.items()}


def test_what_is_saved_is_a_tower(task, tmp_path):
    job = task()
    trained, _ = job.build()
    job.save(trained, tmp_path / "tower", tmp_path / "tower")
    tower = AutoModel.from_pretrained(tmp_path / "tower")
    assert type(tower) is GeomCLIPGeometryModel
    for name, weight in trained.model.geometry_model.state_dict().items():
        assert torch.equal(weight, tower.state_dict()[name]), name
    whole = AutoModelForPreTraining.from_pretrained(tmp_path / "tower")
    assert type(whole) is GeomCLIPGeometryForPreTraining
    for name, weight in trained.model.state_dict().items():
        assert torch.equal(weight, whole.state_dict()[name]), name
