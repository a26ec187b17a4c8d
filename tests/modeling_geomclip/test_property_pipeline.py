"""`pipeline("molecule-property-prediction")` gives the model's predictions with names and units."""

import pytest
import torch
from transformers import AutoFeatureExtractor, AutoModelForSequenceClassification, pipeline

from modeling_geomclip import (
    GeomCLIPFeatureExtractor,
    GeomCLIPForPropertyPrediction,
    GeomCLIPGeometryModel,
    MoleculeError,
)

SMILES = ["CCO", "c1ccccc1", "CC(=O)O"]
SETTINGS = {
    "regression": {"label_means": [-0.2, 70.0], "label_stds": [0.1, 5.0], "label_units": ["Hartree", ""]},
    "multi_label_classification": {},
    "single_label_classification": {},
}


@pytest.fixture
def saved(geometry_config, tmp_path):
    """Return a function that saves a predictor, which reads all hydrogens, and returns its folder."""

    def save(problem_type: str) -> str:
        torch.manual_seed(0)
        model = GeomCLIPForPropertyPrediction.from_geometry_pretrained(
            GeomCLIPGeometryModel(geometry_config),
            problem_type=problem_type,
            id2label={0: "homo", 1: "alpha"},
            **SETTINGS[problem_type],
        )
        model.save_pretrained(tmp_path / problem_type)
        GeomCLIPFeatureExtractor(remove_hydrogens=False).save_pretrained(tmp_path / problem_type)
        return str(tmp_path / problem_type)

    return save


def logits_of(folder: str, molecules: list) -> torch.Tensor:
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    inputs = AutoFeatureExtractor.from_pretrained(folder)(molecules, return_tensors="pt")
    with torch.no_grad():
        return model(**inputs).logits.double()


def test_regression_gives_values_with_units(saved):
    folder = saved("regression")
    expected = logits_of(folder, SMILES)
    predict = pipeline("molecule-property-prediction", model=folder)
    for found in (predict(SMILES), predict(SMILES, batch_size=3), list(predict(smiles for smiles in SMILES))):
        assert [[entry["label"] for entry in entries] for entries in found] == [["homo", "alpha"]] * 3
        assert [[entry["unit"] for entry in entries] for entries in found] == [["Hartree", ""]] * 3
        values = torch.tensor([[entry["value"] for entry in entries] for entries in found]).double()
        torch.testing.assert_close(values, expected, rtol=1e-5, atol=1e-5)
    assert predict(SMILES[0]) == predict(SMILES)[0]


@pytest.mark.parametrize("problem_type", ["multi_label_classification", "single_label_classification"])
def test_classification_gives_probabilities(saved, problem_type):
    folder = saved(problem_type)
    logits = logits_of(folder, SMILES[:1])[0]
    expected = logits.sigmoid() if problem_type.startswith("multi") else logits.softmax(dim=0)
    found = pipeline("molecule-property-prediction", model=folder)(SMILES[0])
    assert [entry["label"] for entry in found] == ["homo", "alpha"]
    assert [entry["score"] for entry in found] == pytest.approx(expected.tolist(), abs=1e-6)


def test_invalid_inputs_are_refused(saved):
    predict = pipeline("molecule-property-prediction", model=saved("regression"))
    with pytest.raises(MoleculeError, match="C1CC"):
        predict("C1CC")
    with pytest.raises(ValueError, match="the list of molecules is empty"):
        predict([])
    with pytest.raises(TypeError, match="does not accept temperature"):
        predict("CCO", temperature=1.0)
