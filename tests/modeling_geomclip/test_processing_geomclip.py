"""The processor combines its two parts: each half of a batch equals the output of that part alone."""

import numpy as np
import pandas as pd
import pytest
import torch
from datasets import Dataset
from torch.utils.data import DataLoader
from transformers import BertTokenizer, DataCollatorWithPadding

from modeling_geomclip.feature_extraction_geomclip import GeomCLIPFeatureExtractor
from modeling_geomclip.processing_geomclip import GeomCLIPProcessor, list_texts

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "water", "is", "wet", "ethanol", "burns"]
LIMIT = 6
WATER, ETHANOL = "O", "CCO"


@pytest.fixture
def processor() -> GeomCLIPProcessor:
    tokenizer = BertTokenizer(vocab={word: place for place, word in enumerate(WORDS)}, model_max_length=LIMIT)
    return GeomCLIPProcessor(GeomCLIPFeatureExtractor(max_atoms=5), tokenizer)


def test_molecules_and_text_by_hand(processor):
    batch = processor(molecules=[WATER, ETHANOL], text=["water is wet", "ethanol burns"], return_tensors="pt")
    assert batch["atom_ids"].tolist() == [[1, 6, 2, 0, 0], [1, 4, 4, 6, 2]]
    assert batch["input_ids"].tolist() == [[2, 5, 6, 7, 3], [2, 8, 9, 3, 0]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1, 1, 1], [1, 1, 1, 1, 0]]
    assert batch["positions"].shape == (2, 5, 3)
    assert set(batch) == set(processor.model_input_names)
    assert batch.to(torch.bfloat16)["positions"].dtype == torch.float32


def test_molecules_alone_and_text_alone(processor):
    assert set(processor(molecules=WATER, return_tensors="pt")) == {"atom_ids", "positions", "atom_mask"}
    batch = processor(text="water", return_tensors="pt")
    assert set(batch) == {"input_ids", "token_type_ids", "attention_mask"}
    assert batch["input_ids"].tolist() == [[2, 5, 3]]


def test_several_texts_for_one_molecule(processor):
    batch = processor(WATER, ["water", "ethanol burns", "wet"], return_tensors="pt")
    assert batch["atom_ids"].shape[0] == 1
    assert batch["input_ids"].shape[0] == 3


def test_text_is_truncated_at_the_text_towers_limit_or_on_request(processor):
    text = ["water " * 20, "wet"]
    assert processor(text=text, return_tensors="pt")["input_ids"].shape == (2, LIMIT)
    assert processor(text=text, return_tensors="pt", max_length=4)["input_ids"].shape == (2, 4)
    assert processor(text=text, return_tensors="pt", text_kwargs={"max_length": 5})["input_ids"].shape == (2, 5)
    assert processor(text="wet", return_tensors="pt", padding="max_length")["input_ids"].shape == (1, LIMIT)


def test_a_tokenizer_without_a_limit_gets_ours(processor):
    processor.tokenizer = BertTokenizer(vocab={word: place for place, word in enumerate(WORDS)})
    batch = processor(text="water " * 400, return_tensors="pt")
    assert batch["input_ids"].shape == (1, GeomCLIPProcessor.text_kwargs["max_length"])


def test_texts_of_failed_molecules_are_skipped(processor):
    texts = ["water", "wet", "ethanol burns", "burns"]
    batch = processor([WATER, "C1CC", ETHANOL, "C" * 6], texts, return_tensors="pt", errors="report")
    expected = processor([WATER, ETHANOL], ["water", "ethanol burns"], return_tensors="pt")
    for name, values in expected.items():
        torch.testing.assert_close(batch[name], values, rtol=0, atol=0)
    assert batch["kept"].tolist() == [0, 2]
    assert [failure["index"] for failure in batch["failures"]] == [1, 3]
    assert "more than max_atoms=5" in batch["failures"][1]["reason"]


def test_texts_that_are_not_pairs_are_all_kept(processor):
    batch = processor([WATER, "C1CC"], ["water", "wet", "burns"], return_tensors="pt", errors="report")
    assert batch["atom_ids"].shape[0] == 1
    assert batch["input_ids"].shape[0] == 3


def test_all_molecules_failed(processor):
    batch = processor(["C1CC"], ["water"], return_tensors="pt", errors="report")
    assert [len(batch[name]) for name in processor.model_input_names] == [0] * len(processor.model_input_names)
    assert batch["input_ids"].dtype == torch.int64


def test_invalid_inputs_are_refused(processor):
    with pytest.raises(ValueError, match="nothing to process"):
        processor()
    with pytest.raises(ValueError, match="list of texts is empty"):
        processor(text=[])
    with pytest.raises(ValueError, match="text 1 is None, not a string; replace or drop it"):
        processor(text=["water", None])
    with pytest.raises(ValueError, match=r"molecule 1 \('C1CC'\)"):
        processor([WATER, "C1CC"])


@pytest.mark.parametrize(
    "texts",
    [
        ("a", "b"),
        (text for text in "ab"),
        np.array(["a", "b"]),
        pd.Series(["a", "b"], index=[7, 3]),
        Dataset.from_dict({"text": ["a", "b"]})["text"],
    ],
)
def test_texts_come_in_any_iterable(texts):
    assert list_texts(texts) == ["a", "b"]


def test_one_text_is_a_list_of_one():
    assert list_texts("ab") == ["ab"]
    assert list_texts(np.str_("ab")) == ["ab"]
    assert list_texts("") == [""]


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["a", b"b"], "text 1 is b'b', not a string; replace or drop it"),
        (b"ab", "text 0 is b'ab', not"),
        (None, "text 0 is None, not"),
        (float("nan"), "text 0 is nan, not"),
        ({"text": "a"}, r"text 0 is \{'text': 'a'\}, not"),
        (["a", pd.NA], "text 1 is <NA>, not"),
        (["a", ["b"] * 1000], r"text 1 is \['b', 'b', 'b', 'b', 'b', 'b', ...\], not"),
        (pd.DataFrame({"text": ["a", "b"]}), "the texts have 2 dimensions; pass one column"),
        (np.array(b"a"), r"text 0 is array\(b'a', dtype='|S1'\), not"),
    ],
)
def test_invalid_texts_are_named(texts, message):
    with pytest.raises(ValueError, match=message):
        list_texts(texts)


MOLECULES, TEXTS = [WATER, ETHANOL, "CC", "CN=C", "C#N"], ["water", "ethanol burns", "wet", "water is wet", ""]


@pytest.fixture
def rows(processor) -> Dataset:
    """A dataset mapped in two batches; only the first batch pads molecules to 5 rows."""
    rows = Dataset.from_dict({"smiles": MOLECULES, "text": TEXTS, "label": [4, 3, 2, 1, 0]})

    def prepare(rows: dict) -> dict:
        return processor(rows["smiles"], text=rows["text"], padding=False, return_tensors=None)

    return rows.map(prepare, batched=True, batch_size=3, remove_columns=["smiles", "text"])


@pytest.mark.parametrize("places", [[0, 1], [2, 0], [4], [3, 1, 4, 0, 2]])
def test_the_collator_of_transformers_pads_rows_to_what_the_processor_gives(processor, rows, places):
    (batch,) = DataLoader(rows.select(places), batch_size=5, collate_fn=DataCollatorWithPadding(processor))
    expected = processor([MOLECULES[place] for place in places], text=[TEXTS[place] for place in places])
    assert batch.pop("labels").tolist() == [4 - place for place in places]
    assert batch.keys() == expected.keys()
    for name, values in expected.items():
        torch.testing.assert_close(batch[name], values, rtol=0, atol=0)
    assert batch.to(torch.bfloat16)["positions"].dtype == torch.float32


def test_the_collator_of_transformers_pads_one_side_alone(processor, rows):
    columns = [*GeomCLIPFeatureExtractor.model_input_names, "label"]
    for padder in (processor, processor.feature_extractor):
        batch = DataCollatorWithPadding(padder)(list(rows.select_columns(columns)))
        assert batch.pop("labels").tolist() == [4, 3, 2, 1, 0]
        torch.testing.assert_close(dict(batch), dict(processor(MOLECULES)), rtol=0, atol=0)
    batch = DataCollatorWithPadding(processor)(list(rows.select_columns(["input_ids", "attention_mask", "label"])))
    assert batch["labels"].shape == (5,)
    torch.testing.assert_close(batch["input_ids"], processor(text=TEXTS)["input_ids"], rtol=0, atol=0)


def test_collator_settings_apply_to_texts_and_the_multiple_to_both(processor, rows):
    batch = DataCollatorWithPadding(processor, pad_to_multiple_of=8)(list(rows))
    assert [batch[name].shape for name in ("atom_ids", "positions", "input_ids")] == [(5, 8), (5, 8, 3), (5, 8)]
    assert batch["atom_mask"].sum(dim=1).tolist() == [1, 3, 2, 3, 2]
    batch = DataCollatorWithPadding(processor, padding="max_length", max_length=6)(list(rows))
    assert [batch[name].shape for name in ("atom_ids", "input_ids")] == [(5, 5), (5, 6)]


def test_rows_that_were_not_mapped_are_refused(processor, rows):
    collator = DataCollatorWithPadding(processor)
    with pytest.raises(ValueError, match=r"row 0 has the columns smiles, text: .*GeomCLIPDataCollator"):
        collator([{"smiles": WATER, "text": "water"}])
    geometry = {"atomic_numbers": [8, 1], "positions": [[0, 0, 0], [0, 0, 1]]}
    with pytest.raises(ValueError, match=r"row 1 has the columns atomic_numbers, positions, label: "):
        collator([geometry, geometry | {"label": 1}])
    with pytest.raises(ValueError, match=r"row 1 is a batch: its atom_ids have shape \(1, 3\); map with batched=True"):
        collator([rows[0], processor(WATER, text="water")])


def test_decoding_passes_through(processor):
    ids = processor(text=["water is wet"])["input_ids"]
    assert processor.decode(ids[0], skip_special_tokens=True) == "water is wet"
    assert processor.batch_decode(ids, skip_special_tokens=True) == ["water is wet"]


def test_saving_and_loading_keeps_the_outputs_but_no_local_settings(processor, tmp_path):
    processor.save_pretrained(tmp_path / "first")
    loaded = GeomCLIPProcessor.from_pretrained(tmp_path / "first")
    assert loaded.tokenizer.init_kwargs["is_local"]  # this must not be saved
    loaded.save_pretrained(tmp_path / "second")
    again = GeomCLIPProcessor.from_pretrained(tmp_path / "second")
    assert again.feature_extractor.max_atoms == 5
    molecules, text = [WATER, ETHANOL], ["water is wet", "ethanol"]
    for name, values in processor(molecules, text, return_tensors="pt").items():
        torch.testing.assert_close(again(molecules, text, return_tensors="pt")[name], values, rtol=0, atol=0)

    for folder in ("first", "second"):
        for file in (tmp_path / folder).glob("*.json"):
            text = file.read_text()
            assert not [
                word for word in (str(tmp_path), "is_local", "local_files_only", "name_or_path") if word in text
            ]
    assert (tmp_path / "second" / "processor_config.json").exists()


def test_settings_can_be_changed_when_it_is_loaded(processor, tmp_path):
    processor.save_pretrained(tmp_path)
    loaded = GeomCLIPProcessor.from_pretrained(tmp_path, remove_hydrogens=False)
    assert loaded(WATER)["atom_mask"].sum() == 3


def test_the_model_takes_the_processors_outputs(model, processor):
    molecules, texts = ["CCO", "CC#N", "CN"], ["the alcohol", "it is an amine"]
    outputs = model(**processor(molecules))
    assert outputs.geometry_embeds.shape == (3, model.config.projection_dim)
    assert outputs.text_embeds is None
    assert model(**processor(text=texts)).text_embeds.shape == (2, model.config.projection_dim)
    both = model(**processor(molecules, text=texts))
    assert both.logits_per_text.shape == (2, 3)
    assert both.loss is None
    assert model(**processor(molecules[:2], text=texts)).loss > 0
