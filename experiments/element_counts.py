"""Control experiment: how far does a tower come that reads the number of atoms of each element and nothing else?

    python experiments/element_counts.py --config configs/quickstart.yaml --text_model ... --dataset pubchem3d \\
        --output_dir runs/element_counts --seed 0 --output results/element_counts.json

It is trained like GeomCLIP: same loop, text tower, loss, pairs, updates and learning rates, chosen by the same
validation. There is nothing to denoise. It stays out of the model package: nobody should use it.
"""

import argparse
import dataclasses
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the scripts of this repository are not installed

from dataset_pubchem3d.pairs import load_pairs
from eval.retrieval import RetrievalSettings, evaluate_retrieval, format_table, write_results
from modeling_geomclip import GeomCLIPGeometryModel, GeomCLIPModel
from modeling_geomclip.modeling_geomclip import GeomCLIPGeometryOutput
from train_accelerate import parse_settings, run
from training.pretrain import Pretraining


class ElementCountTower(nn.Module):
    """A multilayer perceptron on log(1 + count) and count of every symbol, with the interface of the geometry tower."""

    default_atom_mask = GeomCLIPGeometryModel.default_atom_mask

    def __init__(self, config):
        super().__init__()
        self.config = config
        self.denoising_head = nn.Identity()
        width = 4 * config.hidden_size
        self.mlp = nn.Sequential(
            nn.Linear(2 * config.vocab_size, width),
            nn.GELU(),
            nn.Dropout(config.hidden_dropout_prob),
            nn.Linear(width, width),
            nn.GELU(),
            nn.Dropout(config.hidden_dropout_prob),
            nn.Linear(width, config.hidden_size),
        )

    def forward(self, atom_ids: Tensor, positions: Tensor, atom_mask: Tensor) -> GeomCLIPGeometryOutput:
        """Every atom gets the state of the whole molecule, so that the mean over atoms is that state."""
        symbols = nn.functional.one_hot(atom_ids, self.config.vocab_size)
        counts = (symbols * atom_mask.unsqueeze(-1)).sum(dim=1).float()  # (batch, vocab_size)
        state = self.mlp(torch.cat([counts.log1p(), counts / 8], dim=-1))
        return GeomCLIPGeometryOutput(last_hidden_state=state.unsqueeze(1).expand(-1, atom_ids.shape[1], -1))


class ElementCountPretraining(Pretraining):
    """The task with the other tower in its model."""

    def build(self):
        model, processor = super().build()
        torch.manual_seed(self.settings.seed)
        tower = ElementCountTower(model.config.geometry_config)
        return GeomCLIPModel(model.config, tower, model.text_model), processor


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument(
        "--output", required=True, help="results file; all other flags are those of train_accelerate.py"
    )
    given, flags = parser.parse_known_args(argv)
    settings = dataclasses.replace(parse_settings(["pretrain", *flags]), denoising_loss_weight=0.0)
    task = ElementCountPretraining(settings)
    run(task)
    model, processor = task.build()
    model.load_state_dict(load_file(Path(settings.output_dir) / "model.safetensors"))
    pairs = load_pairs(settings.dataset, "test")
    evaluation = evaluate_retrieval(model, processor, pairs, seed=settings.seed)
    print(format_table({"element counts": evaluation["metrics"]["model"]}))
    record = RetrievalSettings(settings.output_dir, settings.dataset, given.output, seed=settings.seed)
    write_results(record, pairs, {"task": "retrieval", **evaluation}, "experiments/element_counts.py")


if __name__ == "__main__":
    main(sys.argv[1:])
