"""Find shipped configurations by name and files by path."""

import json
import re

import pytest

from geomclip_tools.configurations import find_configuration, list_shipped
from modeling_geomclip import GeomCLIPGeometryConfig


def test_a_name_with_and_without_its_suffix():
    for name in ("train/quickstart", "train/quickstart.yaml"):
        assert find_configuration(name).name == "quickstart.yaml"
    assert find_configuration("model/geometry_compact").suffix == ".json"


def test_a_file_comes_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "quickstart").write_text("seed: 1")
    assert find_configuration("train/quickstart").read_text() == "seed: 1"


def test_another_name_is_refused_with_those_that_there_are():
    message = r"'train/quikstart' is neither a file nor a shipped configuration.*data/qm9\.yaml.*train/quickstart\.yaml"
    with pytest.raises(ValueError, match=message):
        find_configuration("train/quikstart")


@pytest.mark.parametrize(
    ("name", "kind", "similar"),
    [
        ("train/quikstart", "train", "train/quickstart.yaml"),
        ("quickstart", "train", "train/quickstart.yaml"),
        ("configs/train/align_text.yml", "train", "train/align_texts.yaml"),
        ("qm9", "", "data/qm9.yaml"),
        ("model/geometry_compakt.json", "model", "model/geometry_compact.json"),
    ],
)
def test_a_similar_name_is_suggested(name, kind, similar):
    with pytest.raises(ValueError, match=f"did you mean '{re.escape(similar)}'\\? Shipped configurations: {kind}"):
        find_configuration(name, kind)


def test_only_names_of_the_wanted_kind_are_listed():
    with pytest.raises(ValueError, match="Shipped configurations: train/") as error:
        find_configuration("xyz", "train")
    assert "data/" not in str(error.value)
    assert "did you mean" not in str(error.value)


def test_the_shapes_of_models_are_configurations_of_the_tower():
    shapes = [path for name, path in list_shipped().items() if name.startswith("model/")]
    assert len(shapes) >= 3
    for path in shapes:
        config = GeomCLIPGeometryConfig.from_json_file(path)
        assert config.hidden_size == json.loads(path.read_text())["hidden_size"]
