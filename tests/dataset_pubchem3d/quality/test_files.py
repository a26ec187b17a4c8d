import pytest

from dataset_pubchem3d.quality.files import list_data_files


def test_files_that_are_missing_or_broken_are_named(tmp_path, row, write, measure):
    with pytest.raises(FileNotFoundError, match=r"no data/default/.*parquet"):
        list_data_files(tmp_path)
    file = write("default", train=[row("CCO")]) / "data" / "default" / "train-00000-of-00001.parquet"
    first_of_two = file.rename(file.with_name("train-00000-of-00002.parquet"))
    with pytest.raises(FileNotFoundError, match="only 1 of 2 files exist"):
        measure(tmp_path)
    first_of_two.rename(file)
    file.write_bytes(file.read_bytes()[:-20])
    with pytest.raises(ValueError, match=r"train-00000-of-00001.parquet cannot be read.*build the folder again"):
        measure(tmp_path)
