"""Every study of the repository can be run: its file is valid, and each command accepts the flags of its stages."""

from pathlib import Path

import pytest

from geomclip_tools.commands.study import check_flags
from geomclip_tools.studies.runs import list_runs
from geomclip_tools.studies.study import read_study

STUDIES = sorted((Path(__file__).resolve().parents[3] / "research" / "studies").glob("*.yaml"))


@pytest.fixture(autouse=True)
def at_the_root(monkeypatch):
    """Scripts of a study are given by their paths in the repository."""
    monkeypatch.chdir(Path(__file__).resolve().parents[3])


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_a_study_can_be_run(path):
    study = read_study(path)
    runs = list_runs(study.variants.values())
    assert len(runs) >= len(study.variants) > 1
    check_flags(study, runs)


def test_there_are_studies():
    assert STUDIES
