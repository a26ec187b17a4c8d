"""A study whose stages run a script without a model."""

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from geomclip_tools.studies.study import Study, read_study

SCRIPT = str(Path(__file__).with_name("fake_training.py"))


@pytest.fixture
def values() -> dict:
    """Return the values of a study file with two stages; the script of the second one measures."""
    return {
        "about": "how high is the level?",
        "metric": "text_to_geometry_full_recall_at_1",
        "stages": {
            "first": {"script": SCRIPT},
            "second": {"script": SCRIPT, "measures": "retrieval", "start": "{first}", "level": 2},
        },
        "variants": {"base": {}, "high": {"second.level": 4}, "short": {"first": None, "second.start": None}},
        "seeds": [0, 1],
        "controls": ["short"],
        "evaluations": {"retrieval": {}},
    }


@pytest.fixture
def write_study(values, tmp_path) -> Callable[..., Path]:
    """Write a study file with some keys changed."""

    def write(**changes) -> Path:
        path = tmp_path / "levels.yaml"
        path.write_text(yaml.safe_dump(values | changes, sort_keys=False))
        return path

    return write


@pytest.fixture
def study(write_study) -> Study:
    return read_study(write_study())
