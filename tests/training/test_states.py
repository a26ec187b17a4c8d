"""What a checkpoint records of its training, and of the training of what it started from."""

import dataclasses
import json

from training.pretrain import PretrainSettings
from training.pretrain_geometry import PretrainGeometrySettings
from training.states import training_record


def test_a_record_holds_those_of_the_checkpoints_that_it_started_from(tmp_path):
    tower, names = tmp_path / "tower", tmp_path / "names"
    stages = [
        PretrainGeometrySettings(dataset="conformers", output_dir=str(tower), geometry_model="compact.json"),
        PretrainSettings(dataset="names", output_dir=str(names), geometry_model=str(tower), text_model="org/text"),
        PretrainSettings(dataset="texts", output_dir="texts", model=str(names)),
    ]
    records = []
    for settings in stages:
        record = training_record(settings)
        records.append(record)
        (tmp_path / settings.output_dir).mkdir(exist_ok=True)
        (tmp_path / settings.output_dir / "train_config.json").write_text(json.dumps(record))
    assert records[0] == dataclasses.asdict(stages[0])
    assert records[1] == dataclasses.asdict(stages[1]) | {"earlier": {"geometry_model": records[0]}}
    assert records[2] == dataclasses.asdict(stages[2]) | {"earlier": {"model": records[1]}}
