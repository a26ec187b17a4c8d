"""Does a text find its molecule, and a molecule its text, among molecules that the checkpoint has not seen?

    python eval/retrieval.py --model geomclip --dataset pubchem3d --split test --output results/retrieval.json

Prints a table and writes it, with all that is needed to repeat it, as JSON.
"""

import hashlib
import importlib.metadata
import json
import shlex
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import datasets
import evaluate
import numpy as np
import pandas as pd
import torch
from torch import Tensor
from transformers import AutoModel, AutoProcessor, HfArgumentParser

if not __package__:  # run as a script: the clone is not on the path
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from dataset_pubchem3d.pairs import first_block, load_molecules
from eval.conformers import COORDINATES_HELP, NUM_CONFORMERS_HELP, Record, check_coordinates, over_conformers
from modeling_geomclip import embed_molecules, embed_texts

ROOT = Path(__file__).resolve().parents[1]
METRIC = ROOT / "eval" / "metrics" / "molecule_text_retrieval"
SCOPES = {
    "geometry_to_text_full": "geometry -> text, full set",
    "geometry_to_text_pool": "geometry -> text, random pools",
    "text_to_geometry_full": "text -> geometry, full set",
    "text_to_geometry_pool": "text -> geometry, random pools",
}
COLUMNS = {
    "recall_at_1": "R@1 %",
    "recall_at_5": "R@5 %",
    "recall_at_20": "R@20 %",
    "mean_reciprocal_rank": "MRR %",
    "median_rank": "median rank",
}
PAIR_BUDGET_HELP = "molecules * rows² that are encoded at once; changes speed and memory only"
RANKS_HELP = "CSV file to write: each row's molecule, and the rank of its first hit in every table"
PACKAGES = ("torch", "transformers", "datasets", "evaluate", "numpy", "rdkit")


@dataclass(frozen=True)
class RetrievalSettings:
    """What to evaluate; the fields are the command's flags."""

    model: str = field(metadata={"help": "checkpoint folder or Hub id"})
    dataset: str = field(metadata={"help": "folder, Hub id or table of pairs; a file has the one split train"})
    output: str = field(metadata={"help": "results file to write (JSON)"})
    ranks: str | None = field(default=None, metadata={"help": RANKS_HELP})
    dataset_config: str | None = field(default=None, metadata={"help": "config of the data set, such as captioning"})
    split: str = field(default="test", metadata={"help": "split of the data set"})
    coordinates: str = field(default="given", metadata={"help": COORDINATES_HELP})
    num_conformers: int = field(default=1, metadata={"help": NUM_CONFORMERS_HELP})
    pair_budget: int | None = field(default=None, metadata={"help": PAIR_BUDGET_HELP})
    seed: int = field(default=0, metadata={"help": "of pools, bootstrap and random positions"})
    num_bootstrap: int = field(default=1000, metadata={"help": "resamples for the intervals"})

    def __post_init__(self):
        check_coordinates(self.coordinates, self.num_conformers)


def main() -> None:
    settings = HfArgumentParser(RetrievalSettings).parse_args_into_dataclasses()[0]
    needed = ["text", *(["smiles"] if settings.coordinates == "rdkit" else [])]
    pairs = load_molecules(settings.dataset, settings.split, settings.dataset_config, needed)
    model, processor = load_checkpoint(settings.model)
    evaluation = evaluate_retrieval(
        model,
        processor,
        pairs,
        settings.pair_budget,
        settings.seed,
        settings.num_bootstrap,
        with_random_positions=settings.coordinates == "given",
        coordinates=settings.coordinates,
        num_conformers=settings.num_conformers,
    )
    print(format_table(evaluation["metrics"]))
    print_failures(evaluation["failures"])
    write_ranks(evaluation.pop("ranks")["model"], settings.ranks)
    write_results(settings, pairs, {"task": "retrieval", **evaluation})


def load_checkpoint(path: str, dtype: torch.dtype | str = torch.float32) -> tuple[Any, Any]:
    """Model in evaluation mode on the accelerator, if there is one, and its processor.

    Args:
        dtype: of the weights, however they are stored; "auto" for that in which they are.
    """
    device = torch.accelerator.current_accelerator(check_available=True) or torch.device("cpu")
    return AutoModel.from_pretrained(path, dtype=dtype).to(device).eval(), AutoProcessor.from_pretrained(path)


def evaluate_retrieval(
    model: Any,
    processor: Any,
    pairs: datasets.Dataset,
    pair_budget: int | None = None,
    seed: int = 0,
    num_bootstrap: int = 1000,
    with_random_positions: bool = False,
    coordinates: str = "given",
    num_conformers: int = 1,
    encode_texts: Callable[[Any, Any, list[str]], Tensor] = embed_texts,
) -> dict[str, Any]:
    """Retrieval of a model and, as a control, of the same model on random positions.

    Args:
        model: a `GeomCLIPModel`; its training mode is kept.
        pairs: rows with `text` and a molecule, as `dataset_pubchem3d.pairs.load_pairs` returns them.
        num_bootstrap: 0 leaves the intervals out.
        with_random_positions: needs coordinates that are given.
        coordinates, num_conformers: as for `over_conformers`; embeddings are averaged.
        encode_texts: of model, processor and texts makes (texts, projection_dim) embeddings.
    Returns:
        `metrics`, `ranks`: as `score_retrieval` gives them; `num_rows` that were evaluated; `failures`: [{"row",
        "reason"}] of the molecules that the processor refused, which are not among them.
    Errors: ValueError on a row without text, or when no molecule is left.
    """
    if empty := [row for row, text in enumerate(pairs["text"]) if not (text and text.strip())]:
        raise ValueError(f"{len(empty)} rows have no text, first row {empty[0]}; filter them out or fill them")

    def embed(records: list[Record]) -> np.ndarray:
        return embed_molecules(model, processor, records, pair_budget).numpy()

    def embed_all(records: list[Record]) -> np.ndarray:
        controls = [embed(randomise_positions(records, seed))] if with_random_positions else []
        return np.hstack([embed(records), *controls])

    embeds, kept, failures = over_conformers(embed_all, processor, pairs, coordinates, num_conformers)
    names = ["model", *(["random positions"] if with_random_positions else [])]
    geometry_embeds = {
        name: part / np.linalg.norm(part, axis=1, keepdims=True)  # a mean is shorter than 1
        for name, part in zip(names, np.split(embeds, len(names), axis=1), strict=True)
    }
    pairs = pairs.select(kept)
    text_embeds = encode_texts(model, processor, list(pairs["text"])).numpy()
    metrics, ranks = score_retrieval(pairs, text_embeds, geometry_embeds, seed, num_bootstrap)
    return {"metrics": metrics, "ranks": ranks, "num_rows": len(kept), "failures": failures}


def score_retrieval(
    pairs: datasets.Dataset,
    text_embeds: np.ndarray,
    geometry_embeds: dict[str, np.ndarray],
    seed: int,
    num_bootstrap: int,
) -> tuple[dict[str, dict[str, float]], dict[str, dict[str, list]]]:
    """How embeddings of texts and of geometries (pairs, projection_dim) find each other, for every set of the latter.

    Returns:
        flat metrics of `molecule_text_retrieval`, and columns with a value for each pair: `molecule`, the first block
        of its InChIKey, and its ranks by `SCOPES`.
    """
    texts, molecules = list(pairs["text"]), [first_block(row) for row in pairs]
    metric = evaluate.load(str(METRIC))
    shared = {"molecule_ids": molecules, "text_ids": texts, "seed": seed, "return_ranks": True}
    shared |= {"references": text_embeds, "num_bootstrap": num_bootstrap}
    metrics = {name: metric.compute(predictions=embeds, **shared) for name, embeds in geometry_embeds.items()}
    ranks = {
        name: {"molecule": molecules} | {scope: values.pop(f"{scope}_ranks") for scope in SCOPES}
        for name, values in metrics.items()
    }
    return metrics, ranks


def randomise_positions(records: list[Record], seed: int) -> list[Record]:
    """Every atom at an isotropic Gaussian place: composition stays, geometry goes.

    One spread serves the whole set, the root mean square distance per axis of its atoms from their molecule's centre,
    so that not even a molecule's extent is left. A row's draw depends on the seed and the row alone.
    """
    centred = [record["positions"] - record["positions"].mean(axis=0) for record in records]
    spread = np.sqrt(np.square(np.concatenate(centred)).mean())
    randoms = [np.random.default_rng([seed, record["index"]]) for record in records]
    return [
        record | {"positions": spread * random.standard_normal(record["positions"].shape)}
        for record, random in zip(records, randoms, strict=True)
    ]


def format_table(metrics: dict[str, dict[str, float]]) -> str:
    """Markdown tables of {row name: flat metrics}, the model first and its controls after it, and a verdict on each."""
    model_row, *controls = metrics
    model = metrics[model_row]
    parts = []
    for scope, title in SCOPES.items():
        size = int(model["pool_size" if scope.endswith("pool") else "num_rows"])
        lines = [[f"{title} of {size}", *COLUMNS.values()], ["---"] * (1 + len(COLUMNS))]
        lines += [
            [name, *(_cell(values, f"{scope}_{column}") for column in COLUMNS)] for name, values in metrics.items()
        ]
        lines += [
            [bound, *(_number(column, model[f"{scope}_{column}_{bound}"]) for column in COLUMNS)]
            for bound in ("chance", "ceiling")
        ]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        rows = [" | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in lines]
        parts.append("\n".join(f"| {row} |" for row in rows))
    return "\n\n".join(parts + [_verdict(model_row, model, control, metrics[control]) for control in controls])


def _number(key: str, value: float) -> str:
    return f"{value:.1f}" if "median_rank" in key else f"{100 * value:.1f}"


def _cell(values: dict[str, float], key: str) -> str:
    interval = [_number(key, values[f"{key}_{end}"]) for end in ("low", "high") if f"{key}_{end}" in values]
    return _number(key, values[key]) + (f" [{', '.join(interval)}]" if interval else "")


def _verdict(model_row: str, model: dict[str, float], control_row: str, control: dict[str, float]) -> str:
    lost = {scope: [] for scope in SCOPES}
    for scope in SCOPES:
        for column, label in COLUMNS.items():
            gain = model[f"{scope}_{column}"] - control[f"{scope}_{column}"]
            if (-gain if column == "median_rank" else gain) <= 0:
                lost[scope].append(label)
    total, count = len(SCOPES) * len(COLUMNS), sum(map(len, lost.values()))
    if count == 0:
        return f"The row '{model_row}' beats '{control_row}' in all {total} columns."
    details = [f"- {SCOPES[scope]}: {', '.join(labels)}" for scope, labels in lost.items() if labels]
    return "\n".join([f"The row '{model_row}' does NOT beat '{control_row}' in {count} of {total} columns:", *details])


def print_failures(failures: list[dict[str, Any]]) -> None:
    for reason, count in Counter(failure["reason"] for failure in failures).most_common():
        print(f"not evaluated: {count} molecules: {reason}")


def write_ranks(ranks: dict[str, list], path: str | None) -> None:
    if path:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        pd.DataFrame(ranks).to_csv(path, index=False)


def write_results(settings: Any, pairs: datasets.Dataset, results: dict[str, Any], script: str | None = None) -> None:
    """JSON at `settings.output`: the results, the settings, and what they were computed from and with.

    Args:
        script: that was run, from the root of the repository; left out, the one in eval/ that the task names.
    """
    record = {
        **results,
        "settings": {name: without_folder(value) for name, value in asdict(settings).items()},
        "data_sha256": digest(pairs),
        "git_commit": git_commit(),
        "versions": {"python": sys.version.split()[0]} | {name: importlib.metadata.version(name) for name in PACKAGES},
        "command": shlex.join(["python", script or f"eval/{results['task']}.py", *map(without_folder, sys.argv[1:])]),
    }
    output = Path(settings.output)
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps(record, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def without_folder(value: Any) -> Any:
    """An absolute path tells of one machine only, so of such a path the last part is kept."""
    if isinstance(value, list):
        return [without_folder(item) for item in value]
    if not isinstance(value, str):
        return value
    name, equals, path = value.rpartition("=")  # as in --output=/folder/file
    return f"{name}{equals}{Path(path).name}" if Path(path).is_absolute() else value


def digest(pairs: datasets.Dataset) -> str:
    """SHA-256 over all columns of all rows: equal for equal data, wherever it was loaded from."""
    sha = hashlib.sha256()
    for row in pairs:
        sha.update(json.dumps(row, sort_keys=True, default=str).encode())
    return sha.hexdigest()


def git_commit() -> str | None:
    """Commit of this clone, marked when tracked files differ from it; None outside a clone."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return result.stdout.strip() or None


if __name__ == "__main__":
    main()
