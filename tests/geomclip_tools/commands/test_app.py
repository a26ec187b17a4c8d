"""`geomclip app`: its settings, its demonstration and its captioner. The page itself is tested in `tests/.../app`."""

import pandas as pd
import pytest

from geomclip_tools.app import demo
from geomclip_tools.commands import app
from geomclip_tools.library import MoleculeIndex


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "pass either --index or --demo"),
        (["--demo", "--index", "my_library"], "pass either --index or --demo"),
        (["--demo", "--port", "0"], "--port is 0; it must lie in"),
        (["--index", "nowhere"], "there is no index at nowhere"),
    ],
)
def test_what_is_wrong_is_told(words, told, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=told):
        app.main(words)


def test_the_demonstration_needs_a_model(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"there is no release/geomclip-mini here; pass --model"):
        app.main(["--demo"])


def test_the_demonstration_is_made_once(model, processor, tmp_path, monkeypatch, capsys):
    pytest.importorskip("chemicals")
    monkeypatch.setattr(demo, "MOLECULES", 12)
    model.save_pretrained(tmp_path / "geomclip")
    processor.save_pretrained(tmp_path / "geomclip")
    index = demo.open_demo(tmp_path / "demo", str(tmp_path / "geomclip"))
    assert len(index) == 12
    assert "making an index of 12 molecules" in capsys.readouterr().out
    library = pd.read_csv(tmp_path / "demo" / demo.LIBRARY)
    assert library["cid"].is_monotonic_increasing
    assert {"name", "smiles", "text"} <= {*library}
    assert len(index.find_texts("CCO", 3)) == 3
    monkeypatch.setattr(MoleculeIndex, "add", None)
    assert len(demo.open_demo(tmp_path / "demo", str(tmp_path / "geomclip"))) == 12
