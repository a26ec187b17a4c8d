"""Checkpoints that are loaded for evaluation and use."""

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from geomclip_tools import loading
from modeling_geomclip import GeomCLIPCaptioningProcessor, GeomCLIPFeatureExtractor, GeomCLIPForCaptioning
from tests.geomclip_tools.training.tiny_decoder import save_decoder


@pytest.mark.parametrize("trained", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("precision", ["bf16", "no"])
def test_a_decoder_computes_in_bfloat16_if_it_was_trained_so_and_that_is_faster(
    model, tmp_path, monkeypatch, trained, precision
):
    decoder = AutoModelForCausalLM.from_pretrained(save_decoder(tmp_path / "decoder"), dtype=trained)
    captioner = GeomCLIPForCaptioning.from_geometry_decoder_pretrained(model, decoder)
    captioner.save_pretrained(tmp_path / "captioner")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "decoder")
    GeomCLIPCaptioningProcessor(GeomCLIPFeatureExtractor(), tokenizer).save_pretrained(tmp_path / "captioner")
    monkeypatch.setattr(loading, "choose_precision", lambda: precision)
    loaded, _ = loading.load_captioner(str(tmp_path / "captioner"))
    is_faster = trained == torch.bfloat16 and precision == "bf16"
    assert loaded.decoder.dtype == (torch.bfloat16 if is_faster else torch.float32)
    assert loaded.geometry_model.dtype == loaded.projector.weight.dtype == torch.float32
