"""Choose the weights of the candidates' scores on validation rows.

    python research/experiments/choose_reranking.py runs/captioning/validation --output weights.txt

Reads the `.candidates.parquet` and `.jsonl` files that `geomclip evaluate captioning --num_drafts 1` left at this
place. Of the weights with which at least as many of the stated facts are true as in the nearest captions, the largest
sum of BLEU-2, ROUGE-L and METEOR decides; if there are none, the largest sum of all. The output file has flags for
`geomclip evaluate captioning`, and the table beside it (CSV) the scores of all weights.
"""

import argparse
import json
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd

from geomclip_tools.evaluation.caption_facts import count_facts
from geomclip_tools.evaluation.caption_reranking import TERMS, Weights, choose_candidates
from geomclip_tools.evaluation.metrics.molecule_captioning import MoleculeCaptioning

WEIGHTS = {  # beside 1 for the consensus
    "draft": (0, 0.05, 0.1, 0.2),
    "similarity": (0, 0.05, 0.1, 0.2, 0.4),
    "agreement": (0, 0.01, 0.02, 0.04),
}
DECISIVE = ("bleu_2", "rouge_l", "meteor")
NEAREST = ("nearest by GeomCLIP", "nearest by ECFP4")


def read_candidates(path: Path, system: str) -> tuple[list[list[str]], list[np.ndarray]]:
    table = pd.read_parquet(path)
    rows = [rows for _, rows in table[table["system"] == system].groupby("row", sort=True)]
    return [rows["caption"].tolist() for rows in rows], [rows[list(TERMS)].to_numpy() for rows in rows]


def compute_scores(captions: list[str], references: list[str], tokenizer: str) -> dict[str, float]:
    """Compute the decisive scores.

    Raises:
        ValueError: METEOR lacks its data.
    """
    scores = MoleculeCaptioning().compute(
        predictions=captions, references=references, tokenizer=tokenizer, num_bootstrap=0
    )
    if scores["meteor"] is None:
        raise ValueError(scores["meteor_unavailable"])
    return {key: scores[key] for key in DECISIVE}


def compute_precision(captions: list[str], molecules: list[str]) -> float:
    """Compute the share of the stated facts that are true."""
    facts = count_facts(captions, molecules)
    return float(facts["true"].sum() / facts["stated"].sum())


def choose_best(table: pd.DataFrame, least_precision: float) -> pd.Series:
    """Return the row with the largest total of those that are precise enough, or of all if none is."""
    precise = table[table["fact_precision"] >= least_precision]
    return table.loc[(table if precise.empty else precise)["total"].idxmax()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", type=Path, help="path of the evaluation's results, without suffix")
    parser.add_argument("--tokenizer", default="allenai/scibert_scivocab_uncased", help="folder or Hub id")
    parser.add_argument("--output", type=Path, required=True, help="text file to write")
    given = parser.parse_args()
    lines = Path(f"{given.results}.jsonl").read_text(encoding="utf-8").splitlines()
    rows = pd.DataFrame(json.loads(line) for line in lines)
    references, molecules = rows["reference"].tolist(), rows["smiles"].tolist()
    least = max(compute_precision(rows[system].tolist(), molecules) for system in NEAREST)
    candidates, measured = read_candidates(Path(f"{given.results}.candidates.parquet"), "model")
    found = []
    for values in product(*WEIGHTS.values()):
        weights = dict(zip(WEIGHTS, values, strict=True))
        captions = choose_candidates(candidates, measured, Weights(1.0, *values))
        scores = compute_scores(captions, references, given.tokenizer)
        found.append({**weights, **scores, "fact_precision": compute_precision(captions, molecules)})
    table = pd.DataFrame(found).assign(total=lambda rows: rows[list(DECISIVE)].sum(axis=1))
    table = table.sort_values("total", ascending=False)
    table.round(4).to_csv(given.output.with_suffix(".csv"), index=False)
    print(
        f"fact precision of the nearest captions: at most {least:.4f}", table.head(10).to_string(index=False), sep="\n"
    )
    best = choose_best(table, least)
    given.output.write_text(" ".join(f"--{name}_weight {best[name]}" for name in WEIGHTS) + "\n")


if __name__ == "__main__":
    main()
