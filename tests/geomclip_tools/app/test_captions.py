"""A caption grows to what the captioner generates at once."""

from itertools import pairwise

import pytest
import torch
from transformers import AutoTokenizer, GenerationConfig

from geomclip_tools.app import captions
from geomclip_tools.app.captions import Captions
from modeling_geomclip import (
    GeomCLIPCaptioningProcessor,
    GeomCLIPForCaptioning,
    GeomCLIPReferences,
    read_molecule,
)
from tests.geomclip_tools.training.tiny_decoder import save_decoder


@pytest.mark.parametrize("prompt", ["Describe:", "{smiles}:"])
def test_a_caption_grows(model, processor, tmp_path, monkeypatch, prompt):
    decoder = save_decoder(tmp_path / "decoder")
    torch.manual_seed(1)
    captioner = GeomCLIPForCaptioning.from_geometry_decoder_pretrained(model, str(decoder), num_prefix_tokens=3).eval()
    captioner.generation_config.max_new_tokens = 6
    captioner.save_pretrained(tmp_path / "captioner")
    reader = GeomCLIPCaptioningProcessor(processor.feature_extractor, AutoTokenizer.from_pretrained(decoder), prompt)
    reader.save_pretrained(tmp_path / "captioner")
    record = read_molecule("CCCCO", remove_hydrogens=True)
    row = {**{name: values.tolist() for name, values in record.items()}, "smiles": "CCCCO"}
    grown = [*Captions(str(tmp_path / "captioner"))(row)]
    inputs = reader([record], **({"smiles": ["CCCCO"]} if "{smiles}" in prompt else {}), return_tensors="pt")
    (expected,) = reader.decode_captions(captioner.generate(**inputs, max_new_tokens=6, do_sample=False))
    assert grown[-1] == expected != ""
    assert all(after.startswith(before) for before, after in pairwise(grown))


def test_a_molecule_unlike_the_references_gets_no_invented_caption(model, processor, tmp_path):
    decoder = save_decoder(tmp_path / "decoder")
    captioner = GeomCLIPForCaptioning.from_geometry_decoder_pretrained(model, str(decoder), num_prefix_tokens=3).eval()
    captioner.save_pretrained(tmp_path / "captioner")
    tokenizer = AutoTokenizer.from_pretrained(decoder)
    reader = GeomCLIPCaptioningProcessor(processor.feature_extractor, tokenizer, num_neighbours=1)
    known = (["CCO", "OCC"], ["an alcohol", "the same"], ["A" * 14, "B" * 14])  # as similar as can be
    reader.references = GeomCLIPReferences.from_molecules(captioner, reader, *known)
    reader.save_pretrained(tmp_path / "captioner")
    row = {**{name: values.tolist() for name, values in read_molecule("c1ccccc1").items()}, "smiles": "c1ccccc1"}
    assert [*Captions(str(tmp_path / "captioner"))(row)] == ["unlike the reference molecules"]


def test_an_error_ends_the_caption(model, processor, tmp_path, monkeypatch):
    class Broken:
        device, generation_config = torch.device("cpu"), GenerationConfig()

        def generate(self, **kwargs):
            raise RuntimeError("out of memory")

    monkeypatch.setattr(captions, "load_captioner", lambda name: (Broken(), None))
    made = Captions("captioner")
    made._processor = lambda *molecules, **kwargs: processor(molecules=molecules[0])
    made._processor.prompt, made._processor.num_neighbours = "", 0
    made._processor.decoder_tokenizer, made._processor.is_unlike = processor.tokenizer, lambda neighbours: False
    monkeypatch.setattr("threading.excepthook", lambda args: None)
    row = {**read_molecule("CO"), "smiles": "CO"}
    assert [*made(row)] in ([], [""])
