"""Train, evaluate and keep the best checkpoint with `transformers.Trainer` and the data collator."""

import json
from pathlib import Path

import pytest
import torch
from datasets import Dataset
from torch.testing import assert_close
from transformers import Trainer, TrainingArguments

from geomclip_tools.training.collators import GeomCLIPDataCollator
from geomclip_tools.training.identity import hash_id
from modeling_geomclip import MISSING_ID, GeomCLIPForPreTraining, GeomCLIPModel

MOLECULES = {
    "CCO": "an alcohol",
    "CCN": "an amine",
    "CC(=O)O": "an acid",
    "CO": "an alcohol",
    "c1ccccc1": "the ring",
    "O": "water",
}


@pytest.fixture
def rows() -> Dataset:
    return Dataset.from_list([{"smiles": smiles, "text": text, "cid": 1} for smiles, text in MOLECULES.items()])


@pytest.fixture
def trainer_of(processor, rows, tmp_path):
    """Build a trainer with the arguments that the documentation of the collator names."""

    def build(model, noise_config=None) -> Trainer:
        arguments = TrainingArguments(
            str(tmp_path / "out"),
            remove_unused_columns=False,
            per_device_train_batch_size=3,
            per_device_eval_batch_size=4,
            num_train_epochs=3,
            learning_rate=1e-3,
            eval_strategy="epoch",
            save_strategy="epoch",
            load_best_model_at_end=True,
            report_to="none",
            use_cpu=True,
            disable_tqdm=True,
            dataloader_pin_memory=False,
        )
        collator = GeomCLIPDataCollator(processor, noise_config)
        return Trainer(model, arguments, data_collator=collator, train_dataset=rows, eval_dataset=rows)

    return build


def test_a_batch_is_that_of_the_processor_and_tells_who_shares_a_molecule_or_a_text(processor, rows):
    batch = GeomCLIPDataCollator(processor)(list(rows))
    expected = processor(list(MOLECULES), text=list(MOLECULES.values()), return_tensors="pt")
    assert batch.keys() - expected.keys() == {"molecule_ids", "text_ids"}
    for name, values in expected.items():
        assert torch.equal(batch[name], values), name
    assert batch["text_ids"][0] == batch["text_ids"][3] == hash_id("an alcohol")
    assert len(set(batch["molecule_ids"].tolist())) == 6
    assert MISSING_ID not in batch["molecule_ids"]


def test_noise_is_added_for_a_model_that_denoises(processor, rows, pretraining_model):
    collator = GeomCLIPDataCollator(processor, pretraining_model.config.geometry_config)
    torch.manual_seed(0)
    first, second = collator(list(rows)), collator(list(rows))
    assert first["chosen"].any()
    assert torch.equal(first["positions"], second["positions"])
    assert not torch.equal(first["noised_positions"], second["noised_positions"])
    assert pretraining_model(**first).denoising_loss > 0


@pytest.mark.parametrize("model_class", [GeomCLIPModel, GeomCLIPForPreTraining])
def test_the_trainer_of_transformers_trains_evaluates_and_keeps_the_best(config, trainer_of, rows, model_class):
    torch.manual_seed(0)
    model = model_class(config)
    trainer = trainer_of(model, config.geometry_config if model_class is GeomCLIPForPreTraining else None)
    before = trainer.evaluate()["eval_loss"]
    trainer.train()
    losses = [line["eval_loss"] for line in trainer.state.log_history if "eval_loss" in line]
    assert len(losses) == 3
    assert min(losses) < before
    assert trainer.state.best_metric == min(losses)
    best = model_class.from_pretrained(trainer.state.best_model_checkpoint).state_dict()
    for name, weight in trainer.model.state_dict().items():
        assert_close(weight, best[name], rtol=0, atol=0)
    saved = json.loads((Path(trainer.state.best_model_checkpoint) / "config.json").read_text())
    assert saved["architectures"] == [model_class.__name__]
