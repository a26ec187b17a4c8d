"""List the retrieval errors of texts on validation: the wrong molecules that rank first.

    python research/experiments/retrieval_errors.py --model geomclip --dataset pairs --output errors.csv

For every text whose molecule does not rank first, list the rank of the correct molecule and compare it with the
molecule that ranks first: Tanimoto similarity of their ECFP4, difference of their numbers of heavy atoms, and formulas.
The script prints a summary and writes all errors.
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from datasets import Dataset
from rdkit import Chem, DataStructs
from rdkit.Chem.rdMolDescriptors import CalcMolFormula

from dataset_pubchem3d.chemistry.fingerprints import make_ecfp4
from dataset_pubchem3d.pairs import find_first_block, load_pairs
from geomclip_tools.loading import load_geomclip
from modeling_geomclip import embed_molecules, embed_texts

UNLIKE = 0.3  # Tanimoto similarity
FAR = 10  # heavy atoms


def list_errors(scores: np.ndarray, pairs: Dataset) -> pd.DataFrame:
    """Return a row for each text whose molecule does not rank first.

    Args:
        scores: (texts, molecules); row i and column i form a pair.
        pairs: rows with `text` and `smiles`.
    """
    mols = [Chem.MolFromSmiles(smiles) for smiles in pairs["smiles"]]
    fingerprints = [make_ecfp4().GetFingerprint(mol) for mol in mols]
    blocks, texts, rows = [find_first_block(row) for row in pairs], list(pairs["text"]), []
    for right, first in enumerate(scores.argmax(axis=1).tolist()):
        if blocks[first] == blocks[right] or texts[first] == texts[right]:
            continue
        rows.append(
            {
                "rank": int((scores[right] > scores[right, right]).sum()) + 1,
                "similarity": DataStructs.TanimotoSimilarity(fingerprints[right], fingerprints[first]),
                "more_heavy_atoms": mols[first].GetNumHeavyAtoms() - mols[right].GetNumHeavyAtoms(),
                "formula": CalcMolFormula(mols[right]),
                "formula_first": CalcMolFormula(mols[first]),
                "smiles": pairs[right]["smiles"],
                "smiles_first": pairs[first]["smiles"],
                "text": texts[right],
            }
        )
    return pd.DataFrame(rows)


def summarise(errors: pd.DataFrame, num_pairs: int) -> str:
    """Summarise the errors as a Markdown table."""
    figures = {
        "texts": num_pairs,
        "whose molecule is not first": len(errors),
        "median rank of these": errors["rank"].median(),
        "median similarity of the molecule that is first": f"{errors['similarity'].median():.2f}",
        f"similarity below {UNLIKE}, %": f"{100 * (errors['similarity'] < UNLIKE).mean():.0f}",
        f"more than {FAR} heavy atoms apart, %": f"{100 * (errors['more_heavy_atoms'].abs() > FAR).mean():.0f}",
        "of the same formula, %": f"{100 * (errors['formula'] == errors['formula_first']).mean():.0f}",
    }
    return "\n".join(["| | |", "| --- | --- |", *(f"| {name} | {figure} |" for name, figure in figures.items())])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="checkpoint folder or Hub id")
    parser.add_argument("--dataset", required=True, help="folder, Hub id or table with `text` and `smiles`")
    parser.add_argument("--split", default="validation", help="dataset split")
    parser.add_argument("--output", required=True, type=Path, help="CSV file to write")
    args = parser.parse_args()
    pairs = load_pairs(args.dataset, args.split)
    model, processor = load_geomclip(args.model)
    scores = embed_texts(model, processor, pairs["text"]) @ embed_molecules(model, processor, pairs).T
    errors = list_errors(scores.numpy(), pairs)
    args.output.parent.mkdir(parents=True, exist_ok=True)
    errors.to_csv(args.output, index=False)
    print(summarise(errors, len(pairs)))


if __name__ == "__main__":
    main()
