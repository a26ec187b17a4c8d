"""Embeddings of many molecules or texts equal those of each alone, in the order of the input."""

import numpy as np
import pandas as pd
import pytest
import torch
from datasets import Dataset
from torch.testing import assert_close

from modeling_geomclip import MoleculeError, embed_molecules, embed_texts, read_molecule
from modeling_geomclip.embedding_geomclip import batches_by_size

SMILES = ["CCCCCCCCO", "C", "CCO", "c1ccccc1O", "CC(=O)O", "CCCCN"]
TEXTS = ["the molecule is an acid with water", "ring", "it has an amine", "the alcohol"]


@pytest.fixture(autouse=True)
def trained(model):
    model.train()  # with dropout, unless it is switched off


@pytest.mark.parametrize("pair_budget", [1, 150, None])
def test_molecules_are_embedded_in_order_for_any_batch_size(model, processor, pair_budget):
    embeds = embed_molecules(model, processor, SMILES, pair_budget)
    assert model.training
    assert (embeds.dtype, embeds.requires_grad) == (torch.float32, False)
    assert_close(embeds.norm(dim=-1), torch.ones(6))
    model.eval()
    for smiles, embed in zip(SMILES, embeds, strict=True):
        alone = model.get_geometry_features(**processor(molecules=smiles, return_tensors="pt")).pooler_output[0]
        assert_close(embed, alone.detach(), rtol=0, atol=1e-6)
    assert (embeds[0] - embeds[5]).abs().max() > 1e-4


def test_molecules_in_all_forms(model, processor):
    expected = embed_molecules(model, processor, SMILES)
    records, _ = processor.feature_extractor.read(SMILES)
    geometries = [{name: values.tolist() for name, values in read_molecule(smiles).items()} for smiles in SMILES]
    for molecules in (iter(SMILES), np.array(SMILES), records, geometries, Dataset.from_list(geometries)):
        assert_close(embed_molecules(model, processor, molecules), expected, rtol=0, atol=1e-6)
    assert_close(embed_molecules(model, processor.feature_extractor, SMILES[2]), expected[2:3], rtol=0, atol=1e-6)


def test_unreadable_molecules_are_reported_before_anything_is_embedded(model, processor, monkeypatch):
    monkeypatch.setattr(model, "get_geometry_features", None)
    with pytest.raises(MoleculeError, match="molecule 1"):
        embed_molecules(model, processor, ["C", "C1CC", "O"])
    with pytest.raises(MoleculeError, match="the list of molecules is empty"):
        embed_molecules(model, processor, [])
    assert model.training


def test_unreadable_molecules_can_be_filtered_out_first(model, processor):
    records, failures = processor.feature_extractor.read(["C1CC", *SMILES], errors="report")
    assert [failure["index"] for failure in failures] == [0]
    assert [record["index"] for record in records] == [1, 2, 3, 4, 5, 6]
    assert_close(embed_molecules(model, processor, records), embed_molecules(model, processor, SMILES))


def test_batches_hold_every_molecule_once_and_keep_the_budget(processor):
    extractor = processor.feature_extractor
    records, _ = extractor.read(SMILES)
    seen = []
    for indices, batch in batches_by_size(extractor, records, torch.device("cpu"), 200):
        rows, width = batch["atom_ids"].shape
        assert rows == 1 or rows * width**2 <= 200
        assert width == batch["atom_mask"].sum(dim=1).max() + 2
        seen += indices.tolist()
    assert sorted(seen) == list(range(6))
    assert len(seen) > 2


@pytest.mark.parametrize("batch_size", [1, 3, 64])
def test_texts_are_embedded_in_order_for_any_batch_size(model, processor, batch_size):
    embeds = embed_texts(model, processor, TEXTS, batch_size)
    assert model.training
    model.eval()
    for text, embed in zip(TEXTS, embeds, strict=True):
        alone = model.get_text_features(**processor(text=text, return_tensors="pt")).pooler_output[0]
        assert_close(embed, alone.detach(), rtol=0, atol=1e-6)
    assert (embeds[0] - embeds[1]).abs().max() > 1e-4


def test_texts_come_alone_or_in_any_iterable(model, processor):
    expected = embed_texts(model, processor, TEXTS)
    shuffled = pd.Series(TEXTS, index=[2, 0, 3, 1])  # by position, not by label
    column = Dataset.from_dict({"text": TEXTS})["text"]
    for texts in (tuple(TEXTS), iter(TEXTS), (text for text in TEXTS), shuffled, np.array(TEXTS), column):
        assert_close(embed_texts(model, processor, texts), expected, rtol=0, atol=1e-6)
    assert_close(embed_texts(model, processor, TEXTS[1]), expected[1:2], rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (pd.Series(["acid", np.nan, None]), "text 1 is nan, not a string; replace or drop it"),
        (["acid", "ring", None], "text 2 is None, not a string; replace or drop it"),
        (np.array([[1, 2]], dtype=object), "the texts have 2 dimensions; pass one column"),
        ([], "the list of texts is empty; pass at least one"),
    ],
)
def test_invalid_texts_are_reported_before_anything_is_embedded(model, processor, monkeypatch, texts, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        processor(text=texts)
    monkeypatch.setattr(model, "get_text_features", None)
    with pytest.raises(ValueError, match=f"^{message}$"):
        embed_texts(model, processor, texts)


def test_an_empty_text_equals_a_blank_one(model, processor):
    embeds = embed_texts(model, processor, ["", "  ", "acid"])
    assert_close(embeds[0], embeds[1], rtol=0, atol=1e-6)
    assert (embeds[0] - embeds[2]).abs().max() > 1e-4


def test_autocast_changes_little(model, processor):
    for embed, items in ((embed_molecules, SMILES), (embed_texts, TEXTS)):
        full, half = (embed(model, processor, items, dtype=dtype) for dtype in (None, torch.bfloat16))
        assert half.dtype == torch.float32
        assert 1e-7 < (full - half).abs().max() < 0.05
        assert torch.cosine_similarity(full, half).min() > 0.999
