"""`geomclip evaluate property_prediction` writes a results file."""

import json

import numpy as np
import pytest
import torch
from datasets import Dataset

from geomclip_tools.commands.evaluate_property_prediction import main
from modeling_geomclip import GeomCLIPFeatureExtractor, GeomCLIPForPropertyPrediction, GeomCLIPGeometryModel

SMILES = ["CCO", "CCCN", "CC(=O)O", "CO"]


def test_from_checkpoint_to_results_file(geometry_config, tmp_path, capsys):
    torch.manual_seed(0)
    predictor = GeomCLIPForPropertyPrediction.from_geometry_pretrained(
        GeomCLIPGeometryModel(geometry_config),
        problem_type="regression",
        id2label={0: "homo", 1: "alpha"},
        label_means=[-0.2, 70.0],
        label_stds=[0.02, 8.0],
        label_units=["Hartree", "a0^3"],
    ).eval()
    extractor = GeomCLIPFeatureExtractor(remove_hydrogens=False)
    for part in (predictor, extractor):
        part.save_pretrained(tmp_path / "predictor")
    with torch.no_grad():
        predicted = predictor(**extractor(SMILES, return_tensors="pt")).logits.double().numpy()
    labels = {"homo": predicted[:, 0], "alpha": predicted[:, 1] + np.array([0.1, 0, 0, 0])}
    Dataset.from_dict({"smiles": SMILES} | labels).to_parquet(tmp_path / "rows.parquet")
    words = ["--model", str(tmp_path / "predictor"), "--dataset", str(tmp_path / "rows.parquet"), "--split", "train"]
    words += ["--coordinates", "rdkit", "--output", str(tmp_path / "property.json"), "--num-bootstrap", "10"]
    main(words)
    record = json.loads((tmp_path / "property.json").read_text())
    assert record["task"] == "property_prediction"
    assert record["metrics"]["alpha_mae"] == pytest.approx(0.1 / 4, rel=1e-2)
    assert record["metrics"]["homo_mae"] < 1e-5
    assert "| alpha | a0^3 |" in capsys.readouterr().out


def test_a_tower_without_a_head_is_refused(geometry_config, tmp_path):
    GeomCLIPGeometryModel(geometry_config).save_pretrained(tmp_path / "tower")
    with pytest.raises(ValueError, match="tower is a GeomCLIPGeometryModel, which does not predict properties"):
        main(["--model", str(tmp_path / "tower"), "--dataset", "d", "--output", "o"])


def test_settings_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="--num_conformers is 0; it must be at least 1"):
        main(["--model", "m", "--dataset", "d", "--output", "o", "--num_conformers", "0"])
