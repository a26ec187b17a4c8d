"""`geomclip evaluate captioning` writes captions and results, with tiny models."""

import gc
import json
import sys
import weakref
from pathlib import Path

import pandas as pd
import pytest
import torch
from datasets import Dataset
from transformers import AutoTokenizer

from geomclip_tools.commands import evaluate_captioning
from geomclip_tools.commands.evaluate_captioning import CaptioningSettings, load_filled, name_captioners
from geomclip_tools.evaluation import metrics
from modeling_geomclip import GeomCLIPCaptioningProcessor, GeomCLIPForCaptioning, GeomCLIPModel
from tests.geomclip_tools.training.tiny_decoder import save_decoder

TRAINING = {  # the text of methanol is the most common; one molecule cannot be read
    "CO": "It is an alcohol.",
    "CCN": "It is a primary amine.",
    "C1CC": "It is broken.",
    "c1ccccc1": "It is a benzene.",
    "CC#N": "It is a nitrile.",
    "CCCO": "It is an alcohol.",
}
TEST = {
    "CCO": "It is a primary alcohol.",
    "??": "It is unreadable.",
    "CCCN": "It is a primary amine with water.",
    "Cc1ccccc1": "It is a benzene with a methyl group.",
    "CCC#N": "It is a nitrile.",
}


def settings_of(**settings) -> CaptioningSettings:
    needed = dict.fromkeys(("model", "dataset", "output", "judge", "geomclip"), "m")
    return CaptioningSettings(**needed | settings)


# ------------------------------------------------------------------------------------------------------------ settings


def test_captioners_are_named_by_the_user_and_the_model_comes_first():
    found = name_captioners(settings_of(compare=["blind=b", "two words=c=d"]))
    assert list(found.items()) == [("model", "m"), ("blind", "b"), ("two words", "c=d")]


@pytest.mark.parametrize("item", ["folder", "=folder", "blind="])
def test_a_captioner_without_name_or_folder_is_refused(item):
    with pytest.raises(ValueError, match=f"--compare '{item}' is not name=folder"):
        name_captioners(settings_of(compare=[item]))


@pytest.mark.parametrize(
    "name", ["model", "true captions", "nearest by ECFP4", "a, first draft", "reference", "smiles"]
)
def test_names_of_other_rows_and_keys_are_refused(name):
    with pytest.raises(ValueError, match=f"the name '{name}' is taken; choose another"):
        name_captioners(settings_of(compare=[f"{name}=b"]))


def test_a_name_given_twice_is_refused():
    with pytest.raises(ValueError, match="--compare 'a=c': the name 'a' is taken"):
        name_captioners(settings_of(compare=["a=b", "a=c"]))


@pytest.mark.parametrize(
    ("table", "error"),
    [
        (
            "smiles,text\nCO,an alcohol\n,an amine\nCN,an amine\n",
            "1 rows .*'train' .*have no smiles, first row 1; fill",
        ),
        ("smiles,text\nCO,an alcohol\nCN,an amine\nCS,  \nCF,\n", "2 rows .*'train' .*have no text, first row 2; fill"),
        ("positions,atomic_numbers,text\n1,2,an alcohol\n", "it needs 'text' and 'smiles'"),
    ],
)
def test_rows_without_smiles_or_text_are_refused(tmp_path, table, error):
    (tmp_path / "pairs").mkdir()
    (tmp_path / "pairs" / "train.csv").write_text(table)
    with pytest.raises(ValueError, match=error):
        load_filled(settings_of(dataset=str(tmp_path / "pairs")), "train")


def test_faulty_rows_of_a_table_are_left_to_be_reported(tmp_path):
    (tmp_path / "pairs.csv").write_text("smiles,text\nCO,an alcohol\n,an amine\nCS,  \n")
    rows = load_filled(settings_of(dataset=str(tmp_path / "pairs.csv")), "train")
    assert rows["row_fault"][:] == [None, "neither a structure nor a CID", "the text is empty"]


# ---------------------------------------------------------------------------------------------------------- end to end


@pytest.fixture
def folders(model, config, processor, tmp_path) -> Path:
    """Save tiny GeomCLIPs of two seeds, a captioner, a captioner without geometry, and a dataset."""
    torch.manual_seed(1)
    for name, geomclip in (("geomclip", model), ("judge", GeomCLIPModel(config))):
        geomclip.save_pretrained(tmp_path / name)
        processor.save_pretrained(tmp_path / name)
    decoder = save_decoder(tmp_path / "decoder")
    tokenizer = AutoTokenizer.from_pretrained(decoder)
    for name, prompt, prefix in (("captioner", "{smiles}:", "resampler"), ("blind", "Describe:", "none")):
        captioner = GeomCLIPForCaptioning.from_geometry_decoder_pretrained(model, str(decoder), prefix=prefix)
        captioner.save_pretrained(tmp_path / name)
        GeomCLIPCaptioningProcessor(processor.feature_extractor, tokenizer, prompt).save_pretrained(tmp_path / name)
    (tmp_path / "pairs").mkdir()
    for split, rows in (("train", TRAINING), ("test", TEST)):
        table = Dataset.from_dict({"smiles": list(rows), "text": list(rows.values())})
        table.to_csv(tmp_path / "pairs" / f"{split}.csv", index=False)
    processor.tokenizer.save_pretrained(tmp_path / "pieces")
    return tmp_path


@pytest.fixture
def command(folders, monkeypatch) -> list[str]:
    monkeypatch.chdir(folders)
    flags = {"model": "captioner", "dataset": "pairs", "geomclip": "geomclip", "judge": "judge", "tokenizer": "pieces"}
    flags |= {"output": "results/captioning.json", "pool_size": 2, "max_new_tokens": 6, "num_bootstrap": 20}
    words = [str(word) for name, value in flags.items() for word in (f"--{name}", value)]
    return [*words, "--compare", "blind=blind", "blind low=captioner"]


def test_from_checkpoints_to_results_and_captions(command, monkeypatch, capsys):
    loaded = []

    def load_alone(load):
        def load_and_note(path):
            gc.collect()
            assert not any(model() for model in loaded), f"{path} is loaded beside another model"
            model, processor = load(path)
            loaded.append(weakref.ref(model))
            return model, processor

        return load_and_note

    for name in ("load_geomclip", "load_captioner"):
        monkeypatch.setattr(evaluate_captioning, name, load_alone(getattr(evaluate_captioning, name)))
    evaluate_captioning.main(command)
    assert len(loaded) >= 5

    printed = capsys.readouterr().out
    assert "| true captions |" in printed
    assert "caption loss: " in printed
    assert "not evaluated: 1 molecule: " in printed

    record = json.loads(Path("results/captioning.json").read_text())
    others = ["blind", "blind low", "nearest by GeomCLIP", "nearest by ECFP4", "neighbours reranked", "most frequent"]
    assert list(record["scores"]) == ["model", *others, "true captions"]
    assert list(record["differences"]) == others
    assert record["scores"]["model"]["num_captions"] == record["num_rows"] == 4
    assert record["scores"]["true captions"].keys() >= {"consistency", "fact_precision", "fact_recall"}
    assert record["scores"]["nearest by ECFP4"]["rouge_1"] > 0.5
    zeros = {key: value for key, value in record["differences"]["blind low"].items() if value is not None}
    assert zeros
    assert set(zeros.values()) == {0}  # the model itself
    for name in others:
        expected = record["scores"]["model"]["rouge_1"] - record["scores"][name]["rouge_1"]
        assert record["differences"][name]["rouge_1"] == pytest.approx(expected)
    losses = record["geometry_losses"]
    assert losses["difference"] == pytest.approx(losses["other_geometry"] - losses["right_geometry"], abs=1e-9)
    assert losses["difference"] != 0
    assert [failure["row"] for failure in record["failures"]] == [1]
    assert [failure["row"] for failure in record["training_failures"]] == [2]
    assert record["task"] == "captioning"
    assert record["command"].startswith("geomclip evaluate captioning --model captioner --dataset pairs --geomclip")

    lines = [json.loads(line) for line in Path("results/captioning.jsonl").read_text().splitlines()]
    readable = {smiles: text for smiles, text in TEST.items() if smiles != "??"}
    assert {line["smiles"]: line["reference"] for line in lines} == readable
    assert all(line.keys() == {"smiles", "reference", "model", *others} for line in lines)
    assert all(line["blind low"] == line["model"] for line in lines)
    assert len({line["blind"] for line in lines}) == 1
    assert {line["most frequent"] for line in lines} == {"It is an alcohol."}
    assert [line["nearest by ECFP4"] for line in lines] == [
        TRAINING[key] for key in ("CCCO", "CCN", "c1ccccc1", "CC#N")
    ]
    assert {line["nearest by GeomCLIP"] for line in lines} <= set(TRAINING.values()) - {"It is broken."}


def test_a_checkpoint_that_reads_less_than_the_captioner_is_refused(command, processor):
    processor.feature_extractor.max_atoms = 3
    processor.save_pretrained("judge")
    with pytest.raises(ValueError, match=r"judge reads 1 of the 4 molecules that the captioner reads, but not row 1: "):
        evaluate_captioning.main(command)


def test_an_evaluation_that_was_interrupted_generates_no_draft_twice(command, monkeypatch):
    calls, generate = [], GeomCLIPForCaptioning.generate

    def record(self, **given):
        calls.append(len(given["atom_ids"]))
        return generate(self, **given)

    monkeypatch.setattr(GeomCLIPForCaptioning, "generate", record)
    evaluate_captioning.main(command)
    first, lines = sum(calls), Path("results/captioning.jsonl").read_text()
    evaluate_captioning.main(command)
    assert sum(calls) == first == 3 * 4
    assert Path("results/captioning.jsonl").read_text() == lines
    evaluate_captioning.main([*command, "--max_new_tokens", "2"])
    assert sum(calls) == 2 * first


@pytest.mark.parametrize("name", ["num_drafts", "num_beams", "batch_size"])
def test_numbers_are_positive(name):
    with pytest.raises(ValueError, match=f"--{name} is 0; it must be at least 1"):
        settings_of(**{name: 0})


def test_a_weight_of_drafts_needs_drafts_to_choose_from():
    with pytest.raises(ValueError, match="no caption is chosen by --draft_weight; pass --num_drafts"):
        settings_of(draft_weight=0.5)
    settings_of(draft_weight=0.5, num_drafts=1)


def test_a_name_that_cannot_be_part_of_a_file_name_is_refused():
    with pytest.raises(ValueError, match="the name 'a/b' becomes part of a file name"):
        name_captioners(settings_of(compare=["a/b=folder"]))


def test_it_refuses_what_it_cannot_do_before_it_loads_a_model(command):
    with pytest.raises(ValueError, match="--compare 'folder' is not name=folder"):
        evaluate_captioning.main([*command, "folder"])


def test_a_missing_package_is_told_before_a_model_is_loaded(command, monkeypatch):
    metric = f"{metrics.__name__}.molecule_captioning"
    monkeypatch.setattr(evaluate_captioning, "load_captioner", None)
    monkeypatch.setitem(sys.modules, "nltk.corpus", None)
    monkeypatch.delitem(sys.modules, metric, raising=False)
    monkeypatch.delattr(metrics, "molecule_captioning", raising=False)
    with pytest.raises(ImportError, match="pip install nltk rouge_score"):
        evaluate_captioning.main(command)


def test_the_best_of_several_candidates(command):
    weights = ["--draft_weight", "0", "--similarity_weight", "1000", "--agreement_weight", "0"]
    evaluate_captioning.main([*command, "--num_drafts", "3", *weights])
    lines = [json.loads(line) for line in Path("results/captioning.jsonl").read_text().splitlines()]
    candidates = pd.read_parquet("results/captioning.candidates.parquet")
    assert set(candidates["system"]) == {"model", "blind", "blind low", "neighbours reranked"}
    for system in ("model", "blind", "neighbours reranked"):
        for row, line in enumerate(lines):
            own = candidates[(candidates["system"] == system) & (candidates["row"] == row)].reset_index()
            assert line[system] == own["caption"][(own["consensus"] + 1000 * own["similarity"]).argmax()]
            if system != "neighbours reranked":
                assert line[f"{system}, first draft"] == own["caption"][0]
    assert any(line["model"] != line["model, first draft"] for line in lines)
    others = ["blind", "blind low", "model, first draft", "blind, first draft", "blind low, first draft"]
    others += ["nearest by GeomCLIP", "nearest by ECFP4", "neighbours reranked", "most frequent"]
    assert list(json.loads(Path("results/captioning.json").read_text())["differences"]) == others


@pytest.mark.filterwarnings("ignore:Passing `repetition_penalty` with `inputs_embeds`")  # on what was said, as meant
def test_the_search_is_that_of_the_settings_for_every_captioner(command, monkeypatch):
    searches, generate = [], evaluate_captioning.generate_drafts

    def record(*args, **kwargs):
        searches.append(kwargs)
        return generate(*args, **kwargs)

    monkeypatch.setattr(evaluate_captioning, "generate_drafts", record)
    evaluate_captioning.main([*command, "--repetition_penalty", "1.3", "--num_beams", "2"])
    assert searches == 3 * [
        {"do_sample": False, "max_new_tokens": 6, "num_beams": 2, "repetition_penalty": 1.3},
    ]
