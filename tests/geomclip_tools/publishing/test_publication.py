import json

import pytest

from geomclip_tools.publishing.publication import open_folder


def test_a_checkpoint_is_published_without_what_only_its_training_needs(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "geomclip"}))
    for name in (
        "model.safetensors",
        "base/model.safetensors",
        "last/config.json",
        "states/optimizer.bin",
        "log.jsonl",
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / ".cache").mkdir()
    (tmp_path / ".cache" / "file").touch()
    publication = open_folder(tmp_path)
    assert publication.kind == "model"
    assert publication.files == ("base/model.safetensors", "config.json", "model.safetensors")
    assert publication.find(".json") == [tmp_path / "config.json"]
    assert len(publication.find()) == 3


def test_a_dataset_is_published_with_its_quarantine(tmp_path):
    (tmp_path / "build_report.json").write_text(json.dumps({"builder": "dataset_pubchem3d"}))
    (tmp_path / "quarantine").mkdir()
    (tmp_path / "quarantine" / "cleaned.jsonl").touch()
    publication = open_folder(tmp_path)
    assert publication.kind == "dataset"
    assert publication.files == ("build_report.json", "quarantine/cleaned.jsonl")


@pytest.mark.parametrize(
    ("name", "content"), [("config.json", {"model_type": "bert"}), ("build_report.json", {"builder": "another"})]
)
def test_foreign_folders_are_refused(tmp_path, name, content):
    (tmp_path / name).write_text(json.dumps(content))
    for folder in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(ValueError, match=f"{folder.name} is neither a dataset nor a checkpoint; give a folder"):
            open_folder(folder)
