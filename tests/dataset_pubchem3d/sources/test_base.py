from pathlib import Path

import pytest

from dataset_pubchem3d.fetch.download import Part
from dataset_pubchem3d.sources.base import Source, find_installed_folder


class Example(Source):
    name = "example"


def write(*files):
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    return list(files)


def test_a_path_that_is_a_file_is_the_only_file(tmp_path):
    file, _ = write(tmp_path / "table.csv", tmp_path / "other.csv")
    assert Example().list_files(file) == [file]


def test_the_files_of_a_folder_and_its_subfolders_come_in_order(tmp_path):
    write(tmp_path / "b.gz", tmp_path / "c" / "deep" / "a.gz", tmp_path / "a.gz", tmp_path / "c" / "0.gz")
    (tmp_path / "empty").mkdir()
    names = [str(file.relative_to(tmp_path)) for file in Example().list_files(tmp_path)]
    assert names == ["a.gz", "b.gz", "c/0.gz", "c/deep/a.gz"]


def test_remains_of_an_interrupted_download_are_not_listed(tmp_path):
    part, parted = Part(tmp_path / "deep" / "b.sdf.gz"), tmp_path / "a.part.gz"
    write(part.bytes, part.version, parted)
    assert Example().list_files(tmp_path) == [parted]


@pytest.mark.parametrize("left", ["", "file.part", "file.part.version"])
def test_a_folder_without_finished_files_is_an_error_with_its_remedy(tmp_path, left):
    if left:
        write(tmp_path / left)
    with pytest.raises(FileNotFoundError, match=f"source example: {tmp_path} has no files; run the stage fetch"):
        Example().list_files(tmp_path)


@pytest.mark.parametrize("name", ["missing", "file.part"])
def test_a_missing_or_unfinished_path_is_an_error(tmp_path, name):
    write(tmp_path / "file.part")
    with pytest.raises(FileNotFoundError, match=f"{tmp_path / name} has no files"):
        Example().list_files(tmp_path / name)


def test_an_installed_folder_is_found():
    assert find_installed_folder("pytest") == Path(pytest.__file__).parent


@pytest.mark.parametrize("package", ["no_such_package_of_data", "this"])  # the second is a module, which has no folder
def test_a_data_package_that_is_not_installed_is_named_with_the_remedy(package):
    with pytest.raises(ModuleNotFoundError, match=f"'{package}' is not installed; pip install {package}"):
        find_installed_folder(package)
