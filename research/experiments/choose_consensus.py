"""Choose the number of neighbours and the temperature of the consensus of captions on validation rows.

    python research/experiments/choose_consensus.py PAIRS --geomclip release/geomclip-mini --output consensus.csv

Each row gets the caption of its `number` nearest training molecules that has the highest consensus with theirs, as in
`geomclip_tools.evaluation.caption_consensus`. The sum of BLEU-2, ROUGE-L and METEOR of these captions decides. One
neighbour is the nearest caption. No language model takes part.
"""

import argparse
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
from choose_reranking import DECISIVE, compute_scores
from tqdm import tqdm

from dataset_pubchem3d.pairs import load_molecules
from geomclip_tools.evaluation.caption_consensus import measure_overlaps
from geomclip_tools.evaluation.captioning import find_neighbours, keep_readable
from geomclip_tools.loading import load_geomclip
from modeling_geomclip import embed_molecules
from modeling_geomclip.references_geomclip import hash_geometry_side

NUMBERS = (5, 10, 20, 30, 50)
TEMPERATURES = (0.03, 0.05, 0.1, 0.2, float("inf"))


def choose(overlaps: np.ndarray, cosines: np.ndarray, number: int, temperature: float) -> int:
    """Return the place of the caption with the highest consensus among the first `number`."""
    chances = np.exp((cosines[:number] - cosines[0]) / temperature)
    return int(np.argmax(overlaps[:number, :number] @ chances))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("dataset", help="folder or Hub id of pairs")
    parser.add_argument("--dataset_config", default="captioning")
    parser.add_argument("--geomclip", required=True, help="folder or Hub id")
    parser.add_argument("--tokenizer", default="allenai/scibert_scivocab_uncased", help="folder or Hub id")
    parser.add_argument("--output", type=Path, required=True, help="table to write (CSV)")
    given = parser.parse_args()
    model, processor = load_geomclip(given.geomclip)
    training, rows = (
        keep_readable(processor, load_molecules(given.dataset, split, given.dataset_config, ("text", "smiles")))[0]
        for split in ("train", "validation")
    )
    known, queries = (embed_molecules(model, processor, list(part)) for part in (training, rows))
    neighbours = find_neighbours(queries, rows, known, training, hash_geometry_side(model), max(NUMBERS))
    captions = [[neighbour.caption for neighbour in near] for near in neighbours]
    cosines = [np.array([neighbour.similarity for neighbour in near]) for near in neighbours]
    overlaps = [measure_overlaps(texts, texts) for texts in tqdm(captions, desc="overlaps")]
    found = []
    for number, temperature in tqdm([(1, 1.0), *product(NUMBERS, TEMPERATURES)], desc="settings"):
        places = [choose(*pair, number, temperature) for pair in zip(overlaps, cosines, strict=True)]
        chosen = [texts[place] for texts, place in zip(captions, places, strict=True)]
        scores = compute_scores(chosen, rows["text"][:], given.tokenizer)
        found.append({"number": number, "temperature": temperature, **scores})
    table = pd.DataFrame(found).assign(total=lambda rows: rows[list(DECISIVE)].sum(axis=1))
    print(table.sort_values("total", ascending=False).to_string(index=False))
    given.output.parent.mkdir(parents=True, exist_ok=True)
    table.to_csv(given.output, index=False)


if __name__ == "__main__":
    main()
