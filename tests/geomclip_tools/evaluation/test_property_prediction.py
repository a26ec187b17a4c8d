"""Predictions are compared with the labels of the same molecules; units, conformers, errors."""

import numpy as np
import pytest
import torch
from datasets import Dataset

from geomclip_tools.evaluation.property_prediction import (
    check_units,
    evaluate_properties,
    format_properties,
    list_targets,
    predict_properties,
    read_labels,
)
from modeling_geomclip import (
    GeomCLIPFeatureExtractor,
    GeomCLIPForPropertyPrediction,
    GeomCLIPGeometryModel,
    read_molecule,
)

SMILES = ["CCO", "CCCCN", "c1ccccc1O", "C", "CC(=O)O", "CCCCCCCC"]
NAN = float("nan")


@pytest.fixture
def extractor() -> GeomCLIPFeatureExtractor:
    return GeomCLIPFeatureExtractor(remove_hydrogens=False)


@pytest.fixture
def predictor(geometry_config) -> GeomCLIPForPropertyPrediction:
    torch.manual_seed(0)
    return GeomCLIPForPropertyPrediction.from_geometry_pretrained(
        GeomCLIPGeometryModel(geometry_config),
        problem_type="regression",
        id2label={0: "homo", 1: "alpha"},
        label_means=[-0.2, 70.0],
        label_stds=[0.02, 8.0],
        label_units=["Hartree", "a0^3"],
    ).eval()


def logits_of(predictor, extractor, molecule) -> np.ndarray:
    with torch.no_grad():
        return predictor(**extractor([molecule], return_tensors="pt")).logits[0].double().numpy()


@pytest.mark.parametrize("pair_budget", [1, 200, None])
def test_predictions_are_in_the_order_of_the_molecules(predictor, extractor, pair_budget):
    records, _ = extractor.read(SMILES)
    predictions = predict_properties(predictor, extractor, records, pair_budget)
    for found, smiles in zip(predictions, SMILES, strict=True):
        np.testing.assert_allclose(found, logits_of(predictor, extractor, smiles), rtol=1e-5)


def rows_of(predictor, extractor, coordinates: str) -> Dataset:
    """Return rows whose labels are the predictions themselves; some are missing, and one is off by 0.1."""
    rows = []
    for number, smiles in enumerate(SMILES):
        homo, alpha = logits_of(predictor, extractor, smiles).tolist()
        row = {"smiles": smiles, "homo": None if number == 2 else homo, "alpha": alpha + 0.1 * (number == 4)}
        if coordinates == "given":
            molecule = read_molecule(smiles, seed=7)
            row |= {name: values.tolist() for name, values in molecule.items()}
        rows.append(row)
    return Dataset.from_list(rows)


def test_an_evaluation_joins_molecules_and_labels(predictor, extractor):
    evaluation = evaluate_properties(predictor, extractor, rows_of(predictor, extractor, "none"), "rdkit")
    metrics = evaluation["metrics"]
    assert (evaluation["targets"], evaluation["units"]) == (["homo", "alpha"], ["Hartree", "a0^3"])
    assert (metrics["homo_num_labelled"], metrics["alpha_num_labelled"], evaluation["num_rows"]) == (5, 6, 6)
    assert metrics["homo_mae"] < 1e-6
    assert metrics["alpha_mae"] == pytest.approx(0.1 / 6, rel=1e-2)
    assert metrics["standardised_mae"] == pytest.approx(0.1 / 6 / 8 / 2, rel=1e-2)


def test_given_coordinates_are_other_than_those_of_the_smiles(predictor, extractor):
    rows = rows_of(predictor, extractor, "given")
    given, made = (evaluate_properties(predictor, extractor, rows, name) for name in ("given", "rdkit"))
    assert made["metrics"]["homo_mae"] < 1e-6 < given["metrics"]["homo_mae"]


def test_classes_are_scored_one_against_the_others(geometry_config, extractor):
    predictor = GeomCLIPForPropertyPrediction.from_geometry_pretrained(
        GeomCLIPGeometryModel(geometry_config),
        problem_type="single_label_classification",
        id2label={0: "phase=0", 1: "phase=1", 2: "phase=2"},
    ).eval()
    best = [int(logits_of(predictor, extractor, smiles).argmax()) for smiles in SMILES]
    assert list_targets(predictor.config) == ["phase"]
    rows = Dataset.from_list([{"smiles": smiles, "phase": label} for smiles, label in zip(SMILES, best)])
    evaluation = evaluate_properties(predictor, extractor, rows, 3)
    assert evaluation["targets"] == ["phase=0", "phase=1", "phase=2"]
    assert "roc_auc" in format_properties(evaluation)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (["high", "low"], "a label of the column 'gap' is not a number"),
        ([1.0, float("inf")], "1 labels of 'gap' are inf"),
    ],
)
def test_labels_that_are_no_numbers_are_refused(values, message):
    with pytest.raises(ValueError, match=message):
        read_labels(Dataset.from_dict({"gap": values}), ["gap"])


def test_missing_labels_are_nan():
    labels = read_labels(Dataset.from_dict({"gap": [1.5, None], "homo": [None, NAN]}), ["gap", "homo"])
    np.testing.assert_array_equal(labels, [[1.5, NAN], [NAN, NAN]])


def test_labels_of_another_unit_are_refused(predictor):
    check_units(predictor.config, {"homo": "Hartree", "alpha": "a0^3"})
    check_units(predictor.config, {})  # a table has no units
    with pytest.raises(ValueError, match="returns 'homo' in Hartree, but the dataset has it in eV; convert the column"):
        check_units(predictor.config, {"homo": "eV", "alpha": "a0^3"})


def test_the_table_has_energies_in_other_units_too(predictor, extractor):
    evaluation = evaluate_properties(predictor, extractor, rows_of(predictor, extractor, "given"), 6)
    error = evaluation["metrics"]["homo_mae"]
    lines = {line.split(" | ")[1]: line for line in format_properties(evaluation).splitlines() if " | " in line}
    assert f"| {error:.5g} |" in lines["Hartree"]
    assert f"| {27.211386246 * error:.5g} |" in lines["eV"]  # CODATA 2018
    assert f"| {627.509474 * error:.5g} |" in lines["kcal/mol"]


def test_a_target_without_labels_is_not_defined_in_the_table(predictor, extractor):
    rows = rows_of(predictor, extractor, "given").remove_columns("homo").add_column("homo", [None, NAN, *[None] * 4])
    evaluation = evaluate_properties(predictor, extractor, rows, 6)
    assert "| homo | Hartree | not defined | not defined | not defined | 0 |" in format_properties(evaluation)
