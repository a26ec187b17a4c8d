"""Contributions are differences of the model's own similarities."""

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from modeling_geomclip import MoleculeError, embed_molecules, embed_texts, explain
from modeling_geomclip.explanation_geomclip import embed_masked, explain_records

SMILES = "CC(=O)Nc1ccc(O)cc1"
TEXT = "the molecule  is an acid"


@pytest.fixture(autouse=True)
def trained(model):
    model.train()  # with dropout, unless it is switched off


def test_contributions_are_differences_of_similarities(model, processor):
    found = explain(model, processor, SMILES, TEXT)
    assert model.training
    model.eval()
    molecule, text = embed_molecules(model, processor, SMILES)[0], embed_texts(model, processor, TEXT)[0]
    similarity = (molecule @ text).item()
    assert found.similarity == pytest.approx(similarity, abs=1e-6)
    batch = processor(molecules=SMILES)
    assert len(found.atomic_numbers) == len(found.positions) == batch["atom_mask"].sum()
    for atom in (0, 5, len(found.atomic_numbers) - 1):
        masked = {name: values.clone() for name, values in batch.items()}
        masked["atom_ids"][0, atom + 1] = model.config.geometry_config.mask_token_id
        embed = model.get_geometry_features(**masked).pooler_output[0].detach()
        assert found.atom_contributions[atom] == pytest.approx(similarity - (embed @ text).item(), abs=1e-6)
    assert np.abs(found.atom_contributions).max() > 1e-4
    assert found.words == ["the", "molecule", "is", "an", "acid"]
    without = embed_texts(model, processor, ["the   is an acid", "the molecule  is an "])
    assert_close(torch.from_numpy(found.word_contributions[[1, 4]]), similarity - without @ molecule, rtol=0, atol=1e-6)


def test_several_molecules_are_explained_as_each_alone(model, processor):
    smiles = [SMILES, "CO", "CCCCCCO", "[Na+].[Cl-]"]
    records, _ = processor.feature_extractor.read(smiles)
    for each, found in zip(smiles, explain_records(model, processor, records, TEXT), strict=True):
        alone = explain(model, processor, each, TEXT)
        np.testing.assert_allclose(found.atom_contributions, alone.atom_contributions, atol=2e-6)
        np.testing.assert_allclose(found.word_contributions, alone.word_contributions, atol=2e-6)
        assert (found.similarity, found.words) == (pytest.approx(alone.similarity, abs=2e-6), alone.words)


def test_contributions_do_not_depend_on_the_order_of_atoms(model, processor):
    ((record,), _) = processor.feature_extractor.read([SMILES])
    order = np.random.default_rng(0).permutation(len(record["atomic_numbers"]))
    moved = {name: record[name][order] for name in ("atomic_numbers", "positions")}
    moved["positions"] = moved["positions"] + [3, -2, 1]
    expected = explain(model, processor, SMILES, TEXT).atom_contributions[order]
    np.testing.assert_allclose(explain(model, processor, moved, TEXT).atom_contributions, expected, atol=2e-6)


def test_no_masks_and_all_masks(model, processor):
    ((record,), _) = processor.feature_extractor.read(["CO"])
    other = {**record, "atomic_numbers": np.array([7, 7])}
    none, every = np.zeros(2, bool), np.ones(2, bool)
    assert_close(embed_masked(model, processor, [record], [none]), embed_molecules(model, processor, "CO"))
    masked = embed_masked(model, processor, [record, other], [every, every])
    assert_close(masked[0], masked[1])


def test_what_is_wrong_is_told(model, processor):
    with pytest.raises(MoleculeError, match="C1CC"):
        explain(model, processor, "C1CC", TEXT)
    with pytest.raises(ValueError, match="not a string"):
        explain(model, processor, "C", None)
    assert explain(model, processor, "[H]", "").words == []
