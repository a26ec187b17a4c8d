"""`geomclip predict` writes one column per property."""

import numpy as np
import pandas as pd
import pytest
import torch

from geomclip_tools.commands.predict import main
from modeling_geomclip import GeomCLIPFeatureExtractor, GeomCLIPForPropertyPrediction, GeomCLIPGeometryModel

SMILES = ["CCO", "CCCN", "CO"]


def save(geometry_config, folder, **settings) -> np.ndarray:
    """Save a predictor and return its outputs for `SMILES`."""
    torch.manual_seed(0)
    tower = GeomCLIPGeometryModel(geometry_config)
    predictor = GeomCLIPForPropertyPrediction.from_geometry_pretrained(tower, **settings).eval()
    extractor = GeomCLIPFeatureExtractor(remove_hydrogens=False)
    predictor.save_pretrained(folder)
    extractor.save_pretrained(folder)
    with torch.no_grad():
        return predictor(**extractor(SMILES, return_tensors="pt")).logits.double().numpy()


def predict(folder, output) -> pd.DataFrame:
    main(["--model", str(folder), "--molecules", *SMILES, "C1CC", "--output", str(output)])
    return pd.read_csv(output)


def test_numbers_stand_in_their_units(geometry_config, tmp_path):
    labels = {"id2label": {0: "homo", 1: "ratio"}, "label_units": ["Hartree", ""]}
    labels |= {"label_means": [-0.2, 7.0], "label_stds": [0.1, 2.0]}
    expected = save(geometry_config, tmp_path / "predictor", problem_type="regression", **labels)
    table = predict(tmp_path / "predictor", tmp_path / "out.csv")
    assert list(table) == ["id", "row", "homo (Hartree)", "ratio"]
    assert table["id"].tolist() == SMILES
    np.testing.assert_allclose(table[["homo (Hartree)", "ratio"]], expected, rtol=1e-4)


@pytest.mark.parametrize("problem_type", ["multi_label_classification", "single_label_classification"])
def test_classes_have_probabilities(geometry_config, tmp_path, problem_type):
    settings = {"problem_type": problem_type, "id2label": {0: "toxic", 1: "soluble"}}
    logits = torch.from_numpy(save(geometry_config, tmp_path / "predictor", **settings))
    is_single = problem_type == "single_label_classification"
    expected = logits.softmax(dim=1) if is_single else logits.sigmoid()
    table = predict(tmp_path / "predictor", tmp_path / "out.csv")
    np.testing.assert_allclose(table[["toxic", "soluble"]], expected.numpy(), rtol=1e-4)


def test_a_model_without_a_head_is_refused(geometry_config, model, tmp_path):
    GeomCLIPGeometryModel(geometry_config).save_pretrained(tmp_path / "tower")
    model.save_pretrained(tmp_path / "geomclip")
    for name, kind in (("tower", "GeomCLIPGeometryModel"), ("geomclip", "GeomCLIPModel")):
        with pytest.raises(ValueError, match=f"is a {kind}, which does not predict properties; pass a predictor"):
            main(["--model", str(tmp_path / name), "--molecules", "CO", "--output", "o.csv"])
