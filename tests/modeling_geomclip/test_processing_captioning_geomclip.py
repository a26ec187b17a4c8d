"""Batches of prompts and captions, read back token by token, and captions from token ids."""

import json

import numpy as np
import pytest
import torch
from transformers import AutoProcessor

from modeling_geomclip import (
    GeomCLIPCaptioningProcessor,
    GeomCLIPFeatureExtractor,
    GeomCLIPReferences,
    MoleculeError,
    Neighbour,
)

WATER = {"atomic_numbers": [8], "positions": [[0.0, 0.0, 0.0]]}
ETHANOL = {"atomic_numbers": [6, 6, 8], "positions": [[0.0, 0.0, 0.0], [1.5, 0.1, 0.0], [2.0, 1.4, 0.2]]}
BROKEN = {"atomic_numbers": [6, 6], "positions": [[0.0, 0.0, 0.0]]}
END = "</s>"


@pytest.fixture
def build(decoder_tokenizer):
    def build(**settings) -> GeomCLIPCaptioningProcessor:
        return GeomCLIPCaptioningProcessor(GeomCLIPFeatureExtractor(), decoder_tokenizer, **settings)

    return build


def texts(processor, batch) -> list[str]:
    """Decode what the decoder reads, without padding."""
    rows = zip(batch["input_ids"], batch["attention_mask"])
    return [processor.decoder_tokenizer.decode(ids[mask == 1]) for ids, mask in rows]


def targets(processor, batch) -> list[str]:
    """Decode what the decoder is trained to write."""
    return [processor.decoder_tokenizer.decode(row[row != -100]) for row in batch["labels"]]


# ------------------------------------------------------------------------------------------------------------- batches


def test_a_batch_for_captioning(build):
    processor = build()
    batch = processor([WATER, ETHANOL], return_tensors="pt")
    assert batch.keys() == {"atom_ids", "positions", "atom_mask", "input_ids", "attention_mask"}
    assert batch["atom_ids"].tolist() == [[1, 6, 2, 0, 0], [1, 4, 4, 6, 2]]
    assert texts(processor, batch) == ["Describe the molecule:"] * 2
    assert batch["attention_mask"].all()
    assert batch["input_ids"].dtype == torch.int64
    assert processor(WATER, return_tensors="pt")["input_ids"].tolist() == batch["input_ids"][:1].tolist()


def test_a_batch_for_training(build):
    processor = build(prompt="It is")
    tokenizer = processor.decoder_tokenizer
    batch = processor([ETHANOL, WATER], ["an alcohol, with an\n oily smell ", "toxic"], return_tensors="pt")
    prompt, long, short = (
        tokenizer(text)["input_ids"] for text in ("It is", " an alcohol, with an\n oily smell", " toxic")
    )
    padding = len(long) - len(short)
    assert padding > 0
    assert batch["input_ids"].tolist() == [
        [*prompt, *long, tokenizer.eos_token_id],
        [*[tokenizer.eos_token_id] * padding, *prompt, *short, tokenizer.eos_token_id],
    ]
    num_tokens = batch["input_ids"].shape[1]
    assert batch["attention_mask"].tolist() == [[1] * num_tokens, [0] * padding + [1] * (num_tokens - padding)]
    assert batch["labels"].tolist() == [
        [-100] * len(prompt) + [*long, tokenizer.eos_token_id],
        [-100] * (padding + len(prompt)) + [*short, tokenizer.eos_token_id],
    ]


def test_the_end_token_is_learnt_even_if_it_is_the_padding_token(build):
    processor = build()
    tokenizer = processor.decoder_tokenizer
    tokenizer.pad_token = tokenizer.eos_token
    batch = processor([WATER, ETHANOL], ["toxic", "an aromatic amine"], return_tensors="pt")
    assert (batch["labels"] == tokenizer.eos_token_id).sum(dim=1).tolist() == [1, 1]
    assert targets(processor, batch) == [f" toxic{END}", f" an aromatic amine{END}"]


def test_the_tokenizers_padding_token_is_used(build):
    processor = build()
    processor.decoder_tokenizer.pad_token = "<unk>"
    batch = processor([WATER, ETHANOL], ["toxic", "an aromatic amine"], return_tensors="pt")
    padding = batch["input_ids"][batch["attention_mask"] == 0]
    assert len(padding) > 0
    assert set(padding.tolist()) == {processor.decoder_tokenizer.unk_token_id}


def test_a_truncated_caption_has_no_end_token(build):
    whole = build()
    caption = "It is an aromatic amine"
    num_tokens = len(whole.decoder_tokenizer(" " + caption)["input_ids"])
    fits = build(max_caption_tokens=num_tokens + 1)(WATER, caption)
    assert targets(whole, fits) == [f" {caption}{END}"]
    cut = build(max_caption_tokens=num_tokens)(WATER, caption)
    assert targets(whole, cut) == [f" {caption}"]
    assert (build(max_caption_tokens=2)(WATER, caption)["labels"] != -100).sum() == 2


def test_chat_format(build):
    processor = build(prompt="What is it?", prompt_format="chat")
    batch = processor([WATER, ETHANOL], ["toxic", "an aromatic amine"])
    start = f"<user>What is it?{END}<assistant>"
    assert texts(processor, batch) == [f"{start}toxic{END}", f"{start}an aromatic amine{END}"]
    assert targets(processor, batch) == [f"toxic{END}", f"an aromatic amine{END}"]
    user = processor.decoder_tokenizer.convert_tokens_to_ids("<user>")
    assert (batch["input_ids"] == user).sum(axis=1).tolist() == [1, 1]  # one token, as in the decoder's training


@pytest.mark.parametrize("prompt_format", ["plain", "chat"])
def test_the_smiles_in_the_prompt(build, prompt_format):
    processor = build(prompt="{smiles} {x} is", prompt_format=prompt_format)
    batch = processor([WATER, ETHANOL], smiles=["O", "CCO"])
    assert ["O {x} is" in texts(processor, batch)[0], "CCO {x} is" in texts(processor, batch)[1]] == [True, True]
    assert "CCO" not in texts(processor, batch)[0]
    assert targets(processor, processor([WATER], "wet", smiles="O"))[0].strip() == f"wet{END}"


def test_smiles_are_ignored_if_the_prompt_does_not_contain_them(build):
    assert texts(build(), build()(WATER, smiles="O")) == ["Describe the molecule:"]


def test_arrays_are_returned_by_default(build):
    batch = build()([WATER, ETHANOL], ["toxic", "an aromatic amine"])
    assert all(isinstance(batch[name], np.ndarray) for name in ("input_ids", "attention_mask", "labels"))


def test_captions_and_smiles_of_failed_molecules_are_skipped(build):
    processor = build(prompt="{smiles} is")
    molecules, smiles, captions = [BROKEN, WATER, BROKEN, ETHANOL], ["N", "O", "F", "CCO"], ["a", "wet", "b", "oily"]
    batch = processor(molecules, captions, smiles, return_tensors="pt", errors="report")
    assert texts(processor, batch) == [f"O is wet{END}", f"CCO is oily{END}"]
    assert targets(processor, batch) == [f" wet{END}", f" oily{END}"]
    assert batch["kept"].tolist() == [1, 3]
    assert [failure["index"] for failure in batch["failures"]] == [0, 2]
    prompts = processor(molecules, smiles=smiles, return_tensors="pt", errors="report")
    assert texts(processor, prompts) == ["O is", "CCO is"]
    with pytest.raises(MoleculeError, match="molecule 0 "):
        processor(molecules, captions, smiles)


def test_a_batch_in_which_all_molecules_fail(build):
    batch = build()([BROKEN], ["toxic"], return_tensors="pt", errors="report")
    assert [len(batch[name]) for name in ("atom_ids", "input_ids", "attention_mask", "labels", "kept")] == [0] * 5


# -------------------------------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"captions": ["wet"]}, "1 captions for 2 molecules; give one for each"),
        ({"captions": "wet"}, "1 captions for 2 molecules; give one for each"),
        ({"captions": []}, "0 captions for 2 molecules; give one for each"),
        ({"captions": ["wet", None]}, r"captions\[1\] is None, which is blank or not a string; replace it or drop"),
        ({"captions": [" \n", "wet"]}, r"captions\[0\] is ' \\n', which is blank or not a string"),
        ({"smiles": None}, "0 smiles for 2 molecules; give one for each"),
        ({"smiles": ["O", "CCO", "C"]}, "3 smiles for 2 molecules; give one for each"),
        ({"smiles": ["O", 3]}, r"smiles\[1\] is 3, which is blank or not a string"),
    ],
)
def test_texts_that_do_not_fit_the_molecules(build, arguments, message):
    with pytest.raises(ValueError, match=message):
        build(prompt="{smiles} is")([WATER, ETHANOL], **{"smiles": ["O", "CCO"]} | arguments)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"prompt_format": "markdown"}, "prompt_format is 'markdown'; use 'plain' or 'chat'"),
        ({"max_caption_tokens": 0}, "max_caption_tokens is 0; it must be at least 1"),
    ],
)
def test_wrong_settings_are_refused(build, settings, message):
    with pytest.raises(ValueError, match=message):
        build(**settings)


def test_requirements_on_the_tokenizer(build, decoder_tokenizer):
    decoder_tokenizer.chat_template = None
    with pytest.raises(ValueError, match="tokenizer has no chat template; use prompt_format='plain'"):
        build(prompt_format="chat")
    decoder_tokenizer.eos_token = None
    assert texts(build(), build()(WATER)) == ["Describe the molecule:"]
    with pytest.raises(ValueError, match="tokenizer has no eos_token to end a caption with; set it"):
        build()(WATER, "wet")


# --------------------------------------------------------------------------------------------------- captions and disk


def test_captions_of_token_ids(build):
    processor = build()
    tokenizer = processor.decoder_tokenizer
    rows = [tokenizer(text)["input_ids"] for text in (" toxic  and\n oily", " wet")]
    ids = torch.full((2, max(map(len, rows)) + 2), tokenizer.eos_token_id)  # padded as by `generate`
    for row, tokens in enumerate(rows):
        ids[row, : len(tokens)] = torch.tensor(tokens)
    assert processor.decode_captions(ids) == ["toxic and oily", "wet"]
    assert processor.batch_decode(rows) == [" toxic  and\n oily", " wet"]
    assert processor.decode(rows[1]) == " wet"


def test_saving_and_loading(build, tmp_path):
    settings = {"prompt": "{smiles}:", "prompt_format": "chat", "max_caption_tokens": 7}
    build(**settings).save_pretrained(tmp_path / "first")
    AutoProcessor.from_pretrained(tmp_path / "first").save_pretrained(tmp_path / "second")
    loaded = AutoProcessor.from_pretrained(tmp_path / "second")
    assert type(loaded) is GeomCLIPCaptioningProcessor
    assert {name: getattr(loaded, name) for name in settings} == settings
    inputs = {"captions": ["wet", "an aromatic amine that is oily"], "smiles": ["O", "CCO"], "return_tensors": "pt"}
    expected, found = (processor([WATER, ETHANOL], **inputs) for processor in (build(**settings), loaded))
    assert {name: value.tolist() for name, value in found.items()} == {
        name: value.tolist() for name, value in expected.items()
    }
    assert (tmp_path / "second" / "decoder_tokenizer" / "tokenizer.json").is_file()
    for file in (tmp_path / "second").rglob("*.json"):
        text = file.read_text()
        assert str(tmp_path) not in text, file
        assert {"is_local", "local_files_only", "name_or_path"}.isdisjoint(json.loads(text)), file


# ---------------------------------------------------------------------------------------------------------- neighbours

NEAREST = Neighbour("A" * 14, 0.987, "The molecule is\n an alcohol.")
NEXT = Neighbour("B" * 14, -0.25, "It is an aromatic amine, toxic and oily.")


def test_the_captions_of_neighbours_stand_before_the_prompt(build):
    processor = build(num_neighbours=2)
    batch = processor([WATER, ETHANOL], ["toxic", "oily"], neighbours=[[NEAREST, NEXT], []])
    lines = (
        "Similar molecule (0.99): The molecule is an alcohol.",
        "Similar molecule (-0.25): It is an aromatic amine, toxic and oily.",
    )
    assert texts(processor, batch) == [
        "\n".join([*lines, f"Describe the molecule: toxic{END}"]),
        f"Describe the molecule: oily{END}",
    ]
    assert targets(processor, batch) == [f" toxic{END}", f" oily{END}"]
    reverse = build(num_neighbours=2, neighbour_order="nearest_last")(WATER, neighbours=[[NEAREST, NEXT]])
    assert texts(processor, reverse) == ["\n".join([*lines[::-1], "Describe the molecule:"])]


def test_long_captions_of_neighbours_are_truncated(build):
    processor = build(num_neighbours=1, max_neighbour_tokens=4)
    tokenizer = processor.decoder_tokenizer
    kept = tokenizer.decode(tokenizer(NEXT.caption, add_special_tokens=False)["input_ids"][:4])
    (text,) = texts(processor, processor(WATER, neighbours=[[NEXT]]))
    assert text == f"Similar molecule (-0.25): {kept}\nDescribe the molecule:"
    assert len(kept) < len(NEXT.caption)


def test_neighbours_in_a_chat(build):
    processor = build(num_neighbours=1, prompt_format="chat")
    (text,) = texts(processor, processor(WATER, neighbours=[[NEAREST]]))
    assert text.startswith("<user>Similar molecule (0.99): The molecule is an alcohol.\nDescribe the molecule:")


@pytest.mark.parametrize(
    ("neighbours", "fault"),
    [
        (None, "of similar molecules, but for 2 molecules, none are given"),
        ([[NEAREST]], "but for 2 molecules, those of 1 are given"),
        ([[], [NEAREST, NEXT]], r"neighbours\[1\] has 2 molecules, more than num_neighbours=1"),
    ],
)
def test_missing_neighbours_are_refused(build, neighbours, fault):
    with pytest.raises(ValueError, match=fault):
        build(num_neighbours=1)([WATER, ETHANOL], neighbours=neighbours)


def test_neighbours_that_no_prompt_contains_are_refused(build):
    with pytest.raises(ValueError, match="neighbours are given, but num_neighbours=0 puts none into the prompt"):
        build()(WATER, neighbours=[[NEAREST]])


def test_references_are_uploaded(build, captioner, tmp_path, monkeypatch):
    pushed = []
    monkeypatch.setattr(
        GeomCLIPCaptioningProcessor, "push_to_hub", lambda self, name, **kwargs: pushed.append((name, kwargs))
    )
    processor = build(num_neighbours=1)
    processor.references = GeomCLIPReferences.from_molecules(captioner, processor, [WATER], ["water"], ["A" * 14])
    processor.save_pretrained(tmp_path / "mine", push_to_hub=True, token="t")
    assert pushed == [("mine", {"token": "t"})]
    assert (tmp_path / "mine" / "references.safetensors").is_file()


def test_the_neighbours_of_skipped_molecules_are_skipped(build):
    batch = build(num_neighbours=1)([BROKEN, WATER], neighbours=[[NEXT], [NEAREST]], errors="report")
    assert texts(build(), batch) == ["Similar molecule (0.99): The molecule is an alcohol.\nDescribe the molecule:"]


def test_references_are_saved_with_the_processor(build, captioner, tmp_path):
    processor = build(num_neighbours=1)
    with pytest.raises(ValueError, match="captions of 1 similar molecules, but there are no references"):
        processor.find_neighbours(captioner, [WATER])
    processor.save_pretrained(tmp_path / "without")
    assert AutoProcessor.from_pretrained(tmp_path / "without").references is None
    given = ([ETHANOL, WATER], ["an alcohol", "water"], ["A" * 14, "B" * 14])
    processor.references = GeomCLIPReferences.from_molecules(captioner, processor, *given)
    processor.save_pretrained(tmp_path / "with")
    loaded = AutoProcessor.from_pretrained(tmp_path / "with")
    for found in (processor, loaded):
        ((neighbour,),) = found.find_neighbours(captioner, WATER)
        assert (neighbour.caption, neighbour.inchikey) == ("water", "B" * 14)
        assert neighbour.similarity == pytest.approx(1, abs=1e-3)
        assert [near.caption for near in found.find_neighbours(captioner, WATER, 5)[0]] == ["water", "an alcohol"]
    assert build().find_neighbours(captioner, [WATER]) is None
    assert processor.is_unlike([]) is True
    assert processor.is_unlike([Neighbour("A" * 14, processor.references.min_similarity, "water")]) is False
    assert processor.is_unlike([Neighbour("A" * 14, processor.references.min_similarity - 1e-3, "water")]) is True
    assert build().is_unlike([]) is False


@pytest.mark.parametrize("settings", [{"num_neighbours": -1}, {"max_neighbour_tokens": 0}, {"neighbour_order": "both"}])
def test_settings_of_neighbours_that_make_no_sense(build, settings):
    ((name, value),) = settings.items()
    with pytest.raises(ValueError, match=f"{name} is {value!r}; "):
        build(**settings)
