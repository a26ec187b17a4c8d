"""Reading molecules for evaluation: given geometries, averages over conformers, failures."""

import numpy as np
import pytest
from datasets import Dataset

from geomclip_tools.evaluation.conformers import Record, average_over_conformers
from modeling_geomclip import GeomCLIPFeatureExtractor, read_molecule

SMILES = ["CCCCN", "C1CC", "CCO"]


@pytest.fixture
def extractor() -> GeomCLIPFeatureExtractor:
    return GeomCLIPFeatureExtractor()


def encode(records: list[Record]) -> np.ndarray:
    """Return the distance between the first two atoms, and the number of atoms."""
    lengths = [np.linalg.norm(record["positions"][0] - record["positions"][1]) for record in records]
    return np.array([[length, len(record["positions"])] for length, record in zip(lengths, records)])


def test_given_geometries_are_read_as_they_are_and_failures_named(extractor):
    positions = [[[0.0, 0, 0], [0, 0, length]] for length in (1.0, np.nan, 2.0)]
    rows = Dataset.from_dict({"atomic_numbers": [[6, 8]] * 3, "positions": positions})
    values, kept, failures = average_over_conformers(encode, extractor, rows)
    assert values.tolist() == [[1, 2], [2, 2]]
    assert kept.tolist() == [0, 2]
    assert [failure["row"] for failure in failures] == [1]
    assert values.dtype == np.float64


def test_conformers_are_averaged_and_the_seed_is_given_back(extractor):
    rows = Dataset.from_dict({"smiles": SMILES})
    values, kept, failures = average_over_conformers(encode, extractor, rows, "rdkit", num_conformers=3)
    seeds = [extractor.conformer_seed + number for number in range(3)]
    for found, smiles in zip(values, ("CCCCN", "CCO"), strict=True):
        single = encode([read_molecule(smiles, seed=seed, remove_hydrogens=True) for seed in seeds])
        np.testing.assert_allclose(found, single.mean(axis=0), rtol=1e-12)
    assert len({*encode([read_molecule("CCCCN", seed=seed) for seed in seeds])[:, 0]}) == 3  # they do differ
    assert (kept.tolist(), [failure["row"] for failure in failures]) == ([0, 2], [1])
    assert extractor.conformer_seed == GeomCLIPFeatureExtractor().conformer_seed


def test_a_conformer_that_cannot_be_made_is_left_out_of_the_mean(extractor, monkeypatch):
    rows = Dataset.from_dict({"smiles": ["CCO", "CCN"]})
    read, calls = extractor.read, []

    def read_all_but_one(molecules, errors):
        records, _ = read(list(molecules), errors)
        calls.append(1)
        failed = [{"index": 1, "reason": "no conformer"}] if len(calls) == 1 else []
        return records[: 2 - len(failed)], failed

    monkeypatch.setattr(extractor, "read", read_all_but_one)
    values, kept, failures = average_over_conformers(encode, extractor, rows, "rdkit", num_conformers=2)
    assert (kept.tolist(), failures) == ([0, 1], [])
    second = encode([read_molecule("CCN", seed=extractor.conformer_seed + 1, remove_hydrogens=True)])
    np.testing.assert_allclose(values[1], second[0], rtol=1e-12)


def test_given_conformers_are_averaged_as_far_as_there_are_any(extractor):
    lengths = [[1.0, 1.2, 1.6], [2.0], [1.4, np.nan, 1.8], [np.nan, 1.1]]
    places = [[[[0.0, 0, 0], [0, 0, length]] for length in row] for row in lengths]
    rows = Dataset.from_dict(
        {
            "atomic_numbers": [[6, 8]] * 4,
            "positions": [row[0] for row in places],
            "further_positions": [row[1:] for row in places],
        }
    )
    values, kept, failures = average_over_conformers(encode, extractor, rows, num_conformers=3)
    assert values[:, 0].tolist() == pytest.approx([(1.0 + 1.2 + 1.6) / 3, 2.0, (1.4 + 1.8) / 2, 1.1])
    assert (kept.tolist(), failures) == ([0, 1, 2, 3], [])
    two = average_over_conformers(encode, extractor, rows, num_conformers=2)[0]
    assert two[:, 0].tolist() == pytest.approx([1.1, 2.0, 1.4, 1.1])
    one, kept, failures = average_over_conformers(encode, extractor, rows)
    assert (one[:, 0].tolist(), kept.tolist(), [failure["row"] for failure in failures]) == (
        [1, 2, 1.4],
        [0, 1, 2],
        [3],
    )
    without = rows.remove_columns("further_positions")
    assert np.array_equal(average_over_conformers(encode, extractor, without, num_conformers=3)[0], one)


@pytest.mark.parametrize("coordinates", ["given", "rdkit"])
def test_when_no_molecule_is_left_it_says_why(extractor, coordinates):
    rows = Dataset.from_dict({"smiles": ["C1CC"]})
    with pytest.raises(ValueError, match=r"no molecule of 1 can be read; failures: .*cannot read it as SMILES"):
        average_over_conformers(encode, extractor, rows, coordinates)
