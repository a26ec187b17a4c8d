"""The released checkpoint: current code, final weights, retrieval of known molecules, and symmetries."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from datasets import Dataset
from safetensors.torch import load_file
from transformers import AutoModel, AutoProcessor

from geomclip_tools.cards.model_card import write_model_card
from geomclip_tools.evaluation.invariance import evaluate_invariance
from modeling_geomclip import GeomCLIPModel, embed_molecules, embed_texts

ROOT = Path(__file__).resolve().parents[1]
RELEASE = ROOT / "release" / "geomclip-mini"
RESULTS = ROOT / "research" / "results" / "release"
TRAINED_ON = ("pairs", "definitions", "descriptions_pairs", "chemicals", "descriptions")
KNOWN = {  # no model was trained on these sentences
    "CC(=O)Oc1ccccc1C(=O)O": "A benzoic acid with an acetate ester, which relieves pain and fever.",
    "CN1C=NC2=C1C(=O)N(C)C(=O)N2C": "A trimethylxanthine alkaloid, a stimulant found in coffee and tea.",
    "CC(C)CCCC(C)C1CCC2C1(CCC3C2CC=C4C3(CCC(C4)O)C)C": "A sterol of animal cell membranes.",
    "CCCCCCCCCCCCCCCC(=O)O": "A saturated long-chain fatty acid.",
    "OCC1OC(O)C(O)C(O)C1O": "A hexose, a simple sugar.",
    "CN1CCCC1c1cccnc1": "A pyridine alkaloid of tobacco with a pyrrolidine ring.",
    "Clc1ccc(cc1)C(c1ccc(Cl)cc1)C(Cl)(Cl)Cl": "An organochlorine insecticide of two chlorobenzene rings.",
    "NC(Cc1c[nH]c2ccccc12)C(=O)O": "An aromatic amino acid with an indole side chain.",
}


@pytest.fixture(scope="module")
def released() -> tuple[GeomCLIPModel, object]:
    return AutoModel.from_pretrained(RELEASE), AutoProcessor.from_pretrained(RELEASE)


def test_its_code_is_that_of_the_package():
    for file in RELEASE.glob("*.py"):
        assert file.read_text() == (ROOT / "modeling_geomclip" / file.name).read_text(), (
            f"{file.name} differs from modeling_geomclip; copy it again"
        )


def test_it_is_small_and_loads_in_float32(released):
    assert sum(file.stat().st_size for file in RELEASE.iterdir()) <= 96e6
    stored = load_file(RELEASE / "model.safetensors").values()
    assert sum(weight.numel() for weight in stored if weight.dtype == torch.bfloat16) > 0.99 * sum(
        weight.numel() for weight in stored
    )
    model, _ = released
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}


def test_known_molecules_find_their_texts(released):
    molecules, texts = embed_molecules(*released, list(KNOWN)), embed_texts(*released, list(KNOWN.values()))
    found = (texts @ molecules.T).argmax(dim=1)
    assert (found == torch.arange(len(KNOWN))).sum() >= len(KNOWN) - 1, found


def test_embeddings_ignore_what_they_must(released):
    pairs = Dataset.from_list([{"smiles": smiles, "text": text} for smiles, text in KNOWN.items()])
    evaluation = evaluate_invariance(*released, pairs, seed=0)
    assert max(evaluation["largest_change"].values()) < 1e-5
    assert evaluation["smallest_change_of_moved_atom"] > 1e-3
    assert evaluation["mean_cosine_distance"] > 0.1


def test_its_card_tells_what_was_measured(tmp_path):
    copy = shutil.copytree(RELEASE, tmp_path / RELEASE.name)
    names = ("retrieval", "invariance", "word_queries", "retrieval_pairs", "retrieval_chemicals")
    overlaps = [RESULTS / f"overlap-{name}.json" for name in TRAINED_ON]
    results = [*(RESULTS / f"{name}.json" for name in names), *overlaps]
    write_model_card(copy, results, notes=ROOT / "research" / "experiments" / "geomclip_mini.md")
    assert (copy / "README.md").read_text() == (RELEASE / "README.md").read_text()
    for path in overlaps:
        assert all(found["molecules"] == 0 for found in json.loads(path.read_text())["overlap"].values()), path.name
