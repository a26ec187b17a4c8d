"""Baseline captions agree with a brute-force search."""

import numpy as np
import pytest
from rdkit import Chem
from rdkit.Chem import rdFingerprintGenerator
from rdkit.DataStructs import TanimotoSimilarity

from geomclip_tools.evaluation import caption_baselines
from geomclip_tools.evaluation.caption_baselines import (
    find_commonest,
    find_nearest_by_fingerprint,
    rank_by_embedding,
)

TRAINING = ["CCO", "OC(=O)c1ccccc1", "CC(=O)Oc1ccccc1C(=O)O", "CCO", "C1CCCCC1", "CC(N)C(=O)O", "O"]
QUERIES = ["OCC", "CC(=O)Oc1ccccc1", "C1CCCC1", "NCC(=O)O", "OC(=O)c1ccccc1O", "[Na+]"]


@pytest.mark.parametrize(
    ("captions", "expected"), [(["b", "a", "c", "a"], "a"), (["c", "b", "a", "b", "a"], "b"), (["z"], "z")]
)
def test_the_commonest_caption_and_of_several_the_first(captions, expected):
    assert find_commonest(captions) == expected


@pytest.mark.parametrize("block", [1, 100, 2**22])
def test_embeddings_equal_brute_force_in_blocks_of_any_size(monkeypatch, block):
    monkeypatch.setattr(caption_baselines, "BLOCK_COSINES", block)
    random = np.random.default_rng(3)
    queries, training = random.standard_normal((37, 5)), random.standard_normal((23, 5)) * random.uniform(1, 9, (23, 1))

    def cosine(query: np.ndarray, row: np.ndarray) -> float:
        return query @ row / np.sqrt((query @ query) * (row @ row))

    expected = [sorted(range(23), key=lambda j: -cosine(query, training[j])) for query in queries]
    assert rank_by_embedding(queries, training, 3).tolist() == [ranked[:3] for ranked in expected]
    assert rank_by_embedding(queries, training, 99).tolist() == expected
    assert rank_by_embedding(queries, training, 1).dtype == np.int64


def test_of_equal_embeddings_the_first_is_taken():
    random = np.random.default_rng(4)
    distinct = random.standard_normal((19, 33))
    training = np.concatenate([distinct, distinct * 3, distinct])
    queries = random.standard_normal((200, 33))
    assert (rank_by_embedding(queries, training, 1) < 19).all()
    assert rank_by_embedding(distinct, training, 3).tolist() == [[row, row + 19, row + 38] for row in range(19)]


def test_fingerprints_equal_brute_force():
    generator = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=2048)

    def similarity(one: str, other: str) -> float:
        return TanimotoSimilarity(*(generator.GetFingerprint(Chem.MolFromSmiles(smiles)) for smiles in (one, other)))

    expected = [max(range(len(TRAINING)), key=lambda j: similarity(query, TRAINING[j])) for query in QUERIES]
    assert find_nearest_by_fingerprint(QUERIES, TRAINING).tolist() == expected
    assert expected == [0, 2, 4, 5, 1, 0]  # the first of two ethanols; sodium resembles none, so the first row


@pytest.mark.parametrize(
    ("query", "longer", "nearest"),
    [
        ("CCCCCCC(C)O", "CCCCCCCC(C)O", 0),  # equal environments up to two bonds: a tie
        ("CCCCC(C)O", "CCCCCC(C)O", 1),  # different at two bonds, equal at one
    ],
)
def test_the_radius_is_that_of_ecfp4(query, longer, nearest):
    assert find_nearest_by_fingerprint([query], [longer, query]).tolist() == [nearest]


def test_no_query_has_no_neighbour():
    assert find_nearest_by_fingerprint([], ["C"]).tolist() == []
    assert rank_by_embedding(np.empty((0, 2)), np.ones((3, 2)), 1).tolist() == []


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: find_commonest([]), "captions are empty"),
        (lambda: rank_by_embedding(np.ones((2, 3)), np.ones((2, 4)), 1), r"\(2, 3\).*\(2, 4\).*same width"),
        (lambda: rank_by_embedding(np.ones((2, 3)), np.ones((0, 3)), 1), "training must have at least one row"),
        (lambda: rank_by_embedding(np.ones(3), np.ones((2, 3)), 1), r"queries have shape \(3,\)"),
        (lambda: rank_by_embedding([[1, 0]], [[1, 0], [0, 0]], 1), "training are zero, NaN.*first in row 1"),
        (lambda: rank_by_embedding([[1, np.nan]], [[1, 0]], 1), "queries are zero, NaN.*first in row 0"),
        (lambda: find_nearest_by_fingerprint(["C"], []), "training_smiles are empty"),
        (lambda: find_nearest_by_fingerprint(["C", "C1"], ["C"]), "query_smiles row 1: RDKit cannot read SMILES 'C1'"),
        (lambda: find_nearest_by_fingerprint(["C"], ["C", "O", "?"]), r"training_smiles row 2.*'\?'"),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
