"""Units, losses and symmetries of the property predictor."""

import copy
import itertools

import pytest
import torch
import torch.nn.functional as F
from torch.testing import assert_close
from transformers import AutoModel, AutoModelForSequenceClassification

from modeling_geomclip import (
    GeomCLIPForPropertyPrediction,
    GeomCLIPGeometryConfig,
    GeomCLIPGeometryModel,
    GeomCLIPModel,
)

NAN = float("nan")
STATISTICS = {"label_means": [-0.24, 75.0], "label_stds": [0.02, 8.0], "label_units": ["Hartree", "a0^3"]}
EXACT = {"rtol": 0, "atol": 1e-9}


@pytest.fixture
def geometry(batch) -> dict[str, torch.Tensor]:
    names = ("atom_ids", "positions", "atom_mask")
    return {name: batch[name] for name in names} | {"positions": batch["positions"].double()}


def predictor_of(geometry_config, problem_type="regression", names=("homo", "alpha"), **settings):
    torch.manual_seed(0)
    model = GeomCLIPForPropertyPrediction.from_geometry_pretrained(
        GeomCLIPGeometryModel(geometry_config), problem_type=problem_type, id2label=dict(enumerate(names)), **settings
    )
    return model.double().eval()


@pytest.fixture(params=["cls", "mean", "sum"])
def predictor(request, geometry_config) -> GeomCLIPForPropertyPrediction:
    return predictor_of(geometry_config, property_pooling=request.param, **STATISTICS)


# ------------------------------------------------------------------------------------------------------------- physics


def test_moving_or_mirroring_a_molecule_changes_nothing(predictor, geometry):
    rotation, _ = torch.linalg.qr(torch.randn(3, 3, dtype=torch.float64))
    for moved in (geometry["positions"] @ rotation + 7.0, -geometry["positions"]):
        assert_close(predictor(**geometry | {"positions": moved}).logits, predictor(**geometry).logits, **EXACT)


def test_the_order_of_atoms_changes_nothing(predictor, geometry):
    order = torch.tensor([[0, 5, 2, 7, 1, 6, 4, 3, 8], [0, 3, 5, 1, 2, 4, 6, 7, 8], [0, 2, 3, 1, 4, 5, 6, 7, 8]])
    permuted = {name: geometry[name].gather(1, order) for name in ("atom_ids", "atom_mask")}
    permuted["positions"] = geometry["positions"].gather(1, order[:, :, None].expand(3, 9, 3))
    assert_close(predictor(**permuted).logits, predictor(**geometry).logits, **EXACT)


def test_padding_and_batch_mates_change_nothing(predictor, geometry):
    together = predictor(**geometry).logits
    assert (together[0] - together[1]).abs().min() > 1e-6
    for row, size in enumerate((9, 7, 5)):
        alone = {name: values[row : row + 1, :size] for name, values in geometry.items()}
        assert_close(predictor(**alone).logits, together[row : row + 1], **EXACT)
    wide = {name: F.pad(geometry[name], (0, 4)) for name in ("atom_ids", "atom_mask")}
    wide["positions"] = F.pad(geometry["positions"], (0, 0, 0, 4), value=3.0)
    assert_close(predictor(**wide).logits, together, **EXACT)
    without_mask = {name: geometry[name] for name in ("atom_ids", "positions")}
    assert_close(predictor(**without_mask).logits, together, **EXACT)


def test_another_geometry_changes_the_prediction(predictor, geometry):
    stretched = predictor(**geometry | {"positions": 1.2 * geometry["positions"]}).logits
    assert (stretched - predictor(**geometry).logits).abs().min() > 1e-6


def test_pooling_by_hand(predictor, geometry):
    head, states = predictor.property_head, predictor.geometry_model(**geometry).last_hidden_state
    of_rows = head.out_projection(torch.tanh(head.dense(states)))
    for row, size in enumerate((7, 5, 3)):  # [CLS], atoms, [SEP]
        atoms = of_rows[row, 1 : size + 1]
        expected = {"cls": of_rows[row, 0], "mean": atoms.mean(0), "sum": atoms.sum(0)}[
            predictor.config.property_pooling
        ]
        standardised = (predictor(**geometry).logits[row] - torch.tensor([-0.24, 75.0])) / torch.tensor([0.02, 8.0])
        assert_close(standardised, expected, rtol=0, atol=1e-6)  # 75 + 8 x has fewer digits than x


# --------------------------------------------------------------------------------------------------------------- units


def test_outputs_are_in_the_units_of_the_labels(geometry_config, geometry):
    standardised, physical = predictor_of(geometry_config), predictor_of(geometry_config, **STATISTICS)
    expected = (
        standardised(**geometry).logits * torch.tensor([0.02, 8.0]).double() + torch.tensor([-0.24, 75.0]).double()
    )
    assert_close(physical(**geometry).logits, expected, rtol=1e-6, atol=0)


def references(geometry_config) -> dict[str, list]:
    """Return references of two properties: carbon (4) and oxygen (6) contribute to both, other symbols to neither."""
    values = [[0.0] * geometry_config.vocab_size for _ in range(2)]
    values[0][4], values[0][6], values[1][4], values[1][6] = -0.5, -0.7, 3.0, 4.0
    return {"element_references": values, "residual_stds": [0.004, 2.0]}


def test_every_atom_adds_its_reference(geometry_config, geometry):
    plain = predictor_of(geometry_config)
    model = predictor_of(geometry_config, **STATISTICS, **references(geometry_config))
    carbons, oxygens = ((geometry["atom_ids"] == symbol).sum(dim=1).double() for symbol in (4, 6))
    assert carbons.unique().numel() > 1
    assert oxygens.any()
    means = torch.stack([-0.24 - 0.5 * carbons - 0.7 * oxygens, 75 + 3 * carbons + 4 * oxygens], dim=1)
    stds = torch.tensor([0.004, 2.0], dtype=torch.float64)
    expected = plain(**geometry).logits * stds + means
    assert_close(model(**geometry).logits, expected, rtol=1e-9, atol=0)
    labels = expected + stds * torch.tensor([[0.1, -2.0]])  # in the quadratic and in the linear part
    labels[1, 0] = NAN
    loss = model(**geometry, labels=labels).loss.item()
    assert loss == pytest.approx((2 * 0.1**2 / 2 + 3 * 1.5) / 5, rel=1e-6)


def test_only_atoms_have_references(geometry_config, geometry):
    plain, other = references(geometry_config), references(geometry_config)
    for values in other["element_references"]:
        values[:3] = [1e3] * 3  # [PAD], [CLS] and [SEP]
    expected = predictor_of(geometry_config, **STATISTICS, **plain)(**geometry).logits
    assert_close(predictor_of(geometry_config, **STATISTICS, **other)(**geometry).logits, expected)


def test_predictions_of_a_half_precision_model_are_float32(geometry_config, geometry):
    model = predictor_of(geometry_config, **STATISTICS).to(torch.bfloat16)
    assert model(**geometry).logits.dtype == torch.float32  # bfloat16 resolves -0.24 to 0.001


# -------------------------------------------------------------------------------------------------------------- losses


def test_regression_is_smooth_l1_on_the_standardised_labels_that_are_present(geometry_config, geometry):
    model = predictor_of(geometry_config, **STATISTICS)
    labels = torch.tensor([[-0.25, NAN], [NAN, 90.0], [-0.1, 60.0]], dtype=torch.float64)
    outputs = model(**geometry, labels=labels)
    scaled = (outputs.logits - labels) / torch.tensor([0.02, 8.0], dtype=torch.float64)
    errors = [scaled[row, column].abs().item() for row, column in ((0, 0), (1, 1), (2, 0), (2, 1))]
    expected = sum(error - 0.5 if error > 1 else error**2 / 2 for error in errors) / 4
    assert outputs.num_labelled == 4
    assert outputs.loss.item() == pytest.approx(expected, rel=1e-9)


def test_binary_properties_use_cross_entropy_on_the_labels_that_are_present(geometry_config, geometry):
    model = predictor_of(geometry_config, "multi_label_classification", ("toxic", "bitter"))
    labels = torch.tensor([[1.0, NAN], [0.0, 1.0], [NAN, NAN]])
    outputs = model(**geometry, labels=labels)
    present = ~labels.isnan()
    expected = F.binary_cross_entropy_with_logits(outputs.logits[present], labels[present].double())
    assert outputs.num_labelled == 3
    assert_close(outputs.loss, expected)


def test_several_classes_use_cross_entropy(geometry_config, geometry):
    model = predictor_of(geometry_config, "single_label_classification", ("class=0", "class=1", "class=2"))
    outputs = model(**geometry, labels=torch.tensor([2, -100, 0]))
    assert outputs.num_labelled == 2
    assert_close(outputs.loss, F.cross_entropy(outputs.logits[[0, 2]], torch.tensor([2, 0])))


@pytest.mark.parametrize("problem_type", ["regression", "multi_label_classification"])
def test_missing_labels_leave_finite_gradients(geometry_config, geometry, problem_type):
    model = predictor_of(geometry_config, problem_type)
    for labels in ([[1.0, NAN], [NAN, NAN], [0.0, 1.0]], [[NAN, NAN]] * 3):
        model.zero_grad()
        outputs = model(**geometry, labels=torch.tensor(labels))
        outputs.loss.backward()
        assert outputs.loss.isfinite()
        assert all(parameter.grad.isfinite().all() for parameter in model.parameters())
    assert outputs.loss == outputs.num_labelled == 0


def test_a_loss_needs_a_problem_type(geometry_config, geometry):
    model = predictor_of(geometry_config, None)
    with pytest.raises(ValueError, match="problem_type is None; set it to one of regression"):
        model(**geometry, labels=torch.ones(3, 2))


def test_a_tiny_batch_is_learned(geometry_config, geometry):
    model = predictor_of(geometry_config, property_pooling="sum", **STATISTICS)  # without dropout
    labels = torch.tensor([[-0.27, 70.0], [-0.22, 90.0], [-0.24, NAN]], dtype=torch.float64)
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(200):
        optimizer.zero_grad()
        model(**geometry, labels=labels).loss.backward()
        optimizer.step()
    error = (model(**geometry).logits - labels).abs().nanmean(dim=0) / torch.tensor([0.02, 8.0])
    assert error.max() < 0.2


# -------------------------------------------------------------------------------------------------- building and saving


def test_it_is_built_from_a_tower_or_a_model_with_one(model, geometry):
    towers = (model, model.geometry_model, predictor_of(model.config.geometry_config, **STATISTICS).float())
    for start in towers:
        tower = copy.deepcopy(getattr(start, "geometry_model", start))
        made = GeomCLIPForPropertyPrediction.from_geometry_pretrained(
            start, problem_type="regression", id2label={0: "a", 1: "b", 2: "c"}
        )
        assert (made.config.num_labels, made.config.label_means, made.config.label_units) == (3, None, None)
        assert made.config.label2id == {"a": 0, "b": 1, "c": 2}
        inputs = geometry | {"positions": geometry["positions"].float()}
        states = made.eval().geometry_model(**inputs).last_hidden_state
        assert_close(states, tower.eval()(**inputs).last_hidden_state)


def test_it_loads_by_its_auto_class_and_its_tower_by_automodel(geometry_config, geometry, tmp_path):
    model = predictor_of(geometry_config, **STATISTICS)
    model.save_pretrained(tmp_path)
    loaded = AutoModelForSequenceClassification.from_pretrained(tmp_path).eval()
    assert type(loaded) is GeomCLIPForPropertyPrediction
    assert loaded.config.id2label == {0: "homo", 1: "alpha"}
    assert loaded.config.label_units == ["Hartree", "a0^3"]
    assert_close(loaded(**geometry).logits, model(**geometry).logits, **EXACT)
    tower = AutoModel.from_pretrained(tmp_path).eval()
    assert type(tower) is GeomCLIPGeometryModel
    assert_close(tower(**geometry).last_hidden_state, model.geometry_model(**geometry).last_hidden_state, **EXACT)


def test_a_merged_lora_predicts_the_same(geometry_config, geometry, tmp_path):
    model = predictor_of(geometry_config, **STATISTICS)
    before = model(**geometry).logits
    model.add_adapter(model.lora_config(r=2, lora_alpha=4))
    trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert trained
    assert all("lora_" in name or name.startswith("property_head.modules_to_save") for name in trained)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name in trained:
                parameter.add_(0.05 * torch.randn_like(parameter))
    expected = model.eval()(**geometry).logits
    assert (expected - before).abs().min() > 1e-6
    merged = model.merge_and_unload()
    assert_close(merged(**geometry).logits, expected, **EXACT)
    merged.save_pretrained(tmp_path)
    loaded = AutoModelForSequenceClassification.from_pretrained(tmp_path).eval()
    assert_close(loaded(**geometry).logits, expected, **EXACT)


def test_a_frozen_tower_has_no_dropout(geometry_config, geometry):
    model = predictor_of(geometry_config)
    model.geometry_model.requires_grad_(False)
    assert_close(model.train()(**geometry).logits, model.eval()(**geometry).logits)
    model.geometry_model.requires_grad_(True)
    assert not torch.equal(model.train()(**geometry).logits, model.eval()(**geometry).logits)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"property_pooling": "max"}, "property_pooling must be 'cls', 'mean' or 'sum', got 'max'"),
        ({"label_means": [0.0]}, "label_means has 1 values for 2 labels"),
        ({"label_units": ["eV", "eV", "eV"]}, "label_units has 3 values for 2 labels"),
        ({"label_stds": [1.0, 0.0]}, "label_stds must be positive"),
        ({"element_references": [[0.0] * 31]}, "element_references has 1 values for 2 labels"),
        ({"element_references": [[0.0] * 31, [0.0]]}, r"element_references\[1\] has 1 values for 31 symbols"),
        ({"element_references": [[0.0] * 31] * 2}, "element_references and residual_stds belong together"),
    ],
)
def test_impossible_configurations_are_refused(settings, message):
    with pytest.raises(Exception, match=message):
        GeomCLIPGeometryConfig(num_labels=2, **settings)


def test_gradient_checkpointing_changes_nothing(geometry_config, geometry):
    gradients = []
    for is_checkpointed in (False, True):
        model = predictor_of(geometry_config)
        for module in model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
        model.train()
        if is_checkpointed:
            model.activation_checkpointing_enable()
        model(**geometry, labels=torch.ones(3, 2)).loss.backward()
        gradients.append({name: parameter.grad for name, parameter in model.named_parameters()})
    assert_close(*gradients)


def test_a_joint_model_is_not_a_predictor(config, tmp_path):
    GeomCLIPModel(config).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="Unrecognized configuration class"):
        AutoModelForSequenceClassification.from_pretrained(tmp_path)


def test_all_poolings_differ(geometry_config, geometry):
    found = [predictor_of(geometry_config, property_pooling=name)(**geometry).logits for name in ("cls", "mean", "sum")]
    for one, other in itertools.combinations(found, 2):
        assert (one - other).abs().max() > 1e-3
