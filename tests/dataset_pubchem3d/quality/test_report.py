import json

import pytest

from dataset_pubchem3d.build import build
from dataset_pubchem3d.quality.report import write_quality
from dataset_pubchem3d.recipe import Recipe


def test_report_page_and_plots_are_written(sound, row, clashing, write):
    pytest.importorskip("matplotlib")
    write("default", train=[clashing, row("CC(C)CO", "One."), row("CCO", "Two.")])
    report = write_quality(sound, sample=9, seed=0, num_proc=1)
    assert json.loads((sound / "quality_report.json").read_text(encoding="utf-8")) == json.loads(json.dumps(report))
    page = (sound / "QUALITY.md").read_text(encoding="utf-8")
    plots = sorted(plot.name for plot in (sound / "plots").iterdir())
    assert len(plots) == 7
    for plot in plots:
        assert f"](plots/{plot})" in page
        assert (sound / "plots" / plot).read_bytes().startswith(b"\x89PNG")
    lines = (sound / "geometry_comparison.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(lines) == 6
    assert sum(json.loads(line)["failure"] is None for line in lines) == 2


def test_without_matplotlib_nothing_is_measured(sound, monkeypatch):
    monkeypatch.setattr("dataset_pubchem3d.quality.plots.find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match="pip install matplotlib"):
        write_quality(sound)
    assert not (sound / "quality_report.json").exists()


@pytest.fixture(scope="module")
def validated(world, tmp_path_factory):
    """A folder built from all sources, with its build report and its quality report."""
    pytest.importorskip("matplotlib")
    out = tmp_path_factory.mktemp("validated") / "out"
    return out, build(Recipe.from_yaml(world / "recipe.yaml"), out), write_quality(out, sample=5, seed=0, num_proc=1)


def test_all_configs_of_a_built_folder_are_measured(validated):
    out, built, quality = validated
    assert list(quality["configs"]) == ["default", "captioning", "pretrain", "qm9"]
    measured = {config: figures["splits"] for config, figures in quality["configs"].items()}
    assert measured == built["configs"]
    assert set(measured["captioning"]) < set(measured["default"])  # a split without rows has no file
    methods = quality["geometry_comparison"]["methods"].values()
    assert [figures["sampled"] for figures in methods] == [5, 5]  # all of B3LYP/6-31G*, and QM9 from two configs
    assert all(figures["compared"] + sum(figures["failures"].values()) == 5 for figures in methods)
    assert "| rows | " in (out / "QUALITY.md").read_text(encoding="utf-8")


def test_a_built_folder_has_no_faults(validated):
    out, _, quality = validated
    assert quality["faults"] == []
    assert "No faults were found." in (out / "QUALITY.md").read_text(encoding="utf-8")
