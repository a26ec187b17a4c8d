"""Measure on validation how often a text prefers its molecule to the mirror image.

    python research/experiments/enantiomers.py --model geomclip --dataset pairs

The script selects the pairs with a chiral molecule and mirrors each geometry. It counts how often the text is more
similar to the geometry than to its mirror image, among all these pairs and among those whose text has a
stereodescriptor. Chance is 50 %. A tower that reads only distances cannot distinguish the two; ties count as half.
"""

import argparse
import re

import numpy as np
from datasets import Dataset
from rdkit import Chem

from dataset_pubchem3d.pairs import load_pairs
from geomclip_tools.evaluation.bootstrap import interval, resample_ratio
from geomclip_tools.loading import load_geomclip
from modeling_geomclip import embed_molecules, embed_texts

TIE = 1e-5  # rounding error of the difference of two cosine similarities
STEREODESCRIPTOR = re.compile(
    r"\((?:\d*[RS][,)]|[+-]\))|\b(?:\d+[RS],)+\d+[RS]\b|\b[DL]-|\b[RS]-(?:enantiomer|configuration)"
)


def is_chiral(smiles: str) -> bool:
    """Return whether the molecule differs from its mirror image, by the stereocentres that the SMILES defines."""
    mol = Chem.MolFromSmiles(smiles)
    mirrored = Chem.Mol(mol)
    for atom in mirrored.GetAtoms():
        atom.InvertChirality()
    return Chem.MolToSmiles(mol) != Chem.CanonSmiles(Chem.MolToSmiles(mirrored))


def mirror(pairs: Dataset) -> list[dict]:
    """Mirror the geometries at the origin."""
    return [
        {"atomic_numbers": row["atomic_numbers"], "positions": -np.asarray(row["positions"])}
        for row in pairs.select_columns(["atomic_numbers", "positions"])
    ]


def score_preference(right: np.ndarray, mirrored: np.ndarray) -> np.ndarray:
    """Return 1 if the correct geometry is more similar to the text, 0 if its mirror image is, and 0.5 for a tie.

    Args:
        right, mirrored: (pairs,) cosine similarities with the text.
    """
    difference = right - mirrored
    return np.where(np.abs(difference) <= TIE, 0.5, difference > 0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="checkpoint folder or Hub id")
    parser.add_argument("--dataset", required=True, help="folder, Hub id or table with geometries, `text` and `smiles`")
    parser.add_argument("--dataset_config", help="dataset configuration")
    parser.add_argument("--split", default="validation", help="dataset split")
    args = parser.parse_args()
    pairs = load_pairs(args.dataset, args.split, args.dataset_config)
    pairs = pairs.select([row for row, smiles in enumerate(pairs["smiles"]) if is_chiral(smiles)])
    model, processor = load_geomclip(args.model)
    texts = embed_texts(model, processor, pairs["text"])
    similarities = [(texts * embed_molecules(model, processor, mols)).sum(dim=1) for mols in (pairs, mirror(pairs))]
    scores = score_preference(*(values.numpy() for values in similarities))
    has_descriptor = np.array([bool(STEREODESCRIPTOR.search(text)) for text in pairs["text"]])
    print("| chiral molecules | pairs | prefer the molecule, % | ties, % |\n| --- | --- | --- | --- |")
    for name, chosen in (("all", np.ones(len(pairs), bool)), ("text with a stereodescriptor", has_descriptor)):
        if chosen.any():
            value, low, high = (100 * number for number in interval(resample_ratio(scores[chosen])))
            ties = 100 * (scores[chosen] == 0.5).mean()
            print(f"| {name} | {chosen.sum()} | {value:.1f} [{low:.1f}, {high:.1f}] | {ties:.1f} |")


if __name__ == "__main__":
    main()
