import pytest

from dataset_pubchem3d.quality.plots import write_plots


def test_missing_data_is_not_plotted(tmp_path, sound, measure):
    pytest.importorskip("matplotlib")
    report = measure(sound)
    files = write_plots(tmp_path / "plots", report, report["geometry_comparison"]["molecules"])
    assert [file.name for file in files] == [
        "text_lengths.png",
        "heavy_atoms.png",
        "elements.png",
        "text_kinds.png",
        "geometry_methods.png",
    ]
    assert sorted(files) == sorted((tmp_path / "plots").iterdir())
