"""Fixtures for the captioner's tests: tiny decoders of several families, a tokenizer for them, and molecules."""

import copy
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    AutoModelForCausalLM,
    GPT2Config,
    LlamaConfig,
    OPTConfig,
    PreTrainedTokenizerFast,
    Qwen2Config,
)

from modeling_geomclip import GeomCLIPForCaptioning

SPECIAL = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
SHAPE = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "max_position_embeddings": 128}
DECODERS = {
    "llama": LlamaConfig(num_key_value_heads=2, intermediate_size=48, tie_word_embeddings=True, **SHAPE, **SPECIAL),
    "gpt2": GPT2Config(n_embd=32, n_layer=2, n_head=4, n_positions=128, **SPECIAL),
    # Embeddings and states differ in size, as in the smallest OPT; Galactica is an OPT, too.
    "opt": OPTConfig(word_embed_proj_dim=24, ffn_dim=48, **SHAPE, **SPECIAL),
    "qwen2": Qwen2Config(num_key_value_heads=2, intermediate_size=48, **SHAPE, **SPECIAL),
}
CAPTIONS = (
    "The molecule is an alcohol with two carbon atoms.",
    "It is the smallest ketone; it derives from propane.",
    "The molecule is a nitrile.",
    "It is an aromatic amine, toxic and oily.",
)
CHAT_TEMPLATE = (
    "{% for message in messages %}<{{ message['role'] }}>{{ message['content'] }}</s>{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)


@pytest.fixture
def captions() -> tuple[str, ...]:
    return CAPTIONS


@pytest.fixture
def decoder_tokenizer() -> PreTrainedTokenizerFast:
    """Byte-level BPE, trained on a few captions, with an end token and no padding token."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    specials = ["<unk>", "<s>", "</s>", "<user>", "<assistant>"]
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=320, special_tokens=specials, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator([*CAPTIONS, "Describe the molecule:"], trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
        extra_special_tokens=["<user>", "<assistant>"],
        chat_template=CHAT_TEMPLATE,
    )


@pytest.fixture
def randomise() -> Callable[..., None]:
    """Return a function that adds noise to the parameters of a model whose names contain one of the parts."""

    @torch.no_grad()
    def randomise(model: torch.nn.Module, *parts: str) -> None:
        generator = torch.Generator().manual_seed(5)
        parameters = [value for name, value in model.named_parameters() if any(part in name for part in parts)]
        assert parameters
        for parameter in parameters:
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator))

    return randomise


@pytest.fixture
def build_captioner(model, randomise) -> Callable[..., GeomCLIPForCaptioning]:
    """Return a function that builds a captioner, with weights so large that captions differ between molecules."""

    def build(family: str = "llama", seed: int = 3, vocab_size: int = 64, **kwargs) -> GeomCLIPForCaptioning:
        config = copy.deepcopy(DECODERS[family])
        config.vocab_size, config.initializer_range = vocab_size, 0.3
        torch.manual_seed(seed)
        decoder = AutoModelForCausalLM.from_config(config)
        shape = {"num_prefix_tokens": 3, "resampler_num_heads": 4} | kwargs
        captioner = GeomCLIPForCaptioning.from_geometry_decoder_pretrained(copy.deepcopy(model), decoder, **shape)
        if captioner.config.prefix != "none":
            randomise(captioner, "resampler", "projector")
        return captioner.eval()

    return build


@pytest.fixture
def captioner(build_captioner) -> GeomCLIPForCaptioning:
    return build_captioner()


@pytest.fixture
def adapted(captioner, randomise, tmp_path) -> GeomCLIPForCaptioning:
    """A captioner with an adapter without zero weights; its base is saved in `tmp_path / "base"`."""
    captioner.save_pretrained(tmp_path / "base")
    captioner.add_adapter(captioner.lora_config(r=2))
    randomise(captioner, "lora_", "modules_to_save")
    return captioner.eval()


@pytest.fixture
def folders(adapted, tmp_path) -> Path:
    """A folder with an adapter, its base and the merged model."""
    adapted.save_pretrained(tmp_path / "adapter")
    adapted.merge_and_unload().save_pretrained(tmp_path / "merged")
    return tmp_path


@pytest.fixture
def generate(batch) -> Callable[..., list[list[int]]]:
    """Return a function that writes greedy captions of the batch, as token ids, with prompts padded on the left."""

    def generate(captioner: GeomCLIPForCaptioning, **changes) -> list[list[int]]:
        order = batch["attention_mask"].argsort(dim=1, stable=True)
        prompts = {name: batch[name].gather(1, order) for name in ("input_ids", "attention_mask")}
        inputs = batch | prompts | {"max_new_tokens": 8, "do_sample": False} | changes
        return captioner.generate(**inputs).tolist()

    return generate
