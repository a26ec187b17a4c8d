"""Measure whether explanations point at the functional group that a text names.

    python research/experiments/explanations.py --model release/geomclip-mini --dataset my_pairs \\
        --output research/results/explanations.json

For molecules with exactly one carboxylic acid, sulfonamide, nitro group or halogen, the similarity with a text that
names it is explained (`explain`). `hits` is the share of molecules whose atom with the highest contribution is in the
group. It is compared with a random heavy atom (`chance`), and with the same model on random positions
(`random_positions`). A deletion curve is the mean similarity after more and more heavy atoms are masked, those with the
highest contributions first, in comparison with a random order.
"""

import argparse
import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from datasets import Dataset
from rdkit import Chem
from tqdm.auto import tqdm

from dataset_pubchem3d.chemistry.perception import arrange_molecule
from dataset_pubchem3d.pairs import load_pairs
from geomclip_tools.drawing import place_contributions
from geomclip_tools.loading import load_geomclip
from geomclip_tools.records import find_commit, redact_paths
from modeling_geomclip import Explanation, embed_texts
from modeling_geomclip.explanation_geomclip import embed_masked, explain_records

GROUPS = {  # text, and SMARTS of the group with all its heavy atoms
    "a carboxylic acid": "[CX3](=O)[$([OX2H]),$([OX1-])]",
    "a sulfonamide": "[SX4](=O)(=O)[$([NX3]),$([NX2-])]",
    "a nitro compound": "[NX3+](=O)[OX1-]",
    "contains fluorine": "[F;X1]",
    "contains chlorine": "[Cl;X1]",
    "contains bromine": "[Br;X1]",
    "contains iodine": "[I;X1]",
}
MASKED = np.linspace(0, 1, 11)  # shares of the heavy atoms


class Case(NamedTuple):
    """A molecule with one group, and the text that names the group."""

    text: str
    smiles: str
    record: dict[str, np.ndarray]


class Result(NamedTuple):
    """What was measured of a case; the curves are similarities by the shares of `MASKED`."""

    is_hit: bool
    chance: float
    is_hit_at_random_positions: bool
    curve: np.ndarray
    random_curve: np.ndarray


def choose_cases(pairs: Dataset, number: int, seed: int) -> list[Case]:
    """Choose molecules at random that have exactly one group of a kind; a molecule counts once.

    Molecules whose SMILES has other atoms than the geometry, such as a free proton, are left out.
    """
    patterns = {text: Chem.MolFromSmarts(smarts) for text, smarts in GROUPS.items()}
    rng, cases = np.random.default_rng(seed), {}
    for place in rng.permutation(len(pairs)).tolist():
        row = pairs[place]
        mol = Chem.MolFromSmiles(row["smiles"])
        if not has_all_atoms(row):
            continue
        if texts := [text for text, pattern in patterns.items() if len(mol.GetSubstructMatches(pattern)) == 1]:
            record = {name: np.asarray(row[name]) for name in ("atomic_numbers", "positions")}
            cases.setdefault(row["smiles"], Case(str(rng.choice(texts)), row["smiles"], record))
    return [*cases.values()][:number]


def has_all_atoms(row: dict[str, Any]) -> bool:
    """Return whether the bonds of a row's SMILES can be found in its geometry."""
    try:
        arrange_molecule(row["smiles"], row["atomic_numbers"], row["positions"])
    except ValueError:
        return False
    return True


def measure(model: Any, processor: Any, case: Case, rng: np.random.Generator) -> Result:
    """Explain the similarity of a case, and mask its heavy atoms in the order of their contributions."""
    positions = case.record["positions"]
    scattered = {**case.record, "positions": rng.normal(scale=positions.std(axis=0).mean(), size=positions.shape)}
    explanation, of_scattered = explain_records(model, processor, [case.record, scattered], case.text)
    of_scattered = of_scattered._replace(positions=explanation.positions)
    is_hit, chance = find_hit(explanation, case)
    heavy = np.flatnonzero(explanation.atomic_numbers > 1)
    text_embed = embed_texts(model, processor, [case.text])[0]
    curves = []
    for order in (heavy[np.argsort(-explanation.atom_contributions[heavy])], rng.permutation(heavy)):
        is_masked = np.zeros((len(MASKED), len(explanation.atomic_numbers)), bool)
        for row, share in zip(is_masked, MASKED):
            row[order[: round(share * len(order))]] = True
        curves.append((embed_masked(model, processor, [case.record] * len(MASKED), is_masked) @ text_embed).numpy())
    return Result(is_hit, chance, find_hit(of_scattered, case)[0], *curves)


def find_hit(explanation: Explanation, case: Case) -> tuple[bool, float]:
    """Return whether the highest contribution is in the group, and the share of heavy atoms that are in it."""
    mol, contributions = place_contributions(explanation, case.smiles)
    (group,) = mol.GetSubstructMatches(Chem.MolFromSmarts(GROUPS[case.text]))
    return int(np.argmax(contributions)) in group, len(group) / mol.GetNumAtoms()


def summarise(results: list[Result]) -> dict[str, Any]:
    """Return the means over molecules."""
    columns = {name: np.array([getattr(result, name) for result in results], float) for name in Result._fields}
    return {
        "molecules": len(results),
        "hits": columns["is_hit"].mean(),
        "chance": columns["chance"].mean(),
        "hits_at_random_positions": columns["is_hit_at_random_positions"].mean(),
        "deletion_curve": columns["curve"].mean(axis=0).round(4).tolist(),
        "deletion_curve_of_random_order": columns["random_curve"].mean(axis=0).round(4).tolist(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="checkpoint folder or Hub id")
    parser.add_argument("--dataset", required=True, help="folder, Hub id or table with geometries and `smiles`")
    parser.add_argument("--split", default="validation", help="dataset split")
    parser.add_argument("--number", default=200, type=int, help="number of molecules")
    parser.add_argument("--seed", default=0, type=int, help="seed of the choice, the random positions and orders")
    parser.add_argument("--output", required=True, type=Path, help="results file to write (JSON)")
    args = parser.parse_args()
    model, processor = load_geomclip(args.model)
    cases = choose_cases(load_pairs(args.dataset, args.split), args.number, args.seed)
    rng = np.random.default_rng(args.seed)
    results = [measure(model, processor, case, rng) for case in tqdm(cases, desc="explanations")]
    groups = {text: [result for case, result in zip(cases, results) if case.text == text] for text in GROUPS}
    measured = {text: summarise(found) for text, found in {"all": results, **groups}.items() if found}
    record = {
        "settings": redact_paths(vars(args) | {"output": str(args.output)}),
        "git_commit": find_commit(),
        "masked": MASKED.round(2).tolist(),
        **measured,
    }
    args.output.parent.mkdir(parents=True, exist_ok=True)
    args.output.write_text(json.dumps(record, indent=2) + "\n")
    for text, found in measured.items():
        shares = ", ".join(f"{key} {found[key]:.3f}" for key in ("hits", "chance", "hits_at_random_positions"))
        print(f"{text}: {found['molecules']} molecules, {shares}")


if __name__ == "__main__":
    main()
