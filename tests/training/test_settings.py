"""Settings: what every task shares, and that each explains itself."""

import dataclasses

import pytest

from training.caption import CaptionSettings
from training.pretrain import PretrainSettings
from training.settings import TrainingSettings


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
