"""Draw the molecules of a dataset that are most similar to some texts.

    python research/figures/found_molecules.py --model release/geomclip-mini --dataset my_pairs --split test \\
        --queries "a steroid" "an amino acid" --output docs/images/search.svg
"""

import argparse
import textwrap
from pathlib import Path

import numpy as np
from datasets import Dataset
from drawing import INK, WIDTH, draw_structure, save_svg, styled
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from rdkit import Chem

from dataset_pubchem3d.pairs import get_molecule_input, load_molecules
from geomclip_tools.evaluation.retrieval import list_new_molecules
from geomclip_tools.loading import load_geomclip
from modeling_geomclip import embed_texts
from modeling_geomclip.embedding_geomclip import embed_records

QUERIES = ("a steroid", "contains chlorine and a carboxylic acid", "a long-chain saturated fatty acid")
SIZE = (170, 138)  # of a drawing; bonds are 24 long


def rank_molecules(similarities: np.ndarray, number: int) -> np.ndarray:
    """Return the columns of the highest similarities of each row, best first; ties keep the order of the columns.

    Args:
        similarities: (queries, molecules).
        number: number of molecules to return for each query; all if there are fewer.
    Returns:
        (queries, number) int64.
    """
    return np.argsort(-similarities, axis=1, kind="stable")[:, :number]


def search(
    model: str, rows: Dataset, queries: list[str], number: int, limit: int | None = None
) -> list[list[tuple[str, float]]]:
    """Return the SMILES and the cosine similarity of the most similar molecules of each query.

    Args:
        model: checkpoint folder or Hub id.
        rows: rows with `smiles`, and with coordinates if these should be used. Each molecule counts once.
        queries: texts.
        number: number of molecules for each query.
        limit: number of molecules to search, from the first; all if None.
    """
    rows = rows.select(list_new_molecules(rows, set())[:limit])
    loaded, processor = load_geomclip(model)
    records, failures = processor.feature_extractor.read([get_molecule_input(row) for row in rows], errors="report")
    if failures:
        print(f"{len(failures)} of {len(rows)} molecules cannot be read; the first: {failures[0]['reason']}")
    molecules = embed_records(loaded, processor, records).numpy()
    similarities = embed_texts(loaded, processor, queries).numpy() @ molecules.T
    smiles = [rows[record["index"]]["smiles"] for record in records]
    return [
        [(smiles[place], float(values[place])) for place in places]
        for values, places in zip(similarities, rank_molecules(similarities, number).tolist())
    ]


@styled
def draw_results(results: dict[str, list[tuple[str, float]]]) -> Figure:
    """Draw a row for each query: the text, then its molecules with their cosine similarities."""
    columns = max(map(len, results.values()))
    figure = Figure(figsize=(WIDTH, 1.22 * len(results) + 0.05))
    text_width = 1 / (columns + 1.2)
    width, height = (1 - 1.2 * text_width) / columns, 1 / len(results)
    for row, (query, molecules) in enumerate(results.items()):
        bottom = 1 - (row + 1) * height
        label = textwrap.fill(query, 18, break_long_words=False)
        figure.text(0.01, bottom + 0.55 * height, label, va="center", ha="left", color=INK, fontsize=8.5)
        for column, (smiles, similarity) in enumerate(molecules):
            left = 1.2 * text_width + column * width
            axes = figure.add_axes((left + 0.006, bottom + 0.18 * height, width - 0.012, 0.78 * height))
            draw_structure(axes, Chem.MolFromSmiles(smiles), SIZE)
            value = f"{similarity:.2f}".replace("-", "−")
            figure.text(left + width / 2, bottom + 0.09 * height, value, va="center", ha="center", color=INK)
        if row:
            edge = 1 - row * height
            figure.add_artist(Line2D([0, 1], [edge, edge], color="#dddddd", linewidth=0.8))
    return figure


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="release/geomclip-mini", help="checkpoint folder or Hub id")
    parser.add_argument("--dataset", required=True, help="folder, Hub id or table with `smiles`")
    parser.add_argument("--dataset_config", help="config of the dataset")
    parser.add_argument("--split", default="train", help="dataset split; a table has only train")
    parser.add_argument("--limit", type=int, help="search only so many molecules, from the first")
    parser.add_argument("--queries", nargs="+", default=[*QUERIES], help="texts, one for each row")
    parser.add_argument("--number", type=int, default=5, help="molecules for each text")
    parser.add_argument("--output", type=Path, default=Path("docs/images/search.svg"), help="SVG file to write")
    args = parser.parse_args()
    rows = load_molecules(args.dataset, args.split, args.dataset_config, ("smiles",))
    found = search(args.model, rows, args.queries, args.number, args.limit)
    for query, molecules in zip(args.queries, found):
        print(query, *(f"{similarity:.2f} {smiles}" for smiles, similarity in molecules), sep="\n  ")
    save_svg(draw_results(dict(zip(args.queries, found))), args.output)


if __name__ == "__main__":
    main()
