"""`geomclip caption` writes the captions of the model."""

from pathlib import Path

import pandas as pd
import pytest
import torch
from transformers import AutoTokenizer

from geomclip_tools.commands.caption import main
from modeling_geomclip import GeomCLIPCaptioningProcessor, GeomCLIPForCaptioning
from tests.geomclip_tools.training.tiny_decoder import save_decoder


@pytest.fixture
def save(model, processor, tmp_path):
    """Save a captioner with a prompt."""
    decoder = save_decoder(tmp_path / "decoder")

    def save(prompt: str) -> Path:
        torch.manual_seed(1)
        captioner = GeomCLIPForCaptioning.from_geometry_decoder_pretrained(model, str(decoder), num_prefix_tokens=3)
        captioner.save_pretrained(tmp_path / "captioner")
        tokenizer = AutoTokenizer.from_pretrained(decoder)
        GeomCLIPCaptioningProcessor(processor.feature_extractor, tokenizer, prompt).save_pretrained(
            tmp_path / "captioner"
        )
        return tmp_path / "captioner"

    return save


@pytest.mark.parametrize("prompt", ["Describe:", "{smiles}:"])
def test_captions_of_a_list(save, tmp_path, prompt):
    folder, smiles = save(prompt), ["CCO", "CCCCN", "C1CC", "CO"]
    (tmp_path / "in.smi").write_text("\n".join(smiles))
    words = ["--model", str(folder), "--molecules", str(tmp_path / "in.smi"), "--max-new-tokens", "6"]
    main([*words, "--output", str(tmp_path / "out.csv"), "--batch_size", "2"])
    table = pd.read_csv(tmp_path / "out.csv", keep_default_na=False)
    model = GeomCLIPForCaptioning.from_pretrained(folder).eval()
    processor = GeomCLIPCaptioningProcessor.from_pretrained(folder)
    expected = []
    for molecule in ("CCO", "CCCCN", "CO"):
        texts = {"smiles": [molecule]} if "{smiles}" in prompt else {}
        inputs = processor([molecule], **texts, return_tensors="pt")
        expected += processor.decode_captions(model.generate(**inputs, max_new_tokens=6, do_sample=False))
    assert table["caption"].tolist() == expected
    assert table["row"].tolist() == [0, 1, 3]


def test_a_prompt_with_smiles_needs_them(save, tmp_path):
    folder = save("{smiles}:")
    (tmp_path / "water.xyz").write_text("3\nwater\nO 0 0 0\nH 0.96 0 0\nH -0.24 0.93 0\n")
    with pytest.raises(
        ValueError, match="prompt contains the SMILES, which is missing for 1 molecule, the first in row 1"
    ):
        main(
            [
                "--model",
                str(folder),
                "--molecules",
                "CO",
                str(tmp_path / "water.xyz"),
                "--output",
                str(tmp_path / "o.csv"),
            ]
        )


def test_another_model_is_refused(model, processor, tmp_path):
    model.save_pretrained(tmp_path / "geomclip")
    processor.save_pretrained(tmp_path / "geomclip")
    with pytest.raises(ValueError, match="is a geomclip, which does not generate captions; pass a captioner"):
        main(["--model", str(tmp_path / "geomclip"), "--molecules", "CO", "--output", "o.csv"])
