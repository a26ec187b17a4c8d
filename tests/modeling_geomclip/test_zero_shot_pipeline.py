"""`pipeline("zero-shot-molecule-classification")` ranks labels by the model's own similarities."""

import pytest
import torch
from transformers import pipeline

from modeling_geomclip import GeomCLIPGeometryModel, MoleculeError, embed_molecules, embed_texts

SMILES = ["CCO", "c1ccccc1", "CC(=O)O"]
LABELS = ["an alcohol", "an acid", "a ring with water"]


@pytest.fixture
def classify(model, processor):
    return pipeline("zero-shot-molecule-classification", model=model, processor=processor)


def test_scores_are_the_softmax_of_the_similarities(classify, model, processor):
    for template in ("{}", "the molecule is {}"):
        texts = embed_texts(model, processor, [template.replace("{}", label) for label in LABELS])
        logits = model.logit_scale.exp().detach() * embed_molecules(model, processor, SMILES) @ texts.T
        given = {"candidate_labels": LABELS, "hypothesis_template": template}
        for found in (
            classify(SMILES, **given),
            classify(SMILES, batch_size=3, **given),
            list(classify((smiles for smiles in SMILES), **given)),
        ):
            scores = torch.tensor([[entry["score"] for entry in entries] for entries in found])
            torch.testing.assert_close(scores, logits.softmax(-1).sort(descending=True).values, rtol=1e-4, atol=1e-6)
            for entries, row in zip(found, logits):
                assert [entry["label"] for entry in entries] == [
                    LABELS[place] for place in row.argsort(descending=True)
                ]
    assert classify(SMILES[0], candidate_labels="an acid") == [{"label": "an acid", "score": 1.0}]


def test_a_saved_folder_is_enough(model, processor, tmp_path, classify):
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    found = pipeline("zero-shot-molecule-classification", model=str(tmp_path))(SMILES, LABELS)
    for entries, expected in zip(found, classify(SMILES, LABELS), strict=True):
        assert [entry["label"] for entry in entries] == [entry["label"] for entry in expected]
        assert [entry["score"] for entry in entries] == pytest.approx([entry["score"] for entry in expected], rel=1e-5)


def test_what_is_wrong_is_told(classify, geometry_config):
    with pytest.raises(ValueError, match="the list of molecules is empty"):
        classify([], LABELS)
    with pytest.raises(ValueError, match="there are no candidate_labels"):
        classify("C")
    with pytest.raises(ValueError, match=r"it needs \{\} in the place of the label"):
        classify("C", LABELS, hypothesis_template="a molecule")
    with pytest.raises(MoleculeError, match="C1CC"):
        classify("C1CC", LABELS)
    with pytest.raises(TypeError, match="does not accept colour"):
        classify("C", LABELS, colour=1)
    with pytest.raises(ValueError, match="which does not embed texts"):
        pipeline(
            "zero-shot-molecule-classification",
            model=GeomCLIPGeometryModel(geometry_config),
            processor=classify.processor,
        )
