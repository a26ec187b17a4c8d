"""Choose the weights of the candidates' scores on validation rows.

    python research/experiments/choose_reranking.py runs/captioning/validation --output weights.txt

Reads the `.candidates.parquet` and `.jsonl` files that `geomclip evaluate captioning --num_drafts 1` left at this
place. The sum of BLEU-2, ROUGE-L and METEOR of the model's captions decides. The output file has flags for
`geomclip evaluate captioning`.
"""

import argparse
import json
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd

from geomclip_tools.evaluation.caption_reranking import TERMS, Weights, choose_candidates
from geomclip_tools.evaluation.metrics.molecule_captioning import MoleculeCaptioning

WEIGHTS = {  # beside 1 for the consensus
    "draft": (0, 0.05, 0.1, 0.15, 0.2, 0.3),
    "similarity": (0, 0.05, 0.1, 0.2),
    "agreement": (0, 0.005, 0.01, 0.02, 0.04),
}
DECISIVE = ("bleu_2", "rouge_l", "meteor")


def read_candidates(path: Path, system: str) -> tuple[list[list[str]], list[np.ndarray]]:
    table = pd.read_parquet(path)
    rows = [rows for _, rows in table[table["system"] == system].groupby("row", sort=True)]
    return [rows["caption"].tolist() for rows in rows], [rows[list(TERMS)].to_numpy() for rows in rows]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", type=Path, help="path of the evaluation's results, without suffix")
    parser.add_argument("--tokenizer", default="allenai/scibert_scivocab_uncased", help="folder or Hub id")
    parser.add_argument("--output", type=Path, required=True, help="text file to write")
    given = parser.parse_args()
    lines = Path(f"{given.results}.jsonl").read_text(encoding="utf-8").splitlines()
    references = [json.loads(line)["reference"] for line in lines]
    candidates, measured = read_candidates(Path(f"{given.results}.candidates.parquet"), "model")
    metric, found = MoleculeCaptioning(), []
    for values in product(*WEIGHTS.values()):
        weights = dict(zip(WEIGHTS, values, strict=True))
        captions = choose_candidates(candidates, measured, Weights(1.0, *values))
        scores = metric.compute(predictions=captions, references=references, tokenizer=given.tokenizer, num_bootstrap=0)
        if scores["meteor"] is None:
            raise ValueError(scores["meteor_unavailable"])
        found.append({**weights, **{key: scores[key] for key in DECISIVE}})
    table = pd.DataFrame(found).assign(total=lambda rows: rows[list(DECISIVE)].sum(axis=1))
    print(table.sort_values("total", ascending=False).head(10).to_string(index=False))
    best = table.loc[table["total"].idxmax()]
    given.output.write_text(" ".join(f"--{name}_weight {best[name]}" for name in WEIGHTS) + "\n")


if __name__ == "__main__":
    main()
