"""Compare encoding throughput, from atoms and coordinates in memory to embeddings, with Uni-Mol's own UniMolRepr.

    python research/benchmarks/encode.py pairs.parquet --output research/results/performance/encode.json

Both have the same random weights at full size. Every measurement runs in its own process, the encoders alternate, and
ratios are within one round. Outputs are compared too: the [CLS] states of UniMolRepr, after the same projection, should
equal GeomCLIP's embeddings. Needs `pip install --no-deps unimol_tools` and `pip install addict omegaconf`.
"""

import argparse
import json
import multiprocessing
import os
import resource
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from machine import describe_machine, gemm_rate
from tqdm import tqdm
from transformers import BertConfig

from dataset_pubchem3d.pairs import get_molecule_input, load_molecules
from geomclip_tools.precision import choose_precision
from modeling_geomclip import (
    GeomCLIPConfig,
    GeomCLIPFeatureExtractor,
    GeomCLIPGeometryConfig,
    GeomCLIPGeometryForPreTraining,
    GeomCLIPModel,
    MoleculeError,
    embed_molecules,
    read_molecule,
)
from modeling_geomclip.convert_geomclip import UNIMOL_TOOLS, reorder_symbols, to_unimol
from modeling_geomclip.feature_extraction_geomclip import ELEMENTS, VOCABULARY

WARM_UP = 64  # molecules spread over the set, not timed
PEER = "UniMolRepr"
OURS = {"GeomCLIP, float32": None}  # name: autocast dtype
if choose_precision() == "bf16":  # other hardware emulates bfloat16 and is many times slower
    OURS["GeomCLIP, bfloat16"] = torch.bfloat16


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "table", help="table, folder or Hub id of molecules with geometries, or with SMILES for RDKit conformers"
    )
    parser.add_argument("--split", default="train", help="split of a folder or Hub dataset")
    parser.add_argument("--rows", type=int, default=600, help="number of rows, from the first")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads")
    parser.add_argument("--rounds", type=int, default=3, help="measurements of each encoder")
    parser.add_argument("--output", type=Path, help="results file to write (JSON)")
    args = parser.parse_args()
    molecules = read_rows(args)
    with tempfile.TemporaryDirectory() as folder:
        make_models(Path(folder))
        torch.save(molecules, Path(folder) / "molecules.pt")
        rounds = [turn(Path(folder), args.threads) for _ in range(args.rounds)]
    results = {
        "machine": describe_machine(),
        "threads": args.threads,
        "num_molecules": len(molecules),
        "rounds": rounds,
    }
    print(format_rounds(rounds))
    if args.output:
        args.output.parent.mkdir(parents=True, exist_ok=True)
        args.output.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


def read_rows(args: argparse.Namespace) -> list[dict[str, torch.Tensor]]:
    """Read the molecules with all atoms, and print how many rows cannot be read."""
    rows = load_molecules(args.table, f"{args.split}[:{args.rows}]", None, ())
    with multiprocessing.Pool(args.threads) as pool:
        read = list(tqdm(pool.imap(read_or_none, map(get_molecule_input, rows)), total=len(rows), desc="reading"))
    molecules = [molecule for molecule in read if molecule is not None]
    print(f"{len(molecules)} molecules; {len(read) - len(molecules)} of {len(read)} rows cannot be read")
    return molecules


def read_or_none(molecule: dict | str) -> dict[str, torch.Tensor] | None:
    try:
        # UniMolRepr would encode a random subset of 256 atoms of a larger molecule.
        read_molecule(molecule, remove_hydrogens=True, max_atoms=256)
        return {name: torch.from_numpy(values) for name, values in read_molecule(molecule).items()}
    except MoleculeError:
        return None


def make_models(folder: Path) -> None:
    """Save a tower with random weights in the formats of both encoders."""
    torch.manual_seed(0)
    geometry = GeomCLIPGeometryConfig(initializer_range=0.05)  # large enough for embeddings to differ
    text = BertConfig(vocab_size=64, hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32)
    config = {"geometry_config": geometry.to_dict(), "text_config": text.to_dict(), "geometry_pooling": "cls"}
    model = GeomCLIPModel(GeomCLIPConfig(**config))
    model.save_pretrained(folder / "geomclip")
    GeomCLIPFeatureExtractor().save_pretrained(folder / "geomclip")
    with_heads = GeomCLIPGeometryForPreTraining(model.config.geometry_config, model.geometry_model)
    weights = reorder_symbols(to_unimol(with_heads), VOCABULARY, UNIMOL_TOOLS)
    torch.save({"model": weights}, folder / "checkpoint.pt")
    (folder / "dict.txt").write_text("".join(f"{symbol} 1\n" for symbol in VOCABULARY if symbol != "[MASK]"))


def turn(folder: Path, threads: int) -> dict:
    """Measure every encoder once, and compute the ratios."""
    figures, embeds = {}, {}
    for name in (*OURS, PEER):
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            figures[name], embeds[name] = pool.apply(measure, (name, folder, threads))
        print(name, {key: round(value, 3) for key, value in figures[name].items()}, flush=True)
    theirs = embeds[PEER]
    for name in OURS:
        speed, peer = figures[name]["molecules_per_second"], figures[PEER]["molecules_per_second"]
        figures[name]["ratio"] = speed / peer
        figures[name]["largest_difference"] = float(np.abs(embeds[name] - theirs).max())
        figures[name]["smallest_cosine"] = float((embeds[name] * theirs).sum(axis=1).min())
    return figures


def measure(name: str, folder: Path, threads: int) -> tuple[dict, np.ndarray]:
    """Measure one encoder in its own process; return the measurements and the embeddings."""
    torch.set_num_threads(threads)
    os.chdir(folder)  # unimol_tools writes a log into the working directory
    molecules = [
        {key: values.numpy() for key, values in molecule.items()}
        for molecule in torch.load(folder / "molecules.pt", weights_only=True)
    ]
    dtype = OURS.get(name)
    encode = unimol_repr(folder) if name == PEER else geomclip(folder, dtype)
    encode(molecules[:: max(1, len(molecules) // WARM_UP)])
    rate = gemm_rate(dtype or torch.float32)
    start = time.perf_counter()
    vectors = encode(molecules)
    seconds = time.perf_counter() - start
    rate = (rate + gemm_rate(dtype or torch.float32)) / 2
    peak_memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    model, extractor = load_geomclip(folder)
    if name == PEER:
        with torch.no_grad():
            projected = model.geometry_projection(model.geometry_layer_norm(vectors))
            vectors = torch.nn.functional.normalize(projected, dim=-1)
    records, _ = extractor.read(molecules)
    num_rows = [len(record["atomic_numbers"]) + 2 for record in records]
    figures = {
        "seconds": seconds,
        "molecules_per_second": len(molecules) / seconds,
        "gemm_gflops": rate / 1e9,
        "share_of_gemm_rate": tower_flops(model.config.geometry_config, num_rows, name != PEER) / seconds / rate,
        "peak_memory_mb": peak_memory,
    }
    return figures, vectors.double().numpy()


def load_geomclip(folder: Path) -> tuple[GeomCLIPModel, GeomCLIPFeatureExtractor]:
    model = GeomCLIPModel.from_pretrained(folder / "geomclip").eval()
    return model, GeomCLIPFeatureExtractor.from_pretrained(folder / "geomclip")


def geomclip(folder: Path, dtype: torch.dtype | None) -> Callable[[list[dict]], torch.Tensor]:
    model, extractor = load_geomclip(folder)
    return lambda molecules: embed_molecules(model, extractor, molecules, dtype=dtype)


def unimol_repr(folder: Path) -> Callable[[list[dict]], torch.Tensor]:
    """Build UniMolRepr through its public interface, with our weights."""
    from unimol_tools.predictor import UniMolRepr

    peer = UniMolRepr(
        remove_hs=True,
        use_cuda=False,
        pretrained_model_path=str(folder / "checkpoint.pt"),
        pretrained_dict_path=str(folder / "dict.txt"),
    )

    def encode(molecules: list[dict]) -> torch.Tensor:
        atoms = [[ELEMENTS[number - 1] for number in molecule["atomic_numbers"]] for molecule in molecules]
        coordinates = [molecule["positions"] for molecule in molecules]
        return peer.get_repr({"atoms": atoms, "coordinates": coordinates}, return_tensor=True)

    return encode


def tower_flops(config: GeomCLIPGeometryConfig, num_rows: list[int], cls_only: bool) -> float:
    """Count the operations of the matrix products of all rows ([CLS], atoms, [SEP]) and pairs of rows, without padding.

    Args:
        config: configuration of the tower.
        num_rows: rows of each molecule.
        cls_only: whether the last layer computes the other rows only as keys and values of [CLS].
    """
    hidden, inner, gaussians = config.hidden_size, config.intermediate_size, config.num_gaussians
    layers, of_projection, of_attention = config.num_hidden_layers, 6 * hidden**2, 4 * hidden
    rest_of_row = 2 * (hidden**2 + 2 * hidden * inner)  # per layer, after the attention
    of_row = layers * (of_projection + rest_of_row)
    of_pair = layers * of_attention + 2 * gaussians * (gaussians + config.num_attention_heads)
    flops = sum(of_row * rows + of_pair * rows**2 for rows in num_rows)
    if cls_only:
        flops -= sum((rows - 1) * (rest_of_row + of_attention * rows) for rows in num_rows)
    return flops


def format_rounds(rounds: list[dict]) -> str:
    """Format a table of medians and the ratio of every round."""
    lines = ["| | molecules/s | share of GEMM rate | peak memory, MB |", "| --- | --- | --- | --- |"]
    for name in (*OURS, PEER):
        keys = ("molecules_per_second", "share_of_gemm_rate", "peak_memory_mb")
        speed, share, memory = (statistics.median(figures[name][key] for figures in rounds) for key in keys)
        lines.append(f"| {name} | {speed:.1f} | {share:.0%} | {memory:.0f} |")
    for name in OURS:
        ratios = ", ".join(f"{figures[name]['ratio']:.2f}" for figures in rounds)
        difference = max(figures[name]["largest_difference"] for figures in rounds)
        lines.append(f"\n{name}: {ratios} times as fast as {PEER}; embeddings differ by {difference:.1e} at most")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
