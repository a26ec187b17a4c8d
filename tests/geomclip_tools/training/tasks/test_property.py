"""Property prediction: model, label statistics, batches and rejected labels."""

import dataclasses
import json
import math

import numpy as np
import pytest
import torch
from datasets import Dataset, concatenate_datasets
from sklearn.linear_model import LinearRegression
from transformers import AutoModelForSequenceClassification

from geomclip_tools.training.tasks.property import PropertyPrediction, PropertySettings, fit_references
from geomclip_tools.training.towers import load_feature_extractor, load_geometry_tower
from modeling_geomclip import GeomCLIPGeometryModel

ROWS = [  # without labels
    {"smiles": "CCO", "atomic_numbers": [6, 6, 8], "positions": [[0.0, 0, 0], [1.5, 0, 0], [2.1, 1.3, 0]]},
    {"smiles": "CO", "atomic_numbers": [6, 8], "positions": [[0.0, 0, 0], [1.4, 0, 0]]},
    {"smiles": "CN", "atomic_numbers": [6, 7], "positions": [[0.0, 0, 0], [1.5, 0, 0]]},
]
LABELS = {"homo": [-0.2, None, -0.3], "alpha": [40.0, 30.0, 50.0]}


@pytest.fixture
def task(model, processor, tmp_path):
    """Build a property task on a tiny GeomCLIP."""
    model.save_pretrained(tmp_path / "start")
    processor.feature_extractor.remove_hydrogens = False
    processor.save_pretrained(tmp_path / "start")

    def build(**settings) -> PropertyPrediction:
        defaults = {"dataset": "d", "output_dir": "o", "model": str(tmp_path / "start"), "targets": ["homo", "alpha"]}
        return PropertyPrediction(PropertySettings(**defaults | settings))

    return build


def labelled(**labels) -> Dataset:
    return Dataset.from_list([{**row, **dict(zip(labels, values))} for row, *values in zip(ROWS, *labels.values())])


def test_the_predictor_starts_from_the_tower_and_knows_its_targets(task, model):
    predictor, extractor = task(units=["Hartree", "a0^3"], property_pooling="sum", max_atoms=9).build()
    assert predictor.config.id2label == {0: "homo", 1: "alpha"}
    assert predictor.config.label_units == ["Hartree", "a0^3"]
    assert (predictor.config.problem_type, predictor.config.property_pooling) == ("regression", "sum")
    assert (extractor.remove_hydrogens, extractor.max_atoms) == (False, 9)
    given = model.geometry_model.layers[0].attention.state_dict()
    for name, weight in predictor.geometry_model.layers[0].attention.state_dict().items():
        assert torch.equal(weight, given[name]), name


def test_units_are_those_of_a_built_dataset(task, tmp_path):
    (tmp_path / "built").mkdir()
    (tmp_path / "built" / "build_report.json").write_text(json.dumps({"units": {"homo": "Hartree", "gap": "eV"}}))
    predictor, _ = task(dataset=str(tmp_path / "built")).build()
    assert predictor.config.label_units == ["Hartree", ""]


@pytest.mark.parametrize(("geometry", "expected"), [("full", {"tower", "head"}), ("frozen", {"head"})])
def test_what_is_trained(task, geometry, expected):
    predictor, _ = task(geometry=geometry).build()
    trained = {name for name, parameter in predictor.named_parameters() if parameter.requires_grad}
    found = {"head" if name.startswith("property_head.") else "tower" for name in trained}
    assert found == expected


def test_label_statistics_are_those_of_the_labels_that_are_there(task):
    job = task()
    predictor, _ = job.build()
    job.prepare(predictor, labelled(**LABELS))
    assert predictor.config.label_means == pytest.approx([-0.25, 40.0])
    assert predictor.config.label_stds == pytest.approx([0.05, math.sqrt(200 / 3)])


@pytest.mark.parametrize(
    ("settings", "labels", "message"),
    [
        ({}, [0.5, 0.5, 0.5], "the training rows have only the value 0.5 of 'homo'"),
        ({}, [0.5, None, None], "the training rows have only the value 0.5 of 'homo'"),
        ({}, [None, None, float("nan")], "the training rows have no label of 'homo'"),
        ({"problem_type": "multi_label_classification"}, [1.0, 1.0, None], "have only the value 1 of 'homo'"),
        ({"problem_type": "multi_label_classification"}, [0.0, 1.0, 2.0], r"'homo' has the values \[0.0, 1.0, 2.0\]"),
        ({"problem_type": "single_label_classification", "num_classes": 3}, [0.0, 1.5, 2.0], "takes 0 to 2"),
    ],
)
def test_labels_from_which_nothing_can_be_learned_are_refused(task, settings, labels, message):
    job = task(targets=["homo"], **settings)
    predictor, _ = job.build()
    with pytest.raises(ValueError, match=message):
        job.prepare(predictor, labelled(homo=labels))


def test_references_are_those_of_least_squares():
    """They equal those of scikit-learn on the available labels. An element that does not occur contributes 0."""
    random = np.random.default_rng(0)
    counts = np.zeros((40, 31))
    counts[:, [4, 5, 6, 8]] = random.integers(0, 9, (40, 4))
    labels = counts @ random.normal(size=31) + 5.0 + random.normal(size=40)
    labels[::7] = math.nan
    is_labelled = ~np.isnan(labels)
    expected = LinearRegression().fit(counts[is_labelled], labels[is_labelled])
    references, mean, std = fit_references("energy", counts, labels)
    assert references == pytest.approx(expected.coef_, abs=1e-9)
    assert mean == pytest.approx(expected.intercept_)
    left = labels[is_labelled] - expected.predict(counts[is_labelled])
    assert std == pytest.approx(left.std())
    assert references[7] == 0


def test_the_predictor_keeps_its_references(task):
    """If the head predicts 0, molecules with equal element counts get the mean of their labels."""
    job = task(targets=["homo"], element_references=True)
    predictor, extractor = job.build()
    rows = labelled(homo=[-0.2, -0.26, -0.3])
    rows = concatenate_datasets([rows, labelled(homo=[-0.22, -0.28, None])])
    job.prepare(predictor, rows)
    config = predictor.config
    assert (np.array(config.element_references).shape, len(config.residual_stds)) == ((1, 31), 1)
    assert config.residual_stds[0] == pytest.approx(np.std([0.01, 0.01, -0.01, -0.01, 0]))
    for parameter in predictor.property_head.parameters():
        parameter.data.zero_()
    predicted = predictor(**extractor(rows.to_list(), return_tensors="pt")).logits[:3, 0].tolist()
    assert predicted == pytest.approx([-0.21, -0.27, -0.3], abs=1e-6)
    assert config.label_stds == pytest.approx([np.std([-0.2, -0.26, -0.3, -0.22, -0.28])])


def test_what_the_elements_tell_alone_is_refused(task):
    job = task(targets=["homo"], element_references=True)
    predictor, _ = job.build()
    with pytest.raises(ValueError, match="the element counts alone explain 'homo' in all 3 labelled training rows"):
        job.prepare(predictor, labelled(homo=[1.0, 2.0, 4.0]))


def test_a_batch_has_labels_beside_the_molecules(task):
    job = task()
    _, extractor = job.build()
    batch = job.collate(extractor, labelled(**LABELS).to_list(), epoch=0)
    assert batch["atom_ids"].shape == (3, 5)
    torch.testing.assert_close(batch["labels"], torch.tensor([[-0.2, 40], [math.nan, 30], [-0.3, 50]]), equal_nan=True)
    job = task(targets=["homo"], problem_type="single_label_classification")
    batch = job.collate(extractor, labelled(homo=[1.0, None, 0.0]).to_list(), epoch=0)
    assert batch["labels"].tolist() == [1, -100, 0]


def test_the_molecule_is_that_of_the_coordinates_or_of_the_smiles(task):
    assert task().take_molecule(ROWS[1])["atomic_numbers"] == [6, 8]
    assert task(coordinates="rdkit").take_molecule(ROWS[1]) == "CO"
    assert task().columns == ("homo", "alpha")
    assert task(coordinates="rdkit").columns == ("homo", "alpha", "smiles")


def test_the_head_has_a_learning_rate_of_its_own(task):
    job = task(learning_rate=1e-4, head_learning_rate=1e-3)
    assert job.choose_learning_rate("property_head.dense.weight") == 1e-3
    assert job.choose_learning_rate("geometry_model.embed_tokens.weight") == 1e-4
    assert task(learning_rate=1e-4).choose_learning_rate("property_head.dense.weight") == 1e-4


def test_validation_prefers_the_smaller_error(task):
    job = task()
    predictor, extractor = job.build()
    rows = labelled(**LABELS)
    job.prepare(predictor, rows)
    score, metrics = job.validate(predictor.train(), extractor, rows)
    assert score == -metrics["standardised_mae"] < 0
    assert predictor.training
    with pytest.raises(ValueError, match="too few labels to select a checkpoint"):
        job.validate(predictor, extractor, labelled(homo=[None] * 3, alpha=[None] * 3).cast(rows.features))


def test_lora_is_merged_when_it_is_saved(task, tmp_path):
    job = task(geometry="lora", lora_rank=2)
    predictor, extractor = job.build()
    job.prepare(predictor, labelled(**LABELS))
    with torch.no_grad():
        for name, parameter in predictor.named_parameters():
            if "lora_" in name:
                parameter.add_(0.1)
    job.save(predictor, tmp_path / "out", tmp_path / "out")
    inputs = extractor(ROWS, return_tensors="pt")
    expected = predictor.eval()(**inputs).logits  # the model in memory keeps its adapter
    assert any("lora_" in name for name, _ in predictor.named_parameters())
    loaded = AutoModelForSequenceClassification.from_pretrained(tmp_path / "out").eval()
    torch.testing.assert_close(loaded(**inputs).logits, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"problem_type": "ranking"}, "--problem_type is 'ranking'; choose one of regression"),
        ({"geometry": "half"}, "--geometry is 'half'"),
        ({"coordinates": "xtb"}, "--coordinates is 'xtb'"),
        ({"targets": ["homo", "homo"]}, "--targets homo homo names a column twice"),
        ({"units": ["eV"]}, "--units has 1 units for 2 targets"),
        ({"problem_type": "single_label_classification"}, "takes one target"),
        (
            {"problem_type": "multi_label_classification", "element_references": True},
            "--element_references is for regression",
        ),
    ],
)
def test_settings_that_do_not_fit_are_refused(task, settings, message):
    with pytest.raises(ValueError, match=message):
        task(**settings)


# --------------------------------------------------------------------------------------------------------------- towers


def test_a_tower_from_scratch_or_from_any_model_that_has_one(task, model, tmp_path):
    (tmp_path / "tower.json").write_text('{"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 4}')
    assert load_geometry_tower(str(tmp_path / "tower.json")).config.num_hidden_layers == 1
    model.geometry_model.save_pretrained(tmp_path / "tower")
    predictor, extractor = task().build()
    task().save(predictor, tmp_path / "predictor", tmp_path / "predictor")
    extractor.save_pretrained(tmp_path / "predictor")
    for folder in ("start", "tower", "predictor"):
        tower = load_geometry_tower(str(tmp_path / folder)).geometry_model
        assert type(tower) is GeomCLIPGeometryModel
        assert torch.equal(tower.embed_tokens.weight, model.geometry_model.embed_tokens.weight)


def test_the_feature_extractor_beside_a_tower_is_kept(task, model, tmp_path):
    task()
    assert not load_feature_extractor(str(tmp_path / "start")).remove_hydrogens
    assert load_feature_extractor(str(tmp_path / "start"), remove_hydrogens=True, max_atoms=5).max_atoms == 5
    model.geometry_model.save_pretrained(tmp_path / "alone")
    assert load_feature_extractor(str(tmp_path / "alone")).remove_hydrogens
    assert load_feature_extractor(None, max_atoms=7).max_atoms == 7


def test_a_model_without_a_geometry_tower_is_refused(model, tmp_path):
    model.text_model.save_pretrained(tmp_path / "text")
    with pytest.raises(ValueError, match="text is a bert, which has no geometry tower"):
        load_geometry_tower(str(tmp_path / "text"))


def test_a_folder_without_a_model_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"folder .* has no config\.json, so it is not a checkpoint"):
        load_geometry_tower(str(tmp_path))


def test_settings_are_all_described():
    for field in dataclasses.fields(PropertySettings):
        assert field.metadata["help"].endswith("."), field.name
