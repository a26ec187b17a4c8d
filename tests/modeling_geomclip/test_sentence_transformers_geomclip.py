"""A checkpoint folder is a model of sentence-transformers with our own embeddings."""

import numpy as np
import pytest
from rdkit import Chem
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.evaluation import InformationRetrievalEvaluator
from sentence_transformers.util import semantic_search

from modeling_geomclip import MoleculeError, embed_molecules, embed_texts

SMILES = ["CCCCCCCCO", "C", "CCO", "c1ccccc1O", "CC(=O)O", "CCCCN"]
TEXTS = ["the molecule is an acid with water", "ring", "it has an amine"]


@pytest.fixture
def expected(model, processor):
    return embed_texts(model, processor, TEXTS).numpy(), embed_molecules(model, processor, SMILES).numpy()


@pytest.fixture
def folder(model, processor, tmp_path) -> str:
    model.save_pretrained(tmp_path / "geomclip")
    processor.save_pretrained(tmp_path / "geomclip")
    return str(tmp_path / "geomclip")


@pytest.fixture
def loaded(folder) -> SentenceTransformer:
    return SentenceTransformer(folder, trust_remote_code=True, device="cpu", local_files_only=True)


def test_the_task_decides_between_texts_and_molecules(loaded, expected, processor):
    texts, molecules = expected
    assert loaded.get_embedding_dimension() == 16
    np.testing.assert_allclose(loaded.encode_query(TEXTS), texts, atol=1e-6)
    np.testing.assert_allclose(loaded.encode(TEXTS, batch_size=1), texts, atol=1e-6)
    np.testing.assert_allclose(loaded.encode(TEXTS[1]), texts[1], atol=1e-6)
    np.testing.assert_allclose(loaded.encode("acid with water", prompt="the molecule is an "), texts[0], atol=1e-6)
    records, _ = processor.feature_extractor.read(SMILES)
    geometries = [{name: record[name] for name in ("atomic_numbers", "positions")} for record in records]
    for given in (SMILES, geometries, [Chem.MolFromSmiles(smiles) for smiles in SMILES]):
        np.testing.assert_allclose(loaded.encode_document(given, batch_size=4), molecules, atol=1e-6)
    np.testing.assert_allclose(loaded.encode_document(geometries[2]), molecules[2], atol=1e-6)


def test_similarity_search_and_evaluation(loaded, expected):
    texts, molecules = expected
    np.testing.assert_allclose(loaded.similarity(texts, molecules), texts @ molecules.T, atol=1e-6)
    for hits, scores in zip(semantic_search(loaded.encode_query(TEXTS), molecules, top_k=3), texts @ molecules.T):
        assert [hit["corpus_id"] for hit in hits] == np.argsort(-scores)[:3].tolist()
    queries, corpus = {str(row): text for row, text in enumerate(TEXTS)}, dict(zip("abcdef", SMILES))
    right = {str(row): {"abcdef"[np.argmax(scores)]} for row, scores in enumerate(texts @ molecules.T)}
    evaluate = InformationRetrievalEvaluator(queries, corpus, right, show_progress_bar=False)
    assert evaluate(loaded)["cosine_accuracy@1"] == 1
    wrong = {row: set(corpus) - keys for row, keys in right.items()}
    evaluate = InformationRetrievalEvaluator(queries, corpus, wrong, show_progress_bar=False)
    assert evaluate(loaded)["cosine_accuracy@1"] == 0


def test_it_can_be_saved_again_and_loaded(loaded, expected, tmp_path):
    loaded.save(str(tmp_path / "again"))
    again = SentenceTransformer(str(tmp_path / "again"), trust_remote_code=True, device="cpu", local_files_only=True)
    np.testing.assert_allclose(again.encode_document(SMILES), expected[1], atol=1e-6)


def test_what_is_wrong_is_told(loaded, folder):
    with pytest.raises(MoleculeError, match="C1CC"):
        loaded.encode_document(["C1CC"])
    with pytest.raises(ValueError, match="not a string"):
        loaded.encode([Chem.MolFromSmiles("C")])
    with pytest.raises(ValueError, match="trust_remote_code"):
        SentenceTransformer(folder, device="cpu", local_files_only=True)
