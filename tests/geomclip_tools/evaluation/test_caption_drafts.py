"""An interrupted evaluation continues from the file of its drafts."""

import logging
from pathlib import Path

import pytest

from geomclip_tools.evaluation.caption_drafts import DraftFile

ORIGIN = {"captioner": "a" * 64, "search": {"num_beams": 1}}
DRAFTS = {2: (["an acid", "ein Öl"], [-0.5, -1.0]), 0: (["", "a base"], [-0.1, -0.2])}


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "results" / "test.model.drafts.jsonl"


def test_it_returns_what_was_appended(path):
    assert DraftFile(path, ORIGIN).resume() == {}
    file = DraftFile(path, ORIGIN)
    for row in DRAFTS:
        file.append({row: DRAFTS[row]})
    assert DraftFile(path, ORIGIN).resume() == DRAFTS
    file.append({1: (["water"], [-1.0])})
    assert DraftFile(path, ORIGIN).resume().keys() == {0, 1, 2}


@pytest.mark.parametrize("cut", [1, 5, 60])
def test_a_line_cut_short_is_dropped_and_the_next_one_is_whole(path, cut):
    file = DraftFile(path, ORIGIN)
    file.resume()
    file.append(DRAFTS)
    path.write_text(path.read_text()[:-cut])
    file = DraftFile(path, ORIGIN)
    assert file.resume() == {2: DRAFTS[2]}
    file.append({0: DRAFTS[0]})
    assert DraftFile(path, ORIGIN).resume() == DRAFTS


def test_a_file_of_another_origin_is_renamed_with_a_warning(path, caplog):
    file = DraftFile(path, ORIGIN)
    file.resume()
    file.append(DRAFTS)
    with caplog.at_level(logging.WARNING, logger="geomclip"):
        assert DraftFile(path, ORIGIN | {"captioner": "b" * 64}).resume() == {}
    old = path.with_name(f"{path.name}.old")
    assert f"renaming it to {old}" in caplog.text
    assert DraftFile(old, ORIGIN).resume() == DRAFTS
