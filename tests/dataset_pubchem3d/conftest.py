"""The dataset, built once for all tests of this folder."""

import os

os.environ["HF_HUB_OFFLINE"] = "1"

import pytest
from datasets import Dataset, concatenate_datasets

from dataset_pubchem3d.build import build_qm9
from dataset_pubchem3d.pubchem3d import split_files


@pytest.fixture(scope="session")
def built(tmp_path_factory):
    """Path of a folder built with seed 0."""
    out = tmp_path_factory.mktemp("built") / "pubchem3d"
    build_qm9(out, seed=0)
    return out


@pytest.fixture(scope="session")
def rows(built, tmp_path_factory):
    """All rows of all splits, as plain dictionaries."""
    cache = str(tmp_path_factory.mktemp("rows_cache"))
    files = [str(file) for found in split_files(built).values() for file in found]
    return concatenate_datasets([Dataset.from_parquet(file, cache_dir=cache) for file in files]).to_list()
