"""The metadata of every kind of card is valid on the Hub, and huggingface_hub reads it back unchanged."""

import json
import re
from importlib.resources import files
from pathlib import Path

import pytest
import yaml
from huggingface_hub import EvalResult, ModelCard
from huggingface_hub.repocard_data import eval_results_to_model_index, model_index_to_eval_results

from geomclip_tools.cards.dataset_names import find_dataset_id, name_dataset
from geomclip_tools.cards.evaluation_section import list_eval_results
from geomclip_tools.cards.model_card import TASKS, write_model_card
from geomclip_tools.publishing.hub_licenses import HUB_LICENSES

RELEASE = Path(__file__).resolve().parents[3] / "release" / "geomclip-mini"
PIPELINE_TAGS = {"feature-extraction", "text-generation", "graph-ml"}  # all are keys of PIPELINE_DATA in huggingface.js
HUB_ID = re.compile(r"[\w-][\w.-]*/[\w.-]+")
RETRIEVAL = {
    "task": "retrieval",
    "metrics": {"model": {"geometry_to_text_full_recall_at_1": 0.25, "num_rows": 1733.0}},
    "settings": {"dataset": "runs/retrieval/pairs", "dataset_config": "pretrain", "split": "test", "seed": 0},
    "data_sha256": "ab12",
}


@pytest.fixture(params=TASKS)
def card(request, tmp_path) -> ModelCard:
    """The card of a checkpoint of each kind."""
    config = {"model_type": request.param, "projection_dim": 16, "prefix": "pooled"}
    if request.param == "geomclip_property":
        config |= {"architectures": ["GeomCLIPForPropertyPrediction"], "id2label": {"0": "gap"}}
        config |= {"problem_type": "regression", "label_units": ["eV"]}
    (tmp_path / "config.json").write_text(json.dumps(config))
    training = {"dataset": str(tmp_path / "pairs"), "model": "org/geomclip", "local": ["dataset"]}
    (tmp_path / "train_config.json").write_text(json.dumps(training))
    return ModelCard.load(write_model_card(tmp_path, name="geomclip"))


def check_metadata(card: ModelCard) -> None:
    data = card.data
    assert data.license in HUB_LICENSES
    assert (data.license == "other") == bool(data.license_name)
    assert data.pipeline_tag in PIPELINE_TAGS
    assert data.library_name == "transformers"
    assert all(isinstance(tag, str) for tag in data.tags)
    assert all(HUB_ID.fullmatch(name) for name in [*(data.datasets or ()), *(data.base_model or ())])
    front_matter = yaml.safe_load(card.content.split("---\n")[1])
    assert front_matter == data.to_dict() == ModelCard(card.content).data.to_dict()


def test_the_metadata_of_every_kind_of_model(card):
    check_metadata(card)
    assert card.data.datasets is None
    assert card.data.base_model == ["org/geomclip"]


def test_the_metadata_of_the_release():
    card = ModelCard.load(RELEASE / "README.md")
    check_metadata(card)
    assert card.data.datasets is None
    for result in card.data.eval_results:
        assert (result.dataset_type, result.dataset_name) == ("custom", "pairs (local dataset)")
        assert re.search(r"of (733|6,689|63,709) candidates$", result.metric_name)


def test_scores_among_further_molecules_are_told_once():
    further = {"num_further": 267.0, "text_to_geometry_further_recall_at_1": 0.125}
    record = RETRIEVAL | {"metrics": {"model": RETRIEVAL["metrics"]["model"] | further, "random positions": {}}}
    (result,) = list_eval_results(record, "feature-extraction")
    assert result.metric_name == "text to geometry, R@1 of 2,000 candidates"
    assert result.metric_value == 0.125


def test_every_template_has_the_same_sections():
    sections = ["Model description", "Usage", "Evaluation", "Training", "Limitations", "Citation"]
    for kind in TASKS:
        template = (files("geomclip_tools.cards") / "templates" / f"{kind}.md").read_text(encoding="utf-8")
        found = re.findall(r"^## (.*)$", template, re.MULTILINE)
        assert [name for name in found if name != "Licence"] == sections, kind


def test_a_local_dataset_has_a_name_and_the_digest_of_its_rows():
    (result,) = list_eval_results(RETRIEVAL, "feature-extraction")
    assert (result.dataset_type, result.dataset_name) == ("custom", "pairs (local dataset)")
    assert (result.dataset_config, result.dataset_split, result.dataset_revision) == ("pretrain", "test", "ab12")
    assert result.metric_name == "geometry to text, R@1 of 1,733 candidates"


def test_a_dataset_of_the_hub_is_named_by_its_id():
    settings = RETRIEVAL["settings"] | {"dataset": "org/pairs"}
    (result,) = list_eval_results(RETRIEVAL | {"settings": settings}, "feature-extraction")
    assert (result.dataset_type, result.dataset_name, result.dataset_revision) == ("org/pairs", "org/pairs", None)


def test_results_on_two_local_datasets_stay_apart():
    other = RETRIEVAL | {"settings": RETRIEVAL["settings"] | {"dataset": "more"}, "data_sha256": "cd34"}
    results: list[EvalResult] = [
        result for record in (RETRIEVAL, other) for result in list_eval_results(record, "feature-extraction")
    ]
    index = eval_results_to_model_index("geomclip", results)
    assert [entry["dataset"]["name"] for entry in index[0]["results"]] == [
        "pairs (local dataset)",
        "more (local dataset)",
    ]
    assert model_index_to_eval_results(index) == ("geomclip", results)


@pytest.mark.parametrize(
    ("dataset", "hub_id", "name"),
    [
        ("org/pubchem3d", "org/pubchem3d", "org/pubchem3d"),
        ("pubchem3d", None, "pubchem3d"),
        ("runs/retrieval/pairs", None, "pairs"),
        ("/data/pairs", None, "pairs"),
        ("data/pairs.parquet", None, "pairs.parquet"),
        ("there/pairs", None, "pairs"),
    ],
)
def test_a_local_dataset_is_not_a_hub_id(tmp_path, monkeypatch, dataset, hub_id, name):
    (tmp_path / "there").mkdir()
    monkeypatch.chdir(tmp_path)
    assert find_dataset_id(dataset) == hub_id
    assert name_dataset(dataset) == name
    assert find_dataset_id(dataset, is_local=True) is None
