import shutil

import pytest
from datasets import load_dataset

from dataset_pubchem3d import PubChem3D
from dataset_pubchem3d.pubchem3d import digest_content
from dataset_pubchem3d.schema import FEATURES
from dataset_pubchem3d.stages.splits import SPLITS


@pytest.fixture
def builder(built, tmp_path):
    return PubChem3D(data_dir=built, cache_dir=str(tmp_path / "builder_cache"))


def test_builder_equals_load_dataset(builder, built, tmp_path):
    builder.download_and_prepare()
    loaded = load_dataset(str(built), cache_dir=str(tmp_path / "cache"))
    assert list(loaded) == list(SPLITS)
    for split in SPLITS:
        direct = builder.as_dataset(split=split)
        assert direct.features == loaded[split].features == FEATURES
        assert direct.to_list() == loaded[split].to_list()
        assert len(direct) > 200


def test_a_config_is_chosen_by_its_name(built, tmp_path):
    builder = PubChem3D(data_dir=built, config_name="captioning", cache_dir=str(tmp_path / "builder_cache"))
    builder.download_and_prepare()
    loaded = load_dataset(str(built), "captioning", cache_dir=str(tmp_path / "cache"))
    assert builder.as_dataset(split="train").to_list() == loaded["train"].to_list()
    assert len(loaded["train"]) == 762


def test_builder_streams(builder, built):
    streamed = list(builder.as_streaming_dataset(split="test"))
    builder.download_and_prepare()
    assert streamed == builder.as_dataset(split="test").to_list()


def test_builder_writes_parquet(builder, tmp_path, rows):
    builder.download_and_prepare(str(tmp_path / "copy"), file_format="parquet")
    copied = load_dataset("parquet", data_dir=str(tmp_path / "copy"), cache_dir=str(tmp_path / "cache"))
    assert sum(len(copied[split]) for split in copied) == len(rows)


def test_changed_files_are_read_anew(built, tmp_path):
    folder, cache = tmp_path / "pubchem3d", str(tmp_path / "cache")
    shutil.copytree(built, folder)
    first = PubChem3D(data_dir=folder, cache_dir=cache)
    first.download_and_prepare()
    before = digest_content(folder)
    data = folder / "data" / "default"
    shutil.copy(data / "test-00000-of-00001.parquet", data / "train-00000-of-00001.parquet")
    second = PubChem3D(data_dir=folder, cache_dir=cache)
    second.download_and_prepare()
    assert digest_content(folder) != before
    assert len(second.as_dataset(split="train")) == len(second.as_dataset(split="test"))


def test_a_folder_without_data_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"data/default/\*\.parquet.*dataset_pubchem3d build"):
        PubChem3D(data_dir=tmp_path)
