"""Shipped configurations by name, files by path."""

import json

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
    with pytest.raises(
        ValueError, match=r"neither a file 'train/quikstart' nor .*data/qm9\.yaml.*train/quickstart\.yaml"
    ):
        find_configuration("train/quikstart")


def test_the_shapes_of_models_are_configurations_of_the_tower():
    shapes = [path for name, path in list_shipped().items() if name.startswith("model/")]
    assert len(shapes) >= 3
    for path in shapes:
        config = GeomCLIPGeometryConfig.from_json_file(path)
        assert config.hidden_size == json.loads(path.read_text())["hidden_size"]
