"""Settings that all tasks share: help texts, precision, training records and rejected values."""

import dataclasses
import json

import pytest

from geomclip_tools.records import describe_training
from geomclip_tools.training.settings import TrainingSettings
from geomclip_tools.training.tasks.caption import CaptionSettings
from geomclip_tools.training.tasks.pretrain import PretrainSettings
from geomclip_tools.training.tasks.pretrain_geometry import PretrainGeometrySettings


@pytest.mark.parametrize("settings_class", [TrainingSettings, PretrainSettings, CaptionSettings])
def test_every_setting_has_a_help_text(settings_class):
    fields = dataclasses.fields(settings_class)
    assert {"dataset", "output_dir"} <= {field.name for field in fields}
    for field in fields:
        assert field.metadata["help"].endswith("."), field.name


def test_settings_cannot_be_changed():
    settings = TrainingSettings(dataset="d", output_dir="o")
    with pytest.raises(dataclasses.FrozenInstanceError):
        settings.seed = 1


def test_a_record_holds_those_of_the_checkpoints_that_it_started_from(tmp_path):
    tower, names = tmp_path / "tower", tmp_path / "names"
    stages = [
        PretrainGeometrySettings(dataset="conformers", output_dir=str(tower), geometry_model="compact.json"),
        PretrainSettings(dataset="names", output_dir=str(names), geometry_model=str(tower), text_model="org/text"),
        PretrainSettings(dataset="texts", output_dir="texts", model=str(names)),
    ]
    records = []
    for settings in stages:
        record = describe_training(settings)
        records.append(record)
        (tmp_path / settings.output_dir).mkdir(exist_ok=True)
        (tmp_path / settings.output_dir / "train_config.json").write_text(json.dumps(record))
    assert records[0] == dataclasses.asdict(stages[0])
    started = {"local": ["geometry_model"], "earlier": {"geometry_model": records[0]}}
    assert records[1] == dataclasses.asdict(stages[1]) | started
    assert records[2] == dataclasses.asdict(stages[2]) | {"local": ["model"], "earlier": {"model": records[1]}}


def test_a_record_holds_what_the_folder_says_of_its_rows(tmp_path):
    report = {
        "configs": {"default": {"train": 8, "test": 2}, "pretrain": {"train": 7}},
        "rows_by": {"text_source": {"chemicals": 10}, "text_license_url": {"MIT": 10}, "match_level": {"cid": 10}},
        "rows_of_benchmark_molecules": {"holdout": {"train": 1}, "pairs": {}},
    }
    (tmp_path / "build_report.json").write_text(json.dumps(report))
    common = {"text_source": {"chemicals": 10}, "text_license_url": {"MIT": 10}}
    expected = {
        None: {"rows": {"train": 8, "test": 2}, **common, "has_no_molecule_of": ["pairs"]},
        "pretrain": {"rows": {"train": 7}, **common, "has_no_molecule_of": ["holdout", "pairs"]},
    }
    for config, data in expected.items():
        settings = PretrainSettings(dataset=str(tmp_path), dataset_config=config, output_dir="o", text_model="org/text")
        assert describe_training(settings) == dataclasses.asdict(settings) | {"local": ["dataset"], "data": data}


@pytest.mark.parametrize(
    ("changed", "rule"),
    [
        ({"ema_decay": 1.0}, r"--ema_decay is 1\.0; it must be at least 0 and less than 1"),
        ({"num_conformers": 0}, "--num_conformers is 0; it must be at least 1"),
        ({"dataset_weights": [1.0, 2.0]}, r"--dataset_weights is 1\.0 2\.0 for 1 datasets"),
        ({"further_datasets": ["e"], "dataset_weights": [1.0]}, r"--dataset_weights is 1\.0 for 2 datasets"),
        ({"dataset_weights": [0.0]}, "pass one finite number above 0 per dataset"),
        ({"dataset_weights": [float("inf")]}, "pass one finite number above 0 per dataset"),
    ],
)
def test_mixtures_and_conformers_that_make_no_sense_are_refused(changed, rule):
    with pytest.raises(ValueError, match=rule):
        TrainingSettings(dataset="d", output_dir="o", **changed)


def test_a_record_holds_what_is_mixed_in(tmp_path):
    (tmp_path / "build_report.json").write_text(json.dumps({"configs": {"default": {"train": 5}}}))
    settings = TrainingSettings(dataset="d", output_dir="o", further_datasets=[str(tmp_path), "hub/e"])
    assert settings.datasets == ["d", str(tmp_path), "hub/e"]
    assert settings.weights == [1.0, 1.0, 1.0]
    assert describe_training(settings)["further_data"] == [{"rows": {"train": 5}}, {}]
