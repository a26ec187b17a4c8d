"""Benchmark a training step: throughput against the paper's data path, and time and memory by molecule and batch size.

    python research/benchmarks/train_step.py pairs.parquet --output research/results/performance/train_step.json

The paper's code pads texts to 256 tokens and molecules to the largest one in a random batch, rounded up to a multiple
of 8, and its loader builds arrays of all atom pairs. Here that path and ours feed the same pairs to the same full-size
model with random weights; denoising is off (alpha = 0). Every memory value comes from its own process. The matrix
products of both paths are counted too. At equal arithmetic rates, they alone would determine the speed-up.
"""

import argparse
import json
import multiprocessing
import resource
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import torch
from datasets import Dataset
from machine import describe_machine
from scipy.spatial import distance_matrix
from torch import Tensor
from torch.utils.data import DataLoader
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoTokenizer

from dataset_pubchem3d.pairs import get_molecule_input, load_pairs
from geomclip_tools.training.steps import ContrastiveStep
from geomclip_tools.training.tasks.pretrain import Pretraining, PretrainSettings
from geomclip_tools.training.trainer import Collator
from modeling_geomclip import (
    GeomCLIPConfig,
    GeomCLIPFeatureExtractor,
    GeomCLIPModel,
    GeomCLIPProcessor,
    contrastive_loss,
)
from modeling_geomclip.feature_extraction_geomclip import VOCABULARY

ATOMS, BATCHES = (10, 32, 64, 128, 256), (1, 4, 16)
PATHS = ("ours", "the paper's")
MOLECULE = ("atom_ids", "positions", "atom_mask")
PEAK_RESET = Path("/proc/self/clear_refs")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", help="table, folder or Hub id of pairs")
    parser.add_argument("--tokenizer", default="allenai/scibert_scivocab_uncased", help="folder or Hub id")
    parser.add_argument("--split", default="train", help="split of a folder or Hub dataset")
    parser.add_argument("--batch_size", type=int, default=32, help="pairs per batch")
    parser.add_argument("--steps", type=int, default=4, help="timed steps of each path")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads")
    parser.add_argument("--output", type=Path, help="results file to write (JSON); the plot goes next to it")
    args = parser.parse_args()
    results = {"machine": describe_machine(), "threads": args.threads, "batch_size": args.batch_size}
    results["paths"] = {path: in_process(measure_path, path, args) for path in PATHS}
    ours, theirs = (results["paths"][path] for path in PATHS)
    results["ratio"] = ours["pairs_per_second"] / theirs["pairs_per_second"]
    results["ratio_of_products"] = theirs["forward_tflop"] / ours["forward_tflop"]
    print(format_paths(results), flush=True)
    results["sizes"] = []
    for checkpointing in (False, True):
        for batch in BATCHES:
            for atoms in ATOMS:
                figures = in_process(measure_size, atoms, batch, checkpointing, args.threads)
                results["sizes"].append({"atoms": atoms, "batch": batch, "checkpointing": checkpointing, **figures})
    print(format_sizes(results["sizes"]))
    if args.output:
        args.output.parent.mkdir(parents=True, exist_ok=True)
        args.output.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
        plot_sizes(results["sizes"], args.output.with_suffix(".png"))


def in_process(function: Callable[..., dict], *args) -> dict:
    """Call the function in its own process; return an empty dict if the system killed it for lack of memory."""
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=send, args=(sender, function, *args))
    process.start()
    sender.close()
    try:
        return receiver.recv()
    except EOFError:
        return {}
    finally:
        process.join()


def send(sender, function: Callable[..., dict], *args) -> None:
    sender.send(function(*args))


def peak_memory_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def full_size(vocab_size: int) -> GeomCLIPModel:
    """Build a model with the shapes of Uni-Mol and SciBERT, random weights and no denoising."""
    torch.manual_seed(0)
    text = {"model_type": "bert", "vocab_size": vocab_size}
    return GeomCLIPModel(GeomCLIPConfig(text_config=text, denoising_loss_weight=0)).train()


# ------------------------------------------------------------------------------------------------------ two data paths


class PaperPath:
    """The collator of the paper's code: arrays of all atom pairs, padded to a multiple of 8; texts of 256 tokens."""

    def __init__(self, processor: GeomCLIPProcessor):
        self.processor = processor

    def __call__(self, rows: list[dict]) -> dict[str, Tensor]:
        batch = self.processor(
            molecules=[get_molecule_input(row) for row in rows],
            text=[row["text"] for row in rows],
            return_tensors="pt",
            padding="max_length",
            max_length=256,
        )
        missing = -batch["atom_ids"].shape[1] % 8
        batch = {name: pad_rows(values, missing) if name in MOLECULE else values for name, values in batch.items()}
        shape = (*batch["atom_ids"].shape, batch["atom_ids"].shape[1])
        distances, edges = torch.zeros(shape), torch.zeros(shape, dtype=torch.long)
        for row, (symbols, positions) in enumerate(zip(batch["atom_ids"], batch["positions"].numpy(), strict=True)):
            size = int((symbols != 0).sum())
            pairs = distance_matrix(positions[:size], positions[:size])
            distances[row, :size, :size] = torch.from_numpy(pairs)
            edges[row, :size, :size] = symbols[:size, None] * len(VOCABULARY) + symbols[:size]
        # The model recomputes both, which takes a few percent of a step. They are built here because the path does so.
        return {**batch, "molecule_ids": torch.arange(len(rows)), "text_ids": torch.arange(len(rows))}


def pad_rows(values: Tensor, missing: int) -> Tensor:
    """Append rows of zeros ([PAD]), (batch, rows, ...) -> (batch, rows + missing, ...)."""
    return torch.cat([values, values.new_zeros(len(values), missing, *values.shape[2:])], dim=1)


def measure_path(path: str, args: argparse.Namespace) -> dict:
    """Measure pairs per second, the share of time waiting for data, memory and TFLOP of matrix products of one path."""
    torch.set_num_threads(args.threads)
    tokenizer = AutoTokenizer.from_pretrained(args.tokenizer)
    tokenizer.init_kwargs.pop("max_length", None)  # both paths truncate texts to 256 tokens
    tokenizer.model_max_length = 256
    processor, model = GeomCLIPProcessor(GeomCLIPFeatureExtractor(), tokenizer), full_size(len(tokenizer))
    task = Pretraining(PretrainSettings(dataset="", output_dir="", model=""))
    task.config, step = model.config, ContrastiveStep(model)
    forward = task.forward if path == "ours" else ContrastiveStep.__call__  # whole batch, no groups
    rows = readable(load_pairs(args.table, args.split), processor, args.batch_size * (args.steps + 1))
    collate = Collator(task, processor) if path == "ours" else PaperPath(processor)
    loader = DataLoader(rows, batch_size=args.batch_size, collate_fn=collate)
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)
    waited = stepped = 0.0
    batches, last = iter(loader), time.perf_counter()
    for number in range(args.steps + 1):
        batch = next(batches)
        got = time.perf_counter()
        task.compute_losses(forward(step, batch), batch)["loss"].backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        end = time.perf_counter()
        if number:  # the first step warms up
            waited, stepped = waited + got - last, stepped + end - last
        last = end
    memory = peak_memory_mb()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        for batch in islice(loader, 1, None):  # the timed batches
            forward(step, batch)
    return {
        "pairs_per_second": args.steps * args.batch_size / stepped,
        "share_waiting_for_data": waited / stepped,
        "peak_memory_mb": memory,
        "forward_tflop": counter.get_total_flops() / args.steps / 1e12,
    }


def readable(rows: Dataset, processor: GeomCLIPProcessor, number: int) -> Dataset:
    """Select `number` readable rows in random order, in the form that training uses."""
    rows = rows.shuffle(seed=0)
    rows = rows.select(range(min(len(rows), 2 * number)))
    records, _ = processor.feature_extractor.read(map(get_molecule_input, rows), errors="report")
    kept = [
        {
            "row_id": record["index"],
            "inchikey14": None,
            "text": rows[record["index"]]["text"],
            "atomic_numbers": record["atomic_numbers"].tolist(),
            "positions": record["positions"].tolist(),
        }
        for record in records[:number]
    ]
    if len(kept) < number:
        raise ValueError(f"only {len(kept)} rows can be read, but {number} are needed; lower --batch_size or --steps")
    return Dataset.from_list(kept)


def format_paths(results: dict) -> str:
    lines = ["| data path | pairs/s | waiting for data | peak memory, MB | forward, TFLOP a step |"]
    lines.append("| --- |" + " --- |" * 4)
    for path, figures in results["paths"].items():
        speed, wait, memory, products = figures.values()
        lines.append(f"| {path} | {speed:.2f} | {wait:.1%} | {memory:.0f} | {products:.3f} |")
    faster, fewer = results["ratio"], results["ratio_of_products"]
    lines.append(
        f"\nour path is {faster:.2f} times as fast; its matrix products are 1/{fewer:.2f} of the paper's path's"
    )
    return "\n".join(lines)


# -------------------------------------------------------------------------------------------------- molecule and batch


def measure_size(atoms: int, batch: int, checkpointing: bool, threads: int) -> dict:
    """Measure the seconds of a step and its memory beyond the model's, for molecules of a given size, without texts."""
    torch.set_num_threads(threads)
    model = full_size(vocab_size=100)
    model.text_model = None  # pooled text states are given
    if checkpointing:
        model.activation_checkpointing_enable()
    PEAK_RESET.write_text("5")  # building the model has its own peak
    before = peak_memory_mb()
    atom_ids = torch.tensor([[1, *[4] * atoms, 2]] * batch)
    inputs = {"atom_ids": atom_ids, "positions": torch.randn(batch, atoms + 2, 3) * atoms ** (1 / 3)}
    pooled_text = torch.randn(batch, model.config.text_config.hidden_size)
    seconds = []
    while len(seconds) < 3 and sum(seconds) < 20:  # the first step warms up unless steps are too long
        start = time.perf_counter()
        geometry_embeds, text_embeds = (
            model.get_geometry_features(**inputs).pooler_output,
            model.project_text(pooled_text),
        )
        contrastive_loss(geometry_embeds, text_embeds, model.bound_logit_scale()).backward()
        seconds.append(time.perf_counter() - start)
    return {"seconds": min(seconds), "memory_mb": peak_memory_mb() - before}


def format_sizes(sizes: list[dict]) -> str:
    parts = []
    for checkpointing in (False, True):
        heading = f"{'with' if checkpointing else 'without'} gradient checkpointing: seconds, GB"
        lines = [f"| {heading} | " + " | ".join(f"{atoms} atoms" for atoms in ATOMS) + " |"]
        lines.append("| --- |" + " --- |" * len(ATOMS))
        for batch in BATCHES:
            row = [entry for entry in sizes if (entry["checkpointing"], entry["batch"]) == (checkpointing, batch)]
            cells = [
                f"{entry['seconds']:.2f}, {entry['memory_mb'] / 1024:.2f}" if "seconds" in entry else "no memory"
                for entry in row
            ]
            lines.append(f"| {batch} molecules | {' | '.join(cells)} |")
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def plot_sizes(sizes: list[dict], path: Path) -> None:
    """Plot seconds and memory against the number of atoms, one line per batch size."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    for axis, key, label in zip(axes, ("seconds", "memory_mb"), ("seconds per step", "memory beyond the model's, MB")):
        for batch in BATCHES:
            for checkpointing, style in ((False, "-"), (True, "--")):
                points = [
                    (entry["atoms"], entry[key])
                    for entry in sizes
                    if (entry["batch"], entry["checkpointing"]) == (batch, checkpointing) and key in entry
                ]
                name = f"{batch} molecules{', checkpointed' if checkpointing else ''}"
                axis.plot(*zip(*points), style, marker="o", color=f"C{BATCHES.index(batch)}", label=name)
        axis.set(xscale="log", yscale="log", xlabel="atoms per molecule", ylabel=label)
        axis.set_xticks(ATOMS, [str(atoms) for atoms in ATOMS])
    axes[0].legend(fontsize=7)
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
