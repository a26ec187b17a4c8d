"""Cards of models without a text tower: a geometry tower, a property predictor."""

import json
import re
from pathlib import Path

import pytest
import torch
from huggingface_hub import ModelCard

from geomclip_tools.cards.model_card import write_model_card
from modeling_geomclip import (
    GeomCLIPFeatureExtractor,
    GeomCLIPForPropertyPrediction,
    GeomCLIPGeometryModel,
)

EVALUATION = {
    "targets": ["homo", "alpha"],
    "units": ["Hartree", "a0^3"],
    "metrics": {
        "homo_mae": 0.0041,
        "homo_rmse": 0.006,
        "homo_r2": 0.9,
        "homo_num_labelled": 40,
        "alpha_mae": 0.51,
        "alpha_mae_low": 0.47,
        "alpha_mae_high": 0.55,
        "alpha_rmse": 0.7,
        "alpha_r2": 0.99,
        "alpha_num_labelled": 38,
        "standardised_mae": 0.123456,
    },
    "num_rows": 40,
    "failures": [{"row": 3, "reason": "it is empty"}],
}


@pytest.fixture
def predictor(geometry_config, tmp_path) -> Path:
    torch.manual_seed(0)
    model = GeomCLIPForPropertyPrediction.from_geometry_pretrained(
        GeomCLIPGeometryModel(geometry_config),
        problem_type="regression",
        id2label={0: "homo", 1: "alpha"},
        label_units=["Hartree", ""],
    )
    model.save_pretrained(tmp_path / "predictor")
    GeomCLIPFeatureExtractor(remove_hydrogens=False).save_pretrained(tmp_path / "predictor")
    training = {"dataset": "org/qm9", "model": "org/geomclip", "targets": ["homo", "alpha"]}
    (tmp_path / "predictor" / "train_config.json").write_text(json.dumps(training))
    return tmp_path / "predictor"


@pytest.fixture
def tower(geometry_config, tmp_path) -> Path:
    GeomCLIPGeometryModel(geometry_config).save_pretrained(tmp_path / "tower")
    GeomCLIPFeatureExtractor().save_pretrained(tmp_path / "tower")
    training = {"dataset": "org/qm9", "geometry_model": "configs/geometry_compact.json"}
    (tmp_path / "tower" / "train_config.json").write_text(json.dumps(training))
    return tmp_path / "tower"


def results_of(tmp_path: Path, task: str, evaluation: dict) -> Path:
    settings = {"dataset": "qm9", "split": "test", "seed": 0}
    record = {"task": task, **evaluation, "settings": settings, "command": f"python eval/{task}.py --model predictor"}
    (tmp_path / "results.json").write_text(json.dumps(record))
    return tmp_path / "results.json"


def run_code(card: str, folder: Path, monkeypatch) -> None:
    monkeypatch.chdir(folder.parent)
    codes = re.findall(r"```python\n(.*?)```", card, re.DOTALL)
    assert codes
    for code in codes:
        exec(code, {})


def test_a_predictor_names_its_properties_with_units(predictor):
    card = ModelCard.load(write_model_card(predictor))
    assert "`homo` (Hartree), `alpha`." in card.text
    assert "The model reads hydrogens. A structure without hydrogens gets a different prediction." in card.text
    assert card.data.base_model == ["org/geomclip"]
    assert "The geometry tower started from `org/geomclip`." in card.text
    assert "Not evaluated." in card.text
    assert "$" not in card.text


def test_the_lines_of_a_predictor_run(predictor, monkeypatch, capsys):
    run_code(write_model_card(predictor).read_text(), predictor, monkeypatch)
    logits, properties = capsys.readouterr().out.strip().split("\n[[")
    assert logits.startswith("tensor([[")
    assert properties.count("'unit': 'Hartree'") == 2


def test_a_predictor_that_reads_heavy_atoms_says_so(predictor):
    GeomCLIPFeatureExtractor().save_pretrained(predictor)
    assert "The model does not read hydrogens." in write_model_card(predictor).read_text()


def test_the_numbers_of_a_predictor_are_those_of_the_results_file(predictor, tmp_path):
    card = ModelCard.load(write_model_card(predictor, [results_of(tmp_path, "property_prediction", EVALUATION)]))
    (headline,) = card.data.eval_results
    assert (headline.metric_name, headline.metric_value) == ("standardised MAE", 0.1235)
    assert "| homo | Hartree | 0.0041 | 0.006 | 0.9 | 40 |" in card.text
    assert "| alpha | a0^3 | 0.51 [0.47, 0.55] |" in card.text
    assert "### Molecular property prediction" in card.text
    assert "40 rows, 1 molecule rejected" in card.text


def test_the_card_of_a_tower(tower, monkeypatch, capsys):
    path = write_model_card(tower)
    card = ModelCard.load(path)
    assert "tower started from random weights in the shape of `geometry_compact.json`." in card.text
    assert "text tower" not in card.text
    assert "$" not in card.text
    run_code(path.read_text(), tower, monkeypatch)
    assert "torch.Size([1, 15, 32])" in capsys.readouterr().out  # aspirin's 13 heavy atoms


def test_results_of_another_kind_have_no_place(predictor, tower, tmp_path):
    for folder, task in ((predictor, "denoising"), (tower, "property_prediction")):
        with pytest.raises(ValueError, match=f"does not show results of the task '{task}'"):
            write_model_card(folder, [results_of(tmp_path, task, EVALUATION)])
