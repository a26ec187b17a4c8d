"""Training of the captioner: gradients, precision and learning."""

import pytest
import torch
from torch import nn
from torch.testing import assert_close
from transformers import AutoModel

from modeling_geomclip import GeomCLIPCaptioningProcessor, GeomCLIPFeatureExtractor

LLAMA = {
    f"{part}.{name}_proj" for part, names in (("self_attn", "qkvo"), ("mlp", ("gate", "up", "down"))) for name in names
}
LINEAR_LAYERS = {
    "llama": LLAMA,
    "qwen2": LLAMA,
    "gpt2": {"attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj"},
    "opt": {"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.out_proj", "fc1", "fc2"},
}
LAYERS = {
    "llama": "decoder.model.layers",
    "qwen2": "decoder.model.layers",
    "gpt2": "decoder.transformer.h",
    "opt": "decoder.model.decoder.layers",
}
TOWER_LAYERS = {"attention.in_proj", "attention.out_proj", "mlp.fc1", "mlp.fc2"}
# Å, roughly ethanol, acetone, acetonitrile and a part of aniline.
MOLECULES = (
    {"atomic_numbers": [6, 6, 8], "positions": [[0.0, 0.0, 0.0], [1.5, 0.1, 0.0], [2.0, 1.4, 0.2]]},
    {
        "atomic_numbers": [6, 6, 8, 6],
        "positions": [[0.0, 0.0, 0.0], [1.5, 0.0, 0.1], [2.1, 1.0, 0.0], [2.3, -1.3, 0.0]],
    },
    {"atomic_numbers": [6, 6, 7], "positions": [[0.0, 0.0, 0.0], [1.46, 0.0, 0.0], [2.6, 0.1, 0.0]]},
    {
        "atomic_numbers": [7, 6, 6, 6, 6],
        "positions": [[0.0, 0.0, 0.2], [1.4, 0.0, 0.0], [2.1, 1.2, 0.0], [3.5, 1.2, 0.1], [4.2, 0.0, 0.0]],
    },
)


@pytest.fixture
def labelled(batch) -> dict[str, torch.Tensor]:
    labels = batch["input_ids"].masked_fill(batch["attention_mask"] == 0, -100)
    labels[:, 0] = -100
    return batch | {"labels": labels}


def lora_names(layers: set[str]) -> set[str]:
    return {f"{layer}.lora_{matrix}.default.weight" for layer in layers for matrix in "AB"}


def trained(model: nn.Module, prefix: str) -> set[str]:
    names = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    return {name.removeprefix(prefix) for name in names if name.startswith(prefix)}


def gradients(model: nn.Module, batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    torch.manual_seed(0)  # of the dropout
    model.zero_grad()
    model(**batch).loss.backward()
    return {name: parameter.grad for name, parameter in model.named_parameters() if parameter.grad is not None}


# ----------------------------------------------------------------------------------------------------------- gradients


@pytest.mark.parametrize("family", LINEAR_LAYERS)
def test_with_a_frozen_tower_lora_resampler_and_projector_are_trained(build_captioner, labelled, family):
    model = build_captioner(family)
    names = {name for name, _ in model.named_parameters()}
    model.add_adapter(model.lora_config(r=2))
    whole = {name for name in names if name.startswith(("resampler.", "projector."))}
    whole = {name.replace(".", ".modules_to_save.default.", 1) for name in whole}
    lora = {f"{LAYERS[family]}.{layer}.{name}" for layer in (0, 1) for name in lora_names(LINEAR_LAYERS[family])}
    if family == "opt":  # whose embeddings are projected to the size of the states and back
        lora |= {f"decoder.model.decoder.{name}" for name in lora_names({"project_in", "project_out"})}
    assert trained(model, "") == whole | lora
    assert gradients(model.train(), labelled).keys() == whole | lora


@pytest.mark.parametrize("prefix", ["resampler", "atoms", "pooled"])
@pytest.mark.parametrize("geometry", ["frozen", "lora", "full"])
@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_every_trained_parameter_gets_a_gradient(build_captioner, labelled, prefix, geometry, pooling):
    model = build_captioner(prefix=prefix)
    model.config.geometry_pooling = pooling
    tower = {name.removeprefix("geometry_model.") for name, _ in model.named_parameters() if "geometry_model." in name}
    model.add_adapter(model.lora_config(geometry, r=2))
    lora = {f"layers.{layer}.{name}" for layer in range(3) for name in lora_names(TOWER_LAYERS)}
    whole = {f"modules_to_save.default.{name}" for name in tower}
    assert trained(model, "geometry_model.") == {"frozen": set(), "lora": lora, "full": whole}[geometry]
    assert not any("denoising_head" in name for name in tower)
    found = gradients(model.train(), labelled)
    assert found.keys() == trained(model, "")
    assert any(gradient.abs().max() > 1e-4 for gradient in found.values())


def test_without_a_prefix_only_lora_is_trained(build_captioner, labelled):
    model = build_captioner(prefix="none")
    model.add_adapter(model.lora_config(r=2))
    found = gradients(model.train(), labelled)
    assert found.keys() == trained(model, "")
    assert all(name.startswith("decoder.") and ".lora_" in name for name in found)
    for geometry in ("lora", "full"):
        with pytest.raises(ValueError, match=f"geometry='{geometry}' trains a tower that prefix='none' does not read"):
            model.lora_config(geometry)


def test_other_values_of_geometry_are_refused(captioner):
    with pytest.raises(ValueError, match="geometry must be 'frozen', 'lora' or 'full', got 'thawed'"):
        captioner.lora_config("thawed")


def test_settings_of_lora(captioner):
    config = captioner.lora_config(r=3, lora_alpha=5, lora_dropout=0.25)
    assert (config.r, config.lora_alpha, config.lora_dropout) == (3, 5, 0.25)


@pytest.mark.parametrize(("geometry", "has_dropout"), [("frozen", False), ("lora", True), ("full", True)])
def test_a_frozen_tower_has_no_dropout(captioner, labelled, geometry, has_dropout):
    captioner.add_adapter(captioner.lora_config(geometry, r=2))
    captioner.train()
    assert captioner.decoder.training
    first, second = (captioner(**labelled).loss for _ in range(2))  # the decoder's dropout is 0
    assert (first != second) == has_dropout
    assert captioner.geometry_model.training == has_dropout


# ----------------------------------------------------------------------------------------------- memory and precision


@pytest.mark.parametrize("family", LINEAR_LAYERS)
@pytest.mark.parametrize("geometry", ["frozen", "lora", "full"])
@pytest.mark.filterwarnings("ignore:fan_in_fan_out")
def test_checkpointing_changes_neither_loss_nor_gradients(build_captioner, randomise, labelled, family, geometry):
    model = build_captioner(family).double()
    model.add_adapter(model.lora_config(geometry, r=2))
    randomise(model, "lora_")
    model.train()
    expected = gradients(model, labelled)
    model.activation_checkpointing_enable()
    assert model.is_activation_checkpointing
    assert_close(gradients(model, labelled), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("prefix", ["resampler", "atoms", "pooled"])
def test_autocast_to_bfloat16(build_captioner, labelled, prefix):
    model = build_captioner(prefix=prefix)
    model.add_adapter(model.lora_config(r=2))
    expected = model.train()(**labelled).loss
    with torch.autocast("cpu", torch.bfloat16):
        outputs = model(**labelled)
    outputs.loss.backward()
    assert outputs.logits.dtype == torch.bfloat16
    assert_close(outputs.loss, expected, rtol=0.05, atol=0)
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters() if parameter.requires_grad)


def test_a_decoder_in_bfloat16_reads_a_tower_in_float32(captioner, labelled, generate):
    expected = captioner(**labelled).loss
    captioner.decoder.bfloat16()
    assert_close(captioner(**labelled).loss.float(), expected, rtol=0.05, atol=0)
    assert len(generate(captioner)) == 3


@pytest.mark.parametrize("geometry", ["frozen", "full"])
def test_in_bfloat16_the_pair_basis_stays_in_float32(captioner, batch, generate, tmp_path, geometry):
    captioner.save_pretrained(tmp_path / "base")
    captioner.add_adapter(captioner.lora_config(geometry, r=2))
    captioner.save_pretrained(tmp_path / "adapter")
    for folder in ("base", "adapter"):
        model = AutoModel.from_pretrained(tmp_path / folder, dtype=torch.bfloat16)
        assert model.projector.weight.dtype == model.decoder.get_input_embeddings().weight.dtype == torch.bfloat16
        basis = model.geometry_model.pair_basis
        assert {parameter.dtype for parameter in basis.parameters()} == {torch.float32}
        assert_close(basis.means, captioner.geometry_model.pair_basis.means, rtol=0, atol=0)
        assert len(generate(model)) == 3


# ------------------------------------------------------------------------------------------------------------ learning


def test_it_learns_the_captions_of_four_molecules(build_captioner, decoder_tokenizer, captions):
    model = build_captioner(vocab_size=len(decoder_tokenizer))
    model.generation_config.eos_token_id = decoder_tokenizer.eos_token_id
    processor = GeomCLIPCaptioningProcessor(GeomCLIPFeatureExtractor(), decoder_tokenizer)
    batch = processor(MOLECULES, captions, return_tensors="pt")
    model.add_adapter(model.lora_config(r=8, lora_alpha=16))
    parameters = [value for value in model.parameters() if value.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=3e-3)
    model.train()
    for _ in range(300):
        optimizer.zero_grad()
        loss = model(**batch).loss
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)  # as in training
        optimizer.step()
    prompts = processor(MOLECULES, return_tensors="pt")
    found = processor.decode_captions(model.eval().generate(**prompts, max_new_tokens=64, do_sample=False))
    assert tuple(found) == captions
