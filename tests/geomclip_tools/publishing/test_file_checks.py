import json
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from geomclip_tools.publishing.file_checks import check_files, is_pickle
from geomclip_tools.publishing.publication import Publication, open_folder

RELEASE = Path(__file__).resolve().parents[3] / "release" / "geomclip-mini"


@pytest.fixture
def folder(tmp_path):
    save_file({"weight": torch.zeros(2)}, tmp_path / "model.safetensors")
    return tmp_path


def check(folder):
    files = tuple(sorted(path.name for path in folder.iterdir()))
    check_files(Publication(folder, "model", files))


def test_the_released_model_is_fit():
    check_files(open_folder(RELEASE))


def test_a_model_has_weights(tmp_path):
    with pytest.raises(ValueError, match=r"has no weights in \.safetensors"):
        check_files(Publication(tmp_path, "model", ()))
    check_files(Publication(tmp_path, "dataset", ()))


def test_pickles_are_refused_by_name_and_by_content(folder):
    check(folder)
    (folder / "notes").write_bytes(pickle.dumps({"a": 1}))
    with pytest.raises(ValueError, match=r"notes is a pickle.*remove it, or save it as \.safetensors"):
        check(folder)


def test_what_is_a_pickle(tmp_path):
    torch.save({"a": torch.zeros(1)}, tmp_path / "saved")
    torch.save({"a": torch.zeros(1)}, tmp_path / "older", _use_new_zipfile_serialization=False)
    (tmp_path / "empty.bin").touch()
    for name in ("saved", "older", "empty.bin"):
        assert is_pickle(tmp_path / name), name
    np.savez(tmp_path / "arrays.npz", a=np.zeros(2))
    (tmp_path / "header.safetensors").write_bytes(b"\x80\x02" + bytes(6))
    (tmp_path / "cut.zip").write_bytes(b"PK\x03\x04")
    with zipfile.ZipFile(tmp_path / "texts.zip", "w") as archive:
        archive.writestr("a.txt", "text")
    for name in ("arrays.npz", "header.safetensors", "cut.zip", "texts.zip"):
        assert not is_pickle(tmp_path / name), name


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("config.json", json.dumps({"base": [{"path": "/data/models/base"}]})),
        ("train_config.json", json.dumps({"command": "train --output=/data/run"})),
        ("README.md", "Trained in {home}/runs."),
        ("notes.txt", "see {cwd}/log"),
        ("code.py", "PATH = '{folder}'"),
        ("tokenizer.json", json.dumps({"file": "{folder}/vocabulary.txt"})),
    ],
)
def test_paths_of_this_machine_are_refused(folder, monkeypatch, name, text):
    monkeypatch.setenv("HOME", "/home/somebody")
    for place, path in (("home", Path.home()), ("cwd", Path.cwd()), ("folder", folder)):
        text = text.replace(f"{{{place}}}", str(path))
    (folder / name).write_text(text)
    with pytest.raises(ValueError, match=rf"{name} holds a path of this machine, .*/\w+.*; replace it by a name"):
        check(folder)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (
            "config.json",
            json.dumps({"base_model": "base", "id": "org/model", "url": "https://example.org/home/somebody"}),
        ),
        ("README.md", "https://example.org/home/somebody/page, /home/somebodyelse and a/home/somebody"),
        ("tokenizer.json", json.dumps({"merges": ["/usr/bin", "/a"]})),
    ],
)
def test_other_slashes_are_no_paths_of_this_machine(folder, monkeypatch, name, text):
    monkeypatch.setenv("HOME", "/home/somebody")
    (folder / name).write_text(text)
    check(folder)
