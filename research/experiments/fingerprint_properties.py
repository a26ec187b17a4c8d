"""Baselines for property prediction: the mean, element counts, and kernel ridge and gradient boosting on ECFP4.

    python research/experiments/fingerprint_properties.py --dataset qm9 --targets homo lumo gap --train_rows 10000 \\
        --output results/fingerprints.json

Regularisation is selected per target on validation rows. The test split is read once.
"""

import sys
from dataclasses import dataclass, field
from itertools import islice

import datasets
import numpy as np
from rdkit import Chem
from sklearn.ensemble import HistGradientBoostingRegressor
from tqdm import tqdm
from transformers import HfArgumentParser

from dataset_pubchem3d.chemistry.elements import list_atomic_numbers
from dataset_pubchem3d.chemistry.fingerprints import FINGERPRINT_SIZE, make_ecfp4
from dataset_pubchem3d.pairs import load_molecules, read_label_units
from geomclip_tools.evaluation.metrics.molecule_property_prediction import MoleculePropertyPrediction
from geomclip_tools.evaluation.property_prediction import format_properties, read_labels
from geomclip_tools.records import write_results
from geomclip_tools.training.sampling import sample_rows
from geomclip_tools.training.tasks.property import element_counts, fit_references
from modeling_geomclip.feature_extraction_geomclip import VOCABULARY

RIDGES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)  # added to the diagonal of the kernel
LEAVES, ROUNDS = (31, 127), 300
BINS = 16  # at least the largest count of an environment, so every count has its own bin


@dataclass(frozen=True)
class FingerprintSettings:
    """The flags of the command."""

    dataset: str = field(metadata={"help": "folder, Hub id or table with smiles and the targets"})
    output: str = field(metadata={"help": "results file to write (JSON)"})
    targets: list[str] = field(metadata={"help": "columns to predict"})
    dataset_config: str | None = field(default=None, metadata={"help": "dataset configuration"})
    split: str = field(default="test", metadata={"help": "dataset split to evaluate"})
    train_rows: int = field(
        default=10_000, metadata={"help": "number of training rows, sampled as in train_accelerate.py"}
    )
    validation_rows: int = field(
        default=2_000, metadata={"help": "number of validation rows, sampled as in train_accelerate.py"}
    )
    num_bits: int = field(default=FINGERPRINT_SIZE, metadata={"help": "length of the fingerprint"})
    seed: int = field(default=0, metadata={"help": "random seed of boosting and of the bootstrap"})


def main() -> None:
    (settings,) = HfArgumentParser(FingerprintSettings).parse_args_into_dataclasses()
    if settings.split in ("train", "validation"):
        raise ValueError(f"--split {settings.split} is used to fit or select models; pass another split, such as test")
    limits = {"train": settings.train_rows, "validation": settings.validation_rows, settings.split: None}
    parts = {split: load_part(settings, split, limit) for split, limit in limits.items()}
    fingerprints = {split: count_environments(rows["smiles"][:], settings.num_bits) for split, rows in parts.items()}
    labels = {split: read_labels(rows, settings.targets) for split, rows in parts.items()}
    if any(np.isnan(values).any() for values in labels.values()):
        raise ValueError("some labels are missing, but kernel ridge fits all targets at once; remove those rows")
    predictions = {
        "mean": np.repeat(labels["train"].mean(axis=0, keepdims=True), len(labels[settings.split]), axis=0),
        "element counts": from_elements(parts, labels, settings),
        "kernel ridge": kernel_ridge(fingerprints, labels, settings.split),
        "gradient boosting": boosting(fingerprints, labels, settings),
    }
    units = [read_label_units(settings.dataset).get(target, "") for target in settings.targets]
    results = {}
    for name, predicted in predictions.items():
        metrics = MoleculePropertyPrediction().compute(
            predictions=predicted,
            references=labels[settings.split],
            targets=settings.targets,
            stds=labels["train"].std(axis=0).tolist(),
            num_bootstrap=200,
            seed=settings.seed,
        )
        results[name] = {"targets": settings.targets, "units": units, "metrics": metrics}
        print(f"\n{name}\n\n{format_properties(results[name])}")
    record = {"task": "fingerprint_properties", "results": results}
    command = ["python", "research/experiments/fingerprint_properties.py", *sys.argv[1:]]
    write_results(settings, parts[settings.split], record, command)


def load_part(settings: FingerprintSettings, split: str, limit: int | None) -> datasets.Dataset:
    rows = load_molecules(settings.dataset, split, settings.dataset_config, [*settings.targets, "smiles"])
    return rows.select(sample_rows(len(rows), limit))


def count_environments(smiles: list[str], num_bits: int) -> np.ndarray:
    """Count the ECFP4 environments of molecules, (molecules, num_bits) float32."""
    generator = make_ecfp4(num_bits)
    rows = [generator.GetCountFingerprintAsNumPy(Chem.MolFromSmiles(text)) for text in tqdm(smiles, desc="ECFP4")]
    return np.stack(rows).astype(np.float32)


def from_elements(parts: dict, labels: dict, settings: FingerprintSettings) -> np.ndarray:
    """Predict from a linear fit to the counts of each element, including hydrogen, (rows, targets)."""
    counts = {name: element_counts(map(list_atoms, parts[name]["smiles"]), len(VOCABULARY)) for name in parts}
    columns = []
    for target, column in zip(settings.targets, labels["train"].T):
        references, mean, _ = fit_references(target, counts["train"], column)
        columns.append(counts[settings.split] @ references + mean)
    return np.stack(columns, axis=1)


def list_atoms(smiles: str) -> list[int]:
    """List the atomic numbers, including hydrogens."""
    return list_atomic_numbers(Chem.AddHs(Chem.MolFromSmiles(smiles)))


def tanimoto(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Compute the Tanimoto similarity of counts, a·b / (|a|² + |b|² - a·b), as (left, right)."""
    shared = left @ right.T
    return shared / ((left**2).sum(axis=1)[:, None] + (right**2).sum(axis=1)[None] - shared)


def kernel_ridge(fingerprints: dict, labels: dict, split: str) -> np.ndarray:
    """Predict with kernel ridge on the Tanimoto kernel, (rows, targets); validation selects the regularisation."""
    means, stds = labels["train"].mean(axis=0), labels["train"].std(axis=0)
    targets = (labels["train"] - means) / stds
    values, vectors = np.linalg.eigh(tanimoto(fingerprints["train"], fingerprints["train"]).astype(np.float64))
    kernels = {name: tanimoto(fingerprints[name], fingerprints["train"]) @ vectors for name in ("validation", split)}
    found = {name: [] for name in kernels}
    for ridge in RIDGES:
        weights = (vectors.T @ targets) / (values + ridge)[:, None]
        for name, kernel in kernels.items():
            found[name].append(kernel @ weights * stds + means)
    errors = np.abs(np.stack(found["validation"]) - labels["validation"]).mean(axis=1)
    best = errors.argmin(axis=0)
    print("kernel ridge, selected:", [RIDGES[index] for index in best])
    return np.stack([found[split][index][:, column] for column, index in enumerate(best)], axis=1)


def boosting(fingerprints: dict, labels: dict, settings: FingerprintSettings) -> np.ndarray:
    """Predict with histogram gradient boosting, one model per target, (rows, targets).

    Validation selects the number of leaves and of rounds.
    """
    columns = []
    for column, target in enumerate(tqdm(settings.targets, desc="boosting")):
        trials = []
        for leaves in LEAVES:
            model = HistGradientBoostingRegressor(
                learning_rate=0.1, max_iter=ROUNDS, max_leaf_nodes=leaves, max_bins=BINS, random_state=settings.seed
            ).fit(fingerprints["train"], labels["train"][:, column])
            for rounds, predicted in enumerate(model.staged_predict(fingerprints["validation"]), start=1):
                trials.append((np.abs(predicted - labels["validation"][:, column]).mean(), leaves, rounds, model))
        _, leaves, rounds, model = min(trials, key=lambda trial: trial[0])
        print(f"boosting, selected for {target}: {leaves} leaves, {rounds} rounds")
        columns.append(next(islice(model.staged_predict(fingerprints[settings.split]), rounds - 1, None)))
    return np.stack(columns, axis=1)


if __name__ == "__main__":
    main()
