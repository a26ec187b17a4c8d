"""Measure the time to embed molecules with a checkpoint, from the geometries and from the SMILES of a dataset.

    python research/benchmarks/embed.py --model geomclip --dataset my_pairs --split train \\
        --output research/results/performance/embed.json

For SMILES, RDKit first generates a conformer, in as many threads as torch uses. The time includes reading the
molecules, but not loading the model.
"""

import json
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from machine import describe_machine
from transformers import HfArgumentParser

from dataset_pubchem3d.pairs import get_molecule_input, load_molecules
from geomclip_tools.evaluation.conformers import read_or_list
from geomclip_tools.loading import load_geomclip
from geomclip_tools.records import find_commit, redact_paths
from modeling_geomclip import embed_molecules


@dataclass(frozen=True)
class EmbedSettings:
    """The flags of the command."""

    model: str = field(metadata={"help": "checkpoint folder or Hub id"})
    dataset: str = field(metadata={"help": "folder, Hub id or table with geometries and `smiles`"})
    output: str = field(metadata={"help": "results file to write (JSON)"})
    dataset_config: str | None = field(default=None, metadata={"help": "dataset configuration, such as pretrain"})
    split: str = field(default="test", metadata={"help": "dataset split"})
    num_molecules: int = field(default=1000, metadata={"help": "number of molecules, from the first row"})


def main() -> None:
    settings = HfArgumentParser(EmbedSettings).parse_args_into_dataclasses()[0]
    columns = ("smiles", "atomic_numbers", "positions")
    rows = load_molecules(settings.dataset, settings.split, settings.dataset_config, columns)
    rows = rows.select(range(min(settings.num_molecules, len(rows))))
    model, processor = load_geomclip(settings.model)
    embed_molecules(model, processor, ["CCO"])  # the first call is slower
    measured = {
        "geometries": time_embedding(model, processor, [get_molecule_input(row) for row in rows]),
        "smiles": time_embedding(model, processor, rows["smiles"][:]),
    }
    computed_on = {"device": model.device.type, "threads": torch.get_num_threads()}
    machine = describe_machine() | computed_on
    record = {
        "settings": redact_paths(asdict(settings)),
        "git_commit": find_commit(),
        "machine": machine,
        **measured,
    }
    output = Path(settings.output)
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps(record, indent=2) + "\n")
    for name, figures in measured.items():
        print(
            f"{figures['molecules']} molecules from {name}: {figures['seconds']:.1f} s, {figures['refused']} rejected"
        )


def time_embedding(model: torch.nn.Module, processor: Any, molecules: list[Any]) -> dict[str, Any]:
    """Measure the seconds from input molecules to embeddings, and count embedded and rejected molecules."""
    start = time.perf_counter()
    records, failures = read_or_list(processor, molecules, len(molecules))
    num_embedded = len(embed_molecules(model, processor, records))
    return {"seconds": time.perf_counter() - start, "molecules": num_embedded, "refused": len(failures)}


if __name__ == "__main__":
    main()
