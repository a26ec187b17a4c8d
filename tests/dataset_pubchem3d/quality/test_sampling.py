import pyarrow as pa
import pyarrow.parquet as pq

from dataset_pubchem3d.quality.sampling import sample_rows


def write_rows(path, keys, method):
    rows = [
        {"inchikey": key, "smiles": "C", "geometry_id": "1", "geometry_method": method, "atomic_numbers": [6]}
        | {"positions": [[0.0, 0.0, 0.0]]}
        for key in keys
    ]
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


def test_a_sample_depends_only_on_the_keys_and_the_seed(tmp_path):
    keys = [f"KEY{i}" for i in range(50)]
    whole = write_rows(tmp_path / "whole.parquet", keys, "dft")
    halves = [write_rows(tmp_path / f"{i}.parquet", keys[::-1][i::2], "dft") for i in (0, 1)]
    other = write_rows(tmp_path / "other.parquet", keys[:3], "xtb")
    sample = sample_rows([whole], 10, seed=0)
    assert sample == sample_rows([*halves, whole], 10, seed=0)
    assert len({row["inchikey"] for row in sample}) == 10
    assert sample != sample_rows([whole], 10, seed=1)
    assert [row["geometry_method"] for row in sample_rows([other, whole], 5, seed=0)] == ["dft"] * 5 + ["xtb"] * 3
    assert {row["inchikey"] for row in sample_rows([whole], 99, seed=0)} == set(keys)
