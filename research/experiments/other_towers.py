"""Control experiment: train towers that do not read the geometry.

    python research/experiments/other_towers.py --tower ecfp4 --config train/quickstart --text_model ... \\
        --dataset pubchem3d --output_dir runs/ecfp4 --seed 0 --output results/ecfp4.json

There are three towers. `element_counts` reads the number of atoms of each element, `ecfp4` the circular fingerprint
with counts, and `smiles`, a transformer, the characters of the canonical SMILES. Training is as for GeomCLIP: the same
loop, text tower, loss, pairs, updates and learning rates, selected by the same validation. There is no denoising. The
towers are for comparison only and not part of the model package.
"""

import argparse
import dataclasses
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from average import average_weights
from datasets import Dataset, List, Value
from rdkit import Chem
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from dataset_pubchem3d.chemistry.fingerprints import FINGERPRINT_SIZE, make_ecfp4
from geomclip_tools.commands.evaluate_retrieval import RetrievalSettings
from geomclip_tools.commands.evaluate_word_queries import read_blocks
from geomclip_tools.commands.evaluation_settings import write_ranks
from geomclip_tools.commands.train import parse_settings
from geomclip_tools.evaluation.retrieval import format_table, score_retrieval
from geomclip_tools.evaluation.word_queries import WORD_QUERIES
from geomclip_tools.evaluation.word_search import choose_molecules, judge_molecules, score_word_queries
from geomclip_tools.evaluation.word_search import format_table as format_words
from geomclip_tools.records import write_results
from geomclip_tools.training.data import load_prepared
from geomclip_tools.training.steps import ContrastiveStep
from geomclip_tools.training.tasks.pretrain import Pretraining
from geomclip_tools.training.trainer import run
from modeling_geomclip import (
    GeomCLIPGeometryModel,
    GeomCLIPGeometryOutput,
    GeomCLIPModel,
    GeomCLIPProcessor,
    embed_texts,
)
from modeling_geomclip.embedding_geomclip import inference
from modeling_geomclip.feature_extraction_geomclip import CLS_ID, ID_OF_ATOMIC_NUMBER, PAD_ID, SEP_ID, VOCABULARY

WEIGHTS = "model.safetensors"
FIRST_TOKEN = 3  # after [PAD], [CLS] and [SEP]
NUM_CHARACTERS = 128


class CountTower(nn.Module):
    """A multilayer perceptron on the count and log(1 + count) of every token, with the geometry tower's interface."""

    find_atom_mask = GeomCLIPGeometryModel.find_atom_mask

    def __init__(self, config, vocab_size: int):
        super().__init__()
        self.config, self.vocab_size = config, vocab_size
        width = 4 * config.hidden_size
        self.mlp = nn.Sequential(
            nn.Linear(2 * vocab_size, width),
            nn.GELU(),
            nn.Dropout(config.hidden_dropout_prob),
            nn.Linear(width, width),
            nn.GELU(),
            nn.Dropout(config.hidden_dropout_prob),
            nn.Linear(width, config.hidden_size),
        )

    def forward(self, atom_ids: Tensor, positions: Tensor, atom_mask: Tensor, **kwargs) -> GeomCLIPGeometryOutput:
        """Give every token the state of the whole molecule; the mean over tokens is then that state."""
        counts = torch.zeros(len(atom_ids), self.vocab_size, device=atom_ids.device)
        counts = counts.scatter_add(1, atom_ids, atom_mask.float())  # (batch, vocab_size)
        state = self.mlp(torch.cat([counts.log1p(), counts / 8], dim=-1))
        return GeomCLIPGeometryOutput(last_hidden_state=state.unsqueeze(1).expand(-1, atom_ids.shape[1], -1))


class SequenceTower(nn.Module):
    """A transformer on token sequences with the shape and the interface of the geometry tower."""

    find_atom_mask = GeomCLIPGeometryModel.find_atom_mask
    max_tokens = 1024

    def __init__(self, config, vocab_size: int):
        super().__init__()
        self.config = config
        self.embed_tokens = nn.Embedding(vocab_size, config.hidden_size, padding_idx=PAD_ID)
        self.embed_places = nn.Embedding(self.max_tokens, config.hidden_size)
        layer = nn.TransformerEncoderLayer(
            config.hidden_size,
            max(1, config.hidden_size // 32),
            config.intermediate_size,
            config.hidden_dropout_prob,
            activation="gelu",
            batch_first=True,
            norm_first=True,
        )
        norm = nn.LayerNorm(config.hidden_size)
        self.encoder = nn.TransformerEncoder(layer, config.num_hidden_layers, norm, enable_nested_tensor=False)

    def forward(self, atom_ids: Tensor, positions: Tensor, atom_mask: Tensor, **kwargs) -> GeomCLIPGeometryOutput:
        places = torch.arange(atom_ids.shape[1], device=atom_ids.device)
        states = self.embed_tokens(atom_ids) + self.embed_places(places)
        return GeomCLIPGeometryOutput(last_hidden_state=self.encoder(states, src_key_padding_mask=atom_ids == PAD_ID))


def element_tokens(smiles: str, molecule: dict) -> list[int]:
    """Return the GeomCLIP token ids of the atoms."""
    return ID_OF_ATOMIC_NUMBER[molecule["atomic_numbers"]].tolist()


def fingerprint_tokens(smiles: str, molecule: dict) -> list[int]:
    """Return each ECFP4 bit as often as its substructures occur."""
    counts = make_ecfp4().GetCountFingerprint(Chem.MolFromSmiles(smiles)).GetNonzeroElements()
    return np.repeat([*counts], [*counts.values()]).tolist()


def character_tokens(smiles: str, molecule: dict) -> list[int]:
    """Return the characters of the canonical SMILES, truncated to the maximum length."""
    canonical = Chem.MolToSmiles(Chem.MolFromSmiles(smiles))
    return [min(ord(character), NUM_CHARACTERS - 1) for character in canonical][: SequenceTower.max_tokens - 2]


class Tower(NamedTuple):
    """The class of a tower, its number of tokens, and a function from a molecule to token numbers, counted from 0."""

    make: Callable[..., nn.Module]
    num_tokens: int
    tokens: Callable[[str, dict], list[int]]


TOWERS = {
    "element_counts": Tower(CountTower, len(VOCABULARY), element_tokens),
    "ecfp4": Tower(CountTower, FINGERPRINT_SIZE, fingerprint_tokens),
    "smiles": Tower(SequenceTower, NUM_CHARACTERS, character_tokens),
}


class OtherTowerPretraining(Pretraining):
    """The pre-training task with another tower, which reads its own tokens instead of atoms."""

    def __init__(self, settings, tower: Tower, start: str | None = None):
        super().__init__(settings)
        self.tower, self.start, self.columns = tower, start, ("text", "smiles")
        self.derived_columns = {"tokens": List(Value("int64")), **self.derived_columns}

    def derive(self, row: dict, molecule: dict) -> dict:
        mol = Chem.MolFromSmiles(row["smiles"] or "")
        if mol is None or mol.GetNumAtoms() == 0:
            raise ValueError(f"RDKit cannot read the SMILES {row['smiles']!r}; correct it or remove its row")
        return {"tokens": self.tower.tokens(row["smiles"], molecule), **super().derive(row, molecule)}

    def build(self) -> tuple[ContrastiveStep, GeomCLIPProcessor]:
        step, processor = super().build()
        torch.manual_seed(self.settings.seed)
        tower = self.tower.make(self.config.geometry_config, FIRST_TOKEN + self.tower.num_tokens)
        model = GeomCLIPModel(self.config, tower, step.model.text_model)
        if self.start:
            model.load_state_dict(load_file(Path(self.start) / WEIGHTS))
        model.logit_scale.requires_grad_(self.config.learnable_temperature)
        return ContrastiveStep(model, self.settings.text_target_weight > 0), processor

    def collate_geometries(self, processor, rows: list[dict]) -> dict[str, Tensor]:
        return padded([row["tokens"] for row in rows])

    def validate(self, step: ContrastiveStep, processor, rows: Dataset) -> tuple[float, dict[str, float]]:
        metrics, _ = self.evaluate(step.model, processor, rows, num_bootstrap=0)
        directions = ("geometry_to_text", "text_to_geometry")
        return sum(metrics[f"{direction}_full_mean_reciprocal_rank"] for direction in directions) / 2, metrics

    def evaluate(
        self, model: GeomCLIPModel, processor, rows: Dataset, num_bootstrap: int
    ) -> tuple[dict[str, float], dict[str, list]]:
        """Return the flat metrics and ranks of `score_retrieval`."""
        embeds, seed = {"model": self.embed_tokens(model, rows)}, self.settings.seed
        text_embeds = self.embed_texts(model, processor, rows["text"][:]).numpy()
        metrics, ranks = score_retrieval(rows, text_embeds, embeds, seed, num_bootstrap)
        return metrics["model"], ranks["model"]

    def embed_tokens(self, model: GeomCLIPModel, rows: Dataset) -> np.ndarray:
        """Embed the rows, (rows, projection_dim), L2-normalised."""
        embeds = []
        with inference(model):
            for start in range(0, len(rows), self.settings.batch_size):
                batch = padded(rows["tokens"][start : start + self.settings.batch_size])
                batch = {name: values.to(model.device) for name, values in batch.items()}
                embeds.append(model.get_geometry_features(**batch).pooler_output.float().cpu().numpy())
        return np.concatenate(embeds)

    def search_words(self, model: GeomCLIPModel, processor, rows: Dataset, blocks: set[str]) -> dict[str, Any]:
        """Evaluate word queries on the molecules with these first blocks, as `evaluate_word_queries` does."""
        molecules = choose_molecules(rows, blocks).molecules
        relevance, judged, failures = judge_molecules(molecules)
        texts = embed_texts(model, processor, [query.text for query in WORD_QUERIES]).numpy()
        similarities = texts @ self.embed_tokens(model, molecules.select(judged)).T
        return {**score_word_queries(similarities, relevance), "num_molecules": len(judged), "failures": failures}


def padded(tokens: list[list[int]]) -> dict[str, Tensor]:
    """Pad token lists to a batch of geometries whose atoms are all at the origin."""
    size = 2 + max(map(len, tokens))
    atom_ids = torch.full((len(tokens), size), PAD_ID)
    for row, numbers in zip(atom_ids, tokens):
        row[: len(numbers) + 2] = torch.tensor([CLS_ID, *(FIRST_TOKEN + number for number in numbers), SEP_ID])
    return {"atom_ids": atom_ids, "positions": torch.zeros(*atom_ids.shape, 3), "atom_mask": atom_ids >= FIRST_TOKEN}


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("--tower", required=True, choices=TOWERS, help="tower to train")
    parser.add_argument(
        "--output", required=True, help="results file to write (JSON); other flags are those of train_accelerate.py"
    )
    parser.add_argument("--ranks", help="CSV file to write, as with `geomclip evaluate retrieval --ranks`")
    parser.add_argument("--start", help="folder of an earlier run of this script with the same shape to start from")
    help = "folders of runs of this script that differ in the seed; write the mean of their weights instead of training"
    parser.add_argument("--mean_of", nargs="+", type=Path, metavar="FOLDER", help=help)
    parser.add_argument("--split", default="test", help="split to evaluate; use validation for model selection")
    help = "evaluate word queries: dataset to search on the same split, file of first blocks, results file to write"
    parser.add_argument("--words", nargs=3, metavar=("DATASET", "MOLECULES", "OUTPUT"), help=help)
    given, flags = parser.parse_known_args(argv)
    settings = dataclasses.replace(parse_settings(["pretrain", *flags]), denoising_loss_weight=0.0)
    task = OtherTowerPretraining(settings, TOWERS[given.tower], given.start)
    if given.mean_of:
        weights = average_weights([load_file(folder / WEIGHTS) for folder in given.mean_of])
        Path(settings.output_dir).mkdir(parents=True, exist_ok=True)
        save_file(weights, Path(settings.output_dir) / WEIGHTS)
    else:
        run(task)
    step, processor = task.build()
    model = step.model
    model.load_state_dict(load_file(Path(settings.output_dir) / WEIGHTS))
    # The default config, as in `geomclip evaluate retrieval`: `pretrain` has no test split.
    task.settings = settings = dataclasses.replace(settings, dataset_config=None)
    rows = load_prepared(task, processor.feature_extractor, given.split)
    metrics, ranks = task.evaluate(model, processor, rows, num_bootstrap=1000)
    print(format_table({given.tower: metrics}))
    write_ranks(ranks, given.ranks)
    record = RetrievalSettings(
        model=settings.output_dir,
        dataset=settings.dataset,
        output=given.output,
        dataset_config=settings.dataset_config,
        split=given.split,
        seed=settings.seed,
    )
    command = ["python", "research/experiments/other_towers.py", *argv]
    write_results(record, rows, {"task": "retrieval", "metrics": {"model": metrics}, "num_rows": len(rows)}, command)
    if given.words:
        dataset, molecules, output = given.words
        task.settings = dataclasses.replace(settings, dataset=dataset, further_datasets=None, dataset_weights=None)
        rows = load_prepared(task, processor.feature_extractor, given.split)
        results = task.search_words(model, processor, rows, read_blocks(molecules))
        print(format_words(results["metrics"]))
        write_results(dataclasses.replace(record, dataset=dataset, output=output), rows, results, command)


if __name__ == "__main__":
    main(sys.argv[1:])
