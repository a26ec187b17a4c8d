"""Errors by number of labels are those of the results files."""

import json
from pathlib import Path

import numpy as np
import pytest
from drawing import save_svg
from property_prediction import draw_errors, read_errors

RESULTS = Path(__file__).resolve().parents[3] / "research" / "results" / "property_prediction"


def write(folder: Path, name: str, **metrics: float) -> None:
    (folder / f"{name}.json").write_text(json.dumps({"metrics": metrics}))


def test_stored_results():
    errors = read_errors(RESULTS)
    assert {name: {labels: len(seeds) for labels, seeds in found.items()} for name, found in errors.items()} == {
        name: dict.fromkeys((1000, 10000), seeds)
        for names, seeds in (
            (("mean", "element counts", "kernel ridge", "gradient boosting"), 1),
            (("scratch", "denoised", "aligned"), 2),
        )
        for name in names
    }
    gap = [seed["gap_mae"] for seed in errors["denoised"][10000]]
    assert 1000 * np.mean(gap) == pytest.approx(7.17, abs=0.005)  # of docs/results/property_prediction.md
    assert errors["mean"][1000][0]["standardised_mae"] == pytest.approx(0.78, abs=0.005)


def test_a_picture_is_the_same_every_time(tmp_path):
    for name, error in (("scratch-100-0", 0.02), ("scratch-100-1", 0.03), ("scratch-1000-0", 0.01)):
        write(tmp_path, name, gap_mae=error, standardised_mae=10 * error)
    write(tmp_path, "given-1000-0", gap_mae=0.01, standardised_mae=0.1)  # not a system
    errors = read_errors(tmp_path)
    assert [*errors] == ["scratch"]
    for name in ("first", "second"):
        save_svg(draw_errors(errors), tmp_path / f"{name}.svg")
    text = (tmp_path / "first.svg").read_text(encoding="utf-8")
    assert text == (tmp_path / "second.svg").read_text(encoding="utf-8")
    assert ">tower from scratch</text>" in text
    assert ">gradient boosting on ECFP4</text>" not in text


def test_a_folder_without_results_is_refused(tmp_path):
    with pytest.raises(ValueError, match="no results of mean"):
        read_errors(tmp_path)
