"""The loss and the captions depend on the molecule, but not on its frame, its padding or the batch."""

from threading import Thread

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close
from transformers import AutoModelForCausalLM, LlamaConfig, TextIteratorStreamer, TextStreamer

from modeling_geomclip import GeomCLIPCaptioningConfig, GeomCLIPForCaptioning, GeomCLIPModel

FAMILIES = ("llama", "gpt2", "opt", "qwen2")
# Everything here is computed in float64, except for losses and the normalisation layers of Llama and Qwen2, which
# transformers computes in float32.
SINGLE = {"rtol": 0, "atol": 1e-5}
DOUBLE = {"rtol": 0, "atol": 1e-10}
DECODER = {
    "vocab_size": 64,
    "hidden_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 32,
}
GEOMETRY = ("atom_ids", "positions", "atom_mask")


@pytest.fixture
def batch(batch) -> dict[str, Tensor]:
    return batch | {"positions": batch["positions"].double()}


@pytest.fixture
def labelled(batch) -> dict[str, Tensor]:
    """Prompts of 2, 1 and 3 tokens, captions of 4, 3 and 2; padded on the right."""
    labels = batch["input_ids"].masked_fill(batch["attention_mask"] == 0, -100)
    for row, prompt in enumerate((2, 1, 3)):
        labels[row, :prompt] = -100
    return batch | {"labels": labels}


def row_of(batch: dict[str, Tensor], row: int) -> dict[str, Tensor]:
    """Return one row without padding."""
    atoms = int((batch["atom_ids"][row] != 0).sum())
    tokens = batch["attention_mask"][row].bool()
    geometry = {name: batch[name][row : row + 1, :atoms] for name in GEOMETRY}
    return geometry | {name: value[row : row + 1, tokens] for name, value in batch.items() if name not in GEOMETRY}


def rotated_and_shifted(batch: dict[str, Tensor]) -> dict[str, Tensor]:
    rotation, _ = torch.linalg.qr(torch.randn(3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(4)))
    rotation *= torch.linalg.det(rotation).sign()
    shift = torch.tensor([[1.5, -7.0, 3.0], [0.2, 0.4, 9.0], [-3.0, 0.0, 1.0]], dtype=torch.float64)
    return {"positions": batch["positions"] @ rotation + shift[:, None]}


def padded(batch: dict[str, Tensor]) -> dict[str, Tensor]:
    atom_ids = torch.nn.functional.pad(batch["atom_ids"], (0, 4))
    positions = torch.nn.functional.pad(batch["positions"], (0, 0, 0, 4), value=17.0)
    return {"atom_ids": atom_ids, "positions": positions, "atom_mask": atom_ids >= 3}


def permuted(batch: dict[str, Tensor]) -> dict[str, Tensor]:
    order = torch.tensor([[0, 5, 2, 7, 1, 6, 4, 3, 8], [0, 3, 5, 1, 2, 4, 6, 7, 8], [0, 2, 3, 1, 4, 5, 6, 7, 8]])
    positions = batch["positions"].gather(1, order[:, :, None].expand(3, 9, 3))
    return {"positions": positions} | {name: batch[name].gather(1, order) for name in ("atom_ids", "atom_mask")}


def other_molecules(batch: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: batch[name].roll(1, dims=0) for name in GEOMETRY}


# ---------------------------------------------------------------------------------------------------------- invariance

INVARIANCES = [
    (prefix, change)
    for prefix in ("resampler", "atoms", "pooled")
    for change in (rotated_and_shifted, padded, permuted)
    if (prefix, change) != ("atoms", permuted)
]


@pytest.mark.parametrize(("prefix", "change"), INVARIANCES)
def test_changes_that_leave_a_molecule_the_same(build_captioner, batch, labelled, generate, prefix, change):
    captioner = build_captioner("gpt2", prefix=prefix).double()
    expected, found = captioner(**labelled), captioner(**labelled | change(batch))
    assert_close(found.logits[:, -4:], expected.logits[:, -4:], **DOUBLE)
    assert_close(found.loss, expected.loss, **SINGLE)
    assert generate(captioner, **change(batch)) == generate(captioner)


@pytest.mark.parametrize("prefix", ["resampler", "atoms", "pooled"])
def test_another_molecule_changes_loss_and_caption(build_captioner, batch, labelled, generate, prefix):
    captioner = build_captioner(prefix=prefix).double()
    assert (captioner(**labelled | other_molecules(batch)).loss - captioner(**labelled).loss).abs() > 1e-3
    captions = zip(generate(captioner), generate(captioner, **other_molecules(batch)))
    assert all(caption != other for caption, other in captions)


def test_without_a_prefix_the_molecule_is_not_seen(build_captioner, batch, labelled, generate):
    captioner = build_captioner(prefix="none").double()
    other = other_molecules(batch)
    assert_close(captioner(**labelled | other).loss, captioner(**labelled).loss, rtol=0, atol=0)
    assert generate(captioner, **other) == generate(captioner)


def test_an_atom_prefix_depends_on_the_order_of_atoms(build_captioner, batch, labelled):
    captioner = build_captioner(prefix="atoms").double()
    assert (captioner(**labelled | permuted(batch)).loss - captioner(**labelled).loss).abs() > 1e-3


def test_the_atom_mask_is_optional(captioner, labelled):
    with_mask = captioner.double()(**labelled).loss
    assert_close(captioner(**labelled | {"atom_mask": None}).loss, with_mask, rtol=0, atol=0)


@pytest.mark.parametrize("pooling", ["mean", "cls", "counting", "attention"])
def test_pooling_is_that_of_geomclip(config, randomise, batch, pooling):
    config.geometry_pooling = pooling
    model, decoder = GeomCLIPModel(config).eval(), AutoModelForCausalLM.from_config(LlamaConfig(**DECODER))
    if pooling in ("counting", "attention"):
        randomise(model, "geometry_pooling")
    geometry = {name: batch[name] for name in GEOMETRY}
    captioner = GeomCLIPForCaptioning.from_geometry_decoder_pretrained(model, decoder, prefix="pooled")
    captioner.eval().double()
    tokens, mask = captioner.encode_geometry(**geometry)
    expected = model.double().get_geometry_features(**geometry).pooler_output
    assert_close(tokens[:, 0], captioner.projector(expected), rtol=0, atol=1e-12)
    assert mask.tolist() == [[True]] * 3


# ---------------------------------------------------------------------------------------------------- loss and padding


@pytest.mark.parametrize("prefix", ["resampler", "atoms", "none"])
@pytest.mark.parametrize("family", FAMILIES)
def test_loss_is_the_cross_entropy_of_the_captions_tokens(build_captioner, labelled, family, prefix):
    captioner = build_captioner(family, prefix=prefix).double()
    terms = []
    for row in range(3):  # each alone, without padding, by the decoder itself
        single = row_of(labelled, row)
        tokens, _ = captioner.encode_geometry(**{name: single[name] for name in GEOMETRY})
        if prefix == "atoms":
            tokens = tokens[:, 1:-1]  # without [CLS] and [SEP]
        embeds = torch.cat([tokens, captioner.get_input_embeddings()(single["input_ids"])], dim=1)
        log_probabilities = captioner.decoder(inputs_embeds=embeds).logits[0].log_softmax(dim=-1)
        for column, label in enumerate(single["labels"][0].tolist(), start=tokens.shape[1]):
            if label != -100:
                terms.append(-log_probabilities[column - 1, label])
    outputs = captioner(**labelled)
    assert outputs.num_tokens.sum() == len(terms) == 9
    assert_close(outputs.loss.double(), torch.stack(terms).mean(), **SINGLE)


@pytest.mark.parametrize("family", FAMILIES)
def test_padding_may_be_on_either_side(build_captioner, labelled, family):
    captioner = build_captioner(family).double()
    order = labelled["attention_mask"].argsort(dim=1, stable=True)
    texts = {name: labelled[name].gather(1, order) for name in ("input_ids", "attention_mask", "labels")}
    right, left = captioner(**labelled), captioner(**labelled | texts)
    assert_close(left.loss, right.loss, **SINGLE)
    assert left.num_tokens.tolist() == right.num_tokens.tolist() == [4, 3, 2]
    for row in range(3):  # the last columns of the logits are those of the row's caption
        single = captioner(**row_of(labelled, row)).logits[0]
        for logits in (left.logits, right.logits):
            assert_close(logits[row, -len(single) :], single, **SINGLE)


@pytest.mark.parametrize("family", FAMILIES)
def test_with_labels_only_the_logits_of_captions_are_computed(build_captioner, labelled, family):
    captioner = build_captioner(family).double()
    whole = captioner(**{name: value for name, value in labelled.items() if name != "labels"}).logits
    found = captioner(**labelled)
    longest = int((labelled["labels"] != -100).sum(dim=1).max())
    assert found.logits.shape[1] == 1 + longest < whole.shape[1]
    assert_close(found.logits, whole[:, -found.logits.shape[1] :], **SINGLE)
    rows = zip(whole.log_softmax(dim=-1), *(labelled[name] for name in ("labels", "attention_mask")))
    losses = []
    for logits, labels, mask in rows:  # the row's tokens are the last columns of its logits
        labels = labels[mask == 1]
        losses += [
            -logits[place - len(labels) - 1, labels[place]] for place in range(len(labels)) if labels[place] >= 0
        ]
    assert_close(found.loss.double(), torch.stack(losses).mean(), **SINGLE)


def test_without_labels_there_is_no_loss(captioner, batch):
    outputs = captioner.double()(**batch)
    assert outputs.loss is None
    assert outputs.num_tokens is None
    assert outputs.logits.shape == (3, 3 + 6, 64)


def test_hidden_states_and_tuples(captioner, labelled):
    outputs = captioner.double()(**labelled, output_hidden_states=True)
    assert [state.shape for state in outputs.hidden_states] == [(3, 9, 32)] * 3
    losses = captioner(**labelled, return_dict=False)
    assert_close(losses, (outputs.loss, outputs.caption_losses, outputs.num_tokens, outputs.logits))


# ---------------------------------------------------------------------------------------------------------- generation


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("settings", [{}, {"num_beams": 3}], ids=["greedy", "beams"])
def test_captions_do_not_depend_on_the_batch(build_captioner, batch, generate, family, settings):
    captioner = build_captioner(family).double()
    captioner.generation_config.eos_token_id = None  # so that every caption has its full length
    captions = generate(captioner, **settings)
    for row, caption in enumerate(captions):
        single = captioner.generate(**row_of(batch, row), max_new_tokens=8, do_sample=False, **settings)
        assert single.tolist() == [caption]
    assert len({tuple(caption) for caption in captions}) == 3


@pytest.mark.parametrize("family", FAMILIES)
def test_greedy_captions_are_the_most_likely_next_tokens_of_forward(build_captioner, batch, generate, family):
    captioner = build_captioner(family).double()
    captioner.generation_config.eos_token_id = None
    single = row_of(batch, 0)
    tokens = single["input_ids"]
    for _ in range(8):
        logits = captioner(**single | {"input_ids": tokens, "attention_mask": torch.ones_like(tokens)}).logits
        tokens = torch.cat([tokens, logits[:, -1:].argmax(dim=-1)], dim=1)
    assert tokens[0, 6:].tolist() == generate(captioner)[0]


def test_several_samples_of_each_molecule(captioner, generate):
    greedy = generate(captioner.double())
    most_likely = generate(captioner, do_sample=True, top_k=1, num_return_sequences=2)
    assert most_likely == [caption for caption in greedy for _ in range(2)]
    torch.manual_seed(0)
    samples = generate(captioner, do_sample=True, temperature=3.0, num_return_sequences=4)
    assert len({tuple(sample) for sample in samples}) == 12


def test_captions_are_streamed(build_captioner, decoder_tokenizer, batch, capsys):
    captioner = build_captioner(vocab_size=len(decoder_tokenizer)).double()
    settings = row_of(batch, 1) | {"max_new_tokens": 8, "do_sample": False}
    caption = decoder_tokenizer.decode(captioner.generate(**settings)[0])
    captioner.generate(**settings, streamer=TextStreamer(decoder_tokenizer, skip_prompt=True))
    assert capsys.readouterr().out.strip() == caption.strip() != ""
    streamer = TextIteratorStreamer(decoder_tokenizer, timeout=30)
    thread = Thread(target=captioner.generate, kwargs=settings | {"streamer": streamer})
    thread.start()
    assert "".join(streamer) == caption
    thread.join()


def test_the_captioners_generation_settings_are_used(captioner, batch):
    captioner.generation_config.max_new_tokens = 5
    captioner.generation_config.eos_token_id = None
    assert captioner.double().generate(**row_of(batch, 0)).shape == (1, 5)


def test_the_prompt_may_be_empty_if_there_is_a_prefix(build_captioner, batch):
    nothing = {name: batch[name][:, :0] for name in ("input_ids", "attention_mask")}
    assert build_captioner().double().generate(**batch | nothing, max_new_tokens=3).shape == (3, 3)
    with pytest.raises(ValueError, match="neither a prefix nor a prompt to continue; pass a prompt"):
        build_captioner(prefix="none").double().generate(**batch | nothing, max_new_tokens=3)


# ------------------------------------------------------------------------------------------------------------ building


def test_combining_the_parts_changes_no_weights(model, captioner, tmp_path):
    captioner.decoder.save_pretrained(tmp_path / "decoder")
    model.save_pretrained(tmp_path / "geomclip")
    folders = str(tmp_path / "geomclip"), str(tmp_path / "decoder")
    joined = GeomCLIPForCaptioning.from_geometry_decoder_pretrained(*folders, resampler_num_heads=4)
    decoder = captioner.decoder.state_dict()
    assert_close(joined.decoder.state_dict(), decoder, rtol=0, atol=0)
    geometry = {name: value for name, value in model.state_dict().items() if name.startswith("geometry_")}
    assert geometry
    assert_close({name: joined.state_dict()[name] for name in geometry}, geometry, rtol=0, atol=0)
    assert str(tmp_path) not in joined.config.to_json_string()
    assert joined.generation_config.eos_token_id == 2


def test_a_captioner_built_from_its_configuration_knows_the_end_of_a_caption(captioner):
    assert GeomCLIPForCaptioning(captioner.config).generation_config.eos_token_id == 2


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"prefix": "molecule"}, "prefix must be one of .* got 'molecule'"),
        ({"geometry_pooling": "max"}, "geometry_pooling must be one of mean, cls, counting, attention, got 'max'"),
        ({"resampler_num_heads": 5}, "hidden_size=512 must be a multiple of resampler_num_heads=5"),
        ({"num_prefix_tokens": 0}, "num_prefix_tokens must be positive, got 0"),
    ],
)
def test_a_wrong_configuration_is_refused(settings, message):
    with pytest.raises(Exception, match=message):
        GeomCLIPCaptioningConfig(**settings)
