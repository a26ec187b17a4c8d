from collections import Counter

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dataset_pubchem3d.publication.redistribution import Terms, count_terms, may_be_redistributed
from dataset_pubchem3d.sources.registry import GEOMETRY_SOURCES

CC_BY = "https://creativecommons.org/licenses/by/4.0/"
RDKIT = Terms("geometry", "rdkit", "none needed (computed by RDKit)")


@pytest.fixture
def files(tmp_path):
    pairs = {
        "text": ["a", "b", "c"],
        "text_source": ["ChEBI", "HSDB", "ChEBI"],
        "text_license_url": [CC_BY, None, CC_BY],
        "geometry_source": ["rdkit"] * 3,
        "geometry_license": [RDKIT.license] * 3,
    }
    molecules = {name: values for name, values in pairs.items() if not name.startswith("text")}
    paths = []
    for name, columns in (("pairs", pairs), ("molecules", molecules), ("bare", {"text": ["a"], "smiles": ["C"]})):
        paths.append(tmp_path / f"{name}.parquet")
        pq.write_table(pa.table(columns), paths[-1])
    return paths


def test_rows_are_counted_by_what_they_state(files):
    assert count_terms(files) == Counter(
        {
            (RDKIT, Terms("text", "ChEBI", CC_BY)): 2,
            (RDKIT, Terms("text", "HSDB", "not stated")): 1,
            (RDKIT,): 3,
            (Terms("geometry", "not stated", "not stated"), Terms("text", "not stated", "not stated")): 1,
        }
    )


@pytest.mark.parametrize("license_", [CC_BY, "CC BY 4.0", "CC0 1.0", "CC-BY-3.0", "MIT", "Apache 2.0"])
def test_permissive_licences_permit_redistribution(license_):
    assert may_be_redistributed(Terms("text", "x", license_))
    assert may_be_redistributed(Terms("geometry", "x", license_))


@pytest.mark.parametrize(
    "license_",
    ["not stated", "CC BY-NC 4.0", "CC0 1.0 (not verified)", "MIT; terms of the archive", "MIT#not verified", "", "by"],
)
def test_other_statements_are_not_known_to(license_):
    assert not may_be_redistributed(Terms("text", "x", license_))
    assert not may_be_redistributed(Terms("geometry", "x", license_))
    assert may_be_redistributed(Terms("geometry", "x", license_), [license_])


def test_geometries_of_sources():
    free = {
        name
        for name, source in GEOMETRY_SOURCES.items()
        if may_be_redistributed(Terms("geometry", name, source.license))
    }
    assert free == {"rdkit", "pubchemqc"}
    assert not any("verified" in GEOMETRY_SOURCES[name].license for name in free)
    assert not may_be_redistributed(Terms("text", *RDKIT[1:]))  # what is true of a geometry is not of a text
